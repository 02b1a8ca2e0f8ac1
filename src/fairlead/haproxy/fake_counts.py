"""What the fake's targets and listeners did, counted by the law of the real ones (`totals.py`). Pure.

A request brings a connection of its own and `SIZE` bytes each way. One that its target did not answer gets a 502.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from fairlead.core.latency import bucket_of
from fairlead.core.readings import GroupReading, Key, ListenersReading, Reading, TargetCounts, TargetReading
from fairlead.haproxy.ring import NOTHING, Done

SIZE = 100
"""Bytes of a request, and of an answer."""

COUNTED_APART = (500, 502, 503, 504)

CLASSES = {1: "informational", 2: "successes", 3: "redirections", 4: "client_errors", 5: "server_errors"}


class FakeCounts:
    """See the module. losses: how often a node died."""

    def __init__(self) -> None:
        self.losses = 0
        self._done: dict[Key, Done] = {}
        self._times: dict[Key, Counter[int]] = defaultdict(Counter)
        self._gone: dict[str, TargetCounts] = {}
        self._requests: Counter[str] = Counter()
        self._elb_5xx: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._own: dict[str, Counter[str]] = defaultdict(Counter)

    def connected(self, stack: str, count: int = 1) -> None:
        """Clients opened so many connections to a listener of that stack, and asked something on each."""
        self._connections[stack] += count

    def served(self, key: Key, count: int, status: int | None, seconds: float) -> None:
        """A target took requests, and began to answer each with `status` after `seconds`; None: it did not."""
        group = key[0]
        self._requests[group] += count
        sent = count if status is not None else 0
        one = Done(requests=count, broken=count - sent, connections=count, bytes_in=SIZE * count, bytes_out=SIZE * sent)
        if status is not None:
            one = one._replace(**{CLASSES[status // 100]: count})
        self._done[key] = self._done.get(key, NOTHING).plus(one)
        if status is not None:
            self._times[key][bucket_of(round(seconds * 1e6))] += count
        else:
            self._elb_5xx[group] += count
            self.answered(group.split(".")[0], 502, count=count)

    def answered(self, stack: str, status: int, kind: str = "", count: int = 1) -> None:
        """The balancer answered by itself. kind: `fixed_response` or `redirect`, where a rule asked for it."""
        names = [f"{status // 100}XX"] if status >= 300 else []
        names += [str(status)] if status in COUNTED_APART else []
        for name in [*names, *([kind] if kind else [])]:
            self._own[stack][name] += count

    def without_target(self, group: str) -> None:
        """Nobody was there for a request: 503."""
        self._elb_5xx[group] += 1
        self.answered(group.split(".")[0], 503)

    def reading(
        self, members: Collection[Key], groups: Collection[str], stacks: Collection[str], inside: Mapping[Key, int]
    ) -> Reading:
        """As `Balancer.measure`. inside: requests that run now."""
        for key in self._done.keys() - members:
            more = Done.of(self._gone.get(key[0], TargetCounts())).plus(self._done.pop(key))
            times = Counter(self._gone.get(key[0], TargetCounts()).times) + self._times.pop(key, Counter())
            self._gone[key[0]] = more.counts(dict(times))
        return Reading(
            losses=self.losses,
            targets={
                key: TargetReading(
                    counts=self._done.get(key, NOTHING).counts(dict(self._times.get(key, {}))),
                    outstanding=inside.get(key, 0),
                )
                for key in members
            },
            groups={
                full: GroupReading(
                    requests=self._requests[full],
                    elb_5xx=self._elb_5xx[full],
                    gone=self._gone.get(full, TargetCounts()),
                )
                for full in groups
            },
            listeners={stack: self._listened(stack, members, inside) for stack in stacks},
        )

    def _listened(self, stack: str, members: Collection[Key], inside: Mapping[Key, int]) -> ListenersReading:
        busy = sum(inside.get(key, 0) for key in members if key[0].split(".")[0] == stack)
        return ListenersReading(
            connections=self._connections[stack],
            active=2 * busy,
            bytes=2 * SIZE * self._connections[stack],
            own=dict(self._own.get(stack, {})),
        )
