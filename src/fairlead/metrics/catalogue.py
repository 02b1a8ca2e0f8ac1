"""Every metric: its name (CloudWatch's where there is one), what it counts, and where it exists.

The one table that the collector, the command line, Prometheus' text, the dashboard and the documentation are made from
(aws-semantics C2, D14). `origin` says whose name and meaning it is: a metric of AWS means what it means there, except
for what `differs` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["stack", "service", "zone", "target", "custom"]
"""CloudWatch's dimensions: LoadBalancer; with TargetGroup; with AvailabilityZone; and fairlead's own: Target, and each
metric of the user's own, which has one number and none of this catalogue's."""

Kind = Literal["count", "level", "time"]
"""count: how often in a period, they add up; level: how much at a moment; time: durations, read as percentiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. prometheus: its name there, without the `fairlead_` in front and `_total` behind."""

    name: str
    kind: Kind
    unit: str
    """CloudWatch's: Count, Seconds, Bytes, Percent, Count/Second."""
    levels: tuple[Level, ...]
    origin: Literal["ApplicationELB", "AutoScaling", "ECS", "fairlead"]
    prometheus: str
    meaning: str
    differs: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """What Prometheus gets beside the dimensions, e.g. code="2xx": several metrics may be one there."""


EVERYWHERE: tuple[Level, ...] = ("stack", "service", "zone", "target")
GROUPED: tuple[Level, ...] = ("service", "zone", "target")
OWN: tuple[Level, ...] = ("stack",)


def _by_target(code: str) -> Metric:
    return Metric(
        name=f"HTTPCode_Target_{code}_Count", kind="count", unit="Count", levels=EVERYWHERE, origin="ApplicationELB",
        prometheus="target_responses", labels=(("code", code.lower()),),
        meaning=f"Answers of {code.lower()} that targets gave.",
    )  # fmt: skip


def _by_balancer(code: str, levels: tuple[Level, ...] = OWN, differs: str = "") -> Metric:
    return Metric(
        name=f"HTTPCode_ELB_{code}_Count", kind="count", unit="Count", levels=levels, origin="ApplicationELB",
        prometheus="elb_responses" if code.endswith("XX") else "elb_errors", labels=(("code", code.lower()),),
        meaning=f"Answers of {code.lower()} that the load balancer gave itself.", differs=differs,
    )  # fmt: skip


METRICS: tuple[Metric, ...] = (
    Metric(
        name="RequestCount", kind="count", unit="Count", levels=EVERYWHERE, origin="ApplicationELB",
        prometheus="requests", meaning="Requests for which a target was chosen.",
        differs="Of a zone or target: requests that were sent there, also those that were then sent elsewhere.",
    ),
    Metric(
        name="RequestCountPerTarget", kind="count", unit="Count", levels=("service", "zone"), origin="ApplicationELB",
        prometheus="requests_per_target",
        meaning="Requests divided by the healthy targets; by all registered ones when none is healthy.",
    ),
    Metric(
        name="TargetResponseTime", kind="time", unit="Seconds", levels=EVERYWHERE, origin="ApplicationELB",
        prometheus="target_response_time_seconds",
        meaning="From when a request leaves the load balancer until the target's response headers begin.",
        differs="Queues, connecting and attempts that failed before are included.",
    ),
    *(_by_target(code) for code in ("2XX", "3XX", "4XX", "5XX")),
    _by_balancer("3XX"), _by_balancer("4XX"),
    _by_balancer("5XX", ("stack", "service"), "Also of a service: those given because no target of it answered."),
    *(_by_balancer(code) for code in ("500", "502", "503", "504")),
    Metric(
        name="HTTP_Fixed_Response_Count", kind="count", unit="Count", levels=OWN, origin="ApplicationELB",
        prometheus="fixed_responses", meaning="Fixed responses that rules asked for.",
    ),
    Metric(
        name="HTTP_Redirect_Count", kind="count", unit="Count", levels=OWN, origin="ApplicationELB",
        prometheus="redirects", meaning="Redirects that rules asked for.",
    ),
    Metric(
        name="TargetConnectionErrorCount", kind="count", unit="Count", levels=EVERYWHERE, origin="ApplicationELB",
        prometheus="target_connection_errors",
        meaning="Connections to targets that failed, health checks left out.",
    ),
    Metric(
        name="RetriedRequestCount", kind="count", unit="Count", levels=EVERYWHERE, origin="fairlead",
        prometheus="retried_requests", meaning="Attempts that failed and were made again, there or at another target.",
    ),
    Metric(
        name="HealthyHostCount", kind="level", unit="Count", levels=GROUPED, origin="ApplicationELB",
        prometheus="healthy_hosts", meaning="Targets that are healthy.", differs="Of a target: 1 or 0.",
    ),
    Metric(
        name="UnHealthyHostCount", kind="level", unit="Count", levels=GROUPED, origin="ApplicationELB",
        prometheus="unhealthy_hosts", meaning="Targets that are unhealthy.", differs="Of a target: 1 or 0.",
    ),
    Metric(
        name="OutstandingRequestCount", kind="level", unit="Count", levels=EVERYWHERE, origin="fairlead",
        prometheus="outstanding_requests",
        meaning="Requests, WebSockets and streams that run inside targets, or wait for one.",
    ),
    Metric(
        name="ActiveConnectionCount", kind="level", unit="Count", levels=OWN, origin="ApplicationELB",
        prometheus="active_connections", meaning="Connections that are open, to clients and to targets.",
        differs="A level at a moment, where CloudWatch sums; idle connections kept for targets are left out.",
    ),
    Metric(
        name="NewConnectionCount", kind="count", unit="Count", levels=OWN, origin="ApplicationELB",
        prometheus="new_connections", meaning="Connections opened, by clients and to targets.",
    ),
    Metric(
        name="RejectedConnectionCount", kind="count", unit="Count", levels=OWN, origin="ApplicationELB",
        prometheus="rejected_connections", meaning="Connections refused because the load balancer was at its limit.",
    ),
    Metric(
        name="ProcessedBytes", kind="count", unit="Bytes", levels=EVERYWHERE, origin="ApplicationELB",
        prometheus="processed_bytes", meaning="Bytes in both directions, headers included.",
        differs="Of a service, zone or target: between the load balancer and targets.",
    ),
    Metric(
        name="CPUUtilization", kind="level", unit="Percent", levels=GROUPED, origin="ECS",
        prometheus="cpu_utilization_percent",
        meaning="Processor time of all processes of an instance, in percent of `resources: cpu`; mean of instances.",
        differs="May exceed 100: nothing enforces the reservation on engine local.",
    ),
    Metric(
        name="MemoryUtilization", kind="level", unit="Percent", levels=GROUPED, origin="ECS",
        prometheus="memory_utilization_percent",
        meaning="Memory of all processes of an instance, in percent of `resources: memory`; the mean of instances.",
        differs="A page that n processes share counts 1/n for each.",
    ),
    Metric(
        name="GroupDesiredCapacity", kind="level", unit="Count", levels=("service",), origin="AutoScaling",
        prometheus="desired_capacity", meaning="How many instances are wanted.",
    ),
    Metric(
        name="GroupInServiceInstances", kind="level", unit="Count", levels=("service",), origin="AutoScaling",
        prometheus="in_service_instances", meaning="Instances that are in service.",
    ),
)  # fmt: skip

PERCENTILES = (50, 90, 95, 99)
"""What a metric of kind `time` is read as, beside its average."""

BY_NAME = {metric.name: metric for metric in METRICS}
