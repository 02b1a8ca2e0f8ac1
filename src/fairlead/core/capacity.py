"""How many instances of the wanted release a service lacks, and who may be started for them.

In: the service, its census, its failed starts, and now. Out: launches with reasons. The laws:

- never more than `max_healthy` of desired at once, and of a group with `scaling` never more than its maximum: there one
  has to go before the next is started, unless the maximum is 1 (then nobody would serve meanwhile);
- an instance that cannot serve (never came up, or its process is gone) counts for nothing and is not waited for;
- one that is condemned (by hand, by its age or its memory) counts for nothing either, and serves until it is replaced;
- a program that ends before its first passed check is started again after 1 s, 2 s, 4 s ... 60 s; one that had passed a
  check is replaced at once ("can never start" is not "died").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.core.census import Census
from fairlead.core.model import Service
from fairlead.core.observed import StartHistory
from fairlead.core.placement import choose_zone
from fairlead.core.plan import Launch

BACK_OFF_FIRST, BACK_OFF_MOST = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """least: how many must serve while others are replaced. most: how many may run at once, without the warm pool.
    stand_ins: how many must serve before one that is to be replaced goes: all of them, but where no extra one may run
    it makes room for its replacement."""

    least: int
    most: int
    stand_ins: int


def bounds_of(service: Service, *, launching: bool = True) -> Bounds:
    """The bounds that `min_healthy`, `max_healthy` and the maximum set. launching: False while nobody may be launched:
    then nobody makes room, since nobody would come."""
    least = -(-service.desired * service.min_healthy // 100)
    # The percentages of a small size, set by hand, may leave no room to replace even one: then there is room for one,
    # or no deployment would ever end.
    most = max(service.desired * service.max_healthy // 100, least + 1) if service.desired else 0
    if service.scaling is not None and service.desired:
        most = min(most, ceiling(service))
        least = min(least, most - 1)
    if not launching:
        return Bounds(least=service.desired, most=most, stand_ins=service.desired)
    return Bounds(least=least, most=most, stand_ins=service.desired if most > service.desired else least)


def ceiling(service: Service) -> int:
    """How many instances of a group may live at once, the warm pool and those that are replaced among them."""
    return max(service.maximum, 2)


def back_off(history: StartHistory) -> float | None:
    """When the next start may be tried (monotonic seconds); None: at once."""
    if not history.failures or history.last_failed_at is None:
        return None
    return history.last_failed_at + min(BACK_OFF_MOST, BACK_OFF_FIRST * 2.0 ** min(history.failures - 1, 10))


def reasons(service: Service, census: Census, history: StartHistory, lost: Sequence[str]) -> Iterator[str]:
    """Why one instance after the other is missing. lost: those that are gone, one sentence each."""
    for cause in lost:
        yield f"replaces: {cause}"
    for sick in census.sick:
        yield f"replaces: {sick.record.id} is unhealthy"
    for instance in census.condemned:
        yield f"replaces: {instance.record.id}: {instance.record.condemned}"
    step = len(lost) + len(census.sick) + len(census.condemned)
    while True:
        yield _difference(service, census, history, step)
        step += 1


def launches(
    service: Service,
    release: int,
    census: Census,
    why: Iterator[str],
    zones: Sequence[str],
    history: StartHistory,
    next_number: int,
    now: float,
    *,
    from_pool: int = 0,
) -> tuple[tuple[Launch, ...], float | None]:
    """What to launch now, and when to look again if the back-off forbids it now.

    why: `reasons`, as far as they were not used. from_pool: how many of the missing come from the warm pool."""
    missing = service.desired - census.filled - from_pool
    room = bounds_of(service).most - len(census.everyone) - len(census.vacant) - from_pool
    if service.scaling is not None:
        room = min(room, room_in(service, census))
    pending = sum(1 for one in census.current + census.pool if one.record.state == "pending")
    count, due = paced(min(missing, room), pending, history, now)
    occupied = [instance.record.zone for instance in census.everyone]
    return launched(service, release, count, why, zones, occupied, next_number), due


def room_in(service: Service, census: Census) -> int:
    """How many more a group with `scaling` may have."""
    return ceiling(service) - len(census.everyone) - len(census.vacant) - len(census.pool)


def paced(count: int, pending: int, history: StartHistory, now: float) -> tuple[int, float | None]:
    """How many of `count` may be started now, and when to look again if none may yet. pending: who is starting."""
    if history.failures:
        # One at a time, until one has shown that it can start.
        count = min(count, 1 - pending)
    if count <= 0:
        return 0, None
    due = back_off(history)
    return (0, due) if due is not None and now < due else (count, None)


def launched(
    service: Service,
    release: int,
    count: int,
    why: Iterator[str],
    zones: Sequence[str],
    occupied: list[str],
    next_number: int,
    *,
    pooled: bool = False,
) -> tuple[Launch, ...]:
    """`count` launches, each in the zone that is then the emptiest. occupied: the zone of each that is there."""
    made: list[Launch] = []
    for number in range(next_number, next_number + count):
        zone = choose_zone(zones, occupied)
        occupied.append(zone)
        made.append(
            Launch(
                service=service.name,
                instance=f"{service.name}-{number}",
                number=number,
                release=release,
                zone=zone,
                reason=next(why),
                pooled=pooled,
            )
        )
    return tuple(made)


def _difference(service: Service, census: Census, history: StartHistory, step: int) -> str:
    if history.failures and history.last_instance:
        return f"tried again: {history.last_instance} {history.last_outcome}"
    if census.old:
        before = census.old[min(step, len(census.old) - 1)].record
        if before.release == history.release:
            return f"restart: takes over from {before.id}"
        return f"release {history.release} takes over from release {before.release}"
    have = census.filled + step
    return f"a difference between desired and actual capacity: from {have} to {have + 1}, desired {service.desired}"
