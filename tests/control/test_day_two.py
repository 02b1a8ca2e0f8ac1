"""A stack that is lived with: sized by hand, restarted, its instances handled one by one, its services in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairlead.control.supervisor import Supervisor, UpRequest
from fairlead.core.processes import Outcome
from fairlead.core.traffic import Routing
from fairlead.engines.fake.script import Script
from fairlead.errors import DeploymentFailed, NotFound, UsageError

from .town import Town

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

ORDERED = """\
name: shop
services:
  web: {command: serve, instances: 2, after: [api], environment: {VERSION: "1"}}
  api: {command: api, before_traffic: migrate --all, environment: {VERSION: "1"}}
  queue: {command: work, port: none, environment: {VERSION: "1"}}
load_balancer:
  listeners: [{port: 8080, rules: [{when: {path: /api/*}, forward: api}], default: {forward: web}}]
"""


def silent(event: dict[str, Any]) -> None:
    pass


async def running(town: Town) -> Supervisor:
    daemon = await town.daemon()
    await town.up(daemon)
    return daemon


async def shown(daemon: Supervisor, service: str = "web") -> dict[str, Any]:
    status = await daemon.status("shop", explain=True)
    found: dict[str, Any] = next(one for one in status["stacks"][0]["services"] if one["name"] == service)
    return found


# Size


async def test_scaling_returns_when_as_many_serve_and_is_told_beside_the_files_size(town: Town) -> None:
    daemon = await running(town)
    result = await daemon.scale("shop", "web", 4, silent)
    assert result["text"] == "web has 4 instances"
    assert len(town.serving()) == 4
    service = await shown(daemon)
    assert (service["desired"], service["declared"]) == (4, 2)
    assert "scaled" in town.kinds()


async def test_a_size_set_by_hand_outlives_an_up_that_leaves_the_files_size_alone(town: Town) -> None:
    daemon = await running(town)
    await daemon.scale("shop", "web", 3, silent)
    town.write(version=2)
    await town.up(daemon)
    assert len(town.serving()) == 3
    town.write(version=2, instances=1)
    await town.up(daemon)
    await town.until("the others to go", lambda: len(town.store.instances("shop")) == 1)
    service = await shown(daemon)
    assert (service["desired"], service["declared"]) == (1, 1)


async def test_an_up_says_which_sizes_are_not_the_files(town: Town) -> None:
    daemon = await running(town)
    await daemon.scale("shop", "web", 3, silent)
    assert (await town.up(daemon))["by_hand"] == ["web has 3 instances, set by hand; the file says 2"]
    assert "scaled" in town.kinds()
    await daemon.scale("shop", "web", 2, silent)
    assert (await town.up(daemon))["by_hand"] == []


async def test_a_deployment_that_fails_goes_back_to_the_size_set_by_hand(town: Town) -> None:
    daemon = await running(town)
    await daemon.scale("shop", "web", 4, silent)
    town.scripts["2"] = Script(answers_after=9.0, exits_after=0.1, outcome=Outcome(exit_status=3))
    town.write(version=2, instances=3)
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    await town.until("it to be whole again", lambda: len(town.serving()) == 4)
    town.write(instances=3)
    await town.up(daemon)
    town.write(instances=2)
    await town.up(daemon)
    await town.until("the file to hold again", lambda: len(town.serving()) == len(town.living()) == 2)


async def test_a_size_set_while_an_up_tells_the_balancer_is_not_lost(town: Town) -> None:
    daemon = await running(town)
    configure, scaling = town.balancer.configure, list[asyncio.Task[dict[str, Any]]]()

    async def slow(stack: str, routing: Routing | None) -> None:
        await configure(stack, routing)
        if not scaling:
            scaling.append(asyncio.create_task(daemon.scale("shop", "web", 3, silent)))
            await asyncio.sleep(0.1)

    town.balancer.configure = slow  # type: ignore[method-assign]
    town.write(version=2)
    await town.up(daemon)
    assert (await scaling[0])["text"] == "web has 3 instances"
    assert len(town.serving()) == 3


async def test_it_outlives_the_daemon(town: Town) -> None:
    daemon = await running(town)
    await daemon.scale("shop", "web", 3, silent)
    await town.bury(daemon)
    await town.daemon()
    town.engine.end("shop", "web-3")
    await town.becomes("web-1", "web-2", "web-4")


async def test_scaling_out_what_cannot_start_says_so_and_keeps_trying(town: Town) -> None:
    daemon = await running(town)
    town.scripts["1"] = Script(answers_after=9.0, exits_after=0.1, outcome=Outcome(exit_status=3))
    with pytest.raises(DeploymentFailed, match=r"web does not reach 4 instances.*exited with status 3"):
        await daemon.scale("shop", "web", 4, silent)
    assert len(town.serving()) == 2
    town.scripts.clear()
    await town.until("it to come true", lambda: len(town.serving()) == 4)


async def test_nonsense_sizes_and_unknown_names_are_refused(town: Town) -> None:
    daemon = await running(town)
    with pytest.raises(UsageError):
        await daemon.scale("shop", "web", 101, silent)
    with pytest.raises(NotFound, match="it has web"):
        await daemon.scale("shop", "wbe", 2, silent)
    with pytest.raises(NotFound):
        await daemon.scale("elsewhere", "web", 2, silent)


async def test_an_up_with_nothing_to_change_waits_until_what_should_run_does(town: Town) -> None:
    daemon = await running(town)
    await town.bury(daemon)
    town.reboot()
    town.scripts["1"] = Script(answers_after=5.0)
    again = await town.daemon()
    assert not (await town.up(again))["changed"]
    assert len(town.serving()) == 2
    assert "nothing to change; waiting: web has 0 of 2 healthy" in town.told


async def test_it_waits_no_longer_than_a_start_may_take(town: Town) -> None:
    daemon = await running(town)
    town.ill.update({"web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "web-7", "web-8"})
    await asyncio.sleep(1)
    with pytest.raises(DeploymentFailed, match="shop is as the file says, and not healthy: web has 0 of 2 healthy"):
        await town.up(daemon)


# Restart


async def test_a_restart_replaces_all_and_there_are_never_fewer(town: Town) -> None:
    daemon = await running(town)
    restarting = asyncio.create_task(daemon.restart("shop", None, silent))
    fewest = 2
    while not restarting.done():
        fewest = min(fewest, len(town.serving()))
        await asyncio.sleep(0.01)
    assert (await restarting)["changed"]
    await town.becomes("web-3", "web-4")
    assert fewest == 2


async def test_a_restart_that_fails_leaves_what_served(town: Town) -> None:
    daemon = await running(town)
    town.scripts["1"] = Script(answers_after=9.0, exits_after=0.1, outcome=Outcome(exit_status=3))
    with pytest.raises(DeploymentFailed, match="what served before serves on"):
        await daemon.restart("shop", "web", silent)
    await town.becomes("web-1", "web-2")


async def test_a_restart_asked_again_of_the_next_daemon_joins_the_one_under_way(town: Town) -> None:
    town.scripts["1"] = Script(answers_after=2.0)
    daemon = await running(town)
    first = asyncio.create_task(daemon.restart("shop", None, silent))
    await town.until("the new ones to start", lambda: len(town.living()) == 4)
    await town.bury(daemon)
    first.cancel()
    again = await town.daemon()
    await again.restart("shop", None, silent)
    await town.becomes("web-3", "web-4")


async def test_an_up_after_a_restart_changes_nothing(town: Town) -> None:
    daemon = await running(town)
    await daemon.restart("shop", None, silent)
    assert not (await town.up(daemon))["changed"]


async def test_a_second_up_says_for_whom_and_since_when_it_waits(town: Town) -> None:
    daemon = await town.daemon()
    path = str(town.folder / "fairlead.yaml")
    first = asyncio.create_task(daemon.up(UpRequest(path=path, env={}, who="pid 7 on pts/1"), silent))
    await asyncio.sleep(0.1)
    told: list[str] = []
    await daemon.up(UpRequest(path=path, env={}), lambda event: told.append(event["text"]))
    assert told[0].startswith("waiting: another `up` is under way, of pid 7 on pts/1, since 2026-01-01T")
    assert (await first)["changed"]


# Single instances


async def test_a_drained_instance_gets_nothing_until_it_is_returned(town: Town) -> None:
    daemon = await running(town)
    await daemon.drain("shop", "web-1")
    await town.until("it to be out", lambda: town.serving() == ["web-2"])
    assert (await shown(daemon))["instances"][0]["health"] == "unused"
    await asyncio.sleep(60)
    assert town.living() == ["web-1", "web-2"]
    await daemon.give_back("shop", "web-1")
    await town.until("it to be back", lambda: town.serving() == ["web-1", "web-2"])
    await town.becomes("web-1", "web-2")


async def test_a_drained_instance_stays_drained_when_the_daemon_dies(town: Town) -> None:
    daemon = await running(town)
    await daemon.drain("shop", "web-1")
    await town.until("it to be out", lambda: town.serving() == ["web-2"])
    await town.bury(daemon)
    await town.daemon()
    await asyncio.sleep(5)
    assert town.serving() == ["web-2"]


async def test_the_last_one_that_serves_is_drained_only_by_force(town: Town) -> None:
    daemon = await running(town)
    await daemon.drain("shop", "web-1")
    await town.until("it to be out", lambda: town.serving() == ["web-2"])
    with pytest.raises(UsageError, match="web-2 is the only one that serves web"):
        await daemon.drain("shop", "web-2")
    await daemon.drain("shop", "web-2", force=True)
    await town.until("nobody", lambda: town.balancer.members["shop.web", "web-2"].target.mode == "draining")


async def test_of_two_that_are_drained_at_once_one_goes_on_serving(town: Town) -> None:
    daemon = await running(town)
    drains = [daemon.drain("shop", "web-1"), daemon.drain("shop", "web-2")]
    first, second = await asyncio.gather(*drains, return_exceptions=True)
    assert isinstance(first, dict)
    assert isinstance(second, UsageError)
    await town.until("it to be out", lambda: town.serving() == ["web-2"])


async def test_terminating_replaces_first(town: Town) -> None:
    daemon = await running(town)
    ending = asyncio.create_task(daemon.terminate("shop", "web-1", progress=silent))
    fewest = 2
    while not ending.done():
        fewest = min(fewest, len(town.serving()))
        await asyncio.sleep(0.01)
    assert (await ending)["text"] == "web-1 has ended"
    await town.becomes("web-2", "web-3")
    assert fewest == 2


async def test_terminating_with_its_place_makes_the_service_smaller(town: Town) -> None:
    daemon = await running(town)
    await daemon.terminate("shop", "web-1", decrement=True, progress=silent)
    await town.becomes("web-2")
    assert (await shown(daemon))["desired"] == 1


async def test_a_protected_instance_survives_scale_in(town: Town) -> None:
    daemon = await running(town)
    await daemon.protect("shop", "web-2", True)
    await daemon.scale("shop", "web", 1, silent)
    await town.becomes("web-2")


# Services in order


async def test_services_start_in_order_and_are_prepared_first(town: Town) -> None:
    town.say(ORDERED)
    town.scripts["migrate"] = Script(exits_after=3.0, outcome=Outcome(exit_status=0))
    daemon = await town.daemon()
    up = asyncio.create_task(town.up(daemon))
    await asyncio.sleep(3.0)
    assert town.living() == ["api.before-1", "queue-1"]
    assert (await shown(daemon))["explanation"] == "waits for api to be healthy"
    assert (await shown(daemon, "api"))["explanation"] == "before_traffic is running"
    await up
    assert town.told.count("web waits for api to be healthy") == 1
    assert town.living() == ["api-1", "queue-1", "web-1", "web-2"]
    launched = [name for _, verb, _, name in town.engine.calls if verb == "launch"]
    assert launched.index("api.before-1") < launched.index("api-1") < launched.index("web-1")


async def test_a_down_while_a_failed_deployment_is_explained_is_not_lost(town: Town) -> None:
    daemon = await running(town)
    downs: list[asyncio.Task[dict[str, Any]]] = []

    async def diagnose(stack: str, instance: str, address: str) -> str:
        downs.append(asyncio.create_task(daemon.down("shop", silent)))
        await asyncio.sleep(0.5)
        return "nothing listens there"

    town.engine.diagnose = diagnose  # type: ignore[method-assign]
    town.scripts["2"] = Script(answers_after=1000.0)
    town.write(version=2, grace="5s")
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    await town.until("all to be gone", lambda: town.living() == [])
    assert (await downs[0])["text"] == "shop is down"


async def test_a_defect_in_housekeeping_is_told_and_does_not_end_it(town: Town) -> None:
    daemon = await running(town)
    rounds: list[int] = []

    async def tend() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise ValueError("a defect")

    town.engine.tend = tend  # type: ignore[method-assign]
    await asyncio.sleep(30)
    assert len(rounds) > 2
    assert [one["text"] for one in daemon.events(None, 100, 0) if one["kind"] == "problem"] == [
        "housekeeping: ValueError: a defect"
    ]


async def test_a_preparation_that_fails_ends_the_up_with_its_place_and_its_log(town: Town) -> None:
    town.say(ORDERED)
    town.scripts["migrate"] = Script(exits_after=1.0, outcome=Outcome(exit_status=5), log="no such table\n")
    daemon = await town.daemon()
    with pytest.raises(DeploymentFailed) as failed:
        await town.up(daemon)
    assert "before_traffic of api exited with status 5" in failed.value.sentence
    assert failed.value.place.endswith(":4:39")
    assert failed.value.detail == "no such table"
    assert town.living() == []


async def test_a_release_is_prepared_once(town: Town) -> None:
    town.say(ORDERED)
    town.scripts["migrate"] = Script(exits_after=1.0, outcome=Outcome(exit_status=0))
    daemon = await town.daemon()
    await town.up(daemon)
    await daemon.restart("shop", None, silent)
    await daemon.scale("shop", "api", 2, silent)
    assert [name for _, name in town.engine.starts if "before" in name] == ["api.before-1"]


async def test_after_a_reboot_everything_comes_back_in_order(town: Town) -> None:
    town.say(ORDERED)
    town.scripts["migrate"] = Script(exits_after=1.0, outcome=Outcome(exit_status=0))
    daemon = await town.daemon()
    await town.up(daemon)
    await town.bury(daemon)
    town.reboot()
    await town.daemon()
    await town.until("all to be back", lambda: town.living() == ["api-2", "queue-2", "web-3", "web-4"])
    launched = [name for _, verb, _, name in town.engine.calls if verb == "launch"]
    assert launched.index("api-2") < launched.index("web-3")
    assert "api.before-2" not in launched


async def test_a_worker_that_dies_is_replaced_and_one_that_cannot_start_fails_the_up(town: Town) -> None:
    town.say(ORDERED)
    town.scripts["migrate"] = Script(exits_after=0.1, outcome=Outcome(exit_status=0))
    daemon = await town.daemon()
    await town.up(daemon)
    town.engine.end("shop", "queue-1")
    await town.until("another", lambda: "queue-2" in town.living())
    await daemon.down("shop", silent)
    town.scripts["work"] = Script(exits_after=0.2, outcome=Outcome(exit_status=1))
    with pytest.raises(DeploymentFailed, match="3 instances of release 1 ended"):
        await town.up(daemon)


async def test_an_instance_that_grows_beyond_max_memory_is_replaced(town: Town) -> None:
    town.say(ORDERED.replace("after: [api],", "max_memory: 100MB, "))
    town.scripts["migrate"] = Script(exits_after=0.1, outcome=Outcome(exit_status=0))
    daemon = await town.daemon()
    await town.up(daemon)
    town.engine.sizes["shop", "web-2"] = 200_000_000
    took = await town.until("it to be replaced", lambda: "web-3" in town.serving() and "web-2" not in town.living())
    assert took > 60
    assert sorted(town.serving()) == ["web-1", "web-3"]


# Planning


async def test_a_plan_says_what_up_would_change_and_changes_nothing(town: Town) -> None:
    daemon = await town.daemon()
    request = UpRequest(path=str(town.folder / "fairlead.yaml"), env={})
    first = await daemon.plan(request)
    assert first["first"]
    assert first["changed"]
    assert town.store.stacks() == ()
    await town.up(daemon)
    assert (await daemon.plan(request))["changes"] == []
    town.write(version=2, instances=3)
    planned = (await daemon.plan(request))["changes"]
    assert planned == [
        {"service": "web", "what": "release 1 -> 2", "why": "environment.VERSION differs"},
        {"service": "web", "what": "instances 2 -> 3", "why": ""},
    ]
    assert town.living() == ["web-1", "web-2"]
