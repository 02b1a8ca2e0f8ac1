"""The resources of one stack, made true: prepared, started, stopped, recorded; and what a cycle must know of them.

The law of each step is the applier's: what must survive a crash is recorded before the act that needs it, and an end is
recorded after nothing is left. A launch that was recorded and did not happen is done again by the next decision.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.references import password_name
from fairlead.core import plan as plans
from fairlead.core.model import Stack
from fairlead.core.resources.model import Resource, identity_of, key_of, run_here, settings_of
from fairlead.core.resources.records import ResourceRecord, ResourceSeen
from fairlead.errors import NotFound, ResourceError, UsageError
from fairlead.resources.base import Program, ResourceOrder, Resources, Sighting
from fairlead.store.database import Store

TAIL = 20
"""Lines of its log that tell why it does not start."""


class StackResources:
    """Of one stack. The applier does actions with it, the observer observes with it."""

    def __init__(self, stack: str, *, store: Store, resources: Resources, journal: Journal, clock: Clock) -> None:
        self._stack, self._store, self._resources = stack, store, resources
        self._journal, self._clock = journal, clock
        self._silent_at: dict[str, float] = {}
        self._hindered: set[str] = set()
        """Those of which that was told."""
        self.programs: dict[str, Program] = {}
        """What serves each, as far as it was seen."""

    # What there is

    async def observe(self) -> tuple[ResourceSeen, ...]:
        """Those that have a record, with what is seen of their last launch."""
        sightings = {seen.id: seen for seen in await self._resources.observe() if seen.stack == self._stack}
        self.programs = {id: seen.program for id, seen in sightings.items() if seen.program is not None}
        return tuple(self._seen(record, sightings.get(record.id)) for record in self._store.resources(self._stack))

    def _seen(self, record: ResourceRecord, sighting: Sighting | None) -> ResourceSeen:
        if sighting is None or sighting.launch != record.launch or record.boot != self._clock.boot:
            self._hindered.discard(record.id)
            return ResourceSeen(record=record)
        self._tell_hindered(record.id, sighting)
        if record.available_at is None or sighting.answers or sighting.hindered or record.launched_at is None:
            # Silence that would end with its server is counted from when that could help.
            self._silent_at.pop(record.id, None)
        else:
            self._silent_at.setdefault(record.id, self._clock.now())
        return ResourceSeen(
            record=record,
            process=sighting.process,
            preparing=sighting.preparing,
            error=sighting.error,
            answers=sighting.answers,
            clause=sighting.clause,
            hindered=sighting.hindered,
            silent_at=self._silent_at.get(record.id),
        )

    def _tell_hindered(self, id: str, sighting: Sighting) -> None:
        """Nothing is done about it, so it would be in no event otherwise: when it begins, and when it is over."""
        if sighting.hindered and id not in self._hindered:
            self._hindered.add(id)
            text = f"{sighting.clause}; it is left running, because another start would not mend that"
            self._tell("resource_hindered", id, f"{id} does not answer: {text}")
        elif sighting.answers and id in self._hindered:
            self._hindered.discard(id)
            self._tell("resource_recovered", id, f"{id} answers again")

    async def vet(self, stack: Stack) -> None:
        """Before anything is changed: whether each can be run here, and its data are what the file asks for.
        ResourceError, UsageError, with the place in the file."""
        for resource in run_here(stack.resources):
            record = self._store.resource(self._stack, resource.id)
            if record is not None and record.identity != identity_of(resource):
                raise _other_data(stack, resource, record, is_up=self._store.stack(self._stack) is not None)
            try:
                await self._resources.find(resource, self._stack)
            except ResourceError as error:
                error.place = error.place or stack.place(key_of(resource))
                raise

    def forgive(self) -> None:
        """Failed launches of before do not count: the user has mended something, and asks again."""
        for record in self._store.resources(self._stack):
            if record.failures:
                self._store.save_resource(replace(record, failures=0, failed_at=None))

    def log_tail(self, id: str) -> str:
        """The last lines that its server wrote."""
        return self._resources.log_tail(self._stack, id, TAIL)

    # What is done

    async def start(self, action: plans.StartResource) -> None:
        """Record the launch, then begin it."""
        resource = action.resource
        record = self._store.resource(self._stack, resource.id) or self._new(resource)
        record = replace(
            record,
            launch=record.launch + 1,
            boot=self._clock.boot,
            launched_at=self._clock.now(),
            started_at=self._clock.wall(),
            settings=settings_of(resource),
            available_at=None,
            stopping_at=None,
        )
        password = self._password(resource.id)
        self._store.save_resource(record)
        self._tell("resource_started", record.id, f"{record.id} ({record.engine}) starts: {action.reason}")
        self._resources.start(
            ResourceOrder(
                stack=self._stack, resource=resource, launch=record.launch, port=record.port, password=password
            )
        )

    async def mark_available(self, action: plans.MarkAvailable) -> None:
        """It answers: since now, with this program."""
        record = replace(self._record(action.resource), available_at=self._clock.now())
        if (serves := self.programs.get(record.id)) is not None:
            record = replace(
                record, program=str(serves), source=serves.source, package=serves.package, built=serves.built
            )
        self._store.save_resource(record)
        self._tell("resource_available", record.id, f"{record.id} is available ({record.program}): {action.reason}")

    async def stop(self, action: plans.StopResource) -> None:
        """Tell it to end, once."""
        record = self._record(action.resource)
        if record.stopping_at is not None:
            return
        self._store.save_resource(replace(record, stopping_at=self._clock.now(), why=action.reason))
        self._tell("resource_stopping", record.id, f"{record.id} is told to end: {action.reason}")
        await self._resources.stop(self._stack, record.id)

    async def kill(self, action: plans.KillResource) -> None:
        """SIGKILL to whatever is left of it."""
        self._tell("resource_killed", action.resource, f"{action.resource} killed: {action.reason}")
        await self._resources.kill(self._stack, action.resource)

    async def end(self, action: plans.EndResource) -> None:
        """Nothing of it is left: record that, and why."""
        record = self._record(action.resource)
        tail = self.log_tail(record.id) if action.failed else ""
        await self._resources.clear(self._stack, record.id)
        # Read again: `data stop` may have marked it meanwhile.
        record = self._record(action.resource)
        now = self._clock.now()
        self._store.save_resource(
            replace(
                record,
                launched_at=None,
                available_at=None,
                stopping_at=None,
                boot=self._clock.boot,
                why=action.reason,
                failures=record.failures + 1 if action.failed else 0,
                failed_at=now if action.failed else None,
            )
        )
        last = tail.rpartition("\n")[2]
        said = f"; it said: {last}" if last and last not in action.reason else ""
        text = f"{record.id} ended: {action.reason}{said}"
        self._tell("resource_failed" if action.failed else "resource_stopped", record.id, text)

    def _new(self, resource: Resource) -> ResourceRecord:
        taken = frozenset(record.port for record in self._store.resources())
        return ResourceRecord(
            stack=self._stack,
            id=resource.id,
            kind=resource.kind,
            engine=resource.engine,
            identity=identity_of(resource),
            port=self._resources.reserve(self._stack, resource.id, taken),
            created_at=self._clock.wall(),
        )

    def _password(self, id: str) -> str:
        vault, name = self._store.vault, password_name(id)
        known = vault.value(self._stack, name)
        if known is not None:
            return known
        made = secrets.token_urlsafe(24)
        vault.put(self._stack, name, made, "generated")
        return made

    def _record(self, id: str) -> ResourceRecord:
        record = self._store.resource(self._stack, id)
        if record is None:
            raise NotFound(f"resource {id} of stack {self._stack} has no record")
        return record

    def _tell(self, kind: str, id: str, text: str) -> None:
        self._journal.event(self._stack, kind, text, service=id)


def _other_data(stack: Stack, resource: Resource, record: ResourceRecord, *, is_up: bool) -> UsageError:
    # Of a stack that is up nothing is deleted that it declares.
    first = f"fairlead down {stack.name}; " if is_up else ""
    return UsageError(
        f"the data of {resource.id} are of another kind",
        f"they were made as {record.identity}, and the file now asks for {identity_of(resource)}",
        f"give it another id, or delete what is there: {first}fairlead data delete {resource.id} --stack {stack.name}",
        place=stack.place(key_of(resource)),
    )
