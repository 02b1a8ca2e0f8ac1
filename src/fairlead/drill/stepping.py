"""Which step of load comes next: doubled until it is too much, then halved in between. Pure.

In: the steps so far and the seconds that are left. Out: the next rate and its length, or None: it is found, or time is
over. The law: whatever the instance does, the steps end in time, no rate is offered beyond `Limits.highest`, and none
is more than twice what was borne before it (the first: half of what one request after the other would come to).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.drill.capacity import Limits, Step, bracket, holds

CLOSE = 1.03
"""How near the rate that is borne and the one that is not have to come."""

REQUESTS = 20
"""Requests that a step has at least, so that its percentiles say something."""

LEAST_RATE = 0.1
"""Requests a second below which an instance is said to bear none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of each kind of step, of so many seconds altogether."""

    probe: float
    fine: float
    confirm: float


def pace_of(seconds: float) -> Pace:
    """For a drill of so many seconds: of 60 a probe has 2.1 (a whole second of the metrics lies within it, wherever it
    begins), a step around the knee 4, the last one 8."""
    return Pace(probe=seconds / 28, fine=seconds / 15, confirm=seconds * 2 / 15)


def next_step(steps: Sequence[Step], limits: Limits, pace: Pace, left: float) -> tuple[float, float] | None:
    """The next rate and how many seconds it is offered. left: seconds that there are."""
    rate, length = _wanted(steps, limits, pace)
    if rate is None or rate < LEAST_RATE:
        return None
    # A slow app needs longer steps; never so long that one of them takes all.
    length = max(length, min(REQUESTS / rate, pace.fine * 3))
    return (rate, length) if length <= left else None


def _wanted(steps: Sequence[Step], limits: Limits, pace: Pace) -> tuple[float | None, float]:
    if not steps:
        return min(limits.highest, 0.5 / limits.unloaded), pace.probe
    borne, above = bracket(steps, limits)
    if borne is None:
        return min(step.rate for step in steps) / 2, pace.probe
    if above is None and borne < limits.highest:
        return min(2 * borne, limits.highest), pace.probe
    if above is None or above / borne <= CLOSE:
        return (None if _confirmed(steps, borne, limits, pace) else borne), pace.confirm
    hint = _hint(steps, limits, pace)
    if hint and borne * CLOSE < hint < above / CLOSE:
        return hint, pace.fine
    return math.sqrt(borne * above), pace.fine


def _hint(steps: Sequence[Step], limits: Limits, pace: Pace) -> float | None:
    """What an overloaded instance still answered is about what it can do. Only to begin with: it is no proof."""
    if any(step.seconds >= pace.fine for step in steps):
        return None
    return max((0.97 * step.achieved(limits) for step in steps if holds(step, limits) is False), default=None)


def _confirmed(steps: Sequence[Step], rate: float, limits: Limits, pace: Pace) -> bool:
    """Whether it was borne for long enough."""
    return any(step.rate == rate and step.seconds >= pace.confirm * 0.99 and holds(step, limits) for step in steps)
