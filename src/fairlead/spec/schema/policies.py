"""`services.ID.scaling.policies`: what changes the size of a group, with the rules of AWS (aws-semantics E2, E3).

`Policy.wanted` is the policy as the decision knows it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from fairlead.core.scaling import policies as core
from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import Holding, fail
from fairlead.spec.schema.measures import DistanceValue, LevelValue, Metric, distance_conflict, unit_conflict
from fairlead.spec.schema.numbers import Duration, Whole

MOST_INSTANCES = 100
"""Instances of one service: what one machine can be asked for."""

LONGEST = 86400.0
"""Seconds that the datapoints of one decision may span, as with an alarm on AWS."""


class Period(Duration):
    """Whole seconds, since what is measured is measured once a second."""

    def read(self, value: Any) -> float:
        if Duration().read(value) % 1:
            fail("must be whole seconds from 1s, not {value}: metrics are measured once a second")
        return super().read(value)

    def form(self) -> str:
        return "duration of whole seconds, 1s to 1h"


class Target(Part):
    """Target tracking: keep the metric at this value."""

    metric: Annotated[str, Metric()]
    """What is measured: a mean over the service's instances (latency: a percentile over all their answers;
    custom:NAME: the number as it is)."""
    value: LevelValue
    """What the metric is to be kept at."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from unit_conflict(self.metric, "value", self.value)
        if not self.value[1]:
            yield Conflict(("value",), "must be more than 0: the size is worked out by dividing by it")


class StepAdjustment(Part):
    """One step. Bounds are relative to the threshold; a missing one is infinite. Of its two bounds a step includes the
    one that is nearer to the threshold."""

    from_: DistanceValue | None = Field(None, alias="from")
    """Where the step begins, relative to the threshold. Without it: at minus infinity."""
    to: DistanceValue | None = None
    """Where the step ends, relative to the threshold. Without it: at infinity."""
    by: Annotated[int, Whole(-1000, 1000)]
    """Instances, or percent with percent_change_in_capacity; 0 changes nothing."""

    @property
    def lower(self) -> float | None:
        return self.from_[1] if self.from_ else None

    @property
    def upper(self) -> float | None:
        return self.to[1] if self.to else None

    @property
    def ends(self) -> tuple[tuple[str, tuple[str, float] | None], ...]:
        return ("from", self.from_), ("to", self.to)

    @property
    def span(self) -> tuple[float, float]:
        return -math.inf if self.lower is None else self.lower, math.inf if self.upper is None else self.upper

    def conflicts(self) -> Iterator[Conflict]:
        if self.from_ is None and self.to is None:
            yield Conflict(("", "from", "to"), "has no bound", "add `from` or `to`")
        elif self.span[0] >= self.span[1]:
            yield Conflict(("to", "from"), "must be more than `from`")


class Step(Part):
    """Step scaling, as on AWS."""

    metric: Annotated[str, Metric()]
    """What is measured: a mean over the service's instances (latency: a percentile over all their answers;
    custom:NAME: the number as it is)."""
    threshold: LevelValue
    """The level from which the steps are counted."""
    comparison: Literal["above", "below"] = "above"
    """Whether the steps hold above or below the threshold."""
    adjustment: Literal["change_in_capacity", "percent_change_in_capacity", "exact_capacity"] = "change_in_capacity"
    """What `by` means: instances more or less, percent more or less, or the number of instances."""
    min_adjustment: Annotated[int, Whole(1, MOST_INSTANCES)] | None = None
    """At least this many instances, with percent_change_in_capacity; with the others only 1, which changes nothing."""
    cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    """How long after a step this policy waits before the next."""
    steps: Annotated[tuple[StepAdjustment, ...], Holding(1, 20)]
    """What to do how far from the threshold. They join without a gap and do not overlap."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from unit_conflict(self.metric, "threshold", self.threshold)
        ends = [(f"steps.{n}.{key}", end) for n, one in enumerate(self.steps) for key, end in one.ends]
        wrong = [each for key, end in ends for each in distance_conflict(self.metric, (key, "metric"), end)]
        yield from wrong or self._bounds()
        for number, step in enumerate(self.steps):
            if self.adjustment == "exact_capacity" and step.by < 0:
                reason = "must be 0 or more, since with `adjustment: exact_capacity` it is the number of instances"
                yield Conflict((f"steps.{number}.by", "adjustment"), reason)
        if (self.min_adjustment or 1) > 1 and self.adjustment != "percent_change_in_capacity":
            reason = "goes only with `adjustment: percent_change_in_capacity`"
            yield Conflict(("min_adjustment", "adjustment"), reason, "remove it, or change `adjustment`")

    def _bounds(self) -> Iterator[Conflict]:
        """The first that the bounds do wrong together; the rules are those of AWS (aws-semantics E3)."""
        spans = sorted(step.span for step in self.steps)
        joints = list(itertools.pairwise(spans))
        lowest, highest = spans[0][0], max(end for _, end in spans)
        above = self.comparison == "above"
        if any(before[1] > after[0] for before, after in joints):
            yield Conflict(("steps",), "overlap", "end each step where the next begins")
        elif any(before[1] < after[0] for before, after in joints):
            reason = "leave a gap between two of them"
            yield Conflict(("steps",), reason, "end each step where the next begins; `by: 0` changes nothing")
        elif (highest if above else -lowest) <= 0:
            side, sign = ("above", "more") if above else ("below", "less")
            reason = f"are never reached: {side} the threshold, distances from it are {sign} than 0"
            advice = f"write `{'from: 0' if above else 'to: 0'}`, or `comparison: {'below' if above else 'above'}`"
            yield Conflict(("steps", "comparison"), reason, advice)
        elif -math.inf < lowest < 0:
            reason = f"say nothing of what is more than {core.amount(self.metric, -lowest)} below the threshold"
            yield Conflict(("steps",), reason, "leave out `from` in the lowest step")
        elif 0 < highest < math.inf:
            reason = f"say nothing of what is more than {core.amount(self.metric, highest)} above the threshold"
            yield Conflict(("steps",), reason, "leave out `to` in the highest step")


class Policy(Part):
    """One scaling policy: `target` or `step`."""

    target: Target | None = None
    """Target tracking: keep a metric at a value."""
    step: Step | None = None
    """Step scaling: change the size by how far a metric is from a threshold."""
    period: Annotated[float, Period(1, 3600)] = 1.0
    """Time between datapoints; metrics are measured once a second."""
    scale_out_after: Annotated[int, Whole(1, 1000)] = 3
    """Datapoints above the target, or beyond the threshold, before scaling out."""
    scale_in_after: Annotated[int, Whole(1, 1000)] = 15
    """Datapoints well below the target, or beyond the threshold, before scaling in."""
    scale_in: bool = True
    """False: this policy never scales in."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("target", "step"), "what it follows")
        for name in ("scale_out_after", "scale_in_after"):
            if (count := getattr(self, name)) * self.period > LONGEST:
                reason = f"spans more than a day: {count} datapoints, one in {self.period:g} s"
                yield Conflict((name, "period"), reason, "write fewer, or a shorter `period`")

    @property
    def wakes(self) -> bool:
        """Whether it could start the first instance where there is none: then only what asks for it is known."""
        follows = self.step or self.target
        if follows is None or follows.metric in ("cpu", "memory") or follows.metric.startswith("latency"):
            return False
        # A percentage of nothing is nothing, unless there is a least.
        grows = self.step is None or self.step.adjustment[:7] != "percent" or self.step.min_adjustment is not None
        return grows and (self.step is None or any(step.by > 0 for step in self.step.steps))

    def wanted(self) -> core.Policy:
        """As the decision knows it."""
        return core.Policy(
            follows=self._step(self.step) if self.step else self._target(),
            period=int(self.period),
            scale_out_after=self.scale_out_after,
            scale_in_after=self.scale_in_after,
            scale_in=self.scale_in,
        )

    def _target(self) -> core.TargetTracking:
        assert self.target is not None
        return core.TargetTracking(metric=self.target.metric, value=self.target.value[1])

    @staticmethod
    def _step(step: Step) -> core.StepScaling:
        steps = (core.StepAdjustment(lower=one.lower, upper=one.upper, by=one.by) for one in step.steps)
        return core.StepScaling(
            metric=step.metric,
            threshold=step.threshold[1],
            comparison=step.comparison,
            adjustment=step.adjustment,
            min_adjustment=step.min_adjustment if step.adjustment == "percent_change_in_capacity" else None,
            cooldown=step.cooldown,
            steps=tuple(steps),
        )
