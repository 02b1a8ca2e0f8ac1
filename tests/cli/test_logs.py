"""`fairlead logs`: merged, named, harmless, without a daemon; and followed through growth, cuts and new instances."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.cli.log_files import Follower, LogFile, find, tail
from fairlead.core.layout import Layout
from tests.cli.conftest import Fairlead


def write(home: Layout, instance: str, text: bytes, *, age: float = 0, stack: str = "shop") -> Path:
    path = Path(home.instance(stack, instance)) / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(text)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_logs_are_merged_with_the_latest_writer_last(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"one\ntwo\n")
    write(home, "web-10", b"three\n", age=60)
    shown = fairlead("logs")
    assert shown.out == "web-10 | three\nweb-1  | one\nweb-1  | two\n"
    assert shown.status == 0


def test_logs_can_be_narrowed_to_a_service_an_instance_and_a_number_of_lines(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"a\nb\nc\n")
    write(home, "web-api-1", b"d\n", age=1)
    assert fairlead("logs", "web").out == "web-1 | a\nweb-1 | b\nweb-1 | c\n"
    assert fairlead("logs", "web-api").out == "web-api-1 | d\n"
    assert fairlead("logs", "--instance", "web-1", "-n", "1").out == "web-1 | c\n"


def test_what_a_program_prints_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \xff \xe2\x80\xae\n")
    shown = fairlead("logs").out
    assert shown.startswith("web-1 | red ")
    assert not any(character in shown for character in "\x1b\x07\x9b\u202e")
    assert r"\xff" in shown


def test_no_log_is_an_error_that_names_what_was_asked_for(fairlead: Fairlead, home: Layout) -> None:
    assert "there is no stack" in fairlead("logs").err
    write(home, "web-1", b"a\n")
    shown = fairlead("logs", "wbe")
    assert (shown.status, shown.out) == (2, "")
    assert "no log of service 'wbe' in shop" in shown.err


def test_a_stack_that_never_launched_anything_is_not_meant(fairlead: Fairlead, home: Layout) -> None:
    Path(home.releases("draft", "web")).mkdir(parents=True)
    write(home, "web-1", b"a\n")
    assert fairlead("logs").out == "web-1 | a\n"


def test_logs_of_a_home_that_may_not_be_read_is_an_error_and_no_traceback(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(folder: str) -> list[str]:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "listdir", closed)
    shown = fairlead("logs")
    assert (shown.status, shown.out) == (1, "")
    assert shown.err == f"error: {home.home}/stacks cannot be used: Permission denied\n"


def test_many_ended_instances_are_left_out_and_that_is_said(fairlead: Fairlead, home: Layout) -> None:
    for number in range(12):
        write(home, f"web-{number}", f"{number}\n".encode(), age=100 - number)
    shown = fairlead("logs")
    assert [line.split(" | ")[1] for line in shown.out.splitlines()] == [str(number) for number in range(2, 12)]
    assert "2 older instances are not shown" in shown.err


@pytest.mark.parametrize("lines", [0, 1, 3, 4, 9])
def test_the_tail_goes_back_into_the_older_file(home: Layout, lines: int) -> None:
    path = write(home, "web-1", b"c\nd\nunfinished")
    (path.parent / "log.1").write_bytes(b"a\nb\n")
    (log,) = find(home.instances("shop"), None, None)
    past, offset = tail(log, lines)
    assert past == [b"a", b"b", b"c", b"d"][4 - min(lines, 4) :]
    assert offset == len(b"c\nd\n")


def test_a_long_log_is_read_from_its_end_in_blocks(home: Layout) -> None:
    write(home, "web-1", b"".join(b"%06d\n" % number for number in range(50_000)))
    (log,) = find(home.instances("shop"), None, None)
    past, _ = tail(log, 20_000)
    assert past == [b"%06d" % number for number in range(30_000, 50_000)]


def test_a_follower_shows_each_line_once_and_whole(home: Layout) -> None:
    path = write(home, "web-1", b"")
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    seen = []
    for piece in (b"a\nb", b"", b"c\n", b"d\n" * 3, b"x" * 200_000, b"\n"):
        write(home, "web-1", piece)
        seen += follower.new_lines()
    assert seen[:5] == [b"a", b"bc", b"d", b"d", b"d"]
    assert b"".join(seen[5:]) == b"x" * 200_000


def test_a_follower_goes_on_where_it_was_when_the_beginning_is_moved_away(home: Layout) -> None:
    path = write(home, "web-1", b"a\n" * 10)
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    assert len(list(follower.new_lines())) == 10
    (path.parent / "log.1").write_bytes(b"a\n" * 8)
    path.write_bytes(b"a\n" * 2 + b"b\n")
    assert list(follower.new_lines()) == [b"b"]


@pytest.mark.live
def test_follow_shows_new_lines_and_new_instances_until_ctrl_c(home: Layout) -> None:
    write(home, "web-1", b"old\n")
    environment = {**os.environ, "FAIRLEAD_HOME": home.home, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "fairlead", "logs", "--follow", "--stack", "shop"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "web-1 | old\n"
        write(home, "web-1", b"new\n")
        assert process.stdout.readline() == "web-1 | new\n"
        write(home, "web-2", b"born\n")
        assert process.stdout.readline() == "web-2 | born\n"
        process.send_signal(2)
        assert process.wait(10) == 130
