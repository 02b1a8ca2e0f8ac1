"""The API as its clients meet it: a real server on a Unix socket, over a scripted supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable

import pytest

from fairlead.api.client import Client
from fairlead.api.wire import Exchange
from fairlead.api.work import LongWork
from fairlead.errors import (
    BuildError,
    CertificateError,
    DaemonUnavailable,
    DeploymentFailed,
    FairleadError,
    NotFound,
    PortInUse,
    SpecError,
    UsageError,
)
from tests.api.homes import Facts, a_daemon

pytestmark = pytest.mark.live


def raw(path: str, method: str, target: str, body: bytes = b"") -> tuple[int, dict]:
    exchange = Exchange(path, 5)
    status = exchange.ask(method, target, body)
    answer = json.loads(exchange.read())
    exchange.close()
    return status, answer


async def test_the_socket_is_only_the_owners_and_gone_after_stop() -> None:
    async with a_daemon() as daemon:
        assert stat.S_IMODE(os.stat(daemon.path).st_mode) == 0o600
        version = await daemon.ask(lambda client: client.version())
        assert version["pid"] == os.getpid()
    assert not os.path.exists(daemon.path)


async def test_a_socket_left_by_a_dead_daemon_is_replaced() -> None:
    async with a_daemon() as daemon:
        await daemon.server.stop()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(daemon.path)
        await daemon.server.stop()
        again = type(daemon.server)(daemon.supervisor, Facts(), daemon.path, on_shutdown=lambda: None)
        await again.start()
        assert (await daemon.ask(lambda client: client.version()))["version"]
        await again.stop()


async def test_the_server_leaves_the_daemons_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with a_daemon():
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_status_passes_names_that_are_no_utf8() -> None:
    async with a_daemon() as daemon:
        status = await daemon.ask(lambda client: client.status())
    assert status["stacks"][0]["name"] == "shop\udcff"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no stack"), 404),
        (UsageError("impossible"), 400),
        (SpecError("2 problems", ("a", "b")), 400),
        (PortInUse("port 80 is taken", "by nginx"), 409),
        (CertificateError("listener 8443 has no certificate that can be used", "/a.pem expired"), 409),
        (DeploymentFailed("given up"), 409),
        (BuildError("no python"), 500),
    ],
)
async def test_an_error_keeps_its_class_and_fields_and_gets_its_status(error: FairleadError, status: int) -> None:
    async with a_daemon() as daemon:
        daemon.supervisor.fail = error
        assert await daemon.ask(lambda _: raw(daemon.path, "GET", "/status")) == (status, {"error": error.to_json()})
        with pytest.raises(type(error)) as seen:
            await daemon.ask(lambda client: client.status())
    assert seen.value.to_json() == error.to_json()


async def test_a_fault_of_fairlead_is_an_error_too_and_the_daemon_lives() -> None:
    async with a_daemon() as daemon:
        daemon.supervisor.fail = ZeroDivisionError("oops")
        with pytest.raises(FairleadError, match="the daemon failed: ZeroDivisionError: oops"):
            await daemon.ask(lambda client: client.status())
        with pytest.raises(FairleadError, match="the daemon failed: ZeroDivisionError: oops"):
            await daemon.ask(lambda client: list(client.down("shop")))
        assert await daemon.ask(lambda client: client.version())


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "says"),
    [
        ("POST", "/stacks", b"{", 400, "Invalid JSON"),
        ("POST", "/stacks", b'{"path": "fairlead.yaml"}', 400, "absolute"),
        ("POST", "/stacks", b'{"path": "/f", "extra": 1}', 400, "extra"),
        ("POST", "/stacks", b'{"path": "/f", "env": {"A": 1}}', 400, "env: A"),
        ("POST", "/plan", b'{"path": "/f", "who": "me"}', 400, "who"),
        ("POST", "/stacks/shop/scale", b'{"service": "web", "desired": -1}', 400, "desired"),
        ("POST", "/stacks/shop/scale", b'{"service": "web", "desired": "2"}', 400, "desired"),
        ("POST", "/stacks/shop/scale", b'{"service": "web"}', 400, "one of desired, minimum and maximum"),
        ("POST", "/stacks/shop/suspend", b'{"service": "web", "processes": "Launch"}', 400, "processes"),
        ("POST", "/stacks/shop/resume", b'{"processes": []}', 400, "service"),
        ("POST", "/stacks/shop/instances/web-1/standby", b'{"decrement": 1}', 400, "decrement"),
        ("POST", "/stacks/shop/instances/web-1/drain", b'{"froce": true}', 400, "froce"),
        ("POST", "/stacks/shop/instances/web-1/explode", b"", 404, "Not Found"),
        ("POST", "/stacks/shop/instances/web-1/open", b'{"seconds": 0}', 400, "seconds"),
        ("POST", "/stacks/shop/instances/web-1/open", b'{"seconds": NaN}', 400, "seconds"),
        ("POST", "/stacks/shop/instances/web-1/open", b'{"seconds": "60"}', 400, "seconds"),
        ("GET", "/stacks/shop/entry", b"", 400, "name a service or an instance"),
        ("GET", "/stacks/shop/entry?service=web&instance=web-1", b"", 400, "name a service or an instance"),
        ("POST", "/stacks", b" " * (4 * 1024 * 1024 + 1), 400, "bytes"),
        ("GET", "/events?limit=0", b"", 400, "limit"),
        ("GET", "/events?limit=x", b"", 400, "limit"),
        ("GET", "/status?stak=shop", b"", 400, "stak"),
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("GET", "/stacks", b"", 405, "Method Not Allowed"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_in_the_one_shape(
    method: str, target: str, body: bytes, status: int, says: str
) -> None:
    async with a_daemon() as daemon:
        seen, answer = await daemon.ask(lambda _: raw(daemon.path, method, target, body))
    assert seen == status
    assert set(answer["error"]) == {"code", "what", "why", "next", "place", "detail"}
    assert says in answer["error"]["why"]


async def test_a_refused_request_does_not_repeat_its_secrets() -> None:
    async with a_daemon() as daemon:
        body = b'{"path": "/f", "env": {"TOKEN": ["hunter2"]}}'
        _, answer = await daemon.ask(lambda _: raw(daemon.path, "POST", "/stacks", body))
    assert "hunter2" not in json.dumps(answer)


async def test_the_token_of_an_opened_instance_goes_to_who_asked_and_into_no_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_daemon() as daemon:
        opened = await daemon.ask(lambda client: client.open_instance("shop", "web-1", 60))
        daemon.supervisor.fail = ZeroDivisionError("oops")
        with pytest.raises(FairleadError):
            await daemon.ask(lambda client: client.open_instance("shop", "web-1", 60))
    assert (opened["stack"], opened["instance"], "hunter2" in opened["url"]) == ("shop", "web-1", True)
    printed = capfd.readouterr()
    assert "hunter2" not in caplog.text + printed.out + printed.err


async def test_up_streams_progress_and_ends_with_the_result() -> None:
    async with a_daemon() as daemon:
        daemon.supervisor.release.set()
        events = await daemon.ask(lambda client: list(client.up("/f.yaml", "A=1", {"B": "2"}, "pid 7 on pts/1")))
    assert [event["type"] for event in events] == ["progress", "progress", "result"]
    assert events[0] == {"type": "progress", "text": "building", "stack": "", "service": "web", "instance": ""}
    assert events[-1]["urls"] == ["http://127.0.0.1:1"]
    (asked,) = daemon.supervisor.asked
    assert (asked.path, asked.dotenv, asked.env, asked.who) == ("/f.yaml", "A=1", {"B": "2"}, "pid 7 on pts/1")


async def test_a_client_that_leaves_does_not_end_the_work() -> None:
    async with a_daemon() as daemon:

        def start_and_leave(client: Client) -> None:
            stream = client.up("/f.yaml", "", {})
            assert next(stream)["text"] == "building"
            stream.close()  # type: ignore[attr-defined]

        await daemon.ask(start_and_leave)
        assert not daemon.supervisor.finished.is_set()
        daemon.supervisor.release.set()
        await asyncio.wait_for(daemon.supervisor.finished.wait(), 5)


async def test_an_error_in_mid_stream_comes_as_the_exception_it_was() -> None:
    async with a_daemon() as daemon:

        async def cancel_once_it_began() -> None:
            while not daemon.supervisor.asked:
                await asyncio.sleep(0.01)
            answer = await daemon.ask(lambda client: client.cancel("shop", "pid 7"))
            assert answer == {"text": "nothing of shop runs"}
            assert daemon.supervisor.who == "pid 7"

        cancelling = asyncio.create_task(cancel_once_it_began())
        with pytest.raises(DeploymentFailed, match="given up: you asked for it"):
            await daemon.ask(lambda client: list(client.up("/f.yaml", "", {})))
        await cancelling


async def test_stopping_the_server_tells_the_open_streams() -> None:
    async with a_daemon() as daemon:
        reading = asyncio.create_task(daemon.ask(lambda client: list(client.up("/f.yaml", "", {}))))
        while not daemon.supervisor.asked:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(daemon.server.stop(), 5)
        with pytest.raises(DaemonUnavailable, match="the daemon is stopping"):
            await reading


async def test_shutdown_gives_its_result_and_then_the_daemon_may_go() -> None:
    async with a_daemon() as daemon:
        events = await daemon.ask(lambda client: list(client.shutdown()))
        assert daemon.shut_down.is_set()
    assert events == [{"type": "result", "text": "nothing runs"}]


@pytest.mark.parametrize("idle", [True, False])
async def test_a_daemon_that_is_asked_to_leave_does_so_only_when_it_has_nothing_to_do(idle: bool) -> None:
    async with a_daemon() as daemon:
        daemon.supervisor.idle = idle
        assert await daemon.ask(lambda client: client.leave()) is idle
        assert daemon.shut_down.is_set() is idle


async def test_shutdown_goes_on_when_its_client_leaves() -> None:
    async with a_daemon() as daemon:

        def ask_and_leave(_: Client) -> None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(daemon.path)
            connection.sendall(b"POST /shutdown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            connection.close()

        await daemon.ask(ask_and_leave)
        await asyncio.wait_for(daemon.shut_down.wait(), 5)


async def test_an_explanation_is_given_only_to_who_asks() -> None:
    async with a_daemon() as daemon:
        await daemon.ask(lambda client: client.status())
        await daemon.ask(lambda client: client.status("shop", explain=True))
    assert daemon.supervisor.asked == [("status", None, False), ("status", "shop", True)]


async def test_names_are_quoted_on_the_way() -> None:
    async with a_daemon() as daemon:
        assert (await daemon.ask(lambda client: client.check("a b")))["stack"] == "a b"
        await daemon.ask(lambda client: client.events("a&limit=1", 5, 3))
    assert daemon.supervisor.asked == [("a&limit=1", 5, 3)]


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (lambda client: client.plan("/f.yaml", "", {}), None),
        (lambda client: list(client.scale("shop", "web", 3)), ("scale", "shop", "web", 3, None, None)),
        (lambda client: list(client.scale("shop", "web", maximum=9)), ("scale", "shop", "web", None, None, 9)),
        (lambda client: client.suspend("shop", "web", ["Launch"]), ("suspend", "shop", "web", ("Launch",))),
        (lambda client: client.resume("shop", "web", []), ("resume", "shop", "web", ())),
        (lambda client: client.standby("shop", "web-1", decrement=True), ("standby", "shop", "web-1", True)),
        (lambda client: list(client.restart("shop")), ("restart", "shop", None)),
        (lambda client: list(client.restart("shop", "web")), ("restart", "shop", "web")),
        (lambda client: client.drain("shop", "web-1", force=True), ("drain", "shop", "web-1", True)),
        (lambda client: client.give_back("shop", "web-1"), ("give_back", "shop", "web-1")),
        (lambda client: client.protect("shop", "web-1", False), ("protect", "shop", "web-1", False)),
        (lambda client: list(client.terminate("shop", "a b", now=True)), ("terminate", "shop", "a b", True, False)),
        (lambda client: client.open_instance("shop", "web-1", 90), ("open", "shop", "web-1", 90.0)),
        (lambda client: client.close_instance("shop", "web-1"), ("close", "shop", "web-1")),
        (lambda client: client.entry("shop", service="web"), ("entry", "shop", "web", None)),
        (lambda client: client.entry("shop", instance="web-1"), ("entry", "shop", None, "web-1")),
    ],
)
async def test_every_method_of_the_client_reaches_the_supervisor_with_its_words(
    call: Callable[[Client], object], asked: tuple | None
) -> None:
    async with a_daemon() as daemon:
        answer = await daemon.ask(call)
    (seen,) = daemon.supervisor.asked
    assert seen == asked or (asked is None and seen.path == "/f.yaml")
    result = answer[-1] if isinstance(answer, list) else answer
    assert "stack" in result or result["environment"] == {"TOKEN": "t"}


async def test_a_quiet_stream_is_kept_alive_by_empty_lines() -> None:
    work = LongWork(keep_alive=0.01)
    enough = asyncio.Event()

    async def act(progress: object) -> dict:
        await enough.wait()
        return {"text": "done"}

    lines = work.start("slow", act)
    assert [await anext(lines), await anext(lines)] == [b"\n", b"\n"]
    enough.set()
    rest = [line async for line in lines]
    assert json.loads(rest[-1]) == {"type": "result", "text": "done"}
    await work.close()


async def test_a_client_that_never_reads_costs_a_bounded_amount() -> None:
    work = LongWork()

    async def act(progress) -> dict:
        for number in range(5000):
            progress({"text": str(number)})
        return {"text": "done"}

    lines = [json.loads(line) async for line in work.start("loud", act)]
    assert len(lines) == 1001
    assert lines[-1]["type"] == "result"
    await work.close()


def test_no_daemon_is_daemon_unavailable() -> None:
    with pytest.raises(DaemonUnavailable, match="No such file"):
        Client("/nonexistent/api.sock").version()
