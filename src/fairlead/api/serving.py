"""uvicorn inside the daemon's own event loop, without what a daemon does not want of it.

In: an application and a socket that listens. Out: a server that answers when `start` returns and is over when `stop`
does. The law: it takes no signal (the daemon's are the daemon's), reads no configuration, and does not tick: uvicorn
wakes ten times a second to write Date headers, which nobody reads here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from fairlead.errors import FairleadError

START = 5.0
"""Seconds in which the server is up; it takes a few milliseconds."""

GRACE = 2
"""Whole seconds in which open requests may end when the server stops."""


class Serving:
    """One application on one socket. name: what it is, for errors; protocol: how a connection is treated."""

    def __init__(self, app: Starlette, name: str, protocol: type[asyncio.Protocol] | None = None) -> None:
        self._name = name
        self._server = _Server(
            uvicorn.Config(
                app,
                http=protocol or "httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                date_header=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Answer on `listening`, which it closes in the end. FairleadError when it does not come up."""
        self._task = asyncio.create_task(self._server.serve([listening]), name=self._name)
        answering = asyncio.create_task(self._server.answering.wait(), name=f"{self._name} answers")
        await asyncio.wait([answering, self._task], timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            cause = self._task.exception() if self._task.done() else None
            raise FairleadError(f"{self._name} did not start", str(cause or f"not within {START:g} s")) from cause

    def leave(self) -> None:
        """Take no more requests; `stop` waits for those that are open."""
        self._server.leave()

    async def stop(self) -> None:
        """Take no more requests, let open ones end for a moment, end the rest."""
        if self._task is None:
            return
        self.leave()
        _, stuck = await asyncio.wait([self._task], timeout=GRACE + 3.0)
        for task in stuck:
            task.cancel()
        self._task = None


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, and without its clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        self.answering.set()
        await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
