"""A wait ends with the answer, or says what it waited for."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.errors import EngineError, FairleadError

pytestmark = pytest.mark.looptime


async def test_the_first_true_answer_is_returned_at_once() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await wait_until(lambda: "yes", 5, "x") == "yes"
    assert loop.time() == began


async def test_an_answer_is_found_soon_after_it_is_there() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def asked() -> bool:
        return loop.time() >= began + 1.0

    assert await wait_until(asked, 5, "x")
    assert loop.time() - began == pytest.approx(1.0, abs=0.06)


async def test_a_wait_in_vain_says_what_how_long_and_what_was_last_seen() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(FairleadError) as caught:
        await wait_until(lambda: "", 2.5, "the door to open", seen=lambda: "ajar", error=EngineError)
    assert isinstance(caught.value, EngineError)
    assert caught.value.sentence == "waited 2.5 s for the door to open: last seen: 'ajar'"
    assert loop.time() - began == pytest.approx(2.5)


async def test_without_a_witness_the_last_answer_is_what_was_seen() -> None:
    with pytest.raises(FairleadError, match=r"last seen: \[\]"):
        await wait_until(list, 0.1, "a list that is not empty")


async def test_the_question_is_asked_once_more_when_the_loop_was_stalled() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def slow() -> bool:
        await asyncio.sleep(10)
        return loop.time() > began + 15

    assert await wait_until(slow, 1, "what takes longer than the deadline")
