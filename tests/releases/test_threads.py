"""Who is cancelled waits for the work that he began."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.releases.threads import seen_through


async def test_work_goes_on_to_its_end_however_often_its_caller_is_cancelled() -> None:
    begun, go, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await go.wait()
        done.append("all of it")

    caller = asyncio.create_task(seen_through(work()))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["all of it"]


async def test_what_the_work_returns_or_raises_reaches_its_caller() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise ValueError("no")

    assert await seen_through(answer()) == 42
    with pytest.raises(ValueError, match="no"):
        await seen_through(fail())
