"""What an `up` would change, in words: empty when it would change nothing.

In: the revision as it is wanted now, the one that the file asks for, and for new releases why they are new. Out:
changes, in the order of the file. Places in the file and its path do not count: moving a line is not a change. Values
are shown only where they cannot be secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from fairlead.core.desired import Revision
from fairlead.core.model import Listener, Release, Service, Stack, Targets
from fairlead.core.phrases import size
from fairlead.core.resources.model import Resource
from fairlead.core.scaling.policies import Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a build would come to."""

    release: Release | None
    """The known release it would be; None: a new one."""
    reasons: tuple[str, ...] = ()
    """Why a new one, against the newest known: `the source differs`, `environment.VERSION differs` (never a value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs."""

    what: str
    service: str = ""
    """Whose it is: a service's, or a resource's; "" for the stack's own."""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.service}: {self.what}" if self.service else self.what


_IN_THE_RELEASE = {
    "name", "program", "source", "python", "environment", "secrets", "external", "build", "before_traffic", "serves",
}  # fmt: skip
"""Fields of a service that show as a new release; differences of the others are named one by one."""

_TOLD_APART = {"desired", "minimum", "maximum", "scaling", "custom_metrics"}
"""Fields that have words of their own."""


def differences(
    before: Revision | None, after: Revision, reasons: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Change, ...]:
    """What differs. before: None when nothing is up. reasons: for each service with a new release, why it is new."""
    if before is None:
        new = f"stack {after.stack.name} is new"
        services = (Change(what=_new(one), service=one.name) for one in after.stack.services)
        return (Change(what=new), *services, *(_new_resource(one) for one in after.stack.resources))
    changes: list[Change] = []
    old = {service.name: service for service in before.stack.services}
    for service in after.stack.services:
        if service.name not in old:
            changes.append(Change(what=_new(service), service=service.name))
            continue
        changes += _program(before, after, old[service.name], service, (reasons or {}).get(service.name, ()))
        changes += _settings(old[service.name], service)
    kept = {service.name for service in after.stack.services}
    changes += [Change(what="is gone", service=name) for name in old if name not in kept]
    changes += _resources(before.stack, after.stack)
    changes += _of_the_stack(before.stack, after.stack)
    return tuple(changes)


def _new(service: Service) -> str:
    noun = "instance" if service.runs else "target"
    return f"is new, {service.desired} {noun}{'s' if service.desired != 1 else ''}"


def _resources(before: Stack, after: Stack) -> Iterator[Change]:
    old = {one.id: one for one in before.resources}
    for one in after.resources:
        if one.id not in old:
            yield _new_resource(one)
        elif old[one.id] != one:
            for what in _of_a_resource(old[one.id], one):
                yield Change(what=what, service=one.id)
    kept = {one.id for one in after.resources}
    for one in before.resources:
        if one.id not in kept:
            yield Change(what="is gone; its data stay" if one.url is None else "is not used any more", service=one.id)


def _new_resource(resource: Resource) -> Change:
    exists = ", which exists already" if resource.url is not None else ""
    return Change(what=f"is new, {resource.engine}{exists}", service=resource.id)


def _of_a_resource(before: Resource, after: Resource) -> Iterator[str]:
    """A `url` may hold a password, so it is not shown."""
    if before.kind != after.kind:
        yield f"{before.kind} -> {after.kind}"
    elif (before.url is None) != (after.url is None):
        yield "runs here now" if after.url is None else "one that exists already is used now; its data here stay"
    else:
        if before.url != after.url:
            yield "its url changed"
        for field in fields(before):
            if field.name != "url":
                yield from _field(field.name, getattr(before, field.name), getattr(after, field.name))


def _program(
    before: Revision, after: Revision, old: Service, new: Service, reasons: tuple[str, ...]
) -> Iterator[Change]:
    """Another release, or other targets that fairlead does not run, or the one instead of the other."""
    if isinstance(old.program, Targets) or isinstance(new.program, Targets):
        if old.program != new.program:
            yield Change(what=f"{_runs(old)} -> {_runs(new)}", service=new.name)
        return
    was, becomes = before.releases[new.name].number, after.releases[new.name].number
    if was != becomes:
        yield Change(what=f"release {was} -> {becomes}", service=new.name, why="; ".join(reasons))


def _runs(service: Service) -> str:
    program = service.program
    return f"targets {', '.join(program.addresses)}" if isinstance(program, Targets) else "instances"


def _settings(before: Service, after: Service) -> Iterator[Change]:
    for what in _size(before, after) if before.runs and after.runs else ():
        yield Change(what=what, service=after.name)
    # What they run or read may hold a secret, so only their names are told.
    for what in _named("custom metric", *({one.name: one for one in each.custom_metrics} for each in (before, after))):
        yield Change(what=what, service=after.name)
    for field in fields(Service):
        if field.name not in _IN_THE_RELEASE | _TOLD_APART:
            for what in _field(field.name, getattr(before, field.name), getattr(after, field.name)):
                yield Change(what=what, service=after.name)


def _size(before: Service, after: Service) -> Iterator[str]:
    """How many instances, and what changes their number."""
    if before.scaling is None and after.scaling is None:
        if before.desired != after.desired:
            yield f"instances {before.desired} -> {after.desired}"
    elif before.scaling is None or after.scaling is None:
        yield f"{_sized(before)} -> {_sized(after)}"
    else:
        for name, was, becomes in (
            ("min", before.minimum, after.minimum),
            ("desired", before.desired, after.desired),
            ("max", before.maximum, after.maximum),
        ):
            yield from _field(f"scaling.{name}", was, becomes)
        yield from _group(before.scaling, after.scaling)


def _sized(service: Service) -> str:
    return f"scaling {service.minimum}..{service.maximum}" if service.scaling else f"instances {service.desired}"


def _group(before: Scaling, after: Scaling) -> Iterator[str]:
    for field in fields(Scaling):
        if field.name not in ("policies", "schedule"):
            yield from _field(f"scaling.{field.name}", getattr(before, field.name), getattr(after, field.name))
    yield from _named("policy", *({one.name: one for one in each.policies} for each in (before, after)))
    yield from _named("scheduled action", *({one.name: one for one in each.schedule} for each in (before, after)))


def _named(noun: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Which of these are new, changed or gone."""
    for name, one in after.items():
        if name not in before:
            yield f"{noun} {name} is new"
        elif before[name] != one:
            yield f"{noun} {name} changed"
    for name in before:
        if name not in after:
            yield f"{noun} {name} is gone"


def _field(name: str, before: Any, after: Any) -> Iterator[str]:
    """One line for each simple value below `name` that differs."""
    if before == after:
        return
    if is_dataclass(before) and is_dataclass(after):
        for field in fields(before):
            yield from _field(f"{name}.{field.name}", getattr(before, field.name), getattr(after, field.name))
    else:
        yield f"{name} {_shown(before, name)} -> {_shown(after, name)}"


def _shown(value: Any, name: str = "") -> str:
    if name == "cpu":
        return f"{value:g}"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if name.endswith("memory") and isinstance(value, int):
        return size(value)
    if is_dataclass(value):
        said = ((field.name, getattr(value, field.name)) for field in fields(value))
        return ", ".join(f"{name} {_shown(item, name)}" for name, item in said if item is not None)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    # Everything else of a stack that is not a whole number is a time.
    return f"{value:g} s" if isinstance(value, float) else str(value)


def _of_the_stack(before: Stack, after: Stack) -> Iterator[Change]:
    was_at, now_at = _urls(before.listeners), _urls(after.listeners)
    if was_at != now_at:
        yield Change(what=f"listeners: {was_at} -> {now_at}")
    at = {listener.url: listener for listener in before.listeners}
    for listener in after.listeners:
        if listener.url in at:
            yield from _of_a_listener(at[listener.url], listener)
    for what in _field("load_balancer", before.attributes, after.attributes):
        yield Change(what=what)
    if before.zones != after.zones:
        yield Change(what=f"zones: {len(before.zones)} -> {len(after.zones)}")
    was, becomes = {job.name: job for job in before.jobs}, {job.name: job for job in after.jobs}
    for name, job in becomes.items():
        if name not in was:
            yield Change(what=f"job {name} is new, {job.cron} {job.timezone}")
        elif was[name] != job:
            yield Change(what=f"job {name} changed")
    for name in was.keys() - becomes.keys():
        yield Change(what=f"job {name} is gone")
    if before.alarms != after.alarms:
        # Where they go may be a secret, so only how many there are is told.
        more = len(after.alarms) != len(before.alarms)
        yield Change(what=f"alarms: {len(before.alarms)} -> {len(after.alarms)}" if more else "alarms changed")


def _of_a_listener(before: Listener, after: Listener) -> Iterator[Change]:
    """Which of its rules differ; what they say may be long, and a fixed answer private."""
    if before == after:
        return
    where, found = f"listener {after.url}", []
    if len(before.rules) != len(after.rules):
        found.append(f"{len(before.rules)} rules -> {len(after.rules) or 'none'}")
    else:
        changed = [n for n, pair in enumerate(zip(before.rules, after.rules, strict=True), 1) if pair[0] != pair[1]]
        found += [f"rule {number} differs" for number in changed[:5]]
        found += [f"{len(changed) - 5} more rules differ"] if len(changed) > 5 else []
    if before.default != after.default:
        found.append("its default differs")
    if before.certificates != after.certificates:
        found.append("its certificates differ")
    yield Change(what=f"{where}: {', '.join(found) or 'it differs'}")


def _urls(listeners: tuple[Listener, ...]) -> str:
    return ", ".join(listener.url for listener in listeners) or "none"
