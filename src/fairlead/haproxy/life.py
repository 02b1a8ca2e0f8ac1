"""What one HAProxy has counted while it was ours. Pure.

In: what it says, again and again. Out: its backends as `Ring`s, what passed its listeners, and what has been counted
between two looks. What a process that an earlier daemon started had counted before the first look is not ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from operator import sub
from typing import NamedTuple, TypeVar

from fairlead.core.readings import Key
from fairlead.haproxy.counts import BACKEND, FRONTEND, NONE, Counts, Row
from fairlead.haproxy.relay import PREFIX
from fairlead.haproxy.ring import Done, Ring, done_by, plus
from fairlead.haproxy.servers import group_of

LISTENER = "_l."
"""What the names of listeners' frontends begin with."""

Histogram = Mapping[int, int]
"""Counts by bucket of `core.latency`."""

Name = TypeVar("Name")
Whose = TypeVar("Whose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a process says, but for the times. own: by stack."""

    counts: Mapping[Row, Counts]
    limited: int = 0
    """How often a connection had to wait because as many were open as may be."""
    own: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Passed(NamedTuple):
    """What came through a listener."""

    connections: int = 0
    bytes: int = 0
    unread: int = 0
    """What was no request, or none that came whole in time."""
    open: int = 0

    def plus(self, other: Passed, sign: int = 1) -> Passed:
        return Passed._make(one + sign * two for one, two in zip(self, other, strict=True))

    def risen(self, other: Passed) -> Passed:
        """The higher of each."""
        return Passed._make(map(max, self, other))


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What was counted since the last look. done: of servers that were deleted, all that they did, for it is no longer
    among `Life.rings`."""

    done: tuple[tuple[Key, Done], ...] = ()
    limited: int = 0
    own: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Life:
    """One process. adopted: an earlier daemon started it."""

    def __init__(self, *, adopted: bool = False) -> None:
        self.complete = False
        """Whether it can count nothing more."""
        self._ours = self._times_ours = not adopted
        self._before: dict[Row, Counts] = {}
        self._rows: dict[Row, Counts] = {}
        self._departed: dict[str, Counts] = {}
        self._times: Mapping[Key, Histogram] = {}
        self._own: Mapping[str, Mapping[str, int]] = {}
        self._limited = 0

    @property
    def targets(self) -> set[Key]:
        """Those that it has a server of."""
        return {(group_of(proxy), name) for proxy, name in self._rows if _is_server((proxy, name))}

    def hear(self, said: Said) -> News:
        """All that it says now."""
        if not self._ours:
            self._before, self._limited, self._own, self._ours = dict(said.counts), said.limited, said.own, True
        done = [*self.leave(self._rows.keys() - said.counts.keys()), *self.hear_of(said.counts)]
        news = News(done=tuple(done), limited=said.limited - self._limited, own=_between(self._own, said.own))
        self._limited, self._own = said.limited, {**self._own, **said.own}
        return news

    def hear_times(self, times: Mapping[Key, Histogram]) -> Mapping[Key, Histogram]:
        """How many answers began after how long; what is new of it."""
        news = _between(self._times, times) if self._times_ours else {}
        self._times, self._times_ours = times, True
        return news

    def hear_of(self, counts: Mapping[Row, Counts]) -> list[tuple[Key, Done]]:
        """Some of its rows. What `leave` gives is that of servers that were deleted and added again, unseen."""
        if not self._ours:
            return []
        again = [row for row, now in counts.items() if row in self._rows and now.taken < self._rows[row].taken]
        done = self.leave(again)
        self._rows.update(counts)
        return done

    def leave(self, rows: Collection[Row]) -> list[tuple[Key, Done]]:
        """Those are there no more; what they did, which counts no longer here."""
        mine, done = self._rows.keys() & rows, []
        for proxy, ring in (self.rings() if mine else {}).items():
            gone = {name for name in ring.servers if (proxy, name) in mine}
            if gone:
                did = done_by(ring)
                done += [((group_of(proxy), name), did[name]) for name in gone if name in did]
                for name in gone:
                    self._departed[proxy] = plus(self._departed.get(proxy, NONE), ring.servers[name])
        for row in mine:
            del self._rows[row]
            self._before.pop(row, None)
        return done

    def rings(self) -> dict[str, Ring]:
        """By backend."""
        servers: dict[str, dict[str, Counts]] = {}
        for row in self._rows:
            if _is_server(row):
                servers.setdefault(row[0], {})[row[1]] = self._since(row)
        return {
            proxy: Ring(
                role=proxy.removeprefix(group_of(proxy)),
                backend=self._since((proxy, BACKEND)),
                servers=servers.get(proxy, {}),
                departed=self._departed.get(proxy, NONE),
            )
            for proxy, name in self._rows
            if name == BACKEND and proxy[0] != "_"
        }

    def ports(self) -> dict[str, Passed]:
        """By listener, as frontends are named without their prefix. What was passed on to the next process is left out:
        there it counts."""
        found: dict[str, Passed] = {}
        for row in self._rows:
            proxy, name = row
            if name == FRONTEND and proxy.startswith(LISTENER):
                port, counts, sign = proxy.removeprefix(LISTENER), self._since(row), 1
            elif proxy.startswith(PREFIX) and name not in (FRONTEND, BACKEND):
                port, counts, sign = _passed_on(proxy), self._since(row), -1
            else:
                continue
            connections = counts.accepted if sign > 0 else counts.connects
            one = Passed(connections, counts.bytes_in + counts.bytes_out, counts.unread, counts.open)
            found[port] = found.get(port, Passed()).plus(one, sign)
        return found

    def _since(self, row: Row) -> Counts:
        """What was counted while it was ours, and its two levels as they are."""
        counts, before = self._rows[row], self._before.get(row)
        return counts if before is None else Counts._make((*counts[:2], *map(sub, counts[2:], before[2:])))


def _is_server(row: Row) -> bool:
    return row[0][0] != "_" and row[1] != BACKEND and row[1] != FRONTEND


def _passed_on(proxy: str) -> str:
    """The listener of a relay's backend: `_n.127.0.0.1:8080`, or with `.2` behind it."""
    address, _, port = proxy.removeprefix(PREFIX).rpartition(":")
    return f"{address}:{port.removesuffix('.2')}"


def more(before: Mapping[Name, int], now: Mapping[Name, int]) -> dict[Name, int]:
    """What has been counted between. A count that is less than before began anew."""
    found = {}
    for name, count in now.items():
        known = before.get(name, 0)
        if added := count - known if count >= known else count:
            found[name] = added
    return found


def _between(
    before: Mapping[Whose, Mapping[Name, int]], now: Mapping[Whose, Mapping[Name, int]]
) -> dict[Whose, dict[Name, int]]:
    # Of most targets nothing has changed, and that is found out quickly.
    changed = ((one, counts, before.get(one, {})) for one, counts in now.items())
    return {one: added for one, counts, known in changed if counts != known and (added := more(known, counts))}
