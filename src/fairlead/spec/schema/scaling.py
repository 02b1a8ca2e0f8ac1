"""`services.ID.scaling`: an auto scaling group, its policies and its schedule, and the metrics of the user's own.

Words and rules are those of AWS Auto Scaling, the defaults those of the annotated file.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import Kind, fail, holding
from fairlead.spec.schema.numbers import Duration, Number, Percent, Whole
from fairlead.spec.schema.texts import Line, Name, Words

MOST_INSTANCES = 100
"""Instances of one service: what one machine can be asked for."""

CRON_FIELDS = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("weekday", 0, 7, "sun mon tue wed thu fri sat"),
)
"""What each field is, its least and most number, and the names it knows."""

Metric = Annotated[
    str,
    Line(
        r"cpu|memory|requests_per_target|outstanding|latency_p(50|95|99)|custom:[a-z][a-z0-9-]{0,31}",
        "cpu, memory, requests_per_target, outstanding, latency_p50, latency_p95, latency_p99 or custom:NAME",
    ),
]


def read_cron(value: Any) -> str:
    """Five fields, as in crontab(5): numbers, names, *, ranges, lists and steps."""
    text = Line().read(value)
    fields = text.lower().split()
    if len(fields) != len(CRON_FIELDS):
        fail('must have five fields (minute, hour, day, month, weekday), as in "0 3 * * *", not {value}')
    for field, (what, least, most, names) in zip(fields, CRON_FIELDS, strict=True):
        if not all(_is_cron_part(part, least, most, names.split()) for part in field.split(",")):
            advice = 'write as in "0 3 * * *" or "*/5 8-18 * * mon-fri"'
            fail(f"has a field for the {what} that crontab does not know: {{value}}", advice)
    return text


def _is_cron_part(part: str, least: int, most: int, names: list[str]) -> bool:
    match = re.fullmatch(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]{1,3}))?", part)
    if not match or (match[3] and int(match[3]) < 1) or (match[1] == "*" and match[2]):
        return False
    ends = [end for end in (match[1], match[2]) if end and end != "*"]
    numbers = [int(end) if end.isdecimal() else names.index(end) + least if end in names else -1 for end in ends]
    return all(least <= number <= most for number in numbers) and numbers == sorted(numbers)


class Level(Kind):
    """The value of a metric: a number, a percentage (cpu, memory) or a duration (latency). Kept with its unit."""

    def read(self, value: Any) -> tuple[str, float]:
        if isinstance(value, str) and value.endswith("%"):
            return "%", Percent(0, 10_000).read(value)
        if isinstance(value, str):
            return "s", Duration().read(value)
        return "", Number(0, 1e12).read(value)

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["number", "string"]}


LevelValue = Annotated[tuple[str, float], Level()]


def unit_conflict(metric: str, key: str, level: tuple[str, float]) -> Iterator[Conflict]:
    """A metric is measured in one unit: cpu and memory in percent, latencies in time, the others in numbers."""
    unit = "%" if metric in ("cpu", "memory") else "s" if metric.startswith("latency") else ""
    if level[0] != unit:
        wanted = {"%": "a percentage, as in 60%", "s": "a duration, as in 200ms", "": "a number"}[unit]
        yield Conflict((key, "metric"), f"must be {wanted}, since the metric is {metric}")


class Target(Part):
    """Target tracking: keep the metric at this value."""

    metric: Metric
    value: LevelValue

    def conflicts(self) -> Iterator[Conflict]:
        return unit_conflict(self.metric, "value", self.value)


class StepAdjustment(Part):
    """One step. Bounds are relative to the threshold; a missing one is infinite."""

    from_: Annotated[float, Number(-1e12, 1e12)] | None = Field(None, alias="from")
    to: Annotated[float, Number(-1e12, 1e12)] | None = None
    by: Annotated[int, Whole(-1000, 1000)]
    """Instances, or percent with percent_change_in_capacity."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.from_ is None and self.to is None:
            yield Conflict(("", "from", "to"), "has no bound", "add `from` or `to`")
        elif self.from_ is not None and self.to is not None and self.from_ >= self.to:
            yield Conflict(("to", "from"), "must be more than `from`")


class Step(Part):
    """Step scaling, as on AWS."""

    metric: Metric
    threshold: LevelValue
    comparison: Literal["above", "below"] = "above"
    adjustment: Literal["change_in_capacity", "percent_change_in_capacity", "exact_capacity"] = "change_in_capacity"
    min_adjustment: Annotated[int, Whole(1, MOST_INSTANCES)] | None = None
    """At least this many instances. Means something only with percent_change_in_capacity, as on AWS."""
    cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    steps: Annotated[tuple[StepAdjustment, ...], holding(1, 20)]

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
    step: Step | None = None
    period: Annotated[float, Duration(0.1, 3600)] = 1.0
    """Seconds between datapoints."""
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
    cron: Annotated[str, BeforeValidator(read_cron)]
    timezone: Annotated[str, Line(r"[A-Za-z]\w*([/+-]\w+)*", "a time zone such as Europe/Berlin", 64)] = "UTC"
    min: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    max: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None

    def conflicts(self) -> Iterator[Conflict]:
        if self.min is self.desired is self.max is None:
            yield Conflict(("", "min", "desired", "max"), "changes nothing", "add `min`, `desired` or `max`")


class Scaling(Part):
    """An auto scaling group."""

    min: Annotated[int, Whole(0, MOST_INSTANCES)] = 1
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """Default `min`; only for the first launch."""
    max: Annotated[int, Whole(1, MOST_INSTANCES)]
    warm_up: Annotated[float, Duration(0, 86400)] = 10.0
    """Seconds during which a new instance's metrics do not count."""
    warm_pool: Annotated[int, Whole(0, MOST_INSTANCES)] = 0
    """Instances kept started and healthy but out of the load balancer."""
    scale_out_cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    scale_in_cooldown: Annotated[float, Duration(0, 86400)] = 60.0
    termination_policy: Literal["default", "oldest_instance", "newest_instance", "oldest_release"] = "default"
    policies: Annotated[tuple[Policy, ...], holding(0, 20)] = ()
    schedule: Annotated[tuple[Schedule, ...], holding(0, 50)] = ()

    def conflicts(self) -> Iterator[Conflict]:
        if self.min > self.max:
            yield Conflict(("min", "max"), f"is more than `max` ({self.max})")
        elif self.desired is not None and not self.min <= self.desired <= self.max:
            yield Conflict(("desired", "min", "max"), f"must be from `min` to `max` ({self.min} to {self.max})")


class CustomMetric(Part):
    """A number of the user's own: printed by a command, or read from a URL."""

    command: Annotated[tuple[str, ...], Words()] | None = None
    url: Annotated[str, Line(r"https?://\S+", "an address beginning with http:// or https://")] | None = None
    field: Annotated[str, Line()] | None = None
    """The field of a JSON answer."""
    series: Annotated[str, Line()] | None = None
    """The series of a Prometheus text."""
    every: Annotated[float, Duration(0.5, 3600)] = 5.0

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("command", "url"), "where its number comes from")
        if self.url is not None:
            yield from exactly_one(self, ("field", "series"), "what to read in the answer of `url`")
        elif self.field is not None or self.series is not None:
            name = "field" if self.field is not None else "series"
            yield Conflict((name, "url"), "goes only with `url`")
