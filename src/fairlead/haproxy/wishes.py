"""What several ask of a node at once, carried out as one.

In: wishes, each of which is remembered by a function of its caller's. Out: all that wait are remembered and then
carried out together, so that a thousand targets that come or go at once cost one writing of the file and one
comparison. The law: each caller hears of its own wish, and returns when it is carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fairlead.errors import BalancerError
from fairlead.haproxy.commands import Command

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Wish:
    """remember: changes what is remembered, and gives what is to be sent beside. takes_out: a target gets less, which
    is done by remembering it where no HAProxy lives."""

    remember: Callable[[], list[Command]]
    takes_out: bool = False
    granted: bool = False
    problem: Exception | None = None


class Wishes:
    """Of one node. carry_out: makes HAProxy like what is remembered and sends the commands; is_alive: whether there is
    a HAProxy."""

    def __init__(self, carry_out: Callable[[list[Command]], Awaitable[None]], is_alive: Callable[[], bool]) -> None:
        self._carry_out, self._is_alive = carry_out, is_alive
        self._waiting: list[Wish] = []

    def add(self, wish: Wish) -> None:
        """It waits for `grant`."""
        self._waiting.append(wish)

    async def grant(self, wish: Wish) -> None:
        """Carry out `wish` and whatever waits beside it, unless another's turn has done so; raise what became of it.
        Called when nothing else is being done."""
        if not wish.granted:
            granted, self._waiting = self._waiting, []
            await self._grant(granted)
        if wish.problem is not None:
            raise wish.problem

    async def _grant(self, wishes: list[Wish]) -> None:
        more: list[Command] = []
        for wish in wishes:
            wish.granted = True
            try:
                more += wish.remember()
            except BalancerError as problem:
                wish.problem = problem
        try:
            await self._carry_out(more)
        except Exception as problem:
            dead = isinstance(problem, BalancerError) and not self._is_alive()
            for wish in wishes:
                if not (wish.takes_out and dead):
                    wish.problem = wish.problem or problem
            if dead:
                log.info("remembered for the next HAProxy: %s", problem)
