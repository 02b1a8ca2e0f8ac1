"""From the counters of one backend of a group to what its targets did. Pure.

In: the `Counts` of the backend and of its servers. Out: the figures of each server, and those of the group. HAProxy
counts some things twice, and others only for all servers together (`counts.Counts`), so three identities are solved
over the whole backend, and what comes out is shared out to the servers that it may be of:

- attempts = requests for which a server was chosen + attempts that were made again. So it is known how many of the
  latter followed a silent end: those are counted once too often in `again`.
- answers of 5xx that no server gave = requests that nobody could be reached for, that a rule denied, whose answer was
  replaced, or that were not answered. So it is known how often a broken connection was counted twice in `failed`.

Exact where all servers of a backend fail in the same way, and in the sum of a backend always; in between nobody is off
by more than what was counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add, sub
from typing import NamedTuple

from fairlead.core.readings import TargetCounts
from fairlead.haproxy.counts import NONE, Counts
from fairlead.haproxy.servers import SAFE


class Done(NamedTuple):
    """What a target did: `core.readings.TargetCounts` without the times."""

    requests: int = 0
    informational: int = 0
    successes: int = 0
    redirections: int = 0
    client_errors: int = 0
    server_errors: int = 0
    connection_errors: int = 0
    broken: int = 0
    retried: int = 0
    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def plus(self, other: Done) -> Done:
        return Done._make(map(add, self, other))

    def minus(self, other: Done) -> Done:
        return Done._make(map(sub, self, other))

    def risen(self, other: Done) -> Done:
        """The higher of each."""
        return Done._make(map(max, self, other))

    @classmethod
    def of(cls, one: TargetCounts) -> Done:
        return cls(
            one.requests, *one.responses, one.connection_errors, one.broken, one.retried, one.connections,
            one.bytes_in, one.bytes_out,
        )  # fmt: skip

    def counts(self, times: Mapping[int, int]) -> TargetCounts:
        return TargetCounts(
            requests=self.requests, responses=self[1:6], connection_errors=self.connection_errors, broken=self.broken,
            retried=self.retried, connections=self.connections, bytes_in=self.bytes_in, bytes_out=self.bytes_out,
            times=times,
        )  # fmt: skip


NOTHING = Done()


class Judged(NamedTuple):
    """What became of a group's requests; `core.readings.GroupReading`."""

    requests: int = 0
    elb_5xx: int = 0

    def plus(self, other: Judged) -> Judged:
        return Judged._make(map(add, self, other))

    def risen(self, other: Judged) -> Judged:
        """The higher of each."""
        return Judged._make(map(max, self, other))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """One backend of a group in one process. departed: all servers together that were deleted from it."""

    role: str
    backend: Counts
    servers: Mapping[str, Counts]
    departed: Counts = NONE

    @property
    def chosen(self) -> int:
        """Requests for which a server was chosen, each once."""
        return max(0, self.backend.taken - self.backend.denied)


def plus(one: Counts, other: Counts) -> Counts:
    """Both together."""
    return Counts._make(map(add, one, other))


def judged(ring: Ring) -> Judged:
    """Requests for which a target was chosen, and answers of 5xx that no server gave."""
    own = ring.backend.server_errors - ring.departed.server_errors
    return Judged(ring.chosen, max(0, own - sum(one.server_errors for one in ring.servers.values())))


def done_by(ring: Ring) -> dict[str, Done]:
    """What each server did; those left out of which nothing is known yet."""
    busy = {name: counts for name, counts in ring.servers.items() if counts.taken}
    everybody = _Failures.of([*busy.values(), ring.departed])
    silent = _after_silence(ring, everybody)
    twice = _counted_twice(ring, everybody, silent)
    return {name: _done(counts, everybody, silent, twice) for name, counts in busy.items()}


class _Failures(NamedTuple):
    """What is known only of all servers together."""

    taken: int
    again: int
    elsewhere: int
    unanswered: int

    @classmethod
    def of(cls, servers: Sequence[Counts]) -> _Failures:
        return cls(
            sum([one.taken for one in servers]),
            sum([one.again for one in servers]),
            sum([one.elsewhere for one in servers]),
            sum([_unanswered(one) for one in servers if one.failed]),
        )


def _after_silence(ring: Ring, everybody: _Failures) -> int:
    """Attempts that were made again because the one before had ended in silence: `retry-on empty-response`."""
    if ring.role != SAFE or not everybody.again:
        return 0
    made_again = everybody.taken - ring.chosen
    most = min(everybody.again, everybody.unanswered)
    return _within(0, everybody.again + everybody.elsewhere - made_again, most)


def _counted_twice(ring: Ring, everybody: _Failures, silent: int) -> int:
    """Broken connections that count 2 in `failed`."""
    last = everybody.unanswered - silent
    if last < 2:
        return 0
    own = judged(ring).elb_5xx - ring.backend.unreachable - ring.backend.denied - ring.backend.replaced
    return _within(0, last - own, last // 2)


def _done(counts: Counts, everybody: _Failures, silent: int, twice: int) -> Done:
    unreachable, broken, retried = counts.unreachable, 0, counts.again + counts.elsewhere
    if retried or counts.failed:
        mine = _share(silent, counts.again, everybody.again)
        failed = _unanswered(counts)
        broken = failed - _share(twice, max(0, failed - mine), everybody.unanswered - silent)
        unreachable += max(0, retried - 2 * mine)
        retried -= mine
    return Done(
        counts.taken, counts.informational, counts.successes, counts.redirections, counts.client_errors,
        counts.server_errors, unreachable, broken, retried, max(0, counts.connects - unreachable), counts.bytes_in,
        counts.bytes_out,
    )  # fmt: skip


def _unanswered(counts: Counts) -> int:
    return max(0, counts.failed - counts.cut)


def _share(total: int, mine: int, everybodys: int) -> int:
    return total * mine // everybodys if everybodys > 0 else 0


def _within(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))
