"""What is measured and at what level: the words that scaling policies and alarms share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fairlead.spec.problems import listed, nearest
from fairlead.spec.schema.base import Conflict
from fairlead.spec.schema.kinds import Kind, fail
from fairlead.spec.schema.numbers import Duration, Number, Percent

MEASURES = (
    "cpu", "memory", "requests_per_target", "outstanding", "latency_p50", "latency_p95", "latency_p99",
)  # fmt: skip
"""What fairlead measures of a service, beside the `custom:NAME` of the user's own."""

OF_REQUESTS = MEASURES[2:]
"""Those of a service that takes requests."""


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


class Distance(Kind):
    """How far from a level, to either side: a number (percent points of cpu and memory) or a duration (latency). Kept
    with its unit; 0 has any."""

    def read(self, value: Any) -> tuple[str, float]:
        if not isinstance(value, str):
            return "", Number(-1e12, 1e12).read(value)
        size = Duration().read(value.removeprefix("-"))
        return "s", -size if value.startswith("-") else size

    def form(self) -> str:
        return "number (cpu and memory: percent points) or duration (latency), also below 0"

    def json_schema(self) -> dict[str, Any]:
        pattern = str(Duration().json_schema()["pattern"]).replace("^", "^-?", 1)
        return {"anyOf": [Number(-1e12, 1e12).json_schema(), {"type": "string", "pattern": pattern}]}


DistanceValue = Annotated[tuple[str, float], Distance()]


def unit_conflict(metric: str, key: str, level: tuple[str, float]) -> Iterator[Conflict]:
    """A metric is measured in one unit: cpu and memory in percent, latencies in time, the others in numbers."""
    unit = "%" if metric in ("cpu", "memory") else "s" if metric.startswith("latency") else ""
    if level[0] != unit:
        wanted = {"%": "a percentage, as in 60%", "s": "a duration, as in 200ms", "": "a number"}[unit]
        yield Conflict((key, "metric"), f"must be {wanted}, since the metric is {metric}")


def distance_conflict(metric: str, keys: tuple[str, ...], distance: tuple[str, float] | None) -> Iterator[Conflict]:
    """Only latencies have their distances in time, and in nothing else."""
    unit, size = distance or ("", 0.0)
    if size and (unit == "s") != metric.startswith("latency"):
        wanted = "a number" if unit == "s" else "a duration, as in 100ms"
        yield Conflict(keys, f"must be {wanted}, since the metric is {metric}")
