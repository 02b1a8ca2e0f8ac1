"""How much memory the processes of an instance hold together.

In: who leads its session. Out: bytes: of each process its proportional share (PSS: a page that n processes share counts
1/n for each), or, of one that we may not look into, all that is resident. A member is who is in the shim's session or
group, or comes from one who is. What left the session and lost its parent is not counted. Cost: 100 instances of two
programs, one after the other, 50 ms, of which one scan of /proc a second serves all; a process of 500 MB 4 ms, because
the kernel walks its page tables. Called from threads by the local engine.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from contextlib import suppress

from fairlead.aiokit import strays
from fairlead.aiokit.pidfd import Identity, Stat, boot_id, stat_of

FRESH = 1.0
"""Seconds that one scan of /proc serves."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """Measures instances."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scanned_at = float("-inf")
        self._members: dict[int, list[Stat]] = {}

    def held_by(self, shim: Identity) -> int | None:
        """Bytes; None when nothing of it lives."""
        if shim.boot != boot_id():
            return None
        # One that was started since the last scan is worth another.
        members = self._scan(FRESH).get(shim.pid) or self._scan(0.0).get(shim.pid) or []
        sizes = [size for stat in members if (size := _size(stat)) is not None]
        return sum(sizes) if sizes else None

    def _scan(self, fresh: float) -> dict[int, list[Stat]]:
        """Everybody of the machine by the session they belong to, or came from."""
        with self._lock:
            now = time.monotonic()
            if now - self._scanned_at > fresh:
                everyone = {stat.pid: stat for stat in strays.processes()}
                members = defaultdict(list)
                for stat in everyone.values():
                    for leader in _leaders(stat, everyone):
                        members[leader].append(stat)
                self._members, self._scanned_at = dict(members), now
            return self._members


def _leaders(stat: Stat, everyone: dict[int, Stat]) -> set[int]:
    """The sessions and groups of a process and of all that it comes from."""
    found: set[int] = set()
    seen: set[int] = set()
    current: Stat | None = stat
    while current is not None and current.pid not in seen:
        seen.add(current.pid)
        found |= {current.session, current.group}
        current = everyone.get(current.parent)
    return found


def _size(stat: Stat) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        size = _proportional(stat.pid)
        size = _resident(stat.pid) if size is None else size
        # The number may be somebody else's by now.
        now = stat_of(stat.pid)
        if now is not None and now.start_time == stat.start_time:
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
