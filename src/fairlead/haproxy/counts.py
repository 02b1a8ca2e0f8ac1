"""What HAProxy counts: the question, and the answer as numbers. Pure.

`commands.parse_stat` reads the same answer for the decision; this reads the counters, once a second and for a thousand
targets, and makes no text of them. What the columns really count was tried on 2.8.25 (docs/internals/balancer.md).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple

from fairlead.errors import BalancerError
from fairlead.haproxy import words

SHOW_COUNTS = "show stat -1 7 -1"
"""Frontends (1), backends (2) and servers (4) of every proxy."""

FRONTEND, BACKEND = "FRONTEND", "BACKEND"
"""Names of rows that are no server's."""


class Counts(NamedTuple):
    """One frontend, backend or server: two levels, and counts since its process began. What it lacks is 0."""

    open: int
    """Connections of a frontend; requests, WebSockets and streams of the others."""
    queued: int
    taken: int
    """Requests of a backend, each once, when it comes in; attempts of a server, connections that fail included."""
    informational: int
    """Of a server with those before the last one (103), of a backend only the last one (101)."""
    successes: int
    redirections: int
    client_errors: int
    server_errors: int
    unreachable: int
    """Failed connections after which there was no other attempt."""
    failed: int
    """Answers that did not come, or not whole: 1 for each attempt, but 2 where its connection broke and it was the last
    one."""
    cut: int
    """Answers that were not whole."""
    again: int
    """A further attempt at the same server; and, once more, each attempt after one that ended in silence."""
    elsewhere: int
    """A further attempt at another server."""
    connects: int
    """Tried, whether they came about or not."""
    accepted: int
    bytes_in: int
    bytes_out: int
    """Counted when a request, WebSocket or stream has ended."""
    unread: int
    """What a frontend could not read as a request, or did not get whole in time."""
    denied: int
    """Requests that a rule of the proxy's own answered by `deny` (`return` is not counted)."""
    replaced: int
    """Answers of a server that a rule did not let through."""


NONE = Counts._make([0] * len(Counts._fields))

Row = tuple[str, str]
"""(proxy, server), or FRONTEND or BACKEND instead of the server."""

_COLUMNS = (
    "scur", "qcur", "stot", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "econ", "eresp", "srv_abrt",
    "wretr", "wredis", "connect", "conn_tot", "bin", "bout", "ereq", "dreq",
    "dresp",
)  # fmt: skip
"""Where the fields come from, in their order."""


def show_servers(backend: str) -> str:
    """The question for one backend and its servers."""
    for part in backend.split("."):
        words.name(part, "backend")
    return f"show stat {backend} 6 -1"


def parse_counts(answer: str) -> Mapping[Row, Counts]:
    """Every row of `show stat`; BalancerError when it is none."""
    head, *lines = answer.strip().split("\n")
    names = head.removeprefix("# ").split(",")
    if not head.startswith("# ") or not {*_COLUMNS} <= {*names}:
        raise BalancerError("HAProxy's statistics cannot be read", answer[:200])
    columns = [names.index(name) for name in _COLUMNS]
    picked, behind = itemgetter(*columns), max(columns) + 1
    counted = {}
    try:
        for line in lines:
            # A comma stands in no column but what a check found, and that is quoted then.
            fields = next(csv.reader([line])) if '"' in line else line.split(",", behind)
            counted[fields[0], fields[1]] = Counts._make([int(value) if value else 0 for value in picked(fields)])
    except (IndexError, ValueError) as problem:
        raise BalancerError("HAProxy's statistics cannot be read", line[:200]) from problem
    return counted
