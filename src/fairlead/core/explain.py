"""Why a service is as it is, at one moment, in sentences for somebody who was woken up by it.

In: what was wanted and seen at that moment, what was decided then, and the earlier steps that touched the service. Out:
an `Explanation`, whose `answer` says it all in one line. Pure: it reads the snapshot with the snapshot's own `now`, so
that a moment of the past is explained as it was then. `control/explain.py` brings the values; the command line prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.core import reconcile
from fairlead.core.answer import answer
from fairlead.core.awaited import awaited
from fairlead.core.desired import StackRecord
from fairlead.core.figures import WINDOW, Figures
from fairlead.core.health import TargetHealth
from fairlead.core.health import explain as check_clause
from fairlead.core.model import Command, HealthCheck, Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.performance import told, troubles
from fairlead.core.phrases import ago, listed, span
from fairlead.core.plan import Action
from fairlead.core.scaling.shown import ScalingShown
from fairlead.core.scene import Scene, by_number
from fairlead.core.steps import Step, steps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeShown:
    """How many instances are wanted, and by whom."""

    desired: int
    minimum: int
    maximum: int
    declared: int
    """What the file says."""
    by_hand: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Which deployment made the release the wanted one, as far as stored decisions reach back."""

    deployment: int
    at_the_latest: bool
    """The trail ends there: it may have been an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseShown:
    number: int | None
    """None: the service is not wanted any more."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentShown:
    """The stack's last deployment, running or over."""

    number: int
    status: str
    started_at: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceShown:
    """One instance. `text` is its state and health with since when; `clauses` say why."""

    id: str
    state: str
    health: str
    reason: str | None
    description: str | None
    release: int
    zone: str
    started_at: str
    cause: str
    why: str
    drained: bool
    standby: str
    """As in an instance's record: "", `replaced` or `decremented`."""
    pooled: bool
    protected: bool
    condemned: str
    text: str
    clauses: tuple[str, ...]
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything about one service at one moment."""

    stack: str
    service: str
    answer: str
    size: SizeShown
    release: ReleaseShown
    deployment: DeploymentShown | None
    instances: tuple[InstanceShown, ...]
    decided: tuple[Step, ...]
    """What the decision of that moment did about the service; usually nothing."""
    waits: tuple[str, ...]
    earlier: tuple[Step, ...]
    """Oldest first."""
    figures: Figures
    """How it did over the last seconds before that moment."""
    suspended: tuple[str, ...] = ()
    scaling: ScalingShown | None = None
    """None: it has a fixed size."""


def explain(
    wanted: StackRecord,
    observed: Observed,
    now: float,
    service: str,
    *,
    decided: Sequence[Action] = (),
    decision: int | None = None,
    at: str = "",
    earlier: Sequence[Step] = (),
    since: Since | None = None,
    figures: Mapping[str, Figures] | None = None,
    scaling: ScalingShown | None = None,
) -> Explanation:
    """Why `service` is as it is in `observed`.

    now: monotonic seconds of the snapshot. decided: the plan's actions. decision, at: the stored decision they are of,
    if any. earlier: steps of the decisions before it, oldest first. figures: how the service ("") and its instances did
    of late. scaling: its auto scaling group, if it has one. KeyError: no revision and no instance has it.
    """
    mine = tuple(instance for instance in observed.instances if instance.record.service == service)
    found = reconcile.service_of(wanted, service)
    if found is None and not mine:
        raise KeyError(service)
    declared = found or _forgotten(service, mine)
    sized = wanted.sized(declared)
    scene = Scene(wanted, observed, now, sized, mine, tuple(decided), tuple(earlier), figures or {})
    return Explanation(
        stack=wanted.name,
        service=service,
        answer=answer(scene),
        size=_size(wanted, declared, sized),
        release=_release(wanted, service, since),
        deployment=_deployment(wanted, observed, now),
        instances=tuple(_shown(scene, instance) for instance in by_number(mine)),
        decided=steps_of(decided, service, decision=decision, at=at),
        waits=awaited(wanted, observed, now, sized, mine),
        earlier=tuple(earlier),
        figures=scene.did(),
        suspended=wanted.suspended.get(service, ()),
        scaling=scaling,
    )


def _size(wanted: StackRecord, declared: Service, sized: Service) -> SizeShown:
    group = wanted.groups.get(declared.name) if declared.scaling is not None else None
    by_hand = group.by_hand if group is not None else sized is not declared
    if group is not None and group.reason:
        text = f"{sized.desired}, {group.reason}"
    elif by_hand:
        text = f"{sized.desired}, set by hand; the file says {declared.desired}"
    else:
        text = f"{sized.desired}, as the file says"
    if sized.minimum != sized.maximum:
        text += f" (min {sized.minimum}, max {sized.maximum})"
    return SizeShown(
        desired=sized.desired,
        minimum=sized.minimum,
        maximum=sized.maximum,
        declared=declared.desired,
        by_hand=by_hand,
        text=text,
    )


def _release(wanted: StackRecord, service: str, since: Since | None) -> ReleaseShown:
    release = wanted.desired.releases.get(service)
    declared = reconcile.service_of(wanted, service)
    if wanted.wanted == "up" and declared is not None and not declared.runs:
        return ReleaseShown(number=None, text="none: fairlead routes to its targets, and does not run them")
    if release is None or wanted.wanted == "down":
        return ReleaseShown(number=None, text="none: it is to have no instances")
    text = str(release.number)
    if since is not None:
        text += f", wanted since deployment {since.deployment}" + (" or earlier" if since.at_the_latest else "")
    if release.created_at:
        text += f"; made at {release.created_at}"
    before = wanted.previous.releases.get(service) if wanted.previous else None
    if before is not None and before.number != release.number:
        text += f"; it goes back to release {before.number} if the deployment fails"
    return ReleaseShown(number=release.number, text=text)


def _deployment(wanted: StackRecord, observed: Observed, now: float) -> DeploymentShown | None:
    deployment = wanted.deployment
    if deployment is None:
        return None
    same_boot = not observed.boot or deployment.boot == observed.boot
    since = f" for {span(now - deployment.began_at)}" if same_boot else f" since {deployment.started_at}"
    match deployment.status:
        case "in_progress":
            text = f"{deployment.number}, under way{since}"
        case "failed":
            place = f" ({deployment.place})" if deployment.place else ""
            text = f"{deployment.number}, begun at {deployment.started_at}, failed: {deployment.reason}{place}"
        case _:
            text = f"{deployment.number}, begun at {deployment.started_at}, was successful"
    return DeploymentShown(
        number=deployment.number,
        status=deployment.status,
        started_at=deployment.started_at,
        reason=deployment.reason,
        text=text,
    )


_PHASES: Mapping[str, str] = {
    "pending": "launched_at",
    "warm": "warm_at",
    "in_service": "in_service_at",
    "terminating": "terminating_at",
}

_AWAY = {"drained": "drained by hand", "standby": "on standby, set by hand: it does not count as capacity"}


def _shown(scene: Scene, instance: Instance) -> InstanceShown:
    record, health = instance.record, scene.health(instance)
    seconds = scene.age(instance, getattr(record, _PHASES[record.state], None)) if record.state in _PHASES else None
    since = f" for {span(seconds)}" if seconds is not None else ""
    if reconcile.is_gone(instance) and record.state != "terminating":
        text = f"{record.state}{since}, but its process {reconcile.how_it_ended(instance, scene.observed)}"
    else:
        text = f"{record.state}{since}, {health.state}" + (f" ({health.reason})" if health.reason else "")
    return InstanceShown(
        id=record.id,
        state=record.state,
        health=health.state,
        reason=health.reason,
        description=health.description,
        release=record.release,
        zone=record.zone,
        started_at=record.started_at,
        cause=record.cause,
        why=record.why,
        drained=record.drained,
        standby=record.standby,
        pooled=record.pooled,
        protected=record.protected,
        condemned=record.condemned,
        text=text,
        clauses=tuple(_clauses(scene, instance, health)),
        figures=scene.did(record.id),
    )


def _clauses(scene: Scene, instance: Instance, health: TargetHealth) -> list[str]:
    """Why it is there, how it is, and what is to become of it."""
    record, target = instance.record, instance.target
    verb = "launched" if record.runs else "registered"
    clauses = [f"{verb} because: {record.cause}"] if record.cause else []
    if health.reason and target is not None and record.state not in ("terminating", "warm"):
        clauses.append(check_clause(scene.service.health_check, target.check))
    if instance.process is not None and instance.process.frozen:
        clauses.append("its process is frozen: stopped by SIGSTOP or a debugger")
    if instance.oversize_at is not None:
        over = scene.age(instance, instance.oversize_at)
        clauses.append("above max_memory" + (f" for {span(over)}" if over is not None else ""))
    if did := told(scene.did(record.id)):
        clauses.append(f"over the last {WINDOW} s: {did}")
    clauses += troubles(scene.did(record.id), scene.others(instance))
    marks = [
        *((_AWAY["standby" if record.standby else "drained"],) if record.drained else ()),
        *(("protected from scale-in",) if record.protected else ()),
        *((f"to be replaced: {record.condemned}",) if record.condemned else ()),
    ]
    if marks:
        clauses.append(listed(marks))
    if record.state == "terminating":
        clauses.append(f"terminating because: {record.why}")
        for what, at in (("let go by the balancer", record.deregistered_at), ("SIGTERM sent", record.stopping_at)):
            if at is not None:
                clauses.append(f"{what} {ago(scene.age(instance, at))}".rstrip())
    return clauses


def _forgotten(name: str, mine: Sequence[Instance]) -> Service:
    """A service of which only instances are left: nobody knows any more what it was."""
    serves = any(instance.record.serves for instance in mine)
    return Service(
        name=name,
        program=Command(argv=()),
        source="",
        serves=serves,
        minimum=0,
        desired=0,
        maximum=0,
        health_check=HealthCheck(),
    )
