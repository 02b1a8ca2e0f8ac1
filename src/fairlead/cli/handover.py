"""One daemon after another: the new one is started, waits for the home, and takes it over when the old one leaves.

The law: what runs is never touched. The old daemon is asked to leave only when the new one stands ready, so that a new
one that cannot even start changes nothing; and one that starts but does not answer is ended, and the old one brought
back, with the database as it was. What ran before and after is compared by process, and told.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fairlead.api.client import Client
from fairlead.cli import keeper
from fairlead.cli.connection import tail
from fairlead.cli.processes import lock_holder, open_files, processes_of
from fairlead.cli.record import schema
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable, NotFound

READY = 20.0
"""Seconds in which a new daemon has started and waits for the home; 0.3 s as a rule."""

LEAVING = 30.0
"""Seconds in which the old daemon has left."""

ANSWER = 30.0
"""Seconds in which the new daemon answers once the home is its own."""

PACE, SCAN = 0.01, 0.05
"""Seconds between two questions to a daemon; between two looks at all processes."""

OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "FAIRLEAD_HAPROXY")
"""Variables that the new daemon takes from the command that starts it; all others from the old daemon."""


@dataclass(frozen=True, slots=True)
class World:
    """What runs: "STACK/INSTANCE" and "haproxy" to pid."""

    pids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Handed:
    """version, pid: the new daemon's. gap: seconds in which nobody answered."""

    version: str
    pid: int
    gap: float


def world(client: Client) -> World:
    """What the daemon sees running. DaemonUnavailable."""
    status = client.status()
    pids = {
        f"{stack['name']}/{instance['id']}": int(instance["pid"])
        for stack in status["stacks"]
        for service in stack["services"]
        for instance in service["instances"]
        if instance["pid"]
    }
    for number, node in enumerate(status["balancer"]["nodes"]):
        if node["pid"]:
            pids[f"haproxy {number}"] = int(node["pid"])
    return World(pids)


def inherited(old: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The new daemon's environment: as the old one's, whose stacks it goes on with, but for what belongs to Python."""
    kept = {name: value for name, value in old.items() if name not in OWN or name == "FAIRLEAD_HAPROXY"}
    return (kept or dict(own)) | {name: own[name] for name in OWN if name in own}


def to_keeper(layout: Layout, old: Mapping[str, Any], python: str, environment: Mapping[str, str], back: str) -> Handed:
    """Have a daemon below a keeper take over from `old` ({"version", "pid"}).

    back: the interpreter that ran the old one, "" when it is not known. DaemonUnavailable: the new one did not start;
    says who runs now.
    """
    client, before = Client(layout.api_socket), schema(layout.database)
    written = _size(layout.daemon_log)
    process = keeper.start(layout, python, environment, take_over=int(READY + LEAVING))
    try:
        _await_ready(layout, process, written)
    except BaseException:
        keeper.end(process)
        raise
    try:
        began = ask_to_leave(client, layout, int(old["pid"]))
        found = await_answer(client, int(old["pid"]), lambda: process.poll() not in (None, 3))
    except DaemonUnavailable as error:
        keeper.end(process)
        if lock_holder(layout.lock) == int(old["pid"]):
            why = f"pid {old['pid']} still holds the home; nothing was touched"
            raise DaemonUnavailable("the old daemon does not leave", why, f"See {layout.daemon_log}.") from error
        raise _brought_back(layout, client, back, environment, before, error) from error
    except KeyboardInterrupt:
        process.returncode = 0  # the change of daemons goes on by itself
        raise
    # It outlives us on purpose; without this Python would warn about it at our end.
    process.returncode = 0
    return Handed(str(found["version"]), int(found["pid"]), time.monotonic() - began)


def _await_ready(layout: Layout, process: subprocess.Popen[bytes], written: int) -> None:
    """Until the keeper's daemon has opened the home's lock, and so has imported and checked all it needs to begin."""
    deadline = time.monotonic() + READY
    while not any(os.getsid(pid) == process.pid for pid in waiting(layout)):
        if process.poll() is not None or time.monotonic() > deadline:
            how = f"it ended with status {process.returncode}" if process.returncode is not None else "it is too slow"
            raise DaemonUnavailable(
                "the new daemon does not start",
                f"{how}; the old one goes on, and nothing was touched",
                f"See {layout.daemon_log}.",
                detail=tail(layout.daemon_log, written),
            )
        time.sleep(SCAN)


def waiting(layout: Layout) -> list[int]:
    """The daemons of the home that have opened its lock and do not hold it."""
    holder = lock_holder(layout.lock)
    found = [process.pid for process in processes_of(layout.home) if process.kind == "daemon"]
    return [pid for pid in found if pid != holder and layout.lock in open_files(pid)]


def ask_to_leave(client: Client, layout: Layout, pid: int) -> float:
    """Have the daemon `pid` leave, and what it runs go on. The moment (monotonic) from which it answers nobody."""
    try:
        client.handover()
    except (NotFound, DaemonUnavailable) as error:
        # An older version, for which SIGTERM says the same; or one that was gone before its answer came through, unless
        # the lock shows that it is still there and did not hear us.
        if isinstance(error, NotFound) or lock_holder(layout.lock) == pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    return time.monotonic()


def await_answer(client: Client, old: int, failed: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """{"version", "pid"} of the daemon that answers after `old`. DaemonUnavailable: none does, or `failed` says so."""
    deadline = time.monotonic() + LEAVING + ANSWER
    while time.monotonic() < deadline:
        with suppress(DaemonUnavailable):
            found = client.version(timeout=1.0)
            if found["pid"] != old:
                return found
        if failed():
            raise DaemonUnavailable("the new daemon does not start", "it ended as soon as the home was its own")
        time.sleep(PACE)
    raise DaemonUnavailable("the new daemon does not start", f"it gave no answer for {LEAVING + ANSWER:g} s")


def restore_schema(layout: Layout, before: int) -> None:
    """Put back the copy that the new version made of the database before it changed its schema, if it did."""
    from fairlead.store.connection import kept_copy

    copy = kept_copy(layout.database, before)
    if before and schema(layout.database) > before and os.path.exists(copy):
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(layout.database + suffix)
        shutil.copyfile(copy, layout.database)


def _brought_back(
    layout: Layout, client: Client, python: str, environment: Mapping[str, str], before: int, error: DaemonUnavailable
) -> DaemonUnavailable:
    """The old daemon has left and the new one does not start: run the old one again. The error that tells both."""
    said = tail(layout.daemon_log, 0)
    deadline = time.monotonic() + LEAVING
    while lock_holder(layout.lock) is not None and time.monotonic() < deadline:
        time.sleep(PACE)
    if not python or not os.path.exists(python):
        return DaemonUnavailable(
            error.what,
            f"{error.why}; the old one has left, and its interpreter {python or 'is not known'} is gone",
            "What ran goes on without a daemon. Install a fairlead that starts, then run `fairlead status`.",
            detail=said,
        )
    restore_schema(layout, before)
    process = keeper.start(layout, python, environment)
    try:
        found = await_answer(client, 0, lambda: process.poll() not in (None, 3))
    except DaemonUnavailable as second:
        return DaemonUnavailable(
            "neither the new daemon nor the old one starts",
            f"{second.why}; what ran goes on without a daemon",
            f"See {layout.daemon_log}.",
            detail=tail(layout.daemon_log, 0),
        )
    process.returncode = 0
    return DaemonUnavailable(
        error.what,
        f"{error.why}; fairlead {found['version']} was started again (pid {found['pid']}), and nothing was lost",
        f"See {layout.daemon_log}, then run `fairlead daemon upgrade` again.",
        detail=said,
    )


def compare(before: World, client: Client) -> list[str]:
    """What became of each process of `before`, as lines: those adopted, and those that were replaced or ended."""
    after = world(client)
    instances = [name for name in before.pids if not name.startswith("haproxy ")]
    kept = [name for name in instances if after.pids.get(name) == before.pids[name]]
    changed = sorted(set(instances) - set(kept))
    lost = f"{len(changed)} restarted or ended: {', '.join(changed)}" if changed else "none restarted"
    lines = [f"{len(kept)} of {len(instances)} instances adopted, {lost}"]
    for name in before.pids.keys() - set(instances):
        old, new = before.pids[name], after.pids.get(name)
        lines.append(f"HAProxy {old} goes on" if old == new else f"HAProxy {old} handed its listeners to {new}")
    return lines


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0
