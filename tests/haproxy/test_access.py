"""The access log's files: who writes which, and that no line is lost or doubled while they are put away."""

from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.aiokit import holes
from fairlead.core.accesslog import file_name, segment_of
from fairlead.core.model import LoadBalancerAttributes
from fairlead.core.traffic import Routing
from fairlead.haproxy import access_logs, sealing
from fairlead.haproxy.access import logs, variable
from fairlead.haproxy.access_logs import AccessLogs
from fairlead.haproxy.sealing import Findings, Limits, Stopped, look
from tests.haproxy.access_lines import BEGIN, Writer, a_line, read
from tests.haproxy.builders import a_routing

NOW = BEGIN.timestamp() + 60
SMALL = Limits(live=20_000)
LINES = range(100)
"""Some 40 kB: twice what may be live."""


def without_log(port: int, stack: str) -> Routing:
    return a_routing(port, stack=stack, attributes=LoadBalancerAttributes(access_log=False))


def do(folder: Path, *living: int, now: float = NOW, limits: Limits = SMALL, newest: int = 99) -> Findings:
    return look(str(folder), living=living, newest=newest, now=now, limits=limits)


def segments(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if segment_of(path.name)), key=lambda path: segment_of(path.name))


def data_in(path: Path) -> int:
    """Bytes that are in no hole."""
    return len(path.read_bytes().lstrip(b"\0"))


def apart(folder: Path) -> bool:
    """Whether each byte of a generation lies in one segment at most."""
    found = sorted((one.generation, one.begin, one.end) for path in segments(folder) if (one := segment_of(path.name)))
    return all(one[0] != other[0] or one[2] <= other[1] for one, other in pairwise(found))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "access"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(folder, 7)
    yield made
    made.close()


# Whose log


def test_a_port_of_one_stack_has_its_log_and_a_shared_one_the_shared() -> None:
    both = [a_routing(8080, stack="a"), a_routing(8080, stack="b")]
    assert logs(both[:1]) == ("a",)
    assert logs(both) == (None,)
    assert set(logs([*both, a_routing(8081, stack="c")])) == {None, "c"}


def test_a_stack_without_access_log_has_none_and_shares_one_silently() -> None:
    assert logs([without_log(8080, "a")]) == ()
    assert logs([without_log(8080, "a"), without_log(8080, "b")]) == ()
    assert logs([without_log(8080, "a"), a_routing(8080, stack="b")]) == (None,)


def test_the_variables_of_all_logs_differ() -> None:
    assert variable(None) == "FAIRLEAD_ACCESS"
    assert variable("my-shop") == "FAIRLEAD_ACCESS_my_shop"


# Putting away


def test_what_is_short_and_of_today_stays_as_it_is(folder: Path, writer: Writer) -> None:
    writer.write(*range(20))
    before = writer.path.read_bytes()
    do(folder, 7)
    assert [path.name for path in folder.iterdir()] == [file_name(7)]
    assert writer.path.read_bytes() == before


def test_what_is_long_is_compressed_and_its_blocks_are_free_while_the_offsets_go_on(
    folder: Path, writer: Writer
) -> None:
    writer.write(*LINES)
    size = writer.path.stat().st_size
    do(folder, 7)
    writer.write(100, 101)
    assert read(folder) == list(range(102))
    packed = b"".join(gzip.decompress(path.read_bytes()) for path in segments(folder))
    assert packed == b"".join(a_line(number) + b"\n" for number in range(len(packed.splitlines())))
    assert size - len(packed) <= SMALL.live
    assert writer.path.stat().st_size > size
    assert writer.path.read_bytes()[: len(packed)] == bytes(len(packed))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_what_is_of_an_earlier_day_is_put_away_whole(folder: Path, writer: Writer) -> None:
    writer.write(1, 2, 3)
    do(folder, 7, now=NOW + 86400)
    assert len(segments(folder)) == 1
    assert read(folder) == [1, 2, 3]
    do(folder, 7, now=NOW + 2 * 86400)
    assert len(segments(folder)) == 1, "nothing was added"


def test_a_line_that_is_being_written_waits_for_its_end(folder: Path, writer: Writer) -> None:
    writer.write(1)
    writer.say(a_line(2)[:150])
    do(folder, 7, now=NOW + 86400)
    assert read(folder) == [1]
    writer.say(a_line(2)[150:] + b"\n")
    assert read(folder) == [1, 2]


def test_what_ended_is_put_away_to_its_last_byte_and_removed(folder: Path, writer: Writer) -> None:
    writer.write(*LINES)
    writer.say(b"http 2026-11-21T10:00:59 cut off by a kill")
    size = writer.path.stat().st_size
    do(folder)
    assert not writer.path.exists()
    assert segment_of(segments(folder)[-1].name).end == size
    assert read(folder)[: len(LINES)] == list(LINES)


def test_an_empty_file_of_one_that_ended_leaves_nothing(folder: Path, writer: Writer) -> None:
    do(folder)
    assert list(folder.iterdir()) == []


def test_what_was_begun_after_the_question_is_left_alone(folder: Path, writer: Writer) -> None:
    writer.write(*LINES)
    do(folder, newest=6)
    assert [path.name for path in folder.iterdir()] == [file_name(7)]


def test_the_oldest_go_when_they_are_too_old_or_too_much(folder: Path) -> None:
    for generation in range(1, 6):
        old = Writer(folder, generation)
        old.write(*range(generation * 100, generation * 100 + 50))
        old.close()
        do(folder, now=NOW)
    assert len(segments(folder)) == 5
    size = segments(folder)[0].stat().st_blocks * 512
    do(folder, limits=Limits(total=3 * size))
    assert sorted(read(folder)) == [*range(300, 350), *range(400, 450), *range(500, 550)]
    do(folder, now=NOW + 15 * 86400)
    assert list(folder.iterdir()) == []


def test_the_size_of_what_is_live_counts_too_but_is_never_removed(folder: Path, writer: Writer) -> None:
    gone = Writer(folder, 1)
    gone.write(1)
    gone.close()
    do(folder, 7)
    writer.write(*range(20))
    do(folder, 7, limits=Limits(total=1))
    assert read(folder) == list(range(20))


def test_a_file_system_that_cannot_punch_asks_for_another_generation(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "talent", lambda folder: "none")
    writer.write(*LINES)
    assert do(folder, 7).endless == set(), "a reload costs something: it may become longer"
    writer.write(*range(100, 600))
    assert do(folder, 7).endless == {7}
    assert segments(folder) == []
    following = Writer(folder, 8)
    following.write(600)
    assert do(folder, 8).endless == set()
    assert read(folder) == list(range(601))
    assert do(folder, 8, now=NOW + 86400).endless == {8}, "a day is a day"
    following.close()


def full(monkeypatch: pytest.MonkeyPatch, room: int = 0) -> list[int]:
    """A disk on which `room` more bytes can be written; what is unlinked makes more. The list holds what is left."""
    left = [room]
    write, unlink = os.write, os.unlink

    def limited(descriptor: int, data: bytes) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote = write(descriptor, data[: left[0]])
        left[0] -= wrote
        return wrote

    def freeing(path: str) -> None:
        freed = os.stat(path).st_size
        unlink(path)
        left[0] += freed

    monkeypatch.setattr(sealing.os, "write", limited)
    monkeypatch.setattr(sealing.os, "unlink", freeing)
    return left


def test_on_a_full_disk_the_oldest_make_room(folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    for generation in (1, 2):
        old = Writer(folder, generation)
        old.write(*range(generation * 1000, generation * 1000 + 50))
        old.close()
    do(folder, 7)
    writer.write(*LINES)
    full(monkeypatch)
    do(folder, 7)
    found = read(folder)
    assert [number for number in found if number < 1000] == list(LINES)
    assert not any(1000 <= number < 2000 for number in found)
    assert not any(path.name.endswith(".part") for path in folder.iterdir())


def test_on_a_full_disk_with_nothing_older_the_oldest_lines_go_and_that_is_said(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(*LINES)
    full(monkeypatch)
    found = do(folder, 7)
    assert found.dropped > 0
    kept = read(folder)
    assert kept == list(LINES)[-len(kept) :]
    assert 20 < len(kept) < 30
    monkeypatch.undo()
    writer.write(100)
    assert read(folder) == [*kept, 100]


def test_on_a_full_disk_what_is_short_waits(folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write(1, 2)
    full(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        do(folder, 7, now=NOW + 86400)
    monkeypatch.undo()
    assert read(folder) == [1, 2]
    do(folder, 7, now=NOW + 86400)
    assert len(segments(folder)) == 1


def test_one_log_in_trouble_does_not_keep_another_waiting(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / file_name(3)).symlink_to("/dev/null")
    writer.write(*LINES)
    with pytest.raises(OSError, match="symbolic links"):
        do(folder, 7)
    assert segments(folder)


# Killed


INTERRUPTED = ("open", "write", "fsync", "rename", "unlink", "close")


def do_until_killed(step: int, act: Callable[[], object]) -> bool:
    """Do it in a process that dies before its `step`th change; whether it had done all before that."""
    child = os.fork()
    if child == 0:
        left = step

        def dying(call: Callable[..., object]) -> Callable[..., object]:
            def called(*arguments: object, **named: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return call(*arguments, **named)

            return called

        for name in INTERRUPTED:
            setattr(os, name, dying(getattr(os, name)))
        sealing.punch = dying(holes.punch)  # type: ignore[assignment]
        try:
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), "it failed"
    return status == 0


@pytest.mark.parametrize("ended", [False, True])
def test_a_daemon_killed_between_any_two_steps_loses_and_doubles_nothing(tmp_path: Path, ended: bool) -> None:
    step, done = 0, False
    while not done:
        folder = tmp_path / str(step)
        writer = Writer(folder, 7)
        writer.write(*range(150))
        living = () if ended else (7,)
        done = do_until_killed(step, lambda folder=folder, living=living: do(folder, *living))
        assert read(folder) == list(range(150)), f"killed before step {step}"
        if not ended:
            writer.write(150)
        do(folder, *living)
        assert read(folder) == list(range(150 + (not ended)))
        assert ended or data_in(writer.path) <= SMALL.live, "it goes on where the killed one was"
        assert len({path.suffix for path in folder.iterdir()} & {".part"}) == 0
        writer.close()
        step += 1
    assert step > 20, "the calls were counted"


def test_one_that_ended_goes_on_where_it_was_when_the_daemon_was_killed(
    folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(1, 2, 3)
    monkeypatch.setattr(sealing, "punch", lambda log, end: None)
    do(folder, 7, now=NOW + 86400)
    writer.write(4)
    do(folder)
    assert apart(folder)
    assert read(folder) == [1, 2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(
    moves=st.lists(st.sampled_from(["write", "look", "killed", "day", "reload", "kill -9"]), max_size=25),
    data=st.data(),
)
def test_each_line_is_read_once_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, moves: list[str], data: st.DataObject
) -> None:
    """Generations write, end and follow each other; the daemon looks, or is killed while it does."""
    folder = tmp_path_factory.mktemp("access")
    writers = {1: Writer(folder, 1)}
    generation, total, now = 1, 0, NOW
    for move in [*moves, "look"]:
        living = tuple(writers)
        if move == "write":
            for writer in writers.values():
                writer.write(*range(total, total + 30))
                total += 30
        elif move == "look":
            do(folder, *living, now=now)
        elif move == "killed":
            step = data.draw(st.integers(0, 30))
            do_until_killed(step, lambda living=living, now=now: do(folder, *living, now=now))
        elif move == "day":
            now += 86400
        elif move == "reload":
            generation += 1
            writers[generation] = Writer(folder, generation)
        elif len(writers) > 1:
            writers.pop(min(writers)).close()
        assert apart(folder)
        assert sorted(read(folder)) == list(range(total))
        assert sorted(read(folder, newest_first=True)) == list(range(total))
    for writer in writers.values():
        writer.close()


# In the daemon's hands


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[AccessLogs]:
    (tmp_path / "stacks").mkdir(0o711)
    made = AccessLogs(lambda stack: f"{tmp_path}/stacks/{stack}/logs/access", f"{tmp_path}/logs/access", SMALL)
    made.resume((), 0)
    yield made
    made.close()


def opened(ours: AccessLogs, generation: int, *routings: Routing) -> dict[str, int]:
    ours.begin(generation)
    return ours.open(generation, routings)


def shut(descriptors: dict[str, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def test_files_are_ours_alone_and_others_may_pass_as_they_may_above(ours: AccessLogs, tmp_path: Path) -> None:
    (tmp_path / "stacks").chmod(0o711)
    found = opened(ours, 1, a_routing(8080), a_routing(8081, stack="b"), a_routing(8081, stack="c"))
    assert set(found) == {"FAIRLEAD_ACCESS_shop", "FAIRLEAD_ACCESS"}
    shut(found)
    modes = {
        str(path.relative_to(tmp_path)): oct(stat.S_IMODE(path.stat().st_mode))[2:] for path in tmp_path.rglob("*")
    }
    assert modes == {
        "stacks": "711", "stacks/shop": "711", "stacks/shop/logs": "700", "stacks/shop/logs/access": "700",
        "stacks/shop/logs/access/access.1.log": "600", "logs": "700", "logs/access": "700", "logs/access/access.1.log": "600",
    }  # fmt: skip


def test_a_log_that_cannot_be_opened_is_left_out(ours: AccessLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int, mode: int = 0) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(access_logs.os, "open", refuse)
    assert opened(ours, 1, a_routing(8080)) == {}


async def test_a_log_that_found_a_full_disk_is_begun_by_the_next_generation_when_there_is_room(
    ours: AccessLogs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, flags: int, mode: int = 0) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    with monkeypatch.context() as full:
        full.setattr(access_logs.os, "open", refuse)
        assert opened(ours, 1, a_routing(8080)) == {}
        full.setattr(access_logs, "_has_room", lambda path: False)
        await ours.tend()
        assert not ours.is_long(1)
    assert "requests are not logged in" in caplog.text
    await ours.tend()
    assert ours.is_long(1)
    shut(opened(ours, 2, a_routing(8080)))
    await ours.tend()
    assert not ours.is_long(2)


@pytest.mark.parametrize("whose", ["this daemon", "an earlier one"])
async def test_a_file_that_somebody_removes_is_followed_by_the_next_generations(
    tmp_path: Path, ours: AccessLogs, whose: str
) -> None:
    shut(opened(ours, 1, a_routing(8080)))
    now = ours
    if whose == "an earlier one":
        now = AccessLogs(lambda stack: f"{tmp_path}/stacks/{stack}/logs/access", f"{tmp_path}/logs/access", SMALL)
        now.resume({1}, 1)
    await now.tend()
    assert not now.is_long(1)
    shutil.rmtree(tmp_path / "stacks/shop/logs")
    await now.tend()
    assert now.is_long(1)
    shut(opened(now, 2, a_routing(8080)))
    await now.tend()
    assert not now.is_long(2)
    now.close()


def test_without_folders_there_is_no_log() -> None:
    nobody = AccessLogs(lambda stack: "", "")
    assert opened(nobody, 1, a_routing(8080)) == {}
    assert nobody.generations() == set()


async def test_logs_of_stacks_that_are_down_and_the_shared_one_are_put_away_too(
    ours: AccessLogs, tmp_path: Path
) -> None:
    places = [tmp_path / "stacks/gone/logs/access", tmp_path / "logs/access"]
    for place in places:
        old = Writer(place, 3)
        old.write(*LINES)
        old.close()
    ours.resume((), 3)
    assert ours.generations() == {3}
    await ours.tend()
    for place in places:
        assert not (place / file_name(3)).exists()
        assert read(place) == list(LINES)


async def test_before_it_is_known_who_lives_nothing_is_put_away(tmp_path: Path, writer: Writer) -> None:
    nobody = AccessLogs(lambda stack: "", str(writer.path.parent), SMALL)
    writer.write(*LINES)
    nobody.begin(8)
    await nobody.tend()
    assert segments(writer.path.parent) == []
    nobody.resume({7}, 7)
    await nobody.tend()
    assert writer.path.exists()
    assert segments(writer.path.parent)  # how many depends on whether the day of the lines is over
    nobody.close()


async def test_the_file_of_one_that_is_being_started_or_is_leaving_is_nobodys_to_remove(
    ours: AccessLogs, tmp_path: Path
) -> None:
    shut(opened(ours, 1, a_routing(8080)))
    shut(opened(ours, 2, a_routing(8080)))
    await ours.tend()
    place = tmp_path / "stacks/shop/logs/access"
    assert {path.name for path in place.iterdir()} == {file_name(1), file_name(2)}
    ours.end(1)
    await ours.tend()
    assert {path.name for path in place.iterdir()} == {file_name(2)}


async def test_a_second_call_while_one_works_does_nothing(ours: AccessLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(
        AccessLogs, "_look", lambda self, *_: looked.append(os.getpriority(os.PRIO_PROCESS, 0)) or set()
    )
    await asyncio.gather(ours.tend(), ours.tend())
    assert looked == [access_logs.NICENESS], "once, in a thread that lets others go first"
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0
    await ours.tend()
    assert len(looked) == 2


async def test_trouble_is_said_once_and_again_after_it_was_over(
    ours: AccessLogs, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs/access").mkdir(parents=True)

    def broken(folder: str, **_: object) -> Findings:
        raise OSError(errno.EIO, "Input/output error")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(access_logs, "look", broken)
        await ours.tend()
        await ours.tend()
        assert len(caplog.records) == 1
        assert "logs/access is not put away: [Errno 5] Input/output error" in caplog.text
        monkeypatch.setattr(access_logs, "look", lambda folder, **_: Findings())
        await ours.tend()
        monkeypatch.setattr(access_logs, "look", broken)
        await ours.tend()
        assert len(caplog.records) == 2
        monkeypatch.setattr(access_logs, "look", lambda folder, **_: 1 / 0)
        await ours.tend()
        assert "division" in caplog.text


async def test_a_daemon_that_leaves_does_not_wait_for_zlib(ours: AccessLogs, tmp_path: Path) -> None:
    folder = tmp_path / "logs/access"
    writer = Writer(folder, 7)
    writer.write(*LINES)
    with pytest.raises(Stopped):
        look(str(folder), living={7}, newest=7, now=NOW, limits=SMALL, stop=lambda: True)
    assert [path.name for path in folder.iterdir()] == [file_name(7)]
    assert read(folder) == list(LINES)
    writer.close()


async def test_a_log_that_cannot_be_shortened_asks_for_the_next_generation(
    ours: AccessLogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "talent", lambda folder: "none")
    found = opened(ours, 5, a_routing(8080))
    (descriptor,) = found.values()
    os.write(descriptor, b"".join(a_line(number) + b"\n" for number in range(600)))
    shut(found)
    monkeypatch.setattr(access_logs.time, "time", lambda: NOW)
    await ours.tend()
    assert ours.is_long(5)
    assert not ours.is_long(6)
