"""Metrics of the user's own: each is read every so often, by a program that prints it or from a URL that answers it.

In: which there are (`update`), after every change of a stack. Out: the last value of each (`values`), as long as it
says something of now, and when that was read (`moments`). Each is read in a task of its own, so a slow one delays no
other. The law: a metric that cannot be read is unknown, never zero, and never the last value for ever; that it fails is
told once, and once when it works again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairlead.aiokit import programs
from fairlead.aiokit.fetch import get
from fairlead.aiokit.tasks import Tasks
from fairlead.aiokit.web import without_host
from fairlead.core.readings import Gauge
from fairlead.errors import FairleadError, GaugeError
from fairlead.metrics import gauge_numbers

LONGEST = 10.0
"""Seconds that a reading may take; one that is read more often has no longer than from one reading to the next."""

MOST_PRINTED = 64 * 1024
"""Bytes of what a program prints that are looked at, the last ones."""

MOST_ANSWERED = 1 << 20
"""Bytes of an answer."""

APART, SLOTS = 0.05, 20
"""Seconds between the first readings of several, and after how many they begin at once again: many programs that start
in the same moment would be a load of their own."""

SECRET = 4
"""Characters of a variable's value from which on it is not shown in what a program printed."""

Key = tuple[str, str, str]
"""Stack, service, name."""

Tell = Callable[[Gauge, GaugeError | None], None]
"""Called with the first error of a metric that worked, and with None when it works again."""


@dataclass(slots=True)
class _Kept:
    """value, at: of the last reading, and when it ended."""

    gauge: Gauge
    task: asyncio.Task[None]
    value: float | None = None
    at: float = 0.0
    failing: bool = False


class Gauges:
    """All of one daemon. now: monotonic seconds."""

    def __init__(self, tell: Tell, now: Callable[[], float], on_failure: Callable[[str, BaseException], None]) -> None:
        """on_failure: for what should not happen, as of `Tasks`."""
        self._tell, self._now = tell, now
        self._tasks = Tasks("gauges", on_failure)
        self._kept: dict[Key, _Kept] = {}

    def update(self, wanted: Sequence[Gauge]) -> None:
        """What is read from now on; what is not among it is forgotten. One whose release or environment changed keeps
        its last value, one that is read elsewhere does not."""
        gauges = {(gauge.stack, gauge.service, gauge.metric): gauge for gauge in wanted}
        for key in [key for key in self._kept if key not in gauges]:
            self._kept.pop(key).task.cancel()
        for key, gauge in gauges.items():
            before = self._kept.get(key)
            if before is not None and before.gauge == gauge:
                continue
            task = self._tasks.spawn(" ".join(key), self._read_on(key, len(self._kept) % SLOTS * APART))
            self._kept[key] = kept = _Kept(gauge, task)
            if before is not None:
                before.task.cancel()
                if _source(before.gauge) == _source(gauge):
                    kept.value, kept.at, kept.failing = before.value, before.at, before.failing

    def values(self, now: float) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """What is known at `now`, by (stack, service) and name; what was read too long ago is not."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for (stack, service, name), kept in self._kept.items():
            if kept.value is not None and now - kept.at <= 2 * kept.gauge.every + limit(kept.gauge):
                found.setdefault((stack, service), {})[name] = kept.value
        return found

    def moments(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """When each was read last (monotonic seconds), by (stack, service) and name."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for (stack, service, name), kept in self._kept.items():
            if kept.value is not None:
                found.setdefault((stack, service), {})[name] = kept.at
        return found

    async def close(self) -> None:
        """Read nothing any more; programs that still run are ended."""
        await self._tasks.stop(programs.TERM_PATIENCE + 1)
        self._kept.clear()

    async def _read_on(self, key: Key, delay: float) -> None:
        """Until it is cancelled."""
        await asyncio.sleep(delay)
        kept = self._kept[key]
        while True:
            began = self._now()
            try:
                value = await read(kept.gauge)
            except GaugeError as problem:
                if not kept.failing:
                    kept.failing = True
                    self._tell(kept.gauge, problem)
            else:
                kept.value, kept.at = value, self._now()
                if kept.failing:
                    kept.failing = False
                    self._tell(kept.gauge, None)
            await asyncio.sleep(max(0.0, began + kept.gauge.every - self._now()))


def _source(gauge: Gauge) -> tuple[object, ...]:
    """What says that two are the same number."""
    return gauge.argv, gauge.url, gauge.field, gauge.series


def limit(gauge: Gauge) -> float:
    """Seconds that one reading may take."""
    return min(gauge.every, LONGEST)


async def read(gauge: Gauge) -> float:
    """The number as it is now. GaugeError: why it is not known."""
    if gauge.argv is not None:
        return await read_command(
            gauge.argv, gauge.environment, folder=gauge.folder, user=gauge.user, timeout=limit(gauge)
        )
    url = gauge.url or ""
    try:
        return await read_url(url, field=gauge.field, series=gauge.series, timeout=limit(gauge))
    except GaugeError as problem:
        if not gauge.hides_host:
            raise
        told = (without_host(text, url, "its url") for text in (problem.what, problem.why))
        # Not chained: the cause names the host.
        raise GaugeError(*told) from None


async def read_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: str,
    user: tuple[int, int] | None = None,
    timeout: float,
) -> float:
    """The last finite number on a line of its own that the program prints. GaugeError: it cannot be started, does not
    end in time, ends with another status than 0, or prints none."""
    what = f"{argv[0]} gave no number"
    try:
        finished = await programs.run(argv, cwd=folder, env=environment, timeout=timeout, user=user, keep=MOST_PRINTED)
    except FairleadError as problem:
        raise GaugeError(problem.what, problem.why) from problem
    if finished.timed_out:
        raise GaugeError(what, f"it did not end within {timeout:g} s")
    status = finished.status
    if status != 0:
        how = f"it exited with status {status}" if status > 0 else f"it was ended by signal {-status}"
        said = gauge_numbers.shown(_without_secrets(finished.output, environment))
        raise GaugeError(what, f"{how}: {said}" if said else how)
    text = finished.stdout.decode(errors="replace")
    value = gauge_numbers.printed(text)
    if value is None:
        said = gauge_numbers.shown(_without_secrets(text, environment))
        raise GaugeError(what, f"it printed no line that is a number: {said}" if said else "it printed nothing")
    return value


async def read_url(url: str, *, field: str | None = None, series: str | None = None, timeout: float) -> float:
    """The number at `field` of a JSON answer, or of `series` of a Prometheus text. GaugeError: no answer, or none of
    these in it."""
    accept = "application/json" if field is not None else "text/plain; version=0.0.4, text/plain;q=0.5, */*;q=0.1"
    try:
        body = await get(url, accept=accept, timeout=timeout, most=MOST_ANSWERED)
    except FairleadError as problem:
        raise GaugeError(problem.what, problem.why) from problem
    try:
        # In a thread: a large answer takes some hundredths of a second.
        if field is not None:
            return await asyncio.to_thread(gauge_numbers.in_json, body, field)
        return await asyncio.to_thread(gauge_numbers.in_prometheus, body, series or "")
    except ValueError as problem:
        raise GaugeError("its answer has no number", str(problem)) from None


def _without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """Without the values of variables, any of which may be a secret; the longest first, as one may hold another."""
    for value in sorted((value for value in environment.values() if len(value) >= SECRET), key=len, reverse=True):
        text = text.replace(value, "***")
    return text
