"""The daemon's side of the API: `routes` served by uvicorn on a Unix socket, inside the daemon's own event loop.

Who may open the socket may do everything, so it is 0600 from its first moment. The law: the server takes no signal (the
daemon's are the daemon's), reads no configuration, and is over when `stop` returns. `wiring` builds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import uvicorn

from fairlead import __version__
from fairlead.api.routes import Api
from fairlead.api.work import LongWork
from fairlead.control.supervisor import Supervisor
from fairlead.errors import FairleadError, StoreError

BACKLOG = 128
"""Connections the kernel keeps while the loop is busy; more are told to come again."""

START = 5.0
"""Seconds in which the server is up; it takes a few milliseconds."""

GRACE = 2
"""Whole seconds in which open requests may end when the server stops."""


class ApiServer:
    """Serves a supervisor at `socket_path`. `on_shutdown` is called when a client asked for the daemon's end and
    everything that runs has ended: the daemon then stops this server, and exits with status 0."""

    def __init__(self, supervisor: Supervisor, socket_path: str, *, on_shutdown: Callable[[], None]) -> None:
        self._path = socket_path
        self._work = LongWork()
        api = Api(supervisor, self._work, version=__version__, pid=os.getpid(), on_shutdown=on_shutdown)
        self._server = _Server(
            uvicorn.Config(
                api.app(),
                http="httptools",
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

    async def start(self) -> None:
        """Bind the socket, replacing the one a dead daemon left, and answer. Call it only with the home's lock held.
        StoreError when it cannot be bound."""
        listening = _bind(self._path)
        self._task = asyncio.create_task(self._server.serve([listening]), name="api server")
        answering = asyncio.create_task(self._server.answering.wait(), name="api server answers")
        await asyncio.wait([answering, self._task], timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            cause = self._task.exception() if self._task.done() else None
            raise FairleadError("the daemon's API did not start", str(cause or f"not within {START:g} s")) from cause

    async def stop(self) -> None:
        """Take no more requests, let open ones end for a moment, end the rest; remove the socket."""
        if self._task is None:
            return
        self._server.leave()
        await self._work.close()
        _, stuck = await asyncio.wait([self._task], timeout=GRACE + 3.0)
        for task in stuck:
            task.cancel()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._task = None


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, and without its clock: it ticks ten times a second to write Date
    headers, which nobody reads here."""

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


def _bind(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        # The lock is ours, so whoever bound this path before is gone.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listening.bind(path)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise StoreError(f"the daemon's socket {path} cannot be made", error.strerror or str(error)) from error
    finally:
        os.umask(mask)
    return listening
