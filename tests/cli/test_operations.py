"""`scale`, `restart`, `plan` and `instance` against a scripted daemon: what they send, what they say, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.layout import Layout
from fairlead.errors import DeploymentFailed, NotFound, SpecError, UsageError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Stream, a_stack, serving, status_of

UP = {"GET /status": status_of(a_stack("shop"))}
LAUNCHED = {"type": "progress", "stack": "shop", "text": "web-3 launched"}
SCALED = {
    "type": "result",
    "stack": "shop",
    "service": "web",
    "desired": 3,
    "declared": 2,
    "minimum": 3,
    "maximum": 3,
    "text": "web has 3 instances",
}
RESTARTED = {"type": "result", "stack": "shop", "changed": True, "summary": ["web: 2 new instances"], "urls": []}
ENDED = {"type": "result", "stack": "shop", "instance": "web-1", "text": "web-1 has ended"}


def test_scale_shows_progress_then_what_is_so_now_and_the_next_command(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, "POST /stacks/shop/scale": Stream([LAUNCHED, SCALED])}) as daemon:
        shown = fairlead("scale", "web", "3")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.splitlines() == [
        "web-3 launched",
        "web has 3 instances",
        "next: fairlead status  |  fairlead check",
    ]
    assert daemon.asked[-1].body == {"service": "web", "desired": 3, "minimum": None, "maximum": None}


def test_scale_to_nothing_says_how_to_come_back(fairlead: Fairlead, home: Layout) -> None:
    none = {**SCALED, "desired": 0, "text": "web has 0 instances"}
    with serving(home, {**UP, "POST /stacks/shop/scale": Stream([none])}):
        assert "next: fairlead scale web 2\n" in fairlead("scale", "web", "0").err


def test_scale_as_json_is_the_result_alone(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, "POST /stacks/shop/scale": Stream([LAUNCHED, SCALED])}):
        shown = fairlead("scale", "web", "3", "--json")
    assert json.loads(shown.out) == {key: value for key, value in SCALED.items() if key != "type"}


@pytest.mark.parametrize("size", ["-1", "many", "1.5"])
def test_scale_to_a_size_that_is_none_is_refused_before_anybody_is_asked(fairlead: Fairlead, size: str) -> None:
    shown = fairlead("scale", "web", size)
    assert (shown.status, shown.out) == (2, "")


def test_scale_that_does_not_get_there_says_what_serves(fairlead: Fairlead, home: Layout) -> None:
    error = DeploymentFailed("web does not reach 3 instances", "3 ended", "fairlead logs")
    with serving(home, {**UP, "POST /stacks/shop/scale": Stream([{"type": "error", "error": error.to_json()}])}):
        shown = fairlead("scale", "web", "3")
    assert (shown.status, shown.err) == (1, "error: web does not reach 3 instances: 3 ended\nnext: fairlead logs\n")


def test_restart_replaces_a_service_or_all(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, "POST /stacks/shop/restart": Stream([RESTARTED])}) as daemon:
        shown = fairlead("restart", "web")
        assert daemon.asked[-1].body == {"service": "web"}
        assert fairlead("restart").status == 0
        assert daemon.asked[-1].body == {"service": None}
    assert shown.err.splitlines()[:2] == ["shop is restarted", "  web: 2 new instances"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("scale", "web", "3"),
        ("restart",),
        ("exec", "web"),
        ("run", "web"),
        ("instance", "drain", "web-1"),
        ("instance", "terminate", "web-1"),
    ],
)
def test_what_needs_a_running_stack_says_that_nothing_runs_and_starts_nothing(
    fairlead: Fairlead, home: Layout, arguments: tuple[str, ...]
) -> None:
    shown = fairlead(*arguments)
    assert shown.status == 1
    assert "error: nothing runs" in shown.err
    assert os.listdir(home.home) == []


@pytest.mark.live
@pytest.mark.parametrize(("command", "route"), [(["scale", "web", "3"], "scale"), (["restart"], "restart")])
def test_ctrl_c_stops_the_watching_and_not_the_work(home: Layout, command: list[str], route: str) -> None:
    began, over = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        over.wait(10)

    with serving(home, {**UP, f"POST /stacks/shop/{route}": Stream([LAUNCHED], then=hang)}) as daemon:
        environment = {**os.environ, "FAIRLEAD_HOME": home.home}
        program = [sys.executable, "-m", "fairlead", *command]
        with subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True, cwd="/") as process:
            assert began.wait(10)
            assert process.stderr is not None
            assert process.stderr.readline() == "web-3 launched\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert "interrupted; the daemon goes on with it" in process.stderr.read()
        over.set()
    assert not [path for path in daemon.paths_asked() if "cancel" in path]


PLAN: dict[str, Any] = {
    "stack": "shop",
    "first": False,
    "changed": True,
    "changes": [
        {"service": "web", "what": "release 1 -> 2", "why": "the source differs"},
        {"service": "", "what": "zones: 1 -> 2", "why": ""},
    ],
    "unenforced": ["services.web.resources"],
    "urls": ["http://127.0.0.1:8080"],
}
SAME: dict[str, Any] = {**PLAN, "changed": False, "changes": [], "unenforced": []}


@pytest.fixture
def file(fairlead: Fairlead) -> Path:
    path = Path.cwd() / "fairlead.yaml"
    path.write_text("name: shop\nservices: {web: {app: 'app:app', port: '${env.PORT}'}}\n")
    return path


def test_plan_says_what_would_change_and_why_and_what_is_not_enforced(
    fairlead: Fairlead, home: Layout, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "1")
    with serving(home, {"POST /plan": PLAN}) as daemon:
        shown = fairlead("plan")
    assert shown.out.splitlines() == [
        "shop: `fairlead up` would change",
        "  web: release 1 -> 2 (the source differs)",
        "  zones: 1 -> 2",
        "  it will answer at http://127.0.0.1:8080",
        "  not enforced: services.web.resources",
    ]
    assert (shown.status, shown.err) == (0, "next: fairlead up\n")
    sent = next(request.body for request in daemon.asked if request.path == "/plan")
    assert sent == {"path": str(file), "dotenv": "", "env": {"PORT": "1"}}
    # Nothing else but: it may end, if it has nothing to do.
    assert daemon.paths_asked() == ["POST /plan", "POST /leave"]


def test_plan_says_what_would_be_waited_for_in_vain(fairlead: Fairlead, home: Layout, file: Path) -> None:
    note = "web needs store, which was stopped by hand; start it: fairlead data start store"
    with serving(home, {"POST /plan": {**PLAN, "notes": [note]}}):
        assert fairlead("plan").out.splitlines()[-1] == f"  {note}"


def test_plan_with_nothing_to_change_says_so(fairlead: Fairlead, home: Layout, file: Path) -> None:
    with serving(home, {"POST /plan": SAME}):
        assert fairlead("plan").out.startswith("shop: nothing to change\n")


def test_plan_as_json_is_the_answer(fairlead: Fairlead, home: Layout, file: Path) -> None:
    with serving(home, {"POST /plan": PLAN}):
        assert json.loads(fairlead("plan", "--json").out) == PLAN


@pytest.mark.parametrize(
    ("answer", "plain", "detailed"),
    [(PLAN, 0, 2), (SAME, 0, 0), (Refuse(SpecError("the file has a problem", ("it",))), 2, 1)],
)
def test_the_exit_status_tells_of_changes_only_when_asked(
    fairlead: Fairlead, home: Layout, file: Path, answer: object, plain: int, detailed: int
) -> None:
    with serving(home, {"POST /plan": answer}):
        assert fairlead("plan").status == plain
        assert fairlead("plan", "--exit-code").status == detailed


@pytest.mark.parametrize(
    ("arguments", "route", "body"),
    [
        (("drain", "web-1"), "drain", {"force": False}),
        (("drain", "web-1", "--force"), "drain", {"force": True}),
        (("return", "web-1"), "return", None),
        (("standby", "web-1"), "standby", {"decrement": False}),
        (("standby", "web-1", "--decrement"), "standby", {"decrement": True}),
        (("protect", "web-1"), "protect", {"on": True}),
        (("protect", "web-1", "--off"), "protect", {"on": False}),
    ],
)
def test_instance_does_one_thing_to_one_instance(
    fairlead: Fairlead, home: Layout, arguments: tuple[str, ...], route: str, body: object
) -> None:
    path = f"/stacks/shop/instances/web-1/{route}"
    answer = {"stack": "shop", "instance": "web-1", "text": "it is so"}
    with serving(home, {**UP, f"POST {path}": answer}) as daemon:
        shown = fairlead("instance", *arguments)
        as_json = fairlead("instance", *arguments, "--json", "--stack", "shop")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.startswith("it is so\nnext: fairlead ")
    assert (daemon.asked[-1].path, daemon.asked[-1].body) == (path, body)
    assert json.loads(as_json.out) == answer


def test_an_instance_that_may_not_be_drained_is_refused_with_the_reason(fairlead: Fairlead, home: Layout) -> None:
    error = UsageError("web-1 is the only one that serves web", "without it every request would fail", "fairlead up")
    with serving(home, {**UP, "POST /stacks/shop/instances/web-1/drain": Refuse(error)}):
        shown = fairlead("instance", "drain", "web-1")
    assert shown.status == 2
    assert "the only one that serves web" in shown.err


def test_terminate_streams_until_it_is_gone(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, "POST /stacks/shop/instances/web-1/terminate": Stream([LAUNCHED, ENDED])}) as daemon:
        shown = fairlead("instance", "terminate", "web-1", "--now", "--decrement")
    assert shown.status == 0
    assert shown.err.splitlines()[:2] == ["web-3 launched", "web-1 has ended"]
    assert daemon.asked[-1].body == {"now": True, "decrement": True}


@pytest.mark.live
def test_terminate_across_the_daemons_death_takes_one_away_once(fairlead: Fairlead, home: Layout) -> None:
    answers = iter([Stream([LAUNCHED]), Refuse(NotFound("there is no instance 'web-1'"), 404)])
    route = "POST /stacks/shop/instances/web-1/terminate"
    with serving(home, {**UP, route: lambda _: next(answers)}) as daemon:
        shown = fairlead("instance", "terminate", "web-1", "--decrement")
    assert shown.status == 0
    assert "web-1 has ended" in shown.err
    bodies = [request.body for request in daemon.asked if request.path.endswith("terminate")]
    assert [body["decrement"] for body in bodies] == [True, False]


def test_an_instance_that_is_not_there_is_exit_2(fairlead: Fairlead, home: Layout) -> None:
    missing = Refuse(NotFound("there is no instance 'web-9' in shop", "it has web-1", "fairlead status"), 404)
    with serving(home, {**UP, "POST /stacks/shop/instances/web-9/terminate": missing}):
        assert fairlead("instance", "terminate", "web-9").status == 2


URL = "http://127.0.0.1:40001/?fairlead-open=hunter2"
OPENED = {
    "stack": "shop", "instance": "web-1", "url": URL, "port": 40001, "until": "2026-11-21T12:00:00Z",
    "text": "web-1 can be reached alone until 2026-11-21T12:00:00Z",
}  # fmt: skip
OPEN = "POST /stacks/shop/instances/web-1/open"


def test_open_prints_the_url_alone_and_tells_the_rest_without_the_token(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, OPEN: OPENED}) as daemon:
        shown = fairlead("instance", "open", "web-1")
    assert (shown.status, shown.out) == (0, f"{URL}\n")
    said = shown.err.splitlines()
    assert said[0] == "web-1 can be reached alone until 2026-11-21 12:00:00Z"
    assert "curl -H 'X-Fairlead-Open: TOKEN' http://127.0.0.1:40001/" in said[1]
    assert said[2] == "next: fairlead instance close web-1"
    assert "hunter2" not in shown.err
    assert daemon.asked[-1].body == {"seconds": 3600.0}


def test_open_as_json_is_the_answer(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**UP, OPEN: OPENED}):
        shown = fairlead("instance", "open", "web-1", "--json", "--stack", "shop")
    assert json.loads(shown.out) == OPENED
    assert "hunter2" not in shown.err


@pytest.mark.parametrize(
    ("length", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604800)]
)
def test_open_is_for_as_long_as_is_said(fairlead: Fairlead, home: Layout, length: str, seconds: float) -> None:
    with serving(home, {**UP, OPEN: OPENED}) as daemon:
        assert fairlead("instance", "open", "web-1", "--for", length).status == 0
    assert daemon.asked[-1].body == {"seconds": seconds}


@pytest.mark.parametrize("length", ["", "10", "-10m", "1y", "an hour", "nan", "9" * 400 + "h", "\u0663m", "999999w"])
def test_a_length_of_time_that_is_none_is_refused_before_anybody_is_asked(
    fairlead: Fairlead, home: Layout, length: str
) -> None:
    shown = fairlead("instance", "open", "web-1", "--for", length)
    assert (shown.status, shown.out) == (2, "")
    assert "Write it like one of these: 90s, 10m, 1h30m, 2d." in shown.err


@pytest.mark.parametrize("length", ["0s", "0.5s", "8d"])
def test_an_instance_is_not_opened_for_ever_or_for_nothing(fairlead: Fairlead, home: Layout, length: str) -> None:
    shown = fairlead("instance", "open", "web-1", "--for", length)
    assert (shown.status, shown.out) == (2, "")
    advice = "Give it 7d, and open it again then." if length == "8d" else "Give it a second at least."
    assert shown.err == f"error: --for '{length}' is not possible: it can be open for 1s to 7d\nnext: {advice}\n"


def test_close_says_that_it_is_closed(fairlead: Fairlead, home: Layout) -> None:
    closed = {"stack": "shop", "instance": "web-1", "text": "web-1 can be reached through its listeners only"}
    with serving(home, {**UP, "POST /stacks/shop/instances/web-1/close": closed}):
        shown = fairlead("instance", "close", "web-1")
        as_json = fairlead("instance", "close", "web-1", "--json")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err == "web-1 can be reached through its listeners only\nnext: fairlead status\n"
    assert json.loads(as_json.out) == closed


NOT_RUN = "api-1 is routed to, and not run by fairlead"
REASONS = {
    "terminate": "`fairlead instance drain` takes it out of the load balancer",
    "protect": "it is never chosen when a service shrinks",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_makes_no_sense_of_a_target_that_is_not_run_is_refused_with_the_reason(
    fairlead: Fairlead, home: Layout, name: str
) -> None:
    refusal = Refuse(UsageError(NOT_RUN, REASONS[name]))
    with serving(home, {**UP, f"POST /stacks/shop/instances/api-1/{name}": refusal}):
        shown = fairlead("instance", name, "api-1")
    assert (shown.status, shown.out, shown.err) == (2, "", f"error: {NOT_RUN}: {REASONS[name]}\n")


@pytest.mark.parametrize("name", ["drain", "return", "standby", "protect", "terminate", "open", "close"])
def test_every_command_of_instance_has_help_with_examples(fairlead: Fairlead, name: str) -> None:
    shown = fairlead("instance", name, "--help")
    assert shown.status == 0
    for word in ("Examples:", f"  fairlead instance {name} web-3", "Exit status:", "--stack", "--json", "--home"):
        assert word in shown.out
