"""Lengths of time in words."""

from __future__ import annotations

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """About how long: 0.4 -> "under 1 s", 5400 -> "1 h 30 min"."""
    left, words = int(seconds), []
    for size, unit in UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
        if len(words) == 2:
            break
    return " ".join(words) or "under 1 s"
