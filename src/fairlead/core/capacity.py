"""How many instances of which release a service should have, and what to do about the difference.

In: the service, the release it should run, its instances that are not terminating, its failed starts, and now. Out:
launches and retirements with reasons. The laws:

- add before remove: an instance that serves is retired only while enough others serve (`min_healthy` of desired);
- never more than `max_healthy` of desired at once;
- an instance that cannot serve (never came up, or its process is gone) counts for nothing and is not waited for;
- one that is condemned (by hand, by its age or its memory) counts for nothing either, and serves until it is replaced;
- a program that ends before its first passed check is started again after 1 s, 2 s, 4 s ... 60 s; one that had passed a
  check is replaced at once ("can never start" is not "died").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.model import Service
from fairlead.core.observed import Instance, StartHistory
from fairlead.core.placement import choose_to_terminate, choose_zone
from fairlead.core.plan import Action, Condemn, Launch, Retire

BACK_OFF_FIRST, BACK_OFF_MOST = 1.0, 60.0

OVERSIZE_PATIENCE = 60.0
"""Seconds that an instance may use more memory than `max_memory` before it is replaced."""


@dataclass(frozen=True, slots=True)
class Census:
    """A service's instances that are not terminating and whose process lives, sorted by what they are good for."""

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

    @property
    def everyone(self) -> tuple[Instance, ...]:
        return self.current + self.sick + self.hopeless + self.condemned + self.old


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


def take_census(
    service: Service, release: int, living: Sequence[Instance], now: float, replaced_below: int = 0
) -> Census:
    """Sort `living` (not terminating, process not gone). `replace_unhealthy: false` leaves nobody sick or hopeless.
    replaced_below: instances of a lower number are old, whatever their release."""
    current, sick, hopeless, condemned, old = [], [], [], [], []
    for instance in living:
        record = instance.record
        grace_over = now - record.launched_at >= service.health_check.grace_period
        may_replace = service.health_check.replace_unhealthy and grace_over
        if record.release != release or record.number < replaced_below:
            old.append(instance)
        elif record.condemned:
            condemned.append(instance)
        elif record.state == "pending" and may_replace and instance.process is not None and not _starts(instance):
            hopeless.append(instance)
        elif record.state == "in_service" and may_replace and instance.unhealthy_at is not None:
            sick.append(instance)
        else:
            current.append(instance)
    return Census(tuple(current), tuple(sick), tuple(hopeless), tuple(condemned), tuple(old))


def _starts(instance: Instance) -> bool:
    """It is on its way into service: it passed its last check; a worker has none to pass."""
    return passing(instance) or not instance.record.serves


def least(service: Service) -> int:
    """How many must serve while others are replaced (`min_healthy`)."""
    return -(-service.desired * service.min_healthy // 100)


def _most(service: Service) -> int:
    """How many may run at once (`max_healthy`). The percentages of a small size, set by hand, may leave no room to
    replace even one: then there is room for one, or no deployment would ever end."""
    allowed = service.desired * service.max_healthy // 100
    return max(allowed, least(service) + 1) if service.desired else 0


def back_off(history: StartHistory) -> float | None:
    """When the next start may be tried (monotonic seconds); None: at once."""
    if not history.failures or history.last_failed_at is None:
        return None
    return history.last_failed_at + min(BACK_OFF_MOST, BACK_OFF_FIRST * 2.0 ** min(history.failures - 1, 10))


def launches(
    service: Service,
    release: int,
    census: Census,
    lost: Sequence[str],
    zones: Sequence[str],
    history: StartHistory,
    next_number: int,
    now: float,
) -> tuple[tuple[Launch, ...], float | None]:
    """What to launch now, and when to look again if the back-off forbids it now.

    lost: why earlier ones are missing, one sentence each, for the reasons of their replacements."""
    missing = service.desired - len(census.current)
    room = _most(service) - len(census.everyone)
    count = min(missing, room)
    if history.failures:
        # One at a time, until one has shown that it can start.
        count = min(count, 1 - sum(1 for instance in census.current if instance.record.state == "pending"))
    if count <= 0:
        return (), None
    due = back_off(history)
    if due is not None and now < due:
        return (), due
    occupied = [instance.record.zone for instance in census.everyone]
    causes = [*lost, *(f"{sick.record.id} is unhealthy" for sick in census.sick)]
    causes += [f"{instance.record.id}: {instance.record.condemned}" for instance in census.condemned]
    made: list[Launch] = []
    for step in range(count):
        zone = choose_zone(zones, occupied)
        occupied.append(zone)
        cause = f"replaces: {causes[step]}" if step < len(causes) else _difference(service, census, history, step)
        made.append(
            Launch(
                service=service.name,
                instance=f"{service.name}-{next_number + step}",
                number=next_number + step,
                release=release,
                zone=zone,
                reason=cause,
            )
        )
    return tuple(made), None


def retirements(service: Service, census: Census, *, deploying: bool) -> tuple[Action, ...]:
    """Who has to go now. A deployment gives up as a whole on hopeless ones, so then they are left alone."""
    made: list[Action] = []
    if not deploying:
        for instance in census.hopeless:
            grace = service.health_check.grace_period
            why = f"passed no health check within its grace period of {grace:g} s"
            made.append(Retire(instance=instance.record.id, reason=why, failed_start=True))
    sound = [instance for instance in census.current if serving(instance)]
    made += _sick(service, census, sound)
    made += _condemned(service, census, sound)
    surplus = len(census.current) - service.desired
    for instance in choose_to_terminate([one for one in census.current if not one.record.protected], surplus):
        made.append(Retire(instance=instance.record.id, reason=f"desired is {service.desired}"))
    made += _old(service, census, sound)
    return tuple(made)


def worn(service: Service, census: Census, now: float) -> tuple[tuple[Condemn, ...], tuple[float, ...]]:
    """The next instance to replace for its age or its memory, and when limits will be reached that are not yet.

    One at a time: nobody while another is being replaced, or while the service is not whole."""
    over: list[tuple[Instance, str]] = []
    later: list[float] = []
    for instance in census.current:
        for due, why in _limits(service, instance):
            if now >= due:
                over.append((instance, why))
            else:
                later.append(due)
    whole = len(census.current) == service.desired and all(map(in_place, census.current))
    if not over or not whole or census.condemned or census.old or census.sick:
        return (), tuple(later)
    instance, why = min(over, key=lambda each: each[0].record.number)
    return (Condemn(instance=instance.record.id, reason=why),), tuple(later)


def _limits(service: Service, instance: Instance) -> list[tuple[float, str]]:
    limits = []
    if service.max_lifetime is not None:
        why = f"it is older than max_lifetime, {service.max_lifetime:g} s"
        limits.append((instance.record.launched_at + service.max_lifetime, why))
    if service.max_memory is not None and instance.oversize_at is not None:
        why = f"it has used more than max_memory, {service.max_memory} bytes, for {OVERSIZE_PATIENCE:g} s"
        limits.append((instance.oversize_at + OVERSIZE_PATIENCE, why))
    return limits


def in_place(instance: Instance) -> bool:
    """It serves, or an operator has taken it out for a while: nobody has to be launched for it."""
    return serving(instance) or instance.record.drained


def _difference(service: Service, census: Census, history: StartHistory, step: int) -> str:
    if history.failures and history.last_instance:
        return f"tried again: {history.last_instance} {history.last_outcome}"
    if census.old:
        before = census.old[min(step, len(census.old) - 1)].record
        if before.release == history.release:
            return f"restart: takes over from {before.id}"
        return f"release {history.release} takes over from release {before.release}"
    have = len(census.current) + step
    return f"a difference between desired and actual capacity: from {have} to {have + 1}, desired {service.desired}"


def _sick(service: Service, census: Census, sound: Sequence[Instance]) -> list[Action]:
    """A frozen one serves nobody and goes at once; another goes when a healthy one stands in for it."""
    frozen = [sick for sick in census.sick if sick.process and sick.process.frozen]
    made: list[Action] = [Retire(instance=sick.record.id, reason="it is frozen and unhealthy") for sick in frozen]
    rest = [sick for sick in census.sick if sick not in frozen]
    for sick in choose_to_terminate(rest, len(sound) + len(rest) - _stand_ins(service)):
        made.append(Retire(instance=sick.record.id, reason="unhealthy, and replaced"))
    return made


def _stand_ins(service: Service) -> int:
    """How many must serve before one that is to be replaced goes: all of them, but where no extra one may run
    (`max_healthy: 100%`) it makes room for its replacement."""
    return service.desired if _most(service) > service.desired else least(service)


def _condemned(service: Service, census: Census, sound: Sequence[Instance]) -> list[Action]:
    """They go as far as others stand in for them; at once those that serve nobody, and those of whom that was asked."""
    made: list[Action] = []
    rest = []
    for instance in census.condemned:
        if instance.record.at_once or not serving(instance):
            made.append(Retire(instance=instance.record.id, reason=instance.record.condemned))
        else:
            rest.append(instance)
    for instance in choose_to_terminate(rest, len(sound) + len(rest) - _stand_ins(service)):
        made.append(Retire(instance=instance.record.id, reason=instance.record.condemned))
    return made


def _old(service: Service, census: Census, sound: Sequence[Instance]) -> list[Action]:
    """Instances of other releases: those that never served go at once, as do those of whom that was asked, the others
    as far as others stand in for them, the unhealthy first. (Unhealthy may only mean that it lacks the new release's
    health check path; while the new one does not serve, it is what there is to go back to.)"""
    made: list[Action] = []
    admitted = []
    for instance in census.old:
        if instance.record.at_once:
            made.append(Retire(instance=instance.record.id, reason=instance.record.condemned))
        elif instance.record.state == "pending":
            made.append(Retire(instance=instance.record.id, reason="another release is wanted, and it serves nobody"))
        else:
            admitted.append(instance)
    condemned = [instance for instance in census.condemned if serving(instance)]
    for instance in choose_to_terminate(admitted, len(sound) + len(condemned) + len(admitted) - least(service)):
        newer = "a newer one serves" if len(sound) == 1 else f"{len(sound)} newer ones serve"
        stand_in = f"its place is taken: {newer}" if sound else f"desired is {service.desired}"
        made.append(Retire(instance=instance.record.id, reason=stand_in))
    return made
