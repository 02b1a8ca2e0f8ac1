"""`make bench`: requests/s through the balancer against nginx, the time of `fairlead up`, the costs of the daemon.

    python -m bench            everything, about four minutes
    python -m bench proxies    requests/s, as ratios
    python -m bench up         `up` cold and warm
    python -m bench daemon     what the daemon costs: idle, a turn of its loop, commands, deployments

Tables go to stdout, progress to stderr. Exit status: 0; 1 when a bar is missed (the table names it);
2 when the machine lacks something, or something failed.
"""

from __future__ import annotations

import argparse
import sys

from bench import daemon, proxies, ups
from bench.machine import CannotMeasure

WHAT = ("proxies", "up", "daemon")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Figures of fairlead on this machine.")
    parser.add_argument("what", nargs="?", choices=["all", *WHAT], default="all")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of the proxies (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (default 3)")
    asked = parser.parse_args()
    status = 0
    measures = {
        "proxies": lambda: proxies.measure(asked.rounds, asked.seconds),
        "up": ups.measure,
        "daemon": daemon.measure,
    }
    for name in WHAT if asked.what == "all" else (asked.what,):
        try:
            held = measures[name]()
            status = max(status, 0 if held else 1)
        except CannotMeasure as problem:
            print(f"bench {name}: {problem}", file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main())
