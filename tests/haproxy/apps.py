"""Real HTTP servers as targets, and a client: asyncio streams, in the test's own loop."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.ports import a_free_port as free_port

__all__ = ["WEBSOCKET_KEY", "Answer", "App", "Headers", "Load", "ask", "free_port", "read_message"]

Headers = dict[str, str]

WEBSOCKET_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def read_message(reader: asyncio.StreamReader) -> tuple[str, Headers, bytes]:
    """First line, headers (names in lower case), body. EOFError when the other side has closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return first, headers, body


@dataclass
class App:
    """One target. `seen` counts its requests by method, checks left out; `checks` the last request of a check."""

    name: str
    health: int = 200
    delay: float = 0.0
    status: int = 200
    seen: Counter[str] = field(default_factory=Counter)
    checks: list[tuple[str, Headers]] = field(default_factory=list)
    requests: list[tuple[str, Headers]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """When there is one, a request is answered when it is set."""
    die_on: str = ""
    says: str = ""
    """Header lines of its answers, each with its line end."""
    address: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def listen(self, path: str | None = None) -> App:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path)
            self.address = f"unix:{path}"
        else:
            port = int(self.address.rpartition(":")[2] or 0)
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
            self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def kill(self) -> None:
        """Like SIGKILL: nobody listens, every connection is gone."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (EOFError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = base64.b64encode(hashlib.sha1(WEBSOCKET_KEY + WEBSOCKET_GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-accept: " + accepted + b"\r\n\r\n"
        )
        while said := await reader.read(1024):
            writer.write(said)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, headers, _ = await read_message(reader)
        method, path, _ = first.split(" ")
        checked = headers.get("user-agent", "").startswith("ELB-HealthChecker")
        if checked:
            self.checks.append((path, headers))
        else:
            self.seen[method] += 1
            self.requests.append((path, headers))
            if headers.get("upgrade") == "websocket":
                await self._echo(reader, writer)
                return False
            if method == self.die_on:
                self.kill()
                return False
            await asyncio.sleep(self.delay)
            if self.gate is not None:
                await self.gate.wait()
        body = self.name.encode()
        status = self.health if checked else self.status
        writer.write(f"HTTP/1.1 {status} X\r\n{self.says}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return headers.get("connection") != "close"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: str


async def ask(
    port: int, method: str = "GET", path: str = "/", headers: Headers | None = None, body: bytes = b"", host: str = ""
) -> Answer:
    """One request on a connection of its own. OSError when it is refused; EOFError when it is closed unanswered."""
    reader, writer = await asyncio.open_connection(host or "127.0.0.1", port)
    try:
        fields = {"Host": "test", "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        first, answered, text = await read_message(reader)
        return Answer(int(first.split(" ")[1]), answered, text.decode())
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class Load:
    """Open-loop GETs against a port while the block runs: `rate` a second, each on its own connection."""

    def __init__(self, port: int, rate: float = 200.0, method: str = "GET") -> None:
        self._port, self._rate, self._method = port, rate, method
        self._one_by_one: set[asyncio.Task[None]] = set()
        self._pacer: asyncio.Task[None] | None = None
        self.outcomes: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """Requests that have begun and not ended."""
        return len(self._one_by_one)

    @property
    def lost(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}

    async def __aenter__(self) -> Load:
        self._pacer = asyncio.create_task(self._pace(), name="load")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pacer is not None
        self._pacer.cancel()
        await asyncio.gather(self._pacer, return_exceptions=True)
        await asyncio.gather(*self._one_by_one)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._send(), name="request")
            self._one_by_one.add(task)
            task.add_done_callback(self._one_by_one.discard)
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _send(self) -> None:
        try:
            async with asyncio.timeout(30):
                outcome = str((await ask(self._port, self._method)).status)
        except (OSError, EOFError) as problem:
            outcome = type(problem).__name__
        self.outcomes[outcome] += 1
