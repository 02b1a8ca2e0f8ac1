"""A sparkline: zero is the lowest character and nothing else is; what is not known is a gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli.sparkline import ASCII, BLOCKS, Glyphs, drawn, folded, glyphs_for, mean

VALUES = st.lists(st.none() | st.floats(0, 1e12), max_size=50)


def test_each_number_is_as_high_as_its_share_of_the_top() -> None:
    assert drawn([0, 1, 2, 3, 4, 5, 6, 7], 7, BLOCKS) == "▁▂▃▄▅▆▇█"
    assert drawn([0, 1, 2, 3, 4, 5, 6, 7], 7, ASCII) == "_.:-=+*#"
    assert drawn([50, 100, 200], 100, BLOCKS) == "▅██"


def test_what_is_not_known_is_a_gap_and_no_zero() -> None:
    assert drawn([0, None, 7], 7, BLOCKS) == "▁·█"
    assert drawn([0, None, 7], 7, ASCII) == "_ #"
    assert drawn([None, None], 0, BLOCKS) == "··"
    assert drawn([], 0, BLOCKS) == ""


def test_a_flat_zero_is_no_full_bar() -> None:
    assert drawn([0, 0, 0], 0, BLOCKS) == "▁▁▁"


@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
@given(values=VALUES, top=st.floats(0, 1e12))
def test_only_zero_is_the_lowest_character_and_only_the_unknown_a_gap(
    glyphs: Glyphs, values: list[float | None], top: float
) -> None:
    line = drawn(values, top, glyphs)
    assert len(line) == len(values)
    for value, character in zip(values, line, strict=True):
        assert (value is None) is (character == glyphs.gap)
        assert (value == 0) is (character == glyphs.levels[0])


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_more_is_never_lower(one: float, other: float) -> None:
    low, high = (BLOCKS.levels.index(drawn([value], 1e12, BLOCKS)) for value in sorted((one, other)))
    assert low <= high


def test_columns_are_counted_from_the_newest() -> None:
    assert folded([9, 1, 2, 3, 4], 2, mean) == [9, 1.5, 3.5]
    assert folded([1, 2, 3, 4], 2, max) == [2, 4]
    assert folded([1, 2], 5, mean) == [1.5]
    assert folded([], 3, mean) == []


def test_a_column_is_of_what_is_known_of_it() -> None:
    assert folded([1, None, None, None, 5, 7], 2, mean) == [1, None, 6]


@given(VALUES, st.integers(1, 60))
def test_folding_keeps_the_greatest_and_the_number_of_columns(values: list[float | None], each: int) -> None:
    columns = folded(values, each, max)
    assert len(columns) == -(-len(values) // each)
    known = [value for value in values if value is not None]
    assert max((value for value in columns if value is not None), default=None) == max(known, default=None)


@pytest.mark.parametrize(
    ("encoding", "environment", "glyphs"),
    [
        ("utf-8", {"LANG": "de_DE.UTF-8"}, BLOCKS),
        ("utf-8", {"LANG": "C.utf8"}, BLOCKS),
        ("utf-8", {}, BLOCKS),
        ("utf-8", {"LANG": "C"}, ASCII),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII),  # set by Python itself
        ("utf-8", {"LANG": "C", "LC_CTYPE": "en_GB.UTF-8"}, BLOCKS),
        ("utf-8", {"LANG": "en_GB.UTF-8", "LC_ALL": "POSIX"}, ASCII),
        ("utf-8", {"LANG": "de_DE@euro"}, ASCII),
        ("utf-8", {"LANG": "de_DE.UTF-8", "TERM": "linux"}, ASCII),
        ("iso8859-1", {"LANG": "de_DE.UTF-8"}, ASCII),
        ("ascii", {}, ASCII),
        (None, {"LANG": "de_DE.UTF-8"}, ASCII),
        ("no-such-encoding", {}, ASCII),
    ],
)
def test_blocks_are_for_terminals_that_can_show_them(
    encoding: str | None, environment: dict[str, str], glyphs: Glyphs
) -> None:
    assert glyphs_for(encoding, environment) is glyphs
