"""How much memory the processes of an instance hold together.

In: its processes (`members`). Out: bytes: of each its proportional share (PSS: a page that n processes share counts 1/n
for each), or, of one that we may not look into, all that is resident. The kernel walks page tables for that: 0.1 ms for
a small process, 4 for one of 500 MB, in a thread. So beside `measure`, which looks at once, there is `refresh`, called
every second, which spends at most some 5 ms: those never looked at first, then those whose turn is longest overdue. A
process has its turn every 10 s, and more often while it is younger than that. Used by `usage`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress

from fairlead.aiokit.pidfd import TICK, stat_of
from fairlead.engines.local.members import Member, Size

EVERY = 10.0
"""Seconds between two looks at a process that is not younger than that."""

BUDGET = 0.005
"""Seconds of processor time that a `refresh` may take, and the process that it looks at then."""

LONGEST = 60.0
"""Seconds in which everybody has a turn, even where that takes more than the budget."""

STALE = 120.0
"""Seconds after which what was seen is not known any more: the kernel has held up whoever looked."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """Measures processes."""

    def __init__(self) -> None:
        self._working: asyncio.Future[None] | None = None

    def refresh(self, members: Iterable[Member]) -> None:
        """Measure in a thread whose turn it is; nothing while another one is at it."""
        if self._working is not None:
            if not self._working.done():
                return
            done, self._working = self._working, None
            done.result()
        now, cost, due = time.monotonic(), 0.0, []
        for member in members:
            cost += member.size.cost if member.size is not None else 0.0
            if member.size is None or member.size.due <= now:
                due.append(member)
        if due:
            due.sort(key=_turn)
            budget = max(BUDGET, cost / LONGEST)
            self._working = asyncio.get_running_loop().run_in_executor(None, _measure, due, budget)

    async def measure(self, members: Collection[Member]) -> int | None:
        """Bytes that they hold together now; None when none of them runs."""
        await asyncio.to_thread(_measure, tuple(members), float("inf"))
        return held_by(members)


def held_by(members: Iterable[Member]) -> int | None:
    """Bytes that they held together when each was last looked at; None: unknown, or none of them runs."""
    sizes = [member.size for member in members if member.size is not None]
    held = [size.held for size in sizes if size.held is not None]
    stale = bool(sizes) and min(size.at for size in sizes) < time.monotonic() - STALE
    return sum(held) if held and not stale else None


def _turn(member: Member) -> float:
    return member.size.due if member.size is not None else float("-inf")


def _measure(members: Iterable[Member], budget: float) -> None:
    begun = time.thread_time()
    for member in members:
        before = time.thread_time()
        held = _size(member)
        after, now = time.thread_time(), time.monotonic()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - member.start_time * TICK
        member.size = Size(held, now, after - before, now + min(max(age, 1.0), EVERY))
        if after - begun >= budget:
            return


def _size(member: Member) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        size = _proportional(member.pid)
        size = _resident(member.pid) if size is None else size
        # The number may be somebody else's by now.
        now = stat_of(member.pid)
        if now is not None and now.start_time == member.start_time and not now.gone:
            return size
    return None


def _proportional(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
            for line in (file.readall() or b"").splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except PermissionError:
        pass
    return None


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read(256).split()[1]) * _PAGE
