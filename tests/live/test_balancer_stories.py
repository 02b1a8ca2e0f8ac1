"""What an Application Load Balancer does, lived through: connections that are long, rules and certificates that change,
targets that ramp, stick, are somebody else's, or are looked at alone. As root; who runs it matters to none of them."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from fairlead.drill.load import Load
from fairlead.drill.tls import trusting

from ..conformance.client import Answer, Client, ask
from ..conformance.http2 import GRPC, Http2Client, http2_context
from ..haproxy.h2apps import H2App
from .askers import Askers
from .house import House
from .pace import RATE, nothing_lost, settle
from .websockets import WebSocket, open_many

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

NAMES_ITSELF = """
import os

async def app(scope, receive, send):
    name = os.environ["FAIRLEAD_INSTANCE"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": name})
        return
    length = str(len(name)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": name.encode()})
"""
"""Answers every request and every message with the instance's name."""

SLOW_TO_START = "import time\ntime.sleep(1)\n" + NAMES_ITSELF

SERVICE = """
import os

def app(environ, start_response):
    name = os.environ["FAIRLEAD_SERVICE"].encode()
    start_response("200 OK", [("Content-Length", str(len(name)))])
    return [name]
"""

STREAM = """
import asyncio

async def app(scope, receive, send):
    if scope["path"] != "/events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(10):
        await send({"type": "http.response.body", "body": b"data: %d\\n\\n" % number, "more_body": True})
        await asyncio.sleep(0.3)
    await send({"type": "http.response.body", "body": b""})
"""

MOODY = """
import os
from pathlib import Path

def app(environ, start_response):
    name = os.environ["FAIRLEAD_INSTANCE"]
    sick = environ["PATH_INFO"] == "/health" and Path("{folder}", "sick." + name).exists()
    cookies = environ.get("HTTP_COOKIE", "") + environ.get("HTTP_X_FAIRLEAD_OPEN", "")
    body = f"{{name}} {{environ['PATH_INFO']}} {{cookies}}".encode()
    start_response("500 Sick" if sick else "200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
"""Says who it is, where it was asked, and what it learnt of a token; unhealthy while there is a file for it."""

DELAY = 6.0
"""Seconds that a draining target may finish."""


async def asks(port: int, path: str = "/", *headers: tuple[str, str], tls: ssl.SSLContext | None = None) -> Answer:
    """One request on a connection of its own."""
    return await asyncio.to_thread(ask, port, path, headers, host="localhost", tls=tls)


def load_on(house: House, stack: str) -> Load:
    return Load(house.url(stack), rate=RATE, connections="keep_alive")


def health_of(house: House, stack: str, instance: str) -> str:
    return next((str(one["health"]) for one in house.instances(stack) if one["id"] == instance), "gone")


# Long connections


Sockets = dict[str, list[WebSocket]]
"""By the instance at the other end."""


async def by_instance(sockets: list[WebSocket]) -> Sockets:
    """Who answers on each of them; "" for one that does not answer any more."""
    found: Sockets = {}
    for one, name in zip(sockets, await asyncio.gather(*(one.asks("who?") for one in sockets)), strict=True):
        found.setdefault(name or "", []).append(one)
    return found


async def go_on(there: Sockets, *names: str) -> None:
    """All those of the named instances still answer, and from where they did."""
    for name in names:
        now = await by_instance(there[name])
        assert set(now) == {name}, f"{name}: { ({other: len(found) for other, found in now.items()}) }"


async def closed_after_the_delay(there: Sockets, leaving: str, began: float, *staying: str) -> None:
    """Those of `leaving` go on until the delay is over, and are closed then; the others notice nothing."""
    while time.monotonic() - began < DELAY / 2:
        await go_on(there, leaving, *staying)
        await asyncio.sleep(0.5)
    ended = await asyncio.gather(*(one.ends(DELAY + 20) for one in there[leaving]))
    assert all(ended), f"{ended.count(False)} of {len(ended)} of {leaving} were never closed"
    assert time.monotonic() - began > DELAY - 1, "closed before the delay was over"
    await go_on(there, *staying)


async def test_of_a_thousand_websockets_only_those_of_a_target_that_leaves_are_closed_after_its_delay(
    root_house: House,
) -> None:
    house = root_house
    settings = f"target_group: {{deregistration_delay: {DELAY:g}s}}"
    folder = house.a_stack("sockets", app=NAMES_ITSELF, settings=settings, instances=3)
    await house.do("up", str(folder))
    port, every = house.port("sockets"), ("web-1", "web-2", "web-3")
    sockets = await open_many(port, 1000)
    try:
        async with load_on(house, "sockets") as load:
            there = await by_instance(sockets)
            assert {name: len(found) for name, found in there.items()} == {
                name: pytest.approx(333, abs=3) for name in every
            }
            began = time.monotonic()
            await house.do("instance", "drain", "web-1", "--stack", "sockets")
            sockets += (more := await open_many(port, 20))
            assert set(await by_instance(more)) == {"web-2", "web-3"}, "a new one went to the drained target"
            await closed_after_the_delay(there, "web-1", began, "web-2", "web-3")
            await house.until(
                "it to stay, out of the load balancer", lambda: health_of(house, "sockets", "web-1") == "unused"
            )

            began, scaling = time.monotonic(), asyncio.create_task(house.do("scale", "web", "1", "--stack", "sockets"))
            await house.until("one to leave", lambda: len(house.healthy("sockets")) == 1)
            [staying] = [one["id"] for one in house.healthy("sockets")]
            [leaving] = {"web-2", "web-3"} - {staying}
            sockets += (more := await open_many(port, 20))
            assert set(await by_instance(more)) == {staying}, "a new one went to a target that leaves"
            await closed_after_the_delay(there, leaving, began, staying)
            await scaling
        nothing_lost(load, house)
    finally:
        for one in sockets:
            one.close()
    house.run("down", "sockets")


async def test_a_stream_of_events_arrives_as_it_is_sent_across_a_reload_and_a_deployment(root_house: House) -> None:
    house = root_house
    folder = house.a_stack("stream", app=STREAM)
    await house.do("up", str(folder))
    async with load_on(house, "stream") as load:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port("stream"))
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        async def arrivals() -> list[tuple[float, bytes]]:
            began = time.monotonic()
            return [(time.monotonic() - began, line) async for line in reader if line.startswith(b"data: ")]

        listening = asyncio.create_task(arrivals())
        await settle(load)
        port = house.port("stream")
        house.edit(folder, f"port: {port},", f"port: {port}, rules: [{{when: {{path: /x}}, forward: web}}],")
        await house.do("up", str(folder))
        house.edit(folder, "import asyncio", "import asyncio  # again", "app.py")
        await house.do("up", str(folder))
        events = await listening
        writer.close()
    assert [line.strip() for _, line in events] == [b"data: %d" % number for number in range(10)], house.evidence()
    # Sent every 0.3 s; what a balancer keeps back comes all at once.
    assert events[-1][0] - events[0][0] > 2.0, events
    nothing_lost(load, house)
    house.run("down", "stream")


# Rules and certificates


def fifty_rules(colour: str) -> list[dict[str, Any]]:
    """Of two kinds, in two orders: to the service of that colour, or answered with it."""
    rules: list[dict[str, Any]] = [
        {"when": {"path": f"/p{number}"}, "forward": colour}
        if number % 2
        else {
            "when": {"path": [f"/p{number}", f"/q{number}/*"], "method": "GET", "host": "local*"},
            "respond": {"status": 200, "body": f"{colour} {number}"},
        }
        for number in range(50)
    ]
    return rules if colour == "blue" else rules[::-1]


def says(colour: str, path: str) -> str:
    """What the fifty rules of that colour answer."""
    number = int(path.removeprefix("/p"))
    return colour if number % 2 else f"{colour} {number}"


async def test_fifty_rules_changed_twenty_times_lose_nothing_and_are_never_mixed(root_house: House) -> None:
    house = root_house
    folder = house.a_stack("rules", app=SERVICE)
    port = house.port("rules")
    service = {"app": "app:app"}

    def write(colour: str) -> None:
        none = {"respond": {"status": 500, "body": "no rule took it"}}
        # Every service needs a way to it.
        other = {"when": {"path": "/other"}, "forward": {"blue": "green", "green": "blue"}[colour]}
        listener = {"port": port, "rules": [*fifty_rules(colour), other], "default": none}
        stack = {"name": "rules", "services": {"blue": service, "green": service}}
        house.write(folder / "fairlead.yaml", json.dumps(stack | {"load_balancer": {"listeners": [listener]}}))

    write("blue")
    await house.do("up", str(folder))
    async with Askers(port, lambda number: f"/p{number % 50}") as askers:
        await askers.settle()
        for turn in range(20):
            colour = ("green", "blue")[turn % 2]
            write(colour)
            await house.do("up", str(folder))
            for path in ("/p0", "/p49"):
                assert (await asks(port, path)).text == says(colour, path), f"after turn {turn}"
        await askers.settle()
    assert not askers.lost(), f"{len(askers.lost())} lost: {askers.lost()[:5]}\n{house.evidence()}"
    wrong = [one for one in askers.asked if one.text not in (says("blue", one.path), says("green", one.path))]
    assert not wrong, f"{len(wrong)} answered by no rule set: {wrong[:5]}"
    assert len(askers.asked) > 5 * RATE / 2, "the load was not there"
    house.run("down", "rules")


def certificate_into(folder: Path, house: House, authority: trustme.CA) -> int:
    """Write a new one, its key first; its serial number."""
    from cryptography import x509

    made = authority.issue_cert("localhost", "127.0.0.1")
    house.write(folder / "web.key", made.private_key_pem.bytes().decode())
    chain = b"".join(one.bytes() for one in made.cert_chain_pems)
    house.write(folder / "web.pem", chain.decode())
    return x509.load_pem_x509_certificate(chain).serial_number


def https_stack(house: House, name: str, services: dict[str, Any], rules: list[dict[str, Any]]) -> tuple[Path, Any]:
    """A stack behind one HTTPS listener, which forwards to the first service, and what a client of it trusts."""
    authority = trustme.CA()
    folder = house.a_stack(name, app=NAMES_ITSELF)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    certificate_into(folder, house, authority)
    listener = {
        "port": house.port(name),
        "protocol": "HTTPS",
        "certificates": [{"file": "web.pem", "key": "web.key"}],
        "rules": rules,
        "default": {"forward": next(iter(services))},
    }
    stack = {"name": name, "services": services, "load_balancer": {"listeners": [listener]}}
    house.write(folder / "fairlead.yaml", json.dumps(stack))
    return folder, authority


def serial_shown(port: int, tls: ssl.SSLContext) -> int:
    with Client(port, tls=tls) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        shown = client.socket.getpeercert()
        assert shown
        return int(str(shown["serialNumber"]), 16)


def problems_shown(house: House, stack: str) -> list[str]:
    """What `fairlead status` says is wrong with the stack's certificates."""
    [found] = [one for one in house.status()["stacks"] if one["name"] == stack]
    return [one["problem"] for listener in found["listeners"] for one in listener["certificates"] if one["problem"]]


async def test_a_certificate_that_changes_under_load_is_shown_and_loses_nothing(root_house: House) -> None:
    house = root_house
    folder, authority = https_stack(house, "secure", {"web": {"app": "app:app", "instances": 2}}, [])
    await house.do("up", str(folder))
    port = house.port("secure")
    tls = trusting(str(folder / "authority.pem"))
    url = f"https://127.0.0.1:{port}/"
    before = house.balancer_pid()
    kept = Load(url, rate=RATE / 2, connections="keep_alive", tls=tls, server_name="localhost")
    new = Load(url, rate=RATE / 4, connections="new", tls=tls, server_name="localhost")
    async with kept, new:
        await settle(kept)
        for _ in range(3):
            serial = certificate_into(folder, house, authority)
            await house.until("it to be shown", lambda serial=serial: serial_shown(port, tls) == serial)
        # One that does not fit its key is not taken over; the one before it goes on.
        (folder / "web.key").write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
        told = await house.until("the misfit to be told", lambda: problems_shown(house, "secure"))
        assert "web.key" in told[0] or "web.pem" in told[0], told
        await settle(kept, 1.0)
        assert serial_shown(port, tls) == serial
    for load in (kept, new):
        report = load.report()
        assert report.lost == 0, f"{report}\n{house.evidence()}"
        assert report.sent > RATE / 4, f"the load was not there: {report}"
    assert house.balancer_pid() == before, "a certificate takes no reload"
    house.run("down", "secure")


# Target groups


async def test_an_instance_that_a_deployment_brought_ramps_and_then_has_its_whole_share(root_house: House) -> None:
    house = root_house
    settings = """
        target_group: {slow_start: 4s}
        deploy: {max_healthy: 125%}
    """
    folder = house.a_stack("ramp", app=SLOW_TO_START, settings=settings, instances=4)
    await house.do("up", str(folder))
    async with Askers(house.port("ramp")) as askers:
        await askers.settle()
        house.edit(folder, "import os", "import os  # again", "app.py")
        await house.do("up", str(folder))
        deployed = askers.now
        await askers.settle(6.5)  # more than the ramp and two seconds
        ended = askers.now
    assert not askers.lost(), f"{askers.lost()[:5]}\n{house.evidence()}"
    first = next(one for one in askers.asked if one.text == "web-5").at

    def shares(begin: float, end: float) -> Counter[str]:
        return Counter(one.text for one in askers.asked if begin <= one.at < end)

    # While it is the only new one: the others have been there all the time.
    early = shares(first, first + 1.0)
    others = [count for name, count in early.items() if name in ("web-2", "web-3", "web-4")]
    assert early["web-5"] < 0.5 * min(others), f"no ramp: {early}"
    whole = shares(ended - 2, ended)
    assert ended - 2 > deployed + 4, "the ramps are over"
    assert set(whole) == {"web-5", "web-6", "web-7", "web-8"}
    assert max(whole.values()) - min(whole.values()) <= 0.2 * RATE / 2, f"not their whole share: {whole}"
    house.run("down", "ramp")


async def test_a_sticky_client_stays_while_its_target_does_and_sees_no_error_when_it_goes(root_house: House) -> None:
    house = root_house
    settings = "target_group: {stickiness: {type: lb_cookie, duration: 1h}}"
    folder = house.a_stack("sticky", app=NAMES_ITSELF, settings=settings, instances=3)
    await house.do("up", str(folder))
    port = house.port("sticky")
    over = asyncio.Event()

    async def client() -> list[tuple[int, str]]:
        cookies: dict[str, str] = {}
        said = []
        while not over.is_set():
            jar = "; ".join(f"{name}={value}" for name, value in cookies.items())
            answer = await asks(port, "/", *([("Cookie", jar)] if jar else []))
            cookies |= answer.cookies
            said.append((answer.status, answer.text))
            await asyncio.sleep(0.02)
        return said

    async with load_on(house, "sticky") as load:
        clients = [asyncio.create_task(client()) for _ in range(4)]
        await settle(load, 1.0)
        house.edit(folder, "import os", "import os  # again", "app.py")
        await house.do("up", str(folder))
        await settle(load, 1.0)
        over.set()
        told = await asyncio.gather(*clients)
    nothing_lost(load, house)
    for said in told:
        assert {status for status, _ in said} == {200}, Counter(said)
        visits = [name for index, (_, name) in enumerate(said) if index == 0 or said[index - 1][1] != name]
        assert len(visits) > 1, "its target went"
        assert len(visits) == len(set(visits)), f"it came back to one that it had left: {visits}"
        assert visits[0] in ("web-1", "web-2", "web-3")
        assert visits[-1] in ("web-4", "web-5", "web-6"), visits
        assert len(said) > 20
    house.run("down", "sticky")


class Foreign:
    """A server that fairlead does not run."""

    def __init__(self, port: int = 0) -> None:
        seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if not self.headers["User-Agent"]:
                    seen.append({name.lower(): value for name, value in self.headers.items()})
                body = b"foreign"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                pass

        self.seen, self._server = seen, Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


async def test_targets_are_routed_beside_instances_watched_and_never_started_or_stopped(root_house: House) -> None:
    house = root_house
    foreign = Foreign()
    try:
        folder = house.a_stack("beside", app=NAMES_ITSELF)
        port = house.port("beside")
        check = {"interval": "1s", "timeout": "1s"}

        def write(*addresses: str) -> None:
            services = {
                "web": {"app": "app:app"},
                "legacy": {"targets": list(addresses), "health_check": check},
            }
            rules = [
                {"when": {"path": "/legacy/*"}, "forward": "legacy"},
                {"when": {"path": "/both"}, "forward": {"web": 50, "legacy": 50}},
            ]
            listener = {"port": port, "rules": rules, "default": {"forward": "web"}}
            stack = {"name": "beside", "services": services, "load_balancer": {"listeners": [listener]}}
            house.write(folder / "fairlead.yaml", json.dumps(stack))

        def health() -> dict[str, str]:
            [stack] = [one for one in house.status()["stacks"] if one["name"] == "beside"]
            [service] = [one for one in stack["services"] if one["name"] == "legacy"]
            return {one["id"]: one["health"] for one in service["instances"]}

        write(f"127.0.0.1:{foreign.port}")
        await house.do("up", str(folder))
        assert health() == {"legacy-1": "healthy"}
        assert (await asks(port, "/legacy/x")).text == "foreign"
        assert foreign.seen[-1]["x-forwarded-for"] == "127.0.0.1"
        assert foreign.seen[-1]["x-forwarded-port"] == str(port)
        assert (await asks(port, "/")).text == "web-1"
        both = Counter([(await asks(port, "/both")).text for _ in range(40)])
        assert set(both) == {"web-1", "foreign"}, both

        # It goes, and nobody starts it; it comes back, and is used.
        foreign.close()
        await house.until("it to be unhealthy", lambda: health() == {"legacy-1": "unhealthy"})
        assert (await asks(port, "/legacy/x")).status == 502
        assert (await asks(port, "/")).text == "web-1"
        foreign = Foreign(foreign.port)
        await house.until("it to be back", lambda: health() == {"legacy-1": "healthy"})

        # A second address comes and the first goes, under load.
        second = Foreign()
        async with Load(house.url("beside", "/legacy/x"), rate=RATE, connections="keep_alive") as load:
            await settle(load)
            write(f"127.0.0.1:{foreign.port}", f"127.0.0.1:{second.port}")
            await house.do("up", str(folder))
            write(f"127.0.0.1:{second.port}")
            await house.do("up", str(folder))
            await house.until("the first to be gone", lambda: health() == {"legacy-2": "healthy"})
            await settle(load)
        nothing_lost(load, house)
        house.run("down", "beside")
        for server in (foreign, second):
            assert (await asks(server.port)).text == "foreign", "`down` has nothing to do with it"
        second.close()
    finally:
        foreign.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_one_instance_is_reached_alone_whatever_its_health_and_only_with_the_token(root_house: House) -> None:
    house = root_house
    settings = """
        health_check: {path: /health, interval: 1s, timeout: 1s, replace_unhealthy: false}
    """
    folder = house.a_stack("alone", app="", settings=settings)
    house.write(folder / "app.py", MOODY.format(folder=folder))
    await house.do("up", str(folder))
    house.write(folder / "sick.web-1", "")
    await house.until("it to be unhealthy", lambda: health_of(house, "alone", "web-1") == "unhealthy")
    try:
        opened = json.loads((await house.do("instance", "open", "web-1", "--stack", "alone", "--json")).stdout)
        port, token = opened["port"], opened["url"].partition("=")[2]
        assert opened["url"].startswith(f"http://127.0.0.1:{port}/?")
        async with load_on(house, "alone") as load:
            await settle(load)
            # As a browser does it: the link, then the cookie.
            first = await asks(port, f"/?{opened['url'].partition('?')[2]}")
            assert first.status in (302, 303, 307), first
            [(name, value)] = first.cookies.items()
            for _ in range(5):
                page = await asks(port, "/page", ("Cookie", f"{name}={value}"))
                assert (page.status, page.text) == (200, "web-1 /page "), "it learns nothing of the token"
            # As curl does it.
            assert (await asks(port, "/api", ("X-Fairlead-Open", token))).text == "web-1 /api "
            for wrong in ((), (("X-Fairlead-Open", token[:-1] + "~"),), (("Cookie", f"{name}=x"),)):
                assert (await asks(port, "/", *wrong)).status == 403
            assert {(await asks(house.port("alone"))).text for _ in range(10)} == {"web-2 / "}, "and nobody else is"
            # Its own 500 is shown, not another's 200.
            assert (await asks(port, "/health", ("X-Fairlead-Open", token))).status == 500
        nothing_lost(load, house)
        await house.do("instance", "close", "web-1", "--stack", "alone")
        await house.until("nobody to listen there", lambda: not listens(port))
    finally:
        (folder / "sick.web-1").unlink()
    house.run("down", "alone")


@asynccontextmanager
async def h2_targets(**kinds: int | None) -> AsyncIterator[dict[str, H2App]]:
    """Servers of HTTP/2 without TLS, by name: plain (None), or gRPC with the status that it ends its answers with."""
    found = {name: await H2App(name, grpc).listen() for name, grpc in kinds.items()}
    try:
        yield found
    finally:
        for one in found.values():
            one.kill()


async def test_http2_and_grpc_targets_are_reached_over_one_https_listener(root_house: House) -> None:
    house = root_house
    async with h2_targets(plain=None, rpc=0) as targets:
        services = {
            "plain": {"targets": [targets["plain"].address], "target_group": {"protocol": "HTTP2"}},
            "rpc": {
                "targets": [targets["rpc"].address],
                "target_group": {"protocol": "GRPC"},
                "health_check": {"matcher": "0"},
            },
        }
        rules = [{"when": {"path": "/shop.Basket/*"}, "forward": "rpc"}]
        folder, _ = https_stack(house, "h2", services, rules)
        await house.do("up", str(folder))
        port, tls = house.port("h2"), http2_context(trusting(str(folder / "authority.pem")))

        def conversation() -> list[Answer]:
            """Twenty pages and a call over one connection, under way at once."""
            with Http2Client(port, tls) as client:
                assert client.alpn == "h2"
                pages = [client.start("/", authority="localhost") for _ in range(20)]
                headers = [("content-type", GRPC), ("te", "trailers")]
                call = client.start("/shop.Basket/Put", headers, method="POST", authority="localhost", body=b"\0" * 5)
                return [client.finish(stream) for stream in (*pages, call)]

        *pages, call = await asyncio.to_thread(conversation)
        assert {(page.status, page.text) for page in pages} == {(200, "plain")}
        assert call.status == 200
        assert call.one("grpc-status") == "0"
        older = await asks(port, tls=trusting(str(folder / "authority.pem")))
        assert older.status == 464, "a client of HTTP/1.1 cannot be served by HTTP/2"
        house.run("down", "h2")
