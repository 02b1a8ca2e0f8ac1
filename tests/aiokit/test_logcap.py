"""A log is capped while it is written: nothing is lost or doubled, whoever dies in between and whatever the disk can."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairlead.aiokit import holes, logcap
from fairlead.aiokit.cappedlog import CappedLog, place_of
from fairlead.aiokit.holes import STEP, talent
from fairlead.aiokit.logcap import cap
from tests.needs import need

LIMIT = 4 * STEP


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(params=["collapse", "punch"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """A log on a file system that can collapse, and on one that can only punch."""
    base = "/tmp" if request.param == "collapse" else "/dev/shm"
    need(
        os.path.isdir(base) and talent(base) == request.param,
        f"{base} is not on a file system that can {request.param}",
    )
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield f"{folder}/log"


def lines(first: int, count: int) -> bytes:
    return b"".join(b"%07d\n" % number for number in range(first, first + count))


class Writer:
    """Appends numbered lines of eight bytes."""

    def __init__(self, path: str) -> None:
        self.path, self.next = path, 0

    def write(self, count: int) -> None:
        with open(self.path, "ab", buffering=0) as file:
            file.write(lines(self.next, count))
        self.next += count

    def whole(self) -> bytes:
        return lines(0, self.next)


def kept(path: str) -> tuple[int, bytes]:
    """All that is kept, and where it begins."""
    log = CappedLog(path)
    begin = log.span().begin
    found = b""
    for at, block in log.blocks(begin):
        assert at == begin + len(found)
        found += block
    return begin, found


def holds(writer: Writer, least: int = 0) -> None:
    """What is kept is the end of what was written, and at least `least` bytes of it; positions say so too."""
    begin, found = kept(writer.path)
    whole = writer.whole()
    assert found == whole[begin:]
    assert len(found) >= min(least, len(whole))
    log = CappedLog(writer.path)
    for position in (begin, (begin + len(whole)) // 2, max(begin, len(whole) - 5)):
        at, block = log.read(position, 16)
        assert at == position
        assert block
        assert whole[at:].startswith(block)


def on_disk(path: str) -> int:
    folder = os.path.dirname(path)
    return sum(os.stat(f"{folder}/{name}").st_blocks * 512 for name in os.listdir(folder))


def test_a_short_log_is_left_alone(path: str) -> None:
    writer = Writer(path)
    writer.write(LIMIT // 8)
    assert cap(path, LIMIT)
    assert os.listdir(os.path.dirname(path)) == ["log"]
    holds(writer, LIMIT)


def test_capped_again_and_again_it_stays_small_and_loses_nothing_it_promised(path: str) -> None:
    writer = Writer(path)
    for count in (LIMIT // 8 + 1, 3, 20_000, 100_000, 7, 50_000, 33_333):
        writer.write(count)
        assert cap(path, LIMIT)
        holds(writer, LIMIT)
        assert on_disk(path) < 2 * LIMIT + 3 * STEP
    assert (place_of(path).base == 0) == (talent(os.path.dirname(path)) == "punch")
    assert sorted(os.listdir(os.path.dirname(path))) == ["log", "log.1", "log.at"]


def test_where_a_file_can_be_collapsed_the_two_parts_read_as_one_by_any_tool(path: str) -> None:
    writer = Writer(path)
    writer.write(100_000)
    assert cap(path, LIMIT)
    writer.write(10)
    plain = Path(f"{path}.1").read_bytes() + Path(path).read_bytes()
    assert writer.whole().endswith(plain.replace(b"\0", b""))
    assert (b"\0" in plain) == (talent(os.path.dirname(path)) == "punch")


STEPS = ("_copy", "_write", "replace", "punch", "collapse")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("former", [False, True], ids=["first cut", "a later cut"])
def test_killed_at_any_step_nothing_is_lost_or_doubled(
    path: str, former: bool, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0
    while deaths < 50:
        folder = f"{os.path.dirname(path)}/{deaths}"
        os.mkdir(folder)
        writer = Writer(f"{folder}/log")
        if former:
            writer.write(LIMIT // 8 + 5000)
            cap(writer.path, LIMIT)
        writer.write(LIMIT // 8 + 30_000)
        with monkeypatch.context() as patched:
            seen = _kill_at(patched, deaths, when)
            try:
                cap(writer.path, LIMIT)
            except Killed:
                pass
            else:
                assert deaths >= len(seen) >= 5
                break
        holds(writer, LIMIT)
        writer.write(10)
        holds(writer, LIMIT)
        # The next one finishes it, or does it anew.
        assert cap(writer.path, LIMIT)
        holds(writer, LIMIT)
        writer.write(LIMIT // 8)
        assert cap(writer.path, LIMIT)
        holds(writer, LIMIT)
        assert place_of(writer.path).phase == "steady"
        assert not os.path.exists(f"{writer.path}.next")
        deaths += 1
    assert deaths >= 5


def _kill_at(patched: pytest.MonkeyPatch, death: int, when: str) -> list[str]:
    seen: list[str] = []

    def deadly(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            number = len(seen)
            seen.append(name)
            if number == death and when == "before":
                raise Killed
            result = real(*args)
            if number == death:
                raise Killed
            return result

        return call

    for name in STEPS:
        owner = logcap.os if name == "replace" else logcap
        patched.setattr(owner, name, deadly(name, getattr(owner, name)))
    return seen


def test_a_full_disk_costs_the_oldest_lines_only(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(path)
    writer.write(LIMIT // 8 + 5000)
    cap(path, LIMIT)
    writer.write(3 * LIMIT // 8)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("_copy", "_write"):
        with monkeypatch.context() as patched:
            patched.setattr(logcap, name, full)
            assert cap(path, LIMIT)
        holds(writer, LIMIT)
        assert not os.path.exists(f"{path}.1")
        assert on_disk(path) < LIMIT + 3 * STEP
        writer.write(2 * LIMIT // 8)
    assert cap(path, LIMIT)
    holds(writer, LIMIT)


def test_a_file_system_that_can_do_neither_leaves_the_log_to_grow_and_says_so(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(path)
    writer.write(100_000)
    monkeypatch.setattr(logcap, "talent", lambda folder: "none")
    assert not cap(path, LIMIT)
    assert kept(path) == (0, writer.whole())


def test_a_program_that_empties_its_own_log_is_read_from_its_new_beginning(path: str) -> None:
    writer = Writer(path)
    writer.write(100_000)
    cap(path, LIMIT)
    end = CappedLog(path).span().end
    Path(path).write_bytes(b"anew\n")
    begin, nothing = CappedLog(path).read(end)
    assert (begin < end, nothing) == (True, b"")
    assert CappedLog(path).read(begin) == (begin, b"anew\n")
    assert cap(path, LIMIT)
    assert kept(path)[1].endswith(b"anew\n")


@pytest.mark.parametrize("text", ["", "x", "-1", "1 2", "1 moving", "1 moving x y", "1 collapsing", "\xff 3 4"])
def test_a_place_that_cannot_be_read_is_the_beginning(path: str, text: str) -> None:
    Path(path).write_bytes(b"a\n")
    Path(f"{path}.at").write_text(text, encoding="latin-1")
    assert kept(path) == (0, b"a\n")


def test_a_log_that_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        cap(path)
    with pytest.raises(FileNotFoundError):
        CappedLog(path).span()


def test_what_a_file_system_can_do_is_tried_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.path.dirname(path)
    expected = talent(folder)
    monkeypatch.setattr(holes, "_tried", lambda folder: pytest.fail("tried again"))
    assert talent(folder) == expected
    assert os.listdir(folder) == []


WRITE = """
import os, sys
number, end = 0, int(sys.argv[1])
while number < end:
    os.write(1, b"%07d\\n" % number)
    number += 1
"""


@pytest.mark.live
def test_at_full_speed_every_line_is_there_exactly_once_at_each_moment(path: str) -> None:
    limit, total = 8 * STEP, 600_000
    stop, cuts = threading.Event(), 0
    problems: list[str] = []

    def reader() -> None:
        """Whatever the moment, the numbers kept follow one another."""
        log = CappedLog(path)
        while not stop.is_set() and not problems:
            begin = log.span().begin
            at, block = log.read(begin, 2 * limit + STEP)
            numbers = range(at // 8, at // 8 + len(block) // 8)
            if at % 8 or block[: len(numbers) * 8] != b"".join(b"%07d\n" % number for number in numbers):
                problems.append(f"at {at}: {block[:40]!r}...")

    seen = bytearray()

    def follow() -> None:
        log = CappedLog(path)
        while not problems:
            over = stop.is_set()
            at, block = log.read(len(seen))
            if at != len(seen):
                problems.append(f"asked for {len(seen)}, got {at}")
            seen.extend(block)
            if over and not block:
                return

    with open(path, "ab") as file:
        writer = subprocess.Popen([sys.executable, "-S", "-c", WRITE, str(total)], stdout=file)
    threads = [threading.Thread(target=reader), threading.Thread(target=follow)]
    for thread in threads:
        thread.start()
    try:
        while writer.poll() is None and not problems:
            newer = CappedLog(path).span().newer
            # Only as quick as the follower: what went before it was read is another matter.
            if newer <= len(seen):
                cap(path, limit)
                cuts += CappedLog(path).span().newer != newer
    finally:
        writer.kill()
        writer.wait()
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert bytes(seen) == lines(0, total)
    assert cuts >= 3


CAP = """
import sys
from fairlead.aiokit.logcap import cap
while True:
    cap(sys.argv[1], int(sys.argv[2]))
"""


@pytest.mark.live
def test_whoever_caps_may_be_killed_at_any_time_while_lines_stream_in(path: str) -> None:
    limit, log, position, deaths = 2 * STEP, CappedLog(path), 0, 0
    with open(path, "ab") as file:
        writer = subprocess.Popen([sys.executable, "-S", "-c", WRITE, "100000000"], stdout=file)
    capper = None
    try:
        pauses = random.Random(4)
        while deaths < 12:
            capper = subprocess.Popen([sys.executable, "-c", CAP, path, str(limit)])
            before, until = log.span().newer, time.monotonic() + 10
            while log.span().newer == before and time.monotonic() < until:
                position = _read_on(log, position)
            until = time.monotonic() + pauses.random() * 0.02
            while time.monotonic() < until:
                position = _read_on(log, position)
            capper.kill()
            capper.wait()
            deaths += 1
            for _ in range(3):
                position = _read_on(log, position)
    finally:
        for process in (writer, capper):
            if process is not None:
                process.kill()
                process.wait()
    begin, found = kept(path)
    assert found == lines(begin // 8, len(found) // 8)
    assert begin > 10 * limit


def _read_on(log: CappedLog, position: int) -> int:
    """Read what is new; each byte must be the one that was written at its position."""
    at, block = log.read(position)
    assert at >= position
    first, after = at // 8, -(-(at + len(block)) // 8)
    whole = lines(first, after - first)
    assert block == whole[at - first * 8 :][: len(block)]
    return at + len(block)
