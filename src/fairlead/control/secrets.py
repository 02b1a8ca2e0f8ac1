"""Secrets of the user: set and removed by hand, kept from the environment of `up`, and listed without their values.

A secret belongs to a stack by its name; the stack need not be up, nor ever have been. Which services it is for, and
whether they run with its present value, the stack that is up tells. The law: no event, answer or error holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from fairlead.control.journal import Journal
from fairlead.control.references import References, password_name, resource_of
from fairlead.core.interpolation import references
from fairlead.core.model import Service, Stack
from fairlead.core.phrases import listed
from fairlead.core.resources.model import key_of, run_here
from fairlead.core.secrets import check_name, flaw_of, trimmed, unseen_in
from fairlead.errors import NotFound, StoreError, UsageError
from fairlead.store.database import Store

Say = Callable[[str], None]

UNKEPT = -1
"""The number of a value that the vault does not have yet: no release has it."""

_STACK = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


class Secrets:
    """Of one daemon."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal

    async def set(self, stack: str, name: str, value: str) -> dict[str, Any]:
        """Keep a value, in the place of one that was there: {"stack", "name", "changed", "removed", "outdated",
        "text"}. removed: what was taken off round it, in words; outdated: services that run without it until the next
        `up`. UsageError: the name or the value cannot be one."""
        _check(stack, name)
        value, removed = trimmed(value)
        if flaw := flaw_of(value):
            raise UsageError(f"{name} is not set", f"the value cannot be used: {flaw}", _ADVICE)
        known = next((one for one in self._store.vault.entries(stack) if one.name == name), None)
        number = self._store.vault.put(stack, name, value, "set", self._needed(stack).get(name, ()))
        changed = known is None or known.number != number
        if known is None or changed or known.origin != "set":
            self._journal.event(stack, "secret_set", f"the secret {name} is set by hand")
        await self._store.durable()
        up = self._up(stack)
        outdated = [one.name for one in up.services if one.secrets.get(name, number) != number] if up else []
        return {
            "stack": stack,
            "name": name,
            "changed": changed,
            "removed": list(removed),
            "outdated": outdated,
            "text": _told_set(stack, name, known is not None, changed, removed, unseen_in(value), up, outdated),
        }

    def entries(self, stack: str) -> dict[str, Any]:
        """{"stack", "secrets": [{"name", "origin", "changed_at", "used_by"}]}, by name. origin: `set`, `environment`,
        or None for one that the stack that is up refers to and that has no value. used_by: services, `alarms`, and
        resources (`caches.sessions`) of the stack that is up."""
        _check_stack(stack)
        up = self._up(stack)
        kept = {one.name: one for one in self._store.vault.entries(stack)}
        names = sorted({*kept, *(up.secret_names if up else ())})
        rows = [
            {
                "name": name,
                "origin": kept[name].origin if name in kept else None,
                "changed_at": kept[name].changed_at if name in kept else None,
                "used_by": list(_users(up, name)) if up else [],
            }
            for name in names
        ]
        return {"stack": stack, "secrets": rows}

    async def remove(self, stack: str, name: str, *, force: bool) -> dict[str, Any]:
        """Forget a value: {"stack", "name", "used_by", "text"}. NotFound. UsageError: the stack that is up uses it,
        and not `force`."""
        _check(stack, name)
        if name not in {one.name for one in self._store.vault.entries(stack)}:
            raise NotFound(
                f"{stack} has no secret {name}", "", f"`fairlead secret list --stack {stack}` shows those it has."
            )
        up = self._up(stack)
        users = _users(up, name) if up else ()
        if users and not force:
            raise UsageError(
                f"{name} is used by {listed(users)} of {stack}",
                "what is started anew could not get it any more",
                "Take it out of the file and run `fairlead up` first, or repeat the command with --force.",
            )
        self._store.vault.remove(stack, name)
        self._journal.event(stack, "secret_removed", f"the secret {name} is removed by hand")
        await self._store.durable()
        return {"stack": stack, "name": name, "used_by": list(users), "text": _told_removed(stack, name, up)}

    async def reset(self) -> dict[str, Any]:
        """Give up every value of the home, whose key was lost: {"secrets": [{"stack", "name"}], "data": [{"stack",
        "id"}], "text"}. secrets: those of users, to be set again; data: caches, databases and buckets that get another
        password when they are started next. UsageError: the key opens them, or a stack that has some is up."""
        vault = self._store.vault
        why = vault.lost()
        if not why:
            raise UsageError(
                "no secret was given up",
                "this home's key opens those that are kept" if vault.kept() else "this home keeps none",
                "`fairlead secret remove NAME` forgets one.",
            )
        kept = vault.kept()
        up = [one.name for one in self._store.stacks() if one.name in {stack for stack, _ in kept}]
        if up:
            verb = "is" if len(up) == 1 else "are"
            why = f"{listed(up)} {verb} up: what runs has the old values, and what is started anew would have others"
            then = f"Run `fairlead down {up[0]}` first; its data stay."
            raise UsageError("the secrets cannot be given up now", why, then)
        vault.give_up()
        for stack in dict.fromkeys(stack for stack, _ in kept):
            count = sum(one == stack for one, _ in kept)
            text = f"{count} secret{'s' if count > 1 else ''} given up: the key to them was lost ({why})"
            self._journal.event(stack, "secret_removed", text)
        await self._store.durable()
        named = [(stack, resource_of(name), name) for stack, name in kept]
        return {
            "secrets": [{"stack": stack, "name": name} for stack, id, name in named if not id],
            "data": [{"stack": stack, "id": id} for stack, id, _ in named if id],
            "text": _told_reset([(stack, name) for stack, id, name in named if not id]),
        }

    def filled(self, stack: Stack, env: Mapping[str, str], say: Say) -> Stack:
        """`stack` with the number of each secret's value, once all have one: that which was set by hand, else that of
        `env`, which is kept from then on, else the one kept before. say: told of what was taken off round a value.
        UsageError names every one that has none, and where it stands. Nothing is kept unless all are there."""
        found, lacking = self._looked_for(stack, env, say)
        if lacking:
            raise _lacking(stack, lacking)
        for name, value in found.items():
            self._keep(stack.name, name, value)
        return References(self._store).numbered(stack)

    def previewed(self, stack: Stack, env: Mapping[str, str], say: Say) -> Stack:
        """What `filled` would make of it, keeping nothing: a value that `up` would keep anew has the number UNKEPT.
        say: told, too, of each that has none, for which `up` would be refused."""
        found, lacking = self._looked_for(stack, env, say)
        for name, why in lacking.items():
            place = _place(stack, name)
            command = f"fairlead secret set {name} --stack {stack.name}"
            say(f"`fairlead up` would be refused: {f'{place}: ' if place else ''}the secret {name}: {why} ({command})")
        vault = self._store.vault
        anew = {name for name, value in found.items() if name not in lacking and vault.value(stack.name, name) != value}
        return References(self._store).numbered(stack, dict.fromkeys(anew, UNKEPT))

    def _looked_for(self, stack: Stack, env: Mapping[str, str], say: Say) -> tuple[dict[str, str], dict[str, str]]:
        """The values that the environment has for those that nobody set by hand, and why others cannot be used."""
        kept = {one.name: one.origin for one in self._store.vault.entries(stack.name)}
        found: dict[str, str] = {}
        lacking: dict[str, str] = {}
        for name in stack.secret_names:
            given, removed = trimmed(env.get(name, ""))
            if given and kept.get(name) != "set":
                if removed:
                    say(f"{name}: round its value in the environment there were {listed(removed)}: taken off")
                if unseen := unseen_in(given):
                    say(f"{name}: {unseen}")
                if flaw := flaw_of(given):
                    lacking[name] = f"its value in the environment cannot be used: {flaw}"
                found[name] = given
            elif name in kept:
                # Now, when nothing has changed yet, and not at the launch of an instance.
                self._store.vault.value(stack.name, name)
            else:
                how = "empty" if name in env else "not"
                lacking[name] = f"it was never set, and is {how} in the environment of `fairlead up`"
        for resource in run_here(stack.resources):
            # Its password is asked for at its start: too late to tell that the key was lost.
            self._store.vault.value(stack.name, password_name(resource.id))
        return found, lacking

    def forget_earlier(self, stack: str) -> None:
        """Forget the values before the present ones that nothing is started with any more: after an `up`."""
        with suppress(StoreError):
            # On a full disk: the next `up` does it.
            self._store.vault.forget_earlier(stack, self._needed(stack))

    def _needed(self, stack: str) -> Mapping[str, Collection[int]]:
        """By name, the numbers of the values that something of the stack runs with, or may be started with."""
        record, needed = self._store.stack(stack), dict[str, set[int]]()
        revisions = [one for one in (record.desired, record.previous) if one] if record else []
        releases = [release for revision in revisions for release in revision.releases.values()]
        for instance in self._store.instances(stack):
            releases += filter(None, [self._store.release(stack, instance.service, instance.release)])
        for release in releases:
            for name, number in release.secrets.items():
                needed.setdefault(name, set()).add(number)
        return needed

    def _keep(self, stack: str, name: str, value: str) -> None:
        vault = self._store.vault
        before = vault.numbers(stack).get(name)
        if vault.put(stack, name, value, "environment", self._needed(stack).get(name, ())) != before:
            self._journal.event(stack, "secret_set", f"the secret {name} is kept from the environment of `up`")

    def _up(self, stack: str) -> Stack | None:
        """What the stack is wanted to be; None: it is not up."""
        record = self._store.stack(stack)
        return record.desired.stack if record is not None and record.wanted == "up" else None


_ADVICE = "Pass it by stdin (`fairlead secret set NAME < FILE`), or when the command asks for it."


def _check(stack: str, name: str) -> None:
    _check_stack(stack)
    check_name(name)


def _check_stack(stack: str) -> None:
    if not _STACK.fullmatch(stack):
        raise UsageError(
            "that is no name of a stack",
            "it has lower-case letters, digits and -, begins with a letter and has at most 32 characters",
            "Name it with --stack, as `name:` of its fairlead.yaml does.",
        )


def _users(stack: Stack, name: str) -> tuple[str, ...]:
    """Who refers to it: services, `alarms`, resources by their place in the file."""
    users = [one.name for one in stack.services if name in one.secrets or name in _named(*_metrics(one))]
    users += ["alarms"] if name in _named(*(alarm.webhook for alarm in stack.alarms)) else []
    return (*users, *(key_of(one) for one in stack.resources if name in _named(one.url)))


def _metrics(service: Service) -> Iterator[str | None]:
    return (metric.url for metric in service.custom_metrics)


def _named(*texts: str | None) -> set[str]:
    return {parts[1] for text in texts for parts in references(text or "") if parts[0] == "secrets"}


def _told_set(
    stack: str,
    name: str,
    known: bool,
    changed: bool,
    removed: tuple[str, ...],
    unseen: str,
    up: Stack | None,
    outdated: list[str],
) -> str:
    said = [f"{name} of {stack} " + (("has another value now" if known else "is set") if changed else "has that value")]
    if removed:
        said.append(f"taken off round it: {listed(removed)}")
    if unseen:
        said.append(unseen)
    if outdated:
        said.append(f"{listed(outdated)} get{'s' if len(outdated) == 1 else ''} it by the next `fairlead up`")
    elif up is None:
        said.append(f"{stack} is not up: `fairlead up` uses it")
    return "; ".join(said)


def _told_reset(users: list[tuple[str, str]]) -> str:
    said = "all secrets of this home are given up, and the next one gets a new key"
    if not users:
        return f"{said}; `fairlead up` makes new passwords"
    first = "; ".join(f"fairlead secret set {name} --stack {stack}" for stack, name in users)
    return f"{said}; before the next `fairlead up`: {first}"


def _told_removed(stack: str, name: str, up: Stack | None) -> str:
    said = f"{name} of {stack} is removed"
    services = [one.name for one in up.services if name in one.secrets] if up else []
    if not services:
        return said
    return (
        f"{said}; what runs of {listed(services)} keeps the value until it is restarted, and nothing of it can be "
        "started anew before the secret is set again"
    )


def _lacking(stack: Stack, lacking: Mapping[str, str]) -> UsageError:
    """One error for all."""
    (first, why), *more = lacking.items()
    command = f"fairlead secret set {first} --stack {stack.name}"
    if not more:
        what = f"the secret {first} has no value that can be used"
        return UsageError(what, why, f"Run `{command}`, then `fairlead up` again.", place=_place(stack, first))
    lines = (": ".join(filter(None, (_place(stack, name), name, why))) for name, why in lacking.items())
    return UsageError(
        f"{len(lacking)} secrets have no value that can be used",
        listed(tuple(lacking)),
        f"Run `{command}`, the same for the others, then `fairlead up` again.",
        detail="\n".join(lines),
    )


def _place(stack: Stack, name: str) -> str:
    """Where the file first names it; "" when that is not known."""
    return next((place for key in _keys(stack, name) if (place := stack.place(key))), "")


def _keys(stack: Stack, name: str) -> Iterator[str]:
    """The keys under which a secret is named, in the order of the file's sections."""
    for service in stack.services:
        key = f"services.{service.name}"
        own = [variable for variable in service.environment if f"{key}.environment.{variable}" not in stack.places]
        for variable, text in service.environment.items():
            if name in _named(text):
                yield f"{key}.secrets.{own.index(variable)}" if variable in own else f"{key}.environment.{variable}"
        for metric in service.custom_metrics:
            if name in _named(metric.url):
                yield f"{key}.custom_metrics.{metric.name}.url"
        if name in service.secrets:
            yield f"{key}.secrets"
    for index, alarm in enumerate(stack.alarms):
        if name in _named(alarm.webhook):
            yield f"alarms.{index}.webhook"
    for resource in stack.resources:
        if name in _named(resource.url):
            yield f"{key_of(resource)}.url"
