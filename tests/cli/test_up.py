"""`fairlead up` against a scripted daemon: what it sends, what it shows, and what it does when things go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fairlead.certificates import machine
from fairlead.core.layout import Layout
from fairlead.errors import DeploymentFailed, SpecError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Stream, a_stack, serving, status_of

RESULT = {
    "type": "result",
    "stack": "host-date",
    "changed": True,
    "summary": ["web: release 1, 2 instances"],
    "urls": ["http://127.0.0.1:8080"],
}
BUILDING = {"type": "progress", "text": "building release 1 of web", "service": "web", "instance": ""}


@pytest.fixture
def project(fairlead: Fairlead) -> Path:
    """The current folder, with a fairlead.yaml in it."""
    folder = Path.cwd()
    (folder / "fairlead.yaml").write_text("name: host-date\nservices: {web: {app: 'app:app', port: '${env.PORT}'}}\n")
    return folder


def test_up_sends_the_path_the_dotenv_and_only_the_variables_the_file_names(
    fairlead: Fairlead, home: Layout, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("TOKEN=ü\n")
    monkeypatch.setenv("PORT", "9090")
    monkeypatch.setenv("AWS_SECRET", "hunter2")
    with serving(home, {"POST /stacks": Stream([RESULT])}) as daemon:
        assert fairlead("up").status == 0
    sent = daemon.asked[-1].body
    who = sent.pop("who")
    assert sent == {"path": str(project / "fairlead.yaml"), "dotenv": "TOKEN=ü\n", "env": {"PORT": "9090"}}
    assert who.split(" on ")[0] == f"pid {os.getpid()}"


def test_up_shows_progress_on_stderr_and_the_urls_on_stdout(fairlead: Fairlead, home: Layout, project: Path) -> None:
    with serving(home, {"POST /stacks": Stream([BUILDING, RESULT])}):
        shown = fairlead("up", str(project / "fairlead.yaml"))
    assert shown.out == "http://127.0.0.1:8080\n"
    assert shown.err.splitlines() == [
        "building release 1 of web",
        "host-date is up",
        "  web: release 1, 2 instances",
        "next: fairlead status  |  fairlead check  |  fairlead logs --follow",
    ]


@pytest.mark.parametrize(
    ("file", "trusted", "told"), [("", "nobody", True), ("", "it", False), ("/a.pem", "it", False)]
)
def test_after_an_up_with_the_development_ca_the_next_thing_is_to_trust_it(
    fairlead: Fairlead,
    home: Layout,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    trusted: str,
    told: bool,
) -> None:
    machines = project / "machine"
    (machines / "usr/local/share/ca-certificates").mkdir(parents=True)
    (machines / "etc/ssl/certs").mkdir(parents=True)
    monkeypatch.setattr(machine, "machine_store", lambda _, real=machine.machine_store: real(str(machines)))
    pem = fairlead("trust", "--print").out
    (machines / "etc/ssl/certs/ca-certificates.crt").write_text(pem if trusted == "it" else "")
    stack = a_stack()
    stack["listeners"][0] |= {"certificates": [{"names": ["localhost"], "file": file, "problem": ""}]}
    up = {**RESULT, "urls": ["https://127.0.0.1:8443"]}
    with serving(home, {"POST /stacks": Stream([up]), "GET /status": status_of(stack)}):
        shown = fairlead("up")
    assert (shown.status, shown.out) == (0, "https://127.0.0.1:8443\n")
    assert ("next: fairlead trust  |  fairlead status" in shown.err) is told


def test_a_certificate_that_could_not_be_taken_over_is_told_by_up(
    fairlead: Fairlead, home: Layout, project: Path
) -> None:
    stack = a_stack()
    problem = "/a.pem and /a.key do not belong together"
    stack["listeners"][0] |= {"certificates": [{"names": ["a.test", "b.test"], "file": "/a.pem", "problem": problem}]}
    up = {**RESULT, "changed": False, "urls": ["https://127.0.0.1:8443"]}
    with serving(home, {"POST /stacks": Stream([up]), "GET /status": status_of(stack)}):
        shown = fairlead("up")
    assert shown.status == 0
    assert f"\ncertificate for a.test, b.test: {problem}\nnext: fairlead status" in shown.err


def test_a_second_up_says_that_nothing_is_to_change(fairlead: Fairlead, home: Layout, project: Path) -> None:
    with serving(home, {"POST /stacks": Stream([{**RESULT, "changed": False, "summary": []}])}):
        shown = fairlead("up")
    assert "host-date: nothing to change" in shown.err
    assert shown.out == "http://127.0.0.1:8080\n"


def test_json_is_the_result_alone_on_stdout(fairlead: Fairlead, home: Layout, project: Path) -> None:
    with serving(home, {"POST /stacks": Stream([BUILDING, RESULT])}):
        shown = fairlead("up", "--json")
    assert json.loads(shown.out) == {key: value for key, value in RESULT.items() if key != "type"} | {
        "unenforced": [],
        "by_hand": [],
    }


def test_what_is_not_enforced_is_named_at_every_up(fairlead: Fairlead, home: Layout, project: Path) -> None:
    result = {**RESULT, "changed": False, "unenforced": ["services.web.resources"]}
    with serving(home, {"POST /stacks": Stream([result])}):
        assert "\nnot enforced: services.web.resources\n" in fairlead("up").err


def test_a_failed_deployment_is_printed_with_its_detail(fairlead: Fairlead, home: Layout, project: Path) -> None:
    error = DeploymentFailed("host-date did not become healthy", "it exits", "mend it", detail="web-1 | Traceback")
    with serving(home, {"POST /stacks": Stream([BUILDING, {"type": "error", "error": error.to_json()}])}):
        shown = fairlead("up")
    assert (shown.status, shown.out) == (1, "")
    assert "error: host-date did not become healthy: it exits\n  web-1 | Traceback\nnext: mend it\n" in shown.err


def test_problems_of_the_file_are_all_shown_and_exit_2(fairlead: Fairlead, home: Layout, project: Path) -> None:
    problems = ("fairlead.yaml:2:1: servces: unknown key", "fairlead.yaml:3:1: name: missing")
    refusal = Refuse(SpecError("fairlead.yaml has 2 problems", problems))
    with serving(home, {"POST /stacks": refusal}):
        shown = fairlead("up")
    assert shown.status == 2
    assert all(f"  {problem}\n" in shown.err for problem in problems)


def test_progress_text_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout, project: Path) -> None:
    evil = "x\x1b[2J\ny"
    result = {**RESULT, "stack": evil, "summary": [evil], "urls": [evil]}
    with serving(home, {"POST /stacks": Stream([{**BUILDING, "text": evil}, result])}):
        shown = fairlead("up")
    assert "\x1b" not in shown.out + shown.err
    assert len(shown.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "says"),
    [("nowhere", "there is no"), ("", "there is no"), ("fairlead.yaml/x", "cannot be read")],
)
def test_a_path_without_a_file_is_exit_2_and_starts_no_daemon(
    fairlead: Fairlead, home: Layout, tmp_path: Path, path: str, says: str
) -> None:
    (tmp_path / "fairlead.yaml").write_text("name: x\n")
    shown = fairlead("up", str(tmp_path / "empty") if not path else str(tmp_path / path))
    assert shown.status == 2
    assert says in shown.err
    assert not os.path.exists(home.daemon_log)


def test_a_file_that_cannot_be_read_comes_with_a_way_out(fairlead: Fairlead, home: Layout, project: Path) -> None:
    (project / ".env").write_bytes(b"A=\xe9\n")
    shown = fairlead("up")
    assert shown.status == 2
    assert shown.err == f"error: {project}/.env cannot be read: it is not UTF-8\nnext: Save it as UTF-8.\n"
    (project / "folder" / "fairlead.yaml").mkdir(parents=True)
    assert "fairlead.yaml is a folder, not a file\nnext: Give" in fairlead("up", "folder").err


def test_a_variable_that_is_no_text_is_refused(
    fairlead: Fairlead, home: Layout, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", os.fsdecode(b"\xff"))
    shown = fairlead("up")
    assert shown.status == 2
    assert "PORT cannot be used: its value is not UTF-8" in shown.err


@pytest.mark.live
def test_a_daemon_that_dies_in_the_middle_is_asked_again(fairlead: Fairlead, home: Layout, project: Path) -> None:
    answers = iter([Stream([BUILDING]), Stream([{**BUILDING, "text": "joined"}, RESULT])])
    with serving(home, {"POST /stacks": lambda request: next(answers)}) as daemon:
        shown = fairlead("up")
    assert shown.status == 0
    assert "the daemon went away; connecting to it again" in shown.err
    assert daemon.paths_asked() == ["POST /stacks", "POST /stacks"]


def test_what_can_never_be_read_by_the_daemon_is_refused_before_it_is_asked(fairlead: Fairlead, project: Path) -> None:
    os.mkfifo(project / "pipe")
    shown = fairlead("up", "pipe")
    assert (shown.status, "pipe is not a regular file\nnext: Give" in shown.err) == (2, True)
    folder = os.fsdecode(b"no\xff")
    os.mkdir(project / folder)
    (project / folder / "fairlead.yaml").write_text("name: x")
    shown = fairlead("up", folder)
    assert (shown.status, "its path is not UTF-8\nnext: Give" in shown.err) == (2, True)


@pytest.mark.live
def test_ctrl_c_gives_the_change_up_waits_and_exits_130(home: Layout, project: Path) -> None:
    began, cancelled = threading.Event(), threading.Event()

    def cancel(request: object) -> dict[str, str]:
        cancelled.set()
        return {"text": "nothing of it is left"}

    def hang() -> None:
        began.set()
        cancelled.wait(10)

    answers = {"POST /stacks": Stream([BUILDING], then=hang), "POST /stacks/host-date/cancel": cancel}
    with serving(home, answers):
        command = [sys.executable, "-m", "fairlead", "up"]
        environment = {**os.environ, "FAIRLEAD_HOME": home.home}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=project) as process:
            assert began.wait(10)
            assert process.stderr is not None
            assert process.stderr.readline() == "building release 1 of web\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert cancelled.is_set()
            assert "interrupted: nothing of it is left" in process.stderr.read()
