"""Long work with somebody watching: one task that runs to its end, and a stream of lines for as long as a client reads.

In comes an act that takes a `Progress`; out goes NDJSON: `{"type": "progress", ...}` as it happens, then exactly one
`{"type": "result", ...}` or `{"type": "error", "error": {...}}`; an empty line every 10 s keeps a quiet stream alive.
The law: a client that leaves ends its stream and nothing else; the work goes on. `routes` starts it, `server` ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fairlead.aiokit.tasks import Tasks
from fairlead.control.supervisor import Progress
from fairlead.errors import DaemonUnavailable, FairleadError

KEEP_ALIVE = 10.0
"""Seconds of silence after which an empty line is sent."""

MOST_WAITING = 1000
"""Progress lines kept for a client that does not read; more are dropped. The last line always comes."""

log = logging.getLogger(__name__)

Act = Callable[[Progress], Awaitable[dict[str, Any]]]


def unexpected(error: BaseException) -> FairleadError:
    """A fault of fairlead itself, as an error that can be shown; the traceback is the log's."""
    return FairleadError(
        "the daemon failed", f"{type(error).__name__}: {error}", "See logs/daemon.log in fairlead's home."
    )


class LongWork:
    """Owns the tasks of the long requests; `close` ends them all."""

    def __init__(self, keep_alive: float = KEEP_ALIVE) -> None:
        self._keep_alive = keep_alive
        self._tasks = Tasks("api", lambda name, problem: log.error("%s failed: %r", name, problem))

    def start(self, name: str, act: Act) -> AsyncIterator[bytes]:
        """Begin `act` in a task of that name, now; returns the lines to send to who asked for it."""
        watcher = _Watcher()
        self._tasks.spawn(name, self._run(act, watcher))
        return watcher.lines(self._keep_alive)

    async def close(self, within: float = 5.0) -> None:
        """Cancel what still runs and wait for it, at most `within` seconds; what is stuck is named in the log."""
        for name in await self._tasks.stop(within):
            log.error("%s did not end within %g s of being cancelled", name, within)

    async def _run(self, act: Act, watcher: _Watcher) -> None:
        last: dict[str, Any] = {}
        try:
            last = {"type": "result", **await act(watcher.progress)}
        except FairleadError as error:
            last = _error(error)
        except asyncio.CancelledError:
            last = _error(DaemonUnavailable("the daemon is stopping", "it ended before the work did", "Try again."))
            raise
        except Exception as error:
            log.exception("a request failed by a fault of fairlead")
            last = _error(unexpected(error))
        finally:
            watcher.end(last)


def _error(error: FairleadError) -> dict[str, Any]:
    return {"type": "error", "error": error.to_json()}


class _Watcher:
    """The queue between one piece of work and the client that reads of it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = False

    def progress(self, event: dict[str, Any]) -> None:
        if not self._gone and self._queue.qsize() < MOST_WAITING:
            self._queue.put_nowait({"type": "progress", "stack": "", "service": "", "instance": "", **event})

    def end(self, last: dict[str, Any]) -> None:
        if not self._gone:
            self._queue.put_nowait(last)

    async def lines(self, keep_alive: float) -> AsyncIterator[bytes]:
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._queue.get(), keep_alive)
                except TimeoutError:
                    yield b"\n"
                    continue
                yield json.dumps(event).encode() + b"\n"
                if event["type"] != "progress":
                    return
        finally:
            self._gone = True
