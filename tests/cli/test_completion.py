"""Shell completion: what comes next, as the shells themselves see it, quickly and without a trace."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.core.layout import Layout
from fairlead.core.model import Job, Service
from fairlead.core.resources.model import Cache
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.needs import need
from tests.store.builders import a_stack_record, an_instance
from tests.store.test_resources import RECORD

SHELLS = ("bash", "zsh", "fish")


def keep(home: Layout, *names: str) -> Store:
    """Stacks of these names, each with services `web` and `worker-2`, a job, and two live instances of three."""
    store = Store.open(home.database)
    for name in names:
        record = a_stack_record(name)
        stack = record.desired.stack
        worker = Service(name="worker-2", program=stack.services[0].program, source="/code", serves=False)
        job = Job(name="nightly", service="web", argv=("tidy",), cron="0 3 * * *")
        stack = replace(stack, services=(*stack.services, worker), jobs=(job,), resources=(Cache(id="sessions"),))
        store.save_stack(replace(record, desired=replace(record.desired, stack=stack)))
        store.save_instance(an_instance(1, stack=name))
        store.save_instance(an_instance(2, stack=name))
        store.save_instance(an_instance(3, stack=name, state="ended"))
    return store


def answers(home: Layout, line: str, *, shell: str = "bash", cwd: str | None = None) -> tuple[list[str], str]:
    """What `fairlead` replies to a shell whose cursor is at the end of `line`, and what it said on stderr."""
    words = line.split(" ")
    # Fish tells the word itself, the others its number.
    word = words[-1] if shell == "fish" else str(len(words) - 1)
    asked = {"COMP_WORDS": line, "COMP_CWORD": word, "_FAIRLEAD_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "fairlead"], capture_output=True, text=True, timeout=30, cwd=cwd,
        env={**os.environ, "FAIRLEAD_HOME": home.home, **asked},
    )  # fmt: skip
    return [reply.partition(",")[2] for reply in done.stdout.splitlines() if reply], done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fairlead exp", ["explain"]),
        ("fairlead status ", ["blog", "shop"]),
        ("fairlead down s", ["shop"]),
        ("fairlead explain --stack ", ["blog", "shop"]),
        ("fairlead explain ", ["web", "worker-2"]),
        ("fairlead explain wo", ["worker-2"]),
        ("fairlead explain --stack shop wo", ["worker-2"]),
        ("fairlead restart wo", ["worker-2"]),
        ("fairlead logs --instance ", ["web-1", "web-2"]),
        ("fairlead instance drain web-", ["web-1", "web-2"]),
        ("fairlead instance open --for 10m web-", ["web-1", "web-2"]),
        ("fairlead instance close ", ["web-1", "web-2"]),
        ("fairlead instance o", ["open"]),
        ("fairlead instance standby ", ["web-1", "web-2"]),
        ("fairlead suspend w", ["web", "worker-2"]),
        ("fairlead suspend web L", ["Launch"]),
        ("fairlead suspend web Launch Te", ["Terminate"]),
        ("fairlead resume web a", ["alarm-notification", "az-rebalance"]),
        (
            "fairlead suspend web launch replace-unhealthy ",
            ["Terminate", "AlarmNotification", "ScheduledActions", "AZRebalance"],
        ),
        ("fairlead exec w", ["web-1", "web-2", "web", "worker-2"]),
        ("fairlead data st", ["start", "stop"]),
        ("fairlead data stop ", ["sessions", "old"]),
        ("fairlead data delete --stack blog ", ["sessions"]),
        ("fairlead logs s", ["sessions"]),
        ("fairlead explain --js", ["--json"]),
        ("fairlead completion z", ["zsh"]),
        ("fairlead status --home /nonexistent ", []),
    ],
)
def test_what_comes_next(home: Layout, line: str, expected: list[str], tmp_path: Path) -> None:
    store = keep(home, "shop", "blog")
    store.save_resource(replace(RECORD, stack="shop", id="old"))
    store.close()
    assert answers(home, line, cwd=str(tmp_path)) == (expected, "")


def test_the_stack_of_the_current_folder_is_meant(home: Layout, tmp_path: Path) -> None:
    store = keep(home, "shop")
    store.save_stack(replace(a_stack_record("blog")))
    store.save_instance(an_instance(7, stack="blog"))
    store.close()
    (tmp_path / "fairlead.yaml").write_text("name: blog\n")
    assert answers(home, "fairlead logs --instance ", cwd=str(tmp_path))[0] == ["web-7"]


def test_every_command_is_offered_whatever_the_shell(home: Layout) -> None:
    from fairlead.cli.main import COMMANDS

    assert answers(home, "fairlead ")[0] == list(COMMANDS)
    assert set(COMMANDS) <= {reply.partition("\t")[0] for reply in answers(home, "fairlead ", shell="fish")[0]}


def test_names_are_there_while_the_daemon_writes(home: Layout) -> None:
    store = keep(home, "shop")
    assert answers(home, "fairlead status s")[0] == ["shop"]
    store.close()


@pytest.mark.parametrize("content", [None, b"", b"once upon a time " * 100])
def test_a_home_without_names_answers_nothing_and_leaves_no_trace(home: Layout, content: bytes | None) -> None:
    if content is not None:
        Path(home.database).write_bytes(content)
    before = sorted(os.listdir(home.home))
    for line in ("fairlead status ", "fairlead explain ", "fairlead instance drain "):
        assert answers(home, line) == ([], "")
    assert sorted(os.listdir(home.home)) == before


def test_a_damaged_record_answers_nothing(home: Layout) -> None:
    store = keep(home, "shop")
    store._db.execute("UPDATE stacks SET record = 'torn'")
    store.close()
    assert answers(home, "fairlead explain ") == ([], "")


def test_a_name_that_a_shell_would_obey_is_not_offered(home: Layout) -> None:
    store = keep(home, "shop")
    store._db.execute("UPDATE stacks SET name = 'shop;reboot'")
    store.close()
    assert answers(home, "fairlead status ") == ([], "")


def test_an_answer_imports_nothing_heavy(home: Layout) -> None:
    """So that it comes within a tenth of a second: a figure would say more of the machine than of us."""
    keep(home, "shop").close()
    program = (
        "import os, sys; from fairlead.cli.main import run; run([]);"
        "heavy = {'asyncio', 'pydantic', 'yaml', 'starlette', 'uvicorn', 'subprocess', 'concurrent.futures', 'http.client'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    asked = {"COMP_WORDS": "fairlead explain ", "COMP_CWORD": "2", "_FAIRLEAD_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30,
        env={**os.environ, "FAIRLEAD_HOME": home.home, **asked},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plain,web", "plain,worker-2", "[]"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_can_read(fairlead: Fairlead, shell: str) -> None:
    need(shutil.which(shell), f"{shell} is not installed")
    shown = fairlead("completion", shell)
    assert shown.status == 0
    checked = subprocess.run([shell, "-n"], input=shown.out, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_refused_with_those_there_are(fairlead: Fairlead) -> None:
    shown = fairlead("completion", "tcsh")
    assert shown.status == 2
    assert "'bash', 'zsh', 'fish'" in shown.err


# As the user's own shell does it: the line of the rc file, some letters, TAB.

SETUP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'bind "set enable-bracketed-paste off"; {load}'),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -D -u; {load}"),
    "fish": (["fish", "--no-config", "-i"], "{load}"),
}
LOAD = {
    "bash": 'eval "$(fairlead completion bash)"',
    "zsh": 'eval "$(fairlead completion zsh)"',
    "fish": "fairlead completion fish | source",
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, environment)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, text: str, seconds: float = 20.0) -> None:
        """Read what it prints until `text` is there."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds} s for {text!r}: {self.seen!r}"
            if select.select([self._fd], [], [], left)[0]:
                self.seen += os.read(self._fd, 65536).decode(errors="replace")

    def close(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminal(request: pytest.FixtureRequest, home: Layout, tmp_path: Path) -> Iterator[Terminal]:
    shell = request.param
    need(shutil.which(shell), f"{shell} is not installed")
    environment = {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb",
        "FAIRLEAD_HOME": home.home, "PS1": "$ ", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    words, setup = SETUP[shell]
    found = Terminal(words, environment)
    try:
        # The quotes keep the echo of the command from looking like its output.
        found.type(setup.format(load=LOAD[shell]) + '; echo rea""dy\n')
        found.until("ready")
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("terminal", ["bash", "zsh"], indirect=True)
def test_tab_completes_a_command_and_a_name_in_a_real_shell(terminal: Terminal, home: Layout) -> None:
    keep(home, "shop").close()
    terminal.type("echo fair; fairlead expl\t")
    terminal.until("fairlead explain")
    terminal.type("wo\t")
    terminal.until("worker-2")


def test_fish_offers_names_and_what_commands_are_for(home: Layout) -> None:
    need(shutil.which("fish"), "fish is not installed")
    keep(home, "shop").close()
    environment = {
        **os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "FAIRLEAD_HOME": home.home,
    }  # fmt: skip
    script = f'{LOAD["fish"]}; complete -C "fairlead expl"; complete -C "fairlead explain "'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.stderr == ""
    command, *names = done.stdout.splitlines()
    assert command.startswith("explain\tWhy a service is as it is")
    assert names == ["web", "worker-2"]
