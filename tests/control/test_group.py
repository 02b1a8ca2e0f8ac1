"""An auto scaling group that is lived with: its warm pool, standby, suspended processes, its maximum."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.control.supervisor import Supervisor
from fairlead.core.observed import InstanceRecord
from fairlead.engines.fake.script import Script
from fairlead.errors import UsageError

from .deaths import PACE, at_every_call, die_in_the_middle
from .town import Town
from .traffic import never_more_than, silent

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "{version}"}}
    scaling: {{min: 1, desired: {desired}, max: {most}{pool}}}
    health_check: {{path: /health, grace_period: 10s, interval: 1s}}
    target_group: {{deregistration_delay: 30s}}
    deploy: {{stop_timeout: 10s}}
load_balancer:
  listeners: [{{port: 8080, default: {{forward: web}}}}]
"""

SLOW = 4.0
"""Seconds from a launch to the first passed check."""


def say(
    town: Town,
    *,
    desired: int = 2,
    most: int = 4,
    pool: int = 1,
    reuse: bool = True,
    version: int = 1,
    after: float = SLOW,
) -> None:
    town.scripts[str(version)] = Script(answers_after=after)
    kept = f", warm_pool: {pool}, reuse_on_scale_in: {str(reuse).lower()}" if pool else ""
    town.say(FILE.format(desired=desired, most=most, pool=kept, version=version))


def of_state(town: Town, state: str) -> list[str]:
    return [record.id for record in town.store.instances("shop") if record.state == state]


def is_settled(town: Town, serving: int, warm: int) -> bool:
    states = [record.state for record in town.store.instances("shop")]
    whole = states.count("in_service") == serving and states.count("warm") == warm == len(states) - serving
    return whole and len(town.serving()) == serving and len(town.living()) == serving + warm


async def settles(town: Town, serving: int, warm: int) -> float:
    return await town.until(f"{serving} to serve and {warm} to be warm", lambda: is_settled(town, serving, warm))


async def running(town: Town, **fields: Any) -> Supervisor:
    say(town, **fields)
    daemon = await town.daemon()
    await town.up(daemon)
    most, pool, desired = fields.get("most", 4), fields.get("pool", 1), fields.get("desired", 2)
    await settles(town, desired, min(pool, most - desired))
    return daemon


async def resize(daemon: Supervisor, desired: int) -> None:
    await daemon.scale("shop", "web", desired, silent)


# The warm pool


async def test_the_pool_is_filled_and_takes_no_traffic_and_then_nothing_is_done(town: Town) -> None:
    daemon = await running(town)
    assert of_state(town, "warm") == ["web-3"]
    assert town.serving() == ["web-1", "web-2"]
    assert "web-3" not in town.balancer.send("shop.web", 30)
    plan, busy = await daemon.loop("shop").cycle()
    assert (plan.actions, busy) == ((), False)
    texts = [event["text"] for event in town.store.events("shop", 100)]
    assert "web-3 launched: the warm pool holds 0 of 1" in texts
    assert any(text.startswith("web-3 in the warm pool after") for text in texts)


async def test_a_scale_out_takes_from_the_pool_at_once_and_the_pool_is_filled_again(town: Town) -> None:
    daemon = await running(town)
    began = asyncio.get_running_loop().time()
    await resize(daemon, 3)
    assert asyncio.get_running_loop().time() - began < 0.5 < SLOW
    assert town.serving() == ["web-1", "web-2", "web-3"]
    await settles(town, 3, 1)
    await resize(daemon, 4)
    assert town.serving() == ["web-1", "web-2", "web-3", "web-4"]
    assert town.living() == town.serving(), "no room is left for a pool"


async def test_one_that_dies_is_replaced_from_the_pool_at_once(town: Town) -> None:
    await running(town)
    town.engine.end("shop", "web-1")
    took = await town.until("the warm one to serve", lambda: town.serving() == ["web-2", "web-3"])
    assert took < 0.5
    await settles(town, 2, 1)
    record = town.store.instances("shop")[-1]
    assert record.id == "web-4"


async def test_what_a_scale_in_takes_out_waits_in_the_pool_and_finishes_what_it_has(town: Town) -> None:
    daemon = await running(town, desired=3, most=4, pool=2)
    town.balancer.sessions("shop.web", "web-3", 2)
    assert of_state(town, "warm") == ["web-4"]
    await resize(daemon, 2)
    assert of_state(town, "warm") == ["web-3", "web-4"]
    assert town.serving() == ["web-1", "web-2"]
    assert ("sever", "shop.web", "web-3") not in town.balancer.calls, "its requests have their time"
    took = await town.until("its time to be over", lambda: ("sever", "shop.web", "web-3") in town.balancer.calls)
    assert 29 < took < 31
    await resize(daemon, 4)
    assert town.serving() == ["web-1", "web-2", "web-3", "web-4"]
    assert all(count == 1 for count in town.engine.starts.values()), "none was started again"
    assert len(town.engine.starts) == 4


async def test_without_reuse_a_scale_in_ends_instances(town: Town) -> None:
    daemon = await running(town, desired=3, reuse=False)
    await resize(daemon, 2)
    await settles(town, 2, 1)
    assert of_state(town, "warm") == ["web-4"]
    assert "web-3" not in town.living()


async def test_a_warm_one_that_dies_or_falls_ill_is_replaced_in_the_pool(town: Town) -> None:
    await running(town)
    town.engine.end("shop", "web-3")
    await settles(town, 2, 1)
    assert of_state(town, "warm") == ["web-4"]
    await asyncio.sleep(12)
    town.ill.add("web-4")
    await town.until("it to be replaced", lambda: of_state(town, "warm") == ["web-5"])
    assert town.serving() == ["web-1", "web-2"]


async def test_a_deployment_empties_the_pool_and_fills_it_with_the_new_release(town: Town) -> None:
    daemon = await running(town)
    say(town, version=2)
    async with never_more_than(town, 4):
        await town.up(daemon)
        await settles(town, 2, 1)
    assert {record.release for record in town.store.instances("shop")} == {2}


async def test_a_restarted_daemon_leaves_the_pool_warm(town: Town) -> None:
    daemon = await running(town, desired=3, pool=2, most=5)
    await settles(town, 3, 2)
    await resize(daemon, 2)  # of two that were never let in and one that was, the pool keeps two
    await settles(town, 2, 2)
    before = of_state(town, "warm")
    await town.bury(daemon)
    daemon = await town.daemon()
    await asyncio.sleep(5)
    assert of_state(town, "warm") == before
    assert town.serving() == sorted(set(town.living()) - set(before))
    await resize(daemon, 4)
    assert len(town.serving()) == 4


async def test_a_pool_that_cannot_start_backs_off_and_disturbs_nobody(town: Town) -> None:
    daemon = await running(town, pool=0)
    town.scripts["1"] = Script(answers_after=9.0, exits_after=0.1)
    broken = town.scripts["1"]
    say(town, pool=2)
    town.scripts["1"] = broken
    await town.up(daemon)
    await asyncio.sleep(60)
    assert town.serving() == ["web-1", "web-2"]
    assert 4 <= len(town.engine.starts) <= 9, "after 1, 2, 4, 8, 16 and 32 s"


# The maximum


@pytest.mark.parametrize("most", [2, 3])
async def test_at_the_maximum_a_deployment_takes_one_out_before_it_starts_the_next(town: Town, most: int) -> None:
    daemon = await running(town, desired=most, most=most, pool=0)
    say(town, desired=most, most=most, pool=0, version=2)
    async with never_more_than(town, most):
        await town.up(daemon)
        await settles(town, most, 0)


async def test_at_the_maximum_an_unhealthy_one_makes_room_for_its_replacement(town: Town) -> None:
    await running(town, desired=3, most=3, pool=0)
    await asyncio.sleep(10)
    async with never_more_than(town, 3):
        town.ill.add("web-2")
        await town.until("it to go", lambda: "web-2" not in town.living())
        await settles(town, 3, 0)


async def test_the_only_one_of_a_group_of_one_is_replaced_beside_itself(town: Town) -> None:
    daemon = await running(town, desired=1, most=1, pool=0)
    say(town, desired=1, most=1, pool=0, version=2)
    async with never_more_than(town, 2):
        up = asyncio.ensure_future(town.up(daemon))
        while not up.done():
            assert town.serving(), "nobody serves"
            await asyncio.sleep(0.02)
    await settles(town, 1, 0)


# Standby


async def test_on_standby_another_takes_its_place_and_returned_one_of_them_goes(town: Town) -> None:
    daemon = await running(town, pool=0)
    text = (await daemon.standby("shop", "web-1"))["text"]
    assert text.startswith("web-1 on standby: another one takes its place")
    await town.until("the other", lambda: town.serving() == ["web-2", "web-3"])
    assert "web-1" in town.living()
    town.ill.add("web-1")
    await asyncio.sleep(60)
    assert town.living() == ["web-1", "web-2", "web-3"], "nobody looks at it"
    assert (await daemon.standby("shop", "web-1"))["text"] == "web-1 is on standby already"
    town.ill.clear()
    await asyncio.sleep(60)  # its checks pass again
    await daemon.give_back("shop", "web-1")
    await settles(town, 2, 0)
    assert town.serving() == ["web-1", "web-2"], "the newest goes"


async def test_on_standby_with_its_place_desired_is_one_less_until_it_returns(town: Town) -> None:
    daemon = await running(town, pool=0)
    assert "desired 2 -> 1" in (await daemon.standby("shop", "web-1", decrement=True))["text"]
    await asyncio.sleep(30)
    assert (town.serving(), town.living()) == (["web-2"], ["web-1", "web-2"])
    with pytest.raises(UsageError, match="is the only one"):
        await daemon.standby("shop", "web-2")
    assert "desired 1 -> 2" in (await daemon.give_back("shop", "web-1"))["text"]
    await settles(town, 2, 0)
    town.sound("web-1", "web-2")


async def test_standby_keeps_the_bounds(town: Town) -> None:
    daemon = await running(town, pool=0)
    await daemon.scale("shop", "web", None, silent, minimum=2)
    with pytest.raises(UsageError) as refused:
        await daemon.standby("shop", "web-1", decrement=True)
    assert refused.value.next_step == "fairlead scale web --min 1"
    await daemon.scale("shop", "web", None, silent, minimum=1)
    await daemon.standby("shop", "web-1", decrement=True)
    await daemon.scale("shop", "web", None, silent, maximum=1)
    with pytest.raises(UsageError):
        await daemon.give_back("shop", "web-1")
    assert town.store.instances("shop")[0].standby == "decremented"


async def test_a_deployment_leaves_alone_what_is_on_standby_and_its_end_is_by_hand(town: Town) -> None:
    daemon = await running(town, pool=0)
    await daemon.standby("shop", "web-1")
    say(town, pool=0, version=2)
    await town.up(daemon)
    await town.until("the new ones alone to serve", lambda: len(town.serving()) == 2 and len(town.living()) == 3)
    assert town.store.instances("shop")[0].release == 1
    await daemon.terminate("shop", "web-1", progress=silent)
    assert len(town.serving()) == len(town.living()) == 2


# Suspended processes


async def test_while_launch_is_suspended_nobody_comes_not_even_from_the_pool(town: Town) -> None:
    daemon = await running(town)
    await daemon.suspend("shop", "web", ["Launch"])
    town.engine.end("shop", "web-1")
    await asyncio.sleep(60)
    assert (town.serving(), town.living()) == (["web-2"], ["web-2", "web-3"])
    await daemon.suspend("shop", "web", ["Launch"], on=False)
    await settles(town, 2, 1)


async def test_while_terminate_is_suspended_nobody_who_lives_goes(town: Town) -> None:
    daemon = await running(town, pool=0)
    await daemon.suspend("shop", "web", ["Terminate"])
    await resize(daemon, 1)
    await asyncio.sleep(60)
    assert town.serving() == ["web-1", "web-2"]
    with pytest.raises(UsageError, match="Terminate is suspended"):
        await daemon.terminate("shop", "web-1", progress=silent)
    town.engine.end("shop", "web-2")
    await town.becomes("web-1")
    await daemon.suspend("shop", "web", ["Terminate"], on=False)


async def test_while_replace_unhealthy_is_suspended_places_stay_empty(town: Town) -> None:
    daemon = await running(town, pool=0)
    await asyncio.sleep(10)
    await daemon.suspend("shop", "web", ["ReplaceUnhealthy"])
    town.engine.end("shop", "web-1")
    town.ill.add("web-2")
    await asyncio.sleep(60)
    assert of_state(town, "in_service") == ["web-1", "web-2"]
    assert town.living() == ["web-2"]
    plan, busy = await daemon.loop("shop").cycle()
    assert (plan.actions, busy) == ((), False), "nothing is done over and over"
    explained = await daemon.explain("shop", "web", None)
    assert any("ReplaceUnhealthy is suspended" in text for text in explained["waits"]), explained
    town.ill.clear()
    await daemon.suspend("shop", "web", ["ReplaceUnhealthy"], on=False)
    await settles(town, 2, 0)


async def test_while_az_rebalance_is_suspended_zones_stay_as_they_are(town: Town) -> None:
    say(town, desired=4, most=6, pool=0)
    text = (town.folder / "fairlead.yaml").read_text()
    town.say(text + "network: {zones: 2}\n")
    daemon = await town.daemon()
    await town.up(daemon)
    await settles(town, 4, 0)
    await daemon.suspend("shop", "web", ["AZRebalance"])
    for record in town.store.instances("shop"):
        await asyncio.sleep(0)
        if record.zone == "b":
            town.engine.end("shop", record.id)
    await settles(town, 4, 0)
    moved = next(record for record in town.store.instances("shop") if record.zone == "b")
    town.store.save_instance(
        InstanceRecord(**{name: getattr(moved, name) for name in moved.__dataclass_fields__} | {"zone": "a"})
    )
    await asyncio.sleep(30)
    assert zones_of(town) == ["a", "a", "a", "b"]
    await daemon.suspend("shop", "web", ["AZRebalance"], on=False)
    await town.until("the zones to be even", lambda: zones_of(town) == ["a", "a", "b", "b"])
    assert any("zone a has 3 instances and zone b 1" in event["text"] for event in town.store.events("shop", 100))
    await settles(town, 4, 0)


def zones_of(town: Town) -> list[str]:
    return sorted(record.zone for record in town.store.instances("shop") if record.state == "in_service")


# Crashes

Act = Callable[[Town, Supervisor], Awaitable[None]]


async def from_the_pool(town: Town, daemon: Supervisor) -> None:
    await resize(daemon, 3)
    await settles(town, 3, 1)


async def into_the_pool(town: Town, daemon: Supervisor) -> None:
    await resize(daemon, 1)
    await settles(town, 1, 1)


async def out_and_in(town: Town, daemon: Supervisor) -> None:
    await resize(daemon, 3)
    await resize(daemon, 2)
    await settles(town, 2, 1)


async def a_death_with_a_pool(town: Town, daemon: Supervisor) -> None:
    if "web-1" in town.living():
        town.engine.end("shop", "web-1")
    await town.until("it to be forgotten", lambda: "web-1" not in [one.id for one in town.store.instances("shop")])
    await settles(town, 2, 1)


async def aside_and_back(town: Town, daemon: Supervisor) -> None:
    if any(one.id == "web-1" for one in town.store.instances("shop")):
        await daemon.standby("shop", "web-1", decrement=True)
        await town.until("it to be out", lambda: town.serving() == ["web-2"])
        await daemon.give_back("shop", "web-1")
    await settles(town, 2, 1)


STORIES: dict[str, tuple[Act, int]] = {
    "from the pool": (from_the_pool, 3),
    "into the pool": (into_the_pool, 1),
    "out and in": (out_and_in, 2),
    "a death": (a_death_with_a_pool, 2),
    "aside and back": (aside_and_back, 2),
}
"""What is done, and how many serve in the end; one waits in the pool."""


async def play(folder: Path, name: str, dies_at: int) -> bool:
    """Play a story with a daemon that dies at that call; False when the story was over before."""
    act, serving = STORIES[name]
    folder.mkdir()
    town = Town(folder, PACE)
    try:
        await (await running(town, after=0.3)).close()
        async with never_more_than(town, 4):
            await die_in_the_middle(town, act, dies_at)
            died = town.fuse.burnt >= dies_at
            daemon = await town.daemon()
            await act(town, daemon)
            await settles(town, serving, 1)
        assert not set(of_state(town, "warm")) & set(town.balancer.send("shop.web", 20))
        assert all(count == 1 for count in town.engine.starts.values()), town.engine.starts
        assert town.engine.violations == []
    finally:
        await town.close()
    return died


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STORIES)
async def test_a_daemon_that_dies_anywhere_leaves_a_pool_that_leads_on(tmp_path: Path, name: str) -> None:
    await at_every_call(tmp_path, lambda folder, dies_at: play(folder, name, dies_at))
