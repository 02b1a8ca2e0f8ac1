"""What every engine promises, as claims. Each engine's test module subclasses `EngineContract` with a `world` of its own."""

from __future__ import annotations

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome, Process
from fairlead.errors import EngineError
from tests.engines.worlds import STACK, Behaviour, World, is_gone, runs, seen, until


class EngineContract:
    """The claims. Subclasses give the fixture `world`."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    async def test_a_launched_instance_is_seen_alive_with_its_own_pid(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await engine.launch(world.order("web-2"))
        first, second = await runs(engine, "web-1"), await runs(engine, "web-2")
        assert first.pid != second.pid
        assert not first.frozen
        assert first.outcome is None

    async def test_a_second_launch_does_nothing(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        before = await runs(engine, "web-1")
        await engine.launch(world.order("web-1"))
        assert await runs(engine, "web-1") == before
        assert world.living("web-1") > 0

    async def test_what_cannot_be_launched_is_an_error_and_no_instance(self, world: World) -> None:
        engine = world.engine()
        with pytest.raises(EngineError):
            await engine.launch(world.order("web-1", "is refused"))
        assert await engine.observe() == ()

    async def test_a_program_that_ends_is_seen_gone_with_its_exit_status(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "fails with 3"))
        assert (await is_gone(engine, "web-1")).outcome == Outcome(exit_status=3)

    async def test_a_program_that_was_killed_is_seen_gone_with_the_signal(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await runs(engine, "web-1")
        await world.murder("web-1")
        gone = await is_gone(engine, "web-1")
        assert gone.outcome == Outcome(signal=9)
        assert gone.pid is None

    async def test_the_end_of_a_program_is_announced(self, world: World) -> None:
        engine, announced = world.engine(), []
        engine.on_change(lambda: announced.append(1))
        await engine.launch(world.order("web-1"))
        await runs(engine, "web-1")
        assert announced == []
        await world.murder("web-1")
        await wait_until(lambda: announced, 60.0, "the announcement")
        process = await seen(engine, "web-1")
        assert process is not None
        assert not process.alive

    async def test_stop_ends_a_program_by_sigterm_and_may_be_repeated(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await engine.stop(STACK, "web-1")
        assert (await is_gone(engine, "web-1")).outcome == Outcome(signal=15)
        await engine.stop(STACK, "web-1")

    async def test_a_program_that_ignores_sigterm_lives_until_it_is_killed(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "ignores SIGTERM"))
        await world.ready("web-1")
        await engine.stop(STACK, "web-1")
        assert (await runs(engine, "web-1")).alive
        await engine.kill(STACK, "web-1")
        process = await seen(engine, "web-1")
        assert process == Process(alive=False, outcome=Outcome(signal=9))
        assert world.living("web-1") == 0

    @pytest.mark.parametrize("behaviour", ["leaves a child", "leaves a daemon"])
    async def test_kill_ends_all_that_came_from_the_program(self, world: World, behaviour: Behaviour) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", behaviour))
        await world.ready("web-1")
        await engine.kill(STACK, "web-1")
        assert world.living("web-1") == 0

    @pytest.mark.parametrize("behaviour", ["leaves a child", "leaves a daemon"])
    async def test_clear_ends_what_a_dead_program_left_behind(self, world: World, behaviour: Behaviour) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", behaviour))
        await world.ready("web-1")
        await world.murder("web-1")
        await is_gone(engine, "web-1")
        assert world.living("web-1") > 0
        await engine.clear(STACK, "web-1")
        assert world.living("web-1") == 0

    async def test_what_was_cleared_is_forgotten_and_never_started_again(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "fails with 3"))
        await is_gone(engine, "web-1")
        await engine.clear(STACK, "web-1")
        await engine.clear(STACK, "web-1")
        await engine.launch(world.order("web-1"))
        assert await engine.observe() == ()
        await engine.close()
        assert await world.engine().observe() == ()

    async def test_a_frozen_program_is_alive_and_frozen_and_can_be_killed(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await runs(engine, "web-1")
        await world.freeze("web-1")
        assert (await until(engine, "web-1", lambda process: process.frozen, "frozen")).alive
        await engine.kill(STACK, "web-1")
        assert world.living("web-1") == 0
        process = await seen(engine, "web-1")
        assert process is not None
        assert not process.alive

    async def test_a_new_engine_adopts_what_lives_and_knows_how_the_others_ended(self, world: World) -> None:
        engine = world.engine()
        for number in range(1, 4):
            await engine.launch(world.order(f"web-{number}"))
        await engine.launch(world.order("web-4", "fails with 3"))
        pids = [(await runs(engine, f"web-{number}")).pid for number in range(1, 4)]
        await engine.close()
        await world.murder("web-2")
        await wait_until(lambda: world.living("web-2") == 0, 60.0, "the end of web-2")

        again = world.engine()
        assert {sighting.id for sighting in await again.observe()} == {"web-1", "web-2", "web-3", "web-4"}
        assert (await is_gone(again, "web-2")).outcome == Outcome(signal=9)
        assert (await is_gone(again, "web-4")).outcome == Outcome(exit_status=3)
        assert [(await runs(again, f"web-{number}")).pid for number in (1, 3)] == [pids[0], pids[2]]

    async def test_an_adopted_program_is_launched_no_second_time_and_obeys(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        before = await runs(engine, "web-1")
        await engine.close()
        again, announced = world.engine(), []
        again.on_change(lambda: announced.append(1))
        await again.launch(world.order("web-1"))
        assert await runs(again, "web-1") == before
        await again.stop(STACK, "web-1")
        await wait_until(lambda: announced, 60.0, "the announcement")
        assert (await is_gone(again, "web-1")).outcome == Outcome(signal=15)

    async def test_a_living_program_holds_memory_and_one_that_is_gone_none(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await runs(engine, "web-1")
        held = await engine.memory(STACK, "web-1")
        assert held is not None
        assert held > 10_000
        await engine.kill(STACK, "web-1")
        assert await engine.memory(STACK, "web-1") is None

    async def test_what_a_living_program_uses_grows_and_never_falls(self, world: World) -> None:
        engine = world.engine()
        assert await engine.usage() == {}
        await engine.launch(world.order("web-1", "works"))
        await engine.launch(world.order("web-2"))
        told = [await engine.usage()]
        assert told[0].keys() == {(STACK, "web-1"), (STACK, "web-2")}

        async def has_worked() -> bool:
            told.append(await engine.usage())
            return told[-1][STACK, "web-1"].cpu >= 0.2

        await wait_until(has_worked, 60.0, "0.2 s of processor time", seen=lambda: told[-1])
        for key in told[0]:
            cpus = [usage[key].cpu for usage in told]
            assert cpus == sorted(cpus)
            moments = [usage[key].at for usage in told]
            assert moments == sorted(moments)
        assert told[-1][STACK, "web-2"].cpu < 0.2

    async def test_what_it_uses_tells_its_memory_before_long(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))

        async def known() -> int | None:
            return (await engine.usage())[STACK, "web-1"].memory

        assert (await wait_until(known, 60.0, "its memory") or 0) > 10_000

    async def test_nobody_tells_what_an_ended_program_uses(self, world: World) -> None:
        engine = world.engine()
        for number in range(1, 4):
            await engine.launch(world.order(f"web-{number}"))
        assert len(await engine.usage()) == 3
        await engine.kill(STACK, "web-1")
        await world.murder("web-2")
        await is_gone(engine, "web-2")
        assert (await engine.usage()).keys() == {(STACK, "web-3")}
        await engine.clear(STACK, "web-1")
        assert (await engine.usage()).keys() == {(STACK, "web-3")}

    async def test_a_new_engine_goes_on_with_what_was_used(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "works"))

        async def has_worked() -> float:
            cpu = (await engine.usage())[STACK, "web-1"].cpu
            return cpu if cpu >= 0.1 else 0.0

        before = await wait_until(has_worked, 60.0, "0.1 s of processor time")
        await engine.close()
        assert (await world.engine().usage())[STACK, "web-1"].cpu >= before

    async def test_housekeeping_changes_nothing_for_the_living_and_the_ended(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1"))
        await engine.launch(world.order("web-2", "writes escapes"))
        before = await runs(engine, "web-1")
        await is_gone(engine, "web-2")
        await engine.tend()
        await engine.clear(STACK, "web-2", failed_start=True, why="it printed, and ended")
        await engine.tend()
        assert await runs(engine, "web-1") == before
        assert engine.log_tail(STACK, "web-2", 1) == "third"

    async def test_verbs_on_an_instance_that_never_was_do_nothing(self, world: World) -> None:
        engine = world.engine()
        await engine.stop(STACK, "web-9")
        await engine.kill(STACK, "web-9")
        await engine.clear(STACK, "web-9")
        await engine.tend()
        assert await engine.memory(STACK, "web-9") is None
        assert await engine.usage() == {}
        await engine.forget(STACK)
        assert engine.log_tail(STACK, "web-9", 5) == ""
        assert await engine.diagnose(STACK, "web-9", "127.0.0.1:1") == ""
        assert await engine.observe() == ()

    async def test_a_forgotten_stack_leaves_nothing(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "writes escapes"))
        await is_gone(engine, "web-1")
        await engine.clear(STACK, "web-1")
        await engine.forget(STACK)
        assert engine.log_tail(STACK, "web-1", 5) == ""
        assert await engine.observe() == ()

    async def test_a_log_shows_its_last_lines_without_what_a_terminal_obeys(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "writes escapes"))
        await is_gone(engine, "web-1")
        assert engine.log_tail(STACK, "web-1", 2) == "second \\x1b]0;title\\x07\nthird"
        await engine.clear(STACK, "web-1")
        assert engine.log_tail(STACK, "web-1", 1) == "third"

    async def test_a_program_that_has_ended_is_its_own_diagnosis(self, world: World) -> None:
        engine = world.engine()
        await engine.launch(world.order("web-1", "fails with 3"))
        await is_gone(engine, "web-1")
        assert await engine.diagnose(STACK, "web-1", "127.0.0.1:1") == "the program exited with status 3"

    async def test_addresses_differ_and_avoid_those_that_are_taken(self, world: World) -> None:
        engine = world.engine()
        first = engine.reserve(STACK, "web-1", "tcp", frozenset())
        host, _, port = first.rpartition(":")
        assert host == "127.0.0.1"
        following = f"127.0.0.1:{int(port) + 1}"
        second = engine.reserve(STACK, "web-2", "tcp", frozenset({first, following, "unix:/x"}))
        assert second not in (first, following)
        sockets = {engine.reserve(STACK, f"web-{number}", "unix", frozenset()) for number in (1, 2)}
        assert len(sockets) == 2
        assert all(socket.startswith("unix:/") for socket in sockets)
