"""HTTP with clients that nobody knows: whoever is on this machine may ask, and must not use the daemon up.

In: a connection of uvicorn's. Out: the same, ended when it lasts too long or says too much, and when many are open the
oldest ends. uvicorn itself waits for a request for ever, and keeps whatever head it is sent.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LIFE = 10.0
"""Seconds of a connection, from its beginning to the end of its answer; it carries one."""

MOST_BYTES = 16 * 1024
"""That a client may say."""

MOST_OPEN = 32


class Stranger(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._heard = 0
        self._since = self.loop.time()
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(LIFE, transport.abort)
        others = [one for one in self.connections if isinstance(one, Stranger) and not one.transport.is_closing()]
        if len(others) > MOST_OPEN:
            # Not the newest: whoever holds many open would keep everybody else out.
            min(others, key=lambda one: one._since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard += len(data)
        if self._heard > MOST_BYTES:
            self.transport.abort()
        else:
            super().data_received(data)
