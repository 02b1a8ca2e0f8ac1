"""The program as a whole: its help, its versions, its errors, its exit statuses, and what it imports."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import __version__
from fairlead.cli import output, reference
from fairlead.cli.main import COMMANDS
from fairlead.core.layout import Layout
from fairlead.errors import FairleadError, NotFound, SpecError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, serving, status_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=30, env={**os.environ, **environment}
    )


def test_version_is_answered_before_anything_is_imported() -> None:
    shown = python("-X", "importtime", "-m", "fairlead", "--version")
    assert shown.stdout == f"fairlead {__version__}\n"
    assert "click" not in shown.stderr
    assert "fairlead.cli" not in shown.stderr


@pytest.mark.parametrize("state", ["no daemon", "daemon"])
def test_status_imports_nothing_heavy(home: Layout, state: str) -> None:
    program = (
        "import sys; from fairlead.cli.main import run; status = run(['status']);"
        "heavy = {'asyncio', 'pydantic', 'yaml', 'starlette', 'uvicorn', 'subprocess', 'concurrent.futures'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    if state == "daemon":
        with serving(home, {"GET /status": status_of()}):
            shown = python("-c", program, FAIRLEAD_HOME=home.home)
    else:
        shown = python("-c", program, FAIRLEAD_HOME=home.home)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(fairlead: Fairlead, name: str) -> None:
    shown = fairlead(name, "--help")
    assert shown.status == 0
    assert "Examples:" in shown.out
    assert f"  fairlead {name}" in shown.out
    assert "--home" in shown.out


def test_help_lists_every_command_and_every_exit_status(fairlead: Fairlead) -> None:
    shown = fairlead("--help")
    assert shown.status == 0
    for name in (*COMMANDS, "Exit status:", "130"):
        assert name in shown.out


def test_no_command_shows_the_help_and_is_a_usage_error(fairlead: Fairlead) -> None:
    shown = fairlead()
    assert (shown.status, shown.out) == (2, "")
    assert "Usage: fairlead" in shown.err
    assert "error" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "says", "then"),
    [
        (["evnts"], "error: No such command 'evnts'. Did you mean 'events'?", "next: fairlead --help"),
        (["up", "--jsno"], "error: No such option '--jsno'. Did you mean '--json'?", "next: fairlead up --help"),
        (["check", "--requests", "1"], "Invalid value for '--requests'", "next: fairlead check --help"),
        (["status", "a", "--stack", "b"], "two stacks were given: a and b", "next: fairlead"),
        (["down", "--all", "shop"], "do not name one", "next: fairlead"),
    ],
)
def test_a_wrong_command_line_says_what_was_meant_and_exits_2(
    fairlead: Fairlead, arguments: list[str], says: str, then: str
) -> None:
    shown = fairlead(*arguments)
    assert (shown.status, shown.out) == (2, "")
    assert says in shown.err
    assert then in shown.err


def test_an_error_reads_place_what_why_detail_next(fairlead: Fairlead, home: Layout) -> None:
    error = FairleadError("it failed", "the moon", "Wait.", place="fairlead.yaml:1:2", detail="line one\nline two")
    with serving(home, {"GET /status": Refuse(error, 500)}):
        shown = fairlead("status")
    assert shown.err == "error: fairlead.yaml:1:2: it failed: the moon\n  line one\n  line two\nnext: Wait.\n"
    assert (shown.status, shown.out) == (1, "")


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("a"), 2), (SpecError("b", ("c",)), 2), (FairleadError("d"), 1)]
)
def test_the_exit_status_is_that_of_the_errors_class(
    fairlead: Fairlead, home: Layout, error: FairleadError, status: int
) -> None:
    with serving(home, {"GET /status": Refuse(error)}):
        assert fairlead("status").status == status


def test_terminal_escapes_in_errors_never_reach_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    error = FairleadError("a\x1b[2J", "b\x07", "c\x9b", detail="d\x1b]0;x\x07")
    with serving(home, {"GET /status": Refuse(error)}):
        shown = fairlead("status")
    assert not any(character in shown.err for character in "\x1b\x07\x9b")
    assert r"a\x1b[2J" in shown.err


def test_a_daemon_of_another_version_is_noted(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": status_of(), "GET /version": {"version": "9.9", "pid": 1}}):
        shown = fairlead("status", "--json")
    assert json.loads(shown.out)["stacks"] == []
    assert f"the daemon is fairlead 9.9, this command is {__version__}" in shown.err


def test_home_may_stand_before_or_after_the_command_and_wins_over_the_environment(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_HOME", "/nonexistent")
    with serving(home, {"GET /status": status_of()}):
        for arguments in (("--home", home.home, "status"), ("status", "--home", home.home)):
            assert "pid 42" in fairlead(*arguments).out


def test_a_reader_that_leaves_is_no_error(home: Layout) -> None:
    with serving(home, {"GET /status": status_of()}):
        program = f"{sys.executable} -m fairlead status --json | true; exit ${{PIPESTATUS[0]}}"
        shown = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, env={**os.environ, "FAIRLEAD_HOME": home.home}
        )
    assert "Traceback" not in shown.stderr
    assert shown.returncode in (0, 141)


def test_a_full_disk_is_named(home: Layout) -> None:
    with serving(home, {"GET /status": status_of()}), open("/dev/full", "w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "fairlead", "status", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "FAIRLEAD_HOME": home.home},
        )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (1, "error: the output cannot be written: No space left on device\n")


STARTED = """
import signal, sys, fairlead.__main__
# Not before the program itself has begun: until it first says what Ctrl-C does, a traceback is all there can be.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
real = signal.signal
def first(*given):
    signal.signal = real
    before = real(*given)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    return before
signal.signal = first
sys.argv = ["fairlead", "events", "-f"]
sys.stderr.write(".")
sys.stderr.flush()
fairlead.__main__.main()
"""


@pytest.mark.parametrize("milliseconds", range(0, 160, 20))
def test_ctrl_c_at_any_moment_of_the_start_ends_it_without_a_traceback(home: Layout, milliseconds: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "FAIRLEAD_HOME": home.home},
    ) as running:  # fmt: skip
        assert running.stderr is not None
        running.stderr.read(1)
        time.sleep(0.005 + milliseconds / 1000)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=10)
    assert (running.returncode in (130, -signal.SIGINT), errors in ("", "\ninterrupted\n", "interrupted\n")) == (
        True,
        True,
    ), errors


def test_a_line_without_end_does_not_fill_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    error = FairleadError("it failed", detail="x" * 100_000)
    with serving(home, {"GET /status": Refuse(error)}):
        shown = fairlead("status")
    assert f"  {'x' * 500}... (100000 characters)\n" in shown.err
    assert len(shown.err) < 1000


def test_the_generated_commands_page_is_up_to_date() -> None:
    with open(f"{ROOT}/docs/reference/commands.md", encoding="utf-8") as file:
        assert file.read() == reference.text(), "run: python -m fairlead.cli.reference > docs/reference/commands.md"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (59.9, "59s"), (61, "1m01s"), (3600, "1h00m"), (90000, "1d01h")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def next_steps(tree: ast.AST) -> Iterator[str]:
    """Every next step that a module's errors give, `{}` where a value goes: the third argument, or a `hint`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and len(node.args) > 2:
            yield written(node.args[2])
        if isinstance(node, ast.keyword) and node.arg == "next_step":
            yield written(node.value)
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["hint"]:
            yield written(node.value)


def written(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""


ERRORS = {kind.__name__ for kind in (FairleadError, *FairleadError.__subclasses__())} | {"HomeBusy", "PortInUse"}
ERRORS -= {"SpecError"}


@pytest.mark.parametrize(
    "path",
    sorted([*Path(ROOT).glob("src/fairlead/api/*.py"), *Path(ROOT).glob("src/fairlead/cli/*.py")]),
    ids=lambda path: path.stem,
)
def test_a_next_step_is_a_bare_command_or_a_sentence_with_a_capital_and_a_full_stop(path: Path) -> None:
    for step in filter(None, next_steps(ast.parse(path.read_text(encoding="utf-8")))):
        if step.startswith(("fairlead ", "journalctl ", "{} --help")):
            assert not step.endswith("."), step
        else:
            assert (step[0].isupper(), step[-1]) == (True, "."), step


def test_an_answer_that_lacks_what_is_looked_for_is_an_error_and_no_traceback_of_python(
    fairlead: Fairlead, home: Layout
) -> None:
    with serving(home, {"GET /status": {"daemon": "\x1b[2J"}}):
        shown = fairlead("status")
    assert (shown.status, shown.out) == (1, "")
    assert shown.err.startswith("error: the command failed by a fault of fairlead: KeyError: 'stacks'\n")
    assert "next: If `fairlead daemon status` shows another version" in shown.err
