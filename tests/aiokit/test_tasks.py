"""Tasks belong to somebody, have a name, and end."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.aiokit.tasks import Tasks

pytestmark = pytest.mark.looptime


class Owner:
    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []
        self.tasks = Tasks("owner", lambda name, problem: self.failures.append((name, repr(problem))))


async def test_a_task_bears_its_owners_name_and_its_own_and_goes_when_it_ends() -> None:
    owner = Owner()
    task = owner.tasks.spawn("work", asyncio.sleep(1, "done"))
    assert task.get_name() == "owner: work"
    assert owner.tasks.running == ("work",)
    assert await task == "done"
    await asyncio.sleep(0)
    assert owner.tasks.running == ()
    assert owner.failures == []


async def test_a_failure_is_told_to_the_owner_and_a_cancellation_is_none() -> None:
    owner = Owner()

    async def fail() -> None:
        raise ValueError("broken")

    owner.tasks.spawn("bad", fail())
    owner.tasks.spawn("cancelled", asyncio.sleep(9)).cancel()
    await asyncio.sleep(1)
    assert owner.failures == [("bad", "ValueError('broken')")]


async def test_stop_cancels_all_waits_for_their_ends_and_names_the_stuck() -> None:
    owner, loop = Owner(), asyncio.get_running_loop()
    ended: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            ended.append("tidy")

    async def deaf() -> None:
        until = loop.time() + 50
        while loop.time() < until:
            try:
                await asyncio.sleep(until - loop.time())
            except asyncio.CancelledError:
                continue

    owner.tasks.spawn("tidy", tidy())
    stuck = owner.tasks.spawn("deaf", deaf())
    await asyncio.sleep(0)
    began = loop.time()
    assert await owner.tasks.stop(5) == ("deaf",)
    assert loop.time() - began == pytest.approx(5)
    assert ended == ["tidy"]
    await stuck
    assert await owner.tasks.stop(5) == ()


async def test_stop_by_one_of_its_own_tasks_does_not_wait_for_itself() -> None:
    owner = Owner()

    async def last() -> tuple[str, ...]:
        return await owner.tasks.stop(5)

    other = owner.tasks.spawn("other", asyncio.sleep(100))
    assert await owner.tasks.spawn("last", last()) == ()
    assert other.cancelled()


async def test_nothing_starts_behind_the_back_of_an_owner_that_has_stopped() -> None:
    owner = Owner()
    await owner.tasks.stop(1)
    with pytest.raises(RuntimeError, match="late"):
        owner.tasks.spawn("late", asyncio.sleep(1))
