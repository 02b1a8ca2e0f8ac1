"""The kinds of value that say when: cron lines and time zones.

Both are judged by what will use them: cronsim, and the time zone data of this machine.
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from fairlead.spec.problems import nearest
from fairlead.spec.schema.kinds import Kind, fail
from fairlead.spec.schema.texts import Line

CRON_FIELDS = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("weekday", 0, 7, "sun mon tue wed thu fri sat"),
)
"""What each field is, its least and most number, and the names it knows."""

_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_ZONE = re.compile(r"[A-Za-z]\w*([/+-]\w+)*", re.ASCII)


@dataclass(frozen=True)
class Cron(Kind):
    """Five fields, as in crontab(5): numbers, names, *, ranges, lists and steps."""

    def read(self, value: Any) -> str:
        text = Line(most=256).read(value)
        fields = text.lower().split()
        if len(fields) != len(CRON_FIELDS):
            reason = 'must have five fields (minute, hour, day, month, weekday), as in "0 3 * * *", not {value}'
            nickname = _NICKNAMES.get(text.lower().strip(), "")
            fail(reason, guess=f'"{nickname}"' if nickname else "")
        for field, (what, least, most, names) in zip(fields, CRON_FIELDS, strict=True):
            if not all(_is_cron_part(part, least, most, names.split()) for part in field.split(",")):
                advice = 'write as in "0 3 * * *" or "*/5 8-18 * * mon-fri"'
                fail(f"has a field for the {what} that crontab does not know: {{value}}", advice)
        try:
            CronSim(text, _ANY_TIME)
        except CronSimError:
            fail("names a day that no month has, so it would never run: {value}")
        return text

    def form(self) -> str:
        return "cron line of five fields (minute, hour, day, month, weekday)"

    def json_schema(self) -> dict[str, Any]:
        field = r"[0-9A-Za-z*,/-]+"
        return {"type": "string", "pattern": rf"^\s*{field}(\s+{field}){{4}}\s*$"}


def _is_cron_part(part: str, least: int, most: int, names: list[str]) -> bool:
    match = re.fullmatch(r"(\*|[a-z0-9]{1,3})(?:-([a-z0-9]{1,3}))?(?:/([0-9]{1,3}))?", part)
    if not match or (match[3] and int(match[3]) < 1) or (match[1] == "*" and match[2]):
        return False
    ends = [end for end in (match[1], match[2]) if end and end != "*"]
    numbers = [int(end) if end.isdecimal() else names.index(end) + least if end in names else -1 for end in ends]
    return all(least <= number <= most for number in numbers) and numbers == sorted(numbers)


@dataclass(frozen=True)
class Zone(Kind):
    """A time zone that this machine knows, by its name in the IANA database. UTC is known everywhere."""

    def read(self, value: Any) -> str:
        text = Line(most=64).read(value)
        if text == "UTC":
            return text
        if not _ZONE.fullmatch(text):
            fail("must be a time zone such as Europe/Berlin, not {value}", meant=_nearest_zone(text))
        try:
            zoneinfo.ZoneInfo(text)
        # A folder or a file that is no zone: `Europe`, `zone.tab`.
        except (KeyError, ValueError, OSError):
            if not _zones():
                fail("cannot be looked up: this machine has no time zone data", "install the package tzdata")
            meant = _nearest_zone(text)
            fail("is not a time zone that this machine knows: {value}", "" if meant else _AS_IN, meant=meant)
        return text

    def form(self) -> str:
        return "time zone such as Europe/Berlin"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_ZONE.pattern}$"}


_AS_IN = "write UTC, or a name such as Europe/Berlin"


@functools.cache
def _zones() -> dict[str, str]:
    """Every zone of this machine by its name in small letters, and by its city: `berlin`."""
    names = sorted(zoneinfo.available_timezones())
    cities = {name.rpartition("/")[2].lower(): name for name in names}
    return cities | {name.lower(): name for name in names}


def _nearest_zone(text: str) -> str:
    word = text.strip().lower().replace(" ", "_")
    if any(name.startswith(f"{word}/") for name in _zones()):
        return ""
    # Those of the same letter only: to compare with every zone of the world takes long, and a file may name many.
    alike = [name for name in _zones() if name[:1] == word[:1]]
    return _zones().get(word, "") or _zones().get(nearest(word, alike), "")
