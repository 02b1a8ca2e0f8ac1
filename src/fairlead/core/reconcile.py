"""The decision: what a stack wants and what is there -> what to do now.

Called once a cycle by `control`, with one frozen snapshot; called again with the next one. The same snapshot gives the
same plan, and a snapshot of the goal gives an empty one. Here is what each instance needs; `services` says how many of
which there are to be. While the balancer does not answer, its targets are unknown, and nothing is decided that needs to
know them.
"""

from __future__ import annotations

from collections import defaultdict

from fairlead.core import ending, running, runs, services
from fairlead.core.census import WORKER_START as WORKER_START
from fairlead.core.census import passing
from fairlead.core.desired import StackRecord
from fairlead.core.fates import failed_to_start, of_another_boot
from fairlead.core.fates import how_it_ended as how_it_ended
from fairlead.core.fates import is_gone as is_gone
from fairlead.core.model import HealthCheck, Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.plan import (
    Action,
    Admit,
    Configure,
    Drain,
    EndStranger,
    MarkDown,
    Plan,
    Register,
    Remove,
    Restore,
    Retire,
    Sever,
    Start,
)
from fairlead.core.resources import decide as resources
from fairlead.core.routing import openings_of, routing_of

DELAYS_OF_A_FORGOTTEN_SERVICE = (30.0, 30.0)
"""deregistration_delay and stop_timeout of instances whose service no revision holds any more: the defaults."""

# Order of a plan: what stops harm first (mark down), then capacity (those that are ready before those that have to be
# launched), then what removes.
_ORDER = (
    "Resize", "EndResource", "StartResource", "MarkAvailable", "Configure", "MarkDown", "Admit", "Restore",
    "EndStranger", "Start", "Launch", "Enlist", "Register", "Warm", "EndRun", "LaunchRun", "SkipJob", "StartRun",
    "StopRun", "KillRun", "Condemn", "Pool", "Retire", "Drain", "Sever", "Deregister", "Stop", "Kill", "End",
    "StopResource", "KillResource", "Succeed", "GiveUp", "Remove",
)  # fmt: skip


def decide(wanted: StackRecord, observed: Observed, now: float) -> Plan:
    """The plan for `wanted` in the world `observed` at `now` (monotonic seconds of this boot)."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in observed.instances:
        by_service[instance.record.service].append(instance)
    actions: list[Action] = [
        EndStranger(instance=stranger, reason="it runs, and no record wants it") for stranger in observed.strangers
    ]
    ran, wakes = running.decide(wanted, observed, now)
    actions += ran
    kept, when = resources.decide(wanted, observed, now)
    actions += kept
    wakes += when

    serving = {instance.record.service for instance in observed.instances if instance.record.serves}
    openings = openings_of((instance.record for instance in observed.instances), observed.boot, now)
    routing = routing_of(wanted, serving, observed.routing, openings)
    if routing != observed.routing:
        why = "the stack is down and empty" if routing is None else "listeners, rules or target groups differ"
        actions.append(Configure(routing=routing, reason=why))
    empty = not observed.instances and not observed.strangers and not runs.live(observed.runs)
    if routing is None and empty and resources.is_over(observed):
        return Plan(actions=(*actions, Remove(reason="nothing of it runs any more")))

    for instance in observed.instances:
        actions += _keep(wanted, instance, observed, now)
        if instance.record.drained or instance.record.state == "warm":
            cut, wake = _sever(wanted, instance, observed, now)
            actions += cut
            wakes += [wake] if wake is not None else []
        if instance.record.state == "terminating":
            step, wake = _end(wanted, instance, observed, now)
            actions += [step] if step else []
            wakes += [wake] if wake is not None else []
        elif instance.record.state == "pending" and not _is_checked(wanted, instance):
            wakes.append(instance.record.launched_at + WORKER_START)
        if (opened := instance.record.opened) is not None and opened.holds(observed.boot, now):
            wakes.append(opened.until)

    # To end everything one needs to know nothing.
    if observed.balancer_known or wanted.wanted == "down":
        sized, when = services.decide(wanted, observed, by_service, now)
        actions += sized
        wakes += when
    actions.sort(key=lambda action: _ORDER.index(type(action).__name__))
    return Plan(actions=tuple(actions), wake_at=min(wakes, default=None))


def waiting(wanted: StackRecord, observed: Observed, now: float) -> dict[str, tuple[str, ...]]:
    """For each service that waits to be started the resources and services it waits for."""
    return services.waiting(wanted, observed, now)


def service_of(wanted: StackRecord, name: str) -> Service | None:
    """The service as wanted, else as it was before the deployment that dropped it."""
    for revision in (wanted.desired, wanted.previous):
        for service in revision.stack.services if revision else ():
            if service.name == name:
                return service
    return None


def _keep(wanted: StackRecord, instance: Instance, observed: Observed, now: float) -> list[Action]:
    """What one instance that should live needs: started, registered, admitted; or, when gone, taken out at once."""
    record = instance.record
    if record.state == "terminating":
        return []
    if is_gone(instance):
        return _lose(wanted, instance, observed)
    if instance.process is None and record.runs:
        if wanted.wanted == "down":
            return []
        return [Start(instance=record.id, reason="its launch was recorded and did not happen")]
    has_run = now - record.launched_at >= WORKER_START or of_another_boot(instance, observed)
    if not record.serves:
        if record.state == "pending" and has_run:
            return [Admit(instance=record.id, reason=f"it has run for {WORKER_START:g} s")]
        return []
    if not observed.balancer_known:
        return []
    unchecked = not _check_of(wanted, record.service).enabled
    return _keep_target(instance, admitted_at_once=unchecked and has_run)


def _lose(wanted: StackRecord, instance: Instance, observed: Observed) -> list[Action]:
    """Its process is gone: no request from now on. Its record ends too, unless its place is to stay empty."""
    record, why = instance.record, how_it_ended(instance, observed)
    told = record.serves and observed.balancer_known
    if services.is_vacant(wanted, instance, observed):
        up = told and instance.target is not None and instance.target.up
        return [MarkDown(instance=record.id, reason=why)] if up else []
    retire = Retire(instance=record.id, reason=why, failed_start=failed_to_start(instance, observed))
    return [MarkDown(instance=record.id, reason=why), retire] if told else [retire]


def _keep_target(instance: Instance, *, admitted_at_once: bool) -> list[Action]:
    """What the target of a living instance needs. admitted_at_once: no check will ever tell."""
    record, target = instance.record, instance.target
    if target is None:
        return [Register(instance=record.id, reason="it runs, and the balancer lacks it")]
    if record.pooled:
        return []  # the group decides who of the pool is needed
    if record.drained:
        if target.mode == "draining":
            return []
        return [Drain(instance=record.id, reason="it was drained by hand, and still gets requests")]
    if target.mode == "draining":
        return [Restore(instance=record.id, reason="it was returned to the load balancer")]
    if target.mode == "warm":
        return [Admit(instance=record.id, reason="it was let in from the warm pool")]
    if target.mode == "initial" or record.state == "pending":
        if admitted_at_once:
            return [Admit(instance=record.id, reason="its service has no health checks")]
        if passing(instance):
            return [Admit(instance=record.id, reason="it passed its first health check")]
    return []


def _sever(
    wanted: StackRecord, instance: Instance, observed: Observed, now: float
) -> tuple[list[Action], float | None]:
    """What becomes of requests, WebSockets and streams inside one that was drained by hand, or returned to the warm
    pool, and when."""
    record, target = instance.record, instance.target
    inside = target is not None and target.mode == "draining" and target.sessions
    since = record.drained_at if record.drained else record.warm_at
    if not inside or record.state == "terminating" or since is None or of_another_boot(instance, observed):
        return [], None
    service = service_of(wanted, record.service)
    delay = service.target_group.deregistration_delay if service else DELAYS_OF_A_FORGOTTEN_SERVICE[0]
    due = since + delay
    if now < due:
        return [], due
    return [Sever(instance=record.id, reason=f"its deregistration delay of {delay:g} s is over")], None


def _check_of(wanted: StackRecord, name: str) -> HealthCheck:
    """The service's health check; the default one when nobody knows it any more."""
    service = service_of(wanted, name)
    return service.health_check if service else HealthCheck()


def _is_checked(wanted: StackRecord, instance: Instance) -> bool:
    """Whether a health check tells when it may be admitted."""
    return instance.record.serves and _check_of(wanted, instance.record.service).enabled


def _end(wanted: StackRecord, instance: Instance, observed: Observed, now: float) -> tuple[Action | None, float | None]:
    service = service_of(wanted, instance.record.service)
    delay, stop = DELAYS_OF_A_FORGOTTEN_SERVICE
    if service:
        delay, stop = service.target_group.deregistration_delay, service.stop_timeout
    return ending.next_step(
        instance, now, deregistration_delay=delay, stop_timeout=stop, balancer_known=observed.balancer_known
    )
