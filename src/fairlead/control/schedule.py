"""When a job, or a scheduled action, is due: its cron line and time zone against the wall clock.

In: one of them, the last time of its schedule that was dealt with, and the wall clock. Out: whether a time has come
since, and the next one. The rules of daylight saving time are Debian cron's: a time that a clock skips in spring comes
with the first minute after the gap, one that comes twice in autumn counts once, and a line whose minute or hour begins
with `*` runs by elapsed time. The laws: the times of a schedule are dealt with in order, so a clock set back runs none
of them twice; a clock that was wrong by more than `CORRECTION` is believed at once (as in Debian cron); and what passed
unnoticed is one `Due`, whatever the number of times. ValueError: this machine cannot read the schedule.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from fairlead.core.runs import Due

CORRECTION = timedelta(hours=3)
"""A schedule that was dealt with so much later than now was so by a clock that was wrong."""

RECENT = timedelta(hours=2)
"""Within so long the last time is looked for by going forward: only that way is right in the hour that comes twice."""


class Scheduled(Protocol):
    """A job or a scheduled action."""

    @property
    def name(self) -> str: ...
    @property
    def cron(self) -> str: ...
    @property
    def timezone(self) -> str: ...


def schedule_of(job: Scheduled) -> str:
    """What makes the schedule of a job the same: another one begins anew."""
    return f"{job.cron} {job.timezone}"


def begins_anew(handled: str | None, wall: str) -> bool:
    """Whether the schedule begins now: it was never seen, or was dealt with by a clock that was wrong."""
    return handled is None or _moment(handled) - _moment(wall) > CORRECTION


def due(job: Scheduled, handled: str, wall: str) -> Due | None:
    """The last time of the schedule after `handled` and not after `wall` (both ISO 8601 UTC); None: there is none."""
    since, now = _moment(handled), _moment(wall)
    first = _after(job.cron, job.timezone, since)
    if first is None or first > now:
        return None
    last = max(first, _last(job, max(first, now - RECENT), now) or first)
    return Due(
        job=job.name,
        scheduled_for=_text(last),
        late=(now - last).total_seconds(),
        missed_since=_text(first) if first < last else "",
    )


def next_time(job: Scheduled, wall: str) -> str | None:
    """The first time of the schedule after `wall`, ISO 8601 UTC; None: there is none within 50 years."""
    found = _after(job.cron, job.timezone, _moment(wall))
    return _text(found) if found else None


def in_words(job: Scheduled) -> str:
    """The schedule for people: `At 03:00 every day (UTC)`."""
    try:
        said = CronSim(job.cron, datetime.now(UTC)).explain()
    except (CronSimError, NotImplementedError):
        said = job.cron
    return f"{said} ({job.timezone})"


def _last(job: Scheduled, start: datetime, now: datetime) -> datetime | None:
    """The last time from `start` on and not after `now`; when that is long ago, it is looked for backwards."""
    found = None
    at: datetime | None = start - timedelta(seconds=1)
    while at is not None and (at := _after(job.cron, job.timezone, at)) is not None and at <= now:
        found = at
    if found is not None:
        return found
    earlier = next(_times(job.cron, job.timezone, now, reverse=True), None)
    return earlier.astimezone(UTC) if earlier else None


@functools.lru_cache(maxsize=4096)
def _after(cron: str, timezone: str, moment: datetime) -> datetime | None:
    """The first time after `moment`, in UTC. Kept, because a loop asks for the same one until it has come."""
    for found in _times(cron, timezone, moment):
        # In the hour that comes twice CronSim begins with the first of the two.
        if (in_utc := found.astimezone(UTC)) > moment:
            return in_utc
    return None


def _times(cron: str, timezone: str, moment: datetime, *, reverse: bool = False) -> CronSim:
    try:
        return CronSim(cron, moment.astimezone(ZoneInfo(timezone)), reverse=reverse)
    except (CronSimError, ZoneInfoNotFoundError, OSError) as problem:
        raise ValueError(str(problem)) from problem


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
