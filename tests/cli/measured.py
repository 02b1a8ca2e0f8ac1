"""Answers of a daemon that measured: the contract of `fairlead metrics --json`, made of few words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Values = Sequence[float | None]

START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def a_metric(name: str, values: Values, statistic: str = "Sum", unit: str = "Count") -> dict[str, Any]:
    return {"name": name, "unit": unit, "statistic": statistic, "values": list(values)}


def a_series(
    *metrics: dict[str, Any],
    service: str | None = "web",
    zone: str | None = None,
    target: str | None = None,
    **summary: float | None,
) -> dict[str, Any]:
    keys = ("requests", "requests_per_second", "error_rate", "average", "p50", "p90", "p95", "p99", "cpu", "memory")
    whole = {**dict.fromkeys(keys), **summary}
    return {"service": service, "zone": zone, "target": target, "metrics": list(metrics), "summary": whole}


def an_answer(*series: dict[str, Any], period: int = 1, incomplete: Sequence[int] = ()) -> dict[str, Any]:
    """incomplete: numbers of the periods that are."""
    points = max((len(metric["values"]) for one in series for metric in one["metrics"]), default=0)
    return {
        "stack": "shop",
        "period": period,
        "start": iso(START),
        "end": iso(START + timedelta(seconds=points * period)),
        "incomplete": [iso(START + timedelta(seconds=place * period)) for place in incomplete],
        "series": list(series),
    }


def a_service(
    requests: Values,
    *,
    errors: Values | None = None,
    times: Values | None = None,
    healthy: Values | None = None,
    used: Values | None = None,
    **who: Any,
) -> dict[str, Any]:
    """A service, or a target of one, with everything that is looked at first."""
    many = len(requests)
    used = used or [40.0] * many
    metrics = [
        a_metric("RequestCount", requests),
        a_metric("HTTPCode_Target_5XX_Count", errors or [0.0] * many),
        *(
            a_metric("TargetResponseTime", [t and t * f for t in times or [None] * many], name, "Seconds")
            for name, f in (("p50", 1.0), ("p95", 2.0), ("p99", 3.0))
        ),
        a_metric("OutstandingRequestCount", [1.5] * many, "Average"),
        a_metric("HealthyHostCount", healthy or [2.0] * many, "Average"),
        a_metric("CPUUtilization", used, "Average", "Percent"),
        a_metric("MemoryUtilization", [None if one is None else 31.0 for one in used], "Average", "Percent"),
    ]
    if "target" not in who:
        metrics.append(a_metric("HTTPCode_ELB_5XX_Count", [None if one is None else 0.0 for one in requests]))
        metrics.append(a_metric("GroupDesiredCapacity", [3.0] * many, "Average"))
    return a_series(*metrics, **who)


def a_stack(many: int) -> dict[str, Any]:
    """What no service has."""
    return a_series(
        a_metric("HTTPCode_ELB_4XX_Count", [0.0] * many),
        a_metric("HTTPCode_ELB_5XX_Count", [0.0] * (many - 1) + [2.0]),
        a_metric("ActiveConnectionCount", [12.0] * many, "Average"),
        a_metric("NewConnectionCount", [3.0] * many),
        a_metric("RejectedConnectionCount", [0.0] * many),
        a_metric("ProcessedBytes", [3.4e9] * many, unit="Bytes"),
        service=None,
    )
