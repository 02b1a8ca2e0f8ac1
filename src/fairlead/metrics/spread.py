"""Differences between two readings, put into the whole seconds that they span. Pure.

Readings come whenever they come; a second gets the share of a difference that its part of the time between them is,
rounded to whole requests and bytes. The law: what seconds got adds up to the differences exactly, what is left over
waits for the next second, and nothing is ever negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from operator import add, sub

from fairlead.metrics.entities import Entity

Amounts = tuple[Sequence[int], Mapping[int, int]]
"""Counts, and how often each bucket of durations."""

NO_TIMES: Mapping[int, int] = {}


class Spread:
    """What was counted since the last whole second, for each entity, is kept until that second is over."""

    def __init__(self) -> None:
        self._left: dict[Entity, Amounts] = {}
        self._left_incomplete = False
        self._from_its_start = False
        """Whether the present second is known from its first moment on."""

    def begin_anew(self, at: float) -> None:
        """Nothing is known of the time before `at` (seconds since 1970): the second that it lies in stays unknown."""
        self._left.clear()
        self._left_incomplete = False
        self._from_its_start = at == floor(at)

    def add(
        self, since: float, until: float, changes: Mapping[Entity, Amounts], *, incomplete: bool
    ) -> dict[int, tuple[Mapping[Entity, Amounts], bool] | None]:
        """The seconds that end after `since` and at `until` or before, by their beginning: what happened in each, and
        whether counts may be missing. None: unknown. changes: what happened from `since` to `until` (seconds since
        1970), of every entity there is."""
        first, last = floor(since) + 1, floor(until)
        self._left_incomplete |= incomplete
        if last < first:
            for entity, change in changes.items():
                self._left[entity] = _sum(self._left.get(entity), change)
            return {}
        shares = [(edge - since) / (until - since) for edge in range(first, last + 1)]
        seconds: list[dict[Entity, Amounts]] = [{} for _ in shares]
        left: dict[Entity, Amounts] = {}
        seconds[0].update(self._left)  # also of those that are gone
        for entity, change in changes.items():
            before = self._left.get(entity)
            if not any(change[0]) and not change[1]:
                # Idle, as most are at most times: what was left over goes into the first second.
                seconds[0][entity] = before or change
                for second in seconds[1:]:
                    second[entity] = change
                continue
            given: Amounts | None = None
            for second, share in zip(seconds, shares, strict=True):
                reached = _share(change, share)
                second[entity] = _sum(before, _rest(reached, given))
                given, before = reached, None
            if until > last:
                left[entity] = _rest(change, given)
        self._left = left
        flags = [self._left_incomplete] + [incomplete] * (len(shares) - 1)
        known = [self._from_its_start] + [True] * (len(shares) - 1)
        self._left_incomplete, self._from_its_start = incomplete and until > last, True
        parts = zip(range(first - 1, last), seconds, flags, known, strict=True)
        return {at: (second, flag) if whole else None for at, second, flag, whole in parts}


def _share(change: Amounts, share: float) -> Amounts:
    if share >= 1:
        return change
    counts, times = change
    if not times:
        return [int(count * share + 0.5) for count in counts], NO_TIMES
    return (
        [int(count * share + 0.5) for count in counts],
        {bucket: part for bucket, count in times.items() if (part := int(count * share + 0.5))},
    )


def _sum(before: Amounts | None, more: Amounts) -> Amounts:
    if before is None:
        return more
    times = more[1]
    if before[1]:
        both = dict(before[1])
        for bucket, count in times.items():
            both[bucket] = both.get(bucket, 0) + count
        times = both
    return list(map(add, before[0], more[0])), times


def _rest(whole: Amounts, given: Amounts | None) -> Amounts:
    """What is left of a change after a part of it."""
    if given is None:
        return whole
    counts, times = list(map(sub, whole[0], given[0])), whole[1]
    if given[1]:
        get = given[1].get
        times = {bucket: rest for bucket, count in times.items() if (rest := count - get(bucket, 0))}
    return counts, times
