"""What was counted since the daemon began, for programs that want totals, as Prometheus does. Pure.

In: what happened between two readings. Out: sums that never fall; they begin at zero with the daemon, so that a restart
looks like what it is. Whoever is gone is remembered for `KEPT` more readings: no scrape shall miss what it did last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

from fairlead.core import latency
from fairlead.metrics.entities import Entity
from fairlead.metrics.spread import Amounts

LIMITS = tuple(limit / 1e6 for limit in latency.LIMITS)
"""Upper limits of the response times that are counted together, in seconds. A bucket ends at each of them."""

KEPT = 600
"""Readings; ten minutes."""


@dataclass(slots=True)
class Total:
    """counts: as `columns.COUNTS` orders them, but for RequestCountPerTarget. times: how many were within each of
    `LIMITS`, but not within the one before, and how many were above all; seconds: all of them together."""

    counts: Sequence[int]
    times: list[int] = field(default_factory=lambda: [0] * (len(LIMITS) + 1))
    seconds: float = 0.0
    per_target: float = 0.0
    """RequestCountPerTarget, of a service."""
    seen: int = 0


class Totals:
    """Of stacks, services and targets; those of zones are sums of targets."""

    def __init__(self) -> None:
        self.of: dict[Entity, Total] = {}
        self._readings = 0

    def add(self, changes: Mapping[Entity, Amounts]) -> None:
        """What happened since the reading before."""
        self._readings += 1
        for entity, (counts, times) in changes.items():
            if entity.zone and not entity.target:
                continue
            total = self.of.get(entity)
            if total is None:
                total = self.of[entity] = Total([0] * len(counts))
            total.seen = self._readings
            if any(counts):
                total.counts = list(map(add, total.counts, counts))
            if times and entity.target:
                within = total.times
                for bucket, count in times.items():
                    within[_PLACES[bucket]] += count
                    total.seconds += _MIDDLES[bucket] * count
        if self._readings % 60 == 0:
            for entity in [entity for entity, total in self.of.items() if self._readings - total.seen > KEPT]:
                del self.of[entity]

    def add_per_target(self, entity: Entity, requests: float) -> None:
        """What each target of a service got in a second."""
        total = self.of.get(entity)
        if total is not None and requests == requests:
            total.per_target += requests


_BOUNDS = [latency.bounds(bucket) for bucket in range(latency.BUCKETS)]
_PLACES = [bisect_left(LIMITS, high * (1 - 1e-9)) for _, high in _BOUNDS]
"""Which of `LIMITS` is the first that holds all of a bucket."""
_MIDDLES = [(low + high) / 2 for low, high in _BOUNDS]
"""The time in the middle of a bucket."""
