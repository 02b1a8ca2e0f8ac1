"""How a service's instances are, as far as its size depends on it: one value of a snapshot.

Counted are the instances whose metrics count: in service, getting requests, past their warm-up. While others are on
their way, or ill, nothing is taken away (aws-semantics D9).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.core.census import serving
from fairlead.core.desired import StackRecord
from fairlead.core.observed import Instance, Observed
from fairlead.core.suspension import ALARM_NOTIFICATION, LAUNCH, SCHEDULED_ACTIONS

WHOLE_SECOND = 1.0
"""The least warm-up: what was in service for a part of a second has not had its share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """warming: instances that start, or are in service for less than the warm-up; ready_at: when the last of those in
    service will be past it (monotonic seconds). coming: those that are wanted and will be launched in a moment. ailing:
    in service, and getting no requests as they should. drained: taken out by hand for a while; they hold a place."""

    counted: frozenset[str] = frozenset()
    warming: int = 0
    ready_at: float | None = None
    coming: int = 0
    ailing: int = 0
    drained: int = 0
    known: bool = True
    """False while the balancer does not answer: then nobody knows who serves."""
    deploying: bool = False
    suspended: frozenset[str] = field(default_factory=frozenset)
    """Of AlarmNotification and ScheduledActions."""

    @property
    def empty(self) -> bool:
        """Nobody serves, starts or is ill."""
        return self.known and not (self.counted or self.warming or self.ailing)


def scene_of(wanted: StackRecord, observed: Observed, service: str, now: float) -> Scene:
    """The scene of one service of a stack at `now` (monotonic seconds of the snapshot's boot)."""
    scaling = wanted.desired.stack.service(service).scaling
    warm_up = max(scaling.warm_up if scaling else 0.0, WHOLE_SECOND)
    counted: list[str] = []
    warming = ailing = drained = 0
    ready_at: float | None = None
    for instance in observed.instances:
        record = instance.record
        if record.service != service or record.state not in ("pending", "in_service") or record.pooled:
            continue
        if observed.boot and record.boot != observed.boot:
            continue
        if record.drained:
            drained += not record.standby
        elif record.state == "pending":
            warming += 1
        elif not _serves(instance):
            ailing += 1
        elif now - (record.in_service_at or 0.0) < warm_up:
            warming += 1
            ready_at = max(ready_at or 0.0, (record.in_service_at or 0.0) + warm_up)
        else:
            counted.append(record.id)
    suspended = wanted.suspended.get(service, ())
    return Scene(
        counted=frozenset(counted),
        warming=warming,
        ready_at=ready_at,
        coming=_coming(wanted, observed, service, len(counted) + warming + ailing + drained),
        ailing=ailing,
        drained=drained,
        known=observed.balancer_known,
        deploying=wanted.under_way is not None,
        suspended=frozenset(name for name in (ALARM_NOTIFICATION, SCHEDULED_ACTIONS) if name in suspended),
    )


def _coming(wanted: StackRecord, observed: Observed, service: str, there: int) -> int:
    """Those that a larger size has just asked for: the snapshot may be older than the wish. Of a program that does not
    start nobody is, nor while nobody may be launched: for them no scale-in should wait."""
    release = wanted.desired.releases.get(service)
    number = release.number if release else 0
    fails = any((one.service, one.release) == (service, number) and one.failures for one in observed.starts)
    if fails or wanted.is_suspended(service, LAUNCH):
        return 0
    return max(0, wanted.sized(wanted.desired.stack.service(service)).desired - there)


def _serves(instance: Instance) -> bool:
    return serving(instance) and instance.process is not None and instance.process.alive
