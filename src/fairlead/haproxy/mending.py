"""Getting back what is missing: a HAProxy that died or does not start, a port that somebody else has, a certificate
that is not there.

In: that something is stale, absent or dead. Out: attempts, until it is as it is wanted, or the daemon leaves. The law:
an attempt starts from what is wanted then, and is made under the node's lock; what fails for long is told once, and
tried less and less often. Connections wait in the listeners' queues while nobody serves them, so a dead HAProxy is
brought back at once; one that serves something older is not urgent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from fairlead.aiokit.tasks import Tasks
from fairlead.errors import BalancerError
from fairlead.haproxy.keeper import Keeper
from fairlead.haproxy.upkeep import Upkeep
from fairlead.haproxy.wanted import Wanted

log = logging.getLogger(__name__)

SHORT_LIFE = 0.5
"""Seconds: a HAProxy that ended sooner is not started again at once, but after a growing pause."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to bring HAProxy back."""

PACE, LONGEST_PACE = 1.0, 30.0
"""Seconds between attempts to get what could not be had: a port that another process holds; a reload, which is tried
less and less often."""


class Begin(Protocol):
    """Serve what is wanted, with a reload or without. BalancerError: what was goes on."""

    def __call__(self, *, reload: bool) -> Awaitable[None]: ...


class Mending:
    """Of one node. lock: held while anything changes; notify: called when something is as it is wanted again."""

    def __init__(
        self,
        keeper: Keeper,
        wanted: Wanted,
        upkeep: Upkeep,
        tasks: Tasks,
        lock: asyncio.Lock,
        *,
        begin: Begin,
        notify: Callable[[], None],
    ) -> None:
        self._keeper, self._wanted, self._upkeep = keeper, wanted, upkeep
        self._tasks, self._lock, self._begin, self._notify = tasks, lock, begin, notify
        self.problem = ""
        """Why HAProxy does not run as it should; "" when it does."""
        self._stale = False
        """What runs was not started on what is wanted, and is to be replaced."""
        self._at_work = self._over = False
        self._pause = 0.0

    def settled(self) -> None:
        """What runs was started on what is wanted."""
        self._stale, self.problem = False, ""

    def replace(self, why: BalancerError | None = None) -> None:
        """What runs is to be replaced as soon as that is possible. why: it was tried, and did not work."""
        self._stale = True
        if why is not None:
            self._tell(why)
        self.wake()

    def wake(self) -> None:
        """Get what is stale or absent, unless that goes on already."""
        if (self._stale or self._wanted.absent) and not self._at_work:
            self._at_work = True
            self._tasks.spawn("get what is missing", self._go_on())

    def end(self) -> None:
        """The daemon leaves, or nothing is to be served: no more attempts."""
        self._over = True

    def died(self) -> None:
        """The HAProxy that served has ended; called from the loop."""
        if self._over:
            return
        log.warning("HAProxy (pid %s) has ended; starting it again", self._keeper.current and self._keeper.current.pid)
        lived = asyncio.get_running_loop().time() - self._upkeep.begun_at
        self._pause = 0.0 if lived >= SHORT_LIFE else min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._tasks.spawn("bring HAProxy back", self._bring_back(self._pause))
        self._notify()

    async def _go_on(self) -> None:
        clock, pause, due = asyncio.get_running_loop().time, PACE, 0.0
        try:
            while not self._over and (self._stale or self._wanted.absent):
                await asyncio.sleep(PACE)
                async with self._lock:
                    if not self._over:
                        await self._try(reload=clock() >= due)
                if self.problem and clock() >= due:
                    # A program that does not start is not there again in a second.
                    pause, due = min(LONGEST_PACE, 2 * pause), clock() + pause
        finally:
            self._at_work = False

    async def _try(self, *, reload: bool) -> None:
        if not self._wanted.endpoints:
            self.settled()
            self._wanted.absent = {}
            return
        await self._keeper.certificates.gather(self._wanted.routings.values())
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
        if problem.sentence != self.problem:
            log.warning("HAProxy does not run as it should, and is tried again: %s", problem)
        self.problem = problem.sentence

    async def _bring_back(self, pause: float) -> None:
        while not self._over:
            await asyncio.sleep(pause)
            try:
                async with self._lock:
                    if self._wanted.endpoints and not self._upkeep.alive and not self._over:
                        await self._upkeep.bring_back()
                return
            except (OSError, BalancerError) as problem:
                log.warning("HAProxy was not brought back: %s", problem)
                pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))
