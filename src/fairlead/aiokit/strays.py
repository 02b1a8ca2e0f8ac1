"""Finding and ending every process that came from one launch, wherever it went.

In: the marker's name, and the folder that is its value. Out: the pids, and their end. A process belongs to a folder
when `MARKER=folder` stands in its environment (kept by whatever it starts, across daemonising and new sessions), when
it is in the session or group of the folder's shim, or when its parent belongs. The law: signals go by pidfd, and after
the descriptor is open the process is looked at again, because numbers come back. What cleans its environment, leaves
the session *and* loses its parent cannot be found without cgroups. Called by the launcher.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from fairlead.aiokit.pidfd import Identity, Stat, boot_id, send, stat_of
from fairlead.errors import EngineError

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05


def processes() -> Iterator[Stat]:
    """Every process of the machine that is not a zombie."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := stat_of(int(entry))) is not None and not stat.gone:
            yield stat


def environment_of(pid: int) -> bytes | None:
    """The environment that `pid` was started with, entries ended by NUL; empty: it has none, or none yet (execve), or
    no more (a zombie). None: it is gone, or not ours to read."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return file.readall() or b""
    except OSError:
        return None


def value_in(environment: bytes, name: str) -> str | None:
    """The value of a variable; None: absent."""
    # Exactly between two NULs: a value may hold anything that looks like another variable.
    wanted = name.encode() + b"="
    for entry in environment.split(b"\0"):
        if entry.startswith(wanted):
            return os.fsdecode(entry[len(wanted) :])
    return None


def marker_of(pid: int, marker: str) -> str | None:
    """The value of `marker` in the environment that `pid` was started with; None: absent, or not ours to read."""
    return value_in(environment_of(pid) or b"", marker)


def marked(marker: str) -> dict[str, list[int]]:
    """All living processes that carry the marker: its value -> pids."""
    found: dict[str, list[int]] = {}
    for stat in processes():
        if (value := marker_of(stat.pid, marker)) is not None:
            found.setdefault(value, []).append(stat.pid)
    return found


def members(marker: str, folder: str, shim: Identity | None) -> Mapping[int, Stat]:
    """The living processes that belong to `folder`. shim: who led its session, dead or alive, if that was recorded."""
    everyone = {stat.pid: stat for stat in processes()}
    session = shim.pid if shim is not None and _session_is_ours(everyone, shim) else None
    found = {
        pid: stat
        for pid, stat in everyone.items()
        if session in (stat.session, stat.group) or marker_of(pid, marker) == folder
    }
    # Children of members, until no more are found: they may have cleaned their environment.
    while fresh := {pid: stat for pid, stat in everyone.items() if stat.parent in found and pid not in found}:
        found.update(fresh)
    # Never ourselves: a daemon that was started from inside an instance would end with it.
    found.pop(os.getpid(), None)
    return found


def _session_is_ours(everyone: Mapping[int, Stat], shim: Identity) -> bool:
    """The kernel gives a number to nobody while a session or group bears it: so unless somebody else has the shim's
    number now, whoever is in session `shim.pid` is in the shim's."""
    holder = everyone.get(shim.pid) or stat_of(shim.pid)
    return shim.boot == boot_id() and (holder is None or holder.start_time == shim.start_time)


def kill(found: Mapping[int, Stat]) -> None:
    """SIGKILL to each of them that is still the one that was found."""
    for pid, stat in found.items():
        with suppress(ProcessLookupError, PermissionError):
            pidfd = os.pidfd_open(pid)
            try:
                now = stat_of(pid)
                if now is not None and now.start_time == stat.start_time:
                    send(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)


async def end(marker: str, folder: str, shim: Identity | None, timeout: float) -> None:
    """Kill all that belongs to `folder`, until a look finds none. EngineError after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout, FIRST_PAUSE
    while found := members(marker, folder, shim):
        if loop.time() >= deadline:
            raise EngineError(
                f"{len(found)} of the processes of {folder} did not end within {timeout:g} s of SIGKILL",
                f"last seen: {', '.join(_described(found.values()))}",
                "look at what they wait for (state D is a disk or network file system that does not answer)",
            )
        kill(found)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _described(found: Iterable[Stat]) -> list[str]:
    return [f"pid {stat.pid} in state {stat.state}" for stat in found]
