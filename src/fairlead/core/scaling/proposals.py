"""What each policy asks for by itself: target tracking (aws-semantics E2) and step scaling (E3).

In: a policy and its datapoints. Out: a `Proposal`: a capacity, or that there is nothing to do, or that nobody knows.
Whether it is done is `decide`'s: it knows the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median_high
from typing import Literal

from fairlead.core.scaling.alarm import judged, state_of
from fairlead.core.scaling.history import Point
from fairlead.core.scaling.policies import (
    Holds,
    Policy,
    StepAdjustment,
    StepScaling,
    TargetTracking,
    amount,
    figure,
    level_figure,
    unit_of,
)

LOW = 0.9
"""Scale-in begins below this share of the target, and never leads above it (aws-semantics E2, J4)."""

HARDLY = 1e-9
"""A need is not rounded up for less: 3 x 100 / 100 is 3 whatever floats make of it."""

MOST = 1e6
"""Instances that a policy asks for at most, whatever a metric says."""

_load: Callable[[Point], float] = attrgetter("load")
"""Of a point that is known."""

Wants = Literal["out", "in", "hold", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """wants: `unknown` while the newest datapoint, or all of them, are missing. value: the metric that it was judged
    by. capacity: what it asks for, not yet within any bounds; with `hold` what it would not go below, if known."""

    policy: Policy
    wants: Wants
    value: float | None = None
    capacity: int | None = None
    told: str = ""
    """`value` with its unit, in as many digits as it takes to see that it is beyond `level`."""
    level: float = 0.0
    """What the metric was above or below."""
    formula: str = ""
    """How capacity came about: `ceil(2 x 143 / 100)`."""
    seconds: int = 0
    """For how long the metric was in breach."""


def propose(policy: Policy, points: Sequence[Point], desired: int, base: int) -> Proposal:
    """What `policy` asks for. desired: of now; base: how much of it steps count from."""
    if not points or points[-1].value is None:
        return Proposal(policy=policy, wants="unknown")
    if isinstance(policy.follows, StepScaling):
        return _step(policy, policy.follows, points, desired, base)
    return _track(policy, policy.follows, points) if desired else _wake(policy, policy.follows, points)


def _track(policy: Policy, target: TargetTracking, points: Sequence[Point]) -> Proposal:
    """As many as keep the metric at its target: ceil(counted x metric / target)."""
    values, newest = [point.value for point in points], points[-1].value or 0.0
    if newest > target.value and state_of(values, _above(target.value), policy.scale_out_after) == "ALARM":
        # Of what they have to do together: how many there are to do it may change from one point to the next.
        loads = sorted(_judged(points, values, policy.scale_out_after), key=_load)
        middle = loads[len(loads) // 2]
        return _sized(policy, "out", middle, target.value, middle.value or 0.0, target.value)
    # The heaviest of these points has to fit, and with room to spare: else the next one would scale out again.
    fits = LOW * target.value
    window = _judged(points, values, policy.scale_in_after)
    worst = max(reversed(window), key=_load)  # of equals the newest: people compare it with what there is now
    if (
        policy.scale_in
        and points[-1].settled
        and newest < fits
        and state_of(values, _below(fits), policy.scale_in_after) == "ALARM"
    ):
        # While the number of instances changed, the heaviest point need not be the one with the highest value.
        return _sized(policy, "in", worst, fits, max(point.value or 0.0 for point in window), fits)
    return Proposal(policy=policy, wants="hold", value=newest, capacity=needed(worst, fits))


def _wake(policy: Policy, target: TargetTracking, points: Sequence[Point]) -> Proposal:
    """Of nobody any load is too much, be it one request. After the first it waits as long as ever, only to know how
    much there is to do."""
    values = [point.value for point in points]
    places = judged(values, policy.scale_out_after)
    first = next((place for place in places if _load(points[place]) > 0), len(points))
    if len(points) - first < policy.scale_out_after:
        return Proposal(policy=policy, wants="hold", value=values[-1], capacity=0 if first == len(points) else None)
    worst = max((points[place] for place in places), key=_load)
    return _sized(policy, "out", worst, target.value, worst.value or 0.0, 0.0)


def _sized(policy: Policy, wants: Wants, point: Point, target: float, value: float, level: float) -> Proposal:
    """point: which the size is for. value: which the alarm is told by; mostly the same."""
    after = policy.scale_out_after if wants == "out" else policy.scale_in_after
    beyond = _above(level) if wants == "out" else _below(level)
    capacity, metric = needed(point, target), policy.metric

    def right(shown: float) -> bool:
        return beyond(shown) and needed(Point(shown, point.counted), target) == capacity

    each = figure(metric, point.value or 0.0, right)
    return Proposal(
        policy=policy, wants=wants, value=value, capacity=capacity, level=level,
        told=each + unit_of(metric) if value == point.value else amount(metric, value, beyond),
        formula=f"ceil({max(1, point.counted)} x {each} / {level_figure(metric, target)})",
        seconds=after * policy.period,
    )  # fmt: skip


def needed(point: Point, target: float) -> int:
    """How many it takes for each to have at most `target` to do."""
    return math.ceil(min(max(_load(point) / target, 0.0), MOST) - HARDLY)


def count_of(capacity: int) -> str:
    """`9`; `1000000 or more`, where nobody has counted further."""
    return f"{capacity} or more" if capacity >= MOST else str(capacity)


def _step(policy: Policy, step: StepScaling, points: Sequence[Point], desired: int, base: int) -> Proposal:
    """As the step says in which the metric lies; out after `scale_out_after` datapoints, in after `scale_in_after`."""
    values = [point.value for point in points]
    tries: tuple[tuple[Wants, int], ...] = (("out", policy.scale_out_after), ("in", policy.scale_in_after))
    for wants, after in tries:
        if wants == "in" and not (policy.scale_in and points[-1].settled):
            continue
        if state_of(values, _breaches(step), after) != "ALARM":
            continue
        value = median_high([point.value or 0.0 for point in _judged(points, values, after)])
        chosen = chosen_step(step, value)
        if chosen is None:
            continue
        capacity, formula = adjusted(step, chosen.by, base if wants == "out" else desired)
        if (capacity > desired) if wants == "out" else (capacity < desired):
            return Proposal(
                policy=policy, wants=wants, value=value, capacity=capacity, level=step.threshold, formula=formula,
                told=amount(policy.metric, value, _within(step, chosen)), seconds=after * policy.period,
            )  # fmt: skip
    return Proposal(policy=policy, wants="hold", value=values[-1])


def _above(level: float) -> Callable[[float], bool]:
    return lambda value: value > level


def _below(level: float) -> Callable[[float], bool]:
    return lambda value: value < level


def _breaches(step: StepScaling) -> Callable[[float], bool]:
    if step.comparison == "above":
        return lambda value: value >= step.threshold
    return lambda value: value <= step.threshold


def _within(step: StepScaling, chosen: StepAdjustment) -> Holds:
    """Of a value: it is beyond the threshold, and this step is its."""
    breaches = _breaches(step)
    return lambda value: breaches(value) and chosen_step(step, value) is chosen


def chosen_step(step: StepScaling, value: float) -> StepAdjustment | None:
    """The step in which `value` lies. Above the threshold the lower bound belongs to a step, below it the upper one."""
    far = value - step.threshold
    for one in step.steps:
        lower = -math.inf if one.lower is None else one.lower
        upper = math.inf if one.upper is None else one.upper
        if (lower <= far < upper) if step.comparison == "above" else (lower < far <= upper):
            return one
    return None


def adjusted(step: StepScaling, by: int, capacity: int) -> tuple[int, str]:
    """`capacity` after an adjustment, and how that came about."""
    if step.adjustment == "exact_capacity":
        return by, f"exactly {by}"
    if step.adjustment == "change_in_capacity":
        return capacity + by, f"{capacity} {by:+d}"
    change = rounded(capacity * by / 100)
    if by and step.min_adjustment is not None and abs(change) < step.min_adjustment:
        return capacity + (step.min_adjustment if by > 0 else -step.min_adjustment), (
            f"{capacity} {by:+d}%, at least {step.min_adjustment}"
        )
    return capacity + change, f"{capacity} {by:+d}%"


def rounded(change: float) -> int:
    """Of a percentage: toward zero, but at least one where it is not zero (aws-semantics E3)."""
    if 0 < change < 1:
        return 1
    return -1 if -1 < change < 0 else math.trunc(change)


def _judged(points: Sequence[Point], values: Sequence[float | None], window: int) -> list[Point]:
    return [points[place] for place in judged(values, window)]
