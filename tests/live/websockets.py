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
        """Whether it sends `text` back within 10 s."""
        mask, payload = os.urandom(4), text.encode()
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        try:
            self._writer.write(bytes([0x81, 0x80 | len(payload)]) + mask + masked)
            head = await asyncio.wait_for(self._reader.readexactly(2), 10)
            body = await asyncio.wait_for(self._reader.readexactly(head[1] & 0x7F), 10)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return False
        return head[0] == 0x81 and body == payload

    def close(self) -> None:
        self._writer.close()


async def open_many(port: int, count: int) -> list[WebSocket]:
    return list(await asyncio.gather(*(WebSocket.open(port) for _ in range(count))))
