"""Fake resources keep the contract in virtual time, and play their scripts and faults on time."""

from __future__ import annotations

import asyncio
import math

import pytest

from fairlead.core.processes import Outcome
from fairlead.errors import ResourceError
from fairlead.resources.base import ResourceOrder, Resources
from fairlead.resources.fake import FakeResources, ResourceFault, ServerScript
from tests.resources.contract import ResourcesContract
from tests.resources.worlds import STACK, Behaviour, World, a_cache, answers, is_gone, runs, seen

pytestmark = pytest.mark.looptime

SCRIPTS: dict[Behaviour, ServerScript] = {
    "serves": ServerScript(prepares_in=0.1, answers_after=0.1),
    "prepares for long": ServerScript(prepares_in=1.0),
    "cannot be found": ServerScript(prepares_in=0.1, fails="there is no program: scripted"),
    "cannot be prepared": ServerScript(prepares_in=0.1, fails="the data cannot be made: scripted"),
    "fails with 3": ServerScript(exits_after=0.1, outcome=Outcome(exit_status=3), answers_after=math.inf),
    "ignores its signal": ServerScript(stops_in=None),
    "never answers": ServerScript(answers_after=math.inf),
    "writes escapes": ServerScript(log="first\nsecond \x1b]0;title\x07\nthird\n"),
}


def an_order(id: str = "data", launch: int = 1) -> ResourceOrder:
    return ResourceOrder(stack=STACK, resource=a_cache(id), launch=launch, port=18000, password="secret")


class FakeWorld:
    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.fake = FakeResources(lambda order: SCRIPTS[self.behaviours[order.resource.id]])

    def daemon(self) -> Resources:
        self.fake.crash()
        return self.fake

    def order(self, id: str, launch: int = 1, behaviour: Behaviour = "serves") -> ResourceOrder:
        self.behaviours[id] = behaviour
        return an_order(id, launch)

    async def murder(self, id: str) -> None:
        self.fake.end(STACK, id)

    def living(self, id: str) -> int:
        return self.fake.living().count((STACK, id))

    def write(self, id: str, text: str) -> None:
        self.fake.contents[STACK, id] = text

    def read(self, id: str) -> str:
        return self.fake.contents[STACK, id]

    def file(self, name: str) -> str:
        return f"/backups/{name}"

    def exists(self, file: str) -> bool:
        return file in self.fake.backups


class TestContract(ResourcesContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


async def test_a_server_is_launched_answers_falls_silent_and_ends_on_time() -> None:
    loop, heard = asyncio.get_running_loop(), []
    fake = FakeResources(
        lambda order: ServerScript(prepares_in=2.0, answers_after=3.0, silent_after=7.0, exits_after=9.0)
    )
    began = loop.time()
    fake.on_change(lambda: heard.append(loop.time() - began))
    fake.start(an_order())
    told = []
    for _ in range(13):
        sighting = await seen(fake, "data")
        assert sighting is not None
        told.append((sighting.preparing, sighting.process is not None and sighting.process.alive, sighting.answers))
        await asyncio.sleep(1.0)
    preparing, starting, serving, gone = (True, False, False), (False, True, False), (False, True, True), (False,) * 3
    assert told == [*[preparing] * 2, *[starting] * 3, *[serving] * 4, *[starting] * 2, *[gone] * 2]
    assert heard == [pytest.approx(5.0), pytest.approx(11.0)]


async def test_a_test_may_silence_a_server_and_have_it_speak() -> None:
    fake = FakeResources(lambda order: ServerScript(answers_after=math.inf))
    fake.start(an_order())
    await runs(fake, "data")
    fake.speak(STACK, "data")
    await answers(fake, "data")
    fake.silence(STACK, "data")
    sighting = await seen(fake, "data")
    assert sighting is not None
    assert (sighting.answers, sighting.clause) == (False, "it does not answer")
    fake.end(STACK, "data", Outcome(exit_status=1))
    assert (await is_gone(fake, "data")).process
    assert fake.launches == {(STACK, "data"): 1}


async def test_faults_are_slow_refuse_and_lie() -> None:
    fake, loop = FakeResources(), asyncio.get_running_loop()
    fake.start(an_order())
    await answers(fake, "data")
    fake.fail("stop", ResourceFault(kind="refuse"))
    fake.fail("stop", ResourceFault(kind="slow", seconds=4.0))
    with pytest.raises(ResourceError):
        await fake.stop(STACK, "data")
    assert (await runs(fake, "data")).answers
    began = loop.time()
    await fake.stop(STACK, "data")
    assert loop.time() - began == pytest.approx(4.0)
    await is_gone(fake, "data")
    fake.fail("clear", ResourceFault(kind="lie"))
    with pytest.raises(ResourceError):
        await fake.clear(STACK, "data")
    assert await fake.observe() == ()


async def test_breaches_of_the_port_are_noted() -> None:
    fake = FakeResources(lambda order: ServerScript(stops_in=None))
    fake.start(an_order())
    await answers(fake, "data")
    await fake.stop(STACK, "data")
    await fake.stop(STACK, "data")
    await fake.clear(STACK, "data")
    fake.start(an_order())
    assert [text.partition(": ")[2] or text for text in fake.violations] == [
        "shop/data was told to stop 2 times", "shop/data was cleared while it lived", "the launch 1 was used before"
    ]  # fmt: skip


async def test_what_is_missing_is_missing_at_the_question_and_at_the_launch() -> None:
    fake = FakeResources()
    del fake.programs["redis"]
    with pytest.raises(ResourceError, match="redis"):
        await fake.find(a_cache("data"))
    fake.start(an_order())
    await asyncio.sleep(0.1)
    sighting = await seen(fake, "data")
    assert sighting is not None
    assert "redis" in sighting.error
