"""What happened between two readings of the balancer, for targets, zones, services and stacks. Pure.

In: one reading after the other. Out: for every entity that the later one knows, how much was counted between them, and
how much of everything runs just now. What a target did before it vanished is in its group's `gone`, so a service's
counts are whole while its targets come and go; a zone's are those of its targets. The law: nothing is negative, and a
group or a stack that was not in the reading before has counted nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import add, sub

from fairlead.core import latency
from fairlead.core.readings import Key, ListenersReading, Reading, TargetCounts
from fairlead.metrics.columns import BASE, OWN
from fairlead.metrics.entities import Entity, around
from fairlead.metrics.spread import NO_TIMES, Amounts

_NONE: tuple[int, ...] = (0,) * len(BASE)
_BYTES = BASE.index("ProcessedBytes")
_CONNECTIONS = BASE.index("TargetConnectionCount")


class Counted:
    """Holds the reading before."""

    def __init__(self) -> None:
        self._before: Reading | None = None
        self._vectors: dict[Key, tuple[int, ...]] = {}
        """Of the targets of the reading before."""

    def take(self, reading: Reading, zones: Mapping[Key, str]) -> dict[Entity, Amounts]:
        """What happened since the reading before; empty at the first one. zones: of the targets."""
        before, vectors = self._before, self._vectors
        now = {key: _vector(target.counts) for key, target in reading.targets.items()}
        self._before, self._vectors = reading, now
        return _changes(before, vectors, reading, now, zones) if before is not None else {}

    @property
    def losses(self) -> int:
        """Of the last reading."""
        return self._before.losses if self._before is not None else 0


def _vector(counts: TargetCounts) -> tuple[int, ...]:
    """As `BASE` orders it."""
    answers = counts.responses
    return (
        counts.requests, answers[1], answers[2], answers[3], answers[4], counts.connection_errors, counts.retried,
        counts.bytes_in + counts.bytes_out, counts.broken, counts.connections,
    )  # fmt: skip


def _changes(
    before: Reading,
    vectors: Mapping[Key, tuple[int, ...]],
    reading: Reading,
    now: Mapping[Key, tuple[int, ...]],
    zones: Mapping[Key, str],
) -> dict[Entity, Amounts]:
    present: dict[str, list[Key]] = {}
    for key in now:
        present.setdefault(key[0], []).append(key)
    vanished: dict[str, list[Key]] = {}
    for key in vectors:
        if key not in now:
            vanished.setdefault(key[0], []).append(key)
    changes: dict[Entity, Amounts] = {}
    stacks: dict[str, list[Amounts]] = {stack: [] for stack in reading.listeners}
    for name, group in reading.groups.items():
        old, left = before.groups.get(name), vanished.get(name, ())
        rest, rest_times = _NONE, NO_TIMES
        if old is not None and (left or old.gone != group.gone):
            rest, rest_times = _of_those_gone(old.gone, group.gone, left, before, vectors)
        # A total of `gone` that fell: a target came back with what it had done, which says nothing.
        returned = min(rest) < 0
        by_zone: dict[str, list[Amounts]] = {}
        for key in present.get(name, ()):
            was = before.targets.get(key)
            if old is None or (was is None and returned):
                change: Amounts = (_NONE, NO_TIMES)
            else:
                past = vectors.get(key, _NONE)
                change = (
                    _fell_never(map(sub, now[key], past)) if now[key] != past else _NONE,
                    _times(reading.targets[key].counts.times, was.counts.times if was else NO_TIMES),
                )
            zone = zones.get(key, "")
            changes[around(name, zone, key[1]).target] = change
            by_zone.setdefault(zone, []).append(change)
        # Of targets zones are made, of these the service: each histogram is merged once.
        sums = {zone: _added(ones) for zone, ones in by_zone.items()}
        changes.update({around(name, zone, "").zone: amounts for zone, amounts in sums.items() if zone})
        counts, times = _added([*sums.values(), (_fell_never(rest), rest_times)])
        requests = max(0, group.requests - old.requests) if old else 0
        failed = max(0, group.elb_5xx - old.elb_5xx) if old else 0
        counts = (requests, *counts[1:])
        whole = around(name, "", "")
        changes[whole.service] = ((*counts, failed), times)
        stacks.setdefault(whole.stack.stack, []).append((counts, times))
    for stack, ones in stacks.items():
        changes[Entity(stack)] = _of_stack(before.listeners.get(stack), reading.listeners.get(stack), ones)
    return changes


def _of_stack(old: ListenersReading | None, new: ListenersReading | None, services: Sequence[Amounts]) -> Amounts:
    """What its services did together, and its listeners themselves, as `COUNTS` orders it."""
    own = _listeners(old, new)
    counts, times = _added([(_NONE, NO_TIMES), *services])
    total = list(counts)
    total[_BYTES] = own[0]
    return (*total, *own[3:], own[1] + total[_CONNECTIONS], own[2]), times


def _of_those_gone(
    old: TargetCounts, new: TargetCounts, left: Sequence[Key], before: Reading, vectors: Mapping[Key, tuple[int, ...]]
) -> tuple[tuple[int, ...], Mapping[int, int]]:
    """What targets that vanished did since the reading before: what `gone` grew by, without what was known of them."""
    known = [_vector(old), *(vectors[key] for key in left)]
    known_times = latency.merged([old.times, *(before.targets[key].counts.times for key in left)])
    rest = tuple(map(sub, _vector(new), (sum(column) for column in zip(*known, strict=True))))
    return rest, _times(new.times, known_times)


def _listeners(old: ListenersReading | None, new: ListenersReading | None) -> list[int]:
    """Bytes, connections, rejected ones, and the balancer's own answers in the order of `OWN`."""
    if old is None or new is None:
        return [0] * (3 + len(OWN))
    pairs = [(old.bytes, new.bytes), (old.connections, new.connections), (old.rejected, new.rejected)]
    pairs += [(old.own.get(key, 0), new.own.get(key, 0)) for key in OWN]
    return [max(0, now - past) for past, now in pairs]


def _fell_never(change: Iterable[int]) -> tuple[int, ...]:
    values = tuple(change)
    return values if min(values) >= 0 else tuple(max(0, value) for value in values)


def _times(now: Mapping[int, int], past: Mapping[int, int]) -> Mapping[int, int]:
    if now is past or now == past:
        return NO_TIMES
    if list(now) == list(past):
        # The usual case: the same buckets in the same order, so that all of it is done without a loop of Python's.
        grown = list(map(sub, now.values(), past.values()))
        if min(grown) >= 0:
            return dict(zip(compress(now, grown), filter(None, grown), strict=True))
    get = past.get
    return {bucket: more for bucket, count in now.items() if (more := count - get(bucket, 0)) > 0}


def _added(parts: Sequence[Amounts]) -> Amounts:
    if len(parts) == 1:
        return parts[0]
    counts: Sequence[int] = parts[0][0]
    for part in parts[1:]:
        if part[0] is not _NONE:
            counts = list(map(add, counts, part[0]))
    return counts, _merged([part[1] for part in parts])


def _merged(parts: Sequence[Mapping[int, int]]) -> Mapping[int, int]:
    some = [part for part in parts if part]
    return latency.merged(some) if len(some) > 1 else (some[0] if some else NO_TIMES)
