"""HTTP servers as targets, which keep exactly what they received and answer what a test tells them to.

They live in the rehearsal's own loop, so that health checks are answered whatever the test is doing; a test reads
`heard` and sets `answer` from its own thread.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.closing import stop_listening

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came over the wire."""

    line: str
    headers: tuple[tuple[str, str], ...]
    """Names as sent."""
    body: bytes
    connection: int
    """Which of the server's connections it came on."""

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Its only value; None when it is absent."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


Behaviour = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
"""Answers a request; says whether the connection goes on."""


def says(raw: bytes, *, closes: bool = False) -> Behaviour:
    """These bytes and nothing else."""

    async def answer(_: Received, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(raw)
        await writer.drain()
        return not closes

    return answer


def ok(body: bytes = b"", *headers: str, status: int = 200) -> Behaviour:
    """A whole answer with its length."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return says(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body)


def silence() -> Behaviour:
    """Nothing, for as long as the balancer waits."""

    async def answer(_: Received, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> bool:
        await reader.read(1)
        return False

    return answer


def hangs_up() -> Behaviour:
    """An orderly end of the connection instead of an answer."""
    return says(b"", closes=True)


def resets() -> Behaviour:
    """A reset instead of an answer."""

    async def answer(_: Received, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    return answer


def after(seconds: float, then: Behaviour) -> Behaviour:
    """The same, later."""

    async def answer(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(seconds)
        return await then(received, reader, writer)

    return answer


class Held:
    """Another behaviour, begun when the test says `let_go`."""

    def __init__(self, then: Behaviour) -> None:
        self._then = then
        self._go = asyncio.Event()

    async def __call__(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await self._go.wait()
        return await self._then(received, reader, writer)

    async def let_go(self) -> None:
        """To be run in the servers' loop."""
        self._go.set()


@dataclass
class Server:
    """One target. `heard` has its requests but for health checks, which are in `checks`."""

    name: str
    address: str = ""
    health: int | None = 200
    """What it answers a check with; None: nothing at all."""
    answer: Behaviour | None = None
    """None: 200 with its name as the body, or the echo of a WebSocket."""
    heard: list[Received] = field(default_factory=list)
    checks: list[Received] = field(default_factory=list)
    check_answer: Behaviour | None = None
    connections: int = 0
    _server: asyncio.Server | None = None
    _open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    async def listen(self, host: str = "127.0.0.1") -> Server:
        port = int(self.address.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(self._serve, host, port, limit=1 << 20)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{self._server.sockets[0].getsockname()[1]}"
        return self

    @property
    def last(self) -> Received:
        return self.heard[-1]

    @contextmanager
    def doing(self, behaviour: Behaviour) -> Iterator[Server]:
        """Answer so while the block runs."""
        before, self.answer = self.answer, behaviour
        try:
            yield self
        finally:
            self.answer = before

    async def kill(self) -> None:
        """Nobody listens, every connection is gone."""
        if self._server is not None:
            await stop_listening(self._server)
        tasks = [task for task in self._open.values() if task is not None]
        for writer in tuple(self._open):
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        self.connections += 1
        number = self.connections
        try:
            while await self._one(number, reader, writer):
                pass
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _one(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        received = await _receive(number, reader, writer)
        if (received.one("user-agent") or "").startswith("ELB-HealthChecker"):
            self.checks.append(received)
            behaviour = self.check_answer or (silence() if self.health is None else ok(status=self.health))
            return await behaviour(received, reader, writer) and "close" not in received.all("connection")
        self.heard.append(received)
        if self.answer is not None:
            return await self.answer(received, reader, writer)
        if (received.one("upgrade") or "").lower() == "websocket":
            return await _echo(received, reader, writer)
        return await ok(self.name.encode())(received, reader, writer)


async def _receive(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = tuple((name, value.strip(" ")) for name, _, value in (one.partition(":") for one in lines))
    known = {name.lower(): value for name, value in headers}
    if known.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in known.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    else:
        body = await reader.readexactly(int(known.get("content-length", "0")))
    return Received(line=line, headers=headers, body=body, connection=number)


async def _echo(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    key = (received.one("sec-websocket-key") or "").encode()
    accepted = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )
    with suppress(ConnectionError):
        while said := await reader.read(1024):
            writer.write(said)
    return False
