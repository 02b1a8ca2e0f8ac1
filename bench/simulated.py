"""How long `fairlead simulate` takes for a day at a million requests a second: the function that the command calls."""

from __future__ import annotations

import time
from unittest import mock

from bench.machine import note
from fairlead.core.reconcile import decide
from fairlead.simulate.app import App
from fairlead.simulate.grammar import load_of
from fairlead.simulate.load import Load
from fairlead.simulate.run import run
from fairlead.spec import parse_text

DAYS = ("constant:1M/24h", "sine:100k-1M/24h+jitter:5%")
SWINGS = "sine:100k-1M/24h@1h"
"""Up and down 24 times: most of its time goes into instances that come and go."""

APP = App(capacity=20_000.0, service_time=0.02, start_time=2.0)
"""So large an instance that a hundred are enough."""

GOAL = 10.0
"""Seconds for each of the days."""

FILE = """\
name: bench
services:
  web:
    command: serve
    scaling:
      min: 2
      max: 100
      policies:
        - target: {metric: requests_per_target, value: 14000}
        - target: {metric: cpu, value: 75%}
load_balancer: {listeners: [{port: 8080, default: {forward: web}}]}
"""

BEGAN = 1_700_000_000 // 86400 * 86400


def measure() -> bool:
    """Print the table; a goal is no bar."""
    rows = []
    stack = parse_text(FILE, "/bench/fairlead.yaml", {})
    for shape in (*DAYS, SWINGS):
        note(f"scaling: simulate {shape}")
        load = load_of(shape, _no_file)
        with mock.patch("fairlead.simulate.world.decide", wraps=decide) as reconciled:
            began, busy = time.perf_counter(), time.process_time()
            result = run(stack, "web", load, APP, began=BEGAN)
            rows.append((shape, time.perf_counter() - began, time.process_time() - busy, result, reconciled.call_count))
    print("a day of fairlead simulate, 2 policies, 2..100 instances, decided upon 86,400 times")
    print(f"  {'':28} {'seconds':>7} {'of CPU':>7} {'instances':>9} {'changes of size':>15} {'reconcile calls':>15}")
    for shape, took, used, result, calls in rows:
        most = result.summary.most_instances
        print(f"  {shape:28} {took:7.1f} {used:7.1f} {most:9} {len(result.decisions):15,} {calls:15,}")
    reached = all(took < GOAL for shape, took, *_ in rows if shape in DAYS)
    print(f"  goal: the first two under {GOAL:g} s: {'reached' if reached else 'not reached'}\n")
    return True


def _no_file(path: str) -> Load:
    raise ValueError(path)
