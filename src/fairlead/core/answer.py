"""The first line of an explanation: how many are healthy, and why not more.

In: a `Scene`. Out: one line, with a second sentence when the last deployment failed. A replacement is told together
with what it replaces; a deficit is never told without a reason.
"""

from __future__ import annotations

import re

from fairlead.core import reconcile
from fairlead.core.awaited import awaited
from fairlead.core.desired import StackRecord
from fairlead.core.health import explain as check_clause
from fairlead.core.observed import Instance
from fairlead.core.performance import failing, told, troubles
from fairlead.core.phrases import ago, sentence, several, span
from fairlead.core.plan import Launch, Remove
from fairlead.core.resources.words import needed_in_vain
from fairlead.core.scene import Scene, by_number

MOST_CLAUSES = 3
"""Reasons in the answer; the rest is below it."""

RECENT = 600.0
"""Seconds for which an instance that took another's place is mentioned though all is well again."""

_REPLACES = re.compile(r"^replaces: (\S+?):? (.+)$", re.DOTALL)


def answer(scene: Scene) -> str:
    """`web has 2 of 3 healthy: web-4 was killed by SIGKILL 12 s ago and web-7 is starting in its place.`"""
    name, left = scene.service.name, len(scene.mine)
    if any(isinstance(action, Remove) for action in scene.decided):
        return sentence(f"{name} has no instances: {scene.wanted.name} is down") + _verdict(scene.wanted)
    if not scene.stays:
        why = "its stack goes down" if scene.wanted.wanted == "down" else "it is no longer in the file"
        rest = f"{several(left, 'instance')} of it {'is' if left == 1 else 'are'} still to end" if left else "all ended"
        return sentence(f"{name} is being taken away, because {why}: {rest}") + _verdict(scene.wanted)
    healthy, desired = len(scene.healthy), scene.service.desired
    head = f"{name} has {healthy} of {desired} healthy"
    if healthy > desired:
        head = f"{name} has {healthy} healthy, {healthy - desired} more than the {desired} desired"
    clauses = _moving(scene) + _needs(scene) + _troubles(scene)
    if not clauses and healthy >= desired:
        clauses = _recent(scene)
    if not clauses and healthy < desired:
        clauses = [*awaited(scene.wanted, scene.observed, scene.now, scene.service, scene.mine)]
        clauses = [f"it waits for {clauses[0]}"] if clauses else ["no more have been launched yet"]
    more = len(clauses) - MOST_CLAUSES
    if more > 0:
        clauses = [*clauses[:MOST_CLAUSES], f"and {more} more, below"]
    if not clauses:
        where = f", on release {_wanted_release(scene)}" if scene.service.runs else " (targets that are not run here)"
        return sentence(head + where) + _performance(scene) + _verdict(scene.wanted)
    return sentence(f"{head}: {'; '.join(clauses)}") + _performance(scene) + _verdict(scene.wanted)


def _performance(scene: Scene) -> str:
    """What it has to do, and how well it does it, while anybody asks anything of it."""
    figures = scene.did()
    if not figures.requests_per_second:
        return ""
    return " " + sentence(f"It takes {told(figures, errors=not failing(figures))}")


def _verdict(wanted: StackRecord) -> str:
    """A failed deployment: what runs is not what was asked for last."""
    deployment = wanted.deployment
    if deployment is None or deployment.status != "failed":
        return ""
    return " " + sentence(f"The last deployment, {deployment.number}, failed: {deployment.reason}")


def _wanted_release(scene: Scene) -> int:
    return scene.wanted.desired.releases[scene.service.name].number


def _moving(scene: Scene) -> list[str]:
    """The deployment that is under way, as far as it moves this service."""
    wanted, name = scene.wanted, scene.service.name
    if wanted.under_way is None or not scene.service.runs:
        return []
    release = _wanted_release(scene)
    below = wanted.desired.replaced_below.get(name, 0)
    done = sum(one.record.release == release and one.record.number >= below for one in scene.healthy)
    old = [one for one in scene.mine if one.record.release != release or one.record.number < below]
    before = wanted.previous.releases.get(name) if wanted.previous else None
    number = wanted.under_way.number
    if before is None:
        return [f"deployment {number} starts release {release}, {done} of {scene.service.desired} done"]
    if before.number != release:
        moves = f"deployment {number} moves it from release {before.number} to {release}"
        return [f"{moves}, {done} of {scene.service.desired} done"]
    if old:
        return [f"deployment {number} replaces every instance, {done} of {scene.service.desired} done"]
    return []


def _needs(scene: Scene) -> list[str]:
    """The resources that it refers to and that are not there."""
    return [f"it needs {why}" for why in needed_in_vain(scene.service, scene.wanted, scene.observed)]


def _troubles(scene: Scene) -> list[str]:
    """Why not every instance is healthy, one clause for each that is not, its replacement named with it."""
    clauses: list[str] = []
    if not scene.observed.balancer_known:
        clauses.append("the balancer does not answer, so nobody knows which targets are healthy")
    told: set[str] = set()
    for instance in by_number(scene.mine):
        if instance.record.state == "pending" and not instance.record.pooled and not reconcile.is_gone(instance):
            clauses.append(_starting(scene, instance, told))
    for action in scene.decided:
        if isinstance(action, Launch) and action.service == scene.service.name:
            clauses.append(_launching(scene, action, told))
    for instance in by_number(scene.mine):
        if instance.record.id not in told and not scene.is_healthy(instance):
            clauses += _ailing(scene, instance)
    for instance in scene.healthy:
        if instance.record.condemned and instance.record.id not in told:
            clauses.append(f"{instance.record.id} is to be replaced: {instance.record.condemned}")
        elif instance.process is not None and instance.process.frozen:
            clauses.append(
                f"{instance.record.id} is frozen (SIGSTOP or a debugger), and its checks have not failed yet"
            )
        else:
            standing_out = troubles(scene.did(instance.record.id), scene.others(instance))
            clauses += [f"of {instance.record.id}: {', '.join(standing_out)}"] if standing_out else []
    # Of one that stands out it was told already.
    if (said := failing(scene.did())) and not any(clause.startswith("of ") for clause in clauses):
        clauses.append(said)
    return clauses


def _starting(scene: Scene, instance: Instance, told: set[str]) -> str:
    record = instance.record
    replaced = _REPLACES.match(record.cause)
    if replaced is not None:
        lost = _loss(scene, replaced[1], replaced[2])
        told.add(replaced[1])
        return f"{lost} and {record.id} is starting in its place"
    age = scene.age(instance, record.launched_at)
    since = f" for {span(age)}" if age is not None else ""
    saw = instance.target.check if instance.target is not None else None
    if not record.runs:
        asked = check_clause(scene.service.health_check, saw)
        return f"{record.id} ({record.address}) has not passed a check yet: {asked}"
    if scene.health(instance).state == "unhealthy":
        return f"{record.id} has been starting{since}: {check_clause(scene.service.health_check, saw)}"
    return f"{record.id} has been starting{since}"


def _launching(scene: Scene, action: Launch, told: set[str]) -> str:
    replaced = _REPLACES.match(action.reason)
    if replaced is None:
        return f"{action.instance} is launched: {action.reason}"
    told.add(replaced[1])
    return f"{_loss(scene, replaced[1], replaced[2])} and {action.instance} is launched in its place"


def _loss(scene: Scene, lost: str, how: str) -> str:
    """`web-4 was killed by SIGKILL 12 s ago`, as far as it is known when."""
    seconds = _lost_at(scene, lost)
    when = f" {ago(seconds)}" if seconds is not None else ""
    if how == "is unhealthy":
        for instance in scene.mine:
            if instance.record.id == lost and instance.record.state == "in_service":
                ill = scene.age(instance, instance.unhealthy_at)
                return f"{lost} has been unhealthy for {span(ill)}" if ill is not None else f"{lost} is unhealthy"
        return f"{lost} was unhealthy" + (f" and taken out{when}" if when else "")
    if how.startswith("killed "):
        return f"{lost} was {how}{when}"
    if how.startswith(("exited ", "ended")):
        return f"{lost} {how}{when}"
    return f"{lost} had to go{when} ({how})"


def _lost_at(scene: Scene, lost: str) -> float | None:
    """Seconds since it was lost or taken out; None: not known, or it is still there."""
    for instance in scene.mine:
        if instance.record.id == lost:
            if reconcile.is_gone(instance) and instance.record.state != "terminating":
                return 0.0
            return scene.age(instance, instance.record.terminating_at)
    times = [step.ago for step in scene.earlier if step.instance == lost and step.action == "Retire"]
    return times[-1] if times else None


def _ailing(scene: Scene, instance: Instance) -> list[str]:
    """Why an instance that nobody is starting to replace is not healthy."""
    record = instance.record
    if record.state == "pending" and not reconcile.is_gone(instance):
        return []  # told as one that starts
    if record.pooled and not reconcile.is_gone(instance):
        return []  # out of the load balancer on purpose
    if record.state == "terminating":
        seconds = scene.age(instance, record.terminating_at)
        when = f" since {span(seconds)}" if seconds is not None else ""
        return [f"{record.id} is leaving{when}: {record.why}"]
    if reconcile.is_gone(instance):
        return [_loss(scene, record.id, reconcile.how_it_ended(instance, scene.observed))]
    if record.standby:
        return [f"{record.id} is on standby"]
    if record.drained:
        return [f"{record.id} was drained by hand"]
    if not scene.observed.balancer_known:
        return []
    seconds = scene.age(instance, instance.unhealthy_at)
    since = f" for {span(seconds)}" if seconds is not None else ""
    if instance.process is not None and instance.process.frozen:
        return [f"{record.id} is frozen (SIGSTOP or a debugger) and has been unhealthy{since}"]
    if instance.target is None:
        return [f"the balancer does not have {record.id} yet"]
    return [f"{record.id} has been unhealthy{since}: {check_clause(scene.service.health_check, instance.target.check)}"]


def _recent(scene: Scene) -> list[str]:
    """All is well; what was lost within the last minutes is still what the reader may be here for."""
    clauses = []
    for instance in by_number(scene.healthy):
        replaced = _REPLACES.match(instance.record.cause)
        age = scene.age(instance, instance.record.in_service_at)
        if replaced is not None and age is not None and age < RECENT:
            lost = _loss(scene, replaced[1], replaced[2])
            clauses.append(f"{lost} and {instance.record.id} took its place {ago(age)}")
    return clauses
