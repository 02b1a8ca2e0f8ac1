"""What the kernel knows of a home: who holds its lock, and which processes carry its mark.

For the moments when no daemon answers, and for `down --all`, which promises that nothing is left. Reads /proc only.
Every process that fairlead starts has the home's path in its environment: FAIRLEAD_RUN (instances) or FAIRLEAD_RESOURCE
(databases and their like) below it, or FAIRLEAD_HOME (daemon, keeper, HAProxy). A person's shell may hold FAIRLEAD_HOME
too: only these programs count.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

KEEPER = "fairlead-keeper"
"""The keeper's name in `ps`."""


@dataclass(frozen=True, slots=True)
class Process:
    """`kind`: daemon, keeper, haproxy, instance or resource."""

    pid: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} (pid {self.pid})"


def lock_holder(lock: str) -> int | None:
    """The pid that holds the lock file, 0 when it is in another pid namespace, None when nobody does.

    It is read from /proc/locks: to try the lock would make a daemon that starts at that moment believe it is held.
    """
    try:
        status = os.stat(lock)
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) < 6 or fields[1] == "->":
            continue
        major, minor, inode = fields[5].split(":")
        pid = max(0, int(fields[4]))
        if int(inode) != status.st_ino:
            continue
        # Some file systems (btrfs, overlays) show another device here than stat does.
        if os.makedev(int(major, 16), int(minor, 16)) == status.st_dev or _may_hold(pid, lock):
            return pid
    return None


def _may_hold(pid: int, lock: str) -> bool:
    """Whether it is a daemon, and none of another home, whose lock may have the same number on another file system."""
    homes = [entry for entry in _read(pid, "environ").split(b"\0") if entry.startswith(b"FAIRLEAD_HOME=")]
    ours = b"FAIRLEAD_HOME=" + os.fsencode(os.path.dirname(lock))
    return b"fairlead" in _read(pid, "cmdline") and (not homes or ours in homes)


def processes_of(home: str) -> list[Process]:
    """Every process of this home that the user may look at, but for this one."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and (kind := _kind(int(name), home)):
            found.append(Process(int(name), kind))
    return found


def _kind(pid: int, home: str) -> str:
    environment = _read(pid, "environ").split(b"\0")
    place = os.fsencode(home)
    if any(entry.startswith(b"FAIRLEAD_RUN=" + place + b"/") for entry in environment):
        return "instance"
    if any(entry.startswith(b"FAIRLEAD_RESOURCE=" + place + b"/") for entry in environment):
        return "resource"
    if b"FAIRLEAD_HOME=" + place not in environment:
        return ""
    words = _read(pid, "cmdline").split(b"\0")
    if KEEPER.encode() in words:
        return "keeper"
    if os.path.basename(words[0]) == b"haproxy":
        return "haproxy"
    programs = [os.path.basename(word) for word in words]
    # `python -P -m fairlead daemon`, or the `fairlead` script with its options.
    return "daemon" if b"fairlead" in programs and b"daemon" in programs else ""


def open_files(pid: int) -> list[str]:
    """The paths of the files that a process has open, as the kernel names them: one that was removed ends in
    ` (deleted)`. Nothing when it is gone or another user's."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def wait_until_gone(home: str, seconds: float) -> list[Process]:
    """Wait until no process of the home is left, at most `seconds`; what is left then."""
    deadline = time.monotonic() + seconds
    while left := processes_of(home):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        _wait_for_any(left, min(remaining, 0.5))
    return left


def kill(home: str, processes: Iterable[Process], seconds: float) -> list[Process]:
    """SIGKILL them, a keeper before the daemon that it would start again; what of them is left after `seconds`."""
    meant = sorted(processes, key=lambda process: process.kind != "keeper")
    for process in meant:
        # Still of this home: a pid may have gone to somebody else since it was found.
        if _kind(process.pid, home) == process.kind:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while (left := [one for one in processes_of(home) if one in meant]) and time.monotonic() < deadline:
        _wait_for_any(left, 0.2)
    return left


def _wait_for_any(processes: Iterable[Process], seconds: float) -> None:
    """Return as soon as one of them ends, or after `seconds`."""
    poller, descriptors = select.poll(), []
    try:
        for process in processes:
            try:
                descriptors.append(os.pidfd_open(process.pid))
            except ProcessLookupError:
                return
            poller.register(descriptors[-1], select.POLLIN)
        poller.poll(seconds * 1000)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read(pid: int, name: str) -> bytes:
    """A file of /proc/PID; nothing when it is gone or another user's."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
