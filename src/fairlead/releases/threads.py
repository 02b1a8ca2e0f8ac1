"""Work that is never left behind: who is cancelled waits for its end before he clears away what it touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`work(...)` in a thread. Cancelled, this returns only when the work has ended, which a thread does by itself."""
    return await seen_through(asyncio.to_thread(work, *args, **kwargs))


async def seen_through(work: Awaitable[T]) -> T:
    """What `work` returns. Cancelled, however often, this returns only when the work has ended."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        task.exception()  # so that nobody complains that it was never looked at
        raise asyncio.CancelledError
    return task.result()
