"""Rows are read as they were written, also those that an older fairlead wrote; many of them make one."""

from __future__ import annotations

import math
import struct
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import merged as histogram
from fairlead.metrics.catalogue import METRICS, Level
from fairlead.metrics.columns import COUNTS, LEVELS, OWN, TODAY, Columns
from fairlead.metrics.rows import NAN, Row, decode, encode, merged, second

KINDS: tuple[Level, ...] = get_args(Level)
WHATEVER = st.one_of(st.just(NAN), st.floats(0, 2.0**100, width=32), st.integers(0, 2**24).map(float))
TIMES = st.dictionaries(st.integers(0, 65535), st.integers(1, 2**32 - 1), max_size=60)


def same(one: object, other: object) -> bool:
    """NaN is like NaN here."""
    return repr(one) == repr(other)


def a_row(level: Level, value: float = 1.0, **more: object) -> Row:
    levels = [value] * len(LEVELS[level])
    row = Row([value] * len(COUNTS[level]), levels, levels, levels)
    for name, one in more.items():
        setattr(row, name, one)
    return row


@given(st.sampled_from(KINDS), st.data())
def test_a_second_is_read_as_it_was_written(level: Level, data: st.DataObject) -> None:
    size = len(COUNTS[level]) + len(LEVELS[level])
    values = data.draw(st.lists(WHATEVER, min_size=size, max_size=size))
    times, incomplete = data.draw(TIMES), data.draw(st.booleans())
    row = decode(second(values, times, incomplete), level)
    assert same([*row.counts, *row.average], values)
    assert row.minimum is row.maximum is row.average
    assert (dict(row.times), row.seconds, row.incomplete) == (times, 1, incomplete)


@given(st.sampled_from(KINDS), st.data())
def test_a_row_of_any_length_is_read_as_it_was_written(level: Level, data: st.DataObject) -> None:
    counts = data.draw(st.lists(WHATEVER, min_size=len(COUNTS[level]), max_size=len(COUNTS[level])))
    three = [data.draw(st.lists(WHATEVER, min_size=len(LEVELS[level]), max_size=len(LEVELS[level]))) for _ in range(3)]
    row = Row(counts, *three, data.draw(TIMES), data.draw(st.integers(0, 65535)), data.draw(st.booleans()))
    found = decode(encode(row), level)
    assert same([list(part) for part in (found.counts, found.average, found.minimum, found.maximum)], [counts, *three])
    assert (dict(found.times), found.seconds, found.incomplete) == (row.times, row.seconds, row.incomplete)


def test_a_row_is_small() -> None:
    idle = second([0.0] * (len(COUNTS["target"]) + len(LEVELS["target"])), {}, False)
    busy = second([1.0] * (len(COUNTS["target"]) + len(LEVELS["target"])), dict.fromkeys(range(40), 3), False)
    assert len(idle) < 70
    assert len(busy) - len(idle) == 3 * 40


@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_bytes_that_are_no_row_are_a_value_error_or_a_row(data: bytes, level: Level) -> None:
    try:
        row = decode(data, level)
    except ValueError:
        return
    assert len(row.counts) == len(COUNTS[level])


def test_a_row_that_was_cut_is_a_value_error() -> None:
    data = encode(a_row("service", times={1: 2, 3: 4}))
    for length in range(len(data)):
        with pytest.raises(ValueError, match="too short"):
            decode(data[:length], "service")


def test_rows_of_an_older_fairlead_give_what_they_have() -> None:
    older = Columns(
        {**COUNTS, "target": ("RequestCount", "OldCount")}, {**LEVELS, "target": ("CPUUtilization",)}, TODAY.buckets
    )
    values = struct.pack("<BHH3f", 0, 1, 0, 7.0, 8.0, 9.0)
    row = decode(values, "target", Columns.read(older.text()))
    assert dict(zip(COUNTS["target"], row.counts, strict=True))["RequestCount"] == 7
    assert math.isnan(dict(zip(COUNTS["target"], row.counts, strict=True))["ProcessedBytes"])
    assert dict(zip(LEVELS["target"], row.maximum, strict=True))["CPUUtilization"] == 9


def test_buckets_that_meant_other_times_are_not_read() -> None:
    data = second([1.0] * (len(COUNTS["target"]) + len(LEVELS["target"])), {5: 6}, False)
    assert decode(data, "target", Columns(COUNTS, LEVELS, TODAY.buckets)).times == {5: 6}
    assert decode(data, "target", Columns(COUNTS, LEVELS, "others")).times == {}


def test_columns_are_read_as_they_were_written() -> None:
    assert Columns.read(TODAY.text()).text() == TODAY.text()


def test_the_columns_are_the_catalogue() -> None:
    for level in set(KINDS) - {"custom"}:
        counts = {metric.name for metric in METRICS if metric.kind == "count" and level in metric.levels}
        levels = {metric.name for metric in METRICS if metric.kind == "level" and level in metric.levels}
        assert set(COUNTS[level]) - {"BrokenRequestCount", "TargetConnectionCount"} == counts
        assert set(LEVELS[level]) == levels
        assert len(set(COUNTS[level])) == len(COUNTS[level])
    assert len(OWN) == 9


class TestMerging:
    def test_counts_add_up_and_levels_have_a_mean_a_least_and_a_greatest(self) -> None:
        row = merged([a_row("target", 1.0, times={1: 1}), a_row("target", 4.0, seconds=2, times={1: 2, 2: 5})])
        assert set(row.counts) == {5.0}
        assert (row.average[0], row.minimum[0], row.maximum[0]) == (3.0, 1.0, 4.0)
        assert (row.times, row.seconds, row.incomplete) == ({1: 3, 2: 5}, 3, False)

    def test_unknown_seconds_are_left_out_and_make_it_incomplete(self) -> None:
        row = merged([a_row("target", 2.0), a_row("target", NAN), a_row("target", 4.0)])
        assert (row.counts[0], row.average[0], row.seconds, row.incomplete) == (6.0, 3.0, 2, True)

    def test_where_all_is_unknown_so_is_the_whole(self) -> None:
        row = merged([a_row("target", NAN), a_row("target", NAN)])
        assert math.isnan(row.counts[0])
        assert math.isnan(row.minimum[0])
        assert (row.seconds, row.incomplete) == (2, False)

    def test_one_incomplete_second_makes_it_incomplete(self) -> None:
        assert merged([a_row("zone"), a_row("zone", incomplete=True)]).incomplete

    @given(st.lists(st.tuples(WHATEVER, TIMES), min_size=1, max_size=8), st.integers(1, 7))
    def test_it_does_not_matter_in_which_portions(self, given: list[tuple[float, dict[int, int]]], cut: int) -> None:
        rows = [a_row("stack", value, times=times) for value, times in given]
        at_once = merged(rows)
        by_parts = merged([merged(part) for part in (rows[:cut], rows[cut:]) if part])
        assert at_once.counts == pytest.approx(by_parts.counts, nan_ok=True)
        assert at_once.maximum == pytest.approx(by_parts.maximum, nan_ok=True)
        assert at_once.times == by_parts.times == histogram(times for _, times in given)
