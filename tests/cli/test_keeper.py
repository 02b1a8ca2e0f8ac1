"""The keeper and the way to the daemon, with real processes: started, kept, waited for, and ended without a trace."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead.api.client import Client
from fairlead.cli import connection, down, keeper, record
from fairlead.cli.processes import lock_holder, processes_of, wait_until_gone
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable, StoreError
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.needs import need

pytestmark = pytest.mark.live


@pytest.fixture
def a_python(home: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Call it with a behaviour: from then on the interpreter is one that runs the fake daemon. Ends what it started."""
    wrapper = Path(home.home, "python")
    fake = Path(__file__).with_name("fake_daemon.py")
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))

    def behave(how: str) -> None:
        Path(home.home, "behaviour").write_text(how)

    yield behave
    for process in sorted(processes_of(home.home), key=lambda process: process.kind != "keeper"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert wait_until_gone(home.home, 5) == []


def eventually(condition: Callable[[], object], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def answering_pid(home: Layout) -> int | None:
    with contextlib.suppress(DaemonUnavailable):
        return int(Client(home.api_socket).version(timeout=5)["pid"])
    return None


def a_stray(home: Layout) -> subprocess.Popen[bytes]:
    """A process that carries an instance's mark and that no daemon knows."""
    environment = {"FAIRLEAD_RUN": f"{home.home}/stacks/shop/instances/web-1", "PATH": os.environ["PATH"]}
    return subprocess.Popen(["sleep", "60"], env=environment)


def starts(home: Layout) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in Path(home.home, "starts").read_text().splitlines()]


def test_a_command_that_changes_something_starts_the_daemon(home: Layout, a_python: Callable[[str], None]) -> None:
    a_python("serve")
    client = connection.reach(home, start=True)
    assert client is not None
    pid = client.version()["pid"]
    assert lock_holder(home.lock) == pid
    assert sorted(process.kind for process in processes_of(home.home)) == ["daemon", "keeper"]
    assert starts(home)[0][2] == "-P -m fairlead daemon"
    # The daemon reads `fairlead daemon` in the list of processes, and its keeper does not.
    for process in processes_of(home.home):
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ")
        assert (b"fairlead daemon" in line) == (process.kind == "daemon")
        assert os.getsid(process.pid) != os.getsid(0)
        assert os.readlink(f"/proc/{process.pid}/fd/0") == "/dev/null"
        assert f"FAIRLEAD_HOME={home.home}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert f"fake daemon {pid}" in Path(home.daemon_log).read_text()


def test_a_daemon_killed_with_9_is_back_within_a_second(home: Layout, a_python: Callable[[str], None]) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    before = answering_pid(home)
    assert before
    os.kill(before, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: answering_pid(home) not in (None, before), "a new daemon answers")
    # Half a second of the keeper's, and this fake's own start.
    assert time.monotonic() - killed < 2
    assert len([process for process in processes_of(home.home) if process.kind == "keeper"]) == 1


def test_a_command_waits_for_the_keeper_to_bring_the_daemon_back(home: Layout, a_python: Callable[[str], None]) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    before = answering_pid(home)
    assert before
    os.kill(before, signal.SIGKILL)
    assert connection.reach(home, start=False) is not None
    assert answering_pid(home) not in (None, before)
    assert len([process for process in processes_of(home.home) if process.kind == "keeper"]) == 1


@pytest.mark.parametrize("status", [0, 3])
def test_the_keeper_ends_when_the_daemon_was_asked_to_or_another_holds_the_home(
    home: Layout, a_python: Callable[[str], None], status: int
) -> None:
    a_python(f"exit {status}")
    process = keeper.start(home, sys.executable, os.environ)
    assert process.wait(10) == status
    assert len(starts(home)) == 1


def test_a_daemon_that_cannot_start_at_all_is_not_tried_for_ever_and_its_words_are_shown(
    home: Layout, a_python: Callable[[str], None]
) -> None:
    a_python("exit 1")
    with pytest.raises(DaemonUnavailable, match="it ended with status 1") as seen:
        connection.reach(home, start=True)
    assert seen.value.detail.startswith("fake daemon ")
    assert len(starts(home)) == 1
    assert wait_until_gone(home.home, 5) == []


def test_a_daemon_that_dies_after_a_crash_is_tried_again_half_a_second_later(
    home: Layout, a_python: Callable[[str], None]
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    a_python("exit 1")
    os.kill(int(starts(home)[0][0]), signal.SIGKILL)
    eventually(lambda: len(starts(home)) >= 4, "three more starts")
    moments = [float(start[1]) for start in starts(home)[1:4]]
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(moments))
    a_python("exit 0")
    assert wait_until_gone(home.home, 5) == []


def test_two_commands_at_once_end_with_one_daemon(home: Layout, a_python: Callable[[str], None]) -> None:
    a_python("serve")
    first = keeper.start(home, sys.executable, os.environ)
    second = keeper.start(home, sys.executable, os.environ)
    eventually(lambda: first.poll() == 3 or second.poll() == 3, "one keeper gives way")
    assert connection.reach(home, start=True) is not None
    assert sorted(process.kind for process in processes_of(home.home)) == ["daemon", "keeper"]
    for process in (first, second):
        process.returncode = process.poll() or 0


@pytest.mark.parametrize("status", [0, 3], ids=["ended by another command", "another was quicker, and is gone"])
def test_a_daemon_that_gave_way_to_one_that_is_gone_by_now_is_started_again(
    home: Layout, a_python: Callable[[str], None], status: int
) -> None:
    a_python(f"exit {status}")
    with ThreadPoolExecutor(1) as thread:
        reached = thread.submit(connection.reach, home, start=True)
        eventually(lambda: Path(home.home, "starts").exists() and starts(home), "a first start")
        a_python("serve")
        assert reached.result(30) is not None
    assert sorted(process.kind for process in processes_of(home.home)) == ["daemon", "keeper"]


def test_a_silent_daemon_is_awaited_and_then_named(
    home: Layout, a_python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("silent")
    monkeypatch.setattr(connection, "PATIENCE", 0.3)
    process = keeper.start(home, sys.executable, os.environ)
    eventually(lambda: lock_holder(home.lock), "the lock is held")
    began = time.monotonic()
    with pytest.raises(DaemonUnavailable, match=rf"pid {lock_holder(home.lock)} holds .* nothing answered") as raised:
        connection.reach(home, start=True)
    assert f"`kill -9 {lock_holder(home.lock)}`" in raised.value.next_step
    assert 0.3 <= time.monotonic() - began < 4
    keeper.end(process)


def test_a_daemon_that_never_answers_is_ended_again(
    home: Layout, a_python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("silent")
    monkeypatch.setattr(connection, "STARTING", 1.0)
    with pytest.raises(DaemonUnavailable, match=r"gave no answer on .* for 1 s"):
        connection.reach(home, start=True)
    assert wait_until_gone(home.home, 5) == []


def test_without_a_daemon_one_is_started_only_when_something_should_run(
    home: Layout, a_python: Callable[[str], None]
) -> None:
    a_python("serve")
    assert connection.reach(home, start=False) is None
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("CREATE TABLE stacks (name, wanted)")
        db.execute("INSERT INTO stacks VALUES ('shop', 'up')")
    assert connection.reach(home, start=False) is not None


def test_down_all_leaves_no_process(home: Layout, a_python: Callable[[str], None], fairlead: Fairlead) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    shown = fairlead("down", "--all")
    assert (shown.status, shown.out) == (0, "")
    assert "nothing runs any more" in shown.err
    assert processes_of(home.home) == []
    assert lock_holder(home.lock) is None
    again = fairlead("down", "--all")
    assert again.status == 0
    assert f"nothing runs in {home.home}" in again.err


def test_down_all_has_a_daemon_end_what_was_left_behind(
    home: Layout, a_python: Callable[[str], None], fairlead: Fairlead
) -> None:
    a_python("serve")
    environment = {"FAIRLEAD_RUN": f"{home.home}/stacks/shop/instances/web-1", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "2"], env=environment):
        shown = fairlead("down", "--all")
    assert shown.status == 0
    assert len(starts(home)) == 1
    assert processes_of(home.home) == []


def test_down_all_kills_what_does_not_end(
    home: Layout, a_python: Callable[[str], None], fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    monkeypatch.setattr(down, "ENDING", 0.3)
    with a_stray(home) as stray:
        shown = fairlead("down", "--all")
    assert (shown.status, stray.returncode) == (0, -signal.SIGKILL)
    assert f"killing what does not end: instance (pid {stray.pid})" in shown.err


def test_down_all_names_what_is_still_there(
    home: Layout, a_python: Callable[[str], None], fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    monkeypatch.setattr(down, "ENDING", 0.3)
    monkeypatch.setattr(down, "KILLING", 0.3)

    def another_users(pid: int, number: int) -> None:
        raise PermissionError

    with a_stray(home) as stray, monkeypatch.context() as patched:
        patched.setattr(os, "kill", another_users)
        shown = fairlead("down", "--all")
        patched.undo()
        stray.kill()
    assert shown.status == 1
    assert f"there is still instance (pid {stray.pid})" in shown.err


def test_down_all_ends_a_daemon_that_hangs(
    home: Layout, a_python: Callable[[str], None], fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    hanging = answering_pid(home)
    assert hanging is not None
    monkeypatch.setattr(connection, "PATIENCE", 0.3)
    os.kill(hanging, signal.SIGSTOP)
    shown = fairlead("down", "--all")
    assert shown.status == 0
    assert f"daemon (pid {hanging})" in shown.err
    assert processes_of(home.home) == []


def test_down_all_ends_a_daemon_whose_home_was_deleted(
    home: Layout, a_python: Callable[[str], None], fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    monkeypatch.setattr(connection, "PATIENCE", 0.3)
    monkeypatch.setattr(down, "ENDING", 0.3)
    for path in (home.lock, home.api_socket):
        os.unlink(path)
    shown = fairlead("down", "--all")
    assert (shown.status, processes_of(home.home)) == (0, [])


def test_the_marks_of_an_instance_are_not_handed_to_the_daemon(home: Layout, a_python: Callable[[str], None]) -> None:
    a_python("serve")
    marks = {"FAIRLEAD_RUN": f"{home.home}/stacks/a/instances/b", "FAIRLEAD_INSTANCE": "b"}
    keeper.start(home, sys.executable, {**os.environ, **marks}).returncode = 0
    eventually(lambda: answering_pid(home), "the daemon answers")
    assert sorted(process.kind for process in processes_of(home.home)) == ["daemon", "keeper"]


def test_a_home_that_cannot_be_made_says_so(home: Layout) -> None:
    Path(home.home, "file").write_text("")
    blocked = Layout(f"{home.home}/file/home", f"{home.home}/run")
    with pytest.raises(StoreError, match=r"the home cannot be written: .*: File exists"):
        keeper.start(blocked, sys.executable, os.environ)


def test_the_store_is_read_without_touching_it(home: Layout) -> None:
    assert record.something_should_run(home.database) is False
    with contextlib.closing(sqlite3.connect(home.database)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        with db:
            db.execute("CREATE TABLE stacks (name, wanted)")
            db.execute("CREATE TABLE instances (id, ended)")
            db.execute("CREATE TABLE events (id, at, stack, service, instance, kind, text)")
            db.executemany("INSERT INTO events VALUES (?, 't', ?, '', '', 'k', 'x')", [(1, "a"), (2, "b"), (3, "a")])
    files = set(os.listdir(home.home))
    assert record.something_should_run(home.database) is False
    assert [event["id"] for event in record.events(home.database, None, 2, 0)] == [2, 3]
    assert [event["id"] for event in record.events(home.database, "a", 9, 1)] == [3]
    assert set(os.listdir(home.home)) == files
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("INSERT INTO instances VALUES ('web-1', 0)")
        db.commit()
        # Also while another program has it open, with the row still in its log.
        assert record.something_should_run(home.database) is True


def test_a_store_that_cannot_be_read_is_the_daemons_to_explain(home: Layout) -> None:
    Path(home.database).write_bytes(b"not a database" * 100)
    assert record.something_should_run(home.database) is True
    assert record.events(home.database, None, 10, 0) == []


def test_root_makes_nothing_in_another_users_home(home: Layout) -> None:
    need(os.geteuid() == 0, "only root can give folders to other users")
    os.chown(home.home, 65534, 65534)
    with pytest.raises(StoreError, match="belongs to user 65534, and this is user 0"):
        keeper.start(home, sys.executable, os.environ)
    assert os.listdir(home.home) == []


def test_a_keeper_whose_home_is_gone_starts_no_daemon_in_a_new_one(
    home: Layout, a_python: Callable[[str], None]
) -> None:
    a_python("serve")
    process = keeper.start(home, sys.executable, os.environ)
    eventually(lambda: answering_pid(home), "the daemon answers")
    moved = f"{home.home}-moved"
    os.rename(home.home, moved)
    try:
        pid = next(one.pid for one in processes_of(home.home) if one.kind == "daemon")
        os.kill(pid, signal.SIGKILL)
        assert process.wait(10) == 1
        assert not os.path.exists(home.home)
    finally:
        os.rename(moved, home.home)
    assert f"keeper: {home.home} is gone" in Path(home.daemon_log).read_text()


def test_a_home_that_was_moved_under_its_daemon_is_named_with_both_places(
    home: Layout, a_python: Callable[[str], None]
) -> None:
    a_python("serve")
    connection.reach(home, start=True)
    moved = f"{home.home}-moved"
    os.rename(home.home, moved)
    try:
        with pytest.raises(DaemonUnavailable, match=f"the home {home.home} was moved while its daemon runs") as caught:
            connection.reach(home, start=True)
        assert caught.value.next_step.startswith(f"Move it back (`mv {moved} {home.home}`)")
        assert not os.path.exists(home.home)
    finally:
        os.rename(moved, home.home)
    assert connection.reach(home, start=True) is not None


def test_the_lock_of_another_home_is_not_ours_though_it_has_the_same_number(
    home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another file system; and some show another device in /proc/locks than stat does."""
    hold = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    monkeypatch.setattr("os.makedev", lambda major, minor: -1)
    for where, is_ours in ((home.home, True), ("/elsewhere", False)):
        environment = {"FAIRLEAD_HOME": where, "PATH": os.environ["PATH"]}
        with subprocess.Popen(
            [sys.executable, "-c", hold, home.lock, "fairlead"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as holder:  # fmt: skip
            assert holder.stdout is not None
            holder.stdout.readline()
            assert lock_holder(home.lock) == (holder.pid if is_ours else None)
            holder.communicate(b"\n", timeout=10)


def test_what_is_kept_as_a_secret_is_not_in_the_environment_of_a_daemon_that_a_command_starts(
    home: Layout, a_python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(home.database)
    store.vault.put("shop", "TOKEN", "s3cr3t-pl4nted", "environment")
    store.close()
    monkeypatch.setenv("TOKEN", "s3cr3t-pl4nted")
    monkeypatch.setenv("UNRELATED", "is inherited")
    a_python("serve")
    assert connection.reach(home, start=True) is not None
    running = processes_of(home.home)
    assert sorted(process.kind for process in running) == ["daemon", "keeper"]
    for process in running:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"is inherited" in environment
        assert b"s3cr3t-pl4nted" not in environment, process
