"""`fairlead logs`: merged, named, harmless, without a daemon; and followed through growth, cuts and new instances."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.cli.log_files import Choice, Filter, Follower, LogFile, Past, find
from fairlead.core.layout import Layout
from fairlead.core.model import Service, Targets
from fairlead.engines.about import About, End
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.store.builders import a_stack_record


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


def test_the_log_of_a_resource_is_shown_by_its_id(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"a\n")
    folder = Path(home.resource("shop", "store"))
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(b"starting\n\x1b[2Jready\n")
    shown = fairlead("logs", "store")
    assert (shown.status, shown.out.splitlines()[0], len(shown.out.splitlines())) == (0, "starting", 2)
    assert "\x1b" not in shown.out
    assert fairlead("logs", "store", "-n", "1", "--grep", "start").out == "starting\n"
    row = json.loads(fairlead("logs", "store", "--json").out.splitlines()[0])
    assert (row["instance"], row["service"], row["line"]) == ("store", None, "starting")
    assert fairlead("logs", "../store").status == 2


def test_a_service_of_the_same_name_comes_first_and_the_other_is_said(fairlead: Fairlead, home: Layout) -> None:
    write(home, "store-1", b"a\n")
    folder = Path(home.resource("shop", "store"))
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(b"ready\n")
    shown = fairlead("logs", "store")
    assert shown.out == "store-1 | a\n"
    assert f"what the server of that name writes is in {folder}/log" in shown.err


@pytest.mark.parametrize("words", [("api",), ("--instance", "api-1")])
def test_what_is_routed_to_and_not_run_has_no_log_and_the_error_says_why(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...]
) -> None:
    write(home, "web-1", b"a\n")
    record = a_stack_record("shop")
    api = Service(name="api", program=Targets(addresses=("10.0.0.7:9000",)), source="")
    stack = replace(record.desired.stack, services=(*record.desired.stack.services, api))
    store = Store.open(home.database)
    store.save_stack(replace(record, desired=replace(record.desired, stack=stack)))
    store.close()
    shown = fairlead("logs", *words)
    assert shown.status == 2
    assert "in shop: api is routed to, and not run by fairlead\nnext: fairlead explain api\n" in shown.err
    assert "not run" not in fairlead("logs", "wbe").err


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
    for words in ((), ("--access",)):
        shown = fairlead("logs", *words)
        assert (shown.status, shown.out) == (1, "")
        assert shown.err == (
            f"error: the logs of {home.home} cannot be read: this home belongs to another user\n"
            "next: Run the command as that user, or choose another home with --home.\n"
        )


def test_many_ended_instances_are_left_out_and_that_is_said(fairlead: Fairlead, home: Layout) -> None:
    for number in range(12):
        write(home, f"web-{number}", f"{number}\n".encode(), age=100 - number)
    shown = fairlead("logs")
    assert [line.split(" | ")[1] for line in shown.out.splitlines()] == [str(number) for number in range(2, 12)]
    assert "2 older instances are not shown" in shown.err


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("ended", [False, True])
def test_the_last_lines_go_back_into_the_older_part(home: Layout, count: int, ended: bool) -> None:
    path = write(home, "web-1", b"c\nd\nunfinished")
    older(path, b"a\nb\n")
    if ended:
        (path.parent / "exit").write_text("0\n")
    past = the_past(home)
    expected = [b"a", b"b", b"c", b"d", b"unfinished"][: 5 if ended else 4]
    assert [line.text for line in past.lines(Filter(last=count))] == expected[
        len(expected) - min(count, len(expected)) :
    ]
    assert past.end == len(b"a\nb\nc\nd\n") + (len(b"unfinished") if ended else 0)


def test_a_line_whose_beginning_was_moved_away_is_left_out(home: Layout) -> None:
    path = write(home, "web-1", b"wo\nthree\n")
    (path.parent / "log.at").write_text("10\n")
    (path.parent / "log.1").write_bytes(b"ne\nt")
    assert [line.text for line in the_past(home).lines(Filter())] == [b"two", b"three"]


def test_a_long_log_is_read_from_its_end_in_blocks(home: Layout) -> None:
    write(home, "web-1", b"".join(b"%06d\n" % number for number in range(200_000)))
    past = the_past(home)
    expected = [b"%06d" % number for number in range(200_000)]
    for count in (1, 20_000, 150_000, 300_000):
        assert [line.text for line in past.lines(Filter(last=count))] == expected[-count:]


def test_a_follower_shows_each_line_once_and_whole(home: Layout) -> None:
    path = write(home, "web-1", b"")
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    seen = []
    for number, piece in enumerate((b"a\nb", b"", b"c\n", b"d\n" * 3, b"x" * 200_000, b"\n")):
        write(home, "web-1", piece, age=-number)
        seen += follower.new_lines()
    assert seen[:5] == [b"a", b"bc", b"d", b"d", b"d"]
    assert b"".join(seen[5:]) == b"x" * 200_000


def test_a_follower_goes_on_where_it_was_when_the_beginning_is_moved_away(home: Layout) -> None:
    path = write(home, "web-1", b"a\n" * 10)
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    assert len(list(follower.new_lines())) == 10
    path.write_bytes(b"a\n" * 2 + b"b\n")
    older(path, b"a\n" * 8)
    assert list(follower.new_lines()) == [b"b"]
    assert follower.missed == 0


def test_a_follower_that_was_too_slow_says_what_it_missed(home: Layout) -> None:
    path = write(home, "web-1", b"a\n")
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    assert list(follower.new_lines()) == [b"a"]
    path.write_bytes(b"st\nlast\n")
    (path.parent / "log.at").write_text("1000\n")
    assert list(follower.new_lines()) == [b"last"]
    assert follower.missed == 998


def test_a_follower_begins_anew_when_the_program_empties_its_log(home: Layout) -> None:
    path = write(home, "web-1", b"a\nb\nc\n")
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    assert len(list(follower.new_lines())) == 3
    path.write_bytes(b"d\n")
    assert list(follower.new_lines()) == [b"d"]


def test_a_follower_shows_an_unfinished_line_once_its_writer_has_ended(home: Layout) -> None:
    path = write(home, "web-1", b"a\nlast words")
    follower = Follower(LogFile("web-1", str(path.parent)), 0)
    assert list(follower.new_lines()) == [b"a"]
    (path.parent / "exit").write_text("1\n")
    assert list(follower.new_lines()) == [b"last words"]
    assert list(follower.new_lines()) == []


NOW = 1_800_000_000.0


def test_since_begins_at_the_line_that_was_written_then(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    path = write(home, "web-1", b"old\nmiddle\nnew\n")
    marks(path, (4, NOW - 7200), (9, NOW - 3600), (15, NOW - 60))
    os.utime(path, (NOW - 60, NOW - 60))
    assert fairlead("logs", "--since", "3h").out == "web-1 | old\nweb-1 | middle\nweb-1 | new\n"
    assert fairlead("logs", "--since", "1h30m").out == "web-1 | middle\nweb-1 | new\n"
    # A mark in the middle of a line: the line was ended after it.
    assert fairlead("logs", "--since", "10m").out == "web-1 | middle\nweb-1 | new\n"
    assert fairlead("logs", "--since", "10m", "-n", "1").out == "web-1 | new\n"
    shown = fairlead("logs", "--since", "30s")
    assert (shown.status, shown.out) == (0, "")
    assert "no line" in shown.err


def test_instances_are_merged_by_the_times_of_their_marks(fairlead: Fairlead, home: Layout) -> None:
    first, second = write(home, "web-1", b"1\n3\n5\n"), write(home, "web-2", b"2\n4\n6\n", age=-1)
    marks(first, (2, 100), (4, 300), (6, 500))
    marks(second, (2, 200), (4, 400), (6, 600))
    assert [line[-1] for line in fairlead("logs").out.splitlines()] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("text", ["", "10", "m", "10x", "yesterday", "2026-13-01", "10 m", "2030-01-01"])
def test_a_time_that_is_none_is_a_usage_error(fairlead: Fairlead, home: Layout, text: str) -> None:
    write(home, "web-1", b"a\n")
    shown = fairlead("logs", f"--since={text}")
    assert (shown.status, shown.out) == (2, "")
    assert f"error: --since {text!r}" in shown.err
    assert "next: " in shown.err


def test_grep_shows_the_last_lines_that_match(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"GET /a 200\nGET /b 500\n\x1b[31mGET\x1b[0m /c 500\nGET /d 503\n")
    assert fairlead("logs", "--grep", "50[0-9]$", "-n", "2").out == "web-1 | GET /c 500\nweb-1 | GET /d 503\n"
    # What is searched is what is shown: colours are not in the way.
    assert fairlead("logs", "--grep", "^GET /c").out == "web-1 | GET /c 500\n"


def test_a_bad_pattern_is_a_usage_error(fairlead: Fairlead, home: Layout) -> None:
    write(home, "web-1", b"a\n")
    shown = fairlead("logs", "--grep", "a(")
    assert (shown.status, shown.out) == (2, "")
    assert "--grep 'a(' is no regular expression" in shown.err


def test_logs_of_one_release(fairlead: Fairlead, home: Layout) -> None:
    for number, release in ((1, 1), (2, 2), (3, 2)):
        about(write(home, f"web-{number}", b"%d\n" % release, age=10 - number), release=release)
    write(home, "web-4", b"unknown\n")
    assert fairlead("logs", "--release", "2").out == "web-2 | 2\nweb-3 | 2\n"
    shown = fairlead("logs", "web", "--release", "9")
    assert (shown.status, "no log of service 'web' of release 9 in shop" in shown.err) == (2, True)


def test_runs_are_shown_only_when_they_are_asked_for(fairlead: Fairlead, home: Layout) -> None:
    for number, instance in enumerate(("web-1", "web.before-1", "nightly.job-1", "nightly.job-2")):
        write(home, instance, instance.encode() + b"\n", age=10 - number)
    assert fairlead("logs").out == "web-1 | web-1\n"
    assert fairlead("logs", "web").out == "web-1 | web-1\n"
    assert fairlead("logs", "--job", "nightly").out == (
        "nightly.job-1 | nightly.job-1\nnightly.job-2 | nightly.job-2\n"
    )
    assert fairlead("logs", "--instance", "web.before-1").out == "web.before-1 | web.before-1\n"
    shown = fairlead("logs", "nightly")
    assert shown.status == 2
    assert "'nightly' is a job\nnext: fairlead logs --job nightly" in shown.err


def test_a_stack_that_runs_nothing_of_its_own_is_there_and_has_no_logs(fairlead: Fairlead, home: Layout) -> None:
    record = a_stack_record("outside")
    api = Service(name="api", program=Targets(addresses=("10.0.0.7:9000",)), source="")
    store = Store.open(home.database)
    store.save_stack(
        replace(record, desired=replace(record.desired, stack=replace(record.desired.stack, services=(api,))))
    )
    store.close()
    for words in ((), ("--follow",), ("--stack", "outside")):
        shown = fairlead("logs", *words)
        assert shown.status == 2
        assert "in outside: all that it has is routed to, and not run by fairlead\nnext: fairlead status\n" in shown.err
    # Beside one that prints it is not what somebody means who names none.
    write(home, "web-1", b"a\n")
    assert fairlead("logs").out == "web-1 | a\n"
    assert "in outside: all that it has" in fairlead("logs", "--stack", "outside").err


def test_json_is_one_object_a_line(fairlead: Fairlead, home: Layout) -> None:
    path = about(write(home, "web-1", b"a \xff\x1b[31m\r\nb\n"), release=3)
    os.utime(path, (NOW, NOW))
    first, second = map(json.loads, fairlead("logs", "--json").out.splitlines())
    assert first == {"instance": "web-1", "service": "web", "release": 3, "line": "a \\xff\x1b[31m", "at": None}
    assert second["line"] == "b"
    marks(path, (11, NOW))
    assert [json.loads(line)["at"] for line in fairlead("logs", "--json").out.splitlines()][1] == (
        "2027-01-15T08:00:00.000Z"
    )


def test_the_logs_of_the_daemon_and_of_haproxy_need_no_stack(fairlead: Fairlead, home: Layout) -> None:
    missing = fairlead("logs", "--daemon")
    assert missing.status == 2
    assert "journalctl" in missing.err
    for path, text in ((home.daemon_log, b"one\n"), (home.balancer_log, b"two\n")):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(text)
    assert fairlead("logs", "--daemon").out == "one\n"
    assert fairlead("logs", "--balancer").out == "two\n"
    assert sorted(fairlead("logs", "--daemon", "--balancer").out.splitlines()) == ["daemon  | one", "haproxy | two"]
    assert json.loads(fairlead("logs", "--daemon", "--json").out) == {
        "instance": "daemon", "service": None, "release": None, "line": "one", "at": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("--daemon", "web"), ("--balancer", "--stack", "shop"), ("--daemon", "--boot"), ("web", "--job", "nightly"),
     ("--instance", "web-1", "--boot", "web-1"), ("--boot", "web-1", "--follow"), ("--boot", "web-1", "--since", "1h"),
     ("web", "--instance", "web-1")],
)  # fmt: skip
def test_what_contradicts_itself_is_a_usage_error(fairlead: Fairlead, home: Layout, words: tuple[str, ...]) -> None:
    write(home, "web-1", b"a\n")
    shown = fairlead("logs", *words)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error: ")


def test_the_boot_of_an_instance_tells_what_was_started_and_how_it_ended(fairlead: Fairlead, home: Layout) -> None:
    path = about(write(home, "web-3", b"one\ntwo\nthree\n"), release=7, argv=("python", "a b.py"), uid=0)
    (path.parent / "exit").write_text("1\n")
    os.utime(path.parent / "exit", (NOW + 0.5, NOW + 0.5))
    (path.parent / "cleared").write_text(End(failed_start=True, why="it never passed a check").text())
    shown = fairlead("logs", "--boot", "web-3", "-n", "2")
    assert shown.status == 0
    assert shown.out.splitlines() == [
        "instance  web-3, release 7",
        "started   2027-01-15 08:00:00Z as root (uid 0)",
        "program   python 'a b.py'",
        "ended     exited with status 1, 0.5 s after its start",
        "because   it never passed a check",
        "output    its first lines:",
        "  | one",
        "  | two",
    ]
    said = json.loads(fairlead("logs", "--boot", "web-3", "--json").out)
    assert (said["argv"], said["exit_status"], said["failed_start"]) == (["python", "a b.py"], 1, True)
    assert (said["lines"], said["ended_at"]) == (["one", "two", "three"], "2027-01-15T08:00:00.500Z")


def test_boot_without_an_id_is_the_last_failed_start(fairlead: Fairlead, home: Layout) -> None:
    nothing = fairlead("logs", "--boot", "--stack", "shop")
    assert nothing.status == 2
    for number, (instance, status, failed) in enumerate(
        [("web-1", 1, True), ("web-2", 0, False), ("web-3", 137, None), ("api-1", 1, None), ("web.before-1", 2, None),
         ("web-9", None, None)]
    ):  # fmt: skip
        path = about(write(home, instance, b"x\n", age=100 - number), instance=instance)
        if status is not None:
            (path.parent / "exit").write_text(f"{status}\n")
            (path.parent / "cleared").write_text(End(failed_start=failed).text())
    assert fairlead("logs", "--boot").out.startswith("instance  web.before-1,")
    assert fairlead("logs", "--boot", "api").out.startswith("instance  api-1,")
    # Killed by fairlead is no failed start; not by its end alone.
    assert fairlead("logs", "--boot", "web-3").out.startswith("instance  web-3,")
    assert "ended     no" in fairlead("logs", "--boot", "web-9").out
    assert "no start 'cache'" in fairlead("logs", "--boot", "cache").err


def test_what_a_boot_shows_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    path = about(write(home, "web-1", b"\x1b]0;x\x07\n"), argv=("\x1b[2J", "a\nb"))
    (path.parent / "exit").write_text("1\n")
    (path.parent / "cleared").write_text(End(why="\x1b]0;x\x07").text())
    shown = fairlead("logs", "--boot")
    assert shown.status == 0
    assert "\x1b" not in shown.out
    assert "\x07" not in shown.out


def older(path: Path, text: bytes) -> None:
    """What was moved away before what `path` holds; nothing before that."""
    Path(f"{path}.1").write_bytes(text)
    Path(f"{path}.at").write_text(f"{len(text)}\n")


def marks(path: Path, *given: tuple[int, float]) -> None:
    Path(f"{path}.marks").write_text("".join(f"\n{position} {at} {at - 5}" for position, at in given))


def about(
    path: Path, *, release: int = 1, argv: tuple[str, ...] = ("x",), uid: int = 0, instance: str = "web-1"
) -> Path:
    service = instance.rpartition("-")[0].partition(".")[0]
    started_at = "2027-01-15T08:00:00.000Z"
    About(
        stack="shop", id=path.parent.name, service=service, release=release, argv=argv, user=(uid, uid),
        started_at=started_at,
    ).write(str(path.parent))  # fmt: skip
    return path


def the_past(home: Layout) -> Past:
    (log,) = find(home.instances("shop"), Choice())
    return Past(log)


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
