"""How long targets take to answer: counted by HAProxy itself, in one stick-table for each group. Pure.

In: groups. Out: the lines that count, the map that they look into, what to ask for, and the histograms that the answer
holds, in the buckets of `core.latency`. A time begins when the frontend is done with a request (txn.sent) and ends when
the answer's headers have come (txn.took, microseconds): queues, connecting and failed attempts count, what the client's
slowness costs does not. HAProxy looks at the clock once in each turn of its loop, so that under load a time is exact to
a turn; a clock that is set meanwhile falsifies it.

The key of an entry is 1024 times the number of the target (HAProxy's `id` of its server) and the bucket. The bucket is
that of the pace, looked up in a map as if it were an IPv4 address: the longest prefix that matches, which takes the
fewer steps the shorter the time was. Being tracked counts, so nothing else has to: http_req_cnt. An entry takes some
210 bytes of HAProxy's memory and goes `KEPT` after its last answer, and the oldest go first when `MOST` are there: who
reads less often than that misses counts, and an entry that is back has begun anew.

The tables are those of a `peers` section that has no peers: HAProxy empties the table of a proxy the moment it is told
to stop, with all that nobody has read yet, and leaves these alone. They must never stand in a proxy that is `disabled`:
HAProxy 2.8 makes no memory pool for such a table, says nothing of it, and dies of the first request that it tracks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, summarize_address_range

from fairlead.core.latency import BUCKETS, HEAD_START, PACES, SCALE
from fairlead.haproxy import words
from fairlead.haproxy.servers import Key

KEPT = "10m"
MOST = 65_536
"""Entries of a group: 14 MB. A target seldom has more than 200 at a time."""

SERVED = "txn.server"
"""`PER_SERVER` times the number of the target that answered; not there: no target did."""

SECTION = "_counted"
"""The section with the tables, also that of `own`."""

PER_SERVER = 1024
"""More than there are buckets, and than any status: `accessline` relies on that, too."""

_STATED = re.compile(r" key=(\d+) .*http_req_cnt=(\d+)")


def begun() -> str:
    """The last `http-request` rule of a frontend."""
    return f"set-var(txn.sent) date(-{HEAD_START},us)"


def passed() -> str:
    """The `http-after-response` rule that ends the rules of a frontend when a target gave the answer."""
    return f"allow if {{ var({SERVED}) -m found }}"


def answered() -> str:
    """The `http-response` rule of a group's backends that sets txn.took, `HEAD_START` more than it did take."""
    return "set-var(txn.took) date(0,us),sub(txn.sent)"


def counted(full: str, map_file: str) -> str:
    """The one behind it that counts; `SERVED` is set. full: the group; map_file: where `table_of_buckets` stands, as an
    argument of a converter."""
    key = words.word(f"int({SCALE}),div(txn.took),map_ip_int({map_file}),add({SERVED})", "key of response times")
    return f"track-sc0 {key} table {SECTION}/{full}"


def section(tables: Iterable[str]) -> list[str]:
    """The lines of the section with those tables."""
    return ["", f"peers {SECTION}", "    disabled", *(f"    {one}" for one in tables)]


def table(full: str) -> str:
    """A group's."""
    return f"table {full} type integer size {MOST} expire {KEPT} store http_req_cnt"


@cache
def table_of_buckets() -> str:
    """The text of the map from paces to buckets."""
    firsts, ends = (0, *PACES[1:]), (*PACES[1:], 1 << 32)
    lines = []
    for place, (first, end) in enumerate(zip(firsts, ends, strict=True), 1):
        networks = summarize_address_range(IPv4Address(first), IPv4Address(end - 1))
        lines += [f"{network} {BUCKETS - place}\n" for network in networks]
    return "".join(lines)


def questions(groups: Iterable[str]) -> list[str]:
    """The runtime commands whose answers `parse` reads: one for each group, by its full name."""
    return [f"show table {SECTION}/{full}" for full in groups]


def parse(answer: str) -> dict[Key, dict[int, int]]:
    """Answers to any number of `questions`, one behind the other: how many answers of each target (full name of the
    group, id) began in each bucket. A line that is none of theirs is passed over."""
    found: dict[Key, dict[int, int]] = {}
    for part in answer.split(f"# table: {SECTION}/")[1:]:
        group, targets = part.partition(",")[0], dict[int, dict[int, int]]()
        for key, count in _STATED.findall(part):
            number, bucket = divmod(int(key), PER_SERVER)
            histogram = targets.get(number)
            if histogram is None:
                # Targets are called after their service and their number.
                histogram = targets[number] = found.setdefault((group, f"{group.partition('.')[2]}-{number}"), {})
            histogram[bucket] = int(count)
    return found
