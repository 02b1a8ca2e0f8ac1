"""Small pieces of plain sentences: spans of time, counts, lists. Pure; called by what explains decisions in words."""

from __future__ import annotations

from collections.abc import Sequence


def span(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`; a negative one counts as 0."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, name, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name} {rest} {small}" if rest else f"{whole // size} {name}"
    raise AssertionError("a minute or more fits one of the three")


def ago(seconds: float | None) -> str:
    """`12 s ago`, `just now`; "" when it is not known."""
    if seconds is None:
        return ""
    return "just now" if seconds < 0.05 else f"{span(seconds)} ago"


def several(count: int, noun: str) -> str:
    """`1 instance`, `2 instances`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: int) -> str:
    """Bytes as one writes them in the file: `64MB`, `512MiB`; `1500000001B` where no unit fits."""
    for power, unit in ((4, "T"), (3, "G"), (2, "M")):
        if count >= 1024**power and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}iB"
        if count >= 1000**power and count % 1000**power == 0:
            return f"{count // 1000**power}{unit}B"
    return f"{count}B"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(text: str) -> str:
    """`text` with a full stop, unless it ends a sentence already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
