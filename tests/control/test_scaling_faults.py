"""Auto scaling while everything else goes wrong: programs that never start, outages, deaths, clocks, files that change."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.control.supervisor import Supervisor
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond
from fairlead.engines.fake.script import Script
from fairlead.errors import DeploymentFailed, StoreError

from .deaths import PACE, at_every_call, die_in_the_middle
from .town import LoopClock, Town
from .traffic import Traffic, causes, never_more_than, shown, silent

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(120)]

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "{version}"}}
    health_check: {{path: /health, grace_period: 30s, interval: 1s}}
    target_group: {{deregistration_delay: 5s}}
    deploy: {{stop_timeout: 5s}}
    {size}
load_balancer:
  listeners: [{{port: 8080, default: {{forward: web}}}}]
"""

QUICK = "{target: {metric: requests_per_target, value: 100}, scale_out_after: 1, scale_in_after: 2}"
POLICY = "{target: {metric: requests_per_target, value: 100}}"


def say(
    town: Town,
    *,
    least: int = 1,
    most: int = 6,
    more: str = "",
    version: int = 1,
    policies: str = POLICY,
    size: str = "",
) -> None:
    """more: further keys of `scaling`. size: what stands instead of `scaling`."""
    scaling = f"min: {least}, max: {most}, warm_up: 2s, scale_in_cooldown: 5s, policies: [{policies}]{more}"
    town.say(FILE.format(version=version, size=size or f"scaling: {{{scaling}}}"))


async def a_group(town: Town, **fields: Any) -> tuple[Supervisor, Traffic]:
    say(town, **fields)
    town.meter = traffic = Traffic(town)
    daemon = await town.daemon()
    await town.up(daemon)
    return daemon, traffic


async def serve(town: Town, count: int, seconds: float = 60) -> float:
    return await town.until(f"{count} to serve", lambda: len(town.serving()) == count == len(town.living()), seconds)


def desired(town: Town) -> int:
    record = town.store.stack("shop")
    assert record is not None
    return record.sized(record.desired.stack.service("web")).desired


def changes(town: Town) -> int:
    return len(causes(town))


# Programs and outages


async def test_a_program_that_never_starts_is_tried_ever_less_often_while_the_old_ones_serve(town: Town) -> None:
    daemon, traffic = await a_group(town)
    town.scripts["1"] = Script(answers_after=math.inf, exits_after=0.1)
    traffic.load = 450.0
    await asyncio.sleep(120)
    assert town.serving() == ["web-1"]
    assert desired(town) == 5
    assert changes(town) == 1, causes(town)
    started = len(town.engine.starts) - 1
    assert 5 <= started <= 4 + 8, "four at once, then after 1 s, 2 s, 4 s ... each one alone"
    told = await daemon.explain("shop", "web")
    assert "it ended" in str(told) or "exited" in str(told), told
    town.scripts["1"] = Script(answers_after=0.5)
    await serve(town, 5, 90)
    town.engine.violations.clear()


async def test_a_program_that_takes_ten_seconds_is_waited_for_and_asked_for_once(town: Town) -> None:
    _, traffic = await a_group(town)
    town.scripts["1"] = Script(answers_after=10.0)
    traffic.load = 450.0
    await serve(town, 5)
    await asyncio.sleep(60)
    assert changes(town) == 1, causes(town)


async def test_an_outage_is_not_taken_for_load_nor_for_the_end_of_it(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    await asyncio.sleep(10)
    before = changes(town)
    town.ill.update(f"web-{number}" for number in range(1, 100))
    await asyncio.sleep(25)
    assert desired(town) == 4
    town.ill.clear()
    await asyncio.sleep(120)
    await serve(town, 4)
    assert changes(town) == before, causes(town)


async def test_one_that_is_ill_under_load_keeps_the_others_from_being_taken_away(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    await asyncio.sleep(10)
    await daemon.suspend("shop", "web", ["ReplaceUnhealthy"])
    town.ill.add("web-2")
    traffic.load = 20.0
    await asyncio.sleep(60)
    assert desired(town) == 4
    assert "unhealthy" in (await shown(daemon))["scaling"]["held"]
    town.ill.clear()
    await town.until("the scale-in", lambda: desired(town) == 1, 40)


async def test_a_silent_balancer_changes_no_size(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    await asyncio.sleep(10)
    before = changes(town)
    town.balancer.die()
    traffic.load = 0.0
    await asyncio.sleep(60)
    assert (desired(town), changes(town)) == (4, before)
    town.balancer.revive()
    await town.until("the scale-in", lambda: desired(town) == 1, 60)


@pytest.mark.parametrize("half", [4, 8, 16, 20, 30])
async def test_a_load_that_comes_and_goes_costs_ever_fewer_scale_ins(town: Town, half: int) -> None:
    _, traffic = await a_group(town)
    for _ in range(600 // half):
        traffic.load = 380.0 if traffic.load != 380.0 else 80.0
        await asyncio.sleep(half)
    smaller = [text for text in causes(town) if "below" in text]
    assert len(smaller) <= 6, smaller
    assert all("within 1..6" in text for text in causes(town))


# Deaths


async def out(town: Town, daemon: Supervisor) -> None:
    assert isinstance(town.meter, Traffic)
    town.meter.load = 280.0
    await serve(town, 3)


async def out_and_in(town: Town, daemon: Supervisor) -> None:
    await out(town, daemon)
    assert isinstance(town.meter, Traffic)
    town.meter.load = 50.0
    await serve(town, 1, 90)


async def less_by_one(town: Town, daemon: Supervisor) -> None:
    """Asked again, as the command line does, its work is done."""
    if "web-2" in {one.id for one in town.store.instances("shop")}:
        await daemon.terminate("shop", "web-2", decrement=True, progress=silent)


STORIES: dict[str, tuple[Callable[[Town, Supervisor], Awaitable[None]], int, int, int]] = {
    "a scale-out by a policy": (out, 1, 3, 5),
    "a scale-in by a policy": (out_and_in, 1, 1, 23),
    "one less by hand": (less_by_one, 3, 2, 1),
}
"""What is done, from which size, to which, and at every which of its calls a daemon dies."""


async def play(folder: Path, name: str, dies_at: int) -> bool:
    act, first, last, _ = STORIES[name]
    folder.mkdir()
    town = Town(folder, PACE)
    try:
        before, traffic = await a_group(town, most=4, policies=QUICK)
        if first > 1:
            traffic.load = None  # and no policy meddles
            await before.scale("shop", "web", first, silent)
        await before.close()
        async with never_more_than(town, 4):
            await die_in_the_middle(town, act, dies_at)
            died = town.fuse.burnt >= dies_at
            await act(town, await town.daemon())
            await serve(town, last)
        assert desired(town) == last, causes(town)
        assert all(count == 1 for count in town.engine.starts.values()), town.engine.starts
        assert town.engine.violations == []
    finally:
        await town.close()
    return died


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", STORIES)
async def test_a_daemon_that_dies_anywhere_reaches_the_size_all_the_same(tmp_path: Path, name: str) -> None:
    await at_every_call(tmp_path, lambda folder, dies_at: play(folder, name, dies_at), every=STORIES[name][3])


async def test_one_that_dies_while_it_is_taken_away_is_not_replaced(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 280.0
    await serve(town, 3)
    for instance in town.serving():
        town.balancer.sessions("shop.web", instance, 1)
    traffic.load = 50.0
    await town.until("the scale-in", lambda: len(town.serving()) == 1, 90)
    for instance in set(town.living()) - set(town.serving()):
        town.engine.end("shop", instance)
    await serve(town, 1)
    assert len(town.engine.starts) == 3


async def test_a_reboot_brings_back_the_size_of_the_load_and_forgets_the_cool_downs(town: Town) -> None:
    daemon, traffic = await a_group(town, more=", warm_pool: 1")
    traffic.load = 280.0
    await town.until("three to serve", lambda: len(town.serving()) == 3)
    await daemon.standby("shop", "web-1")
    await town.until("another in its place", lambda: len(town.serving()) == 3)
    await town.bury(daemon)
    town.reboot()
    await town.daemon()
    await town.until("three to serve", lambda: len(town.serving()) == 3)
    await asyncio.sleep(30)
    records = town.store.instances("shop")
    assert sorted(one.state for one in records) == ["in_service"] * 3 + ["warm"], town.evidence()
    assert not any(one.standby for one in records)
    traffic.load = 50.0
    await town.until("the scale-in", lambda: desired(town) == 1, 40)


@pytest.mark.parametrize("write", ["save_instance", "add_event", "add_decision"])
async def test_a_full_disk_while_it_scales_starts_nobody_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    _, traffic = await a_group(town)

    def full(*words: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(town.store, write, full)
        traffic.load = 280.0
        await town.until("the decision", lambda: desired(town) == 3)
        await asyncio.sleep(20)
        assert len(town.living()) == (1 if write == "save_instance" else 3), "nobody is started without a record"
    await serve(town, 3)
    await asyncio.sleep(5)
    with monkeypatch.context() as patched:
        patched.setattr(town.store, write, full)
        traffic.load = 50.0
        await town.until("the scale-in", lambda: desired(town) == 1, 60)
        await asyncio.sleep(20)
    await serve(town, 1)
    assert all(count == 1 for count in town.engine.starts.values())
    assert town.engine.violations == []


@pytest.mark.parametrize("verb", ["register", "admit", "drain", "deregister"])
async def test_a_balancer_that_fails_in_the_middle_of_it_is_asked_again(town: Town, verb: str) -> None:
    _, traffic = await a_group(town)
    for _ in range(3):
        town.balancer.fail(verb)
    traffic.load = 280.0
    await serve(town, 3)
    traffic.load = 50.0
    await serve(town, 1, 90)
    assert all(count == 1 for count in town.engine.starts.values())


# Clocks


class SetClock(LoopClock):
    """Its wall clock is set. by: seconds."""

    by = 0.0

    def wall(self) -> str:
        moment = datetime.fromisoformat(super().wall()) + timedelta(seconds=self.by)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("by", [-86400.0, -3600.0, -2.0, 2.0, 3600.0, 86400.0])
async def test_a_wall_clock_that_is_set_delays_a_decision_by_no_more_than_its_datapoints(town: Town, by: float) -> None:
    town.clock = clock = SetClock()
    _, traffic = await a_group(town)
    traffic.load = 280.0
    await serve(town, 3)
    await asyncio.sleep(10)
    before = changes(town)
    clock.by = by
    await asyncio.sleep(30)
    assert (desired(town), changes(town)) == (3, before), causes(town)
    traffic.load = 580.0
    assert await serve(town, 6) < 10
    clock.by = 0.0
    await asyncio.sleep(30)
    assert desired(town) == 6, causes(town)
    traffic.load = 50.0
    await town.until("the scale-in", lambda: desired(town) == 1, 60)


async def test_a_schedule_of_every_minute_is_done_once_a_minute_whoever_dies(town: Town) -> None:
    schedule = (
        ', schedule: [{name: out, cron: "*/2 * * * *", desired: 3}, {name: in, cron: "1-59/2 * * * *", desired: 1}]'
    )
    daemon, traffic = await a_group(town, more=schedule)
    traffic.load = None
    for _ in range(40):
        await asyncio.sleep(11)
        await town.bury(daemon)
        daemon = await town.daemon()
    told = causes(town, "schedule")
    assert len(told) == len({text.split("(")[1].split(")")[0] for text in told}) == 8, told


async def test_an_action_that_comes_back_into_the_file_begins_anew(town: Town) -> None:
    action = ', schedule: [{name: morning, cron: "18 0 * * *", min: 4}]'
    daemon, traffic = await a_group(town, more=action)  # the town's day begins at 00:16:40
    traffic.load = None
    await asyncio.sleep(2)
    say(town)
    await town.up(daemon)
    await asyncio.sleep(180)  # past its time
    say(town, more=action)
    await town.up(daemon)
    await asyncio.sleep(30)
    assert desired(town) == 1, causes(town, "schedule")


# Files


async def test_scaling_that_leaves_the_file_and_comes_back(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    say(town, size="instances: 2")
    await town.up(daemon)
    await serve(town, 2)
    await asyncio.sleep(30)
    assert len(town.serving()) == 2, "a fixed size is fixed"
    say(town)
    await town.up(daemon)
    await serve(town, 4)
    assert town.store.stack("shop").groups["web"].declared.maximum == 6  # type: ignore[union-attr]


async def test_other_policies_begin_with_a_memory_of_their_own(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    await asyncio.sleep(10)
    say(town, policies="{target: {metric: requests_per_target, value: 200}}")
    await town.up(daemon)
    assert desired(town) == 4, "nothing is known yet"
    await town.until("the scale-in", lambda: desired(town) == 3, 40)  # 380 / (0.9 x 200)
    assert "requests_per_target was at most 95/s" in causes(town)[-1]
    say(town, policies="")
    await town.up(daemon)
    traffic.load = 900.0
    await asyncio.sleep(60)
    assert desired(town) == 3


@pytest.mark.parametrize(("least", "most"), [(3, 6), (1, 2), (5, 5)])
async def test_a_failed_deployment_takes_its_bounds_with_it(town: Town, least: int, most: int) -> None:
    daemon, traffic = await a_group(town, least=1, most=4)
    traffic.load = 380.0
    await serve(town, 4)
    town.scripts["2"] = Script(answers_after=math.inf, exits_after=0.1)
    say(town, least=least, most=most, version=2)
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    record = town.store.stack("shop")
    assert record is not None
    sizes = record.sized(record.desired.stack.service("web")).sizes
    assert (sizes.minimum, sizes.maximum) == (1, 4)
    await serve(town, 4)
    traffic.load = 50.0
    await town.until("the scale-in", lambda: desired(town) == 1, 60)


async def test_while_it_is_deployed_a_group_grows_and_does_not_shrink(town: Town) -> None:
    daemon, traffic = await a_group(town, most=5)
    traffic.load = 280.0
    await serve(town, 3)
    town.scripts["2"] = Script(answers_after=25.0)
    say(town, most=5, version=2)
    async with never_more_than(town, 5):
        up = asyncio.ensure_future(town.up(daemon))
        await asyncio.sleep(2)
        traffic.load = 10.0
        await asyncio.sleep(20)
        assert desired(town) == 3
        traffic.load = 480.0
        await town.until("the scale-out", lambda: desired(town) == 5, 10)
        traffic.load = 10.0
        await up
        await town.until("the scale-in", lambda: desired(town) == 1, 60)


async def test_what_a_policy_decided_is_not_called_set_by_hand(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    say(town, version=2)
    assert (await town.up(daemon))["by_hand"] == []
    await daemon.scale("shop", "web", 5, silent)
    say(town, version=3)
    assert (await town.up(daemon))["by_hand"] == ["web has 5 instances, set by hand; the file says 1"]


async def test_down_while_it_scales_leaves_nothing(town: Town) -> None:
    daemon, traffic = await a_group(town, more=", warm_pool: 2, reuse_on_scale_in: true")
    await daemon.suspend("shop", "web", ["Terminate"])
    traffic.load = 450.0
    await town.until("the decision", lambda: desired(town) == 5)
    await daemon.down("shop", silent)
    assert town.living() == []
    assert not town.store.stacks()
    await asyncio.sleep(10)
    assert town.living() == []


# Hands against policies


async def test_a_hand_that_shrinks_a_loaded_group_is_overruled_and_there_is_no_end_to_neither(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    for _ in range(5):
        await daemon.scale("shop", "web", 1, silent)
        await serve(town, 4)
    await daemon.scale("shop", "web", None, silent, maximum=2)
    await asyncio.sleep(30)
    await serve(town, 2)


@pytest.mark.parametrize("least", [0, 1])
async def test_what_a_hand_asks_for_is_started_and_measured_before_a_policy_takes_it_away(
    town: Town, least: int
) -> None:
    daemon, _ = await a_group(town, least=least)
    await asyncio.sleep(40)
    for _ in range(3):
        await daemon.scale("shop", "web", 3, silent)
        assert len(town.serving()) == 3
        await asyncio.sleep(1.5)
        assert desired(town) == 3, causes(town)
        await serve(town, least)


async def test_zones_that_lost_unevenly_are_evened_out_and_then_left_alone(town: Town) -> None:
    say(town, most=9)
    file = town.folder / "fairlead.yaml"
    file.write_text(file.read_text() + "network: {zones: 3}\n")
    town.meter = traffic = Traffic(town)
    daemon = await town.daemon()
    await town.up(daemon)
    traffic.load = None
    await daemon.scale("shop", "web", 6, silent)
    for _ in range(4):
        zones = Counter(one.zone for one in town.store.instances("shop"))
        fullest = max(zones, key=lambda zone: zones[zone])
        for one in [one for one in town.store.instances("shop") if one.zone == fullest][:2]:
            town.engine.end("shop", one.id)
        await asyncio.sleep(0.3)
    await serve(town, 6)
    await asyncio.sleep(60)
    started = len(town.engine.starts)
    assert set(Counter(one.zone for one in town.store.instances("shop")).values()) == {2}
    await asyncio.sleep(60)
    assert len(town.engine.starts) == started


async def test_all_are_protected_and_the_load_ends(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await serve(town, 4)
    for instance in town.serving():
        await daemon.protect("shop", instance, True)
    traffic.load = 10.0
    await town.until("the scale-in", lambda: desired(town) == 1, 60)
    await asyncio.sleep(30)
    assert len(town.serving()) == 4
    assert "all remaining instances are protected from scale-in" in str(await daemon.explain("shop", "web"))
    for instance in town.serving()[1:]:
        await daemon.protect("shop", instance, False)
    await serve(town, 1)


@pytest.mark.parametrize("process", ["Launch", "Terminate", "ReplaceUnhealthy", "AlarmNotification", "AZRebalance"])
async def test_a_suspended_process_outlives_deaths_and_what_was_held_back_is_done_afterwards(
    town: Town, process: str
) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 280.0
    await serve(town, 3)
    await daemon.suspend("shop", "web", [process])
    town.engine.end("shop", "web-2")
    await asyncio.sleep(5)
    await town.bury(daemon)
    daemon = await town.daemon()
    traffic.load = 480.0
    await asyncio.sleep(30)
    said = (await shown(daemon))["suspended"]
    assert said == [process]
    await daemon.suspend("shop", "web", [], on=False)
    await serve(town, 5)
    traffic.load = 50.0
    await serve(town, 1, 90)
    await daemon.suspend("shop", "web", [process])
    await daemon.down("shop", silent)
    assert town.living() == []


@pytest.mark.parametrize("decrement", [False, True])
async def test_one_on_standby_that_dies_is_forgotten_and_the_size_stays(town: Town, decrement: bool) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = None
    await daemon.scale("shop", "web", 3, silent)
    await daemon.standby("shop", "web-2", decrement=decrement)
    await asyncio.sleep(5)
    town.engine.end("shop", "web-2")
    await serve(town, 2 if decrement else 3)
    await daemon.scale("shop", "web", 1, silent)
    await serve(town, 1)


async def test_one_on_standby_stays_when_the_group_is_scaled_to_nothing(town: Town) -> None:
    daemon, traffic = await a_group(town, least=0)
    traffic.load = None
    await daemon.scale("shop", "web", 2, silent)
    await daemon.standby("shop", "web-1")
    await town.until("another in its place", lambda: len(town.serving()) == 2)
    await daemon.scale("shop", "web", 0, silent)
    await town.until("the others to go", lambda: town.living() == ["web-1"])
    say(town, least=0, version=2)
    await town.up(daemon)
    await daemon.give_back("shop", "web-1")
    await town.until("it to be one too many", lambda: town.living() == [], 30)


# What users' own metrics say


class Told(Traffic):
    """Of a metric of the user's own."""

    value: float | None = None

    def seconds(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        at = int(self.samples[-1].wall + 0.5) - 1
        if at <= after:
            return ()
        custom = {} if self.value is None else {"q": self.value}
        return (ServiceSecond(at=at, instances=dict.fromkeys(self._town.serving(), InstanceSecond()), custom=custom),)


@pytest.mark.parametrize("value", [1e30, math.nan, math.inf, -1e30, -1.0])
async def test_no_number_of_the_users_own_leads_beyond_the_bounds(town: Town, value: float) -> None:
    metric = "custom_metrics: {q: {command: q, every: 1s}}"
    policies = (
        "{target: {metric: 'custom:q', value: 10}}, "
        "{step: {metric: 'custom:q', threshold: 5, adjustment: percent_change_in_capacity, steps: [{from: 0, by: 1000}]}}"
    )
    scaling = f"min: 1, max: 4, desired: 2, warm_up: 1s, scale_in_cooldown: 5s, policies: [{policies}]"
    town.say(FILE.format(version=1, size=f"scaling: {{{scaling}}}\n    {metric}"))
    town.meter = told = Told(town)
    daemon = await town.daemon()
    await town.up(daemon)
    told.value = value
    await asyncio.sleep(60)
    assert desired(town) == (4 if value > 0 and math.isfinite(value) else 1 if math.isfinite(value) else 2)
    assert not causes(town, "problem"), causes(town, "problem")
    await daemon.explain("shop", "web")
