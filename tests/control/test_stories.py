"""The loop over fakes, in virtual time: elapsed seconds are asserted, faults are scripted."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest

from fairlead.control.supervisor import UpRequest
from fairlead.core.model import Listener, forward_to
from fairlead.core.processes import Outcome
from fairlead.core.traffic import BalancerReport
from fairlead.engines.base import LaunchOrder
from fairlead.engines.fake.script import Fault, Script
from fairlead.errors import BuildError, DeploymentFailed, NotFound, PortInUse, UsageError

from .town import Town

pytestmark = pytest.mark.looptime


async def test_up_returns_when_all_serve(town: Town) -> None:
    daemon = await town.daemon()
    done = await town.up(daemon)
    assert done == {
        "stack": "shop",
        "changed": True,
        "summary": ["stack shop is new", "web: is new, 2 instances"],
        "urls": ["http://127.0.0.1:8080"],
        "engine": "local",
        "unenforced": [],
        "by_hand": [],
    }
    town.sound("web-1", "web-2")
    assert "web-1 launched: a difference between desired and actual capacity: from 0 to 1, desired 2" in town.told


async def test_a_second_up_changes_nothing(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    events = len(town.kinds())
    again = await town.up(daemon)
    assert (again["changed"], again["summary"]) == (False, [])
    assert len(town.kinds()) == events
    town.sound("web-1", "web-2")


async def test_one_that_dies_is_replaced_as_soon_as_its_process_is_gone(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.engine.end("shop", "web-1", Outcome(exit_status=3))
    took = await town.until("a replacement", lambda: town.serving() == ["web-2", "web-3"])
    assert took < 0.7, "its own start time of 0.5 s, and the loop's pace"
    await town.becomes("web-2", "web-3")


async def test_one_that_can_never_start_is_tried_with_growing_pauses(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.scripts["1"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1))
    loop = asyncio.get_running_loop()
    began = loop.time()
    town.engine.end("shop", "web-1")
    await asyncio.sleep(70)
    launches = [at - began for at, verb, *_ in town.engine.calls if verb == "launch" and at >= began]
    pauses = [round(later - earlier) for earlier, later in itertools.pairwise(launches)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32]
    assert town.serving() == ["web-2"]


async def test_an_unhealthy_one_is_replaced_only_after_its_replacement_serves(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await asyncio.sleep(40)
    town.ill.add("web-1")
    await town.until("a replacement", lambda: "web-3" in town.serving(), 5)
    await town.until("the sick one to go", lambda: "web-1" not in town.living())
    stopped = next(at for at, verb, _, who in town.engine.calls if (verb, who) == ("stop", "web-1"))
    launched = next(at for at, verb, _, who in town.engine.calls if (verb, who) == ("launch", "web-3"))
    assert stopped >= launched + 0.5
    await town.becomes("web-2", "web-3")
    assert "unhealthy" in town.kinds()


async def test_unhealthy_within_the_grace_period_is_only_told(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    await asyncio.sleep(10)
    town.ill.clear()
    await asyncio.sleep(60)
    town.sound("web-1", "web-2")
    assert [kind for kind in town.kinds() if kind in ("healthy", "unhealthy")] == ["unhealthy", "healthy"]


async def test_a_new_release_takes_over_without_a_gap(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.write(version=2)
    served: list[int] = []

    async def watch() -> None:
        while True:
            served.append(len(town.serving()))
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    done = await town.up(daemon)
    watching.cancel()
    assert done["summary"] == ["web: release 1 -> 2"]
    assert min(served) >= 2
    await town.becomes("web-3", "web-4")


async def test_an_old_instance_finishes_its_requests_first(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.balancer.sessions("shop.web", "web-1", 1)
    town.write(version=2)
    await town.up(daemon)
    await asyncio.sleep(20)
    assert "web-1" in town.living(), "a request is still inside"
    town.balancer.sessions("shop.web", "web-1", 0)
    assert await town.until("it to go", lambda: "web-1" not in town.living()) < 1


async def test_the_deregistration_delay_is_the_longest_wait(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    for instance in ("web-1", "web-2"):
        town.balancer.sessions("shop.web", instance, 1)
    town.write(instances=1)
    await town.up(daemon)
    took = await town.until("the delay to end", lambda: town.living() == ["web-1"])
    assert 29 < took < 31


async def test_sigkill_follows_sigterm_after_the_stop_timeout(town: Town) -> None:
    town.scripts["1"] = Script(stops_in=None)
    daemon = await town.daemon()
    await town.up(daemon)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await daemon.down("shop", lambda event: None)
    assert 10 <= loop.time() - began < 11
    verbs = [verb for _, verb, _, who in town.engine.calls if who == "web-1" and verb in ("stop", "kill", "clear")]
    assert verbs == ["stop", "kill", "clear"]


async def test_a_first_up_that_fails_leaves_nothing(town: Town) -> None:
    town.scripts["1"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1), log="no db\n")
    daemon = await town.daemon()
    with pytest.raises(DeploymentFailed) as failure:
        await town.up(daemon)
    assert "3 instances of release 1 ended before their first passed health check" in failure.value.why
    assert failure.value.detail == "no db"
    assert failure.value.place == "fairlead.yaml:4:14"
    assert (town.living(), town.balancer.members, town.balancer.ports, town.store.stacks()) == ([], {}, {}, ())


async def test_a_first_up_that_never_answers_is_given_up_after_its_grace_period(town: Town) -> None:
    town.scripts["1"] = Script(
        answers_after=math.inf, diagnosis="the program listens on 127.0.0.1:9, not on $PORT 20001"
    )
    town.write(grace="3s")
    daemon = await town.daemon()
    loop = asyncio.get_running_loop()
    with pytest.raises(DeploymentFailed, match=r"not on \$PORT 20001"):
        await town.up(daemon)
    assert 3 < loop.time() < 5
    assert town.living() == []


async def test_a_later_release_that_fails_leaves_the_old_one_serving(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.write(version=2)
    town.scripts["2"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1))
    with pytest.raises(DeploymentFailed, match="ended before their first passed"):
        await town.up(daemon)
    assert town.serving() == ["web-1", "web-2"]
    await town.becomes("web-1", "web-2")


async def test_a_failed_build_changes_nothing_and_gives_the_port_back(town: Town) -> None:
    town.builder.broken = "no network"
    daemon = await town.daemon()
    with pytest.raises(BuildError):
        await town.up(daemon)
    assert (town.balancer.ports, town.store.stacks(), town.living()) == ({}, (), [])


async def test_a_taken_port_is_told_before_anything_is_built(town: Town) -> None:
    town.balancer.occupy("127.0.0.1", 8080, "nginx (pid 7)")
    daemon = await town.daemon()
    with pytest.raises(PortInUse, match="nginx"):
        await town.up(daemon)
    assert asyncio.get_running_loop().time() < 0.5, "the build takes 0.5 s"


async def test_a_refused_port_is_told_at_its_place_in_the_file(town: Town) -> None:
    town.balancer.occupy("127.0.0.1", 8080, "nginx (pid 7)")
    with pytest.raises(PortInUse) as caught:
        await town.up(await town.daemon())
    line = (town.folder / "fairlead.yaml").read_text().splitlines()[-1]
    assert caught.value.place == f"fairlead.yaml:11:{line.index('8080') + 1}"


async def test_another_stack_of_the_same_name_is_refused_and_changes_nothing(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    serving = town.serving()
    home, town.folder = town.folder, town.folder / "elsewhere"
    town.folder.mkdir()
    town.write(instances=1, version=2)
    with pytest.raises(UsageError, match="another stack is up under the name shop") as caught:
        await town.up(daemon)
    assert (str(home) in caught.value.why, caught.value.place) == (True, "fairlead.yaml:1:7")
    assert town.serving() == serving


async def test_a_stack_whose_file_moved_goes_on_and_that_is_said(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    serving, before = town.serving(), town.folder / "fairlead.yaml"
    town.folder = town.folder / "elsewhere"
    town.folder.mkdir()
    before.rename(town.folder / "fairlead.yaml")
    assert (await town.up(daemon))["changed"] is False
    assert any("has moved" in text for text in town.told)
    await town.up(daemon)
    assert not any("has moved" in text for text in town.told), "it is said once"
    assert town.serving() == serving


async def test_a_failed_change_of_port_keeps_the_old_one(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.write(version=2, port=9090)
    town.scripts["2"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1))
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    await town.until("the old port", lambda: set(town.balancer.ports) == {("127.0.0.1", 8080)})


async def test_while_a_deployment_may_go_back_nobody_gets_its_old_port(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    old, new = ("127.0.0.1", 8080), ("127.0.0.1", 9090)
    town.scripts["2"] = Script(answers_after=20.0)
    town.write(version=2, port=9090)
    up = asyncio.create_task(town.up(daemon))
    await town.until("the new port", lambda: new in town.balancer.ports)
    await asyncio.sleep(1)
    with pytest.raises(PortInUse):
        await town.balancer.reserve("other", (Listener(port=8080, default=forward_to("web")),))
    await town.bury(daemon)
    up.cancel()
    town.balancer.ports_lost()
    await town.daemon()
    assert set(town.balancer.ports) == {old, new}
    await town.until("the old port to be free", lambda: set(town.balancer.ports) == {new})


async def test_an_old_port_that_was_taken_meanwhile_is_told_until_it_can_be_had_again(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.scripts["2"] = Script(answers_after=1000.0)
    town.write(version=2, port=9090, grace="5s")
    up = asyncio.create_task(town.up(daemon))
    await town.until("the new port", lambda: ("127.0.0.1", 9090) in town.balancer.ports)
    await asyncio.sleep(1)
    for _ in range(10):
        town.balancer.fail("configure", PortInUse("port 8080 on 127.0.0.1 is taken", "nginx, pid 7, has it"))
    with pytest.raises(DeploymentFailed):
        await up
    await asyncio.sleep(3)
    shown = (await daemon.status("shop", explain=True))["stacks"][0]["listeners"][0]
    assert shown["explanation"] == "port 8080 on 127.0.0.1 is taken: nginx, pid 7, has it"
    assert town.kinds().count("problem") == 1
    await town.until("the old port", lambda: set(town.balancer.ports) == {("127.0.0.1", 8080)})
    await town.until("it to be told", lambda: "listening" in town.kinds())
    shown = (await daemon.status("shop", explain=True))["stacks"][0]["listeners"][0]
    assert shown["explanation"] == ""


async def test_cancel_on_a_first_up_leaves_nothing_and_later_the_old_release(town: Town) -> None:
    daemon = await town.daemon()
    town.scripts["1"] = Script(answers_after=20)
    first = asyncio.create_task(town.up(daemon))
    await town.until("a launch", lambda: town.living() != [])
    assert (await daemon.cancel("shop"))["text"] == "nothing of it is left"
    with pytest.raises(DeploymentFailed):
        await first
    assert (town.living(), town.store.stacks()) == ([], ())
    town.scripts.clear()
    await town.up(daemon)
    before = town.serving()
    town.write(version=2)
    town.scripts["2"] = Script(answers_after=20)
    second = asyncio.create_task(town.up(daemon))
    await town.until("a launch", lambda: len(town.living()) == 4)
    await daemon.cancel("shop")
    with pytest.raises(DeploymentFailed):
        await second
    await town.becomes(*before)


async def test_a_client_that_leaves_does_not_stop_the_work_and_the_same_request_joins_it(town: Town) -> None:
    daemon = await town.daemon()
    first = asyncio.create_task(town.up(daemon))
    await asyncio.sleep(0.6)
    first.cancel()
    done = await town.up(daemon)
    assert done["stack"] == "shop"
    town.sound("web-1", "web-2")


async def test_down_drains_stops_and_forgets(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await daemon.down("shop", lambda event: None)
    assert (town.living(), town.balancer.members, town.balancer.ports, town.store.stacks()) == ([], {}, {}, ())
    with pytest.raises(NotFound):
        await daemon.down("shop", lambda event: None)
    await town.up(daemon)
    town.sound("web-3", "web-4")


async def test_a_balancer_that_dies_is_waited_for(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.balancer.die()
    await asyncio.sleep(5)
    town.engine.end("shop", "web-1")
    await asyncio.sleep(5)
    town.balancer.revive()
    await town.until("a replacement", lambda: town.serving() == ["web-2", "web-3"])
    await town.becomes("web-2", "web-3")


@pytest.mark.parametrize("kind", ["slow", "refuse", "lie"])
@pytest.mark.parametrize("verb", ["launch", "observe", "stop", "kill", "clear"])
async def test_an_engine_that_misbehaves_for_a_while_is_outlasted(town: Town, verb: str, kind: str) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.engine.fail(verb, Fault(kind=kind, seconds=1.0), times=2)  # type: ignore[arg-type]
    town.engine.end("shop", "web-1")
    town.write(version=2)
    await town.up(daemon)
    await town.until("the old ones to go", lambda: len(town.living()) == 2 and len(town.balancer.members) == 2, 60)
    await town.becomes(*town.living())
    assert {record.release for record in town.store.instances("shop")} == {2}


async def test_status_is_the_contract(town: Town) -> None:
    daemon = await town.daemon()
    assert (await daemon.status())["stacks"] == []
    await town.up(daemon)
    status = await daemon.status()
    assert status["stacks"][0]["listeners"] == [
        {"url": "http://127.0.0.1:8080", "protocol": "HTTP", "address": "127.0.0.1", "port": 8080,
         "rules": 0, "certificates": []}
    ]  # fmt: skip
    service = status["stacks"][0]["services"][0]
    assert {key: value for key, value in service.items() if key not in ("instances", "figures")} == {
        "name": "web",
        "release": 1,
        "serves": True,
        "runs": True,
        "desired": 2,
        "declared": 2,
        "min": 2,
        "max": 2,
        "resources": {"cpu": 1.0, "memory": None},
        "suspended": [],
        "needs": [],
        "scaling": None,
    }
    first = service["instances"][0]
    assert list(first) == [
        "id", "pid", "address", "release", "runs", "state", "health", "reason", "description", "started_at", "zone",
        "drained", "standby", "pooled", "protected", "condemned", "anomalous", "opened", "figures",
    ]  # fmt: skip
    assert (first["id"], first["state"], first["health"], first["reason"]) == ("web-1", "in_service", "healthy", None)
    with pytest.raises(NotFound):
        await daemon.status("nowhere")


async def test_status_for_people_says_who_has_the_port_of_a_listener(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await daemon.close()
    town.balancer.ports_lost()
    town.balancer.occupy("127.0.0.1", 8080, "nginx (pid 7) has it")
    again = await town.daemon()
    shown = (await again.status(explain=True))["stacks"][0]["listeners"][0]
    assert "nginx (pid 7) has it" in shown["explanation"]
    assert "explanation" not in (await again.status())["stacks"][0]["listeners"][0]


async def test_every_plan_is_kept_with_what_it_judged(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    decisions = town.store.decisions("shop", 100)
    assert decisions
    assert '"Launch"' in decisions[0]["plan"]
    assert '"wanted"' in decisions[0]["snapshot"]
    assert '"observed"' in decisions[0]["snapshot"]


async def test_a_port_that_a_stranger_took_while_no_daemon_lived_is_told_and_waited_for(town: Town) -> None:
    before = await town.daemon()
    await town.up(before)
    await before.close()
    town.balancer.ports_lost()
    town.balancer.occupy("127.0.0.1", 8080, "process 7 (nginx) listens on 127.0.0.1:8080")
    daemon = await town.daemon()
    await asyncio.sleep(30)
    assert (await daemon.status())["stacks"][0]["name"] == "shop"
    problems = [event["text"] for event in town.store.events("shop", 100) if event["kind"] == "problem"]
    assert problems == [
        "port 8080 on 127.0.0.1 is taken: process 7 (nginx) listens on 127.0.0.1:8080; it is tried again every second"
    ]
    town.engine.end("shop", "web-1")
    await town.becomes("web-2", "web-3")
    town.balancer.occupy("127.0.0.1", 8080, "")
    await town.until("the port", lambda: ("127.0.0.1", 8080) in town.balancer.ports, 2)
    await town.until("to be told", lambda: town.kinds()[-1] == "listening", 2)
    assert town.engine.starts["shop", "web-2"] == 1


async def test_a_stack_whose_port_is_gone_goes_down(town: Town) -> None:
    before = await town.daemon()
    await town.up(before)
    await before.close()
    town.balancer.ports_lost()
    town.balancer.occupy("127.0.0.1", 8080, "nginx (pid 7)")
    daemon = await town.daemon()
    await daemon.down("shop", lambda event: None)
    assert (town.living(), town.balancer.members, town.store.stacks()) == ([], {}, ())


async def test_a_stack_goes_down_although_the_balancer_never_comes_back(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.balancer.die()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await daemon.down("shop", lambda event: None)
    assert 30 <= loop.time() - began < 45, "the deregistration delay, since nobody can tell what is inside"
    assert (town.living(), town.store.stacks()) == ([], ())


async def test_what_cannot_be_ended_does_not_keep_the_others_from_being_replaced(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    order = LaunchOrder(
        stack="shop", id="web-99", argv=("serve",), environment={"VERSION": "1"}, working_folder="/", address="unix:/x"
    )
    await town.engine.launch(order)
    town.engine.fail("kill", Fault(kind="refuse"), times=1000)
    town.engine.end("shop", "web-1")
    await town.until("a replacement", lambda: town.serving() == ["web-2", "web-3"], 5)


async def test_after_a_reboot_everything_comes_back(town: Town) -> None:
    before = await town.daemon()
    await town.up(before)
    await before.close()
    await asyncio.sleep(5000)
    town.reboot()
    await town.daemon()
    await town.becomes("web-3", "web-4")
    causes = [event["text"] for event in town.store.events("shop", 100) if event["kind"] == "launched"]
    assert causes[-1] == "web-4 launched: replaces: web-2 ended with the machine's last boot"


async def test_a_deployment_that_a_reboot_interrupted_is_still_given_up_when_its_release_cannot_start(
    town: Town,
) -> None:
    await asyncio.sleep(5000)
    before = await town.daemon()
    town.scripts["1"] = Script(answers_after=math.inf)
    waiting = asyncio.create_task(town.up(before))
    await town.until("launches", lambda: len(town.living()) == 2)
    await town.bury(before)
    waiting.cancel()
    town.reboot()
    town.scripts["1"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1))
    daemon = await town.daemon()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(DeploymentFailed, match="3 instances of release 1 ended before"):
        await town.up(daemon)
    assert loop.time() - began > 1.0, "with its pauses"
    launched = [event["instance"] for event in town.store.events("shop", 100) if event["kind"] == "launched"]
    assert len(launched) <= 6


async def test_a_second_up_that_overtook_an_unfinished_first_one_and_fails_leaves_nothing(town: Town) -> None:
    before = await town.daemon()
    town.scripts["1"] = Script(answers_after=math.inf)
    first = asyncio.create_task(town.up(before))
    await town.until("launches", lambda: len(town.living()) == 2)
    await town.bury(before)
    first.cancel()
    daemon = await town.daemon()
    town.write(version=2)
    town.scripts["2"] = Script(answers_after=math.inf, exits_after=0.1, outcome=Outcome(exit_status=1))
    with pytest.raises(DeploymentFailed, match="ended before their first passed"):
        await town.up(daemon)
    assert (town.living(), town.store.stacks()) == ([], ())


async def test_a_long_wait_looks_less_often(town: Town) -> None:
    daemon = await town.daemon()
    town.scripts["1"] = Script(answers_after=25)
    observed: list[float] = []
    observe = town.balancer.observe

    async def counted() -> BalancerReport:
        observed.append(asyncio.get_running_loop().time())
        return await observe()

    town.balancer.observe = counted  # type: ignore[method-assign]
    await town.up(daemon)
    early = [at for at in observed if at < 1.5]
    late = [at for at in observed if 15 <= at < 25]
    assert 15 <= len(early) <= 60
    assert 35 <= len(late) <= 45, "four times a second"


async def test_cancel_ends_an_up_that_waits_for_another_one_too(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.builder.takes = 20
    town.write(version=2)
    first = asyncio.create_task(town.up(daemon))
    await asyncio.sleep(1)
    town.write(version=3)
    second = asyncio.create_task(town.up(daemon))
    await asyncio.sleep(1)
    await daemon.cancel("shop")
    for waiting in (first, second):
        with pytest.raises(DeploymentFailed, match="was cancelled"):
            await waiting
    await asyncio.sleep(60)
    town.sound("web-1", "web-2")


async def test_who_gives_up_waiting_for_anothers_up_does_not_end_it(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.builder.takes = 20
    town.write(version=2)
    told: list[str] = []
    path = str(town.folder / "fairlead.yaml")
    first = asyncio.create_task(daemon.up(UpRequest(path=path, env={}, who="pid 1"), lambda event: None))
    await asyncio.sleep(1)
    second = asyncio.create_task(
        daemon.up(UpRequest(path=path, env={}, who="pid 2"), lambda event: told.append(event["text"]))
    )
    await asyncio.sleep(1)
    assert "pid 1" in told[0]
    answer = await daemon.cancel("shop", "pid 2")
    assert answer == {"stack": "shop", "cancelled": False, "text": "another one is under way, and goes on"}
    assert (await first)["changed"]
    with pytest.raises(DeploymentFailed, match="withdrawn"):
        await second


async def test_who_waits_goes_on_when_the_other_one_is_given_up(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.builder.takes = 20
    town.write(version=2)
    path = str(town.folder / "fairlead.yaml")
    requests = [UpRequest(path=path, env={}, who=who) for who in ("pid 1", "pid 2")]
    first, second = [asyncio.create_task(daemon.up(request, lambda event: None)) for request in requests]
    await asyncio.sleep(1)
    assert (await daemon.cancel("shop", "pid 1"))["cancelled"]
    with pytest.raises(DeploymentFailed, match="was cancelled"):
        await first
    assert (await second)["changed"]
