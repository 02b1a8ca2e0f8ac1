"""A connection that a client opened before a reload is served by what was configured since, whatever it was opened for."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import pytest

from fairlead.core.model import Listener, LoadBalancerAttributes, Stickiness, forward_to
from fairlead.core.traffic import Routing
from tests.haproxy.apps import WEBSOCKET_KEY, free_port, read_message
from tests.haproxy.builders import a_group, a_routing
from tests.haproxy.test_live_groups import a_cookie
from tests.haproxy.test_live_tls import TlsWorld, a_client, world
from tests.haproxy.worlds import admit

__all__ = ["world"]

pytestmark = pytest.mark.live


@dataclass
class Connection:
    """One of a client's, kept open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, listener: Listener, source: str = "", tls: ssl.SSLContext | None = None) -> Connection:
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(listener.address, listener.address)
        origin = (source, 0) if source else None
        name = "shop.test" if tls else None
        streams = await asyncio.open_connection(host, listener.port, ssl=tls, server_hostname=name, local_addr=origin)
        return cls(*streams)

    async def ask(self, method: str = "GET", headers: str = "") -> tuple[str, str]:
        self.writer.write(f"{method} / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n{headers}\r\n".encode())
        first, _, body = await asyncio.wait_for(read_message(self.reader), 10)
        return first.split(" ")[1], body.decode()

    def close(self) -> None:
        self.writer.transport.abort()


def anew(routing: Routing, seconds: float) -> Routing:
    """Another routing: it takes a reload."""
    return a_routing(
        listeners=routing.listeners, groups=routing.groups, attributes=LoadBalancerAttributes(idle_timeout=seconds)
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_after_a_reload_and_a_deployment_older_connections_reach_the_new_targets(
    world: TlsWorld, method: str
) -> None:
    plain = [Listener(port=free_port(), address=one, default=forward_to("web")) for one in ("0.0.0.0", "::", "::1")]
    secure, tls = world.https(world.pair("shop", world.made("shop.test"))), a_client(world.trusted)
    routing = await world.serve(secure, *plain)
    old = await world.web()
    sources = ("127.0.0.7", "127.0.0.8", "")
    used = [await Connection.open(one, source) for one, source in zip(plain, sources, strict=True)]
    used.append(await Connection.open(secure, tls=tls))
    assert [await one.ask(method) for one in used] == [("200", old.id)] * 4
    unused = [await Connection.open(plain[0]), await Connection.open(secure, tls=tls)]
    upgraded = await Connection.open(plain[0])
    await world.balancer.configure("shop", anew(routing, 61.0))
    new = await world.target(2)
    await admit(world, new)
    await world.balancer.drain(old.group, old.id)
    before = (await world.balancer.observe()).requests
    seen = len(world.apps[old.id].requests)
    assert [await one.ask(method) for one in used[2:]] == [("200", new.id)] * 2
    assert len(world.apps[old.id].requests) == seen, "no new request for who drains"
    await world.balancer.deregister(old.group, old.id)
    await world.kill(old)
    # What a client says of itself in fairlead's own header counts nothing.
    made_up = "X-Fairlead-Relay: secret 9.9.9.9\r\n"
    assert [await one.ask(method, made_up) for one in used[:2]] == [("200", new.id)] * 2
    told = [headers for _, headers in world.apps[new.id].requests[-2:]]
    assert [one["x-forwarded-for"] for one in told] == ["127.0.0.7", "127.0.0.8"]
    assert [one["x-forwarded-port"] for one in told] == [str(one.port) for one in plain[:2]]
    assert not any("x-fairlead-relay" in one for one in told)
    assert [await one.ask(method) for one in unused] == [("200", new.id)] * 2
    assert (await world.balancer.observe()).requests == before + 6, "each counts once"
    upgraded.writer.write(
        b"GET / HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + WEBSOCKET_KEY + b"\r\n\r\n"
    )
    assert b" 101 " in await asyncio.wait_for(upgraded.reader.readuntil(b"\r\n\r\n"), 10)
    upgraded.writer.write(b"hello")
    assert await asyncio.wait_for(upgraded.reader.read(5), 10) == b"hello"
    for one in (*used, *unused, upgraded):
        one.close()


async def test_a_client_cannot_say_who_it_is(world: TlsWorld) -> None:
    listener = Listener(port=world.port, default=forward_to("web"))
    await world.serve(listener)
    target = await world.web()
    client = await Connection.open(listener, "127.0.0.9")
    for secret in ("", "secret", "' 9.9.9.9", "a b c"):
        assert await client.ask("GET", f"X-Fairlead-Relay: {secret} 9.9.9.9\r\n") == ("200", target.id)
        seen = world.apps[target.id].requests[-1][1]
        assert seen["x-forwarded-for"] == "127.0.0.9"
        assert "x-fairlead-relay" not in seen
    client.close()


async def test_a_sticky_client_of_before_a_reload_leaves_a_target_that_drains(world: TlsWorld) -> None:
    listener = Listener(port=world.port, default=forward_to("web"))
    routing = await world.serve(listener, groups=(a_group(stickiness=Stickiness()),))
    one, other = await world.web(number=1), await world.web(number=2)
    cookie = f"Cookie: AWSALB={a_cookie(one.id)}\r\n"
    client = await Connection.open(listener)
    assert await client.ask("GET", cookie) == ("200", one.id)
    await world.balancer.configure("shop", anew(routing, 61.0))
    await world.balancer.drain(one.group, one.id)
    assert await client.ask("POST", cookie) == ("200", other.id)
    client.close()
