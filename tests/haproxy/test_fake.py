"""The fake keeps the contract, and plays the faults that a test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fairlead.core.latency import bucket_of
from fairlead.core.model import Conditions, Listener, Opening, Redirect, Respond, Rule, forward_to
from fairlead.core.rules import Request
from fairlead.errors import BalancerError
from tests.haproxy.builders import GROUP, a_routing, a_target
from tests.haproxy.contract import BalancerContract
from tests.haproxy.worlds import FakeWorld


class TestFakeBalancer(BalancerContract):
    @pytest_asyncio.fixture
    async def world(self) -> AsyncIterator[FakeWorld]:
        world = FakeWorld()
        await world.open()
        yield world
        await world.close()

    async def test_a_dead_node_leaves_the_targets_unknown_and_forgets_nothing(self, world: FakeWorld) -> None:
        await world.balancer.configure("shop", a_routing())
        world.fake.die()
        assert not (await world.balancer.observe()).known
        with pytest.raises(BalancerError):
            await world.balancer.register(a_target(1))
        world.fake.revive()
        assert [target.id for target in (await world.balancer.observe()).targets] == ["web-1"]

    async def test_a_scripted_refusal_happens_once_and_before_the_effect(self, world: FakeWorld) -> None:
        world.fake.fail("configure")
        with pytest.raises(BalancerError):
            await world.balancer.configure("shop", a_routing())
        assert world.fake.routings == {}
        await world.balancer.configure("shop", a_routing())
        assert set(world.fake.routings) == {"shop"}

    async def test_a_fault_after_the_effect_leaves_it_done(self, world: FakeWorld) -> None:
        await world.balancer.configure("shop", a_routing())
        world.fake.fail("register", after=True)
        with pytest.raises(BalancerError):
            await world.balancer.register(a_target(1))
        assert (GROUP, "web-1") in world.fake.members
        assert world.fake.calls[-1] == ("register", GROUP, "web-1")

    async def test_what_a_rule_answers_is_told_in_words_and_an_opening_reaches_its_instance(
        self, world: FakeWorld
    ) -> None:
        rules = (
            Rule(when=Conditions(paths=("/old",)), then=Redirect(status=301, path="/new")),
            Rule(when=Conditions(methods=("PUT",)), then=Respond(status=405, body="read only")),
        )
        opening = Opening(service="web", instance="web-2", digest="0" * 64)
        listeners = (
            Listener(port=8080, default=forward_to("web"), rules=rules),
            Listener(port=8081, default=None, opening=opening),
        )
        await world.balancer.configure("shop", a_routing(listeners=listeners))
        assert world.fake.ask(8080, path="/old") == "301 http://test:8080/new"
        assert world.fake.ask(8080, request=Request(method="PUT")) == "405 read only"
        assert (world.fake.ask(8080), world.fake.ask(8081)) == ("503", "503")
        await world.balancer.register(await world.target(2, healthy=False))
        assert (world.fake.ask(8080), world.fake.ask(8081)) == ("503", "web-2"), "whatever its health"

    async def test_health_can_be_asked_of_the_test(self, world: FakeWorld) -> None:
        from fairlead.haproxy.fake import PASSED

        alive = {"web-1"}
        world.fake.health(lambda _group, target: PASSED if target in alive else None)
        await world.balancer.configure("shop", a_routing())
        await world.balancer.register(a_target(1))
        await world.balancer.register(a_target(2))
        checks = {target.id: target.check for target in (await world.balancer.observe()).targets}
        assert checks == {"web-1": PASSED, "web-2": None}

    async def test_what_targets_did_can_be_said_and_is_measured(self, world: FakeWorld) -> None:
        await world.balancer.configure("shop", a_routing())
        await world.balancer.register(a_target(1))
        world.fake.serve(GROUP, "web-1", 3, status=404, seconds=0.25)
        world.fake.serve(GROUP, "web-1", status=None)
        world.fake.sessions(GROUP, "web-1", 2)
        reading = await world.balancer.measure()
        assert reading is not None
        one = reading.targets[GROUP, "web-1"]
        assert (one.counts.requests, one.counts.responses, one.counts.broken) == (4, (0, 0, 0, 3, 0), 1)
        assert (one.counts.times, one.outstanding) == ({bucket_of(250_000): 3}, 2)
        assert (reading.groups[GROUP].requests, reading.groups[GROUP].elb_5xx) == (4, 1)
        assert reading.listeners["shop"].own == {"5XX": 1, "502": 1}
        assert (await world.balancer.observe()).requests == 4

    async def test_a_dead_node_measures_nothing_and_may_have_lost_some(self, world: FakeWorld) -> None:
        await world.balancer.configure("shop", a_routing())
        world.fake.die()
        assert await world.balancer.measure() is None
        world.fake.revive()
        reading = await world.balancer.measure()
        assert reading is not None
        assert reading.losses == 1
