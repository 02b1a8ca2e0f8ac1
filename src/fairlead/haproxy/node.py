"""One HAProxy as a `Balancer`: what a stack asks for, kept true by a real process.

In: the port's verbs. Out: a configuration file that always holds the present membership, runtime commands that make the
running HAProxy like it, and a HAProxy that is there whenever there is something to serve.

The law: a change is first remembered, then carried out; whatever happens to HAProxy, the next one starts from what is
remembered. One change at a time; a change that was begun is finished, also when its caller has gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

from fairlead.aiokit.tasks import Tasks
from fairlead.core.model import Listener
from fairlead.core.readings import Reading
from fairlead.core.traffic import BalancerReport, CertificateReport, NodeReport, Routing, Target, Traffic
from fairlead.errors import BalancerError
from fairlead.haproxy import membership
from fairlead.haproxy.access_logs import AccessLogs
from fairlead.haproxy.base import Balancer, Certificates
from fairlead.haproxy.claims import claims_of
from fairlead.haproxy.commands import Command
from fairlead.haproxy.keeper import Keeper
from fairlead.haproxy.ledger import Ledger
from fairlead.haproxy.measuring import Measuring
from fairlead.haproxy.mending import Mending
from fairlead.haproxy.presented import NoCertificates
from fairlead.haproxy.program import Program
from fairlead.haproxy.render import static_part
from fairlead.haproxy.servers import OPEN, SAFE, UNSAFE, Member, file_line
from fairlead.haproxy.upkeep import Upkeep
from fairlead.haproxy.wanted import Wanted
from fairlead.haproxy.wishes import Wish, Wishes

log = logging.getLogger(__name__)
Result = TypeVar("Result")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CLOSE_PATIENCE = 10.0


NO_PROGRAM = Program("", "")


class HaproxyNode(Balancer):
    """The port's implementation. All paths are absolute.

    folder: its files, made 0700; programs: where HAProxy is copied to; log_path: the file that it writes its log to;
    home: goes into HAProxy's environment as FAIRLEAD_HOME. binary_override: the HAProxy to run, whatever else there is;
    search_path: where one is looked for beside the packaged one. user: (uid, gid) that HAProxy becomes, when the daemon
    is root. fd_limit: the hard limit of open files. cpus: cores of this machine. certificates: of HTTPS listeners.
    access_logs: the folder of a stack's access log; shared_access_logs: that of the ports that several share; "": none.
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
        certificates: Certificates = NoCertificates(),  # noqa: B008 (it has no state)
        access_logs: Callable[[str], str] = lambda stack: "",
        shared_access_logs: str = "",
    ) -> None:
        self._ledger, self._wanted = Ledger(), Wanted()
        self._keeper = Keeper(
            folder=folder, programs=programs, log_path=log_path, home=home, binary_override=binary_override,
            search_path=search_path, user=user, fd_limit=fd_limit, cpus=cpus, certificates=certificates,
            access_logs=AccessLogs(access_logs, shared_access_logs),
            on_death=lambda: self._mending.died(), on_gone=self._gone,
        )  # fmt: skip
        self._measuring = Measuring(self._keeper, self._wanted)
        self._upkeep = Upkeep(self._keeper, self._wanted, self._ledger, self._measuring, self._notify)
        self._callbacks: list[Callable[[], None]] = []
        self._lock = asyncio.Lock()
        self._wishes = Wishes(self._carry_out, lambda: self._upkeep.alive)
        self._last_failure = ""
        self._tasks = Tasks("the balancer", self._failed)
        self._mending = Mending(
            self._keeper, self._wanted, self._upkeep, self._tasks, self._lock, begin=self._begin, notify=self._notify
        )

    async def start(self, traffic: Traffic) -> None:
        await self._alone("start", lambda: self._start(traffic))

    async def reserve(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        async def work() -> None:
            # Told now, and not after a build of a minute.
            await self._vet_certificates(listeners)
            self._keeper.ports.reserve(stack, listeners)

        await self._alone(f"reserve ports for {stack}", work)

    async def vet(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        async def work() -> None:
            await self._vet_certificates(listeners)
            self._keeper.ports.vet(stack, listeners)

        await self._alone(f"vet the listeners of {stack}", work)

    async def configure(self, stack: str, routing: Routing | None) -> None:
        await self._alone(f"configure {stack}", lambda: self._configure(stack, routing))

    async def register(self, target: Target) -> None:
        def remember() -> list[Command]:
            group = self._wanted.groups.get(target.group)
            if group is None:
                raise BalancerError(f"target {target.id} cannot be registered", f"there is no group {target.group}")
            ramps = group.attributes.slow_start > 0
            full = self._ledger.in_rotation() - self._ledger.ramps().keys() if ramps else frozenset()
            new = membership.newcomer(group, target, full)
            for role in (SAFE, UNSAFE, OPEN):
                file_line(group, new, role)  # BalancerError when it cannot be written
            self._wanted.members.setdefault(new.key, new)
            return []

        await self._together(f"register {target.id}", remember)

    async def admit(self, group: str, target: str) -> None:
        def remember() -> list[Command]:
            member = self._wanted.members.get((group, target))
            if member is None:
                raise BalancerError(f"target {target} cannot be admitted", f"group {group} has no such target")
            if member.target.mode not in ("initial", "warm"):
                return []
            admitted = replace(member, target=replace(member.target, mode="in_service"), down=False)
            self._wanted.members[member.key] = admitted
            return membership.admission(self._wanted.groups[group], admitted)

        await self._together(f"admit {target}", remember)

    async def mark_down(self, group: str, target: str) -> None:
        def remember() -> list[Command]:
            member = self._wanted.members.get((group, target))
            if member is None:
                return []
            self._wanted.members[member.key] = replace(member, down=True)
            return membership.mark_down(self._wanted.groups[group], member)

        await self._together(f"mark {target} down", remember, takes_out=True)

    async def drain(self, group: str, target: str) -> None:
        def remember() -> list[Command]:
            member = self._wanted.members.get((group, target))
            if member is not None:
                self._wanted.members[member.key] = replace(member, target=replace(member.target, mode="draining"))
            return []

        await self._together(f"drain {target}", remember, takes_out=True)

    async def restore(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None and member.target.mode == "draining":
                known = self._ledger.has_passed(member.key)
                self._wanted.members[member.key] = membership.given_back(self._wanted.groups[group], member, known)
                await self._upkeep.carry_out()

        await self._alone(f"restore {target}", work)

    async def sever(self, group: str, target: str) -> None:
        async def work() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None and member.target.mode == "draining":
                await self._upkeep.sever((group, target))

        await self._alone(f"sever {target}", work)

    async def deregister(self, group: str, target: str) -> None:
        def remember() -> list[Command]:
            self._wanted.members.pop((group, target), None)
            return []

        await self._together(f"deregister {target}", remember, takes_out=True)
        await self._alone(f"end what is inside {target}", lambda: self._upkeep.end_inside((group, target)))

    async def observe(self) -> BalancerReport:
        return await self._alone("observe", self._observe)

    async def measure(self) -> Reading | None:
        # Without the lock: a reload under way keeps no second unmeasured. To its end: a connection that was left in
        # the middle is closed, and that of a process that leaves is its last.
        return await asyncio.shield(self._tasks.spawn("measure", self._measuring.measure()))

    async def tend(self) -> None:
        await self._keeper.tend()

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def stop(self) -> None:
        async def work() -> None:
            self._mending.end()
            self._wanted.routings, self._wanted.members = {}, {}
            self._keeper.ports.close(self._keeper.ports.all())
            await self._keeper.end_all()
            self._measuring.all_ended()

        await self._alone("stop", work)

    async def close(self) -> None:
        self._mending.end()
        async with self._lock:
            stuck = await self._tasks.stop(CLOSE_PATIENCE)
            if stuck:
                log.warning("the balancer's tasks did not end: %s", ", ".join(stuck))
            self._keeper.close()
            self._keeper.ports.close(self._keeper.ports.all())

    async def _together(self, name: str, remember: Callable[[], list[Command]], *, takes_out: bool = False) -> None:
        """Remember, and carry it out with what others have asked for meanwhile (`Wish`)."""
        wish = Wish(remember, takes_out)
        self._wishes.add(wish)
        await self._alone(name, lambda: self._wishes.grant(wish))

    async def _carry_out(self, more: list[Command]) -> None:
        self._ledger.forget(self._wanted.members)
        await self._upkeep.carry_out(more)

    async def _alone(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` when nothing else is being done, and to its end even if the caller is cancelled."""

        async def locked() -> Result:
            async with self._lock:
                return await work()

        result: Result = await asyncio.shield(self._tasks.spawn(name, locked()))
        return result

    def _gone(self, generation: int) -> None:
        """A process has ended."""
        self._ledger.gone(generation)
        self._measuring.ended(generation)

    def _failed(self, name: str, problem: BaseException) -> None:
        # The caller is told as well, unless it has gone; what is tried every second is said once.
        text = f"the balancer could not {name}: {problem}"
        if text != self._last_failure:
            log.info("%s", text)
        self._last_failure = text

    async def _start(self, traffic: Traffic) -> None:
        keeper, wanted = self._keeper, self._wanted
        wanted.routings = {routing.stack: routing for routing in traffic.routings}
        for member in wanted.keep(Member(target=target) for target in traffic.targets):
            log.warning("target %s is dropped: there is no group %s", member.target.id, member.target.group)
        self._check_renders()
        try:
            await keeper.find()
            self._measuring.found()
            if keeper.current is not None:
                wanted.recall(keeper.files.read_configuration(keeper.current.generation))
            await keeper.certificates.gather(wanted.routings.values())
            keeper.bind(wanted)
            alike = self._is_on_what_is_wanted()
            if alike:
                # Whatever program it is to run on: first it has the targets that it should.
                self._upkeep.doubt()
            if keeper.no_program is not None and wanted.endpoints:
                raise keeper.no_program
            await self._begin(reload=not alike or self._runs_another_program())
        except BalancerError as problem:
            self._mending.replace(problem)
        except BaseException:
            keeper.close()
            keeper.ports.close(keeper.ports.all())
            raise
        self._mending.wake()

    async def _begin(self, *, reload: bool) -> None:
        await self._serve(reload=reload)
        self._mending.settled()
        ports = self._keeper.ports
        ports.close(endpoint for endpoint in ports.all() if not ports.stacks(endpoint))
        self._upkeep.begun()
        await self._upkeep.carry_out()

    async def _configure(self, stack: str, routing: Routing | None) -> None:
        keeper, wanted = self._keeper, self._wanted
        before, claimed = (wanted.routings, wanted.members, wanted.absent), keeper.ports.claimed(stack)
        listeners = routing.listeners if routing else ()
        await keeper.certificates.vet(listeners, None)
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
            self._mending.settled()
            self._upkeep.begun()
            await self._upkeep.carry_out()

    async def _serve(self, *, reload: bool) -> None:
        """Have a HAProxy on what is wanted, or none when there is no listener."""
        if not self._wanted.endpoints:
            await self._keeper.let_go()
        elif reload:
            await self._keeper.save_state()
            await self._keeper.launch(self._wanted, checked=True)

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
            targets = self._ledger.reports(self._wanted.members, self._wanted.weighted)
            return BalancerReport(known=True, nodes=(node,), targets=targets, requests=self._ledger.requests)
        missing = self._wanted.missing
        keeper.listen_to_them()
        if keeper.has_said_much:
            self._mending.replace()
        try:
            if not self._upkeep.alive:
                raise ConnectionError("HAProxy has ended, and is being started again")
            await self._upkeep.look()
            await self._look_at_certificates()
        except (OSError, BalancerError) as problem:
            log.warning("the balancer's targets are unknown: %s", str(problem) or "HAProxy is silent")
            await self._upkeep.end_frozen()
            pid = keeper.current.pid if keeper.current else None
            state: Literal["running", "starting"] = "running" if self._upkeep.alive else "starting"
            node = NodeReport(pid=pid, version=version, state=state, problem=self._mending.problem)
            return BalancerReport(known=False, nodes=(node,), missing=missing, certificates=self._shown())
        pid = keeper.current.pid if keeper.current else None
        node = NodeReport(pid=pid, version=version, state="running", problem=self._mending.problem)
        targets = self._ledger.reports(self._wanted.members, self._wanted.weighted)
        requests = self._ledger.requests
        return BalancerReport(
            known=True, nodes=(node,), targets=targets, requests=requests, missing=missing, certificates=self._shown()
        )

    async def _vet_certificates(self, listeners: tuple[Listener, ...]) -> None:
        """CertificateError when one cannot be shown; BalancerError when there is no HAProxy to show it."""
        if listeners:
            await self._keeper.certificates.vet(listeners, await self._keeper.find_program())

    async def _look_at_certificates(self) -> None:
        """Have those shown that have changed. One that is too long for the runtime socket takes a reload."""
        current = self._keeper.current
        if current and await self._keeper.certificates.look(self._wanted.heard, current.runtime):
            self._mending.replace()

    def _shown(self) -> tuple[CertificateReport, ...]:
        return self._keeper.certificates.reports(self._wanted.routings.values())

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()
