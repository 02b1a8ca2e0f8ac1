"""The decision: what a stack wants and what is there -> what to do now.

Called once a cycle by `control`, with one frozen snapshot; called again with the next one. The same snapshot gives the
same plan, and a snapshot of the goal gives an empty one. While the balancer does not answer, its targets are unknown,
and nothing is decided that needs to know them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from fairlead.core import capacity, ending, rollout
from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import Instance, Observed, Outcome, StartHistory
from fairlead.core.plan import (
    Action,
    Admit,
    Configure,
    EndStranger,
    MarkDown,
    Plan,
    Register,
    Remove,
    Retire,
    Start,
    Succeed,
)
from fairlead.core.routing import routing_of

DELAYS_OF_A_FORGOTTEN_SERVICE = (30.0, 30.0)
"""deregistration_delay and stop_timeout of instances whose service no revision holds any more: the defaults."""

# Order of a plan: what stops harm first (mark down), then capacity (launch, admit), then what removes.
_ORDER = (
    "Configure", "MarkDown", "EndStranger", "Start", "Launch", "Register", "Admit", "Retire", "Drain", "Deregister",
    "Stop", "Kill", "End", "Succeed", "GiveUp", "Remove",
)  # fmt: skip


def decide(wanted: StackRecord, observed: Observed, now: float) -> Plan:
    """The plan for `wanted` in the world `observed` at `now` (monotonic seconds of this boot)."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in observed.instances:
        by_service[instance.record.service].append(instance)
    actions: list[Action] = [
        EndStranger(instance=stranger, reason="it runs, and no record wants it") for stranger in observed.strangers
    ]
    wakes: list[float] = []

    routing = routing_of(wanted, by_service.keys(), observed.routing)
    if routing != observed.routing:
        why = "the stack is down and empty" if routing is None else "listeners or target groups differ"
        actions.append(Configure(routing=routing, reason=why))
    if routing is None and not observed.strangers:
        return Plan(actions=(*actions, Remove(reason="nothing of it runs any more")))

    for instance in observed.instances:
        actions += _keep(wanted, instance, observed)
        if instance.record.state == "terminating":
            step, wake = _end(wanted, instance, observed, now)
            actions += [step] if step else []
            wakes += [wake] if wake is not None else []

    # To end everything one needs to know nothing.
    if observed.balancer_known or wanted.wanted == "down":
        sized, when = _size_all(wanted, observed, by_service, now)
        actions += sized
        wakes += when
    actions.sort(key=lambda action: _ORDER.index(type(action).__name__))
    return Plan(actions=tuple(actions), wake_at=min(wakes, default=None))


def is_gone(instance: Instance) -> bool:
    """Its process has ended, or it should have one and the engine knows of none."""
    if instance.process is None:
        return instance.record.state != "pending"
    return not instance.process.alive


def service_of(wanted: StackRecord, name: str) -> Service | None:
    """The service as wanted, else as it was before the deployment that dropped it."""
    for revision in (wanted.desired, wanted.previous):
        for service in revision.stack.services if revision else ():
            if service.name == name:
                return service
    return None


def _keep(wanted: StackRecord, instance: Instance, observed: Observed) -> list[Action]:
    """What one instance that should live needs: started, registered, admitted; or, when gone, taken out at once."""
    record, target = instance.record, instance.target
    if record.state == "terminating":
        return []
    if is_gone(instance):
        why = _how(instance, observed)
        retire = Retire(instance=record.id, reason=why, failed_start=_failed_to_start(instance, observed))
        return [MarkDown(instance=record.id, reason=why), retire] if observed.balancer_known else [retire]
    if instance.process is None:
        if wanted.wanted == "down":
            return []
        return [Start(instance=record.id, reason="its launch was recorded and did not happen")]
    if not observed.balancer_known:
        return []
    if target is None:
        return [Register(instance=record.id, reason="it runs, and the balancer lacks it")]
    if (target.mode == "initial" or record.state == "pending") and capacity.passing(instance):
        return [Admit(instance=record.id, reason="it passed its first health check")]
    return []


def _end(wanted: StackRecord, instance: Instance, observed: Observed, now: float) -> tuple[Action | None, float | None]:
    service = service_of(wanted, instance.record.service)
    delay, stop = (service.deregistration_delay, service.stop_timeout) if service else DELAYS_OF_A_FORGOTTEN_SERVICE
    return ending.next_step(
        instance, now, deregistration_delay=delay, stop_timeout=stop, balancer_known=observed.balancer_known
    )


def _size_all(
    wanted: StackRecord, observed: Observed, by_service: dict[str, list[Instance]], now: float
) -> tuple[list[Action], list[float]]:
    """Launches, retirements and the deployment's verdict, over all services."""
    actions: list[Action] = []
    wakes: list[float] = []
    histories = {(history.service, history.release): history for history in observed.starts}
    numbers = dict(observed.next_numbers)
    deploying = wanted.deployment is not None and wanted.deployment.status == "in_progress"
    done = True
    services = wanted.desired.stack.services if wanted.wanted == "up" else ()
    for service in services:
        release = wanted.desired.releases[service.name].number
        mine = [instance for instance in by_service.get(service.name, ()) if instance.record.state != "terminating"]
        living = [instance for instance in mine if not is_gone(instance)]
        census = capacity.take_census(service, release, living, now)
        known = histories.get((service.name, release), StartHistory(service=service.name, release=release))
        history = _with_fresh_failures(known, [one for one in mine if _failed_to_start(one, observed)], now)
        give_up = rollout.verdict(service, release, census, history) if deploying else None
        if give_up:
            return [give_up], []
        lost = [f"{instance.record.id} {_how(instance, observed)}" for instance in mine if is_gone(instance)]
        launched, wake = capacity.launches(
            service, release, census, lost, wanted.desired.stack.zones, history, numbers.get(service.name, 1), now
        )
        actions += launched
        actions += capacity.retirements(service, census, deploying=deploying)
        wakes += [wake] if wake is not None else []
        wakes += _graces(service, living, now)
        done = done and rollout.reached(service, census)
    kept = {service.name for service in services}
    for name in by_service.keys() - kept:
        for instance in by_service[name]:
            if instance.record.state != "terminating" and not is_gone(instance):
                done = False
                why = "the stack goes down" if wanted.wanted == "down" else f"service {name} is no longer in the file"
                actions.append(Retire(instance=instance.record.id, reason=why))
    if deploying and done and not actions:
        actions.append(Succeed(reason="every service has its desired number of healthy instances of its release"))
    return actions, wakes


def _outcome(instance: Instance) -> Outcome:
    return (instance.process.outcome if instance.process else None) or Outcome()


def _how(instance: Instance, observed: Observed) -> str:
    """How an instance that is gone ended, in words."""
    return "ended with the machine's last boot" if _of_another_boot(instance, observed) else str(_outcome(instance))


def _of_another_boot(instance: Instance, observed: Observed) -> bool:
    return bool(observed.boot) and instance.record.boot != observed.boot


def _failed_to_start(instance: Instance, observed: Observed) -> bool:
    """It ended before its first passed check, and by itself: a restart of the machine says nothing of the program."""
    return instance.record.state == "pending" and is_gone(instance) and not _of_another_boot(instance, observed)


def _with_fresh_failures(history: StartHistory, failed: list[Instance], now: float) -> StartHistory:
    """The failed starts seen in this very snapshot belong to the history, or the first one would have no back-off."""
    fresh = [instance for instance in failed if instance.record.release == history.release]
    if not fresh:
        return history
    return replace(
        history,
        failures=history.failures + len(fresh),
        last_failed_at=now,
        last_outcome=str(_outcome(fresh[-1])),
        last_instance=fresh[-1].record.id,
    )


def _graces(service: Service, living: list[Instance], now: float) -> list[float]:
    """When grace periods end that have not yet: time alone then changes what an unhealthy instance means."""
    ends = (instance.record.launched_at + service.health_check.grace_period for instance in living)
    return [end for end in ends if end > now]
