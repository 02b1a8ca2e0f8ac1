"""A service's instances, sorted by what they are good for: what every decision about their number begins with.

In: the service, the release it should run, those of its instances that are not terminating, and now. Out: a `Census`.
Nobody is in it twice. The group's own (`everyone`) are counted apart from those that wait in the warm pool, and those
on standby count for nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.model import Service
from fairlead.core.observed import Instance

WORKER_START = 1.0
"""Seconds that a worker, or an instance that nothing checks, has to run before it counts as started: one that ends
sooner has failed to start."""


@dataclass(frozen=True, slots=True)
class Census:
    """Instances that are not terminating and, but for `vacant`, whose process lives."""

    current: tuple[Instance, ...]
    """Of the wanted release, sound: serving, or still within their grace period."""
    sick: tuple[Instance, ...]
    """Of the wanted release, were in service, unhealthy past their grace period."""
    hopeless: tuple[Instance, ...]
    """Of the wanted release, past their grace period without one passed check."""
    condemned: tuple[Instance, ...]
    """Of the wanted release, to be replaced although they may serve."""
    old: tuple[Instance, ...]
    """Of other releases, or launched before a restart was asked for."""
    pool: tuple[Instance, ...] = ()
    """Of the warm pool, whatever their release and health."""
    standby: tuple[Instance, ...] = ()
    """Taken out by hand, and no part of the capacity."""
    vacant: tuple[Instance, ...] = ()
    """Gone, their places kept empty while ReplaceUnhealthy is suspended."""

    @property
    def everyone(self) -> tuple[Instance, ...]:
        """The group's own that live."""
        return self.current + self.sick + self.hopeless + self.condemned + self.old

    @property
    def filled(self) -> int:
        """How many of the places of `desired` nobody has to be launched for."""
        return len(self.current) + len(self.vacant)

    @property
    def is_whole(self) -> bool:
        """Nobody is being replaced, and everybody serves."""
        replaced = self.condemned or self.old or self.sick or self.hopeless
        return not replaced and all(map(in_place, self.current))


def serving(instance: Instance) -> bool:
    """It gets requests now: admitted, and up by its checks. A worker: it has started, and runs."""
    if not instance.record.serves:
        runs = instance.process is not None and instance.process.alive
        return runs and instance.record.state == "in_service"
    return instance.target is not None and instance.target.mode == "in_service" and instance.target.up


def passing(instance: Instance) -> bool:
    """Its last check passed, whether or not it was admitted already."""
    target = instance.target
    return target is not None and (target.up or (target.check is not None and target.check.passed))


def in_place(instance: Instance) -> bool:
    """It serves, or an operator has taken it out for a while: nobody has to be launched for it."""
    return serving(instance) or (instance.record.drained and not instance.record.standby)


def is_old(instance: Instance, release: int, replaced_below: int) -> bool:
    """Of another release than wanted, or launched before a restart was asked for."""
    return instance.record.release != release or instance.record.number < replaced_below


def take_census(
    service: Service,
    release: int,
    living: Sequence[Instance],
    now: float,
    replaced_below: int = 0,
    *,
    vacant: Sequence[Instance] = (),
    replaces: bool = True,
) -> Census:
    """Sort `living` (not terminating, process not gone). `replace_unhealthy: false` leaves nobody sick or hopeless.
    replaced_below: instances of a lower number are old, whatever their release. replaces: False while ReplaceUnhealthy
    is suspended, which leaves nobody sick; one that never came up is no matter of it."""
    current, sick, hopeless, condemned, old, pool, standby = [], [], [], [], [], [], []
    check = service.health_check
    for instance in living:
        record = instance.record
        may_replace = check.replace_unhealthy and now - record.launched_at >= check.grace_period
        if record.standby:
            standby.append(instance)
        elif record.pooled:
            pool.append(instance)
        elif is_old(instance, release, replaced_below):
            old.append(instance)
        elif record.condemned:
            condemned.append(instance)
        elif record.state == "pending" and may_replace and instance.process is not None and not starts(instance):
            hopeless.append(instance)
        elif record.state == "in_service" and may_replace and replaces and instance.unhealthy_at is not None:
            sick.append(instance)
        else:
            current.append(instance)
    kept = tuple(one for one in vacant if not is_old(one, release, replaced_below))
    return Census(
        tuple(current), tuple(sick), tuple(hopeless), tuple(condemned), tuple(old), tuple(pool), tuple(standby), kept
    )


def starts(instance: Instance) -> bool:
    """It is on its way into service: it passed its last check; a worker has none to pass."""
    return passing(instance) or not instance.record.serves
