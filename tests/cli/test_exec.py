"""`exec` and `run`: a command in a service's surroundings, on this terminal, with its own exit status."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.cli.keystrokes import TIOCLINUX, TIOCSTI
from fairlead.cli.place import words_or_shell
from fairlead.core.layout import Layout
from tests.cli.conftest import Fairlead
from tests.cli.scripted import a_stack, an_instance, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.needs import need

pytestmark = pytest.mark.live

INSTANCES = (
    an_instance("web-1", health="unhealthy"),
    an_instance("web-2", state="pending"),
    an_instance("web-3"),
    an_instance("web-4"),
)


@contextmanager
def a_town(home: Layout, folder: Path, user: list[int] | None = None, **variables: str) -> Iterator[Any]:
    """A daemon with the service `web`, whose release lies in `folder`."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{home.run}/i/shop.web.run",
        "FAIRLEAD_RUN": f"{home.home}/stacks/shop/instances/web-3",
        "SECRET": "hunter2",
        **variables,
    }
    entry = {"argv": [], "environment": environment, "working_folder": str(folder), "user": user, "service": "web"}
    answers = {
        "GET /status": status_of(a_stack("shop", INSTANCES)),
        "GET /stacks/shop/entry": lambda request: {**entry, "instance": request.query.get("instance"), "release": 1},
    }
    with serving(home, answers) as daemon:
        yield daemon


def call(home: Layout, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {"FAIRLEAD_HOME": home.home, "PATH": os.environ["PATH"], "OURS": "1"}
    return subprocess.run(
        fairlead_argv(*words), env=environment, capture_output=True, text=True, timeout=20, cwd="/", **options
    )


def test_exec_becomes_the_command_in_the_instances_folder_and_environment_only(home: Layout, tmp_path: Path) -> None:
    with a_town(home, tmp_path) as daemon:
        shown = call(home, "exec", "web-4", "sh", "-c", "pwd; env | sort; umask")
    assert daemon.asked[-1].query == {"instance": "web-4"}
    assert (shown.returncode, shown.stderr) == (0, "")
    folder, *variables, umask = shown.stdout.splitlines()
    assert folder == str(tmp_path)
    assert umask == "0077"
    names = {line.partition("=")[0] for line in variables} - {"PWD", "OLDPWD", "_", "SHLVL"}
    assert names == {"PATH", "HOME", "FAIRLEAD_RUN", "SECRET"}


def test_exec_of_a_service_takes_its_first_healthy_instance_and_says_which(home: Layout, tmp_path: Path) -> None:
    with a_town(home, tmp_path) as daemon:
        shown = call(home, "exec", "web", "true")
    assert daemon.asked[-1].query == {"instance": "web-3"}
    assert shown.stderr == "in web-3\n"


@pytest.mark.parametrize("command", ["exec", "run"])
def test_the_words_reach_the_command_unchanged_through_no_shell(home: Layout, tmp_path: Path, command: str) -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    words = ["--help", "$HOME", "a b", "*", "--", "-x", ""]
    with a_town(home, tmp_path):
        shown = call(home, command, "web", "--", sys.executable, "-c", program, *words)
    assert json.loads(shown.stdout) == words


@pytest.mark.parametrize("command", ["exec", "run"])
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["no-such-program"], 127, "no-such-program: not found: it is not in /usr/local/bin:/usr/bin:/bin"),
        (["./missing"], 127, "./missing: not found"),
        (["./not-executable"], 126, "./not-executable cannot be run: Permission denied"),
        (["./no-interpreter"], 126, "the program that its first line names is not there"),
    ],
)
def test_the_exit_status_is_the_commands_or_a_shells(
    home: Layout, tmp_path: Path, command: str, words: list[str], status: int, says: str
) -> None:
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    (tmp_path / "no-interpreter").write_text("#!/no/such/thing\n")
    (tmp_path / "no-interpreter").chmod(0o755)
    with a_town(home, tmp_path):
        shown = call(home, command, "web", *words)
    assert shown.returncode == status
    assert says in shown.stderr
    assert "Traceback" not in shown.stderr


def test_run_gives_128_and_the_number_of_the_signal_that_ended_it(home: Layout, tmp_path: Path) -> None:
    with a_town(home, tmp_path):
        assert call(home, "run", "web", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("command", ["exec", "run"])
def test_a_pipe_that_nobody_reads_ends_the_command(home: Layout, tmp_path: Path, command: str) -> None:
    with a_town(home, tmp_path):
        shown = call(home, command, "web", "sh", "-c", "yes | head -1; kill -PIPE $$; echo ignored")
    assert shown.stdout == "y\n"


def test_run_has_a_home_of_its_own_that_is_gone_afterwards_and_no_marker(home: Layout, tmp_path: Path) -> None:
    program = 'echo "$HOME"; echo "${FAIRLEAD_RUN-none}"; echo "$SECRET"; ls -A "$HOME" | wc -l; mkdir "$HOME/x"'
    with a_town(home, tmp_path) as daemon:
        shown = call(home, "run", "web", "sh", "-c", program)
    assert daemon.asked[-1].query == {"service": "web"}
    folder, marker, secret, entries = shown.stdout.splitlines()
    assert (marker, secret, entries.strip(), shown.stderr) == ("none", "hunter2", "0", "")
    assert os.path.basename(folder).startswith("fairlead-run-")
    assert not os.path.exists(folder)


def test_a_home_that_the_file_names_is_left_as_it_is(home: Layout, tmp_path: Path) -> None:
    with a_town(home, tmp_path, HOME=str(tmp_path)):
        assert call(home, "run", "web", "sh", "-c", "echo $HOME").stdout == f"{tmp_path}\n"
    assert tmp_path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_reaches_the_command_of_run_and_its_home_is_removed(
    home: Layout, tmp_path: Path, number: signal.Signals
) -> None:
    program = 'trap "exit 9" TERM INT HUP; echo "$HOME" >ready.tmp; mv ready.tmp ready; while :; do sleep 0.05; done'
    with a_town(home, tmp_path):
        process = subprocess.Popen(
            fairlead_argv("run", "web", "sh", "-c", program), env={"FAIRLEAD_HOME": home.home}, cwd="/"
        )
        with process:
            await wait_until(lambda: (tmp_path / "ready").exists(), 10, "the command's start")
            folder = (tmp_path / "ready").read_text().strip()
            assert os.path.isdir(folder)
            process.send_signal(number)
            assert process.wait(10) == 9
    assert not os.path.exists(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wob", "there is no instance or service 'wob' in shop: it has web, web-1, web-2, web-3, web-4"),
        ("web-9", "there is no instance or service 'web-9'"),
    ],
)
def test_exec_of_what_is_not_there_is_exit_2(fairlead: Fairlead, home: Layout, name: str, says: str) -> None:
    with serving(home, {"GET /status": status_of(a_stack("shop", INSTANCES))}):
        shown = fairlead("exec", name)
    assert shown.status == 2
    assert says in shown.err


def test_exec_of_a_service_without_a_healthy_instance_says_what_they_are(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": status_of(a_stack("shop", INSTANCES[:1]))}):
        shown = fairlead("exec", "web")
    assert (shown.status, shown.out) == (2, "")
    assert "no instance of web is healthy: web-1 is unhealthy\nnext: Name the one you mean." in shown.err
    with serving(home, {"GET /status": status_of(a_stack("shop"))}):
        assert "web has no instance\nnext: fairlead run web\n" in fairlead("exec", "web").err


def test_what_is_routed_to_and_not_run_has_nothing_to_enter(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack("shop", (an_instance("web-1", health="unhealthy", runs=False),))
    stack["services"][0]["runs"] = False
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("exec", "web")
    assert shown.status == 2
    assert (
        shown.err
        == "error: web is routed to, and not run by fairlead: there is nothing here to enter\nnext: fairlead explain web\n"
    )


def test_without_health_checks_any_instance_that_serves_is_taken(home: Layout, tmp_path: Path) -> None:
    unasked = an_instance("web-5", health="unavailable", reason="Target.HealthCheckDisabled")
    with a_town(home, tmp_path) as daemon:
        daemon.answers["GET /status"] = status_of(a_stack("shop", (unasked,)))
        assert call(home, "exec", "web", "true").stderr == "in web-5\n"


def test_without_words_a_shell_is_meant_and_only_the_first_dashes_go() -> None:
    assert words_or_shell(())[0] in ("/bin/bash", "/bin/sh")
    assert words_or_shell(("--",)) == words_or_shell(())
    assert words_or_shell(("--", "--", "x")) == ("--", "x")
    assert words_or_shell(("ls", "--", "x")) == ("ls", "--", "x")


@pytest.mark.parametrize("command", ["exec", "run"])
def test_an_option_behind_the_name_is_refused_before_anything_else(
    fairlead: Fairlead, home: Layout, command: str
) -> None:
    shown = fairlead(command, "web", "--stack", "shop", "--", "ls")
    assert shown.status == 2
    assert "--stack stands where COMMAND begins" in shown.err


@pytest.mark.parametrize("command", ["exec", "run"])
def test_a_shell_works_on_a_terminal_with_ctrl_c_and_job_control(home: Layout, tmp_path: Path, command: str) -> None:
    need(os.access("/bin/bash", os.X_OK), "bash")
    environment = {"FAIRLEAD_HOME": home.home, "TERM": "vt100"}
    with a_town(home, tmp_path, PS1="ready> "), Terminal(fairlead_argv(command, "web"), environment) as terminal:
        terminal.wait_for(r"\$ |ready> |# ")
        terminal.type("echo $TERM; tty\n")
        terminal.wait_for(r"vt100\r\n/dev/")
        terminal.type("sh -c 'echo begun; exec sleep 60'\n")
        terminal.wait_for(r"[\r\n]begun\r")
        terminal.type("\x03")
        terminal.wait_for(r"\^C(.|\n)*(\$|#) ")
        terminal.type("echo status=$?\n")
        terminal.wait_for(r"status=130\r")
        terminal.type("sleep 61 & jobs\n")
        terminal.wait_for(r"Running +sleep 61")
        terminal.type("kill %1; exit 5\n")
        assert terminal.end() == 5
        assert "no job control" not in terminal.written


def test_the_terminal_is_given_back_after_a_shell_that_was_killed(home: Layout, tmp_path: Path) -> None:
    need(os.access("/bin/bash", os.X_OK), "bash")
    program = f"trap '' TTOU; {' '.join(fairlead_argv('run', 'web'))}; echo over=$?; read answer; echo got=$answer"
    with a_town(home, tmp_path), Terminal(["/bin/bash", "-c", program], {"FAIRLEAD_HOME": home.home}) as terminal:
        terminal.wait_for(r"\$ |# ")
        terminal.type("kill -KILL $$\n")
        terminal.wait_for(f"over={128 + signal.SIGKILL}")
        terminal.type("hello\n")
        terminal.wait_for("got=hello")
        assert terminal.end() == 0


WHO = """
import os
print(os.getresuid(), os.getresgid(), os.getgroups())
print(next(line.strip() for line in open('/proc/self/status') if line.startswith('NoNewPrivs')))
print(sorted(os.listdir('/proc/self/fd')))
"""

STI = f"""
import fcntl, json
seen = []
for request, argument in (({TIOCSTI}, b"x"), ({TIOCLINUX}, bytes([3]))):
    try:
        fcntl.ioctl(0, request, argument)
        seen.append("done")
    except OSError as error:
        seen.append(error.errno)
print(json.dumps(seen))
"""


@pytest.mark.parametrize("command", ["exec", "run"])
def test_root_becomes_the_instances_user_and_its_terminal_cannot_be_typed_into(
    home: Layout, tmp_path: Path, command: str
) -> None:
    need(os.geteuid() == 0, "root, to become another user")
    nobody = pwd.getpwnam("nobody")
    program = f"{WHO}{STI}" if command == "exec" else f"{WHO}open(os.environ['HOME'] + '/mine', 'w').close()\n{STI}"
    with tempfile.TemporaryDirectory() as folder, open("/etc/shadow") as private:
        os.chmod(folder, 0o755)
        os.set_inheritable(private.fileno(), True)
        with (
            a_town(home, Path(folder), user=[nobody.pw_uid, nobody.pw_gid]),
            Terminal(fairlead_argv(command, "web", "python3", "-c", program), {"FAIRLEAD_HOME": home.home}) as terminal,
        ):
            status = terminal.end()
    shown = terminal.written
    assert status == 0, shown
    uid, gid = nobody.pw_uid, nobody.pw_gid
    assert shown.splitlines() == [
        *(["in web-3"] if command == "exec" else []),
        f"({uid}, {uid}, {uid}) ({gid}, {gid}, {gid}) []",
        "NoNewPrivs:\t1",
        # The fourth is the listing itself.
        "['0', '1', '2', '3']",
        # EPERM for both.
        "[1, 1]",
    ]


@pytest.mark.parametrize("said", [None, [0, 0], [1, 1]])
def test_root_at_another_users_daemon_becomes_that_user_and_nobody_else(home: Layout, said: list[int] | None) -> None:
    need(os.geteuid() == 0, "root, to become another user")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with a_town(home, Path(folder), user=said):
            os.chown(home.api_socket, nobody.pw_uid, nobody.pw_gid)
            shown = call(home, "exec", "web", "id", "-u")
    assert shown.stdout == f"{nobody.pw_uid}\n", shown.stderr
