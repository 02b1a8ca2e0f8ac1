"""Keeps the running HAProxy like what is remembered, and brings it back when it dies.

In: the memory (`Wanted`), the processes (`Keeper`). Out: after `carry_out`, a HAProxy that has exactly the remembered
membership, with exact round robin among those in rotation where that is asked for, with less for targets that answer
with errors where that is, its file and its servers' states on disk.

The law: first the file, then the command; a write that failed does not stop the command and is repeated at the next
look; a command that failed is made up for at the next look, by comparing everything. Called under the node's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from fairlead.core.anomalies import Tally, judge
from fairlead.errors import BalancerError
from fairlead.haproxy import membership
from fairlead.haproxy.commands import (
    SHOW_SESSIONS,
    SHOW_STATE,
    Command,
    command,
    end_session,
    parse_servers_state,
    parse_sessions,
)
from fairlead.haproxy.keeper import Keeper
from fairlead.haproxy.ledger import Ledger, sessions_in
from fairlead.haproxy.measuring import Measuring
from fairlead.haproxy.outcomes import Outcomes
from fairlead.haproxy.process import Process
from fairlead.haproxy.render import servers_in
from fairlead.haproxy.servers import Key, Member, group_of
from fairlead.haproxy.wanted import Wanted

log = logging.getLogger(__name__)

DELETE_PATIENCE = 1.0
"""Seconds for HAProxy to let go of a server's connections, twice."""

Server = tuple[str, str]
"""(backend, server)."""


class Upkeep:
    """See the module. came_back: called after HAProxy was brought back."""

    def __init__(
        self, keeper: Keeper, wanted: Wanted, ledger: Ledger, measuring: Measuring, came_back: Callable[[], None]
    ) -> None:
        self._keeper, self._wanted, self._ledger, self._measuring = keeper, wanted, ledger, measuring
        self._came_back = came_back
        self._unsettled = False
        self._unwritten = False
        self._outcomes = Outcomes()
        self._ramp_ends: dict[Key, float] = {}
        """When each target on its way to its full share has it, in the loop's seconds."""
        self.begun_at = 0.0
        """When the present HAProxy took over, in the loop's seconds."""

    @property
    def alive(self) -> bool:
        return self._keeper.current is not None and not self._keeper.current.dead

    def begun(self) -> None:
        """Another process has taken over."""
        self.begun_at = asyncio.get_running_loop().time()
        self._outcomes.begin(self.begun_at)
        self._ledger.new_process()

    def doubt(self) -> None:
        """What runs may differ from what is remembered: the next look compares everything."""
        self._unsettled = True

    async def carry_out(self, more: Iterable[Command] = ()) -> None:
        """Write the file, make HAProxy like it, send `more`. One that has died is brought back for it. BalancerError:
        HAProxy does not answer or obey; what is remembered stands, and is carried out as soon as it does."""
        self._unsettled = True
        await self._write()
        last: Exception | None = None
        for pause in (0.0, 0.01, 0.1):
            if not self._wanted.endpoints:
                break
            # A process that is being killed refuses a little before it is gone.
            await asyncio.sleep(pause)
            if not self.alive:
                await self.bring_back()
            try:
                await self._settle(self._running(), more)
                break
            except OSError as problem:
                last = problem
                await self.end_frozen()
        else:
            raise BalancerError(
                "HAProxy does not answer", str(last) or "it is silent", "fairlead goes on trying; see its log"
            ) from last
        self._unsettled = False

    async def bring_back(self) -> None:
        """Start HAProxy on what is remembered; connections have been waiting in its listeners' queues."""
        await self._keeper.launch(self._wanted, checked=False)
        self.begun()
        process = self._running()
        await self._settle(process)
        log.info("HAProxy is back (pid %d)", process.pid)
        self._came_back()

    async def end_frozen(self) -> None:
        """A HAProxy that was stopped by a signal serves nobody and keeps everybody waiting: it is ended, and brought
        back as after any death."""
        current = self._keeper.current
        if current is not None and current.frozen:
            log.warning("HAProxy (pid %d) was stopped by a signal; it is ended", current.pid)
            await current.kill()

    async def look(self) -> None:
        """Read what HAProxy says, and do what follows from it; first what is still to be made up for. OSError or
        BalancerError: it does not answer or obey."""
        if self._unsettled:
            await self.carry_out()
        else:
            await self._look(self._running())

    async def look_back(self) -> None:
        """Nothing is to be served: only what is still inside those that are leaving counts."""
        self._ledger.look(0, ())
        for leaving in tuple(self._keeper.leaving):
            await self._look_back(leaving)

    async def sever(self, key: Key) -> None:
        """End what runs inside a target, which stays; where no HAProxy lives nothing does. BalancerError: it does not
        answer or obey."""
        await self.carry_out()
        if self._keeper.current is not None:
            states = parse_servers_state(await self._keeper.current.runtime.ask(SHOW_STATE))
            mine = [server for server in states if (group_of(server[0]), server[1]) == key]
            await self._keeper.current.runtime.run([command("shutdown sessions", *server) for server in mine])
        await self.end_inside(key)

    async def end_inside(self, key: Key) -> None:
        """End what runs inside a target in those that are leaving: they know no server any more, only what they do.
        One that cannot be asked keeps it until the target ends it."""
        for leaving in tuple(self._keeper.leaving):
            if leaving.sessions == 0:
                continue
            with suppress(OSError, BalancerError):
                open_ones = parse_sessions(await leaving.runtime.ask(SHOW_SESSIONS))
                inside = [session for session, backend, server in open_ones if (group_of(backend), server) == key]
                await leaving.runtime.run([end_session(session) for session in inside])

    def _running(self) -> Process:
        if self._keeper.current is None:
            raise ConnectionError("no HAProxy runs")
        return self._keeper.current

    async def _write(self) -> None:
        current = self._keeper.current
        if current is None:
            return
        path = self._keeper.files.configuration(current.generation)
        try:
            text = self._wanted.render(self._keeper.place(current.generation))
            await asyncio.to_thread(self._keeper.files.write, path, text)
            self._unwritten = False
        except OSError as problem:
            if not self._unwritten:
                log.warning("%s was not written, and will be again: %s", path, problem)
            self._unwritten = True

    async def _settle(self, process: Process, more: Iterable[Command] = ()) -> None:
        """Compare what HAProxy has with what is remembered, and send what makes them equal."""
        groups, members = self._wanted.groups, self._wanted.members.values()
        states = parse_servers_state(await process.runtime.ask(SHOW_STATE))
        if anew := membership.unwatched(groups, members, states):
            # One that cannot be deleted, since something is open inside, waits for its checks instead.
            left, _ = await self._delete(process, anew)
            for server in set(anew) - set(left):
                del states[server]
        joining = membership.differences(groups, members, states)
        await process.runtime.run([*joining, *more])
        await self._remove(process, membership.strangers(self._wanted.members, states))
        await self._look(process)

    async def _remove(self, process: Process, servers: list[Server]) -> None:
        """End what runs inside those servers and delete them (haproxy.md section 3.3)."""
        await self._do(process, servers, "maint")
        # Only where something runs inside: a request that is about to be tried at another target counts nowhere, and
        # would be ended without an answer. (A server is not deleted while one is attached.)
        await self._do(process, sorted(await self._measuring.busy(process, servers)), "shutdown sessions")
        servers, why = await self._delete(process, servers)
        for steps in (("drain", "maint"), ("shutdown sessions", "drain", "maint")):
            # Idle connections of requests that ended in maintenance block the deletion for good; they go when a server
            # leaves drain for maintenance. A client with a cookie may slip in between: it has its time to finish, so
            # what is ended is what was there before.
            await self._do(process, servers, *steps)
            deadline = asyncio.get_running_loop().time() + DELETE_PATIENCE
            while servers and asyncio.get_running_loop().time() < deadline:
                servers, why = await self._delete(process, servers)
                await asyncio.sleep(0.02 if servers else 0)
        if servers:
            names = ", ".join("/".join(server) for server in servers)
            raise BalancerError(f"HAProxy does not let go of {names}", why, "fairlead goes on trying")

    async def _do(self, process: Process, servers: list[Server], *steps: str) -> None:
        await process.runtime.run([command(step, *server) for server in servers for step in steps])

    async def _delete(self, process: Process, servers: list[Server]) -> tuple[list[Server], str]:
        """Those that are still there, and why."""
        # What runs inside would be counted when it ends, and be gone with its server.
        busy = await self._measuring.busy(process, servers)
        left, why = [server for server in servers if server in busy], "requests still run inside" if busy else ""
        deleted = []
        try:
            for server in servers:
                if server in busy:
                    continue
                try:
                    await process.runtime.run([command("delete", *server)])
                except BalancerError as problem:
                    if "No such server" not in problem.why:
                        left.append(server)
                        why = problem.why
                        continue
                deleted.append(server)
        finally:
            self._measuring.deleted(process, deleted)
        return left, why

    async def _look(self, process: Process) -> None:
        self._ledger.look(process.generation, await process.read())
        for leaving in tuple(self._keeper.leaving):
            await self._look_back(leaving)
        groups, up = self._wanted.groups, self._ledger.in_rotation()
        self._follow_ramps()
        # Marked down, they passed a check again: their fail-open servers come back too.
        changed = [replace(one, down=False) for one in self._wanted.members.values() if one.down and one.key in up]
        changed += self._weighed(up)
        if changed:
            self._wanted.members.update((one.key, one) for one in changed)
            self._unsettled = True
            await self.carry_out()
            return
        for backend, names in self._ledger.changed().items():
            group = groups.get(group_of(backend))
            if len(names) > 1 and group and group.attributes.algorithm == "round_robin":
                await process.runtime.run(membership.level(backend, names))
        if self._ledger.states_changed():
            await self._keeper.save_state()
        if self._unwritten:
            await self._write()

    def _follow_ramps(self) -> None:
        """Remember how far the ramps are: HAProxy begins them anew when it is reloaded, and then gets what is left."""
        now, ramps, groups = asyncio.get_running_loop().time(), self._ledger.ramps(), self._wanted.groups
        self._ramp_ends = {key: end for key, end in self._ramp_ends.items() if key in ramps}
        for key, member in self._wanted.members.items():
            whole = groups[key[0]].attributes.slow_start if member.ramps else 0.0
            ramped = 0.0
            if whole and key in ramps:
                end = self._ramp_ends.setdefault(key, now + whole * (1 - ramps[key] / 100))
                ramped = min(1.0, max(0.0, 1 - (end - now) / whole))
            if ramped != member.ramped:
                self._wanted.members[key] = replace(member, ramped=ramped)

    def _weighed(self, up: set[Key]) -> list[Member]:
        """The members that are to get more or fewer requests than before, because of what came of those of late."""
        weighted = self._wanted.weighted
        if not weighted or not self._outcomes.note(asyncio.get_running_loop().time(), self._ledger.tallies()):
            return []
        changed = []
        for group in weighted:
            mine = {key: one for key, one in self._wanted.members.items() if key[0] == group}
            healthy = [key for key, one in mine.items() if one.trusted and key in up]
            tallies: dict[str, Tally] = {key[1]: tally for key, tally in self._outcomes.recent(healthy).items()}
            verdicts = judge(tallies, {key[1]: one.weight for key, one in mine.items()})
            for (_, name), member in mine.items():
                verdict = verdicts.get(name)
                if verdict and verdict.weight != member.weight:
                    log.info(
                        "%s/%s gets weight %d, not %d: %s", *member.key, verdict.weight, member.weight, verdict.reason
                    )
                    changed.append(replace(member, weight=verdict.weight))
        return changed

    async def _look_back(self, leaving: Process) -> None:
        """Sessions and requests of one that is leaving count. It stays as long as our connection to it does."""
        if leaving.sessions == 0:
            return
        rows = None
        with suppress(OSError, BalancerError):
            rows = await leaving.read()
        if leaving not in self._keeper.leaving:
            return
        if rows is None:
            # Whatever joined after it was told to leave has nothing inside it.
            written = self._keeper.files.read_configuration(leaving.generation)
            self._ledger.cannot_ask(leaving.generation, servers_in(written))
            return
        self._ledger.look_back(leaving.generation, rows)
        leaving.sessions = sessions_in(rows)
        if leaving.sessions == 0:
            await self._measuring.last_words(leaving)
            leaving.runtime.close()
