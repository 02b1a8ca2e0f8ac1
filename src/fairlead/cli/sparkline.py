"""A series of numbers as one line of characters, each as high as its number. Pure.

In: numbers at equal distances, None where nobody knows. Out: one character a column. The law: the lowest character is
zero and nothing else is, the highest is `top`, and what is not known is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Values = Sequence[float | None]

Fold = Callable[[Sequence[float]], float]
"""Makes one number of the known ones of a column."""


class Glyphs(NamedTuple):
    """The characters to draw with. levels: eight, zero first. legend: what a gap looks like, in words."""

    levels: str
    gap: str
    legend: str


BLOCKS = Glyphs("▁▂▃▄▅▆▇█", "·", "· unknown")
ASCII = Glyphs("_.:-=+*#", " ", "a gap is unknown")


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def glyphs_for(encoding: str | None, environment: Mapping[str, str]) -> Glyphs:
    """BLOCKS where they can be written and will be shown; encoding: that of the stream.

    Python writes UTF-8 also where the locale says "C" (PEP 538, PEP 540), so what the user said decides; where nobody
    said anything, Python is believed. The fonts of Linux's own console lack most of the blocks.
    """
    try:
        (BLOCKS.levels + BLOCKS.gap).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    # PEP 538 sets LC_CTYPE to one of these when it was not set: then it is not the user's word.
    by_python = ("C.UTF-8", "C.utf8", "UTF-8")
    said = [environment.get("LC_ALL"), environment.get("LC_CTYPE"), environment.get("LANG")]
    if said[1] in by_python:
        said[1] = None
    locale = next((one for one in said if one), "")
    legible = not locale or "utf" in locale.lower()
    return BLOCKS if legible and environment.get("TERM") != "linux" else ASCII


def folded(values: Values, each: int, fold: Fold) -> list[float | None]:
    """`each` neighbours as one column, counted from the newest; the oldest column may be of fewer. A column of which
    something is known is of what is known."""
    first = len(values) % each or each
    columns = [values[:first], *(values[start : start + each] for start in range(first, len(values), each))]
    known = [[value for value in column if value is not None] for column in columns if column]
    return [fold(column) if column else None for column in known]


def drawn(columns: Values, top: float, glyphs: Glyphs) -> str:
    """One character a column. top: what is as high as can be; what is higher is drawn so too."""
    return "".join(glyphs.gap if value is None else glyphs.levels[_level(value, top)] for value in columns)


def _level(value: float, top: float) -> int:
    if value <= 0:
        return 0
    return 7 if value >= top else max(1, math.ceil(7 * value / top))
