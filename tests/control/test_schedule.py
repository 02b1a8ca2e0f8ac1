"""Schedules against a wall clock that is an argument: zones, daylight saving time, clocks that are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.control.schedule import begins_anew, due, in_words, next_time, schedule_of
from fairlead.core.model import Job
from fairlead.core.runs import Due


def a_job(cron: str, timezone: str = "UTC") -> Job:
    return Job(name="x", service="web", argv=("x",), cron=cron, timezone=timezone)


def times(job: Job, start: str, count: int) -> list[str]:
    """What a clock that runs as it should comes by, second for second at first, then from time to time."""
    found, at = [], start
    while len(found) < count:
        at = next_time(job, at) or ""
        found.append(at)
    return found


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("0 3 * * *", "UTC", "2026-01-01T03:00:00Z", ["2026-01-02T03:00:00Z"]),
        ("0 3 * * *", "UTC", "2026-01-01T02:59:59.999Z", ["2026-01-01T03:00:00Z"]),
        ("0 3 * * *", BERLIN, "2026-01-01T00:00:00Z", ["2026-01-01T02:00:00Z"]),
        ("0 3 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", ["2026-01-01T21:15:00Z"]),
        # The clock goes from 2:00 to 3:00: half past two comes at three, and only on that day.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        # It goes from 3:00 back to 2:00: half past two comes once.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        # By elapsed time: every hour of the day that has 25, and of the one that has 23.
        ("0 * * * *", BERLIN, "2026-10-24T23:30:00Z", [f"2026-10-25T0{hour}:00:00Z" for hour in range(4)]),
        ("0 * * * *", BERLIN, "2026-03-28T23:30:00Z", [f"2026-03-29T0{hour}:00:00Z" for hour in range(4)]),
        ("*/20 * * * *", BERLIN, "2026-03-29T00:40:00Z", ["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"]),
        ("0 8 * * mon-fri", "UTC", "2026-01-02T08:00:00Z", ["2026-01-05T08:00:00Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z"]),
    ],
)
def test_the_next_times(cron: str, zone: str, start: str, expected: list[str]) -> None:
    assert times(a_job(cron, zone), start, len(expected)) == expected


def test_in_the_hour_that_comes_twice_no_time_lies_in_the_past() -> None:
    # 2:10 for the second time: half past two has been, forty minutes ago, so it is tomorrow's turn.
    job = a_job("30 2 * * *", BERLIN)
    assert next_time(job, "2026-10-25T01:10:00Z") == "2026-10-26T01:30:00Z"
    assert due(job, "2026-10-25T01:10:00Z", "2026-10-25T01:40:00Z") is None


@pytest.mark.parametrize(
    ("handled", "wall", "expected"),
    [
        ("2026-01-01T03:00:00Z", "2026-01-02T02:59:59Z", None),
        ("2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z", Due(job="x", scheduled_for="2026-01-02T03:00:00Z", late=0.0)),
        ("2026-01-01T03:00:00Z", "2026-01-02T03:00:30Z", Due(job="x", scheduled_for="2026-01-02T03:00:00Z", late=30.0)),
        # Nobody was there: one answer for three times, with the last of them.
        (
            "2026-01-01T03:00:00Z",
            "2026-01-04T10:00:00Z",
            Due(job="x", scheduled_for="2026-01-04T03:00:00Z", late=25200.0, missed_since="2026-01-02T03:00:00Z"),
        ),
        (
            "2026-01-01T03:00:00Z",
            "2026-01-04T03:00:01Z",
            Due(job="x", scheduled_for="2026-01-04T03:00:00Z", late=1.0, missed_since="2026-01-02T03:00:00Z"),
        ),
        # The clock was set back.
        ("2026-01-02T03:00:00Z", "2026-01-02T02:00:10Z", None),
    ],
)
def test_what_is_due(handled: str, wall: str, expected: Due | None) -> None:
    assert due(a_job("0 3 * * *"), handled, wall) == expected


def test_years_of_missed_minutes_are_answered_at_once() -> None:
    found = due(a_job("* * * * *"), "2020-01-01T00:00:30Z", "2026-01-01T00:00:30Z")
    assert found == Due(job="x", scheduled_for="2026-01-01T00:00:00Z", late=30.0, missed_since="2020-01-01T00:01:00Z")


def lived(job: Job, handled: str, walls: list[datetime]) -> list[str]:
    """What a daemon that looks at these moments of its clock starts, each within a minute of its time."""
    started = []
    for moment in walls:
        wall = moment.isoformat()
        if begins_anew(handled, wall):
            handled = wall
        found = due(job, handled, wall)
        if found:
            handled = found.scheduled_for
            started += [found.scheduled_for] if found.late <= 60 else []
    return started


def looks(start: datetime, seconds: int) -> list[datetime]:
    return [start + timedelta(seconds=second) for second in range(seconds)]


NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_a_clock_set_back_an_hour_runs_nothing_twice() -> None:
    walls = looks(NOON, 1900) + looks(NOON + timedelta(seconds=1900 - 3600), 5500)
    started = lived(a_job("*/15 * * * *"), "2026-01-01T11:59:59Z", walls)
    assert started == [
        "2026-01-01T12:00:00Z", "2026-01-01T12:15:00Z", "2026-01-01T12:30:00Z", "2026-01-01T12:45:00Z",
        "2026-01-01T13:00:00Z",
    ]  # fmt: skip


def test_a_clock_set_forward_a_day_brings_no_burst() -> None:
    walls = looks(NOON, 1000) + looks(NOON + timedelta(days=1, seconds=1000), 1000)
    started = lived(a_job("*/15 * * * *"), "2026-01-01T11:59:59Z", walls)
    assert started == ["2026-01-01T12:00:00Z", "2026-01-01T12:15:00Z", "2026-01-02T12:30:00Z"]


def test_a_clock_that_was_wrong_by_a_year_is_believed_once_it_is_right() -> None:
    walls = looks(NOON + timedelta(days=365), 100) + looks(NOON, 1000)
    started = lived(a_job("*/15 * * * *"), "2027-01-01T11:59:59Z", walls)
    assert started == ["2027-01-01T12:00:00Z", "2026-01-01T12:15:00Z"]


@pytest.mark.parametrize(
    ("handled", "anew"),
    [(None, True), ("2026-01-01T12:00:00Z", False), ("2026-01-01T14:59:00Z", False), ("2026-01-01T15:01:00Z", True)],
)
def test_a_schedule_begins_when_it_is_new_or_its_clock_was_wrong(handled: str | None, anew: bool) -> None:
    assert begins_anew(handled, "2026-01-01T12:00:00Z") is anew


def test_another_line_or_zone_is_another_schedule() -> None:
    assert schedule_of(a_job("0 3 * * *")) != schedule_of(a_job("0 4 * * *"))
    assert schedule_of(a_job("0 3 * * *")) != schedule_of(a_job("0 3 * * *", BERLIN))


def test_it_is_said_in_words() -> None:
    assert in_words(a_job("0 3 * * *", BERLIN)) == "At 03:00 every day (Europe/Berlin)"
    assert in_words(a_job("nonsense")) == "nonsense (UTC)"


@pytest.mark.parametrize("job", [a_job("nonsense"), a_job("0 3 * * *", "Mars/Olympus")])
def test_what_this_machine_cannot_read_is_one_kind_of_error(job: Job) -> None:
    with pytest.raises(ValueError, match=r"."):
        due(job, "2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z")
