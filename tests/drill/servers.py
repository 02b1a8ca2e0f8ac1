"""A web server that does to each request what a test says: faults are part of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Exchange:
    """One request as the server saw it, and the means to answer it."""

    connection: int
    head: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """RST instead of FIN."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Answer = Callable[[Exchange], Awaitable[None]]


async def well(exchange: Exchange) -> None:
    await exchange.say(OK)


@dataclass
class Server:
    url: str
    seen: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0


@contextlib.asynccontextmanager
async def a_server(answer: Answer = well, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Listens on a free port of loopback while the block lasts; with `tls` it speaks HTTPS."""
    server = Server(url="")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        server.most_open = max(server.most_open, server.open)
        mine = server.connections
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                _, marker, rest = head.lower().partition("content-length: ")
                body = await reader.readexactly(int(rest.split("\r\n")[0])) if marker else b""
                exchange = Exchange(mine, head, body, reader, writer)
                server.seen.append(exchange)
                await answer(exchange)
        writer.close()
        server.open -= 1

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    host, port = listening.sockets[0].getsockname()
    server.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield server
    finally:
        listening.close()
        async with asyncio.timeout(60):
            while server.open:
                await asyncio.sleep(0.005)
