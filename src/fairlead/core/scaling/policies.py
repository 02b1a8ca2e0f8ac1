"""What a file's `scaling:` asks for, as values (aws-semantics D and E). Durations are seconds.

Metrics are named as in the file: `cpu`, `memory` (percent of what is reserved), `requests_per_target` (per second),
`outstanding`, `latency_p50`, `latency_p95`, `latency_p99` (seconds), `custom:NAME`. All but the last are means over
(latencies: percentiles of) the instances that are in service and past their warm-up.
"""

from __future__ import annotations

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
            return f"{follows.metric} at {amount(follows.metric, follows.value)}"
        return f"{follows.metric} {follows.comparison} {amount(follows.metric, follows.threshold)}"


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


def amount(metric: str, value: float) -> str:
    """A value of a metric with its unit, as people write it: `60%`, `143/s`, `250 ms`, `300`."""
    unit = {"cpu": "%", "memory": "%", "requests_per_target": "/s"}.get(metric, "")
    return figure(metric, value) + (" ms" if metric.startswith("latency") else unit)


def figure(metric: str, value: float) -> str:
    """The same without the unit; latencies in milliseconds. At most three digits after those that count: `143`,
    `14.3`, `0.25`."""
    if metric.startswith("latency"):
        value *= 1000
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else "0"
