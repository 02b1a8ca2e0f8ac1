"""The daemon's side of the API: `routes` served by uvicorn on a Unix socket, inside the daemon's own event loop.

Who may open the socket may do everything, so it is 0600 from its first moment. The law: it is over when `stop` returns.
`wiring` builds it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from fairlead import __version__
from fairlead.api.exposition import Exposition, Facts
from fairlead.api.routes import Api
from fairlead.api.serving import Serving
from fairlead.api.work import LongWork
from fairlead.control.supervisor import Supervisor
from fairlead.errors import StoreError

BACKLOG = 128
"""Connections the kernel keeps while the loop is busy; more are told to come again."""


class ApiServer:
    """Serves a supervisor at `socket_path`, and its metrics where the user wants them. `on_shutdown` is called when a
    client asked for the daemon's end and everything that runs has ended: the daemon then stops this server, and exits
    with status 0."""

    def __init__(
        self, supervisor: Supervisor, facts: Facts, socket_path: str, *, on_shutdown: Callable[[], None]
    ) -> None:
        self._path = socket_path
        self._work = LongWork()
        self._exposition = Exposition(
            supervisor.prometheus, facts, lambda text: supervisor.journal.event("", "problem", text)
        )
        api = Api(
            supervisor, self._work, self._exposition, version=__version__, pid=os.getpid(), on_shutdown=on_shutdown
        )
        self._serving = Serving(api.app(), "the daemon's API")

    async def start(self) -> None:
        """Bind the socket, replacing the one a dead daemon left, and answer. Call it only with the home's lock held.
        StoreError when it cannot be bound."""
        await self._serving.start(_bind(self._path))
        await self._exposition.start()

    async def stop(self) -> None:
        """Take no more requests, let open ones end for a moment, end the rest; remove the socket."""
        self._serving.leave()
        await self._exposition.stop()
        await self._work.close()
        await self._serving.stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


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
