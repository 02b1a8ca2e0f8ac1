"""Metrics over the API: series, Prometheus' text, and where else that is answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.api import strangers
from fairlead.api.client import Client
from fairlead.api.exposition import FACT
from fairlead.errors import FairleadError, PortInUse, UsageError
from fairlead.metrics.query import Query
from tests.api.homes import Daemon, Facts, a_daemon
from tests.ports import a_free_port


@contextmanager
def a_taken_port(address: str = "127.0.0.1") -> Iterator[int]:
    with closing(socket.socket()) as taken:
        taken.bind((address, 0))
        taken.listen()
        yield taken.getsockname()[1]


async def put(daemon: Daemon, port: int, **more: object) -> dict[str, object]:
    given = {"address": "127.0.0.1", "hosts": (), **more}
    answer: dict[str, object] = await daemon.ask(lambda client: client.listen_for_prometheus(port=port, **given))
    return answer


def fetch(port: int, host: str, path: str = "/metrics") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()


async def test_a_series_is_asked_for_with_times_of_a_zone() -> None:
    async with a_daemon() as daemon:
        asked = {"service": "web", "since": "2026-11-21T10:00:00+01:00", "period": 60}
        answer = await daemon.ask(lambda client: client.metrics("shop", **asked))
        assert answer == {"stack": "shop", "series": []}
        assert daemon.supervisor.asked == [Query(stack="shop", service="web", since=1795251600.0, period=60)]
        for name, value in (("since", "10:00"), ("period", 0), ("until", "2026-11-21T10:00:00"), ("period", "often")):
            with pytest.raises(UsageError, match=name):
                await daemon.ask(lambda client, name=name, value=value: client.metrics("shop", **{name: value}))


async def test_metrics_are_answered_over_tcp_once_it_is_asked_for_and_by_a_later_daemon_too() -> None:
    facts, port = Facts(), a_free_port()
    async with a_daemon(facts) as daemon:
        assert await daemon.ask(Client.metrics_listener) is None
        answer = await put(daemon, port)
        assert answer["url"] == f"http://127.0.0.1:{port}/metrics"
        status, text = await asyncio.to_thread(fetch, port, f"127.0.0.1:{port}")
        assert (status, text) == (200, 'fairlead_requests_total{stack="shop"} 7\n')
        assert (await asyncio.to_thread(fetch, port, "localhost", "/status"))[0] == 404
    async with a_daemon(facts) as daemon:
        await wait_until(lambda: listens(port), 60.0, "the listener", error=FairleadError)
        await daemon.ask(Client.no_longer_listen_for_prometheus)
        assert not await listens(port)
        assert facts.noted == {}


async def listens(port: int) -> bool:
    try:
        return (await asyncio.to_thread(fetch, port, "localhost"))[0] == 200
    except OSError:
        return False


async def test_a_name_that_nobody_allowed_is_no_way_in() -> None:
    async with a_daemon() as daemon:
        port = a_free_port()
        await put(daemon, port, hosts=["metrics.example.com"])
        found = {
            host: (await asyncio.to_thread(fetch, port, host))[0]
            for host in (
                "evil.example",
                "metrics.example.com",
                "METRICS.example.com:443",
                "[::1]:9",
                "10.0.0.7",
                "localhost:1",
                "a{b.example",
                "127.0.0.1@evil.example",
                "[evil.example",
                "",
            )
        }
        assert found == {
            "evil.example": 403, "metrics.example.com": 200, "METRICS.example.com:443": 200, "[::1]:9": 200,
            "10.0.0.7": 200, "localhost:1": 200,
            # Browsers have names that Starlette cannot read.
            "a{b.example": 403, "127.0.0.1@evil.example": 403, "[evil.example": 403, "": 403,
        }  # fmt: skip


async def test_of_two_hosts_neither_may_be_a_stranger() -> None:
    async with a_daemon() as daemon:
        port = a_free_port()
        await put(daemon, port)
        answer = await asyncio.to_thread(
            said_to, port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 403 ")


def said_to(port: int, said: bytes) -> bytes:
    """All that is answered until the connection ends; b"": it was ended without an answer."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        found = b""
        with suppress(ConnectionError):
            connection.sendall(said)
            while more := connection.recv(65536):
                found += more
        return found


async def test_a_connection_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.api.strangers.LIFE", 0.1)
    async with a_daemon() as daemon:
        port = a_free_port()
        await put(daemon, port)
        assert await asyncio.to_thread(said_to, port, b"") == b""
        assert await asyncio.to_thread(said_to, port, b"GET /metrics HTTP/1.1\r\nX:") == b""


async def test_a_head_without_an_end_is_not_kept() -> None:
    async with a_daemon() as daemon:
        port = a_free_port()
        await put(daemon, port)
        head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * strangers.MOST_BYTES
        assert await asyncio.to_thread(said_to, port, head) == b""


async def test_of_many_connections_the_oldest_ends_and_others_are_answered() -> None:
    async with a_daemon() as daemon:
        port = a_free_port()
        await put(daemon, port)
        with ExitStack() as held:
            first, *others = [
                held.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=10)))
                for _ in range(strangers.MOST_OPEN)
            ]
            assert (await asyncio.to_thread(fetch, port, "localhost"))[0] == 200
            with suppress(ConnectionError):
                assert await asyncio.to_thread(first.recv, 1) == b""
            others[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await asyncio.to_thread(others[-1].recv, 65536)).startswith(b"HTTP/1.1 200 ")


async def test_an_address_that_others_reach_is_refused() -> None:
    async with a_daemon() as daemon:
        for address in ("0.0.0.0", "::", "192.0.2.1"):
            with pytest.raises(UsageError, match="other machines reach it"):
                await put(daemon, 9464, address=address)


async def test_a_taken_port_is_told_and_the_one_before_goes_on() -> None:
    facts, port = Facts(), a_free_port()
    async with a_daemon(facts) as daemon:
        await put(daemon, port)
        with a_taken_port() as taken, pytest.raises(PortInUse, match=f"127.0.0.1 port {taken}"):
            await put(daemon, taken)
        assert await listens(port)
        assert json.loads(facts.noted[FACT])["port"] == port


async def test_a_daemon_that_finds_its_port_taken_says_so_once_and_gets_it_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fairlead.api.exposition.PACE", 0.02)
    facts = Facts()
    with a_taken_port() as port:
        facts.note(FACT, json.dumps({"address": "127.0.0.1", "port": port, "hosts": []}))
        daemons = a_daemon(facts)
        daemon = await daemons.__aenter__()
        await wait_until(lambda: told(daemon), 60.0, "the problem", error=FairleadError)
    try:
        await wait_until(lambda: listens(port), 60.0, "the listener", error=FairleadError)
        assert len(daemon.supervisor.told.events) == 1
        assert "it is tried again" in daemon.supervisor.told.events[0]
    finally:
        await daemons.__aexit__(None, None, None)


async def told(daemon: Daemon) -> bool:
    return bool(daemon.supervisor.told.events)


async def test_what_was_noted_and_is_damaged_counts_as_nothing() -> None:
    facts = Facts()
    facts.note(FACT, '{"port": "many"}')
    async with a_daemon(facts) as daemon:
        assert await daemon.ask(Client.metrics_listener) is None


async def test_the_text_is_there_on_the_daemons_own_socket() -> None:
    async with a_daemon() as daemon:
        assert await daemon.ask(Client.prometheus) == 'fairlead_requests_total{stack="shop"} 7\n'
