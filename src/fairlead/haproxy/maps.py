"""Many simple rules at the price of a few: HAProxy's tables ("maps") find the rule of a host and a path. Pure.

In: a stack's listener. Out: the files of its maps, and `http-request` rules that set txn.rule to the first of the rules
in them that a request matches.

A rule is *simple* when it asks for nothing but exact hosts, and paths that are exact or end in `*`. Two maps hold the
simple rules of a listener:

    hosts    HOST       CLASS        `1:`, `2:`, ...: a number for each host, which stands for it in the other map
    rules    CLASS PATH CHOICE       for `/a*`: `1:/a`; for exactly `/a`: `1:/a?`; of a rule without hosts: `0:/a`

A request is looked up as its class, its path and `?`, which no path holds; HAProxy finds the longest key that this
begins with. All keys that it begins with begin that one, too: so each key has the choice of the first rule among the
keys that it begins with, and the longest match is the first match (`core.rules`). Where some rules name hosts and
others do not, both are looked up, and the smaller number wins. Any other rule stays a line of its own, passed over when
what was found before it comes first (`unless_before`).

A file is named by its content, like the lists of `tls`, and for the same reasons. What stands in it cannot be quoted,
and need not be: hosts and paths hold no blanks, and a line that begins with a host or a digit is no comment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from fairlead.core.model import Conditions, Listener
from fairlead.core.traffic import Routing
from fairlead.haproxy import words
from fairlead.haproxy.actions import choice
from fairlead.haproxy.owners import HOST, when
from fairlead.haproxy.patterns import ALWAYS, matching
from fairlead.haproxy.timing import table_of_buckets

FEWEST = 10
"""Simple rules of a listener that are worth maps: fewer cost as little as lines."""

MOST_KEYS = 100
"""Of one rule, its hosts times its paths."""

_ANY_HOST = "0:"
_END = "?"


@dataclass(frozen=True, slots=True)
class Maps:
    """Those of a listener. numbers: the rules in them; files: by name."""

    numbers: frozenset[int]
    hosts: str
    rules: str
    by_host: bool
    by_path_alone: bool

    @property
    def files(self) -> dict[str, str]:
        """Texts by name."""
        return {_name(text): text for text in (self.hosts, self.rules) if text}

    def lookup(self, folder: str, own: str) -> list[str]:
        """Rules that set txn.rule. own: the condition that a request is the stack's; txn.host is set already."""
        rules = f"concat(,txn.path,{_END}),map_beg({file(folder, self.rules)})"
        hosted = words.word(f"{HOST},map_str({file(folder, self.hosts)}),{rules}", "lookup of rules")
        others = words.word(f"str({_ANY_HOST}),{rules}", "lookup of rules")
        lines = [when("set-var(txn.path) path", own)]
        if self.by_host:
            lines.append(when(f"set-var(txn.rule) {hosted}", own))
        if not self.by_path_alone:
            return lines
        if not self.by_host:
            return [*lines, when(f"set-var(txn.rule) {others}", own)]
        later = "{ var(txn.other),field(1,/),sub(txn.number) -m int gt 0 }"
        return [
            *lines,
            when(f"set-var(txn.other) {others}", own),
            when("set-var(txn.number) var(txn.rule),field(1,/)", own),
            when("set-var(txn.rule) var(txn.other)", own, "{ var(txn.other) -m found }", f"!{later}"),
        ]


def maps_of(routing: Routing, listener: Listener) -> Maps | None:
    """None: its simple rules are few."""
    simple = {number: keys for number, rule in enumerate(listener.rules, 1) if (keys := _keys(rule.when))}
    if len(simple) < FEWEST:
        return None
    hosts = dict.fromkeys(host for keys in simple.values() for host, _ in keys if host)
    classes = {host: f"{at}:" for at, host in enumerate(hosts, 1)} | {"": _ANY_HOST}
    first: dict[str, int] = {}
    for number, keys in simple.items():
        for host, path in keys:
            first.setdefault(classes[host] + path, number)
    chosen = {number: choice(routing, number, listener.rules[number - 1].then) for number in simple}
    return Maps(
        numbers=frozenset(simple),
        hosts="".join(f"{host} {classes[host]}\n" for host in hosts),
        rules="".join(f"{key} {chosen[_first(first, key)]}\n" for key in sorted(first)),
        by_host=bool(hosts),
        by_path_alone=any(key.startswith(_ANY_HOST) for key in first),
    )


def files(routings: Iterable[Routing]) -> dict[str, str]:
    """The texts of all maps, by name; that of response times (`timing`) is always one of them."""
    found = {_name(table_of_buckets()): table_of_buckets()}
    for routing in routings:
        for listener in routing.listeners:
            if maps := maps_of(routing, listener):
                found |= maps.files
    return found


def file(folder: str, text: str) -> str:
    """The path of the map with that text, as an argument of a converter, which has quotes of its own."""
    escaped = f"{folder}/{_name(text)}".replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unless_before(number: int) -> str:
    """The condition that no rule before that one was chosen."""
    return f"!{{ var(txn.rule),field(1,/) -m int lt {words.count(number, 'rule')} }}"


def _first(first: dict[str, int], key: str) -> int:
    """The first rule among the keys that `key` begins with."""
    return min(first[key[:size]] for size in range(len(key) + 1) if key[:size] in first)


def _keys(when: Conditions) -> list[tuple[str, str]]:
    """(host, what stands behind its class) of a simple rule, for each request that it takes; no host: "". [] of any
    other rule."""
    if when.methods or when.headers or when.queries or when.source_ips:
        return []
    hosts = _values(tuple(map(words.host_pattern, when.hosts)), {"str": ""})
    paths = _values(tuple(map(words.path_pattern, when.paths)), {"str": _END, "beg": ""})
    return list(product(hosts, paths)) if len(hosts) * len(paths) <= MOST_KEYS else []


def _values(patterns: tuple[str, ...], endings: dict[str, str]) -> list[str]:
    """What the patterns compare with, and behind it the ending of that kind of comparison; [""]: they match everything;
    []: one of them is of another kind, or too long."""
    found = [matching(pattern) for pattern in patterns]
    if not patterns or any(kind == ALWAYS for kind, _ in found):
        return [""]
    if any(kind not in endings or len(value) > words.LONGEST_WORD for kind, value in found):
        return []
    return [value + endings[kind] for kind, value in found]


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20] + ".map"
