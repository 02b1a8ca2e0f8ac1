"""The fake engine keeps the contract in virtual time, and plays its scripts and faults on time."""

from __future__ import annotations

import asyncio
import math

import pytest

from fairlead.core.processes import Outcome, Process
from fairlead.core.readings import Usage
from fairlead.engines.base import Engine, LaunchOrder
from fairlead.engines.fake import FakeEngine, Fault, Script
from fairlead.errors import EngineError
from tests.engines.contract import EngineContract
from tests.engines.worlds import STACK, Behaviour, World, is_gone, runs, seen

pytestmark = pytest.mark.looptime

SCRIPTS: dict[Behaviour, Script] = {
    "serves": Script(),
    "fails with 3": Script(exits_after=0.01, outcome=Outcome(exit_status=3)),
    "ignores SIGTERM": Script(stops_in=None),
    "leaves a child": Script(leaves_behind=True),
    "leaves a daemon": Script(leaves_behind=True),
    "is refused": Script(refuses="scripted"),
    "writes escapes": Script(log="first\nsecond \x1b]0;title\x07\nthird\n", exits_after=0.01),
    "works": Script(cores=0.9),
}


def an_order(instance: str = "web-1", address: str = "") -> LaunchOrder:
    return LaunchOrder(
        stack=STACK,
        id=instance,
        argv=("serve",),
        environment={},
        working_folder="/",
        address=address or f"unix:/run/{instance}",
    )


class FakeWorld:
    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.fake = FakeEngine(lambda order: SCRIPTS[self.behaviours[order.id]])

    def engine(self) -> Engine:
        return self.fake

    def order(self, instance: str, behaviour: Behaviour = "serves") -> LaunchOrder:
        self.behaviours.setdefault(instance, behaviour)
        return an_order(instance)

    async def ready(self, instance: str) -> None:
        await asyncio.sleep(0.001)

    async def murder(self, instance: str) -> None:
        self.fake.end(STACK, instance)

    async def freeze(self, instance: str) -> None:
        self.fake.freeze(STACK, instance)

    def living(self, instance: str) -> int:
        return self.fake.living().count((STACK, instance))


class TestContract(EngineContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


async def test_a_program_answers_when_its_script_says_so() -> None:
    fake = FakeEngine(lambda order: Script(answers_after=2.0))
    await fake.launch(an_order())
    assert not fake.answers("unix:/run/web-1")
    await asyncio.sleep(2.0)
    assert fake.answers("unix:/run/web-1")
    fake.freeze(STACK, "web-1")
    assert not fake.answers("unix:/run/web-1")


async def test_a_program_that_never_answers_lives_all_the_same() -> None:
    fake = FakeEngine(lambda order: Script(answers_after=math.inf))
    await fake.launch(an_order())
    await asyncio.sleep(3600)
    assert not fake.answers("unix:/run/web-1")
    assert (await runs(fake, "web-1")).alive


async def test_a_program_exits_freezes_and_stops_on_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    scripts = {
        "exits": Script(exits_after=5.0, outcome=Outcome(exit_status=1)),
        "freezes": Script(freezes_after=3.0, exits_after=4.0),
        "stops": Script(stops_in=7.0),
    }
    fake = FakeEngine(lambda order: scripts[order.id])
    ended: list[float] = []
    fake.on_change(lambda: ended.append(loop.time() - began))
    for name in scripts:
        await fake.launch(an_order(name))
    await fake.stop(STACK, "stops")
    await asyncio.sleep(10)
    assert ended == [pytest.approx(5.0), pytest.approx(7.0)]
    frozen = await seen(fake, "freezes")
    assert frozen is not None
    assert frozen.alive
    assert frozen.frozen
    fake.thaw(STACK, "freezes")
    assert (await is_gone(fake, "freezes")).outcome == Outcome(exit_status=0)


async def test_a_slow_verb_takes_its_time_and_a_refused_one_does_nothing() -> None:
    fake, loop = FakeEngine(), asyncio.get_running_loop()
    fake.fail("launch", Fault(kind="slow", seconds=4.0))
    fake.fail("stop", Fault(kind="refuse"), times=2)
    began = loop.time()
    await fake.launch(an_order())
    assert loop.time() - began == pytest.approx(4.0)
    for _ in range(2):
        with pytest.raises(EngineError):
            await fake.stop(STACK, "web-1")
    assert (await runs(fake, "web-1")).alive
    await fake.stop(STACK, "web-1")
    await is_gone(fake, "web-1")


async def test_a_lying_verb_has_done_its_work() -> None:
    fake = FakeEngine()
    fake.fail("launch", Fault(kind="lie"))
    with pytest.raises(EngineError):
        await fake.launch(an_order())
    assert (await runs(fake, "web-1")).alive
    fake.end(STACK, "web-1")
    fake.fail("observe", Fault(kind="lie"))
    assert await seen(fake, "web-1") == Process(alive=True, pid=1001)
    assert await seen(fake, "web-1") == Process(alive=False, outcome=Outcome(signal=9))


async def test_breaches_of_the_port_are_noted() -> None:
    fake = FakeEngine(lambda order: Script(stops_in=None))
    await fake.launch(an_order("web-1", "unix:/run/a"))
    await fake.launch(an_order("web-2", "unix:/run/a"))
    await fake.stop(STACK, "web-1")
    await fake.stop(STACK, "web-1")
    await fake.clear(STACK, "web-1")
    await fake.forget(STACK)
    assert [text.split(" ")[0] for text in fake.violations] == ["web-2", "shop/web-1", "shop/web-1", "shop"]


async def test_a_crashed_daemon_hears_nothing_and_the_next_one_finds_all() -> None:
    fake, heard = FakeEngine(), []
    fake.on_change(lambda: heard.append("the dead one"))
    await fake.launch(an_order())
    fake.crash()
    fake.on_change(lambda: heard.append("the new one"))
    await fake.launch(an_order())
    fake.end(STACK, "web-1")
    assert heard == ["the new one"]
    assert fake.starts == {(STACK, "web-1"): 1}


async def test_a_program_uses_what_a_test_says() -> None:
    fake = FakeEngine(lambda order: Script(cores=0.5))
    await fake.launch(an_order())
    key, loop = (STACK, "web-1"), asyncio.get_running_loop()
    assert (await fake.usage())[key] == Usage(cpu=0.0, memory=50_000_000, at=loop.time())
    await asyncio.sleep(10)
    fake.load(*key, 2.0)
    fake.sizes[key] = 70_000_000
    await asyncio.sleep(10)
    assert (await fake.usage())[key] == Usage(cpu=25.0, memory=70_000_000, at=loop.time())
    fake.freeze(*key)
    fake.sizes[key] = None
    await asyncio.sleep(10)
    assert (await fake.usage())[key] == Usage(cpu=25.0, memory=None, at=loop.time())
    fake.thaw(*key)
    await asyncio.sleep(1)
    assert (await fake.usage())[key].cpu == 27.0


async def test_usage_may_fail_and_lie() -> None:
    fake = FakeEngine(lambda order: Script(cores=1.0))
    await fake.launch(an_order())
    before = await fake.usage()
    fake.fail("usage", Fault(kind="lie"))
    fake.fail("usage", Fault(kind="refuse"))
    await asyncio.sleep(1)
    assert await fake.usage() == before
    with pytest.raises(EngineError):
        await fake.usage()
