"""The state of an alarm over its last datapoints, as CloudWatch finds it, missing data being `missing` (E1).

More points than `window` are looked at, so that a gap need not hide what is known; where too few are known, only a
breach that nothing contradicts is an alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

LOOKED_FURTHER = 2
"""Points beyond the window that may stand in for missing ones: 5 are looked at for a window of 3."""


def judged(points: Sequence[float | None], window: int) -> list[int]:
    """The places of the points that decide: of those looked at, the newest `window` that are known."""
    if None not in points[-window:]:  # as nearly always
        return list(range(max(0, len(points) - window), len(points)))
    first = max(0, len(points) - window - LOOKED_FURTHER)
    return [place for place in range(first, len(points)) if points[place] is not None][-window:]


def state_of(
    points: Sequence[float | None], breaches: Callable[[float], bool], window: int, to_alarm: int | None = None
) -> AlarmState:
    """points: oldest first; None is missing. to_alarm: how many of the window must breach; None: all of it."""
    to_alarm = window if to_alarm is None else to_alarm
    places = judged(points, window)
    if not places:
        return "INSUFFICIENT_DATA"
    breaching = [place for place in places if (point := points[place]) is not None and breaches(point)]
    if len(places) == window:
        return "ALARM" if len(breaching) >= to_alarm else "OK"
    old_enough = len(points) - places[0] >= to_alarm
    return "ALARM" if old_enough and breaching == places else "OK"
