"""What a file's `scaling:` asks for, as values (aws-semantics D and E). Durations are seconds.

Metrics are named as in the file: `cpu`, `memory` (percent of what is reserved), `requests_per_target` (per second),
`outstanding`, `latency_p50`, `latency_p95`, `latency_p99` (seconds), `custom:NAME`. All but the last are means over
(latencies: percentiles of) the instances that are in service and past their warm-up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

CUSTOM = "custom:"
"""In front of the name of a metric of the user's own."""

Adjustment = Literal["change_in_capacity", "percent_change_in_capacity", "exact_capacity"]
TerminationPolicy = Literal["default", "oldest_instance", "newest_instance", "oldest_release"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTracking:
    """Keep `metric` at `value` (E2)."""

    metric: str
    value: float
    kind: Literal["target"] = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAdjustment:
    """One step. Bounds are relative to the threshold; None is infinite."""

    lower: float | None
    upper: float | None
    by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScaling:
    """Change the size by how far `metric` is from a threshold (E3)."""

    metric: str
    threshold: float
    comparison: Literal["above", "below"] = "above"
    adjustment: Adjustment = "change_in_capacity"
    min_adjustment: int | None = None
    cooldown: float = 0.0
    """Seconds that this policy waits after a step of its own."""
    steps: tuple[StepAdjustment, ...] = ()
    kind: Literal["step"] = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One scaling policy."""

    follows: TargetTracking | StepScaling
    period: int = 1
    """Seconds between datapoints."""
    scale_out_after: int = 3
    """Datapoints in breach before it scales out."""
    scale_in_after: int = 15
    scale_in: bool = True
    """False: it never scales in."""

    @property
    def metric(self) -> str:
        return self.follows.metric

    @property
    def name(self) -> str:
        """What it is called in causes and in `status`: `cpu at 60%`, `custom:queue above 300`."""
        follows = self.follows
        if isinstance(follows, TargetTracking):
            return f"{follows.metric} at {level(follows.metric, follows.value)}"
        return f"{follows.metric} {follows.comparison} {level(follows.metric, follows.threshold)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledAction:
    """Sizes that hold from each time of a schedule on (E4). None: that one stays as it is."""

    name: str
    cron: str
    timezone: str = "UTC"
    minimum: int | None = None
    desired: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMetric:
    """A number of the user's own: what `argv` prints, or what `url` answers (JSON: `field`, dotted; Prometheus text:
    `series`)."""

    name: str
    argv: tuple[str, ...] | None = None
    url: str | None = None
    field: str | None = None
    series: str | None = None
    every: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """An auto scaling group, its sizes excepted: those are the service's own."""

    warm_up: float = 10.0
    """Seconds in service for which an instance's metrics do not count."""
    warm_pool: int = 0
    """Instances kept started and healthy but out of the load balancer; with the others never more than the maximum."""
    reuse_on_scale_in: bool = False
    """A scale-in returns instances to the warm pool while it has room, instead of ending them."""
    scale_out_cooldown: float = 0.0
    scale_in_cooldown: float = 60.0
    termination_policy: TerminationPolicy = "default"
    policies: tuple[Policy, ...] = ()
    schedule: tuple[ScheduledAction, ...] = ()


Holds = Callable[[float], bool]
"""What is said of a value beside it."""

FINEST = 15
"""Decimals at most: floats have no more."""


def amount(metric: str, value: float, holds: Holds | None = None) -> str:
    """What was measured, with its unit, as people write it: `60%`, `143/s`, `250 ms`, `300`. holds: as of `figure`."""
    return figure(metric, value, holds) + unit_of(metric)


def figure(metric: str, value: float, holds: Holds | None = None) -> str:
    """The same without the unit; latencies in milliseconds. Three digits are enough: `143`, `14.3`, `0.25`; more only
    where `holds` is true of the value and not of what is shown: who reads `80%, above 80%` believes nothing more."""
    scale = _scale(metric)
    text = _short(value * scale)
    if holds is None or not holds(value):
        return text
    for decimals in range(FINEST + 1):
        if holds(float(text) / scale):
            break
        text = f"{value * scale:.{decimals}f}"
    return text


def level(metric: str, value: float) -> str:
    """A target or a threshold with its unit, in all its digits: `112.5/s`."""
    return level_figure(metric, value) + unit_of(metric)


def level_figure(metric: str, value: float) -> str:
    """The same without the unit."""
    text = f"{value * _scale(metric):.13g}"
    return f"{value * _scale(metric):.{FINEST}f}".rstrip("0").rstrip(".") if "e-" in text else text


def unit_of(metric: str) -> str:
    if metric.startswith("latency"):
        return " ms"
    return {"cpu": "%", "memory": "%", "requests_per_target": "/s"}.get(metric, "")


def _scale(metric: str) -> float:
    """Latencies are told in milliseconds."""
    return 1000.0 if metric.startswith("latency") else 1.0


def _short(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else "0"
