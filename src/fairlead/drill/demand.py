"""What the daemon measured while a drill ran: the processors that an instance used, and the requests of others. Pure.

In: answers of `GET /stacks/NAME/metrics` with a period of a second, and the steps. Out: steps with their cpu, the cost
of a request, and how many requests were not ours. Unknown is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean, linear_regression
from typing import Any

from fairlead.drill.capacity import Limits, Step, holds

Answer = Mapping[str, Any]

SPREAD = 1.5
"""How many times the lowest rate the highest has to be for the rise of cpu to say what a request costs."""


def series(answer: Answer, name: str, target: str | None) -> dict[int, float]:
    """One metric (Average or Sum) of a target, or of its service: seconds since 1970 -> what is known."""
    start = datetime.fromisoformat(answer["start"]).timestamp()
    for one in answer["series"]:
        if one["target"] == target and (target or one["zone"] is None):
            for metric in one["metrics"]:
                if metric["name"] == name and metric["statistic"] in ("Average", "Sum"):
                    values = enumerate(metric["values"])
                    return {round(start) + at * answer["period"]: value for at, value in values if value is not None}
    return {}


def with_cpu(steps: Sequence[Step], percents: Mapping[int, float], reserved: float | None) -> tuple[Step, ...]:
    """Each step with the processors that the instance was busy on. percents: of what is reserved, each second."""
    return tuple(replace(step, cpu=_cpu(step, percents, reserved)) for step in steps)


def _cpu(step: Step, percents: Mapping[int, float], reserved: float | None) -> float | None:
    whole = [value for at, value in percents.items() if step.at <= at and at + 1 <= step.at + step.seconds]
    return fmean(whole) / 100 * reserved if whole and reserved else None


def cost(steps: Sequence[Step], limits: Limits) -> tuple[float | None, float]:
    """Processor seconds of a request, and processors busy without one: a line through the steps that were borne."""
    points = [(step.rate, step.cpu) for step in steps if step.cpu is not None and holds(step, limits)]
    if not points:
        return None, 0.0
    rates, cpus = [rate for rate, _ in points], [cpu for _, cpu in points]
    if max(rates) >= SPREAD * min(rates):
        line = linear_regression(rates, cpus)
        if line.slope > 0 and line.intercept >= 0:
            return line.slope, line.intercept
    # All rates are about the same, or the line is none: all of it is the requests'.
    whole = sum(rate * cpu for rate, cpu in points) / sum(rate * rate for rate in rates)
    return (whole or None), 0.0


def others(requests: Mapping[int, float], ours: int, since: float, until: float) -> float | None:
    """Requests a second that the service had of others. None: too little is known."""
    seconds = [value for at, value in requests.items() if since - 1 < at < until]
    if not seconds or len(seconds) < 0.8 * (until - since):
        return None
    return max(0.0, sum(seconds) - ours) / (until - since)
