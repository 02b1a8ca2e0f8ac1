"""D8: what is told of a change of the size, and why it came about."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.store.journal import KEPT_EVENTS
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

GROUP = f"min: 1, max: 6, {QUICK}, {PER_TARGET}"


@fact("D8", "Cause, by a policy: `a monitor alarm ... in state ALARM triggered policy ... changing the desired capacity from 1 to 5`",
      "approximated", "with the metric, the target, for how long, the calculation and the bounds")  # fmt: skip
async def test_d8_by_a_policy(shop: Shop) -> None:
    await shop.open(GROUP)
    shop.traffic.load = 450.0
    await shop.serves(5)
    assert shop.told("scaled") == [
        "web: requests_per_target was 450/s, above 100/s for 3 s: desired 1 -> 5 (ceil(1 x 450 / 100)), within 1..6"
    ]


@fact("D8", "Cause, by hand: `a user request explicitly set group desired capacity changing the desired capacity from 1 to 2`",
      "approximated", "with what the file says")  # fmt: skip
async def test_d8_by_hand(shop: Shop) -> None:
    await shop.open(GROUP)
    await shop.scale(2)
    assert shop.told("scaled") == ["web: desired 1 -> 2, by hand (the file says min 1, desired 1, max 6)"]


@fact("D8", "Cause, by a schedule: `a scheduled action update of AutoScalingGroup constraints to min: ..., max: ..., desired: ...`",
      "approximated", "with the action's name and time")  # fmt: skip
async def test_d8_by_a_schedule(shop: Shop) -> None:
    await shop.open(f'{GROUP}, schedule: [{{name: morning, cron: "18 0 * * *", min: 4}}]')  # it is 00:16:40
    shop.traffic.load = None
    await shop.serves(4, 120)
    assert shop.told("scaled") == ["web: scheduled action morning (2026-01-01T00:18:00Z): min 4: desired 1 -> 4"]


@fact("D8", "Effect: `an instance was started in response to a difference between desired and actual capacity, increasing the"
      " capacity from 1 to 2`", "approximated", "each launch tells the step that it is")  # fmt: skip
async def test_d8_effect(shop: Shop) -> None:
    await shop.open(GROUP)
    await shop.scale(3)
    assert shop.told("launched")[1:] == [
        f"web-{n} launched: a difference between desired and actual capacity: from {n - 1} to {n}, desired 3" for n in (2, 3)
    ]  # fmt: skip


@fact("D8", "Effect: `an instance was taken out of service in response to an ELB system health check failure`", "approximated",
      "the one that takes its place says so")  # fmt: skip
async def test_d8_health(shop: Shop) -> None:
    await shop.open(GROUP.replace("min: 1", "min: 2"), grace="1s")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await shop.town.until("another", lambda: "web-3" in shop.town.serving())
    assert "replaces: web-1 is unhealthy" in shop.told("launched")[-1]


@fact("D8", "Could not scale to desired capacity because all remaining instances are protected from scale-in", "real")
async def test_d8_all_protected(shop: Shop) -> None:
    await shop.open(GROUP.replace("min: 1", "min: 1, desired: 2"))
    await shop.suspend("AlarmNotification")
    for instance in shop.town.serving():
        await shop.daemon.protect("shop", instance, True)
    await shop.scale(1)
    assert len(shop.town.serving()) == 2
    told = str(await shop.daemon.explain("shop", "web"))
    assert "could not scale to desired capacity because all remaining instances are protected from scale-in" in told


@fact("D8", "One activity for each instance, all of them with the whole cause", "approximated",
      "one event `scaled` with the cause, and then those of each instance; `fairlead explain` has them together")  # fmt: skip
async def test_d8_one_for_each(shop: Shop) -> None:
    await shop.open(GROUP)
    shop.traffic.load = 250.0
    await shop.serves(3)
    assert (len(shop.told("scaled")), len(shop.told("launched"))) == (1, 3)
    size = (await shop.daemon.explain("shop", "web"))["size"]
    assert "requests_per_target was 250/s, above 100/s for 3 s: desired 1 -> 3" in size["text"]


@fact("D8", "The history is kept for six weeks", "approximated", "20,000 events of all stacks, and 5,000 decisions")
def test_d8_history() -> None:
    assert KEPT_EVENTS == 20_000


@fact("D8", "The datapoints that a policy saw", "beyond",
      "each decision is kept with them, and nothing turns that off; on AWS they are CloudWatch's, if it still has them")  # fmt: skip
async def test_d8_datapoints(shop: Shop) -> None:
    await shop.open(GROUP)
    shop.traffic.load = 150.0
    await shop.serves(2)
    row = next(row for row in shop.town.store.decisions("shop", 100) if "Resize" in row["plan"])
    assert "[150.0, 1], [150.0, 1], [150.0, 1]" in row["snapshot"] or "[150.0,1],[150.0,1],[150.0,1]" in row["snapshot"]


@fact(
    "D8",
    "ActivityId, StatusCode, Progress",
    "absent",
    "events are kept in order, and `fairlead events --json` has them",
)
async def test_d8_fields(shop: Shop) -> None:
    await shop.open(GROUP)
    await shop.scale(2)
    event = shop.town.store.events("shop", 1)[0]
    assert {"id", "at", "kind", "service", "instance", "text"} <= set(event)
    assert not {"progress", "status_code", "activity_id"} & set(event)
