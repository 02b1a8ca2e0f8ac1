"""When scheduled actions of a service come due on the virtual wall clock, by the daemon's own reading of cron lines.

The schedule begins with the simulation: what would have come before has not happened.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter

from fairlead.control.schedule import next_time
from fairlead.core.scaling.policies import ScheduledAction
from fairlead.core.scaling.scheduled import DueAction


class Timetable:
    """The next time of each action, in seconds since 1970."""

    def __init__(self, actions: Sequence[ScheduledAction], began: int) -> None:
        # A time of the very second in which it begins counts.
        self._next = {one: moment for one in actions if (moment := _after(one, began - 1)) is not None}

    def due(self, at: int) -> list[DueAction]:
        """Those whose time has come by `at`, in the order of their times, those of one moment in the order of the file;
        each is told once."""
        found = sorted(((one, moment) for one, moment in self._next.items() if moment <= at), key=itemgetter(1))
        for one, moment in found:
            later = _after(one, moment)
            if later is None:
                del self._next[one]
            else:
                self._next[one] = later
        return [DueAction(action=one, scheduled_for=iso(moment)) for one, moment in found]


def iso(at: int) -> str:
    """ISO 8601 UTC, whole seconds."""
    return f"{_minute(at // 60)}:{at % 60:02}Z"


@functools.lru_cache(4)
def _minute(number: int) -> str:
    """Kept, because every second of a simulation is written."""
    return datetime.fromtimestamp(60 * number, UTC).strftime("%Y-%m-%dT%H:%M")


def _after(action: ScheduledAction, at: int) -> int | None:
    found = next_time(action, iso(at))
    return None if found is None else int(datetime.fromisoformat(found).timestamp())
