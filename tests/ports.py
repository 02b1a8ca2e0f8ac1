"""Ports for tests to listen on."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, LAST = 10_000, 20_000
"""Below those that fairlead gives to instances, and those that the kernel gives to clients: nobody else takes one of
them between the moment it is found free and the moment somebody listens there."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

# Each worker has its own; each session begins somewhere else.
_mine = itertools.cycle(range(FIRST + WORKER, LAST, WORKERS))
_turns = itertools.islice(_mine, os.getpid() * 61 % ((LAST - FIRST) // WORKERS), None)


def a_free_port() -> int:
    """A port of 127.0.0.1 where nobody listens; the same one comes again only when all others had their turn."""
    for port in itertools.islice(_turns, LAST - FIRST):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port between {FIRST} and {LAST}")
