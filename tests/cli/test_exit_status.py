"""Every exit status that a command's help names is provoked here; and what is printed with --json is JSON, in ASCII."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from fairlead import __version__
from fairlead.cli.main import fairlead as root
from fairlead.cli.manual import every_command, manual_of
from fairlead.core.layout import Layout
from fairlead.errors import FairleadError, NotFound, UsageError
from fairlead.spec.jsonschema import schema_text
from tests.cli.conftest import Fairlead
from tests.cli.data_rows import a_row, at_rest
from tests.cli.measured import a_service, an_answer
from tests.cli.scripted import Refuse, Stream, a_stack, an_instance, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.cli.test_commands import a_balancer, facts, listening_at
from tests.cli.test_drill import an_open_instance
from tests.cli.test_drill import answers as drill_answers
from tests.cli.test_explain import an_explanation

EVERY = {" ".join(words): command for words, command, _ in every_command(root)}
EVIL = "caf\u00e9 \x1b[2J \u202e \udcff"
"""What others may have written: not ASCII, a terminal escape, turned round, no UTF-8."""

BY_SYSTEMD = ("daemon install", "daemon uninstall", "daemon relocate", "daemon upgrade", "daemon")
"""Told by tests that have a systemd, a home or a daemon of their own: tests/cli/test_daemon*, test_keeper."""


def result(**fields: Any) -> Stream:
    return Stream([{"type": "progress", "text": EVIL, "service": "", "instance": ""}, {"type": "result", **fields}])


RUN = {
    "id": "nightly.job-1", "job": "nightly", "kind": "job", "service": "web", "release": 1, "number": 1,
    "started_at": "2026-11-21T03:00:00Z", "ended_at": "2026-11-21T03:00:01Z", "took": 1.0, "succeeded": True,
    "outcome": EVIL, "scheduled_for": "", "log": EVIL, "stack": "shop",
}  # fmt: skip
JOB = {
    "stack": "shop", "job": "nightly", "service": "web", "schedule": "0 3 * * *", "timezone": "UTC", "last": RUN,
    "running": None, "next": "2026-11-22T03:00:00Z",
}  # fmt: skip
ONE = {"stack": "shop", "instance": "web-1", "text": EVIL}
DATA = {"stack": "shop", "id": "store", "file": EVIL, "bytes": 1, "text": EVIL}
SECRET = {"stack": "shop", "name": "TOKEN", "used_by": [EVIL], "text": EVIL}
ANSWERS: dict[str, Any] = {
    "GET /status": status_of(a_stack("shop", (an_instance(description=EVIL, reason="Target.Timeout"),))),
    "POST /stacks": result(stack="shop", changed=True, summary=[EVIL], urls=["http://127.0.0.1:8080"], unenforced=[EVIL]),
    "POST /plan": {
        "stack": "shop", "first": False, "changed": True, "urls": [], "unenforced": [EVIL],
        "changes": [{"service": "web", "what": EVIL, "why": EVIL}],
    },
    "DELETE /stacks/shop": result(stack="shop", text=EVIL),
    "POST /stacks/shop/scale": result(stack="shop", service="web", desired=4, declared=2, text=EVIL),
    "POST /stacks/shop/suspend": {"stack": "shop", "service": "web", "suspended": ["Launch"], "text": EVIL},
    "POST /stacks/shop/resume": {"stack": "shop", "service": "web", "suspended": [], "text": EVIL},
    "POST /stacks/shop/restart": result(stack="shop", changed=True, summary=[EVIL], urls=[]),
    "POST /stacks/shop/instances/web-1/drain": ONE,
    "POST /stacks/shop/instances/web-1/return": ONE,
    "POST /stacks/shop/instances/web-1/standby": ONE,
    "POST /stacks/shop/instances/web-1/protect": ONE,
    "POST /stacks/shop/instances/web-1/terminate": result(**ONE),
    "POST /stacks/shop/instances/web-1/open": {**ONE, "url": EVIL, "port": 40001, "until": EVIL},
    "POST /stacks/shop/instances/web-1/close": ONE,
    "GET /events": {
        "events": [{"id": 1, "at": "2026-11-21T10:02:11Z", "stack": "shop", "service": "web", "instance": "web-1",
                    "kind": "launched", "text": EVIL}],
    },
    "GET /stacks/shop/explain": an_explanation(answer=EVIL),
    "GET /stacks/shop/metrics": an_answer(a_service([1.0], service=EVIL)), "GET /metrics/listener": {"url": EVIL},
    "GET /stacks/shop/check": {"stack": "shop", "token": "t", "requests": 0, "listeners": []},
    "GET /jobs": {"jobs": [JOB]},
    "POST /stacks/shop/jobs/nightly": {"run": RUN},
    "GET /stacks/shop/runs/nightly.job-1": RUN,
    "GET /data": {"data": [a_row(why=EVIL), at_rest("old", why=EVIL, engine=EVIL)]},
    "POST /stacks/shop/data/store/stop": result(**DATA, needed_by=[EVIL]),
    "POST /stacks/shop/data/store/start": result(**DATA, state="available"),
    "POST /stacks/shop/data/store/backup": result(**DATA),
    "POST /stacks/shop/data/store/restore": result(**DATA),
    "DELETE /stacks/shop/data/old": result(**DATA),
    "GET /stacks/shop/secrets": {
        "stack": "shop", "secrets": [{"name": EVIL, "origin": EVIL, "changed_at": EVIL, "used_by": [EVIL]}],
    },
    "PUT /stacks/shop/secrets/TOKEN": SECRET,
    "DELETE /stacks/shop/secrets/TOKEN": SECRET,
    "POST /secrets/reset": {"secrets": [{"stack": EVIL, "name": EVIL}], "data": [], "text": EVIL},
}  # fmt: skip
"""What a daemon with one stack says."""

WORDS = {
    "scale": ("web", "4"), "suspend": ("web",), "resume": ("web",), "instance standby": ("web-1",), "explain": ("web",), "exec": ("web", "true"), "run": ("web", "true"), "jobs run": ("nightly",),
    "instance drain": ("web-1",), "instance return": ("web-1",), "instance protect": ("web-1",),
    "instance terminate": ("web-1",), "instance open": ("web-1",), "instance close": ("web-1",), "completion": ("bash",), "up": ("fairlead.yaml",), "plan": ("fairlead.yaml",),
    "trust": ("--root", "image"), "drill capacity": ("--for", "2s", "--max-rate", "100", "--latency", "1s"),
    "simulate": ("--load", "constant:10/5s"),
    "data shell": ("store",), "data backup": ("store", "store.dump"), "data restore": ("store", "store.dump", "--yes"),
    "data stop": ("store",), "data start": ("store",), "data delete": ("old", "--yes"),
    "secret set": ("TOKEN", "--file", "token"), "secret remove": ("TOKEN",),
    "secret reset": ("--yes",),
}  # fmt: skip
"""What each command needs to be given."""

ASKS = {
    "up": "POST /stacks", "plan": "POST /plan", "down": "DELETE /stacks/shop", "scale": "POST /stacks/shop/scale",
    "restart": "POST /stacks/shop/restart", "instance drain": "POST /stacks/shop/instances/web-1/drain",
    "instance return": "POST /stacks/shop/instances/web-1/return", "suspend": "POST /stacks/shop/suspend",
    "instance standby": "POST /stacks/shop/instances/web-1/standby", "resume": "POST /stacks/shop/resume",
    "instance protect": "POST /stacks/shop/instances/web-1/protect",
    "instance terminate": "POST /stacks/shop/instances/web-1/terminate",
    "instance open": "POST /stacks/shop/instances/web-1/open",
    "instance close": "POST /stacks/shop/instances/web-1/close", "explain": "GET /stacks/shop/explain",
    "drill capacity": "POST /stacks/shop/instances/web-1/open",
    "check": "GET /stacks/shop/check", "exec": "GET /stacks/shop/entry", "run": "GET /stacks/shop/entry",
    "metrics": "GET /stacks/shop/metrics", "jobs run": "POST /stacks/shop/jobs/nightly", "events": "GET /events", "status": "GET /status", "jobs": "GET /jobs",
    "data list": "GET /data", "data shell": "GET /stacks/shop/data/store/shell",
    "data backup": "POST /stacks/shop/data/store/backup", "data restore": "POST /stacks/shop/data/store/restore",
    "data stop": "POST /stacks/shop/data/store/stop", "data start": "POST /stacks/shop/data/store/start",
    "data delete": "DELETE /stacks/shop/data/old", "secret set": "PUT /stacks/shop/secrets/TOKEN",
    "secret list": "GET /stacks/shop/secrets", "secret remove": "DELETE /stacks/shop/secrets/TOKEN",
    "secret reset": "POST /secrets/reset",
}  # fmt: skip
"""The request that decides."""


class Scene:
    """A home with a scripted daemon, and a way to run one command in it."""

    def __init__(self, name: str, fairlead: Fairlead, home: Layout) -> None:
        self.name, self.fairlead, self.home = name, fairlead, home
        Path("fairlead.yaml").write_text("name: shop\nservices: {web: {app: 'app:app'}}\n")
        Path("token").write_text("a value\n")

    def run(self, *options: str, **answers: Any) -> int:
        with serving(self.home, {**ANSWERS, **answers}):
            return self.fairlead(*self.name.split(), *options, *WORDS.get(self.name, ())).status

    def asked(self, answer: Any) -> int:
        """Run it when the request that decides is answered so."""
        return self.run(**{ASKS[self.name]: answer})

    def of(self, name: str) -> Scene:
        """That of another command: of one in a group, for what the group says of them all."""
        return Scene(name, self.fairlead, self.home)


def ends_well(scene: Scene) -> int:
    if scene.name == "logs":
        log = Path(scene.home.instance("shop", "web-1"), "log")
        log.parent.mkdir(parents=True)
        log.write_text("hello\n")
    return scene.run()


def is_refused(scene: Scene) -> int:
    return scene.asked(Refuse(FairleadError("it failed"), 500))


def is_not_there(scene: Scene) -> int:
    """No such stack, for the commands that are about one; else a command line that makes no sense."""
    options = {option for parameter in EVERY[scene.name].params for option in parameter.opts}
    if "--stack" in options and scene.name != "events":
        refusal = Refuse(NotFound("there is no stack 'nosuch'"), 404)
        answers = {ASKS[scene.name]: refusal} if scene.name in ("status", "jobs", "data list") else {}
        return scene.run("--stack", "nosuch", **answers)
    return scene.run("--no-such-option")


def is_interrupted(scene: Scene) -> int:
    """Ctrl-C while the daemon works on it."""
    ident = threading.main_thread().ident
    assert ident is not None

    def answer(request: Any) -> Refuse:
        signal.pthread_kill(ident, signal.SIGINT)
        threading.Event().wait(0.2)
        return Refuse(FairleadError("too late"), 500)

    return scene.asked(answer)


def follows_until_interrupted(scene: Scene) -> int:
    """Ctrl-C while it waits for more to show."""
    option = {"status": "--watch", "metrics": "--watch", "logs": "--follow", "events": "--follow"}[scene.name]
    if scene.name == "logs":
        ends_well(scene)
    timer = threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    try:
        return scene.run(option)
    finally:
        timer.join()


def turns_into(program: str) -> Callable[[Scene], int]:
    """`exec`, `run` and `data shell` become the program, so a process of its own does it. It is named by the user, but
    for the last: there by the daemon."""

    def act(scene: Scene) -> int:
        Path("not-a-program").write_text("")
        entry = {
            "argv": [], "environment": {"PATH": os.defpath}, "working_folder": os.getcwd(), "user": None,
            "service": "web", "instance": "web-1", "release": 1,
        }  # fmt: skip
        client = {"argv": [program], "environment": {}, "says": EVIL}
        words = ("data", "shell", "store") if scene.name == "data shell" else (scene.name, "web", program)
        with serving(
            scene.home, {**ANSWERS, "GET /stacks/shop/entry": entry, "GET /stacks/shop/data/store/shell": client}
        ):
            return subprocess.run(
                fairlead_argv(*words), capture_output=True, timeout=30, stdin=subprocess.DEVNULL,
                env={**os.environ, "FAIRLEAD_HOME": scene.home.home},
            ).returncode  # fmt: skip

    return act


def shares_evenly(scene: Scene) -> int:
    with a_balancer("web-1", "web-2") as (url, _):
        described = iter([facts(url, 5, "web-1", "web-2"), facts(url, 105, "web-1", "web-2")])
        return scene.run(**{ASKS[scene.name]: lambda _: next(described), "GET /status": listening_at(url)})


def bears_what_is_asked(scene: Scene) -> int:
    with an_open_instance() as url:
        return scene.run(**drill_answers(url))


def probes_in_vain(scene: Scene) -> int:
    """There is nothing that could be started to see what it answers."""
    return scene.fairlead("init", "--print", "--probe", "--command", "no-such-program").status


def is_meant_of_one_stack_or_another(scene: Scene) -> int:
    """A secret may be of a stack that is not up, so `--stack nosuch` is none to refuse."""
    Path("fairlead.yaml").unlink()
    return scene.run(**{"GET /status": status_of(a_stack("shop"), a_stack("blog"))})


def is_interrupted_at_its_question(scene: Scene) -> int:
    environment = {**os.environ, "FAIRLEAD_HOME": scene.home.home}
    argv = fairlead_argv(*scene.name.split(), "TOKEN", "--stack", "shop")
    with serving(scene.home, ANSWERS) as daemon, Terminal(argv, environment) as terminal:
        terminal.wait_for("not shown")
        terminal.type("half a val\x03")
        status = terminal.end()
    assert ASKS[scene.name] not in daemon.paths_asked()
    return status


def is_put_into_an_image(scene: Scene) -> int:
    """The machine's own store is not a test's to change."""
    Path("image/usr/local/share/ca-certificates").mkdir(parents=True)
    return scene.run()


PROVOKED: dict[str, Callable[[Scene], int]] = {
    "0": ends_well,
    "1": is_refused,
    "2": is_not_there,
    "130": is_interrupted,
    "126": turns_into("./not-a-program"),
    "127": turns_into("no-such-program"),
    "status 130": follows_until_interrupted,
    "metrics 130": follows_until_interrupted,
    "logs 130": follows_until_interrupted,
    "events 130": follows_until_interrupted,
    "explain 130": is_interrupted,
    "daemon status 1": lambda scene: scene.fairlead("daemon", "status").status,
    "instance 0": lambda scene: scene.fairlead("instance", "--help").status,
    "instance 1": lambda scene: is_refused(scene.of("instance drain")),
    "data 0": lambda scene: scene.fairlead("data", "--help").status,
    "data 1": lambda scene: is_refused(scene.of("data stop")),
    "data 2": lambda scene: is_not_there(scene.of("data stop")),
    "data 130": lambda scene: is_interrupted(scene.of("data stop")),
    "data shell 0": turns_into("true"),
    "secret 0": lambda scene: scene.fairlead("secret", "--help").status,
    "secret 1": lambda scene: is_refused(scene.of("secret set")),
    "secret 2": lambda scene: scene.of("secret remove").asked(Refuse(NotFound("shop has no secret TOKEN"), 404)),
    "secret set 2": lambda scene: scene.asked(Refuse(UsageError("TOKEN is not set", "the value is empty"))),
    "secret list 2": is_meant_of_one_stack_or_another,
    "secret remove 2": is_meant_of_one_stack_or_another,
    "secret reset 2": lambda scene: scene.fairlead("secret", "reset").status,
    "secret set 130": is_interrupted_at_its_question,
    "jobs run 1": lambda scene: scene.run(**{"GET /stacks/shop/runs/nightly.job-1": {**RUN, "succeeded": False}}),
    "init 0": lambda scene: scene.fairlead("init", "--print", "--command", "serve").status,
    "init 1": probes_in_vain,
    "check 0": shares_evenly,
    "drill 0": lambda scene: scene.fairlead("drill", "--help").status,
    "drill capacity 0": bears_what_is_asked,
    "simulate 1": lambda scene: scene.fairlead("simulate", "--from", "1h").status,
    "trust 0": is_put_into_an_image,
    "trust 1": lambda scene: scene.fairlead("trust", "--check", "--root", "image").status,
    "check 1": lambda scene: scene.fairlead("check").status,
}
"""How each status comes about: `STATUS` for every command, or `COMMAND STATUS`."""

DOCUMENTED = [
    (name, status)
    for name, command in EVERY.items()
    if name not in BY_SYSTEMD
    for status, _ in manual_of(command).statuses
    if status.isdigit()
]


@pytest.mark.parametrize(("name", "status"), DOCUMENTED)
def test_every_exit_status_that_is_documented_can_occur(
    name: str, status: str, fairlead: Fairlead, home: Layout
) -> None:
    provoke = PROVOKED.get(f"{name} {status}") or PROVOKED[status]
    assert provoke(Scene(name, fairlead, home)) == int(status)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("instance", "daemon")])
def test_a_command_line_that_makes_no_sense_is_exit_2_whatever_the_command(fairlead: Fairlead, name: str) -> None:
    assert fairlead(*name.split(), "--no-such-option").status == 2


def test_daemon_status_is_0_while_one_answers(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /version": {"version": __version__, "pid": os.getpid()}}):
        assert fairlead("daemon", "status").status == 0


# --json

NO_DATA = {
    "down": "says on stderr that it is done",
    "instance": "a group",
    "drill": "a group",
    "data": "a group",
    "data shell": "is the client program",
    "secret": "a group",
    "exec": "prints what the command prints",
    "run": "prints what the command prints",
    "schema": "prints JSON anyway",
    "init": "writes a file",
    "completion": "prints a script",
    "daemon": "runs",
    "daemon install": "prints a unit, or nothing",
    "daemon uninstall": "prints nothing",
    "daemon relocate": "prints nothing",
}
"""Commands that print no table, and so have no --json."""

NEEDS_ONE = ("drill capacity",)
"""Commands that ask an instance itself."""


@pytest.mark.parametrize("name", EVERY)
def test_every_command_that_prints_data_has_json(name: str) -> None:
    options = [option for parameter in EVERY[name].params for option in parameter.opts]
    assert ("--json" in options) is (name not in NO_DATA), NO_DATA.get(name, "it prints data")


@pytest.mark.parametrize("name", [name for name in EVERY if name not in NO_DATA])
def test_json_is_ascii_parses_and_is_all_that_is_printed(fairlead: Fairlead, home: Layout, name: str) -> None:
    scene = Scene(name, fairlead, home)
    if name == "logs":
        ends_well(scene)
    with an_open_instance() as url, serving(home, {**ANSWERS, **(drill_answers(url) if name in NEEDS_ONE else {})}):
        shown = fairlead(*name.split(), "--json", *WORDS.get(name, ()))
    assert shown.out.isascii(), shown.out
    if name == "logs":
        assert [json.loads(line)["line"] for line in shown.out.splitlines()] == ["hello"]
    else:
        assert json.loads(shown.out), shown.err


def test_the_schema_is_json_in_ascii_and_the_one_that_is_published(fairlead: Fairlead) -> None:
    shown = fairlead("schema")
    assert shown.out.isascii()
    assert json.loads(shown.out) == json.loads(schema_text())


def test_no_group_is_taken_for_a_command() -> None:
    assert {name for name, command in EVERY.items() if isinstance(command, click.Group)} == {
        "instance",
        "drill",
        "jobs",
        "data",
        "secret",
        "daemon",
    }
