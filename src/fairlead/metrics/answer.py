"""A query and the rows that were found for it, made what `GET /stacks/NAME/metrics` answers with. Pure.

First which rows are needed (`plan`), then the answer made of them (`answer`): times in seconds, bytes, percent; null
is unknown, never zero. A point of one second gives levels as Average alone, since it has no other; longer ones give
Minimum and Maximum too. `incomplete` names the points in which counts may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any

from fairlead.core.latency import average, percentiles
from fairlead.metrics.catalogue import METRICS, PERCENTILES, Level, Metric
from fairlead.metrics.columns import COUNT_AT, LEVEL_AT
from fairlead.metrics.entities import Entity
from fairlead.metrics.history import SECONDS_KEPT, Found, Wanted
from fairlead.metrics.query import Query
from fairlead.metrics.rows import NAN, Row, merged
from fairlead.metrics.summary import count, error_rate, level_of

FINE = 600
"""Seconds that are shown second by second unless asked otherwise."""

MOST_POINTS = 1000
MOST_POINTS_ASKED = 3600
"""Points of each series; of a period that was asked for, all seconds that there are."""

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
"""Periods that are taken instead of one that is too fine."""


NO_UNIT = "None"
"""CloudWatch's word for it."""

Known = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """Points of `period` seconds from `start` to `end`, made of rows of `step` seconds."""

    period: int
    step: int
    start: int
    end: int


def plan(query: Query, seconds_until: int, minutes_until: int, known: Known) -> Plan:
    """What is asked for, as far as it is finished: seconds that end at `seconds_until` or before, minutes likewise.

    known: whether anything was measured from a time to before another. Of a stack that was not measured for longer than
    `FINE` also long points are made of seconds: of its first minute there is nothing else.
    """
    until, since = _asked(query, seconds_until)
    period = max(1, query.period or (1 if until - since <= FINE else 60))
    # A minute's grace: whoever asks for the last hour has a clock that is ahead of the last finished second.
    if since < seconds_until - SECONDS_KEPT - 60:
        period = max(60, period)
    most = MOST_POINTS_ASKED if query.period else MOST_POINTS
    while (until - since) / period > most and period < STEPS[-1]:
        period = next(step for step in STEPS if step > period)
    if period > 60:
        period = ceil(period / 60) * 60
    step = 60 if period % 60 == 0 and not _is_new(since, seconds_until, known) else 1
    end = min(ceil(until / step) * step, minutes_until if step == 60 else seconds_until)
    end = max(end, floor(since / step) * step)  # nothing is finished yet: no point at all
    return Plan(period, step, end - max(0, ceil((end - floor(since)) / period)) * period, end)


def _asked(query: Query, seconds_until: int) -> tuple[float, float]:
    """Until when, and since when."""
    until = min(query.until if query.until is not None else seconds_until, seconds_until)
    return until, min(query.since if query.since is not None else until - FINE, until)


def _is_new(since: float, seconds_until: int, known: Known) -> bool:
    """Whether all that is known is in seconds, and few of them."""
    return not known(floor(min(since, seconds_until - SECONDS_KEPT)), seconds_until - FINE)


def wanted(query: Query) -> Wanted:
    """Whose rows are asked for: the stack and its services; a service, its zones and targets; a zone and its targets;
    or a target. A service's own metrics come with it."""

    def asked(entity: Entity) -> bool:
        if query.service and entity.service != query.service:
            return False
        if query.target:
            return entity.target == query.target and entity.level == "target"
        if query.zone:
            return entity.zone == query.zone
        return bool(query.service) or entity.level in ("stack", "service", "custom")

    return asked


def answer(query: Query, plan: Plan, found: Found) -> dict[str, Any]:
    """The JSON object. found: rows of `plan.step` seconds, of those who are `wanted`."""
    zones = {entity for entity in found if entity.level == "zone"}
    customs = [entity for entity in found if entity.level == "custom"]
    shown = [entity for entity in found if len(zones) > 1 or query.zone or entity not in zones]
    beginnings = {at for rows in found.values() for at in rows}
    points = range(plan.start, plan.end, plan.period)
    incomplete = {at for at in points if 0 < _steps(plan, at, beginnings) < plan.period // plan.step}
    series = []
    for entity in sorted(set(shown) - set(customs), key=_order):
        rows = found[entity]
        grouped = [_row(plan, at, rows) for at in points]
        incomplete |= {at for at, row in zip(points, grouped, strict=True) if row is not None and row.incomplete}
        series.append(_series(entity, grouped, plan.period > 1))
        for own in sorted(one for one in customs if entity == (one.stack, one.service, "", "")):
            series[-1]["metrics"] += _custom(own, [_row(plan, at, found[own]) for at in points], plan.period > 1)
    return {
        "stack": query.stack,
        "period": plan.period,
        "start": iso(plan.start),
        "end": iso(plan.end),
        "incomplete": [iso(at) for at in sorted(incomplete)],
        "series": series,
    }


def _steps(plan: Plan, at: int, beginnings: set[int]) -> int:
    return sum(1 for step in range(at, at + plan.period, plan.step) if step in beginnings)


def _row(plan: Plan, at: int, rows: Mapping[int, Row]) -> Row | None:
    ones = [row for step in range(at, at + plan.period, plan.step) if (row := rows.get(step)) is not None]
    return merged(ones) if ones else None


def _series(entity: Entity, rows: Sequence[Row | None], longer: bool) -> dict[str, Any]:
    level = entity.level
    times = [percentiles(row.times, PERCENTILES) if row is not None else [None] * len(PERCENTILES) for row in rows]
    metrics = [
        {"name": metric.name, "unit": metric.unit, "statistic": statistic, "values": values}
        for metric in METRICS
        if level in metric.levels
        for statistic, values in _statistics(metric, level, rows, times, longer)
    ]
    return {
        "service": entity.service or None,
        "zone": entity.zone or None,
        "target": entity.target or None,
        "metrics": metrics,
        "summary": summary(level, [row for row in rows if row is not None]),
    }


def _statistics(
    metric: Metric, level: Level, rows: Sequence[Row | None], times: Sequence[Sequence[float | None]], longer: bool
) -> list[tuple[str, list[float | None]]]:
    if metric.kind == "count":
        place = COUNT_AT[level][metric.name]
        return [("Sum", _numbers((row.counts[place] if row else NAN for row in rows), metric.unit))]
    if metric.kind == "time":
        averages = [average(row.times) if row and row.times else None for row in rows]
        found = [("Average", [_rounded(value, metric.unit) for value in averages])]
        for place, percent in enumerate(PERCENTILES):
            found.append((f"p{percent}", [_rounded(values[place], metric.unit) for values in times]))
        return found
    return _levels(LEVEL_AT[level][metric.name], metric.unit, rows, longer)


def _levels(place: int, unit: str, rows: Sequence[Row | None], longer: bool) -> list[tuple[str, list[float | None]]]:
    found = [("Average", _numbers((row.average[place] if row else NAN for row in rows), unit))]
    if longer:
        found.append(("Minimum", _numbers((row.minimum[place] if row else NAN for row in rows), unit)))
        found.append(("Maximum", _numbers((row.maximum[place] if row else NAN for row in rows), unit)))
    return found


def _custom(entity: Entity, rows: Sequence[Row | None], longer: bool) -> list[dict[str, Any]]:
    """A metric of the user's own, whose unit nobody knows."""
    return [
        {"name": entity.target, "unit": NO_UNIT, "statistic": statistic, "values": values}
        for statistic, values in _levels(0, NO_UNIT, rows, longer)
    ]


def summary(level: Level, rows: Sequence[Row]) -> dict[str, float | None]:
    """All of them as one, in a few figures. error_rate: a share, 0 to 1."""
    names = ("requests", "requests_per_second", "error_rate", "average", "p50", "p90", "p95", "p99", "cpu", "memory")
    if not rows:
        return dict.fromkeys(names)
    whole = merged(rows)
    requests = count(whole, level, "RequestCount")
    rate = error_rate(whole, level)
    return {
        "requests": _rounded(requests, "Count"),
        "requests_per_second": _rounded(requests / whole.seconds, "Count/Second") if requests is not None else None,
        "error_rate": round(rate, 6) if rate is not None else None,
        "average": _rounded(average(whole.times), "Seconds"),
        **{
            f"p{percent}": _rounded(value, "Seconds")
            for percent, value in zip(PERCENTILES, percentiles(whole.times, PERCENTILES), strict=True)
        },
        "cpu": _rounded(level_of(whole, level, "CPUUtilization"), "Percent"),
        "memory": _rounded(level_of(whole, level, "MemoryUtilization"), "Percent"),
    }


_DIGITS = {"Seconds": 6, "Percent": 2, NO_UNIT: 6}


def _rounded(value: float | None, unit: str) -> float | None:
    return None if value is None else _number(value, unit)


def _number(value: float, unit: str) -> float | None:
    """As it is shown: whole numbers without a point, the rest without digits that mean nothing."""
    return _numbers((value,), unit)[0]


def _numbers(values: Iterable[float], unit: str) -> list[float | None]:
    digits = _DIGITS.get(unit, 3)
    rounded = [None if value != value else round(float(value), digits) for value in values]
    return [int(value) if value is not None and value.is_integer() else value for value in rounded]


def _order(entity: Entity) -> tuple[Any, ...]:
    """A stack before its services, a service before its zones, these before targets; web-2 before web-10."""
    parts = re.split(r"(\d+)", entity.target)
    natural = [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
    return (
        entity.service,
        ("stack", "service", "zone", "target").index(entity.level),
        entity.zone * (not entity.target),
        natural,
    )


def iso(at: float) -> str:
    """ISO 8601 UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
