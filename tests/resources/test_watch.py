"""A server is asked as often as it is worth, and whatever its answer does, there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fairlead.errors import ResourceError
from fairlead.resources.watch import PATIENCE, Watch

pytestmark = pytest.mark.looptime


class Server:
    """Answers what it is told to, and notes when it was asked."""

    def __init__(self) -> None:
        self.answer: str | Exception | None = "it does not accept connections yet"
        self.asked: list[float] = []

    async def __call__(self) -> str:
        self.asked.append(asyncio.get_running_loop().time())
        if self.answer is None:
            await asyncio.sleep(3600)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or ""

    def within(self, seconds: float) -> int:
        """How often it was asked in the last seconds."""
        now = asyncio.get_running_loop().time()
        return sum(now - moment < seconds for moment in self.asked)


@asynccontextmanager
async def watched(server: Server, changed: Callable[[], None] = lambda: None) -> AsyncIterator[Watch]:
    watch = Watch(server, changed)
    task = asyncio.create_task(watch.keep_asking())
    yield watch
    task.cancel()
    await asyncio.wait([task])


async def test_a_server_is_asked_often_at_first_then_less_and_least_when_all_is_calm() -> None:
    server, changes = Server(), []
    async with watched(server, lambda: changes.append(1)) as watch:
        await asyncio.sleep(5)
        assert server.within(2) == pytest.approx(20, abs=1)
        assert (watch.answers, watch.clause, changes) == (False, "it does not accept connections yet", [])
        await asyncio.sleep(20)
        assert server.within(10) == pytest.approx(10, abs=1)
        server.answer = ""
        await asyncio.sleep(10)
        assert (watch.answers, watch.clause, changes) == (True, "", [1])
        assert server.within(8) == pytest.approx(8, abs=1)
        await asyncio.sleep(60)
        assert server.within(18) == pytest.approx(10, abs=1)
        server.answer = "it loads its data"
        await asyncio.sleep(10)
        assert (watch.answers, watch.clause, changes) == (False, "it loads its data", [1, 1])
        assert server.within(6) == pytest.approx(6, abs=1)


@pytest.mark.parametrize(
    ("answer", "clause"),
    [
        (None, f"it did not answer within {PATIENCE:g} s"),
        (ResourceError("the key is lost", "it was removed"), "the key is lost: it was removed"),
        (OSError(5, "Input/output error"), "it cannot be asked: Input/output error"),
        (KeyError("password 123"), "it cannot be asked: KeyError"),
    ],
)
async def test_whatever_a_question_does_is_an_answer(answer: Exception | None, clause: str) -> None:
    server = Server()
    server.answer = answer
    async with watched(server) as watch:
        await asyncio.sleep(5)
        assert (watch.answers, watch.clause) == (False, clause)
        server.answer = ""
        await asyncio.sleep(5)
        assert watch.answers


async def test_while_it_is_held_the_last_answer_stays() -> None:
    server = Server()
    server.answer = ""
    async with watched(server) as watch:
        await asyncio.sleep(5)
        with watch.held():
            server.answer = "it loads its data"
            await asyncio.sleep(100)
            assert (watch.answers, watch.clause) == (True, "")
        await asyncio.sleep(2)
        assert (watch.answers, watch.clause) == (False, "it loads its data")
