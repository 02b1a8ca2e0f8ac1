"""Who is to be replaced although it serves: for its age, its memory, or its zone.

In: the service, its census, and now. Out: at most one to condemn; it serves until another does in its place. One at a
time: nobody while another is being replaced, or while the group is not whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fairlead.core.capacity import bounds_of, room_in
from fairlead.core.census import Census
from fairlead.core.model import Service
from fairlead.core.observed import Instance
from fairlead.core.placement import choose_to_terminate
from fairlead.core.plan import Condemn
from fairlead.core.pool import Warmth

OVERSIZE_PATIENCE = 60.0
"""Seconds that an instance may use more memory than `max_memory` before it is replaced."""


def worn(service: Service, census: Census, now: float) -> tuple[tuple[Condemn, ...], tuple[float, ...]]:
    """The next instance to replace for its age or its memory, and when limits will be reached that are not yet."""
    over: list[tuple[Instance, str]] = []
    later: list[float] = []
    for instance in census.current:
        for due, why in _limits(service, instance):
            if now >= due:
                over.append((instance, why))
            else:
                later.append(due)
    if not over or not _is_settled(service, census):
        return (), tuple(later)
    instance, why = min(over, key=lambda each: each[0].record.number)
    return (Condemn(instance=instance.record.id, reason=why),), tuple(later)


def unbalanced(service: Service, census: Census, warmth: Warmth, zones: Sequence[str]) -> tuple[Condemn, ...]:
    """One of a zone that has at least two more than where its replacement would come up (AZRebalance, aws-semantics
    D3). It is launched first, so at the maximum there is no room for it."""
    if len(zones) < 2 or not _is_settled(service, census):
        return ()
    counts = Counter(dict.fromkeys(zones, 0))
    counts.update(instance.record.zone for instance in census.current)
    to = _next_zone(service, census, warmth, zones, counts)
    if to is None:
        return ()
    far = [one for one in census.current if counts[one.record.zone] - counts[to] >= 2 and not one.record.protected]
    policy = service.scaling.termination_policy if service.scaling else "default"
    return tuple(
        Condemn(
            instance=one.record.id,
            reason=f"zone {one.record.zone} has {counts[one.record.zone]} instances and zone {to} {counts[to]}:"
            " rebalanced",
        )
        for one in choose_to_terminate(far, 1, policy, census.current)
    )


def _next_zone(
    service: Service, census: Census, warmth: Warmth, zones: Sequence[str], counts: Counter[str]
) -> str | None:
    """Where the next instance of the group comes up; None: none can."""
    if warmth.coming or warmth.failing:
        return None  # that is seen when it is ready
    if warmth.ready:
        return min((one.record.zone for one in warmth.ready), key=lambda zone: (counts[zone], zone))
    if bounds_of(service).most <= len(census.current) or (service.scaling and room_in(service, census) < 1):
        return None
    return min(zones, key=lambda zone: (counts[zone], zone))


def _is_settled(service: Service, census: Census) -> bool:
    return len(census.current) == service.desired and census.is_whole and not census.vacant


def _limits(service: Service, instance: Instance) -> list[tuple[float, str]]:
    limits = []
    if service.max_lifetime is not None:
        why = f"it is older than max_lifetime, {service.max_lifetime:g} s"
        limits.append((instance.record.launched_at + service.max_lifetime, why))
    if service.max_memory is not None and instance.oversize_at is not None:
        why = f"it has used more than max_memory, {service.max_memory} bytes, for {OVERSIZE_PATIENCE:g} s"
        limits.append((instance.oversize_at + OVERSIZE_PATIENCE, why))
    return limits
