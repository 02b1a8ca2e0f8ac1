"""Sums over everything that a balancer's processes ever counted. Pure: no I/O, no clock.

In: what each process says, again and again, until it has ended. Out: a `Reading`, whose totals never fall while their
key is there. The laws:

- A process counts from nothing, but for what it had counted when it became ours. What it said last stays when it has
  ended; was that not its last word, `losses` grows.
- A server that is deleted keeps what it did.
- What a target did that is no longer wanted goes over to its group's `gone`, and stays there.
- What several processes say is not of one moment, so a sum over them may seem to fall: what was shown stands until the
  sum has reached it again.

`life.py` is one process, `ring.py` makes figures of a backend's counters, `measuring.py` asks the processes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from fairlead.core.readings import GroupReading, Key, ListenersReading, Reading, TargetCounts, TargetReading
from fairlead.haproxy.counts import Counts, Row
from fairlead.haproxy.life import Histogram, Life, Name, Passed, Said
from fairlead.haproxy.ring import NOTHING, Done, Judged, done_by, judged
from fairlead.haproxy.servers import group_of

UNHEARD = ListenersReading()

UNTIMED: Histogram = {}

Value = TypeVar("Value")


class Totals:
    """See the module. Processes are known by their generation."""

    def __init__(self) -> None:
        self._losses = self._limited = self._limited_before = 0
        self._lives: dict[int, Life] = {}
        self._mute: set[int] = set()
        self._over: set[int] = set()
        # What lives that have ended did.
        self._done: dict[Key, Done] = {}
        self._judged: dict[str, Judged] = {}
        self._passed: dict[str, Passed] = {}
        # What all of them did; of a target that is not wanted, what has not gone over to its group.
        self._times: dict[Key, Histogram] = {}
        self._own: dict[str, Mapping[str, int]] = {}
        # What is shown, or has gone over.
        self._risen: dict[Key, Done] = {}
        self._given: dict[Key, Done] = {}
        self._targets: dict[Key, TargetCounts] = {}
        self._groups: dict[str, Judged] = {}
        self._gone: dict[str, TargetCounts] = {}
        self._ports: dict[str, Passed] = {}
        self._listeners: dict[str, ListenersReading] = {}

    def adopt(self, generation: int, *, answers: bool) -> None:
        """An earlier daemon started it. Of one that takes no question nothing is ever ours, and so nothing lost."""
        if answers:
            self._lives[generation] = Life(adopted=True)
        else:
            self._mute.add(generation)

    def read(self, generation: int, said: Said) -> None:
        """What that process says now."""
        if generation in self._over:
            return
        news = self._life(generation).hear(said)
        self._keep(news.done)
        self._limited += news.limited
        for stack, own in news.own.items():
            # Another value: whoever was shown the one before keeps it.
            self._own[stack] = _sum(self._own.get(stack, {}), own)

    def read_times(self, generation: int, times: Mapping[Key, Histogram]) -> None:
        """What it says of response times; after `read`."""
        if generation in self._lives:
            for key, more in self._lives[generation].hear_times(times).items():
                self._times[key] = _sum(self._times.get(key, {}), more)

    def finish(self, generation: int) -> None:
        """That process can count nothing more: it takes no connection, and none is open."""
        if generation in self._lives:
            self._lives[generation].complete = True

    def read_servers(self, generation: int, counts: Mapping[Row, Counts]) -> None:
        """What it says of some servers, which are about to be deleted, and of their backends."""
        if generation not in self._over:
            self._keep(self._life(generation).hear_of(counts))

    def leave(self, generation: int, servers: Collection[Row]) -> None:
        """Those have been deleted."""
        if generation in self._lives:
            self._keep(self._lives[generation].leave(servers))

    def ended(self, generation: int) -> None:
        """That process is no more."""
        self._over.add(generation)
        life = self._lives.pop(generation, None)
        if generation not in self._mute and (life is None or not life.complete):
            self._losses += 1
        if life is None:
            return
        for proxy, ring in life.rings().items():
            full = group_of(proxy)
            self._keep(((full, name), one) for name, one in done_by(ring).items())
            self._judged[full] = self._judged.get(full, Judged()).plus(judged(ring))
        for port, passed in life.ports().items():
            self._passed[port] = self._passed.get(port, Passed()).plus(passed._replace(open=0))

    def all_ended(self) -> None:
        """No process is there any more."""
        for generation in tuple(self._lives):
            self.ended(generation)

    def reading(
        self, targets: Collection[Key], groups: Collection[str], ports: Mapping[str, Mapping[str, bool]]
    ) -> Reading:
        """The totals of those targets, groups (by full name) and stacks. ports: the listeners of each stack, as
        frontends are named without their prefix, and whether what was no request there is the stack's. What belongs to
        another group or stack is forgotten."""
        self._forget(groups, ports)
        wanted = {key for key in targets if key[0] in groups}
        done, sums = dict(self._done), dict(self._judged)
        inside: dict[Key, int] = {}
        queued: dict[str, int] = {}
        for life in self._lives.values():
            for proxy, ring in life.rings().items():
                full = group_of(proxy)
                if full not in groups:
                    continue
                for name, one in done_by(ring).items():
                    key = full, name
                    done[key] = done[key].plus(one) if key in done else one
                for name, counts in ring.servers.items():
                    if counts.open:
                        inside[full, name] = inside.get((full, name), 0) + counts.open
                sums[full] = sums.get(full, Judged()).plus(judged(ring))
                queued[full] = queued.get(full, 0) + ring.backend.queued
        self._part(wanted, done)
        for key in wanted:
            self._show(key, done.get(key, NOTHING))
        for full in groups:
            self._groups[full] = self._groups.get(full, Judged()).risen(sums.get(full, Judged()))
        self._listen(ports, inside)
        return Reading(
            losses=self._losses,
            targets={key: TargetReading(counts=self._targets[key], outstanding=inside.get(key, 0)) for key in wanted},
            groups={
                full: GroupReading(
                    requests=shown.requests, elb_5xx=shown.elb_5xx, queued=queued.get(full, 0),
                    gone=self._gone.get(full, TargetCounts()),
                )
                for full, shown in self._groups.items()
            },
            listeners=dict(self._listeners),
        )  # fmt: skip

    def _life(self, generation: int) -> Life:
        return self._lives.setdefault(generation, Life())

    def _keep(self, done: Iterable[tuple[Key, Done]]) -> None:
        for key, one in done:
            self._done[key] = self._done.get(key, NOTHING).plus(one)

    def _show(self, key: Key, done: Done) -> None:
        """Let what is shown of a target rise to what it did."""
        before, shown, times = self._risen.get(key), self._targets.get(key), self._times.get(key, UNTIMED)
        risen = done if before is None else before.risen(done)
        if shown is None or risen != before or shown.times is not times:
            self._risen[key] = risen
            self._targets[key] = risen.minus(self._given.get(key, NOTHING)).counts(times)

    def _part(self, wanted: Collection[Key], done: Mapping[Key, Done]) -> None:
        """Let what targets did that are not wanted go over to their groups. One that no process has a server of is then
        forgotten."""
        known = {key for life in self._lives.values() for key in life.targets}
        for key in {*done, *self._times, *self._targets} - {*wanted}:
            self._show(key, done.get(key, NOTHING))
            more = self._targets.pop(key)
            if more != TargetCounts():
                self._gone[key[0]] = _together(self._gone.get(key[0], TargetCounts()), more)
            self._given[key] = self._risen[key]
            self._times.pop(key, None)
            if key not in known:
                for by_key in (self._done, self._risen, self._given):
                    by_key.pop(key, None)

    def _listen(self, ports: Mapping[str, Mapping[str, bool]], inside: Mapping[Key, int]) -> None:
        """Add to each stack what came through its listeners since the last reading."""
        now = dict(self._passed)
        for life in self._lives.values():
            for port, passed in life.ports().items():
                now[port] = now.get(port, Passed()).plus(passed)
        before, self._ports = self._ports, {port: self._ports.get(port, Passed()).risen(now[port]) for port in now}
        limited, self._limited_before = self._limited - self._limited_before, self._limited
        for stack, mine in ports.items():
            shown, more, unread = self._listeners.get(stack, UNHEARD), Passed(), 0
            for port in mine.keys() & now.keys():
                one = self._ports[port].plus(before.get(port, Passed()), -1)
                more = more.plus(one._replace(open=now[port].open))
                unread += one.unread if mine[port] else 0
            if unread:
                self._own[stack] = _sum(self._own.get(stack, {}), {"4XX": unread})
            busy = sum(count for (full, _), count in inside.items() if full.split(".")[0] == stack)
            self._listeners[stack] = ListenersReading(
                connections=shown.connections + more.connections,
                active=busy + max(0, more.open),
                rejected=shown.rejected + limited,
                bytes=shown.bytes + more.bytes,
                own=self._own.get(stack, {}),
            )

    def _forget(self, groups: Collection[str], ports: Mapping[str, Mapping[str, bool]]) -> None:
        for targets in (self._done, self._risen, self._given):
            _keep_only(targets, lambda key: key[0] in groups)
        _keep_only(self._times, lambda key: key[0] in groups)
        _keep_only(self._targets, lambda key: key[0] in groups)
        for judgements in (self._judged, self._groups):
            _keep_only(judgements, lambda full: full in groups)
        _keep_only(self._gone, lambda full: full in groups)
        _keep_only(self._own, lambda stack: stack in ports)
        _keep_only(self._listeners, lambda stack: stack in ports)


def _keep_only(found: dict[Name, Value], wanted: Callable[[Name], bool]) -> None:
    for name in [name for name in found if not wanted(name)]:
        del found[name]


def _sum(one: Mapping[Name, int], other: Mapping[Name, int]) -> dict[Name, int]:
    total = dict(one)
    for name, count in other.items():
        total[name] = total.get(name, 0) + count
    return total


def _together(one: TargetCounts, other: TargetCounts) -> TargetCounts:
    return Done.of(one).plus(Done.of(other)).counts(_sum(one.times, other.times))
