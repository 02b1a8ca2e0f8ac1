"""How long `fairlead up examples/host-date` takes: cold (an empty home: packages are fetched), warm (everything was
down, the caches are there), and when nothing is to be done."""

from __future__ import annotations

import os
import statistics

from bench.fairlead import a_home
from bench.machine import CannotMeasure, free_port, note

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples", "host-date")

COLD, WARM = 2, 5
"""How often each is measured."""

WARM_BAR = 2.0
"""Seconds that a warm `up` may take."""


def measure() -> bool:
    """Print the table; whether the bar was held."""
    if not os.path.isfile(f"{EXAMPLE}/fairlead.yaml"):
        raise CannotMeasure(f"there is no {EXAMPLE}/fairlead.yaml")
    port = {"PORT": str(free_port())}
    cold: list[float] = []
    warm: list[float] = []
    again: list[float] = []
    for number in range(COLD):
        note(f"up: cold {number + 1} of {COLD}")
        with a_home() as fairlead:
            cold.append(fairlead.up(EXAMPLE, port))
            if number < COLD - 1:
                continue
            # The last home stays for the warm ones.
            for _ in range(WARM):
                note(f"up: warm {len(warm) + 1} of {WARM}")
                again.append(fairlead.up(EXAMPLE, port))
                fairlead.down()
                warm.append(fairlead.up(EXAMPLE, port))
    print("fairlead up examples/host-date, seconds, by the real command line")
    print(f"  {'':36} {'median':>7} {'best':>7} {'worst':>7}")
    rows = (
        ("cold: empty home, packages fetched", cold),
        ("warm: all down, caches there", warm),
        ("nothing to do: it runs already", again),
    )
    for name, times in rows:
        print(f"  {name:36} {statistics.median(times):7.2f} {min(times):7.2f} {max(times):7.2f}")
    held = statistics.median(warm) < WARM_BAR
    print(f"  bar: warm under {WARM_BAR:.0f} s: {'held' if held else 'MISSED'}\n")
    return held
