"""E4: simple, scheduled and predictive scaling."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.control import schedule
from fairlead.core.scaling.group import Sizes
from fairlead.core.scaling.policies import ScheduledAction
from fairlead.core.scaling.scheduled import applied
from tests.conformance.facts import fact
from tests.conformance.groups import Shop, group_file, with_policy
from tests.conformance.rehearsal import refusal_of, stack_of
from tests.core.scaling.builders import a_group_of, a_history, an_action, asked, keep, kept_at

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

MORNING = 'min: 1, max: 6, schedule: [{name: morning, cron: "18 0 * * *", min: 4}]'
"""The town's day begins at 00:16:40."""


def scheduled(keys: str) -> str:
    return group_file(f"min: 1, max: 6, schedule: [{keys}]")


def times(cron: str, timezone: str, wall: str, count: int) -> list[str]:
    """The next times of a schedule."""
    found = []
    for _ in range(count):
        coming = schedule.next_time(ScheduledAction(name="a", cron=cron, timezone=timezone, minimum=1), wall)
        assert coming is not None
        found.append(wall := coming)
    return found


@fact("E4", "Simple scaling", "refused", message="policies.0.simple: is not a key")
def test_e4_simple(message: str) -> None:
    assert message in refusal_of(with_policy("{simple: {metric: cpu, value: 60%}}"))


@fact("E4", "Predictive scaling", "refused", message="policies.0.predictive: is not a key")
def test_e4_predictive(message: str) -> None:
    assert message in refusal_of(with_policy("{predictive: {metric: cpu, value: 60%}}"))


@fact(
    "E4",
    "A scheduled action sets at least one of MinSize, MaxSize, DesiredCapacity",
    "real",
    message="changes nothing; add `min`",
)
def test_e4_at_least_one(message: str) -> None:
    assert message in refusal_of(scheduled('{name: a, cron: "0 8 * * *"}'))


@fact("E4", "What it does not set stays as it is; desired is kept within the bounds", "real")
def test_e4_the_rest_stays() -> None:
    now = Sizes(minimum=1, desired=2, maximum=6)
    assert applied(now, ScheduledAction(name="a", cron="", minimum=4))[0] == Sizes(minimum=4, desired=4, maximum=6)
    assert applied(now, ScheduledAction(name="a", cron="", maximum=1))[0] == Sizes(minimum=1, desired=1, maximum=1)
    assert applied(now, ScheduledAction(name="a", cron="", desired=5))[0] == Sizes(minimum=1, desired=5, maximum=6)


@fact("E4", "A desired capacity outside the bounds of then is not applied", "real")
def test_e4_outside() -> None:
    now = Sizes(minimum=1, desired=2, maximum=3)
    after, told = applied(now, ScheduledAction(name="a", cron="", desired=5))
    assert after == now
    assert "not done, since desired must be within 1..3" in told


@fact("E4", "Recurrence: cron of five fields; TimeZone: UTC by default", "real")
def test_e4_cron() -> None:
    assert times("0 8 * * mon-fri", "UTC", "2026-01-02T09:00:00Z", 2) == [
        "2026-01-05T08:00:00Z",
        "2026-01-06T08:00:00Z",
    ]
    action = stack_of(scheduled('{name: a, cron: "0 8 * * *", min: 2}')).service("web").scaling.schedule[0]  # type: ignore[union-attr]
    assert action.timezone == "UTC"
    assert refusal_of(scheduled('{name: a, cron: "0 8 * * * 2026", min: 2}'))


@fact("E4", "In a time zone with daylight saving time the action follows it", "real")
def test_e4_daylight_saving() -> None:
    around = times("0 8 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2)
    assert around == ["2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"]


@fact("E4", "A time that the clock skips in spring, or has twice in autumn", "approximated",
      "the first minute after the gap, and once: AWS does not say")  # fmt: skip
def test_e4_skipped_and_doubled() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", 2) == [
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]
    autumn = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2)
    assert [time[:10] for time in autumn] == ["2026-10-25", "2026-10-26"]


@fact("E4", "StartTime, EndTime; an action of one time only", "refused", message="schedule.0.start_time: is not a key")
def test_e4_start_and_end(message: str) -> None:
    assert message in refusal_of(scheduled('{name: a, cron: "0 8 * * *", min: 2, start_time: "2026-01-01"}'))


@fact("E4", "It runs within seconds, and may be two minutes late", "real")
async def test_e4_on_time(shop: Shop) -> None:
    await shop.open(MORNING)
    await shop.town.until("it to run", lambda: bool(shop.told("scaled")), 120)
    assert 1080 <= shop.town.clock.now() < 1082


@fact("E4", "It waits for no cool-down", "real")
def test_e4_no_cool_down() -> None:
    service = a_group_of(keep(), scale_out_cooldown=3600.0, scale_in_cooldown=3600.0)
    group = kept_at(service, 5, out_at=4999.0, in_at=4999.0)
    assert asked(service, a_history(service), group, due=[an_action(desired=2)]).desired == 2


@fact("E4", "Policies go on from there, within the new bounds", "real")
def test_e4_policies_go_on() -> None:
    service = a_group_of(keep(), maximum=10)
    after = asked(service, a_history(service), due=[an_action(minimum=3, maximum=4)]).group
    assert after is not None
    assert asked(service, a_history(service, *[500.0] * 3, counted=3), after).desired == 4


@fact("E4", "Two actions at the same time are refused", "approximated", "both run, in the order of the file")
async def test_e4_at_the_same_time(shop: Shop) -> None:
    actions = '{name: a, cron: "18 0 * * *", min: 4}, {name: b, cron: "18 0 * * *", min: 2, desired: 3}'
    await shop.open(f"min: 1, max: 6, schedule: [{actions}]")
    await shop.serves(3, 120)
    assert [text.split()[3] for text in shop.told("schedule")] == ["a", "b"]


@fact("E4", "An action whose time passed while nobody was there to run it", "beyond",
      "holds when the daemon is back, the last of its times only; a suspension of ScheduledActions skips it")  # fmt: skip
async def test_e4_made_up_for(shop: Shop) -> None:
    await shop.open(MORNING)
    await asyncio.sleep(2)
    await shop.town.bury(shop.daemon)
    await asyncio.sleep(150)
    shop.daemon = await shop.town.daemon()
    await shop.serves(4, 10)
    assert " late: min 4" in shop.told("schedule")[0]
