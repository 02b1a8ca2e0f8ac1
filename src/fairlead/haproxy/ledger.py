"""What one node remembers between two looks: last finished checks, who was in rotation, requests so far. No I/O.

In: the rows of the present HAProxy and of those that are leaving. Out: the targets' reports, the number of requests
since the node's start (it never falls, also not across reloads), and the backends whose set of usable servers changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from fairlead.core.anomalies import FULL, Tally
from fairlead.core.traffic import Check, TargetReport
from fairlead.haproxy.commands import Row, last_finished
from fairlead.haproxy.relay import PREFIX
from fairlead.haproxy.servers import Key, Member, group_of

Rows = tuple[Row, ...]


class Ledger:
    """One node's memory. `look` first, then ask."""

    def __init__(self) -> None:
        self._rows: Rows = ()
        self._leaving: dict[int, Rows] = {}
        self._mute: dict[int, Collection[Key]] = {}
        self._checks: dict[Key, Check] = {}
        self._usable: dict[str, tuple[frozenset[str], bool]] = {}
        self._states: frozenset[tuple[str, str, str, int | None]] = frozenset()
        self._requests: dict[int, int] = {}

    def look(self, generation: int, rows: Rows) -> None:
        """Take what the present HAProxy says."""
        self._rows = rows
        self._requests[generation] = requests_in(rows)
        for row in _servers(rows):
            if group_of(row.proxy) == row.proxy:
                check = last_finished(row, self._checks.get((row.proxy, row.name)))
                if check is not None:
                    self._checks[row.proxy, row.name] = check

    def look_back(self, generation: int, rows: Rows) -> None:
        """Take what a leaving HAProxy says."""
        self._leaving[generation] = rows
        self._requests[generation] = requests_in(rows)

    def cannot_ask(self, generation: int, known: Collection[Key]) -> None:
        """A leaving HAProxy lives and does not answer; `known` are the targets that it has."""
        self._leaving.pop(generation, None)
        self._mute[generation] = known

    def gone(self, generation: int) -> None:
        """That process has ended; its requests still count."""
        self._leaving.pop(generation, None)
        self._mute.pop(generation, None)

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop what belongs to no target of `keys`."""
        kept = set(keys)
        self._checks = {key: check for key, check in self._checks.items() if key in kept}

    def changed(self) -> dict[str, frozenset[str]]:
        """Backends whose set of usable servers is not as it was at the last call, or whose last ramp has ended, with
        the usable ones. None in which one ramps."""
        usable: dict[str, set[str]] = {}
        ramping = {row.proxy for row in _servers(self._rows) if row.throttle is not None}
        for row in _servers(self._rows):
            names = usable.setdefault(row.proxy, set())
            if row.usable:
                names.add(row.name)
        before, self._usable = (
            self._usable,
            {backend: (frozenset(names), backend in ramping) for backend, names in usable.items()},
        )
        return {
            backend: names
            for backend, (names, ramps) in self._usable.items()
            if not ramps and (names, ramps) != before.get(backend)
        }

    def states_changed(self) -> bool:
        """Whether any server's state, or how far its ramp is, is not as it was at the last call: then the state file
        on disk is old."""
        states = frozenset(
            (row.proxy, row.name, row.status.split(" ")[0], row.throttle) for row in _servers(self._rows)
        )
        before, self._states = self._states, states
        return states != before

    def new_process(self) -> None:
        """Another process has taken over: what was in rotation says nothing of it."""
        self._usable, self._states = {}, frozenset()

    def has_passed(self, key: Key) -> bool:
        """Whether its last finished check passed."""
        return key in self._checks and self._checks[key].passed

    def in_rotation(self) -> set[Key]:
        """Whose checks keep it in rotation, also while one of several has failed; without checks: who is not taken
        out."""
        usable = (row for row in _servers(self._rows) if row.usable)
        return {(row.proxy, row.name) for row in usable if group_of(row.proxy) == row.proxy}

    def ramps(self) -> dict[Key, int]:
        """Who is on its way to its full share, and how much of it it has, in percent."""
        return {(row.proxy, row.name): row.throttle for row in _servers(self._rows) if row.throttle is not None}

    def tallies(self) -> dict[Key, Tally]:
        """What came of each target's requests in the present process."""
        total: dict[Key, Tally] = {}
        for row in _servers(self._rows):
            key = group_of(row.proxy), row.name
            total[key] = total.get(key, Tally()).plus(row.tally)
        return total

    @property
    def requests(self) -> int:
        return sum(self._requests.values())

    def reports(self, members: Mapping[Key, Member], weighted: Collection[str] = ()) -> tuple[TargetReport, ...]:
        """Every member as last seen. weighted: the groups in which anomalous targets get fewer requests."""
        up = self.in_rotation()
        sessions = self._sessions()
        unknown = {key for known in self._mute.values() for key in known}
        return tuple(
            TargetReport(
                group=key[0],
                id=key[1],
                mode=member.target.mode,
                up=key in up,
                check=self._checks.get(key),
                # A leaving process that nobody can ask may still have a request inside a target that drains.
                sessions=max(sessions.get(key, 0), 1 if key in unknown and member.target.mode == "draining" else 0),
                anomalous=member.weight < FULL if key[0] in weighted else None,
            )
            for key, member in members.items()
        )

    def _sessions(self) -> dict[Key, int]:
        total: dict[Key, int] = {}
        for rows in (self._rows, *self._leaving.values()):
            for row in _servers(rows):
                key = group_of(row.proxy), row.name
                total[key] = total.get(key, 0) + row.sessions
        return total


def requests_in(rows: Rows) -> int:
    """Requests that came through the listeners of one process."""
    passed_on = sum(row.tally.requests for row in rows if row.proxy.startswith(PREFIX) and row.name != "FRONTEND")
    return sum(row.requests for row in rows if _is_listener(row)) - passed_on


def sessions_in(rows: Rows) -> int:
    """How much is open in one process, to clients and to targets; 0: nobody is connected any more."""
    return sum(row.sessions for row in rows)


def _is_listener(row: Row) -> bool:
    return row.name == "FRONTEND" and row.proxy.startswith("_l.")


def _servers(rows: Rows) -> Iterable[Row]:
    return (row for row in rows if row.name != "FRONTEND" and not row.proxy.startswith("_"))
