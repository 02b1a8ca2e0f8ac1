"""`--since` and `--grep`: what a person writes, as a moment and a pattern."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")


def moment(text: str, now: float) -> float:
    """Seconds since 1970 of `10m`, `1h30m`, `2026-11-21`, `2026-11-21T10:00` or `...Z`; local time without a zone.

    ValueError when it is none of these.
    """
    if _SPAN.fullmatch(text):
        return now - sum(float(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"[\d.]+[smhdw]", text))
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as problem:
        raise ValueError("neither a span like 10m or 2h nor a time like 2026-11-21T10:00") from problem


def since(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """What --since says, as seconds since 1970."""
    try:
        return None if value is None else moment(value, time.time())
    except ValueError as problem:
        raise click.BadParameter(f"'{value}' is {problem}", ctx, param) from problem


def pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    """What --grep says, compiled."""
    try:
        return None if value is None else re.compile(value)
    except (re.error, RecursionError, OverflowError) as problem:
        why = f"'{value}' is not a regular expression: {problem}"
        raise click.BadParameter(why, ctx, param) from problem
