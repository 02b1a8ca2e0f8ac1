"""`fairlead drill capacity` against a scripted daemon and an instance that answers on a port of its own."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fairlead.core.layout import Layout
from fairlead.errors import FairleadError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Scripted, a_stack, an_instance, serving, status_of

TOKEN = "a-secret-token"
QUICKLY = ("drill", "capacity", "--for", "2s", "--max-rate", "100", "--latency", "1s")


class Instance(BaseHTTPRequestHandler):
    """Answers well whoever has the token."""

    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        known = self.headers.get("X-Fairlead-Open") == TOKEN
        self.send_response(200 if known and self.path == "/" else 404 if known else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def an_open_instance() -> Iterator[str]:
    """Its URL, with the token."""
    server = Server(("127.0.0.1", 0), Instance)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/?fairlead-open={TOKEN}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measured(_: Any) -> dict[str, Any]:
    """Metrics that reach beyond now."""
    start = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) - 8, UTC).isoformat()
    requests = {"name": "RequestCount", "statistic": "Sum", "values": [0] * 10}
    cpu = {"name": "CPUUtilization", "statistic": "Average", "values": [20.0] * 10}
    return {
        "start": start, "period": 1,
        "series": [
            {"service": "web", "zone": None, "target": None, "metrics": [requests]},
            {"service": "web", "zone": "a", "target": "web-1", "metrics": [cpu]},
        ],
    }  # fmt: skip


def a_group(**changes: Any) -> dict[str, Any]:
    """A stack whose service has scaling policies."""
    stack = a_stack("shop", (an_instance(),))
    stack["services"][0] |= {
        "resources": {"cpu": 0.5, "memory": None}, "scaling": {"policies": [{"metric": "cpu", "kind": "target", "level": 80.0}]}, "suspended": [],
    } | changes  # fmt: skip
    return stack


def answers(url: str, **more: Any) -> dict[str, Any]:
    done = {"stack": "shop", "instance": "web-1", "service": "web", "suspended": [], "text": "done"}
    return {
        "GET /status": status_of(a_group()),
        "POST /stacks/shop/instances/web-1/open": {**done, "url": url, "port": 1, "until": "2026-11-21T11:00:00Z"},
        "POST /stacks/shop/instances/web-1/close": done,
        "POST /stacks/shop/suspend": done, "POST /stacks/shop/resume": done,
        "GET /stacks/shop/metrics": measured, "GET /events": {"events": []},
        **more,
    }  # fmt: skip


def changes(daemon: Scripted) -> list[str]:
    return [line.rpartition("/")[2] for line in daemon.paths_asked() if line.startswith("POST")]


def test_a_table_and_the_verdict_are_printed_and_everything_is_put_back(fairlead: Fairlead, home: Layout) -> None:
    with an_open_instance() as url, serving(home, answers(url)) as daemon:
        shown = fairlead(*QUICKLY)
    heading, *rows = shown.out.splitlines()
    assert heading.split() == ["OFFERED", "ANSWERED", "SECONDS", "P50", "P95", "P99", "FAILED", "CPU"]
    assert rows[0].split()[1].endswith("/s")
    assert "one instance of web" in shown.out or "no rate was found" in shown.out
    assert "web-1 of stack shop gets GET / for about 2 s; Ctrl-C ends it" in shown.err
    assert "100/s for" in shown.err
    assert changes(daemon) == ["suspend", "open", "close", "resume"]
    assert [request.body for request in daemon.asked if request.path.endswith(("suspend", "resume"))] == [
        {"service": "web", "processes": ["AlarmNotification"]}
    ] * 2
    assert TOKEN not in shown.out + shown.err


def test_json_is_the_document_and_the_verdict_goes_to_stderr(fairlead: Fairlead, home: Layout) -> None:
    with an_open_instance() as url, serving(home, answers(url)):
        shown = fairlead(*QUICKLY, "--json")
    document = json.loads(shown.out)
    assert (document["stack"], document["service"], document["instance"]) == ("shop", "web", "web-1")
    assert document["latency_limit"] == 1.0
    assert document["cpu_reserved"] == 0.5
    assert document["steps"][0]["rate"] == 100
    assert "one alone takes" in shown.err or "no rate was found" in shown.err
    assert TOKEN not in shown.out + shown.err


@pytest.mark.parametrize("suspended", [["AlarmNotification"], ["Launch", "AlarmNotification"]])
def test_policies_that_were_suspended_before_stay_so(fairlead: Fairlead, home: Layout, suspended: list[str]) -> None:
    stack = status_of(a_group(suspended=suspended))
    with an_open_instance() as url, serving(home, answers(url, **{"GET /status": stack})) as daemon:
        fairlead(*QUICKLY)
    assert changes(daemon) == ["open", "close"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_prints_what_was_found_until_then_and_puts_everything_back(
    fairlead: Fairlead, home: Layout, number: signal.Signals
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # it may be ignored, as under nohup

    def looked_at(_: Any) -> dict[str, Any]:
        # The second look comes after the first step.
        if sum(request.path == "/status" for request in daemon.asked) > 2:
            os.kill(os.getpid(), number)
        return status_of(a_group())

    try:
        with an_open_instance() as url, serving(home, answers(url, **{"GET /status": looked_at})) as daemon:
            shown = fairlead("drill", "capacity", "--for", "60s", "--max-rate", "400", "--latency", "1s", "--json")
    finally:
        signal.signal(number, before)
    assert shown.status == 130
    assert "stopping; what was changed is put back" in shown.err
    assert len(json.loads(shown.out)["steps"]) == 1
    assert changes(daemon) == ["suspend", "open", "close", "resume"]


def test_an_instance_that_cannot_be_opened_is_said_and_the_policies_act_again(fairlead: Fairlead, home: Layout) -> None:
    refused = Refuse(FairleadError("web-1 could not be opened", "HAProxy is away"), 500)
    with serving(home, answers("", **{"POST /stacks/shop/instances/web-1/open": refused})) as daemon:
        shown = fairlead(*QUICKLY)
    assert (shown.status, shown.out) == (1, "")
    assert "error: web-1 could not be opened: HAProxy is away" in shown.err
    assert changes(daemon) == ["suspend", "open", "close", "resume"]


def test_a_path_that_is_not_there_is_no_measure(fairlead: Fairlead, home: Layout) -> None:
    with an_open_instance() as url, serving(home, answers(url)) as daemon:
        shown = fairlead(*QUICKLY, "--path", "/nosuch")
    assert shown.status == 2
    assert "error: web-1 answered 404 to GET /nosuch" in shown.err
    assert changes(daemon)[-2:] == ["close", "resume"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--for", "1s"), "--for '1s' is not possible: it can take 2s to 10m"),
        (("--for", "1h"), "--for '1h' is not possible"),
        (("--for", "soon"), "--for 'soon' is no length of time"),
        (("--latency", "0ms"), "--latency '0ms' is not possible: from 1ms to 10s"),
        (("--latency", "11s"), "--latency '11s' is not possible"),
        (("--latency", "fast"), "--latency 'fast' is no length of time"),
        (("--path", "api"), "--path 'api' is no path"),
        (("--path", "/a b"), "--path '/a b' is no path"),
        (("--path", "/a\r\nX: 1"), "is no path"),
        (("--path", "/ä"), "is no path"),
        (("--max-rate", "0"), "--max-rate"),
        (("--max-rate", "nan"), "--max-rate"),
        (("--connections", "0"), "--connections"),
        (("nosuch",), "there is no service 'nosuch': stack 'shop' has web"),
        (("--instance", "web-9"), "there is no instance 'web-9'"),
        (("--stack", "nosuch"), "there is no stack 'nosuch'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    fairlead: Fairlead, home: Layout, options: tuple[str, ...], said: str
) -> None:
    with serving(home, answers("")) as daemon:
        shown = fairlead("drill", "capacity", *options)
    assert (shown.status, shown.out) == (2, "")
    assert said in shown.err
    assert changes(daemon) == []
