"""One launch of one resource, as the host holds it in memory: being prepared, alive, gone, or failed.

All of it can be found again in the launch's folder but the reasons of a failure and the last answer, which a new daemon
finds out by itself.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

from fairlead.aiokit.leader import Leader
from fairlead.core.resources.model import Resource
from fairlead.resources.base import Program, Sighting
from fairlead.resources.recipe import Hindered
from fairlead.resources.watch import Watch

Key = tuple[str, str]
"""(stack, id)."""


@dataclass(slots=True, eq=False, kw_only=True)
class Launch:
    """The last launch of one resource."""

    stack: str
    id: str
    number: int
    resource: Resource | None
    """None: an earlier daemon launched it, and what it launched cannot be read."""
    port: int = 0
    program: Program | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    password: str | None = None
    """None: not known yet."""
    preparation: asyncio.Task[None] | None = None
    """Under way until there is a leader, or an error; None: nothing is prepared (any more)."""
    step: str = ""
    """What the preparation does, in words."""
    error: str = ""
    leader: Leader | None = None
    watch: Watch | None = None
    asking: asyncio.Task[None] | None = None

    @property
    def key(self) -> Key:
        return self.stack, self.id

    @property
    def preparing(self) -> bool:
        return self.preparation is not None and self.leader is None

    @property
    def alive(self) -> bool:
        return self.leader is not None and self.leader.alive

    def sighting(self) -> Sighting:
        watch = self.watch if self.alive else None
        clause = watch.clause if watch is not None else self._why_silent()
        return Sighting(
            stack=self.stack,
            id=self.id,
            launch=self.number,
            preparing=self.preparing,
            process=self.leader.look() if self.leader is not None else None,
            error=self.error,
            answers=watch is not None and watch.answers,
            clause=str(clause),
            hindered=isinstance(clause, Hindered),
            program=self.program,
        )

    def let_go(self) -> None:
        """It is not looked after any more; a living server goes on."""
        if self.asking is not None:
            self.asking.cancel()
            self.asking = None
        if self.leader is not None:
            self.leader.close()

    def _why_silent(self) -> str:
        if self.preparing:
            return self.step
        if self.alive:
            return "nobody knows any more what was started: its launch's folder cannot be read"
        return "it does not run"
