"""Moments and lengths of time as people write them, and as they are shown: local time, with the zone.

In: `2026-11-21T10:02:00Z`, `2026-11-21 10:02` (local), `10:02[:30]` (local: the last time that the clock showed it),
`10m` or `-10m` (ago; `s`, `m`, `h`, `d`, `w`, also `1h30m` and `1.5h`). Out: a datetime in UTC, or seconds. Called by
commands that ask about the past, and by those that do something for a while.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from fairlead.errors import UsageError

_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+", re.ASCII)
_PART = re.compile(r"([\d.]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

FORMS = "10:02, 10:02:30, 2026-11-21T10:02:00Z, 10m (ago), 1h30m"
LENGTHS = "90s, 10m, 1h30m, 2d"

_LONGEST = 100 * 365 * 86400
"""Seconds that are still a number of use."""


def moment(text: str, now: datetime, option: str = "--at") -> datetime:
    """The moment that `text` means at `now` (with a zone). UsageError: it is none, or lies ahead."""
    given = text.strip()
    try:
        found = _ago(given, now) or _clock(given, now) or _dated(given)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise UsageError(f"{option} {given!r} is no moment", "", f"Write it like one of these: {FORMS}.")
    if found > now:
        raise UsageError(f"{option} {given!r} lies ahead", f"it is {shown(now)} now", "Name a moment of the past.")
    return found.astimezone(UTC)


def seconds(text: str, option: str) -> float:
    """The length of time that `text` means: `10m`, `1h30m`. UsageError: it is none."""
    found = _seconds(text.strip())
    if found is None or found > _LONGEST:
        raise UsageError(f"{option} {text!r} is no length of time", "", f"Write it like one of these: {LENGTHS}.")
    return found


def stamp(at: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: as the store stamps what happened."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def shown(at: datetime) -> str:
    """`2026-11-21 11:02:13 CET`, in the zone it carries."""
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()}"


def local(at: str) -> str:
    """A stamp of the store in the user's zone; as it is, when it is none."""
    try:
        return shown(datetime.fromisoformat(at).astimezone())
    except ValueError:
        return at


def _ago(text: str, now: datetime) -> datetime | None:
    found = _seconds(text.removeprefix("-"))
    return None if found is None else now - timedelta(seconds=found)


def _seconds(text: str) -> float | None:
    if not _SPAN.fullmatch(text):
        return None
    return sum(float(count) * _SECONDS[unit] for count, unit in _PART.findall(text))


def _clock(text: str, now: datetime) -> datetime | None:
    if not re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        return None
    of_day = time.fromisoformat(text.rjust(8, "0") if text.count(":") == 2 else text.rjust(5, "0"))
    day = now.astimezone().date()
    today = datetime.combine(day, of_day).astimezone()
    return today if today <= now else datetime.combine(day - timedelta(days=1), of_day).astimezone()


def _dated(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.astimezone()
