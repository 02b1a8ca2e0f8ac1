"""One change of a stack at a time: who has the turn, who waits for it, and who has given up.

In: what is to be done (an `up`, a restart), for which stack, and who asks. Out: its result. The law: each change is a
task of its own, which outlives the client that asked; a second one waits, and is told for whom and since when; who
gives up ends his own change, or his own waiting, and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal, Progress
from fairlead.errors import DeploymentFailed

Work = Callable[[], Coroutine[Any, Any, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A change under way."""

    task: asyncio.Task[dict[str, Any]]
    what: str
    who: str
    since: str

    def __str__(self) -> str:
        return f"another `{self.what}` is under way{f', of {self.who}' if self.who else ''}, since {self.since}"


class Turns:
    """Of all stacks of a daemon."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._running: dict[str, _Turn] = {}
        self._cancels: Counter[str] = Counter()
        self._waiting: set[tuple[str, str]] = set()
        self._withdrawn: set[tuple[str, str]] = set()

    @property
    def under_way(self) -> bool:
        """Whether anybody has a turn."""
        return bool(self._running)

    async def take(self, what: str, stack: str, who: str, work: Work, progress: Progress) -> dict[str, Any]:
        """Do `work` as the only one on `stack`; wait, and say for whom, while another is under way. DeploymentFailed:
        it was cancelled, or withdrawn."""
        cancels, mine = self._cancels[stack], (stack, who)
        while (before := self._running.get(stack)) is not None:
            progress({"text": f"waiting: {before}"})
            self._waiting.add(mine)
            await asyncio.wait({before.task})
            self._waiting.discard(mine)
            if mine in self._withdrawn:
                self._withdrawn.discard(mine)
                raise DeploymentFailed(f"`{what}` of {stack} was withdrawn while it waited", "", "")
            if self._cancels[stack] != cancels:
                # Whoever gave up while this one waited meant this one, too.
                raise DeploymentFailed(f"`{what}` of {stack} was cancelled", "", "")
        with self._journal.follow(stack, progress):
            task = asyncio.create_task(work(), name=f"{what} {stack}")
            self._running[stack] = _Turn(task, what, who, f"{self._clock.wall()[:19]}Z")
            task.add_done_callback(lambda done: self._forget(stack, done))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise DeploymentFailed(f"`{what}` of {stack} was cancelled", "", "") from None
                raise

    def withdraw(self, stack: str, who: str) -> bool:
        """Whether somebody else has the turn, which `who` may not end. If `who` waits for it: no longer."""
        running = self._running.get(stack)
        if not who or running is None or running.who == who:
            return False
        if (stack, who) in self._waiting:
            self._withdrawn.add((stack, who))
        return True

    async def cancel(self, stack: str, who: str = "") -> bool:
        """End the change of `stack`, if one is under way, and without a `who` also those that wait for it; what it
        recorded stays recorded."""
        if not who:
            self._cancels[stack] += 1
        return await self._end(stack)

    async def close(self) -> None:
        """The daemon leaves: what is being built is dropped, what is recorded goes on after its return."""
        for stack in list(self._running):
            await self._end(stack)

    async def _end(self, stack: str) -> bool:
        running = self._running.get(stack)
        if running is None:
            return False
        running.task.cancel()
        await asyncio.wait({running.task})
        return True

    def _forget(self, stack: str, task: asyncio.Task[dict[str, Any]]) -> None:
        if (running := self._running.get(stack)) and running.task is task:
            del self._running[stack]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left to ask
