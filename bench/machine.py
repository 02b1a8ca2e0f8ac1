"""What a benchmark takes from the machine: programs, free ports, a folder that goes away, CPU time of a process.

The law: everything listens on loopback, every wait has an end, and nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


class CannotMeasure(Exception):
    """The machine lacks something, or what was to be measured failed: a sentence for the person who ran it."""


PACKAGES = {
    "nginx": "nginx-light",
    "wrk": "wrk",
    "openssl": "openssl",
    "h2load": "nghttp2-client",
    "valgrind": "valgrind",
}
"""Debian's package of each program."""


def program(name: str) -> str:
    """The path of an installed program. CannotMeasure: how to install it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise CannotMeasure(f"{name} is not installed. Run: sudo apt install {PACKAGES[name]}")
    return found


def programs(*names: str) -> None:
    """See, before anything is started, that all are there. CannotMeasure: how to install those that are not."""
    missing = []
    for name in names:
        try:
            program(name)
        except CannotMeasure:
            missing.append(name)
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise CannotMeasure(f"not installed: {', '.join(missing)}. Run: sudo apt install {packages}")


def open_files(needed: int) -> None:
    """Let this process, and what it starts, open as many files as it may. CannotMeasure: that is less than `needed`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        raise CannotMeasure(
            f"{needed} open files are needed, and the hard limit is {most}. Raise it: ulimit -Hn {needed}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    """A port of loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A short path, removed afterwards, that others may pass (0711): a root's instances run as another user."""
    path = tempfile.mkdtemp(prefix="flb-")
    os.chmod(path, 0o711)  # noqa: S103 (nothing secret lies in it)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return when `condition` holds. CannotMeasure: it did not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CannotMeasure(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody listens on that port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time, user and system, that these processes have used so far; those that are gone count nothing."""
    return sum(_seconds(f"/proc/{pid}/stat") for pid in pids)


def loop_seconds(pid: int) -> float:
    """CPU time that the first thread of a process has used so far: the event loop of a daemon."""
    return _seconds(f"/proc/{pid}/task/{pid}/stat")


def _seconds(path: str) -> float:
    with contextlib.suppress(OSError), open(path) as stat:
        # After the name, which may hold anything, fields 14 and 15 are the times.
        fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


@dataclass(frozen=True)
class Memory:
    """Memory of a process in MB: all that is resident, and with shared pages by share."""

    rss: float
    pss: float


def memory_of(pid: int) -> Memory:
    """What `pid` holds now. OSError: it is gone, or not ours to look into."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        sizes = {words[0]: int(words[1]) / 1000 for line in rollup if (words := line.split()) and words[-1] == "kB"}
    return Memory(sizes["Rss:"], sizes["Pss:"])


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that still run."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as listed:
        return [int(word) for word in listed.read().split()]
    return []


def described() -> str:
    """This machine in one line, and how busy it was before anything was measured."""
    model = "an unknown processor"
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as opened:
        models = (line.partition(":")[2].strip() for line in opened if line.startswith("model name"))
        model = next(models, model)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {system}; load {os.getloadavg()[0]:.1f}"


def note(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)
