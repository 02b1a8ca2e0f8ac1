"""How many instances of which release a service should have, and what to do about the difference.

In: the service, the release it should run, its instances that are not terminating, its failed starts, and now. Out:
launches and retirements with reasons. The laws:

- add before remove: an instance that serves is retired only while enough others serve (`min_healthy` of desired);
- never more than `max_healthy` of desired at once;
- an instance that cannot serve (never came up, or its process is gone) counts for nothing and is not waited for;
- a program that ends before its first passed check is started again after 1 s, 2 s, 4 s ... 60 s; one that had passed a
  check is replaced at once ("can never start" is not "died").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.model import Service
from fairlead.core.observed import Instance, StartHistory
from fairlead.core.placement import choose_to_terminate, choose_zone
from fairlead.core.plan import Action, Launch, Retire

BACK_OFF_FIRST, BACK_OFF_MOST = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Census:
    """A service's instances that are not terminating and whose process lives, sorted by what they are good for."""

    current: tuple[Instance, ...]
    """Of the wanted release, sound: serving, or still within their grace period."""
    sick: tuple[Instance, ...]
    """Of the wanted release, were in service, unhealthy past their grace period."""
    hopeless: tuple[Instance, ...]
    """Of the wanted release, past their grace period without one passed check."""
    old: tuple[Instance, ...]
    """Of other releases."""

    @property
    def everyone(self) -> tuple[Instance, ...]:
        return self.current + self.sick + self.hopeless + self.old


def serving(instance: Instance) -> bool:
    """It gets requests now: admitted, and up by its checks."""
    return instance.target is not None and instance.target.mode == "in_service" and instance.target.up


def passing(instance: Instance) -> bool:
    """Its last check passed, whether or not it was admitted already."""
    target = instance.target
    return target is not None and (target.up or (target.check is not None and target.check.passed))


def take_census(service: Service, release: int, living: Sequence[Instance], now: float) -> Census:
    """Sort `living` (not terminating, process not gone). `replace_unhealthy: false` leaves nobody sick or hopeless."""
    current, sick, hopeless, old = [], [], [], []
    for instance in living:
        record = instance.record
        grace_over = now - record.launched_at >= service.health_check.grace_period
        may_replace = service.health_check.replace_unhealthy and grace_over
        if record.release != release:
            old.append(instance)
        elif record.state == "pending" and may_replace and instance.process is not None and not passing(instance):
            hopeless.append(instance)
        elif record.state == "in_service" and may_replace and instance.unhealthy_at is not None:
            sick.append(instance)
        else:
            current.append(instance)
    return Census(tuple(current), tuple(sick), tuple(hopeless), tuple(old))


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
    room = service.desired * service.max_healthy // 100 - len(census.everyone)
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
    surplus = len(census.current) - service.desired
    for instance in choose_to_terminate(census.current, surplus):
        made.append(Retire(instance=instance.record.id, reason=f"desired is {service.desired}"))
    made += _old(service, census, sound)
    return tuple(made)


def _difference(service: Service, census: Census, history: StartHistory, step: int) -> str:
    if history.failures and history.last_instance:
        return f"tried again: {history.last_instance} {history.last_outcome}"
    if census.old:
        return f"release {history.release} takes over from release {census.old[0].record.release}"
    have = len(census.current) + step
    return f"a difference between desired and actual capacity: from {have} to {have + 1}, desired {service.desired}"


def _sick(service: Service, census: Census, sound: Sequence[Instance]) -> list[Action]:
    """A frozen one serves nobody and goes at once; another goes when a healthy one stands in for it."""
    frozen = [sick for sick in census.sick if sick.process and sick.process.frozen]
    made: list[Action] = [Retire(instance=sick.record.id, reason="it is frozen and unhealthy") for sick in frozen]
    rest = [sick for sick in census.sick if sick not in frozen]
    spare = len(sound) + len(rest) - service.desired
    for sick in choose_to_terminate(rest, spare):
        made.append(Retire(instance=sick.record.id, reason="unhealthy, and replaced"))
    return made


def _old(service: Service, census: Census, sound: Sequence[Instance]) -> list[Action]:
    """Instances of other releases: those that never served go at once, the others as far as others stand in for them,
    the unhealthy first. (Unhealthy may only mean that it lacks the new release's health check path; while the new one
    does not serve, it is what there is to go back to.)"""
    made: list[Action] = []
    admitted = [instance for instance in census.old if instance.record.state != "pending"]
    for instance in census.old:
        if instance.record.state == "pending":
            made.append(Retire(instance=instance.record.id, reason="another release is wanted, and it serves nobody"))
    needed = -(-service.desired * service.min_healthy // 100)
    for instance in choose_to_terminate(admitted, len(sound) + len(admitted) - needed):
        stand_in = f"its place is taken: {len(sound)} newer ones serve" if sound else f"desired is {service.desired}"
        made.append(Retire(instance=instance.record.id, reason=stand_in))
    return made
