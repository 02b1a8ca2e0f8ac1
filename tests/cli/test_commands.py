"""`down`, `events`, `check` and `daemon` against a scripted daemon."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairlead.core.layout import Layout
from fairlead.errors import NotFound
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Stream, a_stack, serving, status_of

STOPPED = Stream([{"type": "progress", "text": "draining web-1"}, {"type": "result", "text": "shop is down"}])


def test_down_stops_the_only_stack_and_names_the_next_command(fairlead: Fairlead, home: Layout) -> None:
    statuses = iter([status_of(a_stack("shop")), status_of()])
    with serving(home, {"GET /status": lambda _: next(statuses), "DELETE /stacks/shop": STOPPED}):
        shown = fairlead("down")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.splitlines()[:2] == ["draining web-1", "shop is down"]
    assert "fairlead down --all" in shown.err


def test_down_says_a_thing_once(fairlead: Fairlead, home: Layout) -> None:
    said = Stream([{"type": "progress", "text": "shop is down"}, {"type": "result", "text": "shop is down"}])
    with serving(home, {"GET /status": status_of(a_stack("shop")), "DELETE /stacks/shop": said}):
        assert fairlead("down").err.count("shop is down") == 1


def test_down_with_a_daemon_but_no_stack_says_so(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": status_of()}):
        shown = fairlead("down")
    assert shown.status == 0
    assert f"no stack is up in {home.home}" in shown.err
    assert "fairlead down --all" in shown.err


def test_down_stops_the_stack_of_the_current_folder(fairlead: Fairlead, home: Layout) -> None:
    Path("fairlead.yaml").write_text("name: shop\n")
    answers = {"GET /status": status_of(a_stack("shop"), a_stack("blog")), "DELETE /stacks/shop": STOPPED}
    with serving(home, answers) as daemon:
        assert fairlead("down").status == 0
    assert "DELETE /stacks/shop" in daemon.paths_asked()


@pytest.mark.parametrize("arguments", [("down", "blog"), ("down", "--stack", "blog")])
def test_down_of_a_stack_that_is_not_there_touches_no_other(
    fairlead: Fairlead, home: Layout, arguments: tuple[str, ...]
) -> None:
    with serving(home, {"GET /status": status_of(a_stack("shop"))}) as daemon:
        shown = fairlead(*arguments)
    assert shown.status == 2
    assert "there is no stack 'blog': this home has shop" in shown.err
    assert daemon.paths_asked() == ["GET /status"]


@pytest.mark.parametrize("arguments", [("down",), ("down", "--all")])
def test_down_without_anything_running_says_so_and_starts_nothing(
    fairlead: Fairlead, home: Layout, arguments: tuple[str, ...]
) -> None:
    shown = fairlead(*arguments)
    assert shown.status == 0
    assert f"nothing runs in {home.home}" in shown.err
    assert os.listdir(home.home) == []


@pytest.mark.parametrize("daemon", [True, False])
def test_down_of_a_stack_that_is_not_there_is_exit_2_even_when_nothing_runs(
    fairlead: Fairlead, home: Layout, daemon: bool
) -> None:
    with serving(home, {"GET /status": status_of()}) if daemon else contextlib.nullcontext():
        shown = fairlead("down", "shop")
    assert shown.status == 2
    assert "there is no stack 'shop': no stack is up in this home" in shown.err


def test_down_all_says_of_which_stack_each_step_is(fairlead: Fairlead, home: Layout) -> None:
    steps = [
        {"type": "progress", "stack": "shop", "text": "web-1 gets no new request"},
        {"type": "progress", "stack": "blog", "text": "blog is told to end: its stack goes down", "service": "blog"},
        {"type": "progress", "stack": "blog", "text": "blog is down", "service": "", "instance": ""},
        {"type": "progress", "stack": "", "text": "stopping HAProxy"},
    ]
    with serving(home, {"POST /shutdown": Stream([*steps, {"type": "result", "text": "2 stacks are down"}])}):
        shown = fairlead("down", "--all")
    assert shown.err.splitlines()[:4] == [
        "shop: web-1 gets no new request",
        "blog: blog is told to end: its stack goes down",
        "blog is down",
        "stopping HAProxy",
    ]


def test_down_across_the_daemons_death_is_done_when_the_stack_is_gone(fairlead: Fairlead, home: Layout) -> None:
    downs = iter([Stream([{"type": "progress", "text": "draining"}]), Refuse(NotFound("no stack 'shop'"), 404)])
    statuses = iter([status_of(a_stack("shop")), status_of()])
    with serving(home, {"GET /status": lambda _: next(statuses), "DELETE /stacks/shop": lambda _: next(downs)}):
        assert fairlead("down").status == 0


EVENT = {
    "id": 7,
    "at": "2026-11-21T10:02:11.123Z",
    "stack": "shop",
    "service": "web",
    "instance": "web-1",
    "kind": "launched",
    "text": "first launch\x1b[2J",
}


def test_events_are_one_harmless_line_each(fairlead: Fairlead, home: Layout) -> None:
    of_service = {**EVENT, "instance": "", "kind": "release"}
    with serving(home, {"GET /events": {"events": [EVENT, of_service]}}) as daemon:
        shown = fairlead("events", "--limit", "5", "--stack", "shop")
    assert daemon.asked[-1].query == {"stack": "shop", "limit": "5", "after": "0"}
    first, second = shown.out.splitlines()
    assert first == r"2026-11-21 10:02:11Z  shop/web-1            launched              first launch\x1b[2J"
    assert "shop/web " in second


def test_events_as_json_are_data(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /events": {"events": [EVENT]}}):
        shown = fairlead("events", "--json")
    assert json.loads(shown.out) == {"events": [EVENT]}
    assert "\x1b" not in shown.out


def test_events_are_read_from_the_store_when_no_daemon_is_needed(fairlead: Fairlead, home: Layout) -> None:
    assert "no events" in fairlead("events").err
    with contextlib.closing(sqlite3.connect(home.database)) as db, db:
        db.execute("CREATE TABLE stacks (name, wanted)")
        db.execute("CREATE TABLE instances (id, ended)")
        db.execute("CREATE TABLE events (id, at, stack, service, instance, kind, text)")
        db.execute("INSERT INTO events VALUES (1, '2026-11-21T10:02:11Z', 'shop', '', '', 'down', 'it is down')")
    assert "it is down" in fairlead("events").out


@pytest.mark.parametrize("daemon", [True, False])
def test_events_of_a_stack_that_nobody_knows_are_exit_2(fairlead: Fairlead, home: Layout, daemon: bool) -> None:
    answers = {"GET /status": status_of(a_stack("blog")), "GET /events": {"events": []}}
    with serving(home, answers) if daemon else contextlib.nullcontext():
        shown = fairlead("events", "--stack", "shop")
    assert (shown.status, shown.out) == (2, "")
    assert "there is no stack 'shop': no event of it is kept" in shown.err


def test_events_of_a_stack_that_is_up_may_be_none(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /events": {"events": []}}):
        shown = fairlead("events", "--stack", "shop")
    assert (shown.status, shown.err) == (0, "no events\n")


@contextmanager
def ended_at_last(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process; what it never writes is not waited for without end."""
    end = threading.Timer(30, process.kill)
    end.start()
    try:
        with process:
            yield process
    finally:
        end.cancel()


@pytest.mark.live
def test_followed_events_go_on_from_the_last_one_seen(home: Layout) -> None:
    pages = itertools.chain([[EVENT], [], [{**EVENT, "id": 8}]], itertools.repeat([]))
    with serving(home, {"GET /events": lambda _: {"events": next(pages)}}) as daemon:
        command = [sys.executable, "-m", "fairlead", "events", "--follow", "--json"]
        # What is read stands in a pipe's buffer for as long as nobody sends it on.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        environment["FAIRLEAD_HOME"] = home.home
        with ended_at_last(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ) as process:
            assert process.stdout is not None
            assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [7, 8]
            process.send_signal(2)
            assert process.wait(10) == 130
    afters = [request.query["after"] for request in daemon.asked if request.path == "/events"]
    assert afters[:3] == ["0", "7", "7"]


@pytest.mark.live
@pytest.mark.parametrize("what", ["events", "logs"])
def test_who_follows_ends_when_nobody_reads_any_more(home: Layout, what: str) -> None:
    folder = Path(home.instances("shop")) / "web-1"
    folder.mkdir(parents=True)
    (folder / "log").write_text("a\n")
    pages = itertools.chain([[EVENT]], itertools.repeat([]))
    with serving(home, {"GET /events": lambda _: {"events": next(pages)}}):
        command = [sys.executable, "-m", "fairlead", what, "--follow"]
        environment = {**os.environ, "FAIRLEAD_HOME": home.home}
        with ended_at_last(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            # Though nothing happens that it could write.
            assert process.wait(20) == 141


@contextmanager
def a_balancer(*instances: str) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that names its instances in turn to who has the token; its URL, and the paths it was asked."""
    turn, asked = itertools.cycle(instances), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            self.send_response(200)
            if self.headers["X-Fairlead-Check"] == "secret":
                self.send_header("X-Fairlead-Instance", next(turn))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def facts(url: str, requests: int, *instances: str) -> dict:
    listener = {"url": url, "service": "web", "path": "/health", "host": "shop.example", "codes": "200"}
    return {
        "stack": "shop",
        "token": "secret",
        "requests": requests,
        "listeners": [{**listener, "desired": len(instances), "instances": list(instances)}],
    }


def listening_at(*urls: str) -> dict:
    """The status of a stack whose only service is behind the first of them."""
    return status_of({**a_stack("shop"), "listeners": [{"url": url, "protocol": "HTTP"} for url in urls]})


@pytest.mark.live
def test_check_counts_100_requests_by_instance(fairlead: Fairlead, home: Layout) -> None:
    with a_balancer("web-1", "web-2") as (url, asked):
        described = iter([facts(url, 5, "web-1", "web-2"), facts(url, 105, "web-1", "web-2")])
        answers = {"GET /status": listening_at(url), "GET /stacks/shop/check": lambda _: next(described)}
        with serving(home, answers):
            shown = fairlead("check")
    assert shown.status == 0, shown.out
    assert asked == ["shop.example/health"] * 100
    lines = shown.out.splitlines()
    assert lines[0] == f"{url} -> web: 100 requests"
    assert [line.split() for line in lines[1:3]] == [["web-1", "50"], ["web-2", "50"]]
    assert lines[3].startswith("holds")


@pytest.mark.live
def test_check_exits_1_with_the_reason_when_it_does_not_hold(fairlead: Fairlead, home: Layout) -> None:
    with a_balancer("web-1", "web-1", "web-2") as (url, _):
        described = iter([facts(url, 0, "web-1", "web-2"), facts(url, 90, "web-1", "web-2")])
        answers = {"GET /status": listening_at(url), "GET /stacks/shop/check": lambda _: next(described)}
        with serving(home, answers):
            shown = fairlead("check", "--requests", "90", "--json")
    assert shown.status == 1
    answer = json.loads(shown.out)
    assert answer["holds"] is False
    assert answer["listeners"][0]["reasons"] == [
        "web-1 answered 60 of 90 requests, not 45",
        "web-2 answered 30 of 90 requests, not 45",
    ]


@pytest.mark.live
def test_check_asks_a_listener_without_a_service_once_and_names_who_was_not_asked(
    fairlead: Fairlead, home: Layout
) -> None:
    nobody = {"stack": "shop", "token": "secret", "requests": 5, "listeners": []}
    with a_balancer("web-1") as (url, asked):
        answers = {"GET /status": listening_at(url), "GET /stacks/shop/check": nobody}
        with serving(home, answers):
            shown = fairlead("check")
    assert shown.status == 0, shown.out
    assert [line.split()[0] for line in asked] == [f"{url.removeprefix('http://')}/"]
    assert shown.out.splitlines()[0] == f"{url}: 1 request, answered 200"
    assert shown.err == "not asked: web; no request of HTTP/1.1 for the path of its health check goes to it alone\n"


def test_check_with_nothing_running_says_so(fairlead: Fairlead) -> None:
    shown = fairlead("check")
    assert shown.status == 1
    assert "nothing runs" in shown.err


@pytest.mark.live
@pytest.mark.parametrize("arguments", [["--home", "{home}", "daemon"], ["daemon", "--home", "{home}"], ["daemon"]])
def test_the_daemon_can_be_told_from_its_process(home: Layout, arguments: list[str]) -> None:
    # A sitecustomize in its path stands where `fairlead.wiring` will be imported, and shows what the process became.
    spy = Path(home.home, "spy")
    spy.mkdir()
    spy.joinpath("sitecustomize.py").write_text(
        "import sys, types\n"
        "wiring = types.ModuleType('fairlead.wiring')\n"
        "def run_daemon(home, **_):\n"
        "    print(home)\n"
        "    print(open('/proc/self/cmdline').read().replace(chr(0), ' '))\n"
        "    print('FAIRLEAD_HOME=' + home in open('/proc/self/environ').read().split(chr(0)))\n"
        "    return 3\n"
        "wiring.run_daemon = run_daemon\n"
        "sys.modules['fairlead.wiring'] = wiring\n"
    )
    named = any("{home}" in argument for argument in arguments)
    environment = {**os.environ, "PYTHONPATH": str(spy), "FAIRLEAD_HOME": "/elsewhere" if named else home.home}
    command = [sys.executable, "-m", "fairlead", *(argument.format(home=home.home) for argument in arguments)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert shown.returncode == 3, shown.stderr
    became, line, marked = shown.stdout.splitlines()
    assert became == home.home
    assert "fairlead daemon" in line
    assert marked == "True"
