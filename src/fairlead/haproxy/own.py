"""The answers that the balancer gave itself, counted by HAProxy for each stack. Pure.

Out: the lines that count, and what the table says. Each stack has one entry in the table, by its name, with one counter
for each kind of answer. A connection tracks its stack's entry from its beginning; on a port that several stacks share
each request tracks its owner's, and what is nobody's counts for the first of them. Counting is the last thing that a
frontend does to an answer, and one condition passes over all of it when a target gave the answer (`timing.passed`).

What HAProxy could not read as a request (400), or did not get whole in time (408), has no rules and is not in here: of
each frontend `ereq` of `show stat` counts that, and it belongs to 4XX. (A body that stops counts in both.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairlead.haproxy import words
from fairlead.haproxy.owners import Part, when
from fairlead.haproxy.timing import SECTION

TABLE = f"{SECTION}/_own"
QUESTION = f"show table {TABLE}"

KINDS = ("3XX", "4XX", "5XX", "500", "502", "503", "504", "fixed_response", "redirect")
"""By the number of their counter."""

MOST = 10_000
"""Stacks; one that is idle is forgotten after `KEPT`."""

KEPT = "20d"

LENGTH = 64
"""Of a stack's name, at most 63."""

_STATED = re.compile(r"^0x[0-9a-f]+: key=(\S+) .*", re.MULTILINE)
_COUNTER = re.compile(r"\bgpc(\d+)=(\d+)")


def table() -> str:
    """The line of the table, in the section of `timing`."""
    name = TABLE.removeprefix(f"{SECTION}/")
    return f"table {name} type string len {LENGTH} size {MOST} expire {KEPT} store gpc({len(KINDS)})"


def tracked(parts: Sequence[Part]) -> tuple[list[str], list[str]]:
    """Rules of a frontend that say whose answers are counted: `tcp-request connection`, and `http-request` behind those
    that find the owner."""
    first = f"track-sc1 str({words.name(parts[0][0].stack, 'stack')}) table {TABLE}"
    # What a connection tracks none of its requests can change; of two that a request tracks the first counts.
    return ([first], []) if len(parts) == 1 else ([], [f"track-sc1 var(txn.own) table {TABLE}", first])


def counted() -> list[str]:
    """`http-after-response` rules of a frontend, behind `timing.passed`."""
    return [
        *(_one(f"{digit}XX", f"{{ status {digit}00:{digit}99 }}") for digit in (3, 4, 5)),
        *(_one(str(status), f"{{ status {status} }}") for status in (500, 502, 503, 504)),
    ]


def asked_for() -> list[str]:
    """`http-after-response` rules of the backend that answers because a rule says so."""
    return [
        # 507 is neither: a Location that is too long.
        _one("redirect", "{ var(txn.to) -m found }", "{ status 301 302 }"),
        _one("fixed_response", "!{ var(txn.to) -m found }"),
    ]


def parse(answer: str) -> dict[str, dict[str, int]]:
    """The answer to `QUESTION`: by stack, how many of each of `KINDS`."""
    found = {}
    for line in _STATED.finditer(answer):
        counts = {int(number): int(count) for number, count in _COUNTER.findall(line[0])}
        found[line[1]] = {kind: counts.get(number, 0) for number, kind in enumerate(KINDS)}
    return found


def _one(kind: str, *conditions: str) -> str:
    return when(f"sc-inc-gpc({KINDS.index(kind)},1)", *conditions)
