"""The columns of the status table: what a row holds, which of them a service has, and which fit the terminal. Pure.

In: services and instances of the status contract; keys that a daemon of before an upgrade lacks may be missing. Out:
column -> text, and the names of the columns that are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from fairlead.cli.amounts import amount, percent, share, span
from fairlead.cli.output import cell, duration
from fairlead.core.figures import Figures
from fairlead.core.performance import NOTABLE_ERRORS

HEALTH = {"healthy": "green", "unhealthy": "red", "initial": "yellow", "draining": "yellow", "unused": "dim"}

FIGURES: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "REQ/S": ("requests_per_second", amount),
    "ERRORS": ("error_rate", share),
    "P95": ("p95", span),
    "CPU": ("cpu", percent),
    "MEMORY": ("memory", percent),
}
"""Columns of how an instance did of late: the key of `figures`, and how it is shown."""

HEADINGS = ("INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", *FIGURES, "PID", "ADDRESS")

LEAST_FIRST = ("ADDRESS", "ZONE", "RELEASE", "MEMORY", "CPU", "UPTIME", "PID")
"""In which order columns are left out when the terminal is too narrow."""


def columns_of(service: dict[str, Any]) -> list[str]:
    """Those that can have something in them."""
    never: set[str] = set()
    if not any("figures" in instance for instance in service["instances"]):
        never |= set(FIGURES)  # a daemon of before the upgrade
    if not service.get("serves", True):
        never |= {"REQ/S", "ERRORS", "P95"}
    if not service.get("runs", True):
        never |= {"CPU", "MEMORY"}
    return [name for name in HEADINGS if name not in never]


def fitting(
    columns: list[str], rows: Sequence[dict[str, str]], service: dict[str, Any], width: int | None
) -> list[str]:
    """`columns` without those that matter least, as far as the width demands it."""
    shown, leave_out = list(columns), list(LEAST_FIRST)
    if not service.get("runs", True):
        # Which target that is says its address; most of the rest is empty.
        leave_out = ["PID", "RELEASE", "ZONE", "UPTIME", "ADDRESS"]
    if len({row["RELEASE"] for row in rows}) > 1:
        # A deployment: who runs what is the news.
        leave_out = [*(name for name in leave_out if name != "RELEASE"), "RELEASE"]

    def needed() -> int:
        return 4 + sum(2 + max(len(name), *(len(row[name]) for row in rows)) for name in shown) - 2

    for name in leave_out:
        if width is not None and needed() > width and name in shown:
            shown.remove(name)
    return shown


def colours_of(instance: dict[str, Any]) -> dict[str, str]:
    """Column -> colour of what deserves one."""
    colours = {"HEALTH": HEALTH[instance["health"]]} if instance["health"] in HEALTH else {}
    if (figures_of(instance).error_rate or 0.0) >= NOTABLE_ERRORS:
        colours["ERRORS"] = "red"
    return colours


def is_aside(instance: dict[str, Any]) -> bool:
    """Whether it is kept from requests on purpose, for the warm pool or on standby: that is said why it gets none."""
    kept = instance["state"] == "warm" or instance.get("pooled") or instance.get("standby")
    return instance["health"] == "unused" and bool(kept)


def figures_of(of: dict[str, Any]) -> Figures:
    """How a service or an instance did of late; what is missing or no number is not known."""
    given = of.get("figures") or {}
    known = {key: given[key] for key in Figures.__dataclass_fields__ if _is_number(given.get(key))}
    return Figures(**known)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def row_of(instance: dict[str, Any], now: datetime) -> dict[str, str]:
    """Column -> text."""

    def shown(key: str) -> str:
        return "-" if instance[key] in (None, "") else cell(instance[key])

    row = {name: shown(name.lower()) for name in ("STATE", "HEALTH", "RELEASE", "ZONE", "PID", "ADDRESS")}
    if instance.get("standby") and instance["state"] == "in_service":
        row["STATE"] = "standby"
    # Of what fairlead does not run it knows only since when it routes there.
    row["UPTIME"] = _uptime(instance["started_at"], now) if instance.get("runs", True) else "-"
    did = figures_of(instance)
    return row | {"INSTANCE": shown("id")} | {name: show(getattr(did, key)) for name, (key, show) in FIGURES.items()}


def _uptime(started_at: str | None, now: datetime) -> str:
    try:
        return duration((now - datetime.fromisoformat(str(started_at))).total_seconds())
    except (ValueError, TypeError):
        return "-"
