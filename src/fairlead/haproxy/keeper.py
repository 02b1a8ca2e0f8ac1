"""The processes of one node: the HAProxy that serves, those that are leaving, and the change from one to the next.

In: a configuration (as a function of its generation's `Place`) and the listeners to serve. Out: a HAProxy that serves
them, on sockets that the daemon holds. The law: the next generation runs before the present one is told to leave; when
it does not come up, the present one has noticed nothing; every process that was ever started is known until it is gone.
Called by the node alone, one call at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from fairlead.aiokit.fdpass import borrow
from fairlead.aiokit.polling import wait_until
from fairlead.errors import BalancerError
from fairlead.haproxy import maps
from fairlead.haproxy import process as processes
from fairlead.haproxy.access_logs import AccessLogs
from fairlead.haproxy.base import Certificates
from fairlead.haproxy.claims import Endpoint, endpoint_of
from fairlead.haproxy.commands import SHOW_STATE, parse_servers_state, state_to_keep
from fairlead.haproxy.diary import Diary
from fairlead.haproxy.files import Files
from fairlead.haproxy.presented import Presented
from fairlead.haproxy.process import Process
from fairlead.haproxy.program import Program, find_program
from fairlead.haproxy.render import Place, threads_for
from fairlead.haproxy.sockets import Ports
from fairlead.haproxy.wanted import Wanted

log = logging.getLogger(__name__)

END_PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL; SIGTERM takes under a millisecond."""

MOST_LEAVING = 16
"""Processes that may stay for their open WebSockets, one a reload at most and some 4 MB each. When there are more, the
one in which the least is open ends."""

STOP_PATIENCE = 1.0
"""Seconds for a leaving HAProxy to close its listeners; it takes a millisecond or two."""


class Keeper:
    """See the module. on_death: called from the loop when the present HAProxy has ended; on_gone: when a leaving one
    has, with its generation."""

    def __init__(
        self,
        *,
        folder: str,
        programs: str,
        log_path: str,
        home: str,
        binary_override: str | None,
        search_path: str,
        user: tuple[int, int] | None,
        fd_limit: int,
        cpus: int,
        certificates: Certificates,
        access_logs: AccessLogs,
        on_death: Callable[[], None],
        on_gone: Callable[[int], None],
    ) -> None:
        self.files = Files(folder)
        self.ports = Ports()
        self.certificates = Presented(self.files.tls, certificates)
        self.current: Process | None = None
        self.leaving: list[Process] = []
        self.program: Program | None = None
        self.no_program: BalancerError | None = None
        """Why none was found, when the last search did not find one."""
        self._ran: Program | None = None
        self._programs, self._home, self._diary = programs, home, Diary(log_path, self.files)
        self._binary_override, self._search_path = binary_override, search_path
        self._user, self._fd_limit, self._threads = user, fd_limit, threads_for(cpus)
        self._on_death, self._on_gone = on_death, on_gone
        self._access = access_logs
        self._last_generation = 0
        self._secret = ""

    async def find(self) -> None:
        """Know again what an earlier daemon left: adopt the HAProxy that serves, with its sockets; watch those that are
        leaving; end one that does not answer, since a second one must never share its ports."""
        self._prepare()
        with suppress(BalancerError):  # what runs is adopted all the same; a start will ask again
            await self.find_program()
        running = self.files.running()
        logged = await asyncio.to_thread(self._access.generations)
        self._last_generation = max(self.files.generations() | set(running) | logged | {0})
        for generation in sorted(running, reverse=True):
            known = running[generation]
            found = None
            if self.current is None and not known.leaving:
                found = await self._adopt(await processes.adopt(self.files, known))
            if found is None and (left := processes.hold_leaving(self.files, known)):
                await (self._let_go(left) if self.current or known.leaving else self._end(left, patience=0.0))
        for generation in self.files.generations() - {one.generation for one in self._known}:
            self._remove(generation)
        self._access.resume({one.generation for one in self._known}, self._last_generation)

    async def tend(self) -> None:
        """Housekeeping, called every few seconds: put the access logs away. Raises nothing; a second call while one
        works does nothing."""
        await self._access.tend()

    async def find_program(self) -> Program:
        """The HAProxy to start, looked for until found, and again when it is no longer there. BalancerError: there is
        none that runs."""
        if self.program is None or not self.program.there:
            try:
                self.program = await find_program(self._binary_override, self._search_path, self._programs)
            except BalancerError as problem:
                self.program, self.no_program = None, problem
                raise
            self.no_program = None
        return self.program

    @property
    def _known(self) -> list[Process]:
        return [*self.leaving, *([self.current] if self.current else [])]

    def listen_to_them(self) -> None:
        """Copy what they have said into the log."""
        for one in self._known:
            self._diary.copy(one.generation)

    @property
    def has_said_much(self) -> bool:
        """Whether a file of the present one is so long that the next generation should begin."""
        if self.current is None:
            return False
        generation = self.current.generation
        return self._diary.is_long(generation) or self._access.is_long(generation)

    def _remove(self, generation: int) -> None:
        """Remove what is left of one that has ended, once the log has its last words."""
        self._access.end(generation)
        self._diary.end(generation)
        self.files.remove(generation)

    def _prepare(self) -> None:
        try:
            self.files.prepare()
        except OSError as problem:
            raise BalancerError(f"{self.files.folder} cannot be made", problem.strerror or str(problem)) from problem

    async def _adopt(self, found: Process | None) -> Process | None:
        if found is None:
            return None
        try:
            self.ports.adopt(await asyncio.to_thread(borrow, self.files.runtime_socket(found.generation)))
        except OSError as problem:
            log.warning("HAProxy (pid %d) did not give its sockets back: %s", found.pid, problem)
            found.close()
            return None
        self._take(found)
        self.certificates.adopted()
        return found

    def bind(self, wanted: Wanted) -> bool:
        """Get each port that is wanted and not held, and remember why a listener cannot be had, for want of its port or
        its certificate; whether that changed anything."""
        before, wanted.absent = wanted.absent, {}
        changed = False
        for routing in wanted.routings.values():
            for listener in routing.listeners:
                why = self.certificates.missing(listener)
                try:
                    changed = bool(self.ports.reserve(routing.stack, (listener,))) or changed
                except BalancerError as problem:
                    why = f"{problem.what}: {problem.why}"
                if why:
                    wish = (routing.stack, endpoint_of(listener))
                    wanted.absent[wish] = why
                    if wish not in before:
                        log.warning("%s; it is tried again", why)
        return changed or set(before) != set(wanted.absent)

    def _shared(self) -> str:
        if not self._secret:
            try:
                self._secret = self.files.secret()
            except OSError:
                self._secret = secrets.token_urlsafe(24)
        return self._secret

    def place(self, generation: int) -> Place:
        return Place(
            runtime_socket=self.files.runtime_socket(generation),
            pidfile=self.files.pidfile(generation),
            state_file=self.files.state,
            fd_limit=self._fd_limit,
            threads=self._threads,
            tls_folder=self.files.tls,
            maps_folder=self.files.maps,
            user=self._user,
            secret=self._shared(),
        )

    async def launch(self, wanted: Wanted, *, checked: bool) -> None:
        """Start the next generation on what is wanted and let the present one leave. checked: ask `haproxy -c` first.
        BalancerError or PortInUse: refused, and nothing has changed.

        Where none runs any more (not checked), the program that ran last is better than none: it takes the place of one
        that does not start."""
        try:
            await self._launch(await self.find_program(), wanted, checked=checked)
        except BalancerError as problem:
            before = self._ran
            if checked or before is None or before == self.program or not before.there:
                raise
            log.warning("%s; starting HAProxy %s again, which ran before", problem, before.version)
            await self._launch(before, wanted, checked=False)

    async def _launch(self, program: Program, wanted: Wanted, *, checked: bool) -> None:
        endpoints, heard = wanted.present, wanted.heard
        self._prepare()  # whatever has tidied the run folder meanwhile
        await self.certificates.lay_out(heard)
        self._last_generation += 1
        generation = self._last_generation
        self._access.begin(generation)
        tables = maps.files(heard)
        logs: dict[str, int] = {}
        written = wanted.render(await self._mapped(self.place(generation), tables))
        opened: list[Endpoint] = []
        served = self.ports.listening(endpoints)
        try:
            if checked:
                await processes.check(program, self.files, generation, written, self._diary)
            opened = self.ports.open(endpoints)
            sockets = self.ports.sockets(endpoints)
            logs = await asyncio.to_thread(self._access.open, generation, heard)
            started = await processes.start(
                program, self.files, generation, written, sockets, self._home, self._diary, logs
            )
        except BaseException:
            self.ports.shut(opened)
            # A start that failed may have shut the sockets that the present one serves.
            self.ports.open(served)
            self._remove(generation)
            raise
        finally:
            for descriptor in logs.values():
                os.close(descriptor)
        self.ports.open(endpoints)
        before = self.current
        self._take(started)
        self.certificates.begun(heard)
        self.files.keep_maps(tables)
        if before is not None:
            await self._retire(before)

    async def _mapped(self, place: Place, tables: Mapping[str, str]) -> Place:
        """`place` with its maps written. On a full disk every rule is a line: that must not stop a start."""
        try:
            await asyncio.to_thread(self.files.write_maps, tables)
        except OSError as problem:
            log.warning("%s cannot be written, so rules are lines: %s", place.maps_folder, problem.strerror or problem)
            return replace(place, maps_folder="")
        return place

    async def let_go(self) -> None:
        """Nothing is to be served any more: the present HAProxy finishes its requests and ends."""
        before, self.current = self.current, None
        self.certificates.begun(())
        self.files.keep_maps(())
        if before is not None:
            await self._retire(before)

    async def save_state(self) -> None:
        """Write the servers' states for the next generation. Without them it starts on the ones written before."""
        if self.current is None:
            return
        try:
            answer = await self.current.runtime.ask(SHOW_STATE)
            parse_servers_state(answer)
            await asyncio.to_thread(self.files.write, self.files.state, state_to_keep(answer))
        except (OSError, BalancerError) as problem:
            log.warning("the state of HAProxy's servers was not written: %s", problem)

    async def end_all(self) -> None:
        """End every process now, and remove what they leave. BalancerError names one that will not go."""
        ending = self._known
        self.leaving, self.current = [], None
        results = await asyncio.gather(*(self._end(one) for one in ending), return_exceptions=True)
        for generation in self.files.generations():
            self._remove(generation)
        self.certificates.begun(())
        self.files.keep_maps(())
        with suppress(OSError):
            await asyncio.to_thread(self.files.write, self.files.state, "")
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def close(self) -> None:
        """Forget all of them; they go on."""
        self._access.close()
        for one in self._known:
            one.close()
        self.leaving, self.current = [], None

    def _take(self, process: Process) -> None:
        self.current = process
        self._ran = process.known.program or self._ran
        process.watch(self._on_death)

    async def _retire(self, process: Process) -> None:
        if process.dead:
            process.close()
            self._remove(process.generation)
            self._on_gone(process.generation)
        elif process.frozen:
            # It would neither finish its requests nor ever leave.
            await self._end(process, patience=0.0)
            self._on_gone(process.generation)
        else:
            await self._let_go(process)

    async def _let_go(self, process: Process) -> None:
        process.runtime.keep_last()
        process.known = replace(process.known, leaving=True)
        # First written down, so that a daemon that comes after knows that it must not ask this one.
        with suppress(OSError):
            await asyncio.to_thread(self.files.record, process.known)
        self.leaving.append(process)
        self._make_room()
        process.watch(lambda: self._left(process))
        process.signal(signal.SIGUSR1)
        # Only then is a listener that was given up really closed.
        with suppress(BalancerError):
            _stopped: bool = await wait_until(
                process.stops, STOP_PATIENCE, "the old HAProxy to stop accepting", error=BalancerError
            )

    def _make_room(self) -> None:
        # The last to go are those that nobody could ask: the one that was told to leave just now is among them.
        fullest_last = sorted(self.leaving, key=lambda one: math.inf if one.sessions is None else one.sessions)
        for one in fullest_last[: max(0, len(self.leaving) - MOST_LEAVING)]:
            if one.sessions != 0:
                log.warning("HAProxy (pid %d) is ended with its open connections: too many have not left", one.pid)
            one.sessions = 0
            one.signal(signal.SIGTERM)

    def _left(self, process: Process) -> None:
        process.close()
        self._remove(process.generation)
        if process in self.leaving:
            self.leaving.remove(process)
        self._on_gone(process.generation)

    async def _end(self, process: Process, patience: float = END_PATIENCE) -> None:
        try:
            await process.end(patience)
            self._remove(process.generation)
        finally:
            process.close()
