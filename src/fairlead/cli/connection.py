"""How a command reaches the daemon: it asks, waits for one that is coming, and starts one where that is called for.

The rules are DESIGN section 3's. A command waits up to 5 s while the lock is held (or the keeper is bringing the daemon
back) without an answer. Without a daemon it starts one when it changes something, or when the store says that something
should run; else there is nothing to ask, and `reach` says so with None.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from typing import TYPE_CHECKING

from fairlead import __version__
from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable

if TYPE_CHECKING:
    from fairlead.cli.systemd import Systemd

PATIENCE = 5.0
"""Seconds to wait for a daemon that holds the lock but does not answer."""

STARTING = 20.0
"""Seconds in which a daemon that we start answers. It takes 0.2 s, and more on a machine under load."""

GONE = (0, 3)
"""Exit statuses of a daemon that another command's has to do with: 3, that one was quicker, and is as good; 0, the
other command thought ours its own and ended it, having nothing left to do. Whichever was there may be gone by now."""

PAUSE = 0.5
"""Seconds from one start to the next."""

PACE = 0.05
"""Seconds between two tries."""

TAIL = 20
"""Lines of daemon.log that are shown when it did not start."""


def reach(layout: Layout, *, start: bool) -> Client | None:
    """A client whose daemon has just answered. start: begin one even when nothing should run.

    None: no daemon runs, nothing should run, and `start` is false. DaemonUnavailable says what was awaited.
    """
    client = Client(layout.api_socket)
    if _answers(client):
        return client
    _refuse_moved(layout)
    if _comes_back(client, layout):
        return client
    from fairlead.cli.record import something_should_run

    if not start and not something_should_run(layout.database):
        return None
    _start(client, layout)
    return client


def _answers(client: Client) -> bool:
    try:
        version = client.version(timeout=PATIENCE).get("version")
    except DaemonUnavailable:
        return False
    if version != __version__:
        _note_version(str(version))
    return True


@functools.cache
def _note_version(version: str) -> None:
    """Once in a run, however often the daemon is reached."""
    known = f"note: the daemon is fairlead {output.cell(version)}, this command is {__version__}"
    output.note(f"{known}; `fairlead daemon upgrade` changes that, and what runs goes on")


def _refuse_moved(layout: Layout) -> None:
    """A second daemon at the old place of a home that was moved under its daemon would end what the first one runs."""
    from fairlead.cli.processes import open_files, processes_of

    name = os.path.basename(layout.lock)
    for process in processes_of(layout.home):
        locks = [path for path in open_files(process.pid) if os.path.basename(path).split(" ")[0] == name]
        if process.kind == "daemon" and locks and layout.lock not in locks:
            moved = os.path.dirname(locks[0])
            deleted = locks[0].endswith(" (deleted)")
            raise DaemonUnavailable(
                f"the home {layout.home} was {'deleted' if deleted else 'moved'} while its daemon runs",
                f"the {process} has it open" + ("" if deleted else f" as {moved}"),
                ("" if deleted else f"Move it back (`mv {moved} {layout.home}`), or end everything: ")
                + "`fairlead down --all`"
                + (" ends what still runs." if deleted else ""),
            )


def _comes_back(client: Client, layout: Layout) -> bool:
    """Wait for a daemon that is there but silent. False: there is none."""
    from fairlead.cli.processes import lock_holder, processes_of

    deadline = time.monotonic() + PATIENCE
    while os.path.isdir(layout.home):
        holder = lock_holder(layout.lock)
        kept = [process for process in processes_of(layout.home) if process.kind == "keeper"]
        if holder is None and not kept:
            return False
        if _answers(client):
            return True
        if time.monotonic() > deadline:
            who = f"pid {holder} holds {layout.lock}" if holder is not None else f"the {kept[0]} starts it in vain"
            raise DaemonUnavailable(
                "the daemon does not answer",
                f"{who}, but nothing answered on {layout.api_socket} for {PATIENCE:g} s",
                f"End it: `kill -9 {holder}`; another daemon takes its place, and what runs goes on. "
                f"{layout.daemon_log} may say why."
                if holder
                else f"Look into {layout.daemon_log}; end that process, and the next command starts a new daemon.",
                detail=tail(layout.daemon_log, 0),
            )
        time.sleep(PACE)
    return False


def _start(client: Client, layout: Layout) -> None:
    from fairlead.cli import keeper, systemd

    manager = systemd.keeping(layout.home)
    if manager is not None:
        _start_by_systemd(client, manager)
        return
    written = os.path.getsize(layout.daemon_log) if os.path.exists(layout.daemon_log) else 0
    process = keeper.start(layout, sys.executable, os.environ)
    deadline, again = time.monotonic() + STARTING, time.monotonic() + PAUSE
    while time.monotonic() < deadline:
        if _answers(client):
            # It outlives us on purpose; without this Python would warn about it at our end.
            process.returncode = 0
            return
        ended = process.poll()
        if ended in GONE and time.monotonic() >= again:
            process, again = keeper.start(layout, sys.executable, os.environ), time.monotonic() + PAUSE
        elif ended not in (None, *GONE):
            raise DaemonUnavailable(
                "the daemon does not start",
                f"it ended with status {process.returncode}",
                f"See {layout.daemon_log}.",
                detail=tail(layout.daemon_log, written),
            )
        time.sleep(PACE)
    keeper.end(process)
    raise DaemonUnavailable(
        "the daemon does not start",
        f"it gave no answer on {layout.api_socket} for {STARTING:g} s",
        f"See {layout.daemon_log}.",
        detail=tail(layout.daemon_log, written),
    )


def _start_by_systemd(client: Client, manager: Systemd) -> None:
    """It has a unit for this home: what it starts it also keeps, and brings back after a reboot."""
    from fairlead.cli.unit import NAME

    manager.ask("start", NAME)
    deadline = time.monotonic() + STARTING
    while not _answers(client):
        if time.monotonic() > deadline:
            why = f"systemd started it, and it gave no answer for {STARTING:g} s"
            raise DaemonUnavailable("the daemon does not start", why, f"See {manager.journal}.")
        time.sleep(PACE)


def tail(path: str, start: int) -> str:
    """The last lines that were written to `path` after byte `start`."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, os.path.getsize(path) - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL:])
    except OSError:
        return ""
