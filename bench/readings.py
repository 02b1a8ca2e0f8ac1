"""What one second's reading costs the daemon: `measure` (HAProxy's counts), `usage` (the processes), `take` and `flush`
(the meter), with 10, 100 and 1,000 targets; each as often as the daemon does it, once a second.

HAProxy is real, and each of its targets has answered some hundreds of requests, so that it counts as much as it will.
The instances are real processes, two each. The meter is given samples that are made up (`town`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import asked
from bench.balancer import PACE, balancing
from bench.compare import wrk
from bench.machine import CannotMeasure, cpu_seconds, free_port, note, open_files
from bench.rules import FILES, some_targets
from bench.town import Town, services_of
from fairlead.aiokit.pidfd import identity_of
from fairlead.core.readings import Key
from fairlead.engines.local.engine import MARKER
from fairlead.engines.local.members import Living
from fairlead.engines.local.usage import Usages
from fairlead.metrics.meter import Meter

SIZES = (10, 100, 1000)

BUDGETS = {10: 1.5, 100: 12.0}
"""Milliseconds of CPU that `measure` may take, for as many targets."""

OFTEN = 3
"""Readings, by second of one measurement of another kind."""

GROWN_UP = 10
"""Readings after which the memory of a process is no longer looked at at each."""

RECORDED = 150
"""Seconds that the meter takes: at the ends of two of them a minute is finished."""

STACK = "bench"


@dataclass(frozen=True)
class Cost:
    """Of one kind of reading, milliseconds each: of the clock, and of CPU, the mean; in HAProxy, if it is asked."""

    clock: float
    worst: float
    cpu: float
    haproxy: float | None = None


def measure(base: str, seconds: float) -> None:
    """Print the table. base: a folder, made; there are no bars."""
    os.makedirs(base)
    open_files(FILES)
    count = max(3, round(OFTEN * seconds))
    rows: list[tuple[int, str, Cost]] = []
    with some_targets(f"{base}/targets", max(SIZES)) as targets:
        for size in SIZES:
            rows.append((size, "measure", _measure(f"{base}/f{size}", targets[:size], count, seconds)))
            rows.append((size, "usage", asyncio.run(_usage(f"{base}/e{size}", size, count))))
            taken, flushed = asyncio.run(_taken(f"{base}/{size}.db", size))
            rows += [(size, "take", taken), (size, "flush", flushed)]
    _table(rows, count)


def _measure(folder: str, targets: Sequence[str], count: int, seconds: float) -> Cost:
    note(f"seeing: measure with {len(targets)} targets")
    port = free_port()
    with balancing(folder, _services(targets, port)) as balanced:
        paths = [f"/s{number}/x" for number in range(1, services_of(len(targets)) + 1)]
        script = asked.script(f"{folder}/asked.lua", [(path, {}) for path in paths])
        balanced.during(lambda: wrk("fairlead", f"http://127.0.0.1:{port}/", seconds, script=script))
        before = cpu_seconds(balanced.pids())
        watch = _Stopwatch(paced=True)
        for _ in range(count):
            time.sleep(PACE)
            with watch.running():
                balanced.measure()
        return watch.cost(cpu_seconds(balanced.pids()) - before)


def _services(targets: Sequence[str], port: int) -> dict[str, object]:
    """One service or ten, whose paths tell them apart."""
    names = [f"s{number}" for number in range(1, services_of(len(targets)) + 1)]
    each = len(targets) // len(names)
    groups = [targets[first : first + each] for first in range(0, len(targets), each)]
    rules = [{"when": {"path": f"/{name}/*"}, "forward": name} for name in names]
    return {
        "name": STACK,
        "services": {
            name: {"targets": list(group), "health_check": {"interval": "30s"}}
            for name, group in zip(names, groups, strict=True)
        },
        "load_balancer": {"listeners": [{"port": port, "rules": rules, "default": {"forward": "s1"}}]},
    }


async def _usage(folder: str, size: int, count: int) -> Cost:
    note(f"seeing: usage with {size} instances")
    with _instances(folder, size) as living:
        usages = Usages(MARKER, lambda: living)
        try:
            for _ in range(GROWN_UP):
                await usages.read()
                await asyncio.sleep(PACE)
            watch = _Stopwatch(paced=True)
            for _ in range(count):
                await asyncio.sleep(PACE)
                with watch.running():
                    used = await usages.read()
        finally:
            usages.close()
    if used.keys() != living.keys():
        raise CannotMeasure(f"{len(used)} of {len(living)} instances were read")
    return watch.cost()


@contextlib.contextmanager
def _instances(folder: str, size: int) -> Iterator[dict[Key, Living]]:
    """So many of two processes each, as the engine has them."""
    shims: list[subprocess.Popen[bytes]] = []
    living: dict[Key, Living] = {}
    try:
        for number in range(size):
            home = f"{folder}/{number}"
            shims.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", "sleep 600 & wait"], env={"PATH": os.defpath, MARKER: home},
                    start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
            identity = identity_of(shims[-1].pid)
            if identity is None:
                raise CannotMeasure("an instance ended at once")
            living[(STACK, f"s-{number}")] = Living(home, identity)
        yield living
    finally:
        for shim in shims:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shim.pid, signal.SIGKILL)
            shim.wait()


async def _taken(path: str, size: int) -> tuple[Cost, Cost]:
    """Of `take` and of `flush`."""
    note(f"seeing: take with {size} targets")
    meter, town = Meter(path), Town(size)
    await meter.open()
    taken, flushed = _Stopwatch(paced=False), _Stopwatch(paced=False)
    try:
        for _ in range(RECORDED):
            sample = town.sample()
            with taken.running():
                meter.take(sample)
            with flushed.running():
                await meter.flush()
    finally:
        await meter.close()
    return taken.cost(), flushed.cost()


class _Stopwatch:
    """Of the clock, and of this process's CPU, all threads together. paced: nothing but this is done meanwhile, so what
    threads do after it has come back counts, too."""

    def __init__(self, *, paced: bool) -> None:
        self._paced = paced
        self._clocks: list[float] = []
        self._cpu, self._since = 0.0, time.process_time()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Once more."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        self._clocks.append(1000 * (time.perf_counter() - began))
        self._cpu += time.process_time() - cpu

    def cost(self, haproxy: float | None = None) -> Cost:
        """haproxy: its CPU seconds of all of them."""
        count = len(self._clocks)
        used = time.process_time() - self._since if self._paced else self._cpu
        asked = None if haproxy is None else 1000 * haproxy / count
        return Cost(statistics.median(self._clocks), max(self._clocks), 1000 * used / count, asked)


def _table(rows: Sequence[tuple[int, str, Cost]], count: int) -> None:
    print(
        f"a second's reading for metrics, milliseconds: {count} times, a second apart; take and flush: {RECORDED} times"
    )
    print(f"  {'targets':>7} {'':8} {'median':>8} {'worst':>8} {'CPU, mean':>10} {'CPU of HAProxy':>15}")
    for size, name, cost in rows:
        haproxy = f" {cost.haproxy:15.1f}" if cost.haproxy is not None else ""
        budget = f"   (budget {BUDGETS[size]:g})" if name == "measure" and size in BUDGETS else ""
        print(f"  {size:7} {name:8} {cost.clock:8.1f} {cost.worst:8.1f} {cost.cpu:10.1f}{haproxy}{budget}")
    for size in SIZES:
        percent = sum(cost.cpu for targets, _, cost in rows if targets == size) / 10
        print(f"  all four with {size:5} targets: {percent:.1f} % of a core")
    print()
