"""Processes of a dead server that still hold its data folder, as PostgreSQL's do.

A backend of PostgreSQL leaves its group and writes over its environment, so that nobody finds it by these; it ends
when its postmaster is gone, but only once it has finished a long query, and until then no new server starts. The same
goes for what a killed `initdb` has started. All of them work in the data folder (their cwd), which is how they are
found. SIGKILL loses nothing: what is committed is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import secrets
import signal
from collections.abc import Collection

from fairlead.aiokit.pidfd import stat_of
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.trees import remove_tree
from fairlead.errors import ResourceError

END_PATIENCE = 10.0
"""Seconds for what was killed to be gone."""

_BACKEND = b"postgres: "
"""How a process that a postmaster started calls itself."""

_REMOVALS = 5
"""Tries to remove a folder in which something may be at work."""


async def end_leftovers(data: str, id: str) -> None:
    """Leave nothing at work in the data folder `data` of a server that has ended, nor the file by which it was locked:
    its process number may be another's by now. ResourceError: a whole server is at work there."""
    found = await asyncio.to_thread(_working_in, data)
    masters = [pid for pid, words in found.items() if not words.startswith(_BACKEND)]
    if masters:
        raise ResourceError(
            f"another program works in the data folder of {id}",
            f"process {masters[0]} does: {found[masters[0]].decode(errors='replace')[:100]}",
            "end it first",
        )
    await _end(found, data)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{data}/postmaster.pid")


def unfinished(data: str) -> str:
    """Where `data` is made: a folder beside it whose name nobody at work has ever heard."""
    return f"{data}.new-{secrets.token_hex(4)}"


async def remove_unfinished(data: str) -> None:
    """Remove the folders in which somebody was making `data` and died, and end what is still at work in them.
    ResourceError."""
    for folder in await asyncio.to_thread(glob.glob, f"{glob.escape(data)}.new-*"):
        for left in reversed(range(_REMOVALS)):
            await _end(await asyncio.to_thread(_working_in, folder), folder)
            try:
                await asyncio.to_thread(remove_tree, folder)
                break
            except OSError as problem:
                # Something came to work there between the two.
                if not left:
                    why = problem.strerror or str(problem)
                    raise ResourceError(f"the folder {folder} cannot be removed", why) from problem


def _working_in(folder: str) -> dict[int, bytes]:
    """The living processes whose working folder it is, with their command lines."""
    real = os.path.realpath(folder)
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{entry}/cwd") == real:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    found[int(entry)] = file.read(200).replace(b"\0", b" ")
    return found


async def _end(pids: Collection[int], folder: str) -> None:
    for pid in pids:
        _kill(pid, folder)
    if pids:
        what = f"the end of what works in {folder}"
        await wait_until(
            lambda: all(_gone(pid) for pid in pids), END_PATIENCE, what, seen=lambda: list(pids), error=ResourceError
        )


def _kill(pid: int, folder: str) -> None:
    """SIGKILL, unless the number is another's by now."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(folder):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def _gone(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is None or stat.gone
