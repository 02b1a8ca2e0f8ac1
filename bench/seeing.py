"""What seeing costs: requests/s through fairlead's balancer with the access log and metrics on against off; what both
cost the daemon, and the disk.

"Off" is the same HAProxy with everything else. "Metrics" counts response times in HAProxy and reads all counts once a
second, as the daemon does; "access log" writes a line for each request, which is put away as the daemon does. The
reader's own time is another process's: it takes its share of the machine, and is told by `readings` and `loaded`.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from dataclasses import dataclass

from bench import lines, loaded, readings, series
from bench.asked import AGENT, PATH
from bench.balancer import Balanced, balancing
from bench.compare import CONNECTIONS, Proxy, Sample, Samples, compare, ratio, wrk
from bench.machine import CannotMeasure, folder, free_port, programs
from bench.rules import a_file, some_targets

TARGETS = 2

BAR, GOAL = 0.75, 0.85
"""Requests/s with both on against both off: at least; and what is aimed at."""


@dataclass(frozen=True)
class Variant:
    """One row."""

    name: str
    log: bool
    metrics: bool


OFF, BOTH = Variant("off", False, False), Variant("both", True, True)

VARIANTS = (OFF, Variant("access log", True, False), Variant("metrics", False, True), BOTH)


def measure(rounds: int, seconds: float) -> bool:
    """Print the tables; whether the bar was held."""
    programs("nginx", "wrk")
    with folder() as base:
        held = _requests(base, rounds, seconds)
        lines.measure(f"{base}/lines", seconds)
        readings.measure(f"{base}/readings", seconds)
        series.measure(f"{base}/series", seconds)
    loaded.measure(seconds)
    return held


def _requests(base: str, rounds: int, seconds: float) -> bool:
    running: dict[str, Balanced] = {}
    variants = {variant.name: variant for variant in VARIANTS}

    def sample(proxy: Proxy, length: float) -> Sample:
        def load() -> Sample:
            url = f"http://127.0.0.1:{proxy.port}{PATH}"
            return wrk(proxy.name, url, length, f"User-Agent: {AGENT}")

        variant, balanced = variants[proxy.name], running[proxy.name]
        found = balanced.during(load) if variant.metrics else load()
        if variant.log:
            balanced.tend()
        return found

    with contextlib.ExitStack() as everything:
        targets = everything.enter_context(some_targets(f"{base}/targets", TARGETS))
        compared = []
        for variant in VARIANTS:
            port = free_port()
            file = a_file(targets, {"port": port, "default": {"forward": "web"}})
            serving = balancing(f"{base}/f{port}", file, log=variant.log, measured=variant.metrics)
            running[variant.name] = everything.enter_context(serving)
            compared.append(Proxy(variant.name, port, running[variant.name].pids))
        samples = compare(compared, sample, rounds, seconds, "seeing: requests/s")
        for name, balanced in running.items():
            _see(variants[name], balanced)
    return _table(samples, rounds, seconds)


def _see(variant: Variant, balanced: Balanced) -> None:
    """CannotMeasure: what the row says was not so."""
    times = [count for target in balanced.measure().targets.values() for count in target.counts.times.values()]
    if bool(sum(times)) != variant.metrics:
        raise CannotMeasure(f"{variant.name}: {sum(times)} response times were counted")
    logged = sum(entry.stat().st_size for entry in os.scandir(balanced.log_folder)) if variant.log else 0
    if bool(logged) != variant.log:
        raise CannotMeasure(f"{variant.name}: nothing was logged")


def _table(samples: list[Samples], rounds: int, seconds: float) -> bool:
    off, *_, both = samples
    print(
        f"requests/s with access log and metrics, on against off: wrk, {CONNECTIONS} kept connections, 300-byte\n"
        f"answers of {TARGETS} targets, {os.cpu_count()} cores shared by all, {rounds} interleaved rounds of "
        f"2 x {seconds:g} s, medians"
    )
    print(
        f"  {'':11} {'requests/s':>11} {'of off':>18} {'CPU/request':>12} {'of off':>18} {'p99':>9} {'of off':>18}",
    )
    for variant, mine in zip(VARIANTS, samples, strict=True):
        rate, cost, p99 = map(statistics.median, (mine.rates, mine.costs, mine.p99s))
        told = [ratio(ours, theirs)[1] if mine is not off else "" for ours, theirs in (
            (mine.rates, off.rates), (mine.costs, off.costs), (mine.p99s, off.p99s)
        )]  # fmt: skip
        print(
            f"  {variant.name:11} {rate:11,.0f} {told[0]:>18} {cost:9.1f} us {told[1]:>18}"
            f" {p99 * 1000:6.1f} ms {told[2]:>18}"
        )
    reached, _ = ratio(both.rates, off.rates)
    held = reached >= BAR
    print(f"  bar: requests/s with both at least x{BAR:.2f} of off: {'held' if held else 'MISSED'}")
    print(f"  goal: x{GOAL:.2f}: {'reached' if reached >= GOAL else 'not reached'}\n")
    return held
