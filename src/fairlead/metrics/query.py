"""What somebody wants to see of the past: whose metrics, from when to when, in steps of how long. A value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """service, zone, target: "" asks for all there are. Without a service the stack and its services are answered;
    with one the service, its zones if there are several, and its targets; zone or target narrow that down."""

    stack: str
    service: str = ""
    zone: str = ""
    target: str = ""
    since: float | None = None
    """Seconds since 1970; None: ten minutes before `until`."""
    until: float | None = None
    """Seconds since 1970; None: now."""
    period: int | None = None
    """Seconds; None: the finest that the span allows (`answer.plan`)."""
