"""Requests/s through fairlead's balancer, against a tuned nginx and a beginner's, with the very same targets.

`fairlead up` runs a stack of two instances, each a small nginx that answers 300 bytes; the two opponents forward to
those instances' addresses. Load generator, proxy and targets share the machine: requests/s understate the differences,
CPU time per request is the better figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics

from bench import nginx
from bench.compare import CONNECTIONS, Proxy, Sample, Samples, compare, ratio, wrk
from bench.fairlead import Fairlead, a_home
from bench.machine import children, folder, free_port, note, program, programs
from fairlead.drill.load import run
from fairlead.drill.report import Report

STACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stack")

LOAD = 300.0
"""Requests/s of the open-loop load that measures latency."""

TUNED_ALARM, BEGINNERS_BAR = 0.70, 1.8
"""Requests/s of fairlead against the tuned nginx's: alarm below; against the beginner's: at least."""


def measure(rounds: int, seconds: float) -> bool:
    """Print the table; whether the bars were held."""
    programs("nginx", "wrk")
    with contextlib.ExitStack() as everything:
        base = everything.enter_context(folder())
        source = shutil.copytree(STACK, f"{base}/source")
        fairlead = everything.enter_context(a_home())
        note("proxies: fairlead up")
        port = free_port()
        fairlead.up(source, {"PORT": str(port), "NGINX": program("nginx")})
        targets = _targets(fairlead)
        compared = [Proxy("fairlead", port, lambda: _balancer_pids(fairlead))]
        for name, http in (("nginx, tuned", nginx.TUNED), ("nginx, beginner's", nginx.BEGINNERS)):
            port = free_port()
            master = everything.enter_context(nginx.running(http, f"{base}/n{port}", port, targets))
            compared.append(Proxy(name, port, lambda master=master: [master, *children(master)]))  # type: ignore[misc]
        samples = compare(compared, _sample, rounds, seconds, "proxies")
        note("proxies: latency")
        latencies = [
            asyncio.run(run(_url(proxy), rate=LOAD, duration=seconds, connections="keep_alive")) for proxy in compared
        ]
        return _table(compared, samples, latencies, rounds, seconds)


def _targets(fairlead: Fairlead) -> list[str]:
    [stack] = fairlead.status()["stacks"]
    return [instance["address"] for service in stack["services"] for instance in service["instances"]]


def _balancer_pids(fairlead: Fairlead) -> list[int]:
    return [node["pid"] for node in fairlead.status()["balancer"]["nodes"]]


def _url(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}/"


def _sample(proxy: Proxy, seconds: float) -> Sample:
    return wrk(proxy.name, _url(proxy), seconds)


def _table(compared: list[Proxy], samples: list[Samples], latencies: list[Report], rounds: int, seconds: float) -> bool:
    ours = samples[0]
    print(
        f"requests/s through the proxy: wrk, {CONNECTIONS} kept connections, 300-byte answers of the same targets,\n"
        f"{os.cpu_count()} cores shared by all, {rounds} interleaved rounds of 2 x {seconds:g} s, medians"
    )
    print(f"  {'':18} {'requests/s':>11} {'fairlead is':>21} {'CPU/request':>12} {'fairlead is':>12}", end="")
    print(f" {f'p99 at {LOAD:.0f}/s':>13} {'lost':>5}")
    ratios: dict[str, float] = {}
    for proxy, mine, latency in zip(compared, samples, latencies, strict=True):
        rate, cost = statistics.median(mine.rates), statistics.median(mine.costs)
        print(f"  {proxy.name:18} {rate:11,.0f}", end="")
        if mine is ours:
            print(f" {'':21} {cost:9.1f} us {'':12}", end="")
        else:
            ratios[proxy.name], spread = ratio(ours.rates, mine.rates)
            print(f" {spread:>21} {cost:9.1f} us {f'x{statistics.median(ours.costs) / cost:.2f}':>12}", end="")
        print(f" {(latency.p99 or 0) * 1000:10.1f} ms {latency.lost:5}")
    held = True
    for name, bar in zip(list(ratios), (TUNED_ALARM, BEGINNERS_BAR), strict=True):
        well = ratios[name] >= bar
        held = held and well
        print(f"  bar: at least x{bar:.2f} of {name}: {'held' if well else 'MISSED'}")
    print()
    return held
