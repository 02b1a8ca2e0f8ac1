"""Builders of what a drill judges: steps, limits, and an instance that is a queue in front of some workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairlead.drill.capacity import Capacity, Limits, Step

LIMITS = Limits(latency=0.1, unloaded=0.02, highest=5000.0)


def a_step(rate: float = 100.0, **changes: Any) -> Step:
    """One that was borne well, unless said otherwise."""
    seconds = changes.get("seconds", 4.0)
    sent = round(rate * seconds)
    fine: dict[str, Any] = {
        "seconds": seconds, "sent": sent, "answered": sent, "in_time": round(rate * (seconds - LIMITS.unloaded)),
        "p50": 0.02, "p95": 0.025, "p99": 0.03, "lag": 0.001,
    }  # fmt: skip
    return Step(rate=rate, **{**fine, **changes})


def too_much(rate: float, **changes: Any) -> Step:
    """One that was not borne."""
    return a_step(rate, p95=0.3, **changes)


def a_capacity(steps: Sequence[Step], **changes: Any) -> Capacity:
    known: dict[str, Any] = {
        "stack": "shop", "service": "web", "instance": "web-1", "path": "/", "limits": LIMITS, "unloaded_p95": 0.022,
        "cpu_reserved": 0.5, "cpu_per_request": 0.001, "start_time": 1.2, "others": 0.0, "cores": 4,
        "measured_at": "2026-11-21T10:00:00Z",
    }  # fmt: skip
    return Capacity(steps=tuple(steps), **{**known, **changes})


def served(rate: float, seconds: float, *, workers: int, takes: float) -> Step:
    """What becomes of that load at an instance of so many workers, each of which takes so long for a request."""
    free = [0.0] * workers
    latencies, in_time = [], 0
    for number in range(max(1, round(rate * seconds))):
        due = number / rate
        free.sort()
        free[0] = max(free[0], due) + takes
        latencies.append(free[0] - due)
        in_time += free[0] <= seconds
    ordered = sorted(latencies)

    def percentile(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Step(
        rate=rate, seconds=seconds, sent=len(ordered), answered=len(ordered), in_time=in_time,
        p50=percentile(50), p95=percentile(95), p99=percentile(99),
    )  # fmt: skip
