"""One daemon after another: upgrade, install and uninstall, with real keepers, fake daemons and a fake systemctl."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead import __version__
from fairlead.api.client import Client
from fairlead.cli import connection, daemon_status, daemon_upgrade, handover, keeper, running, systemd, unit
from fairlead.cli.processes import lock_holder, processes_of, wait_until_gone
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable
from tests.cli.conftest import Fairlead
from tests.cli.test_keeper import eventually

pytestmark = pytest.mark.live


class Pythons:
    """Interpreters that run the fake daemon: `old` and `new`, each with a behaviour of its own."""

    def __init__(self, home: Layout) -> None:
        self.home = home

    def make(self, name: str, behaviour: str) -> str:
        wrapper = Path(self.home.home, name)
        fake = Path(__file__).with_name("fake_daemon.py")
        wrapper.write_text(f'#!/bin/sh\nexport FAKE_BEHAVIOUR=does-{name}\nexec {REAL} {fake} "$@"\n')
        wrapper.chmod(0o755)
        Path(self.home.home, f"does-{name}").write_text(behaviour)
        return str(wrapper)


REAL = sys.executable


@pytest.fixture
def pythons(home: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pythons]:
    """Ends what was started. A shell's wrapper cannot be seen in the list of processes: `look` is told the old one."""
    found = Pythons(home)
    look = running.look

    def told(pid: int) -> running.Running | None:
        seen = look(pid)
        return replace(seen, python=f"{home.home}/old") if seen else None

    monkeypatch.setattr(daemon_upgrade, "look", told)
    yield found
    for process in sorted(processes_of(home.home), key=lambda process: process.kind != "keeper"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert wait_until_gone(home.home, 5) == []


def start(home: Layout, python: str) -> int:
    """A daemon below its keeper, as a command starts it; its pid."""
    keeper.start(home, python, os.environ).returncode = 0
    client = Client(home.api_socket)

    def answers() -> bool:
        with contextlib.suppress(DaemonUnavailable):
            return bool(client.version())
        return False

    eventually(answers, "the old daemon answers")
    return int(client.version()["pid"])


def kinds(home: Layout) -> list[str]:
    return sorted(process.kind for process in processes_of(home.home))


def test_the_new_version_takes_over_from_the_old_one(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(home, pythons.make("old", "serve 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 0, shown.err
    now = Client(home.api_socket).version()
    assert now["version"] == __version__
    assert now["pid"] != before
    assert f"fairlead 0.0.1 -> {__version__} (pid {now['pid']}): 0." in shown.err
    assert "0 of 0 instances adopted, none restarted" in shown.err
    # The old keeper has ended with its daemon.
    eventually(lambda: kinds(home) == ["daemon", "keeper"], "one daemon below one keeper")


def test_an_old_daemon_that_knows_no_handover_is_asked_by_a_signal(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(home, pythons.make("old", "old 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    shown = fairlead("daemon", "upgrade", "--json")
    assert shown.status == 0, shown.err
    told = json.loads(shown.out)
    assert (told["from"], told["to"], told["changed"]) == ("0.0.1", __version__, True)
    assert 0 <= told["seconds_without_daemon"] < 5


def test_a_new_version_that_cannot_start_changes_nothing(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(home, pythons.make("old", "serve 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "exit 1"))
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 1
    assert "the new daemon does not start: it ended with status 1; the old one goes on" in shown.err
    assert Client(home.api_socket).version()["pid"] == before
    eventually(lambda: kinds(home) == ["daemon", "keeper"], "nothing of the new one is left")


def test_a_new_version_that_fails_with_the_home_in_its_hands_gives_way_to_the_old_one_again(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(home, pythons.make("old", "serve 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "late 1"))
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 1
    now = Client(home.api_socket).version()
    assert now["version"] == "0.0.1"
    assert now["pid"] != before
    assert f"fairlead 0.0.1 was started again (pid {now['pid']}), and nothing was lost" in shown.err
    eventually(lambda: kinds(home) == ["daemon", "keeper"], "one daemon below one keeper")


def test_an_old_daemon_that_does_not_leave_stays(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(home, pythons.make("old", "serve 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    monkeypatch.setattr(handover, "LEAVING", 0.5)
    monkeypatch.setattr(handover, "ANSWER", 0.5)
    monkeypatch.setattr(Client, "handover", lambda self: {})
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 1
    assert f"the old daemon does not leave: pid {before} still holds the home" in shown.err
    assert Client(home.api_socket).version()["pid"] == before
    eventually(lambda: kinds(home) == ["daemon", "keeper"], "nothing of the new one is left")


def test_a_schema_that_the_new_version_made_is_taken_back_with_it(home: Layout) -> None:
    with contextlib.closing(sqlite3.connect(f"{home.database}.schema-1")) as db, db:
        db.execute("PRAGMA user_version = 1")
        db.execute("CREATE TABLE of_the_old_one (x)")
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("PRAGMA user_version = 2")
    handover.restore_schema(home, 1)
    with contextlib.closing(sqlite3.connect(home.database)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT * FROM of_the_old_one").fetchall() == []
    # A second time there is nothing to take back.
    os.unlink(f"{home.database}.schema-1")
    handover.restore_schema(home, 1)
    handover.restore_schema(home, 0)


def test_a_daemon_of_this_version_is_left_alone(home: Layout, pythons: Pythons, fairlead: Fairlead) -> None:
    before = start(home, pythons.make("old", "serve"))
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 0
    assert f"the daemon is fairlead {__version__} already (pid {before})" in shown.err
    assert Client(home.api_socket).version()["pid"] == before


def test_a_home_of_a_newer_version_is_refused_before_anything_is_touched(
    home: Layout, pythons: Pythons, fairlead: Fairlead
) -> None:
    before = start(home, pythons.make("old", "serve 99.0"))
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("PRAGMA user_version = 99")
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 1
    assert "a newer fairlead wrote this home" in shown.err
    assert Client(home.api_socket).version()["pid"] == before


def test_without_a_daemon_there_is_nothing_to_upgrade(home: Layout, fairlead: Fairlead) -> None:
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 0
    assert "no daemon runs" in shown.err


def test_another_version_is_named_with_the_way_out(
    home: Layout, pythons: Pythons, fairlead: Fairlead, capsys: pytest.CaptureFixture[str]
) -> None:
    start(home, pythons.make("old", "serve 0.0.1"))
    connection._note_version.cache_clear()
    connection.reach(home, start=False)
    assert f"the daemon is fairlead 0.0.1, this command is {__version__}; `fairlead daemon upgrade`" in (
        capsys.readouterr().err
    )


def test_status_tells_who_runs_and_who_keeps_it(home: Layout, pythons: Pythons, fairlead: Fairlead) -> None:
    pid = start(home, pythons.make("old", "serve 0.0.1"))
    shown = fairlead("daemon", "status", "--json")
    assert shown.status == 0
    told = json.loads(shown.out)["daemon"]
    assert (told["version"], told["pid"], told["kept_by"], told["unit"]) == ("0.0.1", pid, "keeper", None)
    assert Path(f"/proc/{told['keeper']}").exists()
    assert told["memory_bytes"] > 1_000_000
    assert 0 <= told["up_seconds"] < 60
    text = fairlead("daemon", "status")
    assert f"its keeper (pid {told['keeper']})" in text.out
    assert "fairlead daemon upgrade" in text.err


def test_a_daemon_that_hangs_is_told_from_none_by_its_lock(
    home: Layout, pythons: Pythons, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_status, "PATIENCE", 0.2)
    keeper.start(home, pythons.make("old", "silent"), os.environ).returncode = 0
    eventually(lambda: lock_holder(home.lock), "the lock is held")
    shown = fairlead("daemon", "status")
    holder = lock_holder(home.lock)
    assert (shown.status, shown.out) == (1, "")
    assert shown.err.splitlines() == [
        f"the daemon of {home.home} does not answer: process {holder} holds its lock",
        f"next: fairlead logs --daemon  |  kill -9 {holder}",
    ]
    assert json.loads(fairlead("daemon", "status", "--json").out)["daemon"] is None


def test_status_without_a_daemon_starts_none(home: Layout, fairlead: Fairlead) -> None:
    shown = fairlead("daemon", "status", "--json")
    assert shown.status == 1
    assert json.loads(shown.out)["daemon"] is None
    assert fairlead("daemon", "status").status == 1
    assert processes_of(home.home) == []


@pytest.mark.parametrize(("status", "pauses"), [(0, []), (1, [2.0]), (3, [2.0])])
def test_below_systemd_a_daemon_that_cannot_start_ends_slowly(
    home: Layout, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch, status: int, pauses: list[float]
) -> None:
    """systemd starts it again at once, and for ever: without a pause that would take a core."""
    slept: list[float] = []
    asked: list[float] = []

    def run_daemon(home: str, *, patience: float) -> int:
        asked.append(patience)
        return status

    monkeypatch.setattr("fairlead.wiring.run_daemon", run_daemon)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert fairlead("daemon", "--take-over", "30").status == status
    assert (asked, slept) == ([30.0], [])
    monkeypatch.setenv("INVOCATION_ID", "x")
    assert fairlead("daemon").status == status
    assert slept == pauses


def test_the_daemon_begins_again_in_place_with_its_home_for_all_to_see(
    home: Layout, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], str]] = []

    def execve(program: str, words: list[str], environment: dict[str, str]) -> None:
        seen.append((words, environment["FAIRLEAD_HOME"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "execve", execve)
    assert fairlead("daemon", "--home", "/srv/other", "--take-over", "7").status == 130
    assert seen == [([sys.executable, "-P", "-m", "fairlead", "daemon", "--take-over", "7"], "/srv/other")]


# systemd

SYSTEMCTL = """\
import os, re, shlex, signal, subprocess, sys
folder = {folder!r}
words = [word for word in sys.argv[1:] if word != "--user"]
with open(folder + "/asked", "a") as asked:
    asked.write(" ".join(sys.argv[1:]) + chr(10))
def setting(name):
    text = open(folder + "/fairlead.service").read()
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(name + "=")]
def pid():
    try:
        return int(open(folder + "/main").read())
    except OSError:
        return None
def alive():
    return pid() is not None and os.path.exists("/proc/%d/fd/0" % pid())
def start():
    if alive():
        return
    environment = dict(entry.partition("=")[::2] for line in setting("Environment") for entry in shlex.split(line))
    line = shlex.split(setting("ExecStart")[0].removeprefix(":"))
    log = open(folder + "/journal", "a")
    main = subprocess.Popen(line, env={{**environment, "INVOCATION_ID": "x"}}, cwd="/", stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log, start_new_session=True)
    open(folder + "/main", "w").write(str(main.pid))
    main.returncode = 0
def stop():
    # KillMode=process: the main process, and nothing else.
    if alive():
        descriptor = os.pidfd_open(pid())
        os.kill(pid(), signal.SIGTERM)
        import select
        select.select([descriptor], [], [], 10)
if words[0] == "start" or (words[0] == "enable" and "--now" in words):
    start()
elif words[0] == "stop":
    stop()
elif words[0] == "restart":
    stop(), start()
"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> systemd.Systemd:
    """A system manager in a folder of its own, with a `systemctl` that starts and stops what the unit says."""
    script = tmp_path / "systemctl"
    script.write_text(f"#!{REAL}\n" + SYSTEMCTL.format(folder=str(tmp_path)))
    script.chmod(0o755)
    found = systemd.Systemd(os.geteuid() != 0, str(tmp_path), str(script), True)
    monkeypatch.setattr(systemd, "manager", lambda *, user: replace(found, user=user))
    return found


def asked(units: systemd.Systemd) -> list[str]:
    file = Path(units.folder, "asked")
    return [line.removeprefix("--user ") for line in file.read_text().splitlines()] if file.exists() else []


def test_install_writes_the_unit_and_says_what_to_run(home: Layout, units: systemd.Systemd, fairlead: Fairlead) -> None:
    shown = fairlead("daemon", "install")
    assert shown.status == 0, shown.err
    text = units.read()
    assert text is not None
    assert unit.home_of(text) == home.home
    assert f":{sys.executable} -P -m fairlead daemon" in text
    assert os.stat(units.path).st_mode & 0o777 == 0o644
    assert f"{units.command} daemon-reload && {units.command} enable --now fairlead" in shown.err
    assert asked(units) == []
    again = fairlead("daemon", "install")
    assert again.status == 0
    assert "is as it should be" in again.err
    assert units.read() == text


def test_print_writes_nothing(home: Layout, units: systemd.Systemd, fairlead: Fairlead) -> None:
    shown = fairlead("daemon", "install", "--print", "--user")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.startswith(unit.MARKER)
    assert "WantedBy=default.target" in shown.out
    assert units.read() is None


def test_a_unit_that_fairlead_did_not_write_is_never_touched(
    home: Layout, units: systemd.Systemd, fairlead: Fairlead
) -> None:
    Path(units.path).write_text("[Service]\nExecStart=/bin/true\n")
    for command in ("install", "uninstall"):
        shown = fairlead("daemon", command)
        assert shown.status == 2
        assert "fairlead did not write it" in shown.err
    assert units.read() == "[Service]\nExecStart=/bin/true\n"


def test_a_unit_of_another_home_is_never_touched(home: Layout, units: systemd.Systemd, fairlead: Fairlead) -> None:
    text = unit.render(unit.Unit(user=False, python="/bin/python", home="/srv/other"))
    Path(units.path).write_text(text)
    for command in ("install", "uninstall"):
        shown = fairlead("daemon", command)
        assert shown.status == 2
        assert "it keeps the daemon of another home, /srv/other" in shown.err
    assert units.read() == text


def test_an_interpreter_that_may_be_gone_tomorrow_is_refused(
    home: Layout, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/root/.cache/uv/archive-v0/x/bin/python")
    shown = fairlead("daemon", "install")
    assert shown.status == 2
    assert "`uv tool install FOLDER`" in shown.err
    assert units.read() is None


def test_a_plain_user_is_told_of_lingering_and_of_low_ports(
    home: Layout, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr("fairlead.cli.daemon_install.lowest_port", lambda: 1024)
    shown = fairlead("daemon", "install")
    assert shown.status == 0, shown.err
    assert "  loginctl enable-linger nobody\n" in shown.err
    assert "net.ipv4.ip_unprivileged_port_start=80" in shown.err
    assert "systemctl --user daemon-reload && systemctl --user enable --now fairlead" in shown.err


def test_a_plain_user_cannot_have_the_systems_unit(
    home: Layout, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    shown = fairlead("daemon", "install", "--system")
    assert shown.status == 2
    assert "only root can write a unit of the system's" in shown.err


def test_now_without_systemd_says_so(
    home: Layout, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "manager", lambda *, user: replace(units, running=False))
    shown = fairlead("daemon", "install", "--now")
    assert shown.status == 1
    assert "systemd cannot be asked to start it now" in shown.err
    assert units.read() is not None


def test_systemds_daemon_takes_over_from_the_keepers(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(home, pythons.make("old", "serve 0.0.1"))
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    shown = fairlead("daemon", "install", "--now")
    assert shown.status == 0, shown.err
    assert asked(units) == ["daemon-reload", "enable --now fairlead.service"]
    now = Client(home.api_socket).version()
    assert now["pid"] == int(Path(units.folder, "main").read_text())
    assert now["pid"] != before
    assert "0 of 0 instances adopted, none restarted" in shown.err
    eventually(lambda: kinds(home) == ["daemon"], "the keeper has ended")


def test_a_home_with_a_unit_has_its_daemon_started_by_systemd(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    assert fairlead("daemon", "install").status == 0
    connection.reach(home, start=True)
    assert asked(units) == ["start fairlead.service"]
    assert kinds(home) == ["daemon"]


def test_a_daemon_below_systemd_is_upgraded_by_a_restart_of_its_unit(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = below_systemd(home, pythons, units, fairlead, monkeypatch)
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 0, shown.err
    assert asked(units)[-2:] == ["daemon-reload", "restart fairlead.service"]
    assert Client(home.api_socket).version()["version"] == __version__
    assert f"ExecStart=:{home.home}/new -P" in str(units.read())
    assert kinds(home) == ["daemon"]
    assert old != Client(home.api_socket).version()["pid"]


def test_a_unit_whose_new_daemon_does_not_start_gets_its_old_text_again(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    below_systemd(home, pythons, units, fairlead, monkeypatch)
    text = units.read()
    monkeypatch.setattr(sys, "executable", pythons.make("new", "exit 1"))
    monkeypatch.setattr(handover, "LEAVING", 0.5)
    monkeypatch.setattr(handover, "ANSWER", 5.0)
    shown = fairlead("daemon", "upgrade")
    assert shown.status == 1
    assert "fairlead 0.0.1 was started again" in shown.err
    assert units.read() == text
    assert Client(home.api_socket).version()["version"] == "0.0.1"


def test_uninstall_ends_a_daemon_that_nobody_needs(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    below_systemd(home, pythons, units, fairlead, monkeypatch)
    shown = fairlead("daemon", "uninstall")
    assert shown.status == 0, shown.err
    assert units.read() is None
    assert asked(units)[-3:] == ["disable fairlead.service", "stop fairlead.service", "daemon-reload"]
    assert wait_until_gone(home.home, 5) == []
    assert f"there is no {units.path}" in fairlead("daemon", "uninstall").err


def test_uninstall_leaves_what_runs_below_a_keeper(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> None:
    below_systemd(home, pythons, units, fairlead, monkeypatch)
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("CREATE TABLE stacks (name, wanted)")
        db.execute("INSERT INTO stacks VALUES ('shop', 'up')")
    monkeypatch.setattr(sys, "executable", pythons.make("new", "serve"))
    shown = fairlead("daemon", "uninstall")
    assert shown.status == 0, shown.err
    assert "a daemon in the background took over" in shown.err
    assert kinds(home) == ["daemon", "keeper"]


def below_systemd(
    home: Layout, pythons: Pythons, units: systemd.Systemd, fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch
) -> int:
    """fairlead 0.0.1 runs below systemd; its pid. (No cgroup says so here: `look` is told.)"""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", pythons.make("old", "serve 0.0.1"))
        assert fairlead("daemon", "install", "--now").status == 0
    look: Callable[[int], running.Running | None] = running.look

    def told(pid: int) -> running.Running | None:
        seen = look(pid)
        is_unit = seen and pid == int(Path(units.folder, "main").read_text())
        return replace(seen, kept="systemd", unit=unit.NAME, python=f"{home.home}/old") if seen and is_unit else seen

    for module in ("daemon_upgrade", "daemon_uninstall", "daemon_install"):
        monkeypatch.setattr(f"fairlead.cli.{module}.look", told)
    eventually(lambda: lock_holder(home.lock), "systemd's daemon holds the home")
    return int(Client(home.api_socket).version()["pid"])
