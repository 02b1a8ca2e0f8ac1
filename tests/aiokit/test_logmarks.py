"""Marks tell when bytes were written: never too late for "since", and in a file that stays small."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from fairlead.aiokit.logmarks import MOST, Mark, Marker, Times, read_marks, thinned


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def test_a_log_is_marked_when_it_has_grown_and_only_then(path: str) -> None:
    marker = Marker(path)
    for now, position, written_at in ((100, 0, 100), (105, 50, 103), (110, 50, 103), (115, 80, 112)):
        marker.look(position, written_at, now)
    assert read_marks(path) == [Mark(50, 103, 100), Mark(80, 112, 110)]


def test_the_next_marker_goes_on_from_the_last_mark(path: str) -> None:
    Marker(path).look(50, 103, 105)
    again = Marker(path)
    again.look(50, 103, 200)
    again.look(60, 201, 205)
    assert read_marks(path) == [Mark(50, 103, 103), Mark(60, 201, 200)]
    Marker(path).look(70, 300, 305)
    assert read_marks(path)[-1] == Mark(70, 300, 201)


def test_a_log_that_was_emptied_is_marked_anew(path: str) -> None:
    marker = Marker(path)
    marker.look(50, 103, 105)
    marker.look(20, 108, 110)
    assert read_marks(path) == [Mark(20, 108, 105)]


@pytest.mark.parametrize("rest", ["12", "\n12", "\n120 3", "\nx y z", "\n10 5 5", "\n120 110 1"])
def test_a_mark_that_was_cut_short_misleads_nobody(path: str, rest: str) -> None:
    Marker(path).look(50, 103, 105)
    with open(f"{path}.marks", "a") as file:
        file.write(rest)
    Marker(path).look(200, 120, 120)
    marks = read_marks(path)
    assert (marks[0].at, marks[-1].position) == (103, 200)
    assert Times(marks).begin(112, 120) in (50, 120)


def test_the_file_stays_small_and_the_last_hour_exact(path: str) -> None:
    marker = Marker(path)
    for second in range(0, 5 * 10_000, 5):
        marker.look(10 * second + 10, second, second)
    marks = read_marks(path)
    assert MOST / 4 < len(marks) <= MOST
    assert os.stat(f"{path}.marks").st_size < 100_000
    assert all(later.after == earlier.at for earlier, later in itertools.pairwise(marks))
    assert all(later.at - earlier.at == 5 for earlier, later in itertools.pairwise(marks[-700:]))
    last = 5 * 10_000 - 5
    for age in (1000, 10_000, 40_000):
        begin = Times(marks).begin(last - age, last)
        assert begin is not None
        assert age <= last - begin / 10 <= age * 1.03 + 10


def test_marks_of_weeks_and_of_clocks_that_jump_stay_few(path: str) -> None:
    weeks = [Mark(n, 60.0 * n, 60.0 * n - 5) for n in range(1, 60 * 24 * 30)]
    assert len(thinned(weeks)) < MOST / 2
    jumping = [Mark(n, 1e6 * (-1) ** n, 0) for n in range(1, MOST + 2)]
    assert thinned(jumping) == jumping[-MOST // 2 :]
    assert thinned([]) == []


TIMES = Times([Mark(100, 10, 5), Mark(200, 20, 15), Mark(300, 100, 95)])


@pytest.mark.parametrize(
    ("since", "end", "begin"),
    [(0, 100, 0), (10, 100, 0), (10.1, 100, 100), (20, 100, 100), (50, 100, 200), (100, 100, 200), (101, 100, None),
     (101, 103, 300)],
)  # fmt: skip
def test_since_begins_at_the_last_mark_before_it(since: float, end: float, begin: int | None) -> None:
    assert TIMES.begin(since, end) == begin


def test_since_shows_more_rather_than_less_after_a_clock_was_set_back() -> None:
    times = Times([Mark(100, 1000, 990), Mark(200, 2000, 1990), Mark(300, 500, 490), Mark(400, 1500, 1490)])
    assert times.begin(1200, 1500) == 100


@pytest.mark.parametrize(
    ("position", "about"), [(0, 5.05), (99, 10), (100, 15.05), (149, 17.5), (299, 100), (300, 120), (900, 120)]
)
def test_a_byte_was_written_between_the_looks_around_it(position: int, about: float) -> None:
    assert TIMES.at(position, 120) == pytest.approx(about)


def test_a_log_without_marks_has_no_times_but_its_last(path: str) -> None:
    times = Times(read_marks(path))
    assert times.at(0, 50) is None
    assert (times.begin(40, 50), times.begin(60, 50)) == (0, None)
