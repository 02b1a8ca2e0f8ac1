"""Two proxies or three, measured in turn, and how their ratios are told: what `proxies`, `rules` and `tls` share.

In: those compared, and how to take one sample of one of them. Out: each one's samples. The law: rounds go there and
back (A B C C B A), so that a machine that grows slower meanwhile wrongs nobody; a sample with a request that was not
answered with 2xx is no sample.
"""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.machine import CannotMeasure, cpu_seconds, note, program

CONNECTIONS = 50
"""Kept connections of wrk."""


@dataclass(frozen=True)
class Proxy:
    """One of those compared."""

    name: str
    port: int
    pids: Callable[[], list[int]]
    """Its processes, whose CPU time counts."""


@dataclass(frozen=True)
class Sample:
    """What one measurement came to."""

    rate: float
    """Requests, or whatever is counted, a second."""
    count: int
    p99: float | None = None
    """Seconds; None: the tool does not tell."""


@dataclass
class Samples:
    """Of one proxy, in the order in which they were taken: rates, CPU microseconds of a request, p99 in seconds."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)


Take = Callable[[Proxy, float], Sample]
"""Measure a proxy for some seconds."""


def compare(compared: Sequence[Proxy], take: Take, rounds: int, seconds: float, what: str) -> list[Samples]:
    """The samples of each, two a round; before the first, a second of each warms up connections and caches."""
    found = {proxy.name: Samples() for proxy in compared}
    for proxy in compared:
        take(proxy, 1.0)
    for number in range(rounds):
        note(f"{what}: round {number + 1} of {rounds}")
        for proxy in (*compared, *reversed(compared)):
            pids, mine = proxy.pids(), found[proxy.name]
            before = cpu_seconds(pids)
            sample = take(proxy, seconds)
            mine.rates.append(sample.rate)
            mine.costs.append((cpu_seconds(pids) - before) / sample.count * 1e6)
            if sample.p99 is not None:
                mine.p99s.append(sample.p99)
    return list(found.values())


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, str]:
    """The median of ours / theirs by sample, and the same with its spread: `x0.95 (0.91-1.02)`."""
    by_sample = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median(by_sample)
    return middle, f"x{middle:.2f} ({min(by_sample):.2f}-{max(by_sample):.2f})"


def wrk(name: str, url: str, seconds: float, *headers: str, script: str = "") -> Sample:
    """One sample over kept connections; script: a file of Lua that says what is asked. CannotMeasure: some requests
    were not answered with 2xx, so it is no fair figure; `name` is whose it was."""
    given = [word for header in headers for word in ("-H", header)] + (["-s", script] if script else [])
    command = [program("wrk"), "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *given, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    requests = re.search(r"(\d+) requests in", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", done.stdout)
    failed = re.search(r"Socket errors:.*|Non-2xx.*", done.stdout)
    if not rate or not requests or not p99 or failed or not int(requests[1]):
        raise CannotMeasure(f"wrk against {name}: {failed[0] if failed else done.stdout + done.stderr}")
    return Sample(float(rate[1]), int(requests[1]), float(p99[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[p99[2]])
