"""The state of an alarm: CloudWatch's two tables, row by row (aws-semantics E1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.scaling.alarm import LOOKED_FURTHER, state_of


def drawn(row: str) -> list[float | None]:
    """`0 - X`: fine, missing, in breach."""
    return [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in row.split()]


def state(row: str, window: int, to_alarm: int | None = None) -> str:
    return state_of(drawn(row), lambda value: value > 0.5, window, to_alarm)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0 - X - X", "OK"),
        ("0 - - - -", "OK"),
        ("- - - - -", "INSUFFICIENT_DATA"),
        ("0 X X - X", "ALARM"),
        ("- - X - -", "ALARM"),
        ("- - - - X", "OK"),
        ("- - - X -", "OK"),
    ],
)
def test_three_of_three(row: str, expected: str) -> None:
    assert state(row, 3) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0 - X - X", "ALARM"),
        ("0 0 X 0 X", "ALARM"),
        ("0 - X - -", "OK"),
        ("- - - - 0", "OK"),
        ("- - - X -", "ALARM"),
    ],
)
def test_two_of_three(row: str, expected: str) -> None:
    assert state(row, 3, 2) == expected


@pytest.mark.parametrize(
    ("row", "window", "expected"),
    [
        ("", 3, "INSUFFICIENT_DATA"),
        ("X", 1, "ALARM"),
        ("0", 1, "OK"),
        ("X X", 3, "OK"),  # too young
        ("X X X", 3, "ALARM"),
        ("X X 0", 3, "OK"),
        ("0 X X X", 3, "ALARM"),
        ("0 0 0 0 X X X", 3, "ALARM"),
        ("X X X X 0 0 0", 3, "OK"),
        ("X - - - - -", 3, "INSUFFICIENT_DATA"),  # beyond what is looked at
    ],
)
def test_other_lengths(row: str, window: int, expected: str) -> None:
    assert state(row, window) == expected


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30), st.integers(1, 10))
def test_only_what_is_looked_at_decides(points: list[float | None], window: int) -> None:
    looked_at = points[-(window + LOOKED_FURTHER) :]
    assert state_of(points, bool, window) == state_of(looked_at, bool, window)
    if state_of(points, bool, window) == "ALARM":
        known = [point for point in looked_at if point is not None][-window:]
        assert known
        assert all(known)
