"""Numbers as tables show them, in few characters: `33.7k`, `3.4 GB`, `12 ms`, `0.8%`. Pure.

In: a number in its base unit, or None for what is not known. Out: at most eight ASCII characters; `-` for unknown.
"""

from __future__ import annotations

from collections.abc import Callable

UNKNOWN = "-"

_LARGE = ("", "k", "M", "G", "T", "P", "E")


def amount(value: float | None) -> str:
    """`0`, `0.04`, `3.2`, `112`, `33.7k`, `1.2M`: a count, or a rate."""
    if value is None:
        return UNKNOWN
    return "".join(_scaled(value))


def data_size(value: float | None) -> str:
    """Bytes: `0 B`, `512 B`, `12 kB`, `3.4 GB`."""
    if value is None:
        return UNKNOWN
    number, prefix = _scaled(value)
    return f"{number} {prefix}B"


def span(value: float | None) -> str:
    """Seconds that a request took: `42 us`, `0.4 ms`, `12 ms`, `1.2 s`, `75 s`, `20 min`."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.0000995:
        return f"{_digits(1e6 * value)} us"
    # Where rounding would give 1000 ms.
    if value < 0.9995:
        return f"{_digits(1000 * value)} ms"
    return f"{_digits(value)} s" if value < 600 else f"{_digits(value / 60)} min"


def percent(value: float | None) -> str:
    """`0%`, `0.04%`, `3.2%`, `31%`, `240%`."""
    return UNKNOWN if value is None else f"{_digits(value)}%"


def share(value: float | None) -> str:
    """A share of 0 to 1, in percent."""
    return percent(None if value is None else 100 * value)


SHOWN: dict[str, Callable[[float | None], str]] = {
    "Seconds": span,
    "Bytes": data_size,
    "Percent": percent,
    "Count/Second": amount,
}
"""By CloudWatch's units; `amount` for every other."""


def _scaled(value: float) -> tuple[str, str]:
    """`value` below 1000, and the prefix of what it was divided by."""
    for prefix in _LARGE:
        if abs(value) < 999.5 or prefix == _LARGE[-1]:
            return _digits(value), prefix
        value /= 1000
    raise AssertionError("the last prefix takes all")


def _digits(value: float) -> str:
    """Two or three significant digits; what is not zero never looks like it."""
    size = abs(value)
    if size >= 99.95 or value == round(value):
        return f"{value:.0f}"
    if size >= 0.095:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}" if size >= 0.005 else f"{value:.0e}".replace("e-0", "e-")
