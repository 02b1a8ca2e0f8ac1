"""The meter: the one door to everything measured. Samples go in once a second, series and figures come out.

Finished seconds are kept as bytes, the last ones in memory and all of them in the file (`history`), which is touched in
a thread of its own. The law: `take`, `figures` and `prometheus` wait for nothing; whatever is wrong with the file,
metrics of the last seconds go on, at most `MOST_HELD` seconds wait to be written, and nothing is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from fairlead.core.figures import UNKNOWN, WINDOW, Figures
from fairlead.core.readings import Sample
from fairlead.core.scaling.seconds import ServiceSecond
from fairlead.errors import NotFound
from fairlead.metrics import prometheus
from fairlead.metrics.answer import Plan, answer, plan, wanted
from fairlead.metrics.collector import Collector, Second
from fairlead.metrics.entities import Entity
from fairlead.metrics.history import SECONDS_KEPT, EncodedSecond, Found, History, Unusable, Wanted
from fairlead.metrics.query import Query
from fairlead.metrics.recent import Recent
from fairlead.metrics.rows import decode, merged, second
from fairlead.metrics.summary import figures_of

log = logging.getLogger(__name__)

EVERY = 5
"""Seconds that are written together: fewer writes, and a daemon that is killed loses no more."""

MOST_HELD = 300
"""Seconds that wait in memory while they cannot be written."""

Answer = TypeVar("Answer")


class Meter:
    """One for the daemon. `take`, `figures` and `prometheus` are called in the loop's thread and never wait."""

    def __init__(self, path: str) -> None:
        """path: of the database; nothing is opened yet."""
        self._path = path
        self._collector = Collector()
        self._recent: deque[EncodedSecond] = deque(maxlen=WINDOW + 5)
        self._last = Recent(WINDOW + 5)
        self._unwritten: deque[EncodedSecond] = deque(maxlen=MOST_HELD)
        self._present: dict[tuple[str, str, str], Entity] = {}
        """Stacks, services and targets of the last second, by their names without zones."""
        self._history: History | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._lock = asyncio.Lock()
        """Held while seconds are written: they leave `_unwritten` when they are in the file."""
        self._tried = 0
        """The last second that there was when it was last tried to write."""
        self._trouble = ""
        """What was said last about the file in the log; "": it works."""

    async def open(self) -> None:
        """Open the database, made if need be; one that is damaged is moved aside, with a line in the log. Raises
        nothing: what cannot be recorded is kept for five minutes in memory, and tried again."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        await self._do(lambda history: None)

    def take(self, sample: Sample) -> None:
        """One second's readings. Raises nothing: a sample that cannot be understood is told in the log."""
        try:
            seconds = [(finished, _encoded(finished)) for finished in self._collector.take(sample)]
        except Exception:
            log.exception("a sample of metrics was not understood")
            return
        for finished, encoded in seconds:
            self._recent.append(encoded)
            self._last.add(finished, encoded)
            self._unwritten.append(encoded)
            self._present = {(one.stack, one.service, one.target): one for one in encoded.rows if one.level != "zone"}

    async def flush(self) -> None:
        """Write what is finished, some seconds at a time. Called once a second or less often; raises nothing."""
        if self._unwritten and abs(self._unwritten[-1].at - self._tried) >= EVERY:
            try:
                await self._write()
            except Exception:
                log.exception("metrics were not written")

    def figures(self, stack: str, service: str = "", target: str = "") -> Figures:
        """Of the last seconds: of a stack, a service of it, or a target of that."""
        entity = self._present.get((stack, service, target))
        if entity is None:
            return UNKNOWN
        last = self._recent[-1].at
        ones = [one.rows.get(entity) for one in self._recent if last - WINDOW < one.at <= last]
        rows = [decode(data, entity.level) for data in ones if data is not None]
        return figures_of(merged(rows), entity.level) if rows else UNKNOWN

    def seconds(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        """The finished seconds behind `after` (seconds since 1970) that are still in memory, oldest first; all of them
        if `after` is none of these and not before the newest."""
        return self._last.of(stack, service, after)

    async def series(self, query: Query) -> dict[str, Any]:
        """What `GET /stacks/NAME/metrics` answers with (`answer`). NotFound: of the service, zone or target that is
        named nothing was ever measured."""
        await self._write()
        recent = self._held()
        finished = self._finished()

        def work(history: History | None) -> dict[str, Any]:
            _check_known(history, recent, query)
            made = history.minutes_until if history is not None else 0
            asked = plan(query, finished, min(made, finished // 60 * 60), partial(_is_known, history, query.stack))
            return answer(query, asked, _found(history, recent, query.stack, asked, wanted(query)))

        found = await self._do(work)
        return found if found is not None else await self._apart(lambda: work(None))

    def prometheus(self) -> str:
        """Everything there is now, in Prometheus' text format; `prometheus.CONTENT_TYPE`."""
        now = self._recent[-1].rows if self._recent else {}
        rows = {entity: decode(data, entity.level) for entity, data in now.items()}
        return prometheus.text(self._collector.totals, rows)

    async def figures_at(self, stack: str, service: str, wall: float) -> Mapping[str, Figures]:
        """Of the seconds (further back: the minute) before `wall`: key "" is the service, each other one a target."""
        await self._write()
        recent = self._held()
        at = int(wall)
        fine = at > self._finished() - SECONDS_KEPT + WINDOW
        asked = Plan(1, 1, at - WINDOW, at) if fine else Plan(60, 60, at // 60 * 60, at // 60 * 60 + 60)

        def of_service(entity: Entity) -> bool:
            return entity.service == service and entity.level in ("service", "target")

        def work(history: History | None) -> dict[str, Figures]:
            found = _found(history, recent, stack, asked, of_service)
            return {one.target: figures_of(merged(list(rows.values())), one.level) for one, rows in found.items()}

        figures = await self._do(work)
        return figures if figures is not None else await self._apart(lambda: work(None))

    async def close(self) -> None:
        """Write what is finished, and let go of the database. A second call does nothing."""
        if self._thread is None:
            return
        await self._write()
        thread, self._thread = self._thread, None
        history, self._history = self._history, None
        if history is not None:
            with contextlib.suppress(sqlite3.Error):
                await asyncio.get_running_loop().run_in_executor(thread, history.close)
        thread.shutdown()

    def _finished(self) -> int:
        """Where the last finished second ends; before there is one, now."""
        return self._recent[-1].at + 1 if self._recent else int(time.time())

    def _held(self) -> list[EncodedSecond]:
        """What is in memory, also of a file that was just moved aside."""
        return list({one.at: one for one in (*self._recent, *self._unwritten)}.values())

    async def _write(self) -> None:
        """Write all that waits, and make the minutes that are owed, each as one turn of the thread."""
        async with self._lock:
            batch = list(self._unwritten)
            if batch:
                self._tried = batch[-1].at
                if not await self._do(partial(_written, batch)):
                    return
                while self._unwritten and self._unwritten[0] in batch:
                    self._unwritten.popleft()
                if self._trouble:
                    log.info("metrics are recorded again in %s", self._path)
                    self._trouble = ""
            while await self._do(History.make_minute):
                pass

    async def _do(self, work: Callable[[History], Answer]) -> Answer | None:
        """Have it done in the thread; None: the file cannot be used."""

        def turn() -> Answer:
            if self._history is not None and not self._history.is_at(self._path):
                # Somebody removed it, or put another in its place, whose log this one's is not.
                self._history.close()
                self._history = None
                for end in ("-wal", "-shm"):
                    with contextlib.suppress(OSError):
                        os.unlink(self._path + end)
            if self._history is None:
                self._history = _open(self._path)
            try:
                return work(self._history)
            except (Unusable, sqlite3.Error) as problem:
                if not _is_damage(problem):
                    raise
                self._history.close()
                self._history = None
                _move_aside(self._path, problem)
                self._history = History.open(self._path)
                return work(self._history)

        try:
            return await self._apart(turn)
        except (OSError, Unusable, sqlite3.Error) as problem:
            self._tell(problem)
            return None

    async def _apart(self, work: Callable[[], Answer]) -> Answer:
        if self._thread is None:  # before `open`, after `close`: there is little to do, and nobody to wait for
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _tell(self, problem: Exception) -> None:
        """Once, until it works again: it is tried every few seconds."""
        text = f"{type(problem).__name__}: {problem}"
        if text != self._trouble:
            self._trouble = text
            log.warning(
                "metrics are not recorded: %s: %s; the last %d s wait in memory. Check the disk of %s.",
                self._path,
                problem,
                MOST_HELD,
                os.path.dirname(self._path),
            )


def _encoded(finished: Second) -> EncodedSecond:
    incomplete = finished.incomplete
    rows = {entity: second(values, times, incomplete) for entity, (values, times) in finished.rows.items()}
    return EncodedSecond(finished.at, rows)


def _written(batch: list[EncodedSecond], history: History) -> bool:
    history.write(batch)
    return True


def _check_known(history: History | None, recent: list[EncodedSecond], query: Query) -> None:
    named = [f"{kind} {name}" for kind, name in
             (("service", query.service), ("zone", query.zone), ("target", query.target)) if name]  # fmt: skip
    asked = wanted(query)
    if not named or any(one.stack == query.stack and asked(one) for second in recent for one in second.rows):
        return
    if history is None or not history.knows(query.stack, asked):
        raise NotFound(
            f"no metrics of {' and '.join(named)} of stack {query.stack}",
            "nothing of that name was measured in the last two weeks",
            "See `fairlead status` for the names of what runs now.",
        )


def _is_known(history: History | None, stack: str, start: int, end: int) -> bool:
    """Whether the file has something of that time. What is in memory alone is never old."""
    return history is not None and history.has(stack, start, end)


def _found(history: History | None, recent: list[EncodedSecond], stack: str, asked: Plan, wanted: Wanted) -> Found:
    """Rows of the file, and of seconds that are not in it."""
    if asked.step > 1:
        return history.minutes(stack, asked.start, asked.end, wanted) if history is not None else {}
    found = history.seconds(stack, asked.start, asked.end, wanted) if history is not None else {}
    for one in recent:
        if asked.start <= one.at < asked.end:
            for entity, data in one.rows.items():
                if entity.stack == stack and wanted(entity):
                    found.setdefault(entity, {})[one.at] = decode(data, entity.level)
    return found


def _open(path: str) -> History:
    """The file at `path`, a new one if that which is there cannot be used."""
    try:
        return History.open(path)
    except (Unusable, sqlite3.Error) as problem:
        if not _is_damage(problem):
            raise
        _move_aside(path, problem)
        return History.open(path)


def _is_damage(problem: Exception) -> bool:
    name = str(getattr(problem, "sqlite_errorname", ""))
    return isinstance(problem, Unusable) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _move_aside(path: str, problem: Exception) -> None:
    """Keep one damaged file for whoever wants to look, and make room for a new one."""
    aside = f"{path}.damaged"
    # The log first: beside a new file, it would be taken for that one's.
    for end in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + end, aside + end)
    log.warning("%s is damaged (%s); it was moved to %s, and metrics begin anew", path, problem, aside)
