"""What metrics take on the disk: the real meter records hours of a busy stack, whose samples are made up (`town`), as
quickly as it can.

Seconds are kept for an hour, so after a little more than that only minutes add to the file. From what these add, the
size after a day and after two weeks, when they begin to go, is reckoned.
"""

from __future__ import annotations

import asyncio
import glob
import os
import time
from dataclasses import dataclass

from bench.machine import note
from bench.town import RATE, Town
from fairlead.metrics.history import MOST_BYTES
from fairlead.metrics.meter import Meter

SIZES = (10, 100)

FILLED = 70 * 60
"""Seconds after which as many are there as are kept, and the room of those that went is used again."""

MORE = 50 * 60
"""Seconds that are recorded then, by a measurement of 3 s; minutes are written in blocks of ten."""

FLUSHED = 10
"""Seconds between two flushes; the daemon asks each second, and the meter writes some ten at once, too."""


@dataclass(frozen=True)
class Grown:
    """Bytes of the database after so many seconds; and the seconds of the clock that took."""

    filled: int
    after: int
    more: int
    took: float

    def at(self, seconds: float) -> float:
        return self.filled + (self.after - self.filled) / self.more * (seconds - FILLED)


def measure(base: str, seconds: float) -> None:
    """Print the table. base: a folder, made; there are no bars."""
    os.makedirs(base)
    more = max(1, round(MORE / 600 * seconds / 3)) * 600
    rows = []
    for size in SIZES:
        note(f"seeing: {(FILLED + more) / 3600:.1f} hours of metrics of {size} targets")
        rows.append((size, asyncio.run(_grown(f"{base}/{size}.db", size, more))))
    print(
        f"metrics on disk: {RATE} requests a second and target; {FILLED // 60} minutes and {more // 60} more recorded\n"
        f"by the real meter; a day and two weeks are reckoned from these; never more than {MOST_BYTES / 1e6:.0f} MB"
    )
    print(
        f"  {'targets':>7} {'seconds of an hour':>18} {'after a day':>12} {'after two weeks, the most':>25}"
        f" {'recorded at':>16}"
    )
    for size, grown in rows:
        hour, day, weeks = (grown.at(length) / 1e6 for length in (FILLED, 86400, 14 * 86400))
        pace = (FILLED + grown.more) / grown.took
        print(f"  {size:7} {hour:15.1f} MB {day:9.1f} MB {weeks:22.1f} MB {f'x{pace:,.0f} of time':>16}")
    print()


async def _grown(path: str, targets: int, more: int) -> Grown:
    meter, town = Meter(path), Town(targets)
    began = time.perf_counter()
    await meter.open()
    try:
        await _record(meter, town, FILLED)
        filled = _size(path)
        await _record(meter, town, more)
        return Grown(filled, _size(path), more, time.perf_counter() - began)
    finally:
        await meter.close()


async def _record(meter: Meter, town: Town, seconds: int) -> None:
    for number in range(seconds):
        meter.take(town.sample())
        if number % FLUSHED == 0:
            await meter.flush()
    await meter.flush()


def _size(path: str) -> int:
    """Bytes of the file and of those beside it."""
    return sum(os.stat(name).st_blocks * 512 for name in glob.glob(f"{path}*"))
