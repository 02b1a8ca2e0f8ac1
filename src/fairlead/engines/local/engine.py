"""Engine `local`: an instance is a whole process group of this machine, led by a shim (aiokit.launcher).

In: launch orders and verbs of the port (engines.base). Out: sightings, from the instances' folders and the kernel. The
law: nothing that matters is kept in memory. Before its first verb a new engine adopts: every folder that is not cleared
is an instance, alive or gone; a process that carries the marker of this home but belongs to no such folder is ended. A
folder without a shim's record was never started: `observe` does not list it, and `launch` starts it. Built by wiring,
called by control.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from fairlead.aiokit import strays
from fairlead.aiokit.cappedlog import last_lines
from fairlead.aiokit.launcher import Launcher
from fairlead.aiokit.leader import Leader
from fairlead.aiokit.listeners import owner_of, sockets_of, tcp_listeners, unix_listeners
from fairlead.aiokit.ports import DEFAULT_RANGE, PortBook, ephemeral_ports, outside
from fairlead.core.layout import Layout
from fairlead.core.readings import Key, Usage
from fairlead.engines.about import About, End
from fairlead.engines.base import LaunchOrder, Sighting
from fairlead.engines.local.diagnosis import explain_tcp, explain_unix
from fairlead.engines.local.folders import Folders
from fairlead.engines.local.members import Living
from fairlead.engines.local.upkeep import Upkeep
from fairlead.engines.local.usage import Usages
from fairlead.errors import EngineError, FairleadError

MARKER = "FAIRLEAD_RUN"

KILL_PATIENCE = 5.0
"""Seconds from SIGKILL until everything of an instance must be gone."""


class LocalEngine:
    """The engine of one home.

    user: (uid, gid) that programs get and the balancer's gid, when the daemon is root; None: everything is one user's.
    ports: where `command:` instances listen; shifted when the kernel's ephemeral range overlaps it.
    """

    name = "local"

    def __init__(self, layout: Layout, user: tuple[int, int, int] | None, ports: range = DEFAULT_RANGE) -> None:
        self._layout = layout
        self._user = user
        self._folders = Folders(layout, user)
        self._ports = PortBook(outside(ports, ephemeral_ports()), f"{layout.home}/local-last-port")
        self._upkeep = Upkeep(layout, self._folders)
        self._tending = False
        self._usages = Usages(MARKER, self._living)
        self._launcher = Launcher(MARKER)
        self._leaders: dict[tuple[str, str], Leader] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._adopting = asyncio.Lock()
        self._adopted = False
        self._callbacks: list[Callable[[], None]] = []

    def reserve(self, stack: str, instance: str, kind: str, taken: frozenset[str]) -> str:
        if kind == "unix":
            return f"unix:{self._layout.instance_socket(stack, instance)}"
        words = (address.rpartition(":")[2] for address in taken if not address.startswith("unix:"))
        return f"127.0.0.1:{self._ports.next(frozenset(int(word) for word in words if word.isdigit()))}"

    async def launch(self, order: LaunchOrder) -> None:
        await self._adopt()
        key = (order.stack, order.id)
        async with self._lock(key):
            if key in self._leaders or self._folders.is_cleared(*key):
                return
            folder = self._folders.make(*key, order.working_folder)
            # For people only: a full disk must not keep the program from starting.
            with suppress(OSError):
                self._about(order).write(folder)
            leader = self._launcher.start(
                folder,
                order.argv,
                order.environment,
                order.working_folder,
                user=self._user[:2] if self._user is not None else None,
                # The balancer's user writes to a program's socket by its group; nobody else does anything.
                umask=0o007 if self._user is not None else 0o077,
            )
            # Held from now on, so that a caller who gives up waiting loses sight of nothing.
            self._hold(key, leader)
            try:
                settled = await self._launcher.settle(leader)
            except EngineError:
                self._leaders.pop(key).close()
                raise
            if settled is not leader:
                self._hold(key, settled)

    async def observe(self) -> tuple[Sighting, ...]:
        await self._adopt()
        return tuple(
            Sighting(stack=stack, id=instance, process=leader.look())
            for (stack, instance), leader in self._leaders.items()
        )

    async def stop(self, stack: str, instance: str) -> None:
        await self._adopt()
        if leader := self._leaders.get((stack, instance)):
            await leader.terminate()

    async def kill(self, stack: str, instance: str) -> None:
        await self._adopt()
        await self._end_all(stack, instance)

    async def clear(self, stack: str, instance: str, *, failed_start: bool | None = None, why: str = "") -> None:
        await self._adopt()
        key = (stack, instance)
        async with self._lock(key):
            await self._end_all(stack, instance)
            # In a thread: HOME lies in there, and a program may have filled it.
            await asyncio.to_thread(self._upkeep.finish, stack, instance)
            self._folders.mark_cleared(stack, instance, End(failed_start=failed_start, why=why))
            if leader := self._leaders.pop(key, None):
                leader.close()
            self._usages.drop(key)
        self._locks.pop(key, None)

    async def forget(self, stack: str) -> None:
        await self._adopt()
        for key in [key for key in self._leaders if key[0] == stack]:
            await self.clear(*key)
        below = self._layout.instances(stack) + "/"
        await self._launcher.end_strays(strays.marked(MARKER), lambda folder: folder.startswith(below), KILL_PATIENCE)
        await asyncio.to_thread(self._upkeep.forget, stack)

    async def diagnose(self, stack: str, instance: str, address: str) -> str:
        await self._adopt()
        leader = self._leaders.get((stack, instance))
        if leader is None:
            return ""
        if not leader.alive:
            return f"the program {leader.outcome()}"
        program = leader.program()
        if program is None:
            return "the program has not started yet"
        if program.frozen:
            return f"the program (pid {program.pid}) was stopped by a signal, and does nothing until SIGCONT"
        if not address:
            return ""
        try:
            return self._explain(leader, program.pid, address)
        except (FairleadError, OSError):
            # The kernel does not let us look: unknown is not a cause.
            return ""

    async def memory(self, stack: str, instance: str) -> int | None:
        await self._adopt()
        leader = self._leaders.get((stack, instance))
        if leader is None or not leader.alive or leader.identity is None:
            return None
        return await self._usages.memory((stack, instance))

    async def usage(self) -> Mapping[Key, Usage]:
        await self._adopt()
        return await self._usages.read()

    async def tend(self) -> None:
        await self._adopt()
        if not self._tending:
            self._tending = True
            try:
                await asyncio.to_thread(self._upkeep.tend, tuple(self._leaders))
            finally:
                self._tending = False

    def log_tail(self, stack: str, instance: str, lines: int) -> str:
        try:
            return last_lines(f"{self._layout.instance(stack, instance)}/log", lines)
        except OSError as problem:
            raise EngineError(f"the log of {instance} cannot be read", str(problem)) from problem

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self) -> None:
        self._callbacks.clear()
        self._usages.close()
        while self._leaders:
            self._leaders.popitem()[1].close()

    async def _adopt(self) -> None:
        """Once: take the world as it is found."""
        async with self._adopting:
            if self._adopted:
                return
            carriers = strays.marked(MARKER)
            known = set()
            for stack, instance, folder in self._folders.all():
                if self._folders.is_cleared(stack, instance) or not await self._launcher.has_record(
                    folder, folder in carriers
                ):
                    continue
                known.add(folder)
                self._hold((stack, instance), self._launcher.adopt(folder))
            below = f"{self._layout.home}/stacks/"
            await self._launcher.end_strays(
                carriers, lambda folder: folder.startswith(below) and folder not in known, KILL_PATIENCE
            )
            self._adopted = True

    async def _end_all(self, stack: str, instance: str) -> None:
        if leader := self._leaders.get((stack, instance)):
            await leader.kill(KILL_PATIENCE)
        else:
            folder = self._layout.instance(stack, instance)
            await strays.end(MARKER, folder, self._launcher.recorded(folder), KILL_PATIENCE)

    def _hold(self, key: tuple[str, str], leader: Leader) -> None:
        self._leaders[key] = leader
        leader.watch(self._changed)

    def _changed(self) -> None:
        for callback in tuple(self._callbacks):
            callback()

    def _about(self, order: LaunchOrder) -> About:
        release = order.environment.get("FAIRLEAD_RELEASE", "")
        return About(
            stack=order.stack,
            id=order.id,
            service=order.environment.get("FAIRLEAD_SERVICE", ""),
            release=int(release) if release.isdecimal() else None,
            argv=order.argv,
            user=self._user[:2] if self._user is not None else (os.getuid(), os.getgid()),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )

    def _living(self) -> dict[Key, Living]:
        return {
            key: Living(leader.folder, leader.identity)
            for key, leader in self._leaders.items()
            if leader.alive and leader.identity is not None
        }

    def _lock(self, key: tuple[str, str]) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _explain(self, leader: Leader, program: int, address: str) -> str:
        os.listdir(f"/proc/{program}/fd")
        mine = sockets_of(strays.members(MARKER, leader.folder, leader.identity))
        everybody = tcp_listeners()
        tcp = [listener for listener in everybody if listener.inode in mine]
        unix = [listener for listener in unix_listeners() if listener.inode in mine]
        if address.startswith("unix:"):
            path = address.removeprefix("unix:")
            try:
                mode = os.stat(path).st_mode
            except FileNotFoundError:
                mode = None
            return explain_unix(path, mode, self._user is not None, tcp, unix)
        port = int(address.rpartition(":")[2])
        others = (other for other in everybody if other.port == port and other.inode not in mine)
        holder = next((owner for other in others if (owner := owner_of(other.inode))), None)
        return explain_tcp(port, tcp, unix, holder)
