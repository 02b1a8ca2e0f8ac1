"""Clients that take for ever do not starve the others (haproxy.md 10): five hundred that send a header of one byte at a
time, two hundred that send a body so, two hundred that hardly read, and an ordinary load beside them."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack

import pytest

from fairlead.aiokit.polling import wait_until
from tests.conformance.raw import a_world, serve
from tests.haproxy.apps import Load, free_port
from tests.haproxy.builders import a_routing

pytestmark = pytest.mark.live

HEADERS, BODIES, READERS = 500, 200, 200
PAUSE = 0.2
"""Seconds between two bytes of a client."""
ENOUGH = 450
"""Of those with headers, whose end is looked at."""
HEADER_TIME = 10.0
"""Seconds that a client has for its header."""
MOST_FDS = 20_000
LONG = b"x" * 4_000_000
"""More than the buffers between a target and a client hold."""


class Slow:
    """Sockets that send one byte, or read a few, at each turn."""

    def __init__(self, port: int, keep: ExitStack) -> None:
        self._port, self._keep, self._loop = port, keep, asyncio.get_running_loop()

    async def opened(self, count: int, first: bytes, *, small: bool = False) -> list[socket.socket]:
        """`count` connections that have sent `first`."""
        found = []
        for _ in range(count):
            one = self._keep.enter_context(socket.socket())
            one.setblocking(False)
            if small:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await self._loop.sock_connect(one, ("127.0.0.1", self._port))
            await self._loop.sock_sendall(one, first)
            found.append(one)
        return found


def send_a_byte(sockets: list[socket.socket], ended: dict[socket.socket, tuple[float, bytes]]) -> None:
    """One to each that goes on; `ended`: when each was answered, and with what."""
    now = asyncio.get_running_loop().time()
    for one in sockets:
        if one in ended:
            continue
        try:
            said = one.recv(65536)
            ended[one] = (now, said)
        except BlockingIOError:
            one.send(b"a")
        except ConnectionError as problem:
            ended[one] = (now, repr(problem).encode())


def read_a_little(sockets: list[socket.socket], got: dict[socket.socket, int]) -> None:
    for one in sockets:
        try:
            data = one.recv(512)
            assert data, "a slow reader was cut off"
            got[one] = got.get(one, 0) + len(data)
        except BlockingIOError:
            pass


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A target: `/long` is long; a body is read to its end first."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields.get(b"content-length", 0)))
            body = LONG if b" /long" in head else b"ok"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (EOFError, ConnectionError):
        pass
    finally:
        writer.close()


def descriptors(pid: int | str) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_nine_hundred_slow_clients_starve_nobody() -> None:
    port, loop = free_port(), asyncio.get_running_loop()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    async with server, a_world() as world:
        await serve(world, a_routing(port), {"web": [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]})
        before = descriptors(world.pid)
        with ExitStack() as keep:
            slow = Slow(port, keep)
            ended: dict[socket.socket, tuple[float, bytes]] = {}
            got: dict[socket.socket, int] = {}
            async with Load(port, 50) as gets, Load(port, 50, "POST") as posts:
                bodies = await slow.opened(BODIES, b"POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n")
                readers = await slow.opened(READERS, b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n", small=True)
                began = loop.time()
                headers = await slow.opened(HEADERS, b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ")
                connected = loop.time()
                while len([one for one in headers if one in ended]) < ENOUGH:
                    assert loop.time() < connected + HEADER_TIME + 45, f"{len(ended)} of {HEADERS} have ended"
                    send_a_byte(headers, ended)
                    send_a_byte(bodies, ended)
                    read_a_little(readers, got)
                    most = max(descriptors(world.pid), descriptors("self"))
                    await asyncio.sleep(PAUSE)
            assert gets.lost == posts.lost == {}
            assert min(gets.outcomes["200"], posts.outcomes["200"]) > 40 * (HEADER_TIME - 2)
            assert {ended[one][1][:12] for one in headers if one in ended} == {b"HTTP/1.1 408"}
            assert min(ended[one][0] for one in headers if one in ended) > began + HEADER_TIME - 0.5
            assert not [one for one in bodies if one in ended], "a body may come slowly"
            assert len(got) == READERS
            assert HEADERS + BODIES + READERS < most < MOST_FDS
        await wait_until(lambda: descriptors(world.pid) < before + 50, 60, "the end of all connections")
