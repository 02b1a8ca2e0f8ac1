"""Reading an access log: each line once, from either end, at any moment of a rotation; and not all of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.aiokit.packed import Packed
from fairlead.cli import access_files
from fairlead.cli.access_files import Chain, Span
from fairlead.cli.access_filter import span
from fairlead.cli.access_merged import Following, find, merged
from fairlead.haproxy import sealing
from fairlead.haproxy.sealing import Limits, look
from tests.haproxy.access_lines import BEGIN, Writer, a_line, is_numbered, number_of, read

NOW = BEGIN.timestamp() + 60


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few lines each, so that there are many."""
    monkeypatch.setattr(access_files, "BLOCK", 1000)
    monkeypatch.setattr(access_files, "LONGEST", 900)
    monkeypatch.setattr(access_files, "HEAD", 900)
    monkeypatch.setattr(sealing, "BLOCK", 1500)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "access"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(folder, 1)
    yield made
    made.close()


def put_away(folder: Path, *living: int, live: int = 10_000) -> None:
    look(str(folder), living=living, newest=99, now=NOW, limits=Limits(live=live))


@pytest.mark.parametrize("newest_first", [False, True])
def test_all_is_read_from_either_end(folder: Path, writer: Writer, newest_first: bool) -> None:
    expected = list(range(200))
    for begin in range(0, 200, 40):
        writer.write(*range(begin, begin + 40))
        put_away(folder, 1)
        there = expected[: begin + 40]
        assert read(folder, newest_first=newest_first) == (there[::-1] if newest_first else there)


@settings(max_examples=60, deadline=None)
@given(begin=st.integers(-5, 205), length=st.integers(0, 60), newest_first=st.booleans(), ended=st.booleans())
def test_a_span_is_exactly_what_was_written_in_it(
    tmp_path_factory: pytest.TempPathFactory, begin: int, length: int, newest_first: bool, ended: bool
) -> None:
    """One line a second, so that the slack leaves most of the log unread."""
    folder = tmp_path_factory.mktemp("access")
    writer = Writer(folder, 1)
    writer.say(b"".join(a_line(number, at=number) + b"\n" for number in range(200)))
    put_away(folder, *(() if ended else (1,)))
    asked = span(BEGIN.timestamp() + begin, BEGIN.timestamp() + begin + length)
    found = read(folder, span=asked, newest_first=newest_first)
    assert sorted(found) == [number for number in range(200) if begin <= number <= begin + length]
    writer.close()


def test_lines_that_are_a_little_out_of_order_are_found(folder: Path, writer: Writer) -> None:
    times = [number + (5 if number % 3 == 0 else -4) for number in range(200)]
    writer.say(b"".join(a_line(number, at=at) + b"\n" for number, at in enumerate(times)))
    put_away(folder, 1)
    for begin in range(0, 200, 13):
        asked = span(BEGIN.timestamp() + begin, BEGIN.timestamp() + begin + 9)
        expected = {number for number, at in enumerate(times) if begin <= at <= begin + 9}
        assert set(read(folder, span=asked)) == set(read(folder, span=asked, newest_first=True)) == expected


def test_the_last_lines_of_a_long_log_are_read_and_no_others(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for generation in range(2, 40):
        old = Writer(folder, generation)
        old.write(*range(generation * 1000, generation * 1000 + 100))
        old.close()
    put_away(folder, 1)
    unpacked = []
    unpack = Packed.unpack
    monkeypatch.setattr(Packed, "unpack", lambda self, *about: unpacked.append(about) or unpack(self, *about))
    following = Following([str(folder)], is_numbered)
    lines = merged(following.past(), Span(), is_numbered, newest_first=True)
    assert [number_of(next(lines)) for _ in range(3)] == [39099, 39098, 39097]
    assert len(unpacked) <= 2
    following.close()


def test_a_time_that_is_asked_for_leaves_other_segments_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for generation in range(1, 30):
        old = Writer(folder, generation)
        old.say(b"".join(a_line(number, at=generation * 1000 + number) + b"\n" for number in range(20)))
        old.close()
    put_away(folder)
    opened = []
    init = Packed.__init__
    monkeypatch.setattr(Packed, "__init__", lambda self, path: opened.append(path) or init(self, path))
    begin = BEGIN.timestamp()
    assert len(read(folder, span=span(begin + 7000, begin + 7100))) == 20
    assert len(opened) == 1


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_is_put_away_while_one_reads_is_read_once(folder: Path, writer: Writer, newest_first: bool) -> None:
    writer.write(*range(150))
    following = Following([str(folder)], is_numbered)
    lines = merged(following.past(), Span(), is_numbered, newest_first=newest_first)
    found = [number_of(next(lines)) for _ in range(20)]
    put_away(folder, 1, live=1000)
    found += [number_of(next(lines)) for _ in range(20)]
    writer.write(150, 151)
    put_away(folder)
    found += [number_of(line) for line in lines]
    assert found == (list(range(150))[::-1] if newest_first else list(range(150)))
    assert [number_of(line) for line in following.new()] == [150, 151]
    following.close()


def test_a_segment_that_goes_while_one_reads_is_left_out(folder: Path, writer: Writer) -> None:
    writer.write(*range(150))
    put_away(folder, 1)
    (chain,) = find([str(folder)])
    opened = Chain(*chain.key)
    (first, *_) = sorted(folder.glob("*.gz"))
    first.unlink()
    found = [number_of(line) for _, line in opened.lines(Span(), is_numbered, newest_first=False)]
    assert found == list(range(150))[-len(found) :]
    assert 0 < len(found) < 150
    opened.close()


def test_a_damaged_segment_costs_its_own_lines(folder: Path, writer: Writer) -> None:
    writer.write(*range(150))
    put_away(folder, 1)
    first, second, *_ = sorted(folder.glob("*.gz"), key=lambda path: int(path.name.split(".")[2].split("-")[0]))
    first.write_bytes(b"nothing of ours")
    second.write_bytes(second.read_bytes()[:-20] + bytes(20))
    found = read(folder)
    assert found == sorted(found)
    assert found[-1] == 149
    assert 0 < len(found) < 150


def test_a_file_that_somebody_emptied_is_read_on(folder: Path, writer: Writer) -> None:
    writer.write(1, 2, 3)
    following = Following([str(folder)], is_numbered)
    following.past()
    os.truncate(writer.path, 0)
    writer.write(4, 5)
    assert read(folder) == [4, 5]
    assert [number_of(line) for line in following.new()] == [4, 5]
    put_away(folder, 1, live=100)
    assert read(folder) == [4, 5]
    following.close()


def test_a_follower_shows_a_line_when_it_is_whole(folder: Path, writer: Writer) -> None:
    following = Following([str(folder)], is_numbered)
    assert following.past() != []
    writer.say(a_line(1)[:100])
    assert following.new() == []
    writer.say(a_line(1)[100:] + b"\n")
    assert following.new() == [a_line(1)]
    assert following.new() == []
    following.close()


def test_a_line_longer_than_a_piece_is_read_whole_and_once(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_files, "LONGEST", 60_000)
    monkeypatch.setattr(sealing, "BLOCK", 60_000)
    for number in range(0, 60, 3):
        writer.write(number, number + 1)
        writer.say(a_line(number + 2, agent="x" * 997 * (number + 1)) + b"\n")
    assert read(folder) == list(range(60))
    assert read(folder, newest_first=True) == list(range(60))[::-1]
    put_away(folder, 1, live=100_000)
    assert read(folder) == list(range(60))
    put_away(folder, live=100_000)
    assert read(folder) == list(range(60))
