"""Asks the processes of one node what they have counted, and keeps the sums. Changes nothing in them.

In: the processes (`Keeper`), what is wanted. Out: a `Reading` (`totals.py`). No lock is needed: an answer is taken in
as soon as it has come, before anything else is awaited, and one connection answers in order; so nothing older is ever
taken for newer. The law: what a process counted is read before it can be lost, with a last look at one that leaves and
before a server is deleted. One that does not answer keeps nobody from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from fairlead.core.readings import Reading
from fairlead.errors import BalancerError
from fairlead.haproxy import own, timing
from fairlead.haproxy.claims import endpoint_of
from fairlead.haproxy.commands import SHOW_INFO, parse_info
from fairlead.haproxy.counts import BACKEND, SHOW_COUNTS, Row, parse_counts, show_servers
from fairlead.haproxy.frontends import frontend_name
from fairlead.haproxy.keeper import Keeper
from fairlead.haproxy.life import LISTENER, Said
from fairlead.haproxy.process import Process
from fairlead.haproxy.servers import group_of
from fairlead.haproxy.totals import Totals
from fairlead.haproxy.wanted import Wanted

SHARE = 0.01
"""Of a core that reading response times may take. Where there are so many that it would be more, they are read less
often than once a second."""

ENTRY = 1.5e-6
"""Seconds that one entry of a table of times takes, in HAProxy and here together."""

EARLY = 0.1
"""Seconds before a reading is due that it may be made: whoever reads once a second is not to miss it by a hair."""


class Measuring:
    """See the module."""

    def __init__(self, keeper: Keeper, wanted: Wanted) -> None:
        self._keeper, self._wanted = keeper, wanted
        self._totals = Totals()
        self._due: dict[int, float] = {}
        """When the response times of each process are to be read again, in the loop's seconds."""

    def found(self) -> None:
        """An earlier daemon started the processes that there are now."""
        for process in self._processes:
            self._totals.adopt(process.generation, answers=process.runtime.connected)

    def ended(self, generation: int) -> None:
        """That process is no more."""
        self._due.pop(generation, None)
        self._totals.ended(generation)

    def all_ended(self) -> None:
        """None is there any more."""
        self._due.clear()
        self._totals.all_ended()

    async def measure(self) -> Reading | None:
        """What is counted by now; None while the process that serves does not answer."""
        serving = self._keeper.current
        asked = [one for one in self._processes if one is serving or one.sessions != 0]
        answers = dict(zip(asked, await asyncio.gather(*map(self._ask, asked)), strict=True))
        if self._wanted.endpoints and (serving is None or not answers[serving]):
            return None
        return self._totals.reading(self._wanted.members, self._wanted.groups, self._ports())

    async def last_words(self, leaving: Process) -> None:
        """Nobody is connected any more to a process that leaves; it ends as soon as we are not, either."""
        await self._ask(leaving, whole=True)

    async def busy(self, process: Process, servers: Collection[Row]) -> set[Row]:
        """Take in what servers, which are about to be deleted, have counted. Those in which something still runs, and
        counts, are returned. OSError: the process does not answer."""
        backends = sorted({backend for backend, _ in servers})
        answers = await process.runtime.ask_all([show_servers(backend) for backend in backends])
        try:
            counts = {row: one for answer in answers for row, one in parse_counts(answer).items()}
        except BalancerError:
            return set()  # a backend that is not there has no servers either
        self._totals.read_servers(process.generation, counts)
        return {row for row in servers if row in counts and counts[row].open}

    def deleted(self, process: Process, servers: Collection[Row]) -> None:
        """Those are there no more."""
        self._totals.leave(process.generation, servers)

    @property
    def _processes(self) -> list[Process]:
        current = self._keeper.current
        return [*self._keeper.leaving, *([current] if current is not None else [])]

    async def _ask(self, process: Process, *, whole: bool = False) -> bool:
        """Take in what it says; whether it answered. whole: also what would not be read each time."""
        generation = process.generation
        try:
            # Whether it stops, before what is open: then nothing is opened after that.
            answers = await process.runtime.ask_all([SHOW_INFO, SHOW_COUNTS, own.QUESTION])
            info, counts = parse_info(answers[0]), parse_counts(answers[1])
            limited = int(info.get("MaxconnReached", "0"))
            self._totals.read(generation, Said(counts=counts, limited=limited, own=own.parse(answers[2])))
            last = info.get("Stopping") == "1" and not any(one.open for one in counts.values())
            if whole or last or self._is_due(generation):
                groups = [proxy for proxy, name in counts if name == BACKEND and group_of(proxy) == proxy]
                wanted = [full for full in groups if full in self._wanted.groups]
                answers = await process.runtime.ask_all(timing.questions(wanted))
                times = timing.parse("\n".join(answers))
                self._totals.read_times(generation, times)
                self._plan(generation, sum(map(len, times.values())))
        except (OSError, BalancerError):
            return False
        if last:
            self._totals.finish(generation)
        return True

    def _is_due(self, generation: int) -> bool:
        return asyncio.get_running_loop().time() >= self._due.get(generation, 0.0) - EARLY

    def _plan(self, generation: int, entries: int) -> None:
        self._due[generation] = asyncio.get_running_loop().time() + entries * ENTRY / SHARE

    def _ports(self) -> Mapping[str, Mapping[str, bool]]:
        """Of each stack its listeners, and whether it answers for what is no request at all there: `own.tracked`."""
        ports: dict[str, dict[str, bool]] = {stack: {} for stack in self._wanted.routings}
        first: dict[str, str] = {}
        default: dict[str, str] = {}
        for stack, routing in sorted(self._wanted.routings.items()):
            for listener in routing.listeners:
                if listener.opening is None:
                    port = frontend_name(endpoint_of(listener)).removeprefix(LISTENER)
                    ports[stack][port] = False
                    first.setdefault(port, stack)
                    if listener.default is not None:
                        default.setdefault(port, stack)
        for port, stack in (first | default).items():
            ports[stack][port] = True
        return ports
