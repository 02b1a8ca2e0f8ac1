"""What a service waits for: each thing with the time it has left, in words.

In: the stack as wanted and as seen at one moment. Out: sentences, the most urgent kind first; none when nothing is
awaited. The same rules as the decisions' own (`capacity`, `ending`, `reconcile`), told instead of acted on.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core import capacity, reconcile
from fairlead.core.census import is_old
from fairlead.core.desired import StackRecord
from fairlead.core.health import explain
from fairlead.core.model import Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.phrases import listed, several, span
from fairlead.core.resources.words import needed_in_vain
from fairlead.core.suspension import LAUNCH, REPLACE_UNHEALTHY, TERMINATE


def awaited(
    wanted: StackRecord, observed: Observed, now: float, service: Service, mine: Sequence[Instance]
) -> tuple[str, ...]:
    """Everything `service` waits for at `now`. mine: its instances."""
    found: list[str] = []
    if not observed.balancer_known:
        found.append("the balancer: it does not answer, and nothing that needs to know its targets is decided")
    if wanted.wanted == "up" and service.name in wanted.desired.releases:
        found += _suspended(wanted, service, mine)
        found += _protection(service, mine)
        found += _others(wanted, observed, now, service)
        found += _preparation(wanted, observed, now, service)
        found += _back_off(wanted, observed, now, service, mine)
    for instance in mine:
        found += _instance(instance, wanted, service, observed, now)
    found += _listeners(wanted, observed, service)
    return tuple(found)


def _others(wanted: StackRecord, observed: Observed, now: float, service: Service) -> list[str]:
    needed = needed_in_vain(service, wanted, observed)
    waits = reconcile.waiting(wanted, observed, now).get(service.name, ())
    names = waits[len(needed) :] if waits else ()
    found = [f"{resource}; {service.name} is started when it answers" for resource in needed if waits]
    if names:
        found.append(f"{listed(names)}, which must be healthy before {service.name} is started (after)")
    return found


def _preparation(wanted: StackRecord, observed: Observed, now: float, service: Service) -> list[str]:
    """The before_traffic that runs."""
    release = wanted.desired.releases[service.name].number
    for run in observed.runs:
        record = run.record
        mine = record.kind == "before_traffic" and record.service == service.name and record.release == release
        if mine and record.outcome is None and run.process is not None and run.process.alive:
            since = f", running for {span(now - record.began_at)}" if record.boot == observed.boot else ""
            return [f"before_traffic of release {release} ({record.id}{since}): no instance is launched before it ends"]
    return []


def _back_off(
    wanted: StackRecord, observed: Observed, now: float, service: Service, mine: Sequence[Instance]
) -> list[str]:
    release = wanted.desired.releases[service.name].number
    have = sum(one.record.release == release for one in _group(mine))
    for history in observed.starts:
        if (history.service, history.release) != (service.name, release):
            continue
        due = capacity.back_off(history)
        if due is not None and due > now and have < service.desired:
            last = f"; {history.last_instance} {history.last_outcome}" if history.last_instance else ""
            failed = f"{several(history.failures, 'start')} of release {release} failed in a row{last}"
            return [f"the next start, in {span(due - now)}: {failed}"]
    return []


def _group(mine: Sequence[Instance]) -> list[Instance]:
    """Those that are counted as the group's capacity, or are about to be."""
    return [
        one
        for one in mine
        if one.record.state in ("pending", "in_service") and not (one.record.pooled or one.record.standby)
    ]


def _suspended(wanted: StackRecord, service: Service, mine: Sequence[Instance]) -> list[str]:
    """What nobody does because an operator has suspended it."""
    name, found = service.name, []
    group = _group(mine)
    release = wanted.desired.releases[name].number
    below = wanted.desired.replaced_below.get(name, 0)
    stay = [one for one in group if not (is_old(one, release, below) or one.record.condemned)]
    missing = service.desired - len(stay)
    if missing > 0 and wanted.is_suspended(name, LAUNCH):
        lacks = f"{several(missing, 'instance')} fewer than desired, and none is started"
        found.append(f"{_resume(name, LAUNCH)}: there {'is' if missing == 1 else 'are'} {lacks}")
    surplus = len(group) - service.desired
    if surplus > 0 and wanted.is_suspended(name, TERMINATE):
        found.append(f"{_resume(name, TERMINATE)}: {several(surplus, 'instance')} more than desired stay")
    gone = [one.record.id for one in group if reconcile.is_gone(one)]
    if gone and wanted.is_suspended(name, REPLACE_UNHEALTHY):
        found.append(f"{_resume(name, REPLACE_UNHEALTHY)}: nobody takes the place of {listed(gone)}")
    return found


def _resume(service: str, process: str) -> str:
    return f"you: {process} is suspended, until `fairlead resume {service} {process}`"


def _protection(service: Service, mine: Sequence[Instance]) -> list[str]:
    """AWS's sentence (aws-semantics D8)."""
    group = _group(mine)
    if len(group) <= service.desired or not all(one.record.protected for one in group):
        return []
    return [
        "you: could not scale to desired capacity because all remaining instances are protected from scale-in"
        f" (`fairlead instance protect {group[0].record.id} --off`)"
    ]


def _instance(instance: Instance, wanted: StackRecord, service: Service, observed: Observed, now: float) -> list[str]:
    record, deploying = instance.record, wanted.under_way is not None
    if reconcile.is_gone(instance) and record.state != "terminating":
        return []
    if observed.boot and record.boot != observed.boot:
        return []
    match record.state:
        case "pending":
            return _first_check(instance, service, now, deploying=deploying)
        case "in_service" if record.standby:
            return [f"you: {record.id} is on standby, until `fairlead instance return {record.id}`"]
        case "in_service" if instance.unhealthy_at is not None:
            kept = wanted.is_suspended(service.name, REPLACE_UNHEALTHY)
            return _recovery(instance, service, now, kept=kept)
        case "in_service" if record.condemned:
            return [f"another instance that serves in the place of {record.id}, which then goes: {record.condemned}"]
        case "in_service" if record.drained:
            return [f"you: {record.id} was drained by hand, until `fairlead instance return {record.id}`"]
        case "terminating":
            return _leaving(instance, service, now)
    return []


def _first_check(instance: Instance, service: Service, now: float, *, deploying: bool) -> list[str]:
    record, check = instance.record, service.health_check
    if not record.serves:
        return [f"{record.id} to have run for {reconcile.WORKER_START:g} s"]
    saw = f" ({explain(check, instance.target.check)})" if instance.target is not None else ""
    left = record.launched_at + check.grace_period - now
    if left > 0:
        limit = f"it has {span(left)} left of its grace period of {span(check.grace_period)}"
    elif not check.replace_unhealthy:
        limit = "its grace period is over, and replace_unhealthy is off: it is left as it is"
    else:
        limit = "its grace period is over: " + ("the deployment is given up" if deploying else "it is replaced")
    where = ", which is for the warm pool" if record.pooled else ""
    return [f"the first passed health check of {record.id}{where}{saw}; {limit}"]


def _recovery(instance: Instance, service: Service, now: float, *, kept: bool) -> list[str]:
    """kept: ReplaceUnhealthy is suspended."""
    record, check = instance.record, service.health_check
    left = record.launched_at + check.grace_period - now
    if not check.replace_unhealthy:
        return [f"{record.id} to pass its checks again: replace_unhealthy is off, so it is not replaced"]
    if kept:
        return [f"{record.id} to pass its checks again, or {_resume(service.name, REPLACE_UNHEALTHY)}"]
    if left > 0:
        return [f"{record.id} to pass its checks again: it is replaced when its grace period ends, in {span(left)}"]
    return [f"an instance that serves in the place of {record.id}, or for it to pass its checks again"]


def _leaving(instance: Instance, service: Service, now: float) -> list[str]:
    record, target = instance.record, instance.target
    alive = instance.process is not None and instance.process.alive
    if record.deregistered_at is None:
        if target is None or not target.sessions or not alive:
            return []
        left = (record.terminating_at or now) + service.target_group.deregistration_delay - now
        inside = several(target.sessions, "request")
        delay = f"its deregistration delay of {span(service.target_group.deregistration_delay)} ends in {span(left)}"
        return [f"{inside} inside {record.id} to finish; {delay}"]
    if record.stopping_at is not None and alive:
        left = record.stopping_at + service.stop_timeout - now
        return [f"{record.id} to end after SIGTERM; SIGKILL follows in {span(left)} (stop_timeout)"]
    return []


def _listeners(wanted: StackRecord, observed: Observed, service: Service) -> list[str]:
    mine = {
        (listener.address, listener.port)
        for listener in wanted.desired.stack.listeners
        if service.name in listener.services
    }
    return [f"its port {one.port}: {one.why}" for one in observed.missing if (one.address, one.port) in mine]
