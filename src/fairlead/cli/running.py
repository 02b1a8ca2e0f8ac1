"""The daemon that runs, as the kernel sees it: whose interpreter, since when, how much memory, and who keeps it.

Reads /proc only. For `daemon status`, `upgrade` and `install`, which have to know whom to ask for the next one.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from fairlead.cli.processes import KEEPER


@dataclass(frozen=True, slots=True)
class Running:
    """One daemon process.

    python: the interpreter it runs, absolute; "" when it cannot be told. environment: as it was started. up: seconds
    since. memory: bytes that are its own share (PSS, else RSS); None when it may not be read.
    kept: "keeper", "systemd" or "nobody". unit: of systemd's, `fairlead.service` as a rule. user_manager: whether that
    is the user's own systemd. keeper: the keeper's pid.
    """

    pid: int
    python: str
    environment: dict[str, str]
    up: float
    memory: int | None
    kept: str
    unit: str = ""
    user_manager: bool = False
    keeper: int | None = None


def look(pid: int) -> Running | None:
    """What is known of the daemon `pid`; None when it is gone, or another user's."""
    words = [os.fsdecode(word) for word in _read(f"/proc/{pid}/cmdline").split(b"\0")]
    stat = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(words) < 2 or len(stat) < 20:
        return None
    entries = (os.fsdecode(entry).partition("=") for entry in _read(f"/proc/{pid}/environ").split(b"\0"))
    environment = {name: value for name, _, value in entries if name}
    parent = int(stat[1])
    kept, unit = _kept(pid, parent, environment)
    return Running(
        pid=pid,
        python=words[0] if os.path.isabs(words[0]) else "",
        environment=environment,
        up=max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / os.sysconf("SC_CLK_TCK")),
        memory=_memory(pid),
        kept=kept,
        unit=unit,
        user_manager=b"/user@" in _read(f"/proc/{pid}/cgroup"),
        keeper=parent if kept == "keeper" else None,
    )


def _kept(pid: int, parent: int, environment: dict[str, str]) -> tuple[str, str]:
    """Who starts it again, and the unit's name if that is systemd."""
    if KEEPER.encode() in _read(f"/proc/{parent}/cmdline").split(b"\0"):
        return "keeper", ""
    # INVOCATION_ID alone proves nothing: a terminal that systemd started hands it on.
    if "INVOCATION_ID" in environment and (parent == 1 or _read(f"/proc/{parent}/comm").strip() == b"systemd"):
        units = re.findall(r"/([^/\n]+\.service)", _read(f"/proc/{pid}/cgroup").decode(errors="replace"))
        if units and not units[-1].startswith("user@"):
            return "systemd", units[-1]
    return "nobody", ""


def _memory(pid: int) -> int | None:
    for name, field in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
        found = re.search(rf"^{field}:\s+(\d+) kB", _read(f"/proc/{pid}/{name}").decode(errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return None


def _read(path: str) -> bytes:
    """A file of /proc; nothing when it is gone or another user's."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
