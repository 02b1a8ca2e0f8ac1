"""The warm pool of a group: instances that are started and healthy, and get no request until they are needed.

In: the service, its census, and now. Out: who is let in, who is ready and waits, who goes, and who is launched for it.
The laws: it takes no traffic, it never makes the group larger than its maximum, what is missing comes from it before
anything is started cold, and it is filled only while the group is whole. It is `scaling.warm_pool` large, or what is
left up to the maximum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.core.capacity import launched, paced, room_in
from fairlead.core.census import WORKER_START, Census, is_old, passing
from fairlead.core.health import first_checks
from fairlead.core.model import Service
from fairlead.core.observed import Instance, StartHistory
from fairlead.core.placement import choose_to_terminate
from fairlead.core.plan import Action, Admit, Drain, Launch, Retire, Warm


@dataclass(frozen=True, slots=True)
class Warmth:
    """The pool, sorted. ready: one request would be answered. coming: on their way there. failing: their last check
    failed, and it is not time yet to give up on them. unfit: they have to go, each with the retirement that says why.
    due: when time alone will make somebody unfit."""

    ready: tuple[Instance, ...] = ()
    coming: tuple[Instance, ...] = ()
    failing: tuple[Instance, ...] = ()
    unfit: tuple[Retire, ...] = ()
    due: tuple[float, ...] = ()

    @property
    def sound(self) -> tuple[Instance, ...]:
        return self.ready + self.coming + self.failing


def size(service: Service) -> int:
    """How many the pool should hold. A worker has no load balancer to be kept out of."""
    if service.scaling is None or not service.serves:
        return 0
    return max(0, min(service.scaling.warm_pool, service.maximum - service.desired))


def room(service: Service, census: Census) -> int:
    """How many a scale-in may return to it: what has served is worth more than what still starts."""
    if service.scaling is None or not service.scaling.reuse_on_scale_in:
        return 0
    return max(0, size(service) - sum(1 for one in census.pool if one.record.state == "warm"))


def sort(service: Service, release: int, census: Census, now: float, replaced_below: int) -> Warmth:
    """Who in the pool is good for what."""
    if not census.pool:
        return Warmth()
    ready: list[Instance] = []
    coming: list[Instance] = []
    failing: list[Instance] = []
    unfit: list[Retire] = []
    due: list[float] = []
    for instance in census.pool:
        record = instance.record
        since = _given_up_at(service, instance)
        if is_old(instance, release, replaced_below):
            unfit.append(Retire(instance=record.id, reason="another release is wanted, and it serves nobody"))
        elif record.condemned:
            unfit.append(Retire(instance=record.id, reason=record.condemned))
        elif _is_ready(service, instance, now):
            ready.append(instance)
        elif since is not None and now >= since:
            unfit.append(_given_up(service, instance))
        else:
            due += [since] if since is not None else []
            (coming if record.state == "pending" else failing).append(instance)
    return Warmth(tuple(ready), tuple(coming), tuple(failing), tuple(unfit), tuple(due))


def draw(service: Service, census: Census, warmth: Warmth, why: Iterator[str]) -> tuple[tuple[Admit, ...], int]:
    """Who is let in for what the group lacks, and how many of what it lacks come from the pool altogether: those that
    are on their way there will be let in at their first passed check."""
    missing = service.desired - census.filled
    if missing <= 0 or not census.pool:
        return (), 0
    occupied = Counter(instance.record.zone for instance in census.everyone)
    left, made = list(warmth.ready), list[Admit]()
    while left and len(made) < missing:
        first = min(left, key=lambda one: (occupied[one.record.zone], one.record.zone, one.record.number))
        left.remove(first)
        occupied[first.record.zone] += 1
        made.append(Admit(instance=first.record.id, reason=f"from the warm pool; {next(why)}"))
    return tuple(made), len(made) + min(len(warmth.coming), missing - len(made))


def keep(
    service: Service, census: Census, warmth: Warmth, admitted: Sequence[Admit], *, launching: bool
) -> list[Action]:
    """What becomes of those that nobody needs now. launching: whether others may be started in their place."""
    if not census.pool:
        return []
    let_in = {action.instance for action in admitted}
    made: list[Action] = list(warmth.unfit)
    waiting = [one for one in warmth.sound if one.record.id not in let_in]
    missing = max(0, service.desired - census.filled) - len(let_in)
    surplus = len(waiting) - missing - size(service)
    # One that would not answer now keeps nobody out who could be started in its place.
    blocking = missing - len(warmth.coming) - max(0, room_in(service, census)) if launching else 0
    leaving = [
        *choose_to_terminate(warmth.failing, blocking),
        *choose_to_terminate([one for one in waiting if not one.record.protected], surplus),
    ]
    gone = {one.record.id for one in leaving}
    made += (Retire(instance=one, reason=f"the warm pool has room for {size(service)}") for one in sorted(gone))
    for instance in waiting:
        record, target = instance.record, instance.target
        if record.id in gone:
            continue
        if record.state == "pending" and instance in warmth.ready:
            made.append(Warm(instance=record.id, reason="it passed its first health check"))
        elif record.state == "warm" and target is not None and target.mode in ("initial", "in_service"):
            made.append(Drain(instance=record.id, reason="it is in the warm pool, and still gets requests"))
    return made


def refill(
    service: Service,
    release: int,
    census: Census,
    warmth: Warmth,
    zones: Sequence[str],
    history: StartHistory,
    next_number: int,
    now: float,
) -> tuple[tuple[Launch, ...], float | None]:
    """What to launch for it, and when to look again if the back-off forbids it now. Only while the group is whole."""
    count = min(size(service) - len(warmth.sound), room_in(service, census))
    if count <= 0 or len(census.current) != service.desired or not census.is_whole:
        return (), None
    count, due = paced(count, len(warmth.coming), history, now)
    occupied = [one.record.zone for one in census.everyone + census.pool]
    held = len(warmth.sound)
    why = (f"the warm pool holds {step} of {size(service)}" for step in range(held, held + count))
    return launched(service, release, count, why, zones, occupied, next_number, pooled=True), due


def _is_ready(service: Service, instance: Instance, now: float) -> bool:
    process = instance.process
    if process is None or not process.alive or process.frozen or instance.target is None:
        return False
    if not service.health_check.enabled:
        return now - instance.record.launched_at >= WORKER_START
    return passing(instance)


def _given_up_at(service: Service, instance: Instance) -> float | None:
    """When it is given up if nothing changes: past its grace period, and as long unhealthy as a new target may take to
    pass. None: never."""
    check, record = service.health_check, instance.record
    if not check.replace_unhealthy or instance.process is None:
        return None
    grace = record.launched_at + check.grace_period
    if record.state == "pending":
        return grace
    if instance.unhealthy_at is None:
        return None
    return max(grace, instance.unhealthy_at + first_checks(check))


def _given_up(service: Service, instance: Instance) -> Retire:
    if instance.record.state == "pending":
        grace = service.health_check.grace_period
        why = f"passed no health check within its grace period of {grace:g} s"
        return Retire(instance=instance.record.id, reason=why, failed_start=True)
    return Retire(instance=instance.record.id, reason="unhealthy in the warm pool")
