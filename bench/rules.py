"""What rules and targets cost: fairlead's balancer and nginx with the same 1, 10 and 100 rules, and with the same
2, 100 and 1,000 targets.

A rule asks for a host and a path of its own; every request is one that only the last rule takes. nginx has a `server`
for each host with a `location` for its path, keeps connections to the targets, and adds the same headers. The targets
are one nginx that listens at 1,000 addresses of loopback: fairlead routes to them (`targets:`) and checks them. Neither
proxy writes a log.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import nginx
from bench.balancer import balancing
from bench.compare import CONNECTIONS, Proxy, Sample, Samples, compare, ratio, wrk
from bench.machine import children, folder, free_port, open_files, programs

MOST_TARGETS = 1000

FILES = 8000
"""Descriptors that the nginx of all targets, or the one before them, may need: a connection for each target and worker,
those of wrk, and its listening sockets."""


@dataclass(frozen=True)
class Case:
    """One row."""

    rules: int
    targets: int


CASES = (Case(1, 2), Case(10, 2), Case(100, 2), Case(1, 100), Case(1, MOST_TARGETS))


def measure(rounds: int, seconds: float) -> bool:
    """Print the table; there are no bars."""
    programs("nginx", "wrk")
    open_files(FILES)
    with contextlib.ExitStack() as everything:
        base = everything.enter_context(folder())
        targets = everything.enter_context(some_targets(f"{base}/targets", MOST_TARGETS))
        rows = [(case, _measured(case, targets[: case.targets], base, rounds, seconds)) for case in CASES]
    _table(rows, rounds, seconds)
    return True


@contextlib.contextmanager
def some_targets(path: str, count: int) -> Iterator[list[str]]:
    """The addresses of `count` targets; one port at 127.0.0.1 and those above."""
    port = free_port()
    first = ipaddress.ip_address("127.0.0.1")
    addresses = [f"{first + number}:{port}" for number in range(count)]
    with nginx.running(nginx.answering(addresses), path, port):
        yield addresses


def a_file(targets: Sequence[str], listener: Mapping[str, object]) -> dict[str, object]:
    """One that forwards from `listener` to the service `web` with those targets."""
    web = {"targets": list(targets), "health_check": {"interval": "30s"}}  # an ALB's; nginx makes no checks
    return {"name": "bench", "services": {"web": web}, "load_balancer": {"listeners": [listener]}}


def _measured(case: Case, targets: Sequence[str], base: str, rounds: int, seconds: float) -> list[Samples]:
    what = f"rules: {case.rules} rules, {case.targets} targets"
    conditions = [(f"h{number}.example.com", f"/p{number}/") for number in range(1, case.rules + 1)]
    ours, theirs = free_port(), free_port()
    rules = [{"when": {"host": host, "path": f"{path}*"}, "forward": "web"} for host, path in conditions]
    file = a_file(targets, {"port": ours, "rules": rules, "default": {"respond": {"status": 404}}})
    host, path = conditions[-1]

    def sample(proxy: Proxy, length: float) -> Sample:
        return wrk(proxy.name, f"http://127.0.0.1:{proxy.port}{path}x", length, f"Host: {host}")

    with (
        balancing(f"{base}/f{ours}", file) as balanced,
        nginx.running(nginx.ruled(conditions), f"{base}/n{theirs}", theirs, targets) as master,
    ):
        compared = [Proxy("fairlead", ours, balanced.pids), Proxy("nginx", theirs, lambda: [master, *children(master)])]
        return compare(compared, sample, rounds, seconds, what)


def _table(rows: list[tuple[Case, list[Samples]]], rounds: int, seconds: float) -> None:
    print(
        f"rules (host and path; requests match the last) and targets, fairlead against nginx with the same ones: wrk,\n"
        f"{CONNECTIONS} kept connections, {os.cpu_count()} cores shared by all, {rounds} interleaved rounds of "
        f"2 x {seconds:g} s, medians"
    )
    print(
        f"  {'rules':>5} {'targets':>7} {'requests/s':>11} {'of nginx':>8} {'fairlead is':>18} {'CPU/request':>12}"
        f" {'fairlead is':>18} {'p99':>9} {'fairlead is':>18}"
    )
    for case, (ours, theirs) in rows:
        rate, other, cost, p99 = map(statistics.median, (ours.rates, theirs.rates, ours.costs, ours.p99s))
        print(
            f"  {case.rules:5} {case.targets:7} {rate:11,.0f} {other:8,.0f} {ratio(ours.rates, theirs.rates)[1]:>18}"
            f" {cost:9.1f} us {ratio(ours.costs, theirs.costs)[1]:>18}"
            f" {p99 * 1000:6.1f} ms {ratio(ours.p99s, theirs.p99s)[1]:>18}"
        )
    print()
