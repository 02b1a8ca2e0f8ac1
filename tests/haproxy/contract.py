"""What every balancer promises, as one suite: run over the fake (test_fake.py) and a real HAProxy (test_live_contract.py).

A subclass gives the fixture `world`, opened, with nothing configured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.model import Conditions, Forward, Listener, Redirect, Respond, Rule, Stickiness, forward_to
from fairlead.core.readings import GroupReading, Reading, TargetCounts
from fairlead.core.traffic import Routing, Traffic
from fairlead.errors import BalancerError, PortInUse
from tests.haproxy.apps import free_port
from tests.haproxy.builders import GROUP, a_check, a_group, a_guest, a_routing, a_rule, a_target
from tests.haproxy.worlds import PATIENCE, World, admit, has_failed, has_passed, is_down, is_up, report_of


async def ask_for(world: World, verb: str, routing: Routing) -> None:
    """Reserve what the routing listens on, or configure it."""
    if verb == "reserve":
        await world.balancer.reserve(routing.stack, routing.listeners)
    else:
        await world.balancer.configure(routing.stack, routing)


async def measured(world: World, holds: Callable[[Reading], bool] = lambda reading: True) -> Reading:
    """What is measured, as soon as `holds`: an answer is counted a moment after its client has it."""
    last: list[Reading | None] = []

    async def question() -> bool:
        last[:] = [await world.balancer.measure()]
        return last[0] is not None and holds(last[0])

    await wait_until(question, PATIENCE, "that reading", seen=lambda: last)
    assert last[0] is not None
    return last[0]


def has_taken(count: int) -> Callable[[Reading], bool]:
    """So many requests, and the answers of all."""

    def holds(reading: Reading) -> bool:
        of_all = [*(target.counts for target in reading.targets.values()), reading.groups[GROUP].gone]
        answered = sum(one.responses[1] for one in of_all), sum(sum(one.times.values()) for one in of_all)
        return reading.groups[GROUP].requests == count and answered == (count, count)

    return holds


class BalancerContract:
    async def test_with_nothing_to_serve_no_node_runs_and_everything_is_known(self, world: World) -> None:
        report = await world.balancer.observe()
        assert report.known
        assert report.targets == ()
        assert [node.state for node in report.nodes] == ["stopped"]

    async def test_a_target_gets_no_request_before_its_first_passed_check(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        target = await world.target(1, healthy=False)
        await world.balancer.register(target)
        assert await world.send(5) == []
        await world.heal(target)
        await admit(world, target)
        assert await world.send(3) == ["web-1"] * 3

    async def test_registering_twice_leaves_a_target_as_it_is(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        target = await world.target(1)
        await admit(world, target)
        await world.balancer.register(target)
        seen = report_of(await world.balancer.observe(), target)
        assert seen is not None
        assert (seen.mode, seen.up) == ("in_service", True)

    async def test_a_target_that_is_registered_in_service_serves_at_once(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        target = await world.target(1)
        await world.balancer.register(replace(target, mode="in_service"))
        assert await world.send(2) == ["web-1"] * 2

    async def test_requests_go_round_exactly(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1), await world.target(2))
        assert Counter(await world.send(20)) == {"web-1": 10, "web-2": 10}

    async def test_a_drained_target_gets_no_new_request_and_can_then_be_removed(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        await world.balancer.drain(GROUP, one.id)
        assert await world.send(6) == ["web-2"] * 6
        seen = report_of(await world.balancer.observe(), one)
        assert seen is not None
        assert (seen.mode, seen.up, seen.sessions) == ("draining", False, 0)
        for _ in range(2):
            await world.balancer.deregister(GROUP, one.id)
        assert [target.id for target in (await world.balancer.observe()).targets] == ["web-2"]
        assert await world.send(2) == ["web-2"] * 2

    async def test_a_target_drained_before_it_ever_passed_never_serves(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1, healthy=False), await world.target(2)
        await world.balancer.register(one)
        await admit(world, two)
        await world.balancer.drain(GROUP, one.id)
        await world.heal(one)
        await world.balancer.admit(GROUP, one.id)
        assert await world.send(4) == ["web-2"] * 4

    @pytest.mark.parametrize("stickiness", [None, Stickiness()])
    async def test_a_warm_target_is_checked_and_gets_no_request_until_it_is_admitted(
        self, world: World, stickiness: Stickiness | None
    ) -> None:
        group = replace(a_group(), attributes=replace(a_group().attributes, stickiness=stickiness))
        await world.balancer.configure("shop", a_routing(world.port, groups=(group,)))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one)
        await world.balancer.register(replace(two, mode="warm"))
        await world.until(has_passed(two), "the first passed check of web-2")
        for _ in range(2):
            seen = report_of(await world.balancer.observe(), two)
            assert seen is not None
            assert (seen.mode, seen.up) == ("warm", False)
            assert await world.send(4) == ["web-1"] * 4
            # Another configuration is another process, in which nobody has passed yet.
            slower = replace(group, health_check=replace(group.health_check, timeout=1.5))
            await world.balancer.configure("shop", a_routing(world.port, groups=(slower,)))
            await world.until(has_passed(two), "its checks to go on")
        await world.balancer.admit(GROUP, two.id)
        await world.until(is_up(one, two), "both in rotation")
        assert Counter(await world.send(10)) == {"web-1": 5, "web-2": 5}

    async def test_a_target_given_back_serves_again_without_being_admitted_again(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        for _ in range(2):
            await world.balancer.drain(GROUP, one.id)
            await world.balancer.restore(GROUP, one.id)
            seen = report_of(await world.balancer.observe(), one)
            assert seen is not None
            assert seen.mode == "in_service"
            await world.until(is_up(one), "web-1 back in rotation")
            assert Counter(await world.send(10)) == {"web-1": 5, "web-2": 5}

    async def test_a_target_given_back_while_it_fails_its_checks_waits_for_one_that_passes(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        await world.balancer.drain(GROUP, one.id)
        await world.sicken(one)
        await world.until(has_failed(one), "a failed check of web-1")
        await world.balancer.restore(GROUP, one.id)
        assert await world.send(4) == ["web-2"] * 4
        await world.heal(one)
        await world.until(is_up(one), "web-1 back in rotation")
        assert "web-1" in await world.send(2)

    async def test_a_target_drained_before_it_ever_passed_is_given_back_to_its_checks(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1, healthy=False), await world.target(2)
        await world.balancer.register(one)
        await admit(world, two)
        await world.balancer.drain(GROUP, one.id)
        await world.balancer.restore(GROUP, one.id)
        assert await world.send(4) == ["web-2"] * 4
        await world.heal(one)
        await world.until(is_up(one), "web-1 in rotation")
        assert "web-1" in await world.send(2)

    async def test_giving_back_what_does_not_drain_changes_nothing(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2, healthy=False)
        await admit(world, one)
        await world.balancer.register(two)
        for target in (one.id, two.id, "web-9"):
            await world.balancer.restore(GROUP, target)
        modes = {target.id: target.mode for target in (await world.balancer.observe()).targets}
        assert modes == {"web-1": "in_service", "web-2": "initial"}
        assert await world.send(3) == ["web-1"] * 3

    async def test_a_target_that_is_gone_is_out_at_once_and_back_after_a_passed_check(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        await world.kill(one)
        await world.balancer.mark_down(GROUP, one.id)
        await world.balancer.mark_down(GROUP, one.id)
        assert is_down(one)(await world.balancer.observe())
        assert await world.send(4) == ["web-2"] * 4

    async def test_a_target_that_fails_its_checks_leaves_and_returns_by_itself(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        await world.sicken(one)
        report = await world.until(is_down(one), "web-1 out of rotation")
        seen = report_of(report, one)
        assert seen is not None
        assert seen.check is not None
        assert (seen.check.status, seen.check.code) == ("L7STS", 503)
        assert await world.send(4) == ["web-2"] * 4
        await world.heal(one)
        await world.until(is_up(one), "web-1 back in rotation")
        assert Counter(await world.send(10)) == {"web-1": 5, "web-2": 5}

    async def test_when_all_admitted_targets_fail_their_checks_they_serve_all_the_same(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2, healthy=False)
        await admit(world, one)
        await world.balancer.register(two)
        await world.sicken(one)
        await world.until(is_down(one), "web-1 out of rotation")
        assert await world.send(4) == ["web-1"] * 4  # never web-2, which has passed no check

    async def test_a_taken_port_is_refused_with_its_holder_and_nothing_is_held(self, world: World) -> None:
        free, taken = free_port(), free_port()
        holder = await world.occupy(taken)
        with pytest.raises(PortInUse) as refusal:
            await world.balancer.reserve(
                "shop",
                (Listener(port=free, default=forward_to("web")), Listener(port=taken, default=forward_to("web"))),
            )
        assert str(taken) in refusal.value.sentence
        assert holder in refusal.value.why
        await world.balancer.reserve("other", (Listener(port=free, default=forward_to("web")),))

    async def test_a_port_of_another_stack_is_refused_with_its_name(self, world: World) -> None:
        await world.balancer.reserve("shop", (Listener(port=world.port, default=forward_to("web")),))
        with pytest.raises(PortInUse, match="stack shop"):
            await world.balancer.reserve("other", (Listener(port=world.port, default=forward_to("web")),))

    async def test_the_first_rule_that_matches_decides_then_the_default(self, world: World) -> None:
        rules = (
            a_rule("api", paths=("/api/*", "/V?/x")),
            a_rule("docs", hosts=("docs.test", "*.docs.test")),
            a_rule("web", paths=("/*.txt",)),
        )
        listeners = (Listener(port=world.port, default=forward_to("web"), rules=rules),)
        groups = (a_group(), a_group(name="api"), a_group(name="docs"))
        await world.balancer.configure("shop", a_routing(world.port, listeners=listeners, groups=groups))
        targets = [await world.target(1, group=f"shop.{name}") for name in ("web", "api", "docs")]
        await admit(world, *targets)
        asked = {
            ("any.test", "/"): "web-1",
            ("any.test", "/api/"): "shop-api-1",
            ("any.test", "/api/a?b=c"): "shop-api-1",
            ("any.test", "/api"): "web-1",
            ("any.test", "/API/"): "web-1",
            ("any.test", "/?a=/api/"): "web-1",
            ("any.test", "/V1/x"): "shop-api-1",
            ("any.test", "/v1/x"): "web-1",
            ("docs.test", "/api/x"): "shop-api-1",
            ("docs.test", "/x.txt"): "shop-docs-1",
            ("DOCS.test", "/"): "shop-docs-1",
            ("a.docs.test", "/"): "shop-docs-1",
            ("adocs.test", "/"): "web-1",
        }
        assert {(host, path): await world.get(host, path) for host, path in asked} == asked

    async def test_what_nobody_claims_is_not_found(self, world: World) -> None:
        await world.balancer.configure("blog", a_guest(world.port, "blog.test"))
        await admit(world, await world.target(1, group="blog.web"))
        assert await world.get("blog.test") == "blog-web-1"
        assert await world.get("other.test") == "404"
        assert await world.get("blog.test.other", "/blog.test") == "404"

    async def test_two_stacks_share_a_port_by_host(self, world: World) -> None:
        rules = (a_rule("api", paths=("/api/*",)), a_rule("api", hosts=("api.test",)))
        listeners = (Listener(port=world.port, default=forward_to("web"), rules=rules),)
        groups = (a_group(), a_group(name="api"))
        await world.balancer.configure("shop", a_routing(world.port, listeners=listeners, groups=groups))
        await world.balancer.configure("blog", a_guest(world.port, "blog.test", "*.blog.test", "*.test"))
        await world.balancer.configure("wiki", a_guest(world.port, "a.blog.test", "*.wiki.test", stack="wiki"))
        names = ("shop.web", "shop.api", "blog.web", "wiki.web")
        await admit(world, *[await world.target(1, group=name) for name in names])
        asked = {
            ("other", "/"): "web-1",
            ("other", "/api/x"): "shop-api-1",
            ("blog.test", "/api/x"): "blog-web-1",
            ("b.blog.test", "/"): "blog-web-1",
            ("a.blog.test", "/"): "wiki-web-1",
            ("x.wiki.test", "/"): "wiki-web-1",
            ("wiki.test", "/"): "blog-web-1",
            ("api.test", "/"): "shop-api-1",
        }
        assert {(host, path): await world.get(host, path) for host, path in asked} == asked

    async def test_a_rule_may_answer_by_itself_or_choose_by_several_conditions(self, world: World) -> None:
        rules = (
            Rule(when=Conditions(paths=("/old",)), then=Redirect(status=301, path="/new")),
            Rule(when=Conditions(paths=("/tea", "/*/tea"), hosts=("tea.test",)), then=Respond(status=418, body="tea")),
            Rule(when=Conditions(paths=("/api/*",), methods=("GET",)), then=Forward(weights=(("web", 0), ("api", 5)))),
        )
        listener = Listener(port=world.port, default=forward_to("web"), rules=rules)
        groups = (a_group(), a_group(name="api"))
        await world.balancer.configure("shop", a_routing(listeners=(listener,), groups=groups))
        await admit(world, await world.target(1), await world.target(1, group="shop.api"))
        asked = [("test", "/old"), ("test", "/tea"), ("tea.test", "/a/tea"), ("test", "/api/x"), ("test", "/")]
        answers = [(await world.get(host, path)).split()[0] for host, path in asked]
        assert answers == ["301", "web-1", "418", "shop-api-1", "web-1"]

    @pytest.mark.parametrize("verb", ["reserve", "configure"])
    async def test_two_stacks_that_want_the_same_are_refused_by_name(self, world: World, verb: str) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await world.balancer.configure("blog", a_guest(world.port, "blog.test", "*.b.test"))
        await admit(world, await world.target(1), await world.target(1, group="blog.web"))
        with pytest.raises(PortInUse) as refusal:
            await ask_for(world, verb, a_routing(world.port, stack="wiki"))
        for part in ("stack shop", "stack wiki", "default", str(world.port)):
            assert part in refusal.value.sentence
        assert "`default`" in refusal.value.next_step
        assert "`host`" in refusal.value.next_step
        with pytest.raises(PortInUse) as refusal:
            await ask_for(world, verb, a_guest(world.port, "new.test", "BLOG.test", "*.b.test", stack="wiki"))
        for part in ("stack blog", "stack wiki", "blog.test, *.b.test", str(world.port)):
            assert part in refusal.value.sentence
        assert (await world.get(), await world.get("blog.test")) == ("web-1", "blog-web-1")

    async def test_a_shared_port_serves_until_its_last_stack_has_left(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        other = await world.target(1, group="blog.web")
        await admit(world, await world.target(1))
        for _ in range(2):
            await world.balancer.reserve("blog", a_guest(world.port, "blog.test").listeners)
            assert await world.get("blog.test") == "web-1", "only reserved"
            await world.balancer.configure("blog", a_guest(world.port, "blog.test"))
            await admit(world, other)
            assert (await world.get(), await world.get("blog.test")) == ("web-1", "blog-web-1")
            await world.balancer.configure("blog", None)
            assert (await world.get(), await world.get("blog.test")) == ("web-1", "web-1")
        await world.balancer.configure("blog", a_guest(world.port, "blog.test"))
        await world.balancer.configure("shop", None)
        assert (await world.get(), await world.get("blog.test")) == ("404", "503")
        await world.balancer.reserve("other", (Listener(port=world.port, default=forward_to("web")),))
        await world.balancer.configure("other", None)
        assert await world.listens(world.port)
        await world.balancer.configure("blog", None)
        assert not await world.listens(world.port)

    async def test_a_restarted_daemon_finds_a_shared_port_as_it_was(self, world: World) -> None:
        routings = (a_routing(world.port), a_guest(world.port, "blog.test"))
        for routing in routings:
            await world.balancer.configure(routing.stack, routing)
        one, other = await world.target(1), await world.target(1, group="blog.web")
        await admit(world, one, other)
        before = (await world.balancer.observe()).nodes
        targets = (replace(one, mode="in_service"), replace(other, mode="in_service"))
        await world.restart_daemon(Traffic(routings=routings, targets=targets))
        assert (await world.balancer.observe()).nodes == before
        assert (await world.get(), await world.get("blog.test")) == ("web-1", "blog-web-1")
        with pytest.raises(PortInUse, match="stack blog claims host"):
            await world.balancer.reserve("wiki", a_guest(world.port, "blog.test").listeners)
        await world.balancer.configure("shop", None)
        assert (await world.get(), await world.get("blog.test")) == ("404", "blog-web-1")

    async def test_a_reserved_port_is_given_back_when_the_configuration_leaves_it_out(self, world: World) -> None:
        await world.balancer.reserve("shop", (Listener(port=world.port, default=forward_to("web")),))
        assert not await world.listens(world.port)
        await world.balancer.configure("shop", None)
        await world.balancer.reserve("other", (Listener(port=world.port, default=forward_to("web")),))

    async def test_a_refused_configuration_changes_nothing(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        target = await world.target(1)
        await admit(world, target)
        other = await world.occupy(taken := free_port())
        listeners = (
            Listener(port=world.port, default=forward_to("web")),
            Listener(port=taken, default=forward_to("web")),
        )
        with pytest.raises(BalancerError) as refusal:
            await world.balancer.configure("shop", a_routing(world.port, listeners=listeners))
        assert other in refusal.value.why
        assert await world.send(2) == ["web-1"] * 2

    async def test_a_target_of_an_unknown_group_is_refused(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        with pytest.raises(BalancerError, match=r"shop\.api"):
            await world.balancer.register(a_target(1, group="shop.api"))

    async def test_a_new_configuration_keeps_the_targets(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one)
        await world.balancer.register(two)
        changed = a_routing(world.port, groups=(a_group(health_check=a_check(unhealthy_threshold=3)),))
        await world.balancer.configure("shop", changed)
        modes = {target.id: target.mode for target in (await world.balancer.observe()).targets}
        assert modes == {"web-1": "in_service", "web-2": "initial"}
        assert "web-1" in await world.send(2)

    async def test_without_its_routing_a_stack_has_neither_targets_nor_listeners(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        await world.balancer.configure("shop", None)
        report = await world.balancer.observe()
        assert report.known
        assert (report.targets, [node.state for node in report.nodes]) == ((), ["stopped"])
        assert not await world.listens(world.port)

    async def test_a_node_that_dies_comes_back_with_the_same_targets_and_says_so(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2, healthy=False)
        await admit(world, one)
        await world.balancer.register(two)
        told: list[int] = []
        world.balancer.on_change(lambda: told.append(1))
        before = (await world.balancer.observe()).nodes[0].pid
        await world.kill_node()
        report = await world.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")
        assert {target.id: target.mode for target in report.targets} == {"web-1": "in_service", "web-2": "initial"}
        assert await world.send(3) == ["web-1"] * 3
        assert told

    async def test_a_restarted_daemon_finds_everything_as_it_was(self, world: World) -> None:
        routing = a_routing(world.port)
        await world.balancer.configure("shop", routing)
        one, two, three = await world.target(1), await world.target(2), await world.target(3, healthy=False)
        await admit(world, one, two)
        await world.balancer.register(three)
        await world.balancer.drain(GROUP, two.id)
        before = (await world.balancer.observe()).nodes
        targets = (replace(one, mode="in_service"), replace(two, mode="draining"), three)
        await world.restart_daemon(Traffic(routings=(routing,), targets=targets))
        report = await world.balancer.observe()
        assert report.nodes == before
        modes = {target.id: target.mode for target in report.targets}
        assert modes == {"web-1": "in_service", "web-2": "draining", "web-3": "initial"}
        assert await world.send(4) == ["web-1"] * 4

    async def test_a_restarted_daemon_corrects_what_differs(self, world: World) -> None:
        routing = a_routing(world.port)
        await world.balancer.configure("shop", routing)
        one, two = await world.target(1), await world.target(2)
        await admit(world, one)
        traffic = Traffic(routings=(routing,), targets=(replace(two, mode="in_service"),))
        await world.restart_daemon(traffic)
        assert [target.id for target in (await world.balancer.observe()).targets] == ["web-2"]
        assert await world.send(4) == ["web-2"] * 4

    async def test_requests_are_counted_across_a_reload(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        before = (await world.balancer.observe()).requests
        await world.send(3)
        await world.balancer.configure("shop", a_routing(world.port, groups=(a_group(deregistration_delay=7.0),)))
        await world.send(4)
        after = (await world.balancer.observe()).requests
        assert before is not None
        assert after == before + 7

    async def test_with_nothing_to_serve_there_is_nothing_to_measure(self, world: World) -> None:
        assert await world.balancer.measure() == Reading()

    async def test_what_targets_take_and_answer_is_measured(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        before = await measured(world)
        assert {key: target.counts for key, target in before.targets.items()} == {
            (GROUP, one.id): TargetCounts(),
            (GROUP, two.id): TargetCounts(),
        }
        assert before.groups == {GROUP: GroupReading()}
        assert before.listeners["shop"].connections == 0
        await world.send(6)
        reading = await measured(world, has_taken(6))
        for target in (one, two):
            counts = reading.targets[GROUP, target.id].counts
            assert (counts.requests, counts.responses, sum(counts.times.values())) == (3, (0, 3, 0, 0, 0), 3)
            assert (counts.connection_errors, counts.broken, counts.retried) == (0, 0, 0)
            assert 1 <= counts.connections <= 3
            assert counts.bytes_in > 0 < counts.bytes_out
            assert reading.targets[GROUP, target.id].outstanding == 0
        assert reading.groups[GROUP] == GroupReading(requests=6)
        heard = reading.listeners["shop"]
        assert (heard.connections, heard.active, heard.rejected, dict(heard.own)) == (6, 0, 0, {})
        assert heard.bytes > 0

    async def test_a_target_that_leaves_leaves_what_it_did_to_its_group(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        one, two = await world.target(1), await world.target(2)
        await admit(world, one, two)
        await world.send(4)
        # No look in between: what it did last must not go with it.
        await world.balancer.deregister(GROUP, one.id)
        await world.send(2)
        reading = await measured(world, has_taken(6))
        assert reading.targets.keys() == {(GROUP, two.id)}
        assert reading.targets[GROUP, two.id].counts.requests == 4
        gone = reading.groups[GROUP].gone
        assert (gone.requests, gone.responses, sum(gone.times.values())) == (2, (0, 2, 0, 0, 0), 2)

    async def test_what_is_measured_goes_on_across_a_reload(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1), await world.target(2))
        await world.send(4)
        await world.balancer.configure("shop", a_routing(world.port, groups=(a_group(deregistration_delay=7.0),)))
        await world.send(4)
        reading = await measured(world, has_taken(8))
        assert [target.counts.requests for target in reading.targets.values()] == [4, 4]
        assert (reading.losses, reading.listeners["shop"].connections) == (0, 8)

    async def test_what_a_node_that_died_had_counted_stays_and_may_not_be_all(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        await world.send(5)
        assert (await measured(world, has_taken(5))).losses == 0
        before = (await world.balancer.observe()).nodes[0].pid
        await world.kill_node()
        await world.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")
        await world.send(2)
        reading = await measured(world, has_taken(7))
        assert (reading.losses, reading.listeners["shop"].connections) == (1, 7)

    async def test_a_restarted_daemon_measures_what_happens_from_then_on(self, world: World) -> None:
        routing = a_routing(world.port)
        await world.balancer.configure("shop", routing)
        one = await world.target(1)
        await admit(world, one)
        await world.send(3)
        await measured(world, has_taken(3))
        await world.restart_daemon(Traffic(routings=(routing,), targets=(replace(one, mode="in_service"),)))
        first = (await measured(world)).groups[GROUP].requests
        await world.send(2)
        reading = await measured(world, lambda seen: seen.groups[GROUP].requests == first + 2)
        assert (reading.losses, reading.targets.keys()) == (0, {(GROUP, one.id)})

    async def test_what_the_balancer_answers_by_itself_is_told_from_what_targets_do(self, world: World) -> None:
        rules = (
            Rule(when=Conditions(paths=("/old",)), then=Redirect(status=301, path="/new")),
            Rule(when=Conditions(paths=("/tea",)), then=Respond(status=418, body="tea")),
            Rule(when=Conditions(paths=("/ok",)), then=Respond(status=200, body="ok")),
        )
        listener = Listener(port=world.port, default=forward_to("web"), rules=rules)
        await world.balancer.configure("shop", a_routing(listeners=(listener,)))
        assert [(await world.get(path=path))[:3] for path in ("/", "/old", "/tea", "/ok")][:3] == ["503", "301", "418"]
        expected = {"3XX": 1, "4XX": 1, "5XX": 1, "503": 1, "fixed_response": 2, "redirect": 1}
        reading = await measured(
            world, lambda seen: {kind: count for kind, count in seen.listeners["shop"].own.items() if count} == expected
        )
        assert reading.groups[GROUP] == GroupReading(requests=0, elb_5xx=1)
        assert reading.listeners["shop"].connections == 4

    async def test_connections_to_a_shared_port_count_for_each_stack_and_requests_for_their_owner(
        self, world: World
    ) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await world.balancer.configure("blog", a_guest(world.port, "blog.test"))
        await admit(world, await world.target(1), await world.target(1, group="blog.web"))
        for host in ("blog.test", "blog.test", "other"):
            await world.get(host)
        reading = await measured(world, lambda seen: seen.groups["blog.web"].requests == 2)
        assert reading.groups[GROUP].requests == 1
        assert [reading.listeners[stack].connections for stack in ("shop", "blog")] == [3, 3]

    async def test_a_stack_that_has_left_is_measured_no_more(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        await world.send(1)
        await measured(world, has_taken(1))
        await world.balancer.configure("shop", None)
        assert await world.balancer.measure() == Reading()

    async def test_housekeeping_can_be_done_at_any_time(self, world: World) -> None:
        await world.balancer.tend()
        await world.balancer.configure("shop", a_routing(world.port))
        await world.balancer.tend()
        await admit(world, await world.target(1))
        assert await world.send(1) == ["web-1"]

    async def test_after_stop_nothing_is_left(self, world: World) -> None:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        await world.balancer.stop()
        assert not await world.listens(world.port)
        assert (await world.balancer.observe()).targets == ()
