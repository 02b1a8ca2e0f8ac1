"""Which process is meant: pid, start time and boot together, held by a pidfd.

In: a pid, or an identity that somebody recorded. Out: what the kernel says of it, a descriptor that pins it, its end.
The law: a pid alone names nobody (numbers come back, and `kill(pid, 0)` succeeds on a zombie), so the descriptor is
opened first and the start time compared after; states Z and X are gone; a signal goes through the descriptor. Called by
the launcher, the balancer's nodes and whoever has to know a process again after a restart.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds of a clock tick, in which /proc tells start times and processor time."""


@cache
def boot_id() -> str:
    """The kernel's name for this boot: what was recorded under another one is of processes that are gone."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that tell processes apart. start_time: clock ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_time: int

    @property
    def gone(self) -> bool:
        """A zombie runs nothing any more, whoever is late to collect it."""
        return self.state in "ZX"

    @property
    def frozen(self) -> bool:
        """Stopped by a signal (T) or by a debugger (t)."""
        return self.state in "Tt"


class Times(NamedTuple):
    """Processor time of one process, in clock ticks of `TICK` seconds, and who will collect it."""

    parent: int
    own: int
    """Of all its threads, those included that have ended."""
    gathered: int
    """Of its children that have ended and that it has waited for, with what they had gathered."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One process among all that ever ran: its number, when it started (ticks since boot), and under which boot."""

    pid: int
    start_time: int
    boot: str


def parse_stat(text: bytes) -> Stat:
    """One line of /proc/PID/stat. The name in brackets may hold anything, brackets too: count from its end."""
    pid = int(text[: text.index(b" ")])
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def parse_times(text: bytes) -> Times:
    """The same line, for processor time: proc(5), fields utime, stime, cutime, cstime."""
    fields = text[text.rindex(b")") + 2 :].split(b" ", 15)
    return Times(int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))


def line_of(pid: int) -> bytes | None:
    """The line of /proc/PID/stat as it is now; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return None


def stat_of(pid: int) -> Stat | None:
    """What the kernel says of `pid` now; None when there is no such process."""
    line = line_of(pid)
    return None if line is None else parse_stat(line)


def identity_of(pid: int) -> Identity | None:
    """Who `pid` is now; None when nobody lives there."""
    stat = stat_of(pid)
    return None if stat is None or stat.gone else Identity(pid, stat.start_time, boot_id())


def open_pidfd(identity: Identity) -> int | None:
    """A descriptor that holds on to exactly this process, or None when it is gone. The caller closes it."""
    if identity.boot != boot_id() or identity.pid <= 0:
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OverflowError):
        return None
    # Only now, with the number pinned, does its start time say who it is.
    stat = stat_of(identity.pid)
    if stat is not None and not stat.gone and stat.start_time == identity.start_time:
        return pidfd
    os.close(pidfd)
    return None


def send(pidfd: int, number: signal.Signals) -> bool:
    """Signal the process behind `pidfd`; False when it is gone. PermissionError when it is somebody else's."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def reap(pidfd: int) -> None:
    """Collect an own child that has ended, so that no zombie stays; one that was adopted is collected by init."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)


async def ended(pidfd: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds until the process behind `pidfd` has ended; whether it has. Reaps an own child."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    # A duplicate: the loop keeps one reader per descriptor, and the owner of this one may have its own.
    duplicate = os.dup(pidfd)
    loop.add_reader(duplicate, over.set)
    try:
        async with asyncio.timeout(timeout):
            await over.wait()
        reap(duplicate)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(duplicate)
        os.close(duplicate)
    return True
