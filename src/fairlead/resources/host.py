"""Resources as processes of this machine, each led by a shim (aiokit.launcher), with recipes that know the servers.

In: orders and verbs of the port (resources.base). Out: sightings, from the resources' folders, the kernel, and what
servers answer. The laws: nothing that matters is kept in memory; before its first verb a new host adopts what an
earlier daemon launched, and ends what carries the marker of this home and belongs to no such launch; never two servers
work on the data of one resource. What is being prepared dies with the daemon, and is prepared again by the next
`start`. Built by wiring, called by control. Long for its port's many verbs, each of a few lines; what they share has
modules of its own (launch, folders, watch, backups).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from fairlead.aiokit import strays
from fairlead.aiokit.cappedlog import last_lines
from fairlead.aiokit.launcher import Launcher
from fairlead.aiokit.leader import Leader
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.tasks import Tasks
from fairlead.core.layout import Layout
from fairlead.core.resources.model import Resource
from fairlead.errors import EngineError, FairleadError, ResourceError
from fairlead.resources import wheels
from fairlead.resources.backups import BackupFiles
from fairlead.resources.base import Program, ResourceOrder, Shell, Sighting
from fairlead.resources.folders import About, ResourceFolders
from fairlead.resources.launch import Key, Launch
from fairlead.resources.logs import ResourceLogs, write_down
from fairlead.resources.ports import port_book, refuse_taken
from fairlead.resources.recipe import Hindered, Place, Recipe, Search, Start, User
from fairlead.resources.trouble import as_resource_error
from fairlead.resources.watch import Watch, asked

MARKER = "FAIRLEAD_RESOURCE"

KILL_PATIENCE = 5.0
"""Seconds from SIGKILL until everything of a launch must be gone."""

RETURN_PATIENCE = 120.0
"""Seconds after a restore in which the server must answer again."""

CLOSE_PATIENCE = 5.0
"""Seconds for preparations to end when the daemon leaves."""

log = logging.getLogger(__name__)


class ResourceHost:
    """The resources of one home.

    user: (uid, gid) that servers get when the daemon is root; None: everything is one user's. search_path: as PATH,
    where programs of the system are looked for. recipes: by engine. passwords: what the vault holds for (stack, id),
    for servers that an earlier daemon launched.
    """

    def __init__(
        self,
        layout: Layout,
        user: User | None,
        search_path: str,
        recipes: Mapping[str, Recipe],
        passwords: Callable[[str, str], str | None],
    ) -> None:
        self._layout, self._user = layout, user
        self._search = Search(path=search_path, copies=layout.programs)
        self._recipes, self._passwords = recipes, passwords
        self._folders = ResourceFolders(layout, user)
        self._ports = port_book(layout.home)
        # Sooner than the daemon, later than instances: without their database those are of little use.
        self._launcher = Launcher(MARKER, name="fairlead-resource", oom=100)
        self._launches: dict[Key, Launch] = {}
        self._locks: dict[Key, asyncio.Lock] = {}
        self._tasks = Tasks("the host of resources", lambda name, error: log.error("%s ended", name, exc_info=error))
        self._logs, self._tending = ResourceLogs(), False
        self._launched = False
        """Whether something was launched since old programs were looked for."""
        self._backups = BackupFiles()
        self._adopting, self._adopted = asyncio.Lock(), False
        self._callbacks: list[Callable[[], None]] = []

    async def find(self, resource: Resource, stack: str = "") -> Program:
        data = self._folders.data(stack, resource.id, resource.engine) if stack else ""
        return await self._recipe(resource).find(resource, replace(self._search, data=data))

    def reserve(self, stack: str, id: str, taken: frozenset[int]) -> int:
        with as_resource_error():
            return self._ports.next(taken)

    def start(self, order: ResourceOrder) -> None:
        key = (order.stack, order.resource.id)
        last = self._launches.get(key)
        if last is not None:
            over = last.number > order.launch or (last.number == order.launch and last.leader is not None)
            if last.preparing or last.alive or over:
                return
            last.let_go()
        launch = self._launches[key] = Launch(
            stack=order.stack,
            id=order.resource.id,
            number=order.launch,
            resource=order.resource,
            port=order.port,
            password=order.password,
            step="it is about to be prepared",
        )
        launch.preparation = self._tasks.spawn(f"start {'/'.join(key)}", self._bring_up(launch, order))

    async def observe(self) -> tuple[Sighting, ...]:
        await self._adopt()
        return tuple(launch.sighting() for launch in self._launches.values())

    async def stop(self, stack: str, id: str) -> None:
        await self._adopt()
        if launch := self._launches.get((stack, id)):
            await self._give_up_preparing(launch)
            if launch.leader is not None:
                with as_resource_error():
                    await launch.leader.terminate(launch.stop_signal)

    async def kill(self, stack: str, id: str) -> None:
        await self._adopt()
        if launch := self._launches.get((stack, id)):
            await self._give_up_preparing(launch)
        with as_resource_error():
            await self._end_all(stack, id)

    async def clear(self, stack: str, id: str) -> None:
        await self._adopt()
        key = (stack, id)
        if launch := self._launches.get(key):
            await self._give_up_preparing(launch)
        async with self._lock(key):
            with as_resource_error():
                await self._end_all(stack, id)
                await asyncio.to_thread(self._finish, stack, id)
            if launch := self._launches.pop(key, None):
                launch.let_go()

    async def delete(self, stack: str, id: str) -> None:
        await self._adopt()
        key = (stack, id)
        self._refuse_running(key)
        async with self._lock(key):
            self._refuse_running(key)
            with as_resource_error():
                await self._end_all(stack, id)
                await asyncio.to_thread(self._remove, stack, id)
            if launch := self._launches.pop(key, None):
                launch.let_go()

    async def size(self, stack: str, id: str) -> int:
        return await asyncio.to_thread(self._folders.size, stack, id)

    def log_tail(self, stack: str, id: str, lines: int) -> str:
        with as_resource_error():
            return last_lines(self._folders.log(stack, id), lines)

    async def backup(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        recipe, program, place = await self._ready(order, to_read=True)
        what = f"the {order.resource.kind} {order.resource.id}"

        async def write(path: str) -> None:
            await recipe.backup(program, order.resource, place, path, lambda text: progress(text.replace(path, file)))

        await self._backups.write(file, write, progress, what)

    async def restore(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        recipe, program, place = await self._ready(order)
        watch = self._launches[order.stack, order.resource.id].watch
        clauses = [""]

        async def answers() -> bool:
            clauses[0] = await asked(partial(recipe.ask, order.resource, place))
            return not clauses[0]

        question: Callable[[], bool | Awaitable[bool]] = answers
        # Its silence meanwhile is no reason to start it again.
        with watch.held() if watch is not None else nullcontext(), as_resource_error():
            await recipe.restore(program, order.resource, place, file, progress)
            what = f"{order.resource.id} to answer after its data were restored"
            await wait_until(question, RETURN_PATIENCE, what, seen=lambda: clauses[0], error=ResourceError)

    async def shell(self, order: ResourceOrder) -> Shell:
        recipe, program, place = await self._ready(order, to_read=True)
        with as_resource_error():
            return await recipe.shell(program, order.resource, place)

    async def tend(self) -> None:
        if self._tending:
            return
        self._tending = True
        try:
            await self._adopt()
            await asyncio.to_thread(self._logs.tend, [self._folders.log(*key) for key in self._launches])
            await self._retire_programs()
        except Exception as error:
            # Nothing of this is needed for anything to run.
            log.error("the logs and programs of resources are not looked after", exc_info=error)
        finally:
            self._tending = False

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self) -> None:
        self._callbacks.clear()
        for name in await self._tasks.stop(CLOSE_PATIENCE):
            log.warning("%s does not end", name)
        while self._launches:
            self._launches.popitem()[1].let_go()

    # From an order to a living server.

    async def _bring_up(self, launch: Launch, order: ResourceOrder) -> None:
        try:
            await self._adopt()
            async with self._lock(launch.key):
                # Adoption may have found it alive already.
                if self._launches.get(launch.key) is launch:
                    with as_resource_error():
                        await self._prepare_and_launch(launch, order)
        except FairleadError as error:
            launch.error = ": ".join(part for part in (error.what, error.why) if part)
            launch.error += f" ({error.next_step})" if error.next_step else ""
            write_down(self._folders.log(*launch.key), error)
        except Exception as error:
            log.error("%s cannot be started", launch.id, exc_info=error)
            launch.error = f"an error in fairlead itself ({type(error).__name__}), see the daemon's log"
        finally:
            launch.preparation = None
            self._changed()

    async def _prepare_and_launch(self, launch: Launch, order: ResourceOrder) -> None:
        resource, recipe = order.resource, self._recipe(order.resource)
        if self._folders.is_cleared(*launch.key, launch.number):
            raise ResourceError(
                f"launch {launch.number} of {launch.id} is over already", "the database of this home is older than it"
            )
        await self._end_all(*launch.key, but=launch.number)
        await asyncio.to_thread(self._folders.make, *launch.key)
        await asyncio.to_thread(self._folders.thin_out, *launch.key)
        refuse_taken(order.port)
        place = self._place(order.stack, resource, order.port, order.password)
        launch.step = "its program is looked for"
        launch.program = program = await recipe.find(resource, replace(self._search, data=place.data))
        launch.step = "its data folder is made"
        await recipe.prepare(program, resource, place)
        start = recipe.start(program, resource, place)
        launch.stop_signal = start.stop_signal
        about = About(resource=resource, port=order.port, program=program, stop_signal=start.stop_signal)
        folder = self._folders.begin(*launch.key, launch.number, about)
        leader = self._launcher.start(
            folder,
            start.argv,
            self._environment(start, place),
            os.path.dirname(place.data),
            user=self._user,
            umask=0o077,
            log=self._folders.log(*launch.key),
        )
        # Held from now on, so that whoever cancels this loses sight of nothing.
        self._hold(launch, leader)
        try:
            settled = await self._launcher.settle(leader)
        except EngineError:
            launch.let_go()
            launch.leader = launch.watch = None
            raise
        if settled is not leader:
            self._hold(launch, settled)
        self._launched = True

    def _environment(self, start: Start, place: Place) -> dict[str, str]:
        ours = {"PATH": self._search.path, "HOME": place.run, "FAIRLEAD_HOME": self._layout.home}
        return {**ours, **start.environment}

    def _hold(self, launch: Launch, leader: Leader) -> None:
        if launch.asking is not None:
            launch.asking.cancel()
        launch.leader = leader
        leader.watch(partial(self._over, launch))
        if leader.alive and launch.resource is not None:
            launch.watch = Watch(partial(self._ask, launch, launch.resource), self._changed)
            launch.asking = self._tasks.spawn(f"ask {'/'.join(launch.key)}", launch.watch.keep_asking())

    def _over(self, launch: Launch) -> None:
        if launch.asking is not None:
            launch.asking.cancel()
            launch.asking = None
        self._changed()

    async def _ask(self, launch: Launch, resource: Resource) -> str:
        if launch.password is None:
            try:
                launch.password = self._passwords(*launch.key)
            except FairleadError as error:
                # The vault's key is lost, or not safe to use: a start would lack it, too.
                return Hindered(error.sentence)
        place = self._place(launch.stack, resource, launch.port, launch.password or "")
        return await self._recipe(resource).ask(resource, place)

    async def _give_up_preparing(self, launch: Launch) -> None:
        """What is not launched yet is not launched any more."""
        if launch.preparing and launch.preparation is not None:
            preparation = launch.preparation
            preparation.cancel()
            await asyncio.wait([preparation])

    # What an earlier daemon left.

    async def _adopt(self) -> None:
        """Once: take the world as it is found."""
        async with self._adopting:
            if self._adopted:
                return
            carriers = strays.marked(MARKER)
            known = set()
            for stack, id in self._folders.all():
                for number in self._folders.launches(stack, id):
                    folder = self._folders.launch(stack, id, number)
                    cleared = self._folders.is_cleared(stack, id, number)
                    if not cleared and await self._launcher.has_record(folder, folder in carriers):
                        known.add(folder)
                        self._take(stack, id, number, folder)
                        # Only the last one can live: an earlier one was ended before it began.
                        break
            below = f"{self._layout.home}/stacks/"
            await self._launcher.end_strays(
                carriers, lambda folder: folder.startswith(below) and folder not in known, KILL_PATIENCE
            )
            try:
                await asyncio.to_thread(self._folders.sweep)
            except OSError as problem:
                log.warning("data that were being deleted are still there: %s", problem)
            self._adopted = True

    def _take(self, stack: str, id: str, number: int, folder: str) -> None:
        leader = self._launcher.adopt(folder)
        asked = self._launches.get((stack, id))
        if asked is not None and asked.number > number and not leader.alive:
            # Somebody wants the next one already; it ends what is left of this.
            leader.close()
            return
        about = self._folders.about(stack, id, number)
        launch = Launch(stack=stack, id=id, number=number, resource=about.resource if about else None)
        if about is not None:
            launch.port, launch.program, launch.stop_signal = about.port, about.program, about.stop_signal
        self._launches[stack, id] = launch
        self._hold(launch, leader)

    # Ends.

    async def _end_all(self, stack: str, id: str, but: int | None = None) -> None:
        """Nothing of any launch of it is left, but of that one. EngineError."""
        launch = self._launches.get((stack, id))
        for number in self._folders.launches(stack, id):
            if number == but or self._folders.is_cleared(stack, id, number):
                continue
            if launch is not None and launch.number == number and launch.leader is not None:
                await launch.leader.kill(KILL_PATIENCE)
            else:
                folder = self._folders.launch(stack, id, number)
                await strays.end(MARKER, folder, self._launcher.recorded(folder), KILL_PATIENCE)
            if but is not None:
                self._folders.mark_cleared(stack, id, number)

    def _finish(self, stack: str, id: str) -> None:
        """Nothing runs: mark what it wrote last, and remove what is of no use any more. OSError."""
        self._logs.finish(self._folders.log(stack, id))
        self._folders.remove_run(stack, id)
        for number in self._folders.launches(stack, id):
            self._folders.mark_cleared(stack, id, number)
        self._folders.thin_out(stack, id)

    def _remove(self, stack: str, id: str) -> None:
        self._logs.finish(self._folders.log(stack, id))
        self._folders.delete(stack, id)

    def _refuse_running(self, key: Key) -> None:
        launch = self._launches.get(key)
        if launch is not None and (launch.alive or launch.preparing):
            raise ResourceError(
                f"the data of {key[1]} cannot be deleted", "its server runs", f"stop it: fairlead data stop {key[1]}"
            )

    async def _retire_programs(self) -> None:
        """After a launch: an older copy of its program may have no server any more. OSError."""
        running = [launch.program for launch in self._launches.values()]
        # Of one that is being prepared, or that an earlier daemon started, nobody may know the program yet.
        if self._launched and None not in running:
            self._launched = False
            paths = [program.path for program in running if program is not None]
            await asyncio.to_thread(wheels.retire, self._layout.programs, paths)

    # What is in memory, and the logs.

    async def _ready(self, order: ResourceOrder, *, to_read: bool = False) -> tuple[Recipe, Program, Place]:
        """What works with the data of one that answers; to_read: also while its disk is full, for example, which is
        when a backup elsewhere is wanted most. ResourceError when it does not."""
        await self._adopt()
        launch = self._launches.get((order.stack, order.resource.id))
        recipe = self._recipe(order.resource)
        place = self._place(order.stack, order.resource, order.port, order.password)
        alive = launch is not None and launch.alive
        clause = await asked(partial(recipe.ask, order.resource, place)) if alive else "it does not run"
        if clause and not (to_read and isinstance(clause, Hindered)):
            raise ResourceError(f"{order.resource.id} does not answer", clause, "look at it: fairlead data list")
        known = launch.program if launch is not None else None
        if known is None:
            known = await recipe.find(order.resource, replace(self._search, data=place.data))
        return recipe, known, place

    def _recipe(self, resource: Resource) -> Recipe:
        try:
            return self._recipes[resource.engine]
        except KeyError:
            raise ResourceError(f"{resource.id} cannot be served", f"nobody knows {resource.engine}") from None

    def _place(self, stack: str, resource: Resource, port: int, password: str) -> Place:
        return Place(
            data=self._folders.data(stack, resource.id, resource.engine),
            run=self._folders.run(stack, resource.id),
            port=port,
            password=password,
            user=self._user,
        )

    def _changed(self) -> None:
        for callback in tuple(self._callbacks):
            callback()

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())
