"""What a rule asks of a request, as conditions of HAProxy. Pure.

In: a rule's conditions. Out: a condition for each of them, all of which must hold; one that needs several lines is
named first (`acl`: lines of one name are alternatives). The law is `core.rules.holds`; tests ask both the same
questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fairlead.core.model import Conditions
from fairlead.haproxy import words
from fairlead.haproxy.owners import HOST
from fairlead.haproxy.patterns import ALWAYS, comparisons, listed, parameter

ROOM = 40
"""Words of conditions inside a rule's own line, of which HAProxy reads 64; what has no room is named."""


def rendered(when: Conditions, label: str) -> tuple[list[str], list[str]]:
    """(what `acl` lines say, conditions). label: unique among the rules of the frontend, it begins the names."""
    acls: list[str] = []
    held: list[str] = []
    room = ROOM
    for number, alternatives in enumerate(_alternatives(when)):
        inside = f"{{ {alternatives[0]} }}" if len(alternatives) == 1 else ""
        if inside and inside.count(" ") < room:
            held.append(inside)
            room -= inside.count(" ") + 1
        elif alternatives:
            name = f"{label}.{number}"
            acls += [f"{name} {one}" for one in alternatives]
            held.append(name)
    return acls, held


def _alternatives(when: Conditions) -> Iterator[list[str]]:
    """Of each condition the comparisons of which one must hold; none: it always does. The cheap ones first."""
    if when.methods:
        yield listed("method -m str --", map(_method, when.methods))
    if when.hosts:
        yield _unless_always(comparisons(HOST, map(words.host_pattern, when.hosts)))
    if when.paths:
        yield _unless_always(comparisons("path", map(words.path_pattern, when.paths)))
    if when.source_ips:
        yield listed("src", map(words.network, when.source_ips))
    for name, values in when.headers:
        fetch = _header(name)
        found = comparisons(fetch, map(words.header_pattern, values), case=False)
        yield found if found != [ALWAYS] else [f"{fetch} -m found"]
    for key, values in when.queries:
        wanted = (words.query_pattern(key, value) for value in values)
        yield listed("query -m reg -i --", (parameter(*one) for one in wanted))


def _method(value: str) -> str:
    words.method(value)
    return value


def _header(name: str) -> str:
    """The fetch of a header's whole values, one after the other."""
    fetch = f"req.fhdr({words.header_name(name)})"
    return fetch if re.fullmatch(r"[A-Za-z0-9.()_-]+", fetch) else words.word(fetch, "header name")


def _unless_always(found: list[str]) -> list[str]:
    return [] if found == [ALWAYS] else found
