"""The few figures that people look at first, of one row. Pure."""

from __future__ import annotations

from fairlead.core.figures import Figures
from fairlead.core.latency import percentiles
from fairlead.metrics.catalogue import Level
from fairlead.metrics.columns import COUNT_AT, LEVEL_AT
from fairlead.metrics.rows import Row

ANSWERS = tuple(f"HTTPCode_Target_{code}_Count" for code in ("2XX", "3XX", "4XX", "5XX"))
OWN_ANSWERS = tuple(f"HTTPCode_ELB_{code}_Count" for code in ("3XX", "4XX", "5XX"))


def known(value: float) -> float | None:
    """None for what is unknown."""
    return value if value == value else None


def count(row: Row, level: Level, name: str) -> float | None:
    """A count of a row; None: unknown, or not counted at this level."""
    place = COUNT_AT[level].get(name)
    return known(row.counts[place]) if place is not None else None


def level_of(row: Row, level: Level, name: str) -> float | None:
    """The average of a level of a row; None: unknown, or not there at this level."""
    place = LEVEL_AT[level].get(name)
    return known(row.average[place]) if place is not None else None


def error_rate(row: Row, level: Level) -> float | None:
    """The share (0 to 1) of answers that were 5xx, whoever gave them; of a zone or target: its own, and requests that
    it took and never answered. None: unknown, or nothing was answered."""
    targets = [count(row, level, name) or 0 for name in ANSWERS]
    failed, answers = targets[-1], sum(targets)
    if level in ("stack", "service"):
        own = [count(row, level, name) or 0 for name in OWN_ANSWERS]
        failed, answers = failed + own[-1], answers + sum(own)
    else:
        broken = count(row, level, "BrokenRequestCount") or 0
        failed, answers = failed + broken, answers + broken
    return failed / answers if answers > 0 else None


def figures_of(row: Row, level: Level) -> Figures:
    """Of a row of any length."""
    requests = count(row, level, "RequestCount")
    p50, p95 = percentiles(row.times, (50, 95))
    return Figures(
        requests_per_second=requests / row.seconds if requests is not None else None,
        error_rate=error_rate(row, level),
        p50=p50,
        p95=p95,
        outstanding=level_of(row, level, "OutstandingRequestCount"),
        cpu=level_of(row, level, "CPUUtilization"),
        memory=level_of(row, level, "MemoryUtilization"),
    )
