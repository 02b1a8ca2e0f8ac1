"""`make bench`: requests/s through the balancer against nginx, the time of `fairlead up`, the costs of the daemon.

    python -m bench            everything, about twenty minutes
    python -m bench proxies    requests/s, as ratios
    python -m bench rules      the same with 1, 10 and 100 rules, and with 2, 100 and 1,000 targets
    python -m bench tls        handshakes and requests/s over TLS, as ratios
    python -m bench seeing     what access log and metrics cost: requests/s, the daemon, the disk
    python -m bench up         `up` cold and warm
    python -m bench scaling    how soon a load step is answered, what deciding costs, a simulated day
    python -m bench ip-location  what the cache of examples/ip-location brings and costs
    python -m bench daemon     what the daemon costs: idle, a turn of its loop, commands, deployments

Several may be named. Tables go to stdout, progress to stderr. Exit status: 0; 1 when a bar is missed (the table names
it); 2 when the machine lacks something, or something failed.
"""

from __future__ import annotations

import argparse
import sys

from bench import daemon, ip_location, proxies, rules, scaling, seeing, tls, ups
from bench.machine import CannotMeasure, described

WHAT = ("proxies", "rules", "tls", "seeing", "up", "scaling", "ip-location", "daemon")

SHORT = 1.0
"""Seconds that one measurement of rules and of TLS takes at most: there are many."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Figures of fairlead on this machine.")
    parser.add_argument("what", nargs="*", choices=["all", *WHAT], default="all")
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds of proxies, rules, tls and seeing (default 3)"
    )
    length = f"length of one measurement (default 3; rules and tls: at most {SHORT:g})"
    parser.add_argument("--seconds", type=float, default=3.0, help=length)
    asked = parser.parse_args()
    print(f"{described()}\n", flush=True)
    status = 0
    measures = {
        "proxies": lambda: proxies.measure(asked.rounds, asked.seconds),
        "rules": lambda: rules.measure(asked.rounds, min(asked.seconds, SHORT)),
        "tls": lambda: tls.measure(asked.rounds, min(asked.seconds, SHORT)),
        "seeing": lambda: seeing.measure(asked.rounds, asked.seconds),
        "up": ups.measure,
        "scaling": scaling.measure,
        "ip-location": lambda: ip_location.measure(asked.rounds, asked.seconds),
        "daemon": daemon.measure,
    }
    for name in WHAT if "all" in asked.what else asked.what:
        try:
            held = measures[name]()
            status = max(status, 0 if held else 1)
        except CannotMeasure as problem:
            print(f"bench {name}: {problem}", file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main())
