"""One entity's numbers over some seconds, as a value and as a few bytes; and many of them made one. Pure.

The bytes: flags, how many seconds, how many buckets, then float32 (NaN: unknown), counts first and levels behind; a row
of more than one second has average, minimum and maximum of each level; then the numbers of the histogram's buckets and
their counts, as small as they fit. The law: what is read is what was written, to the precision of a float32; a row that
was written with other columns gives what it has.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from operator import mul

from fairlead.core import latency
from fairlead.metrics.catalogue import Level
from fairlead.metrics.columns import COUNTS, LEVELS, TODAY, Columns

NAN = math.nan

_INCOMPLETE, _SPREAD = 1, 2
_GAPS = 4
"""Buckets are told by how far each is behind the one before, in a byte: such a row compresses to half as much."""
_WIDTH = {"B": 0, "H": 8, "I": 16}
"""How wide the counts of buckets are."""
_HEAD = struct.Struct("<BHH")


@dataclass(slots=True)
class Row:
    """NaN: unknown. counts and levels as `columns` orders them; seconds: how many the counts are of, or where those are
    unknown, the levels."""

    counts: Sequence[float]
    average: Sequence[float]
    minimum: Sequence[float]
    maximum: Sequence[float]
    times: Mapping[int, int] = field(default_factory=dict)
    seconds: int = 1
    incomplete: bool = False


@lru_cache(maxsize=64)
def _floats(number: int) -> struct.Struct:
    return struct.Struct(f"<BHH{number}f")


def _tail(times: Mapping[int, int]) -> tuple[int, bytes]:
    """The flags and the bytes of a histogram."""
    counts = list(times.values())
    most = max(counts)
    width = "B" if most < 256 else "H" if most < 65536 else "I"
    return _WIDTH[width], array("H", times).tobytes() + array(width, counts).tobytes()


def _sorted_tail(times: Mapping[int, int]) -> tuple[int, bytes]:
    """The same by rising bucket, as gaps if they are small enough."""
    buckets = sorted(times)
    flags, tail = _tail({bucket: times[bucket] for bucket in buckets})
    gaps = [after - before for before, after in zip([0, *buckets], buckets, strict=False)]
    if max(gaps) > 255:
        return flags, tail
    return flags | _GAPS, bytes(gaps) + tail[2 * len(buckets) :]


def second(values: Sequence[float], times: Mapping[int, int], incomplete: bool) -> bytes:
    """The bytes of one second: counts, then levels."""
    flags, tail = _tail(times) if times else (0, b"")
    return _floats(len(values)).pack(flags | incomplete, 1, len(times), *values) + tail


def encode(row: Row) -> bytes:
    """The bytes of a row of any length."""
    flags, tail = _sorted_tail(row.times) if row.times else (0, b"")
    values = (*row.counts, *row.average, *row.minimum, *row.maximum)
    flags |= _SPREAD | (_INCOMPLETE if row.incomplete else 0)
    return _floats(len(values)).pack(flags, row.seconds, len(row.times), *values) + tail


def decode(data: bytes, level: Level, columns: Columns = TODAY) -> Row:
    """The row that these bytes are. ValueError: they are none."""
    try:
        return _decoded(data, level, columns)
    except struct.error as error:
        raise ValueError(f"a row of {len(data)} bytes is too short: {error}") from error


def _decoded(data: bytes, level: Level, columns: Columns) -> Row:
    flags, seconds, buckets = _HEAD.unpack_from(data)
    counts, levels = len(columns.counts[level]), len(columns.levels[level])
    number = counts + levels * (3 if flags & _SPREAD else 1)
    layout = _floats(number)
    values = layout.unpack_from(data)[3:]
    parts = [values[start : start + levels] for start in range(counts, number, levels)]
    times: Mapping[int, int] = _histogram(data, layout.size, buckets, flags) if buckets else {}
    row = Row(values[:counts], parts[0], parts[0], parts[0], times, seconds, bool(flags & _INCOMPLETE))
    if len(parts) > 1:
        row.minimum, row.maximum = parts[1:]
    return row if columns is TODAY else _translated(row, level, columns)


def _histogram(data: bytes, start: int, buckets: int, flags: int) -> dict[int, int]:
    numbers = array("B" if flags & _GAPS else "H")
    counts = array(next((width for width, bits in _WIDTH.items() if bits == flags & 24), "I"))
    middle = start + buckets * numbers.itemsize
    end = middle + buckets * counts.itemsize
    if len(data) < end:
        raise ValueError(f"a row of {len(data)} bytes is too short: its histogram ends at {end}")
    numbers.frombytes(data[start:middle])
    counts.frombytes(data[middle:end])
    return dict(zip(accumulate(numbers) if flags & _GAPS else numbers, counts, strict=True))


def _translated(row: Row, level: Level, columns: Columns) -> Row:
    """A row of other columns, in today's order; what it lacks is unknown."""

    def moved(values: Sequence[float], before: Sequence[str], now: Sequence[str]) -> tuple[float, ...]:
        known = dict(zip(before, values, strict=True))
        return tuple(known.get(name, NAN) for name in now)

    before, now = columns.levels[level], LEVELS[level]
    return Row(
        moved(row.counts, columns.counts[level], COUNTS[level]),
        moved(row.average, before, now),
        moved(row.minimum, before, now),
        moved(row.maximum, before, now),
        row.times if columns.buckets == TODAY.buckets else {},
        row.seconds,
        row.incomplete,
    )


def merged(rows: Sequence[Row]) -> Row:
    """All of them, one after the other, as one: counts add up, levels have their average by seconds, their least and
    their greatest. Seconds whose counts are unknown between ones that are known make it incomplete."""
    if len(rows) == 1:
        return rows[0]
    lengths = [row.seconds for row in rows]
    requests = [row.counts[0] if row.counts else NAN for row in rows]
    counted = [length for length, count in zip(lengths, requests, strict=True) if count == count]
    return Row(
        [_total(column) for column in zip(*(row.counts for row in rows), strict=True)],
        [_mean(column, lengths) for column in zip(*(row.average for row in rows), strict=True)],
        [_extreme(column, least=True) for column in zip(*(row.minimum for row in rows), strict=True)],
        [_extreme(column, least=False) for column in zip(*(row.maximum for row in rows), strict=True)],
        latency.merged(row.times for row in rows),
        sum(counted) if counted else sum(lengths),
        any(row.incomplete for row in rows) or 0 < len(counted) < len(rows),
    )


def _total(column: Sequence[float]) -> float:
    total = sum(column)
    if total == total:
        return total
    known = [value for value in column if value == value]
    return sum(known) if known else NAN


def _mean(column: Sequence[float], lengths: Sequence[int]) -> float:
    total: float = sum(map(mul, column, lengths))
    if total == total:
        return total / sum(lengths)
    known = [(value, length) for value, length in zip(column, lengths, strict=True) if value == value]
    return sum(value * length for value, length in known) / sum(length for _, length in known) if known else NAN


def _extreme(column: Sequence[float], *, least: bool) -> float:
    choose = min if least else max
    if sum(column) == sum(column):
        return choose(column)
    known = [value for value in column if value == value]
    return choose(known) if known else NAN
