"""WebSockets of the stories: opened by hand, kept, and asked whether they still are."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode

ECHO = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
"""An ASGI app that answers every message with itself, and every GET with `ok`."""


PATIENCE = 30.0
"""Seconds for an answer: a thousand of them at once take a loaded machine a while."""


class WebSocket:
    """One open connection. Text frames only, shorter than 126 bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> WebSocket:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b" 101 " in answer.split(b"\r\n", 1)[0], answer
        return cls(reader, writer)

    async def echoes(self, text: str) -> bool:
        """Whether it sends `text` back. TimeoutError: it is silent."""
        return await self.asks(text) == text

    async def asks(self, text: str) -> str | None:
        """What it sends when it is sent `text`; None: it is closed, or says no text. TimeoutError: it is silent."""
        mask, payload = os.urandom(4), text.encode()
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        try:
            self._writer.write(bytes([0x81, 0x80 | len(payload)]) + mask + masked)
            head = await asyncio.wait_for(self._reader.readexactly(2), PATIENCE)
            body = await asyncio.wait_for(self._reader.readexactly(head[1] & 0x7F), PATIENCE)
        except (OSError, asyncio.IncompleteReadError):
            return None
        return body.decode() if head[0] == 0x81 else None

    async def ends(self, within: float) -> bool:
        """Whether the other side ends it within so many seconds."""
        try:
            async with asyncio.timeout(within):
                while await self._reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        self._writer.close()


async def open_many(port: int, count: int) -> list[WebSocket]:
    """At most 200 at a time: what waits to be accepted is limited."""
    found: list[WebSocket] = []
    while len(found) < count:
        found += await asyncio.gather(*(WebSocket.open(port) for _ in range(min(200, count - len(found)))))
    return found
