"""Which zone a new instance goes to, and which instance goes first (aws-semantics D3, D4).

Zones are kept balanced: launch in the emptiest, terminate in the fullest. On AWS ties are random; here they are decided
(first zone by name; by the termination policy), because a decision has no dice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from fairlead.core.census import passing
from fairlead.core.observed import Instance
from fairlead.core.scaling.policies import TerminationPolicy


def choose_zone(zones: Sequence[str], occupied: Iterable[str]) -> str:
    """The zone with the fewest instances. `occupied`: the zone of each instance there is."""
    counts = Counter(occupied)
    return min(zones, key=lambda zone: (counts[zone], zone))


def choose_to_terminate(
    candidates: Sequence[Instance],
    count: int,
    policy: TerminationPolicy = "default",
    living: Iterable[Instance] = (),
) -> tuple[Instance, ...]:
    """`count` of `candidates`, in the order in which they should go.

    First those that carry no traffic (never passed a check, then unhealthy), then from the zone that has most, then by
    the termination policy (D4). living: everyone of the group, candidate or not: those that stay fill their zones
    too."""
    if count <= 0 or not candidates:
        return ()
    everyone = {one.record.id: one for one in (*living, *candidates)}
    zones = Counter(instance.record.zone for instance in everyone.values())
    chosen: list[Instance] = []
    by_traffic: dict[int, list[Instance]] = defaultdict(list)
    for instance in candidates:
        by_traffic[_traffic(instance)].append(instance)
    for traffic in sorted(by_traffic):
        # In each zone the one that goes first stands last.
        waiting: dict[str, list[Instance]] = defaultdict(list)
        for instance in sorted(by_traffic[traffic], key=lambda one: _turn(policy, one), reverse=True):
            waiting[instance.record.zone].append(instance)
        while waiting and len(chosen) < count:
            zone = min(waiting, key=lambda name: (-zones[name], _turn(policy, waiting[name][-1])))
            chosen.append(waiting[zone].pop())
            zones[zone] -= 1
            if not waiting[zone]:
                del waiting[zone]
    return tuple(chosen)


def _turn(policy: TerminationPolicy, instance: Instance) -> tuple[int, int]:
    """The smallest goes first. Numbers are given in the order of launches. The default's random step is decided for the
    newest, so that the ones with warm caches stay."""
    release, number = instance.record.release, instance.record.number
    match policy:
        case "oldest_instance":
            return 0, number
        case "newest_instance":
            return 0, -number
        case "oldest_release":
            return release, number
    return release, -number


def _traffic(instance: Instance) -> int:
    """0: never had any; 1: has none now; 2: has, or is about to: it was given back a moment ago."""
    if instance.record.state == "pending":
        return 0
    if instance.record.drained:
        return 1
    return 2 if instance.target is None or passing(instance) else 1
