"""One HAProxy as a `Balancer`: what a stack asks for, kept true by a real process.

In: the port's verbs. Out: a configuration file that always holds the present membership, runtime commands that make the
running HAProxy like it, and a HAProxy that is there whenever there is something to serve.

The law: a change is first remembered, then carried out; whatever happens to HAProxy, the next one starts from what is
remembered. One change at a time; a change that was begun is finished, also when its caller has gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Literal, TypeVar

from fairlead.aiokit.tasks import Tasks
from fairlead.core.model import Listener
from fairlead.core.traffic import BalancerReport, NodeReport, Routing, Target, Traffic
from fairlead.errors import BalancerError
from fairlead.haproxy import membership
from fairlead.haproxy.base import Balancer
from fairlead.haproxy.claims import claims_of
from fairlead.haproxy.commands import Command
from fairlead.haproxy.keeper import Keeper
from fairlead.haproxy.ledger import Ledger
from fairlead.haproxy.program import Program
from fairlead.haproxy.render import static_part
from fairlead.haproxy.servers import Member
from fairlead.haproxy.upkeep import Upkeep
from fairlead.haproxy.wanted import Wanted

log = logging.getLogger(__name__)
Result = TypeVar("Result")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SHORT_LIFE = 0.5
"""Seconds: a HAProxy that ended sooner is not started again at once, but after a growing pause."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to bring HAProxy back."""

MENDING_PACE, LONGEST_MENDING_PACE = 1.0, 30.0
"""Seconds between attempts to get what could not be had: a port that another process holds; a reload, which is tried
less and less often."""

CLOSE_PATIENCE = 10.0

NO_PROGRAM = Program("", "")


class HaproxyNode(Balancer):
    """The port's implementation. All paths are absolute.

    folder: its files, made 0700; programs: where HAProxy is copied to; log_path: the file that it writes its log to;
    home: goes into HAProxy's environment as FAIRLEAD_HOME. binary_override: the HAProxy to run, whatever else there is;
    search_path: where one is looked for beside the packaged one. user: (uid, gid) that HAProxy becomes, when the daemon
    is root. fd_limit: the hard limit of open files. cpus: cores of this machine.
    """

    def __init__(
        self,
        *,
        folder: str,
        programs: str,
        log_path: str,
        home: str,
        fd_limit: int,
        cpus: int,
        binary_override: str | None = None,
        search_path: str = SYSTEM_PATH,
        user: tuple[int, int] | None = None,
    ) -> None:
        self._ledger, self._wanted = Ledger(), Wanted()
        self._keeper = Keeper(
            folder=folder, programs=programs, log_path=log_path, home=home, binary_override=binary_override,
            search_path=search_path, user=user, fd_limit=fd_limit, cpus=cpus, on_death=self._died,
            on_gone=self._ledger.gone,
        )  # fmt: skip
        self._upkeep = Upkeep(self._keeper, self._wanted, self._ledger, self._notify)
        self._callbacks: list[Callable[[], None]] = []
        self._lock = asyncio.Lock()
        self._last_failure = ""
        self._tasks = Tasks("the balancer", self._failed)
        self._closing = False
        self._pause = 0.0
        self._stale = False
        """What runs was not started on what is wanted, and is to be replaced."""
        self._problem = ""
        """Why it could not be."""
        self._mending = False

    async def start(self, traffic: Traffic) -> None:
        await self._alone("start", lambda: self._start(traffic))

    async def reserve(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        async def work() -> None:
            if listeners:
                await self._keeper.find_program()  # told now, and not after a build of a minute
            self._keeper.ports.reserve(stack, listeners)

        await self._alone(f"reserve ports for {stack}", work)

    async def configure(self, stack: str, routing: Routing | None) -> None:
        await self._alone(f"configure {stack}", lambda: self._configure(stack, routing))

    async def register(self, target: Target) -> None:
        async def work() -> None:
            if target.group not in self._wanted.groups:
                raise BalancerError(f"target {target.id} cannot be registered", f"there is no group {target.group}")
            member = self._wanted.members.setdefault((target.group, target.id), Member(target=target))
            try:
                self._check_renders()
            except BalancerError:
                del self._wanted.members[member.key]
                raise
            await self._upkeep.carry_out()

        await self._alone(f"register {target.id}", work)

    async def admit(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is None:
                raise BalancerError(f"target {target} cannot be admitted", f"group {group} has no such target")
            if member.target.mode == "initial":
                admitted = Member(target=replace(member.target, mode="in_service"))
                self._wanted.members[member.key] = admitted
                await self._upkeep.carry_out(membership.admission(admitted))

        await self._alone(f"admit {target}", work)

    async def mark_down(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None:
                self._wanted.members[member.key] = replace(member, down=True)
                await self._take_out(membership.mark_down(member))

        await self._alone(f"mark {target} down", work)

    async def drain(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None:
                self._wanted.members[member.key] = replace(member, target=replace(member.target, mode="draining"))
                await self._take_out()

        await self._alone(f"drain {target}", work)

    async def restore(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None and member.target.mode == "draining":
                # One that has passed no check of late waits for one, as one does whose process was gone.
                down = member.down or not self._ledger.has_passed(member.key)
                back = Member(target=replace(member.target, mode="in_service"), down=down)
                self._wanted.members[member.key] = back
                await self._upkeep.carry_out()

        await self._alone(f"restore {target}", work)

    async def deregister(self, group: str, target: str) -> None:
        async def work() -> None:
            self._wanted.members.pop((group, target), None)
            self._ledger.forget(self._wanted.members)
            await self._take_out()

        await self._alone(f"deregister {target}", work)

    async def observe(self) -> BalancerReport:
        return await self._alone("observe", self._observe)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def stop(self) -> None:
        async def work() -> None:
            self._closing = True
            self._wanted.routings, self._wanted.members = {}, {}
            self._keeper.ports.close(self._keeper.ports.all())
            await self._keeper.end_all()

        await self._alone("stop", work)

    async def close(self) -> None:
        self._closing = True
        async with self._lock:
            stuck = await self._tasks.stop(CLOSE_PATIENCE)
            if stuck:
                log.warning("the balancer's tasks did not end: %s", ", ".join(stuck))
            self._keeper.close()
            self._keeper.ports.close(self._keeper.ports.all())

    async def _alone(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` when nothing else is being done, and to its end even if the caller is cancelled."""

        async def locked() -> Result:
            async with self._lock:
                return await work()

        result: Result = await asyncio.shield(self._tasks.spawn(name, locked()))
        return result

    def _failed(self, name: str, problem: BaseException) -> None:
        # The caller is told as well, unless it has gone; what is tried every second is said once.
        text = f"the balancer could not {name}: {problem}"
        if text != self._last_failure:
            log.info("%s", text)
        self._last_failure = text

    async def _take_out(self, more: Iterable[Command] = ()) -> None:
        """Carry out that a target gets less. Where no HAProxy lives that is done by remembering it."""
        try:
            await self._upkeep.carry_out(more)
        except BalancerError as problem:
            if self._upkeep.alive:
                raise
            log.info("remembered for the next HAProxy: %s", problem)

    async def _start(self, traffic: Traffic) -> None:
        keeper, wanted = self._keeper, self._wanted
        wanted.routings = {routing.stack: routing for routing in traffic.routings}
        for member in wanted.keep(Member(target=target) for target in traffic.targets):
            log.warning("target %s is dropped: there is no group %s", member.target.id, member.target.group)
        self._check_renders()
        try:
            await keeper.find()
            keeper.bind(wanted)
            alike = self._is_on_what_is_wanted()
            if alike:
                # Whatever program it is to run on: first it has the targets that it should.
                self._upkeep.doubt()
            if keeper.no_program is not None and wanted.endpoints:
                raise keeper.no_program
            await self._begin(reload=not alike or self._runs_another_program())
        except BalancerError as problem:
            self._tell(problem)
            self._stale = True
        except BaseException:
            keeper.close()
            keeper.ports.close(keeper.ports.all())
            raise
        if self._stale or wanted.absent:
            self._mend()

    async def _begin(self, *, reload: bool) -> None:
        await self._serve(reload=reload)
        self._stale, self._problem = False, ""
        ports = self._keeper.ports
        ports.close(endpoint for endpoint in ports.all() if not ports.stacks(endpoint))
        self._upkeep.begun()
        await self._upkeep.carry_out()

    async def _configure(self, stack: str, routing: Routing | None) -> None:
        keeper, wanted = self._keeper, self._wanted
        before, claimed = (wanted.routings, wanted.members, wanted.absent), keeper.ports.claimed(stack)
        listeners = routing.listeners if routing else ()
        keeper.ports.reserve(stack, listeners)
        changed = wanted.routings.get(stack) != routing or any(wish[0] == stack for wish in wanted.absent)
        try:
            wanted.routings = {name: one for name, one in wanted.routings.items() if name != stack}
            if routing:
                wanted.routings[stack] = routing
            wanted.absent = {wish: why for wish, why in wanted.absent.items() if wish[0] != stack}
            wanted.keep(wanted.members.values())
            self._check_renders()
            await self._serve(reload=changed)
        except BaseException:
            wanted.routings, wanted.members, wanted.absent = before
            keeper.ports.settle(stack, claimed)
            raise
        keeper.ports.settle(stack, claims_of(listeners))
        self._ledger.forget(wanted.members)
        if changed:
            self._stale, self._problem = False, ""
            self._upkeep.begun()
            await self._upkeep.carry_out()

    async def _serve(self, *, reload: bool) -> None:
        """Have a HAProxy on what is wanted, or none when there is no listener."""
        if not self._wanted.endpoints:
            await self._keeper.let_go()
        elif reload:
            await self._keeper.save_state()
            await self._keeper.launch(self._wanted.render, self._wanted.present, checked=True)

    def _runs_another_program(self) -> bool:
        """Whether an adopted HAProxy was started from another program than would be started now."""
        current = self._keeper.current
        return current is not None and current.known.program != self._keeper.program

    def _is_on_what_is_wanted(self) -> bool:
        """Whether the configuration of an adopted HAProxy differs from what is wanted in its servers at most."""
        current = self._keeper.current
        if current is None:
            return False
        there = self._keeper.files.read_configuration(current.generation)
        return static_part(there) == static_part(self._wanted.render(self._keeper.place(current.generation)))

    def _check_renders(self) -> None:
        """BalancerError when a value of the file or of a target cannot be written; nothing was touched yet."""
        self._wanted.render(self._keeper.place(1))

    async def _observe(self) -> BalancerReport:
        keeper = self._keeper
        program = keeper.current.known.program if keeper.current else None
        version = (program or keeper.program or NO_PROGRAM).version
        if not self._wanted.endpoints:
            await self._upkeep.look_back()
            node = NodeReport(pid=None, version=version, state="stopped")
            targets = self._ledger.reports(self._wanted.members)
            return BalancerReport(known=True, nodes=(node,), targets=targets, requests=self._ledger.requests)
        missing = self._wanted.missing
        keeper.listen_to_them()
        if keeper.has_said_much and not self._stale:
            self._stale = True
            self._mend()
        try:
            if not self._upkeep.alive:
                raise ConnectionError("HAProxy has ended, and is being started again")
            await self._upkeep.look()
        except (OSError, BalancerError) as problem:
            log.warning("the balancer's targets are unknown: %s", str(problem) or "HAProxy is silent")
            await self._upkeep.end_frozen()
            pid = keeper.current.pid if keeper.current else None
            state: Literal["running", "starting"] = "running" if self._upkeep.alive else "starting"
            node = NodeReport(pid=pid, version=version, state=state, problem=self._problem)
            return BalancerReport(known=False, nodes=(node,), missing=missing)
        pid = keeper.current.pid if keeper.current else None
        node = NodeReport(pid=pid, version=version, state="running", problem=self._problem)
        targets = self._ledger.reports(self._wanted.members)
        requests = self._ledger.requests
        return BalancerReport(known=True, nodes=(node,), targets=targets, requests=requests, missing=missing)

    def _mend(self) -> None:
        if not self._mending:
            self._mending = True
            self._tasks.spawn("get what is missing", self._keep_mending())

    async def _keep_mending(self) -> None:
        clock, pause, due = asyncio.get_running_loop().time, MENDING_PACE, 0.0
        try:
            while not self._closing and (self._stale or self._wanted.absent):
                await asyncio.sleep(MENDING_PACE)
                async with self._lock:
                    if not self._closing:
                        await self._mend_once(reload=clock() >= due)
                if self._problem and clock() >= due:
                    # A program that does not start is not there again in a second.
                    pause, due = min(LONGEST_MENDING_PACE, 2 * pause), clock() + pause
        finally:
            self._mending = False

    async def _mend_once(self, *, reload: bool) -> None:
        if not self._wanted.endpoints:
            self._stale, self._problem, self._wanted.absent = False, "", {}
            return
        if not self._keeper.bind(self._wanted) and not (self._stale and reload):
            return
        try:
            self._stale = True
            await self._begin(reload=True)
        except BalancerError as problem:
            self._tell(problem)
            return
        log.info("HAProxy serves all that is wanted%s", ", except what is missing" if self._wanted.absent else "")
        self._notify()

    def _tell(self, problem: BalancerError) -> None:
        if problem.sentence != self._problem:
            log.warning("HAProxy does not run as it should, and is tried again: %s", problem)
        self._problem = problem.sentence

    def _died(self) -> None:
        if self._closing:
            return
        log.warning("HAProxy (pid %s) has ended; starting it again", self._keeper.current and self._keeper.current.pid)
        lived = asyncio.get_running_loop().time() - self._upkeep.begun_at
        self._pause = 0.0 if lived >= SHORT_LIFE else min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._tasks.spawn("bring HAProxy back", self._keep_trying(self._pause))
        self._notify()

    async def _keep_trying(self, pause: float) -> None:
        while not self._closing:
            await asyncio.sleep(pause)
            try:
                async with self._lock:
                    if self._wanted.endpoints and not self._upkeep.alive and not self._closing:
                        await self._upkeep.bring_back()
                return
            except (OSError, BalancerError) as problem:
                log.warning("HAProxy was not brought back: %s", problem)
                pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()
