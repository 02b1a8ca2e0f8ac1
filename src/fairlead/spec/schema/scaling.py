"""`services.ID.scaling`: an auto scaling group, its policies and its schedule, and the metrics of the user's own.

Words and rules are those of AWS Auto Scaling, the defaults those of the annotated file.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fairlead.spec.problems import listed, nearest
from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import Holding, Kind, fail
from fairlead.spec.schema.numbers import Duration, Number, Percent, Whole
from fairlead.spec.schema.texts import Line, Name, Url, Words
from fairlead.spec.schema.times import Cron, Zone

MOST_INSTANCES = 100
"""Instances of one service: what one machine can be asked for."""

MEASURES = (
    "cpu", "memory", "requests_per_target", "outstanding", "latency_p50", "latency_p95", "latency_p99",
)  # fmt: skip
"""What fairlead measures of a service, beside the `custom:NAME` of the user's own."""


@dataclass(frozen=True)
class Metric(Kind):
    """The name of something that is measured: one of `names`, or `custom:NAME`."""

    names: tuple[str, ...] = MEASURES

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            fail(f"must be {self.form()}, not {{value}}")
        if value not in self.names and not re.fullmatch(r"custom:[a-z][a-z0-9-]{0,31}", value):
            meant = nearest(value.strip().lower().replace("-", "_"), self.names)
            fail(f"must be {self.form()}, not {{value}}", meant=meant)
        return value

    def form(self) -> str:
        return listed([*self.names, "custom:NAME"])

    def json_schema(self) -> dict[str, Any]:
        custom = {"type": "string", "pattern": "^custom:[a-z][a-z0-9-]{0,31}$"}
        return {"anyOf": [{"enum": list(self.names)}, custom]}


class Level(Kind):
    """The value of a metric: a number, a percentage (cpu, memory) or a duration (latency). Kept with its unit."""

    def read(self, value: Any) -> tuple[str, float]:
        if isinstance(value, str) and value.endswith("%"):
            return "%", Percent(0, 10_000).read(value)
        if isinstance(value, str):
            return "s", Duration().read(value)
        return "", Number(0, 1e12).read(value)

    def form(self) -> str:
        return "number, percentage (cpu, memory) or duration (latency)"

    def json_schema(self) -> dict[str, Any]:
        texts = [Percent().json_schema(), Duration().json_schema()]
        return {"anyOf": [{"type": "number", "minimum": 0}, *texts]}


LevelValue = Annotated[tuple[str, float], Level()]


def unit_conflict(metric: str, key: str, level: tuple[str, float]) -> Iterator[Conflict]:
    """A metric is measured in one unit: cpu and memory in percent, latencies in time, the others in numbers."""
    unit = "%" if metric in ("cpu", "memory") else "s" if metric.startswith("latency") else ""
    if level[0] != unit:
        wanted = {"%": "a percentage, as in 60%", "s": "a duration, as in 200ms", "": "a number"}[unit]
        yield Conflict((key, "metric"), f"must be {wanted}, since the metric is {metric}")


class Target(Part):
    """Target tracking: keep the metric at this value."""

    metric: Annotated[str, Metric()]
    """What is measured: an average over the service's instances."""
    value: LevelValue
    """What the metric is to be kept at."""

    def conflicts(self) -> Iterator[Conflict]:
        return unit_conflict(self.metric, "value", self.value)


class StepAdjustment(Part):
    """One step. Bounds are relative to the threshold; a missing one is infinite."""

    from_: Annotated[float, Number(-1e12, 1e12)] | None = Field(None, alias="from")
    """Where the step begins, relative to the threshold. Without it: at minus infinity."""
    to: Annotated[float, Number(-1e12, 1e12)] | None = None
    """Where the step ends, relative to the threshold. Without it: at infinity."""
    by: Annotated[int, Whole(-1000, 1000)]
    """Instances, or percent with percent_change_in_capacity."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.from_ is None and self.to is None:
            yield Conflict(("", "from", "to"), "has no bound", "add `from` or `to`")
        elif self.from_ is not None and self.to is not None and self.from_ >= self.to:
            yield Conflict(("to", "from"), "must be more than `from`")


class Step(Part):
    """Step scaling, as on AWS."""

    metric: Annotated[str, Metric()]
    """What is measured: an average over the service's instances."""
    threshold: LevelValue
    """The level from which the steps are counted."""
    comparison: Literal["above", "below"] = "above"
    """Whether the steps hold above or below the threshold."""
    adjustment: Literal["change_in_capacity", "percent_change_in_capacity", "exact_capacity"] = "change_in_capacity"
    """What `by` means: instances more or less, percent more or less, or the number of instances."""
    min_adjustment: Annotated[int, Whole(1, MOST_INSTANCES)] | None = None
    """At least this many instances. Means something only with percent_change_in_capacity, as on AWS."""
    cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    """How long after a step this policy waits before the next."""
    steps: Annotated[tuple[StepAdjustment, ...], Holding(1, 20)]
    """What to do how far from the threshold."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from unit_conflict(self.metric, "threshold", self.threshold)
        spans = [
            (-math.inf if step.from_ is None else step.from_, math.inf if step.to is None else step.to)
            for step in self.steps
        ]
        if any(before[1] > after[0] for before, after in itertools.pairwise(sorted(spans))):
            yield Conflict(("steps",), "overlap", "end each step where the next begins")


class Policy(Part):
    """One scaling policy: `target` or `step`."""

    target: Target | None = None
    """Target tracking: keep a metric at a value."""
    step: Step | None = None
    """Step scaling: change the size by how far a metric is from a threshold."""
    period: Annotated[float, Duration(0.1, 3600)] = 1.0
    """Time between datapoints."""
    scale_out_after: Annotated[int, Whole(1, 1000)] = 3
    """Datapoints above the target before scaling out."""
    scale_in_after: Annotated[int, Whole(1, 1000)] = 15
    """Datapoints well below it before scaling in."""
    scale_in: bool = True
    """False: this policy never scales in."""

    def conflicts(self) -> Iterator[Conflict]:
        return exactly_one(self, ("target", "step"), "what it follows")


class Schedule(Part):
    """Sizes that hold from a time on."""

    name: Annotated[str, Name()]
    """Named in the scaling activity."""
    cron: Annotated[str, Cron()]
    """When the sizes begin to hold."""
    timezone: Annotated[str, Zone()] = "UTC"
    """The zone in which `cron` is read; summer time is followed."""
    min: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The least instances from then on."""
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The instances to have then."""
    max: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The most instances from then on."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.min is self.desired is self.max is None:
            yield Conflict(("", "min", "desired", "max"), "changes nothing", "add `min`, `desired` or `max`")


class Scaling(Part):
    """An auto scaling group."""

    min: Annotated[int, Whole(0, MOST_INSTANCES)] = 1
    """The least instances."""
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """Instances at the first launch; later the policies decide. Default: `min`."""
    max: Annotated[int, Whole(1, MOST_INSTANCES)]
    """The most instances."""
    warm_up: Annotated[float, Duration(0, 86400)] = 10.0
    """How long a new instance's metrics do not count."""
    warm_pool: Annotated[int, Whole(0, MOST_INSTANCES)] = 0
    """Instances kept started and healthy but out of the load balancer."""
    scale_out_cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    """How long after a scale-out there is no other."""
    scale_in_cooldown: Annotated[float, Duration(0, 86400)] = 60.0
    """How long after a scale-in there is no other."""
    termination_policy: Literal["default", "oldest_instance", "newest_instance", "oldest_release"] = "default"
    """Which instance a scale-in ends; always one of the zone that has the most."""
    policies: Annotated[tuple[Policy, ...], Holding(0, 20)] = ()
    """What changes the size, and when."""
    schedule: Annotated[tuple[Schedule, ...], Holding(0, 50)] = ()
    """Sizes by the clock."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.min > self.max:
            yield Conflict(("min", "max"), f"is more than `max` ({self.max})")
        elif self.desired is not None and not self.min <= self.desired <= self.max:
            yield Conflict(("desired", "min", "max"), f"must be from `min` to `max` ({self.min} to {self.max})")


class CustomMetric(Part):
    """A number of the user's own: printed by a command, or read from a URL."""

    command: Annotated[tuple[str, ...], Words()] | None = None
    """A program that prints the number."""
    url: Annotated[str, Url()] | None = None
    """An address that answers JSON (with `field`) or Prometheus text (with `series`)."""
    field: Annotated[str, Line()] | None = None
    """The field of a JSON answer."""
    series: Annotated[str, Line()] | None = None
    """The series of a Prometheus text."""
    every: Annotated[float, Duration(0.5, 3600)] = 5.0
    """Time between two readings."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("command", "url"), "where its number comes from")
        if self.url is not None:
            yield from exactly_one(self, ("field", "series"), "what to read in the answer of `url`")
        elif self.field is not None or self.series is not None:
            name = "field" if self.field is not None else "series"
            yield Conflict((name, "url"), "goes only with `url`")
