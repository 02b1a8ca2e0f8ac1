"""Which zone a new instance goes to, and which instance goes first (aws-semantics D3, D4).

Zones are kept balanced: launch in the emptiest, terminate in the fullest. On AWS ties are random; here they are decided
(first zone by name; newest instance, so that the ones with warm caches stay), because a decision has no dice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fairlead.core.observed import Instance


def choose_zone(zones: Sequence[str], occupied: Iterable[str]) -> str:
    """The zone with the fewest instances. `occupied`: the zone of each instance there is."""
    counts = Counter(occupied)
    return min(zones, key=lambda zone: (counts[zone], zone))


def choose_to_terminate(instances: Sequence[Instance], count: int) -> tuple[Instance, ...]:
    """`count` of `instances`, in the order in which they should go.

    First those that carry no traffic (never passed a check, then unhealthy), then from the zone that has most, then the
    oldest release, then the newest instance (the default termination policy, D4, with its random step decided)."""
    left = list(instances)
    chosen: list[Instance] = []
    while left and len(chosen) < count:
        zones = Counter(instance.record.zone for instance in left)
        first = min(
            left,
            key=lambda instance: (
                _traffic(instance),
                -zones[instance.record.zone],
                instance.record.zone,
                instance.record.release,
                -instance.record.number,
            ),
        )
        chosen.append(first)
        left.remove(first)
    return tuple(chosen)


def _traffic(instance: Instance) -> int:
    """0: never had any; 1: has none now; 2: has."""
    if instance.record.state == "pending":
        return 0
    return 2 if instance.target is None or instance.target.up else 1
