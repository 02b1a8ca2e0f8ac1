"""`fairlead data`: what an operator does to the caches, databases and buckets that fairlead runs.

Stopping and starting change what is recorded, at once; the stack's loop then leads there, whether or not anybody waits.
Backups, restores and deletions are done here, one at a time for each resource. The laws: data go only by `delete`,
`delete_all` and `restore`, and never while a stack that is up declares them (but for `restore`); of one that exists
already (`url:`) nothing is touched.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from fairlead.control.data_shell import shell_of_url
from fairlead.control.journal import Journal, Progress
from fairlead.control.loops import Loops, Machine
from fairlead.control.references import References, password_name
from fairlead.control.resources_view import declared_in, shown_at_rest, shown_resources, used_by
from fairlead.core.desired import StackRecord
from fairlead.core.launch import SYSTEM_PATH
from fairlead.core.observed import Observed
from fairlead.core.phrases import listed
from fairlead.core.resources.decide import hopeless
from fairlead.core.resources.model import Resource, key_of
from fairlead.core.resources.records import ResourceRecord, ResourceSeen, state_of
from fairlead.core.resources.words import why_not
from fairlead.errors import FairleadError, NotFound, ResourceError, StoreError, UsageError
from fairlead.resources.base import ResourceOrder, Shell

TAIL = 20
"""Lines of its log that are shown of one that does not start."""


class Data:
    """Of one daemon."""

    def __init__(self, machine: Machine, loops: Loops, journal: Journal) -> None:
        self._m, self._loops, self._journal = machine, loops, journal
        self._store, self._resources = machine.store, machine.resources
        self._busy: dict[tuple[str, str], str] = {}

    @property
    def is_busy(self) -> bool:
        """Whether data are being written, restored or deleted."""
        return bool(self._busy)

    async def list(self, stack: str | None = None) -> dict[str, Any]:
        """{"data": [..]}: the rows of `resources` in `status --json`, each with `stack`, `up` (whether that is up) and
        `size` in bytes (null of one that exists already); also of stacks that are down. NotFound: no such stack."""
        records = {record.name: record for record in self._store.stacks()}
        kept: dict[str, list[ResourceRecord]] = {}
        for one in self._store.resources():
            kept.setdefault(one.stack, []).append(one)
        names = sorted({*records, *kept})
        if stack is not None and stack not in names:
            raise self._no_such_stack(stack)
        rows: list[dict[str, Any]] = []
        for name in names if stack is None else [stack]:
            if (record := records.get(name)) is not None:
                shown = await self._shown(record)
            else:
                shown = [shown_at_rest(one) for one in kept[name]]
            rows += [{"stack": name, "up": record is not None and record.wanted == "up", **row} for row in shown]
        sizes = await asyncio.gather(*(self._size(row) for row in rows))
        return {"data": [row | {"size": size} for row, size in zip(rows, sizes, strict=True)]}

    async def stop(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        """Stop its server until `start`; its data stay. Returns when it has ended: {"stack", "id", "text",
        "needed_by"}. NotFound, UsageError."""
        wanted = self._up(stack, id, "stopped", "nothing of it runs")
        record = self._recorded(wanted, id, "stopped")
        self._refuse_while_busy(stack, id)
        needed_by = used_by(id, wanted)
        with self._journal.follow(stack, progress):
            if not record.stopped_at:
                self._store.save_resource(replace(record, stopped_at=self._m.clock.wall()))
                without = f"; {listed(needed_by)} must do without it" if needed_by else ""
                self._journal.event(stack, "data_stopped", f"{id} is stopped by hand{without}", service=id)
            await self._store.durable()
            try:
                await self._loops.of(stack).until(lambda _, observed: _is_over(observed, id))
            except NotFound:
                # The whole stack has gone down meanwhile, and this with it.
                if self._store.stack(stack) is not None:
                    raise
        return _answer(stack, id, f"{id} is stopped; its data are kept") | {"needed_by": needed_by}

    async def start(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        """Start one that was stopped by hand, or that failed; returns when it answers: {"stack", "id", "text",
        "state"}. While its stack is down it is only marked to be started with it: its state is `stopped` then.
        NotFound, UsageError; ResourceError, with the end of its log, when it does not start."""
        if (kept := self._kept_stopped(stack, id)) is not None:
            self._store.save_resource(replace(kept, stopped_at=""))
            await self._store.durable()
            text = f"{stack} is down: {id} is started by its next `fairlead up`"
            return _answer(stack, id, text) | {"state": "stopped"}
        wanted = self._up(stack, id, "started", "it is started with its stack")
        resource = self._declared(wanted, id, "started")
        if resource.url is not None:
            raise _not_ours(resource, "started")
        self._refuse_while_busy(stack, id)
        loop = self._loops.of(stack)
        with self._journal.follow(stack, progress):
            record = self._store.resource(stack, id)
            if record is not None and (record.stopped_at or record.failures):
                if record.stopped_at:
                    self._journal.event(stack, "data_started", f"{id} is started by hand", service=id)
                self._store.save_resource(replace(record, stopped_at="", failures=0, failed_at=None))
            await self._store.durable()
            try:
                text = await loop.until(lambda wanted, observed: self._answers(resource, wanted, observed))
            except NotFound as gone:
                if self._store.stack(stack) is not None:
                    raise
                raise UsageError(f"{id} was not started", f"{stack} was taken down meanwhile", "fairlead up") from gone
        return _answer(stack, id, text) | {"state": "available"}

    async def backup(self, stack: str, id: str, file: str, progress: Progress) -> dict[str, Any]:
        """Its data into `file`, an absolute path that must not exist: {"stack", "id", "file", "bytes", "text"}.
        NotFound, UsageError, ResourceError."""
        _refuse_to_write(file)
        order = await self._order(stack, id, "backed up", to_read=True)
        with self._alone(stack, id, "a backup"):
            await self._resources.backup(order, file, _steps(stack, progress))
        size = _size_of(file)
        self._journal.event(stack, "backup", f"the data of {id} were written to {file}", service=id)
        return _answer(stack, id, f"the data of {id} are in {file}") | {"file": file, "bytes": size}

    async def restore(self, stack: str, id: str, file: str, progress: Progress) -> dict[str, Any]:
        """Its data become those of a backup: {"stack", "id", "file", "unprepared", "text"}; unprepared: of each service
        whose before_traffic ran on the data of before, {"service", "argv"}. NotFound, UsageError, ResourceError."""
        _refuse_to_read(file)
        order = await self._order(stack, id, "restored")
        with self._alone(stack, id, "a restore"):
            await self._resources.restore(order, file, _steps(stack, progress))
        self._journal.event(stack, "restored", f"the data of {id} are now those of {file}", service=id)
        unprepared = self._forget_preparations(stack, id)
        return _answer(stack, id, f"the data of {id} are those of {file}") | {"file": file, "unprepared": unprepared}

    async def shell(self, stack: str, id: str) -> dict[str, Any]:
        """A program to look into it with: {"argv", "environment", "says"}. The environment holds a password: it is for
        the owner of the home only. NotFound, UsageError, ResourceError."""
        wanted = self._up(stack, id, "looked into", "nothing of it runs")
        resource = self._declared(wanted, id, "looked into")
        if resource.url is not None:
            told = References(self._store).attributes(stack, id)
            found = shell_of_url(resource, told, lambda name: shutil.which(name, path=SYSTEM_PATH))
        else:
            found = await self._resources.shell(await self._order(stack, id, "looked into", to_read=True))
        return _of_shell(found)

    async def delete(self, stack: str, id: str, progress: Progress) -> dict[str, Any]:
        """Its data go for ever, and its record and password with them: {"stack", "id", "bytes", "text"}. Only of one
        that no stack which is up declares, and of which nothing runs. NotFound, UsageError, ResourceError."""
        size = await self._delete(self._deletable(stack, id), lambda: self._deletable(stack, id), progress)
        return _answer(stack, id, f"the data of {id} are deleted") | {"bytes": size}

    async def delete_all(self, stack: str, progress: Progress) -> dict[str, Any]:
        """All data of a stack that is down go for ever: {"stack", "ids", "bytes", "text"}. UsageError: it is up."""

        def refuse_up() -> None:
            if self._store.stack(stack) is not None:
                raise UsageError(f"the data of {stack} cannot be deleted", "it is up", f"fairlead down {stack}")

        refuse_up()
        sizes = {one.id: await self._delete(one, refuse_up, progress) for one in self._store.resources(stack)}
        text = f"all data of {stack} are deleted" if sizes else f"{stack} has no data"
        return {"stack": stack, "ids": [*sizes], "bytes": sum(sizes.values()), "text": text}

    def _deletable(self, stack: str, id: str) -> ResourceRecord:
        """The record of one whose data may be deleted now. NotFound, UsageError."""
        wanted = self._store.stack(stack)
        if wanted is not None:
            resource = declared_in(wanted).get(id)
            if resource is not None and resource.url is not None:
                if self._store.resource(stack, id) is None:
                    raise _not_ours(resource, "deleted")
                resource = None  # data of the time before it had a `url:`
            if wanted.wanted == "down":
                raise UsageError(f"{id} cannot be deleted now", f"{stack} is still going down", "fairlead status")
            if resource is not None:
                then = f"Take it out of the file and run `fairlead up`, or run: fairlead down {stack} --delete-data"
                raise UsageError(f"{id} cannot be deleted", f"{stack} is up, and its file declares it", then)
        record = self._kept(stack, id)
        if record.launched_at is not None:
            raise UsageError(f"{id} cannot be deleted now", "its server still runs", "fairlead status")
        return record

    async def _delete(self, record: ResourceRecord, refuse: Callable[[], object], progress: Progress) -> int:
        """The bytes that went. refuse: raises when it may not be any more. The folder goes before the record: what is
        left of a half-done deletion is known."""
        stack, id = record.stack, record.id
        with self._alone(stack, id, "a deletion"):
            size = await self._resources.size(stack, id)
            # Large data take a while to be measured: an `up` may want them by now.
            refuse()
            _steps(stack, progress)(f"deleting the data of {id}")
            await self._resources.delete(stack, id)
            self._store.remove_resource(stack, id)
            await self._store.durable()
        self._journal.event(stack, "data_deleted", f"the data of {id} ({record.engine}) were deleted", service=id)
        return size

    def _forget_preparations(self, stack: str, id: str) -> Sequence[dict[str, Any]]:
        """Of a database that holds other data now: whose before_traffic counts as not run any more, and what it is."""
        wanted = self._store.stack(stack)
        resource = declared_in(wanted).get(id) if wanted is not None else None
        if wanted is None or resource is None or resource.kind != "database":
            return []
        releases = ((name, wanted.desired.releases[name]) for name in used_by(id, wanted))
        found = {name: one.before_traffic for name, one in releases if one.before_traffic is not None}
        # A disk that is full does not undo the restore.
        with suppress(StoreError):
            self._store.forget_preparations(stack, found)
        return [{"service": name, "argv": [*argv]} for name, argv in found.items()]

    async def _shown(self, record: StackRecord) -> Sequence[dict[str, Any]]:
        observed = await self._loops.of(record.name).observe(record)
        seen = await self._resources.observe()
        programs = {one.id: one.program for one in seen if one.stack == record.name and one.program is not None}
        return shown_resources(record, observed, programs)

    async def _size(self, row: dict[str, Any]) -> int | None:
        if row["state"] == "external":
            return None
        try:
            return await self._resources.size(row["stack"], row["id"])
        except FairleadError:
            return None

    async def _order(self, stack: str, id: str, what: str, *, to_read: bool = False) -> ResourceOrder:
        """How the host knows it. UsageError when it is not available (to_read: and not `hindered` either); it is `what`
        that cannot be done then."""
        wanted = self._up(stack, id, what, "its server does not run")
        resource = self._declared(wanted, id, what)
        if resource.url is not None:
            raise _not_ours(resource, what)
        observed = await self._loops.of(stack).observe(wanted)
        seen = _seen(observed, id)
        if seen is None or not (state_of(seen) == "available" or (to_read and seen.hindered)):
            stopped = seen is not None and bool(seen.record.stopped_at)
            then = f"fairlead data start {id}" if stopped else f"fairlead logs {id}"
            raise UsageError(f"{id} cannot be {what} now", f"it {why_not(seen)}", then)
        record = seen.record
        password = self._store.vault.value(stack, password_name(id))
        if password is None:
            raise ResourceError(f"{id} cannot be {what}", "its password is not in the vault any more")
        return ResourceOrder(stack=stack, resource=resource, launch=record.launch, port=record.port, password=password)

    @contextmanager
    def _alone(self, stack: str, id: str, work: str) -> Iterator[None]:
        """While it lasts, no other work on these data begins."""
        self._refuse_while_busy(stack, id)
        self._busy[stack, id] = work
        try:
            yield
        finally:
            del self._busy[stack, id]

    def _refuse_while_busy(self, stack: str, id: str) -> None:
        if work := self._busy.get((stack, id)):
            raise UsageError(f"{id} is busy", f"{work} of it is under way", "Wait for its end: fairlead events")

    def _answers(self, resource: Resource, wanted: StackRecord, observed: Observed) -> str:
        """What a `start` waits for."""
        seen = _seen(observed, resource.id)
        if seen is None:
            return ""
        if seen.record.stopped_at:
            raise UsageError(f"{resource.id} was not started", "it was stopped by hand meanwhile")
        if state_of(seen) == "available":
            return f"{resource.id} is available"
        if why := hopeless(resource.id, wanted, observed, self._m.clock.now()):
            tail = self._resources.log_tail(wanted.name, resource.id, TAIL)
            raise ResourceError(f"{resource.id} does not start", why, f"fairlead logs {resource.id}", detail=tail)
        return ""

    def _up(self, stack: str, id: str, what: str, why: str) -> StackRecord:
        """What is wanted of a stack that is up. why: the reason for which a stack that is down makes it impossible."""
        record = self._store.stack(stack)
        if record is not None and record.wanted == "up":
            return record
        if record is None:
            self._kept(stack, id)
        down = "is still going down" if record is not None else "is down"
        raise UsageError(f"{id} cannot be {what}", f"{stack} {down}, and {why}", "Bring it up: fairlead up PATH")

    def _declared(self, wanted: StackRecord, id: str, what: str) -> Resource:
        """The resource as the file has it. NotFound; UsageError of one that left the file and keeps its data."""
        resource = declared_in(wanted).get(id)
        if resource is not None:
            return resource
        record = self._store.resource(wanted.name, id)
        if record is None:
            raise self._no_such_resource(wanted.name, id)
        raise UsageError(
            f"{id} cannot be {what}",
            f"it is no longer in the file of {wanted.name}; its data are kept",
            f"Put it back into the file and run `fairlead up`, or delete its data: fairlead data delete {id}",
        )

    def _recorded(self, wanted: StackRecord, id: str, what: str) -> ResourceRecord:
        """The record of one that fairlead runs."""
        resource = declared_in(wanted).get(id)
        if resource is not None and resource.url is not None:
            raise _not_ours(resource, what)
        record = self._store.resource(wanted.name, id)
        if record is None and resource is not None:
            raise UsageError(f"{id} cannot be {what}", "it has not been started yet", "fairlead status")
        return record or self._kept(wanted.name, id)

    def _kept_stopped(self, stack: str, id: str) -> ResourceRecord | None:
        """The record of one that was stopped by hand, while its stack is down."""
        record = self._store.resource(stack, id)
        return record if record is not None and record.stopped_at and self._store.stack(stack) is None else None

    def _kept(self, stack: str, id: str) -> ResourceRecord:
        record = self._store.resource(stack, id)
        if record is None:
            raise self._no_such_resource(stack, id)
        return record

    def _no_such_resource(self, stack: str, id: str) -> NotFound:
        wanted = self._store.stack(stack)
        if wanted is None and not self._store.resources(stack):
            return self._no_such_stack(stack)
        names = {*(declared_in(wanted) if wanted else ()), *(one.id for one in self._store.resources(stack))}
        likely = get_close_matches(id, sorted(names), n=1)
        meant = f"; did you mean '{likely[0]}'?" if likely else ""
        has = f"it has {', '.join(sorted(names))}{meant}" if names else "it has none"
        return NotFound(f"there is no cache, database or bucket {id!r} in {stack}", has, "fairlead data list")

    def _no_such_stack(self, stack: str) -> NotFound:
        names = sorted({*(one.name for one in self._store.stacks()), *(one.stack for one in self._store.resources())})
        known = f"this home has {', '.join(names)}" if names else "this home has none"
        return NotFound(f"there is no stack '{stack}', and no data of one", known, "fairlead data list")


def _seen(observed: Observed, id: str) -> ResourceSeen | None:
    return next((seen for seen in observed.resources if seen.record.id == id), None)


def _is_over(observed: Observed, id: str) -> str:
    seen = _seen(observed, id)
    return "" if seen is not None and seen.is_launched else "it has ended"


def _not_ours(resource: Resource, what: str) -> UsageError:
    why = f"{key_of(resource)} has a `url:`: it exists already, and fairlead only uses it"
    return UsageError(f"{resource.id} cannot be {what} here", why, "Do it where it runs.")


def _steps(stack: str, progress: Progress) -> Callable[[str], None]:
    """Lines of work for who asked for it."""
    return lambda text: progress({"text": text, "stack": stack, "service": "", "instance": "", "kind": "step"})


def _refuse_to_write(file: str) -> None:
    if os.path.lexists(file):
        raise UsageError(f"{file} is there already", "a backup never writes over a file", "Name another file.")
    folder = os.path.dirname(file)
    if not os.path.isdir(folder):
        raise UsageError(f"{file} cannot be written", f"there is no folder {folder}", f"mkdir -p {shlex.quote(folder)}")


def _refuse_to_read(file: str) -> None:
    if not os.path.isfile(file):
        why = "it is no file" if os.path.lexists(file) else "there is no such file"
        raise UsageError(f"{file} cannot be restored", why, "Name a file that `fairlead data backup` made.")


def _size_of(file: str) -> int | None:
    try:
        return os.stat(file).st_size
    except OSError:
        return None


def _of_shell(shell: Shell) -> dict[str, Any]:
    return {"argv": [*shell.argv], "environment": dict(shell.environment), "says": shell.says}


def _answer(stack: str, id: str, text: str) -> dict[str, Any]:
    return {"stack": stack, "id": id, "text": text}
