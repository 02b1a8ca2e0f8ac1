"""How much a service has to do and how well it does it, in words. Pure.

In: `Figures` of a service, or of one target and of those beside it. Out: clauses for whoever explains. The numbers
below are fairlead's own: an explanation names what stands out, it does not decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core.figures import WINDOW, Figures
from fairlead.core.phrases import several

FEWEST_ERRORS = 3
"""Errors within the window below which nothing is said of them: they may be chance."""

NOTABLE_ERRORS = 0.01
"""Share of failed requests that is worth a word."""

MARGIN = 0.05
"""A target fails more often than the others when its share of errors is larger by this (as `core.anomalies`)."""

SLOWER, SLOWEST_UNNOTICED = 3.0, 0.05
"""A target is slower than the others when its p95 is so many times theirs, and above so many seconds."""

NEARLY_ALL = 90.0
"""Percent of what is reserved."""


def told(figures: Figures, *, errors: bool = True) -> str:
    """`34 requests/s, 0.8% errors, p95 38 ms, cpu 40%, memory 12%`; what is not known is left out. errors: False where
    they were told already."""
    said = []
    if figures.requests_per_second is not None:
        said.append(f"{_number(figures.requests_per_second)} requests/s")
    if errors and figures.error_rate is not None:
        said.append(f"{_share(figures.error_rate)} errors")
    if figures.p95 is not None:
        said.append(f"p95 {_time(figures.p95)}")
    said += [
        f"{name} {value:.0f}%"
        for name, value in (("cpu", figures.cpu), ("memory", figures.memory))
        if value is not None
    ]
    return ", ".join(said)


def failing(figures: Figures) -> str:
    """`12% of its requests fail`, when that is worth a word; else ""."""
    rate, per_second = figures.error_rate or 0.0, figures.requests_per_second or 0.0
    many = rate * per_second * WINDOW >= FEWEST_ERRORS
    return f"{_share(rate)} of its requests fail" if many and rate >= NOTABLE_ERRORS else ""


def troubles(mine: Figures, others: Sequence[Figures]) -> list[str]:
    """What stands out about a target: against the others of its service, and against what it reserves."""
    clauses = []
    rates = [(one.error_rate, one.requests_per_second or 0.0) for one in others if one.error_rate is not None]
    total = sum(weight for _, weight in rates)
    usual = sum(rate * weight for rate, weight in rates) / total if total else None
    said = failing(mine)
    if said and usual is not None and (mine.error_rate or 0.0) - usual >= MARGIN:
        clauses.append(f"{said}, {_share(usual)} of those of {_beside(others)}")
    p95s = sorted(one.p95 for one in others if one.p95 is not None)
    if mine.p95 is not None and p95s:
        middle = p95s[len(p95s) // 2]
        if mine.p95 > SLOWEST_UNNOTICED and mine.p95 > SLOWER * middle:
            clauses.append(f"its p95 is {_time(mine.p95)}, that of {_beside(others)} {_time(middle)}")
    clauses += [
        f"it uses {value:.0f}% of the {name} that it reserves"
        for name, value in (("cpu", mine.cpu), ("memory", mine.memory))
        if value is not None and value >= NEARLY_ALL
    ]
    return clauses


def _beside(others: Sequence[Figures]) -> str:
    return "the other" if len(others) == 1 else f"the {several(len(others), 'other')}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _share(value: float) -> str:
    percent = 100 * value
    if 0 < percent < 0.1:
        return "under 0.1%"
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}".removesuffix(".0") + "%"


def _time(seconds: float) -> str:
    if seconds >= 0.9995:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.1f}".removesuffix(".0") + " ms"
