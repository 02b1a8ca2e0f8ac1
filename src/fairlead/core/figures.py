"""How a service or a target did of late, in the few figures that people look at first. Values only; `metrics` makes
them, `status` and `explain` show them.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 10
"""Seconds that are looked back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Over the last `WINDOW` whole seconds, or as many of them as are known. None: unknown, which is not zero."""

    requests_per_second: float | None = None
    error_rate: float | None = None
    """Share (0 to 1) of the requests that ended in an answer of 5xx, whoever gave it; of a target: of 5xx of its own,
    or in no answer of its. None too when there was no request."""
    p50: float | None = None
    p95: float | None = None
    """Seconds, of TargetResponseTime."""
    outstanding: float | None = None
    cpu: float | None = None
    memory: float | None = None
    """Percent, as CPUUtilization and MemoryUtilization."""


UNKNOWN = Figures()
