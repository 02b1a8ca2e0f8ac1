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
from fairlead.control.stackloop import StackLoop
from fairlead.core.capacity import serving
from fairlead.core.desired import Scaled, StackRecord
from fairlead.core.launch import Start, Surroundings, start_of, start_once
from fairlead.core.layout import Layout
from fairlead.core.model import Release, Service
from fairlead.core.observed import InstanceRecord, Observed
from fairlead.core.rollout import FAILED_STARTS
from fairlead.engines.base import Engine
from fairlead.errors import DeploymentFailed, NotFound, UsageError
from fairlead.store.database import Store

MOST_INSTANCES = 100
"""Instances of one service, as in the file."""

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

    async def scale(self, record: StackRecord, service: str, desired: int, progress: Progress) -> dict[str, Any]:
        """See `Supervisor.scale`."""
        declared = service_named(record, service)
        refuse_unless_run(declared.runs, service, "its size is the number of addresses in the file")
        if not 0 <= desired <= MOST_INSTANCES:
            raise UsageError(f"{service} cannot have {desired} instances", f"from 0 to {MOST_INSTANCES} are possible")
        before = record.sized(declared).desired
        with self._journal.follow(record.name, progress):
            self._set_size(record, declared, desired)
            if before != desired:
                as_declared = desired == declared.desired
                said = "as the file says" if as_declared else f"by hand (the file says {declared.desired})"
                text = f"{service}: desired {before} -> {desired}, {said}"
                self._journal.event(record.name, "scaled", text, service=service)
            await self._store.durable()
            text = await self._loop_for(record.name).until(lambda wanted, observed: _sized(wanted, observed, service))
        return {
            "stack": record.name,
            "service": service,
            "desired": desired,
            "declared": declared.desired,
            "text": text,
        }

    def drain(self, record: StackRecord, instance: str, observed: Observed, *, force: bool) -> str:
        """See `Supervisor.drain`."""
        found = self.instance(record, instance)
        if not found.serves:
            raise UsageError(f"{instance} takes no requests", f"{found.service} is a worker (`port: none`)")
        if found.state != "in_service":
            raise UsageError(f"{instance} cannot be drained", f"it is {found.state}, not in service")
        if found.drained:
            return f"{instance} is drained already"
        others = [
            seen.record.id
            for seen in observed.instances
            if seen.record.service == found.service
            and seen.record.id != instance
            and seen.record.state == "in_service"
            and not seen.record.drained  # perhaps a moment ago, and the balancer does not know yet
            and serving(seen)
        ]
        if not others and not force:
            away = [
                one.id for one in self._store.instances(record.name) if one.service == found.service and one.drained
            ]
            desired = record.sized(service_named(record, found.service)).desired
            more = f"fairlead instance return {away[0]}" if away else f"fairlead scale {found.service} {desired + 1}"
            raise UsageError(
                f"{instance} is the only one that serves {found.service}",
                "without it every request would fail",
                f"{more}, or use --force" if away or found.runs else "list another address in the file, or use --force",
            )
        changed = replace(found, drained=True, drained_at=self._clock.now())
        self._mark(changed, "drained", f"{instance} drained by hand: it gets no new request")
        return f"{instance} gets no new request; `fairlead instance return {instance}` gives them back"

    def give_back(self, record: StackRecord, instance: str) -> str:
        """See `Supervisor.give_back`."""
        found = self.instance(record, instance)
        if not found.drained:
            return f"{instance} was not drained"
        self._mark(
            replace(found, drained=False, drained_at=None),
            "returned",
            f"{instance} returned by hand: it gets requests again",
        )
        return f"{instance} gets requests again, as its health checks allow"

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
        with self._journal.follow(record.name, progress):
            # Asked again, its place is gone already.
            takes_place = decrement and not found.condemned
            service = record.sized(service_named(record, found.service)) if takes_place else None
            if found.state != "terminating":
                if service is not None:
                    self._set_size(record, service_named(record, found.service), max(0, service.desired - 1))
                why = TERMINATED + (", with its place" if decrement else "")
                self._mark(replace(found, condemned=why, at_once=now), "condemned", f"{instance}: {why}")
            await self._store.durable()
            loop = self._loop_for(record.name)
            return await loop.until(lambda wanted, observed: _ended(observed, found.service, instance))

    def entry(self, record: StackRecord, *, service: str | None, instance: str | None) -> dict[str, Any]:
        """See `Supervisor.entry`."""
        if instance is not None:
            found = self.instance(record, instance)
            refuse_unless_run(found.runs, instance, "there is no program here to look into")
            release = self._release(record.name, found.service, found.release)
            start = start_of(release, found, self._layout, self._around)
        else:
            declared = service_named(record, service or "")
            refuse_unless_run(declared.runs, declared.name, "there is no release to run a command in")
            name = declared.name
            release = record.desired.releases[name]
            start = start_once(release, (), record.name, f"{name}.run", self._layout, self._around)
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

    def _set_size(self, record: StackRecord, declared: Service, desired: int) -> None:
        """As the file says: then nothing is set by hand any more."""
        scaled = {name: size for name, size in record.scaled.items() if name != declared.name}
        if desired != declared.desired:
            scaled[declared.name] = Scaled(desired=desired, declared=declared.desired)
        self._store.save_stack(replace(record, scaled=scaled))
        self._loop_for(record.name).wake()

    def _mark(self, changed: InstanceRecord, kind: str, text: str) -> None:
        self._store.save_instance(changed)
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


def refuse_unless_run(runs: bool, name: str, why: str) -> None:
    """UsageError for what only makes sense of what fairlead runs."""
    if not runs:
        raise UsageError(f"{name} is routed to, and not run by fairlead", why)


def _sized(wanted: StackRecord, observed: Observed, name: str) -> str:
    """Whether as many serve as are wanted; DeploymentFailed when new ones cannot start."""
    service = next((one for one in wanted.desired.stack.services if one.name == name), None)
    if service is None or wanted.wanted == "down":
        raise NotFound(f"{name} is no longer in {wanted.name}", "it was taken down meanwhile")
    desired = wanted.sized(service).desired
    mine = [one for one in observed.instances if one.record.service == name and one.record.state != "terminating"]
    ready = sum(1 for one in mine if serving(one) or one.record.drained)
    if ready == desired == len(mine):
        return f"{name} has {desired} instance{'s' if desired != 1 else ''}"
    protected = sum(1 for one in mine if one.record.protected)
    if len(mine) > desired and ready == len(mine) == protected:
        return f"{name} keeps {len(mine)} instances: they are protected from scale-in"
    _refuse_failures(observed, name, f"{name} does not reach {desired} instances")
    return ""


def _ended(observed: Observed, service: str, instance: str) -> str:
    if not any(seen.record.id == instance for seen in observed.instances):
        return f"{instance} has ended"
    _refuse_failures(observed, service, f"{instance} is not replaced, and stays")
    return ""


def _refuse_failures(observed: Observed, service: str, what: str) -> None:
    """DeploymentFailed when new instances of the service cannot start."""
    failing = [one for one in observed.starts if one.service == service and one.failures >= FAILED_STARTS]
    if failing:
        history = failing[0]
        raise DeploymentFailed(
            what,
            f"{history.failures} ended before their first passed health check; the last one {history.last_outcome}",
            f"fairlead logs --instance {history.last_instance}" if history.last_instance else "fairlead logs",
        )
