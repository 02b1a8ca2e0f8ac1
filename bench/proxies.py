"""Requests/s through fairlead's balancer, against a tuned nginx and a beginner's, with the very same targets.

`fairlead up` runs a stack of two instances, each a small nginx that answers 300 bytes; the two opponents forward to
those instances' addresses. Rounds are interleaved there and back (A B C C B A), so that a machine that grows slower
meanwhile wrongs nobody. Load generator, proxy and targets share the machine: requests/s understate the differences,
CPU time per request is the better figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import nginx
from bench.fairlead import Fairlead, a_home
from bench.machine import CannotMeasure, children, cpu_seconds, folder, free_port, note, program
from fairlead.drill.load import run
from fairlead.drill.report import Report

STACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stack")

CONNECTIONS = 50
"""Kept connections of wrk."""

LOAD = 300.0
"""Requests/s of the open-loop load that measures latency."""

TUNED_ALARM, BEGINNERS_BAR = 0.70, 1.8
"""Requests/s of fairlead against the tuned nginx's: alarm below; against the beginner's: at least."""


@dataclass
class Proxy:
    """One of those compared, with what was measured: requests/s and CPU microseconds of a request, by sample."""

    name: str
    port: int
    pids: Callable[[], list[int]]
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    latency: Report | None = None


def measure(rounds: int, seconds: float) -> bool:
    """Print the table; whether the bars were held."""
    for name in ("nginx", "wrk"):
        program(name)  # before anything is started
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
        for proxy in compared:
            _wrk(proxy, 1.0)  # warms up connections and caches
        for number in range(rounds):
            note(f"proxies: round {number + 1} of {rounds}")
            for proxy in (*compared, *reversed(compared)):
                _sample(proxy, seconds)
        note("proxies: latency")
        for proxy in compared:
            url = f"http://127.0.0.1:{proxy.port}/"
            proxy.latency = asyncio.run(run(url, rate=LOAD, duration=seconds, connections="keep_alive"))
        return _table(compared, rounds, seconds)


def _targets(fairlead: Fairlead) -> list[str]:
    [stack] = fairlead.status()["stacks"]
    return [instance["address"] for service in stack["services"] for instance in service["instances"]]


def _balancer_pids(fairlead: Fairlead) -> list[int]:
    return [node["pid"] for node in fairlead.status()["balancer"]["nodes"]]


def _sample(proxy: Proxy, seconds: float) -> None:
    pids = proxy.pids()
    before = cpu_seconds(pids)
    rate, requests = _wrk(proxy, seconds)
    proxy.rates.append(rate)
    proxy.costs.append((cpu_seconds(pids) - before) / requests * 1e6)


def _wrk(proxy: Proxy, seconds: float) -> tuple[float, int]:
    """Requests/s and their number. CannotMeasure: some were not answered with 2xx, so it is no fair figure."""
    url = f"http://127.0.0.1:{proxy.port}/"
    command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    requests = re.search(r"(\d+) requests in", done.stdout)
    failed = re.search(r"Socket errors:.*|Non-2xx.*", done.stdout)
    if not rate or not requests or failed or not int(requests[1]):
        raise CannotMeasure(f"wrk against {proxy.name}: {failed[0] if failed else done.stdout + done.stderr}")
    return float(rate[1]), int(requests[1])


def _table(compared: list[Proxy], rounds: int, seconds: float) -> bool:
    ours = compared[0]
    print(
        f"requests/s through the proxy: wrk, {CONNECTIONS} kept connections, 300-byte answers of the same targets,\n"
        f"{os.cpu_count()} cores shared by all, {rounds} interleaved rounds of 2 x {seconds:g} s, medians"
    )
    print(f"  {'':18} {'requests/s':>11} {'fairlead is':>21} {'CPU/request':>12} {'fairlead is':>12}", end="")
    print(f" {f'p99 at {LOAD:.0f}/s':>13} {'lost':>5}")
    ratios: dict[str, float] = {}
    for proxy in compared:
        rate, cost = statistics.median(proxy.rates), statistics.median(proxy.costs)
        print(f"  {proxy.name:18} {rate:11,.0f}", end="")
        if proxy is ours:
            print(f" {'':21} {cost:9.1f} us {'':12}", end="")
        else:
            by_sample = [a / b for a, b in zip(ours.rates, proxy.rates, strict=True)]
            ratios[proxy.name] = statistics.median(by_sample)
            spread = f"x{ratios[proxy.name]:.2f} ({min(by_sample):.2f}-{max(by_sample):.2f})"
            print(f" {spread:>21} {cost:9.1f} us {f'x{statistics.median(ours.costs) / cost:.2f}':>12}", end="")
        assert proxy.latency is not None
        print(f" {(proxy.latency.p99 or 0) * 1000:10.1f} ms {proxy.latency.lost:5}")
    held = True
    for name, bar in zip(list(ratios), (TUNED_ALARM, BEGINNERS_BAR), strict=True):
        well = ratios[name] >= bar
        held = held and well
        print(f"  bar: at least x{bar:.2f} of {name}: {'held' if well else 'MISSED'}")
    print()
    return held
