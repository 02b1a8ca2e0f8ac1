"""What an operator does to a stack that is up: its size by hand, and single instances.

Each is a change of what is recorded, made at once; the stack's loop then leads there, whether or not anybody waits. The
law: nothing here touches an instance or the balancer itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal, Progress
from fairlead.control.references import References
from fairlead.control.sizing import Sizing, answer, reached, refuse_failures
from fairlead.control.stackloop import StackLoop
from fairlead.control.standby import others_that_serve, refuse_unless_in_service, taken_aside, taken_back
from fairlead.core.desired import StackRecord
from fairlead.core.launch import Start, Surroundings, start_of, start_once
from fairlead.core.layout import Layout
from fairlead.core.model import Release, Service
from fairlead.core.observed import InstanceRecord, Observed
from fairlead.core.suspension import LAUNCH, TERMINATE
from fairlead.engines.base import Engine
from fairlead.errors import NotFound, UsageError
from fairlead.store.database import Store

TERMINATED = "terminated by hand"


class Operations:
    """Of one daemon. user: (uid, gid) that instances run as when fairlead is root."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        layout: Layout,
        around: Surroundings,
        user: tuple[int, int] | None,
        loop_for: Callable[[str], StackLoop],
    ) -> None:
        self._store, self._engine, self._journal, self._clock = store, engine, journal, clock
        self._layout, self._around, self._user, self._loop_for = layout, around, user, loop_for
        self._sizing = Sizing(store, journal, clock)
        self._references = References(store)

    async def scale(
        self,
        record: StackRecord,
        service: str,
        desired: int | None,
        progress: Progress,
        *,
        minimum: int | None,
        maximum: int | None,
    ) -> dict[str, Any]:
        """See `Supervisor.scale`."""
        declared = service_named(record, service)
        refuse_unless_run(declared.runs, service, "its size is the number of addresses in the file")
        loop = self._loop_for(record.name)
        with self._journal.follow(record.name, progress):
            self._sizing.set(record, declared, minimum=minimum, desired=desired, maximum=maximum)
            loop.wake()
            await self._store.durable()
            text = await loop.until(lambda wanted, observed: reached(wanted, observed, service))
        return answer(self._store.stack(record.name) or record, declared, text)

    def drain(self, record: StackRecord, instance: str, observed: Observed, *, force: bool) -> str:
        """See `Supervisor.drain`."""
        found = self.instance(record, instance)
        refuse_unless_in_service(found, "drained")
        if found.drained:
            return f"{instance} is {'on standby' if found.standby else 'drained already'}"
        if not force and not others_that_serve(observed, found):
            more = self._instead(record, found)
            raise _only_one(found, f"{more}, or use --force")
        changed = replace(found, drained=True, drained_at=self._clock.now())
        self._mark(changed, "drained", f"{instance} drained by hand: it gets no new request")
        return f"{instance} gets no new request; `fairlead instance return {instance}` gives them back"

    def give_back(self, record: StackRecord, instance: str) -> str:
        """See `Supervisor.give_back`."""
        found = self.instance(record, instance)
        if not found.drained:
            return f"{instance} was not drained"
        if found.standby:
            wanted, back, text = taken_back(record, service_named(record, found.service), found, self._clock)
            self._mark(back, "returned", text, wanted)
            return f"{text}; it gets requests again, as its health checks allow"
        self._mark(
            replace(found, drained=False, drained_at=None),
            "returned",
            f"{instance} returned by hand: it gets requests again",
        )
        return f"{instance} gets requests again, as its health checks allow"

    def standby(self, record: StackRecord, instance: str, observed: Observed, *, decrement: bool) -> str:
        """See `Supervisor.standby`."""
        found = self.instance(record, instance)
        refuse_unless_run(found.runs, instance, "`fairlead instance drain` takes it out of the load balancer")
        if found.standby:
            return f"{instance} is on standby already"
        service = service_named(record, found.service)
        wanted, aside, text = taken_aside(record, service, found, self._clock, decrement=decrement)
        if not found.drained and not others_that_serve(observed, found):
            raise _only_one(found, self._instead(record, found))
        self._mark(aside, "standby", text, wanted)
        return f"{text}; `fairlead instance return {instance}` ends it"

    def _instead(self, record: StackRecord, found: InstanceRecord) -> str:
        """What would let another one serve in its place."""
        mine = (one for one in self._store.instances(record.name) if one.service == found.service and one.drained)
        away = next((one.id for one in mine if one.id != found.id), "")
        if away:
            return f"fairlead instance return {away}"
        if not found.runs:
            return "list another address in the file"
        return f"fairlead scale {found.service} {record.sized(service_named(record, found.service)).desired + 1}"

    def protect(self, record: StackRecord, instance: str, *, on: bool) -> str:
        """See `Supervisor.protect`."""
        found = self.instance(record, instance)
        refuse_unless_run(found.runs, instance, "it is never chosen when a service shrinks")
        if found.protected == on:
            return f"{instance} is {'' if on else 'not '}protected{' already' if on else ''}"
        word = "protected from scale-in" if on else "no longer protected from scale-in"
        self._mark(replace(found, protected=on), "protected" if on else "unprotected", f"{instance} {word}")
        return f"{instance} is {word}"

    async def terminate(
        self, record: StackRecord, instance: str, *, now: bool, decrement: bool, progress: Progress
    ) -> str:
        """See `Supervisor.terminate`."""
        found = self.instance(record, instance)
        refuse_unless_run(found.runs, instance, "`fairlead instance drain` takes it out of the load balancer")
        if not now and found.state != "terminating":
            _refuse_while_suspended(record, found, decrement=decrement)
        with self._journal.follow(record.name, progress):
            # Asked again, its place is gone already.
            takes_place = decrement and not (found.condemned or found.standby or found.pooled)
            service = record.sized(service_named(record, found.service)) if takes_place else None
            if found.state != "terminating":
                why = TERMINATED + (", with its place" if decrement else "")
                marked = replace(found, condemned=why, at_once=now)
                if service is not None:
                    declared = service_named(record, found.service)
                    self._sizing.set(record, declared, desired=max(0, service.desired - 1), marked=(marked,))
                self._mark(marked, "condemned", f"{instance}: {why}")
            await self._store.durable()
            loop = self._loop_for(record.name)
            return await loop.until(lambda wanted, observed: _ended(observed, found.service, instance))

    def entry(self, record: StackRecord, *, service: str | None, instance: str | None) -> dict[str, Any]:
        """See `Supervisor.entry`."""
        if instance is not None:
            found = self.instance(record, instance)
            refuse_unless_run(found.runs, instance, "there is no program here to look into")
            release = self._release(record.name, found.service, found.release)
            values = self._references.of_release(record.name, release)
            start = start_of(release, found, self._layout, self._around, values)
        else:
            declared = service_named(record, service or "")
            refuse_unless_run(declared.runs, declared.name, "there is no release to run a command in")
            name = declared.name
            release = record.desired.releases[name]
            values = self._references.of_release(record.name, release)
            start = start_once(release, (), record.name, f"{name}.run", self._layout, self._around, values)
        return self._described(start, release, instance)

    def _described(self, start: Start, release: Release, instance: str | None) -> dict[str, Any]:
        return {
            "argv": list(start.argv),
            "environment": start.environment,
            "working_folder": start.working_folder,
            "user": list(self._user) if self._user else None,
            "service": release.service,
            "instance": instance,
            "release": release.number,
        }

    def _mark(self, changed: InstanceRecord, kind: str, text: str, wanted: StackRecord | None = None) -> None:
        """Record it, and what is wanted of its stack if that changes with it."""
        if wanted is None:
            self._store.save_instance(changed)
        else:
            self._store.save_stack(wanted, changed)
        self._journal.event(changed.stack, kind, text, service=changed.service, instance=changed.id)
        self._loop_for(changed.stack).wake()

    def instance(self, record: StackRecord, instance: str) -> InstanceRecord:
        """The live instance of that name. NotFound lists those that there are."""
        live = self._store.instances(record.name)
        for found in live:
            if found.id == instance:
                return found
        known = ", ".join(found.id for found in live) or "none"
        raise NotFound(f"there is no instance {instance!r} in {record.name}", f"it has {known}", "fairlead status")

    def _release(self, stack: str, service: str, number: int) -> Release:
        release = self._store.release(stack, service, number)
        if release is None:
            raise NotFound(f"release {number} of {service} is not in the store")
        return release


def service_named(record: StackRecord, name: str) -> Service:
    """The service of that name. NotFound lists those that there are."""
    for service in record.desired.stack.services:
        if service.name == name:
            return service
    known = ", ".join(service.name for service in record.desired.stack.services)
    raise NotFound(f"there is no service {name!r} in {record.name}", f"it has {known}", "fairlead status")


def _only_one(found: InstanceRecord, instead: str) -> UsageError:
    what = f"{found.id} is the only one that serves {found.service}"
    return UsageError(what, "without it every request would fail", instead)


def _refuse_while_suspended(record: StackRecord, found: InstanceRecord, *, decrement: bool) -> None:
    """UsageError for what nobody would do: it is not ended, or nobody is started who could serve in its place."""
    takes_part = not (found.standby or found.pooled)
    for process, stops in ((TERMINATE, True), (LAUNCH, takes_part and not decrement)):
        if stops and record.is_suspended(found.service, process):
            why = f"{process} is suspended for {found.service}"
            raise UsageError(
                f"{found.id} would stay as it is", why, f"fairlead resume {found.service} {process}, or use --now"
            )


def refuse_unless_run(runs: bool, name: str, why: str) -> None:
    """UsageError for what only makes sense of what fairlead runs."""
    if not runs:
        raise UsageError(f"{name} is routed to, and not run by fairlead", why)


def _ended(observed: Observed, service: str, instance: str) -> str:
    if not any(seen.record.id == instance for seen in observed.instances):
        return f"{instance} has ended"
    refuse_failures(observed, service, f"{instance} is not replaced, and stays")
    return ""
