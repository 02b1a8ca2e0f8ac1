"""Waiting for something that nobody announces: ask again until it holds, with a deadline and a message.

In: a question, how long to ask it, and what is awaited, in words. Out: the first answer that counts as yes, or an error
that says what was awaited, how long, and what was last seen. The pause between questions grows from 1 ms to 50 ms, so
that what is quick is seen at once and what is slow costs nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fairlead.errors import FairleadError

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05


async def wait_until(
    question: Callable[[], Answer | Awaitable[Answer]],
    timeout: float,
    what: str,
    *,
    seen: Callable[[], object] | None = None,
    error: type[FairleadError] = FairleadError,
) -> Answer:
    """Ask `question` (plain or async) until its answer is true, and return that answer.

    timeout: seconds. what: what is awaited ("the launcher's record"). seen: what the error shows as last seen; without
    it, the last answer. The question is asked once more when the time is over, so that a stalled loop is no failure.
    Raises `error`.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout, FIRST_PAUSE
    while True:
        last_chance = loop.time() >= deadline
        answer = question()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if last_chance:
            last = seen() if seen is not None else answer
            raise error(f"waited {timeout:g} s for {what}", f"last seen: {last!r}")
        await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
        pause = min(pause * 2, LONGEST_PAUSE)
