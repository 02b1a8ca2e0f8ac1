"""What every place of resources promises, as claims. Test modules subclass `ResourcesContract` with a `world`."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome
from fairlead.errors import ResourceError
from tests.resources.worlds import LONG, STACK, Behaviour, World, answers, failed, is_gone, runs, seen, until


class ResourcesContract:
    """The claims. Subclasses give the fixture `world`."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    async def test_a_started_resource_is_prepared_then_lives_then_answers(self, world: World) -> None:
        daemon = world.daemon()
        program = await daemon.find(world.order("data").resource)
        daemon.start(world.order("data", 4))
        first = await seen(daemon, "data")
        assert first is not None
        assert (first.launch, first.preparing, first.process, first.answers) == (4, True, None, False)
        assert first.clause
        last = await answers(daemon, "data")
        assert (last.launch, last.preparing, last.error, last.clause, last.program) == (4, False, "", "", program)
        assert last.process is not None
        assert last.process.alive
        assert last.process.pid

    async def test_a_second_start_does_nothing(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "prepares for long"))
        daemon.start(world.order("data", 2))
        before = await answers(daemon, "data")
        assert before.launch == 1
        for launch in (0, 1, 2):
            daemon.start(world.order("data", launch))
            assert await seen(daemon, "data") == before

    @pytest.mark.parametrize("behaviour", ["cannot be found", "cannot be prepared"])
    async def test_what_cannot_be_launched_says_why_until_the_next_start(
        self, world: World, behaviour: Behaviour
    ) -> None:
        daemon, announced = world.daemon(), []
        daemon.on_change(lambda: announced.append(1))
        daemon.start(world.order("data", 1, behaviour))
        sighting = await failed(daemon, "data")
        assert "scripted" in sighting.error
        assert (sighting.process, sighting.answers, sighting.launch) == (None, False, 1)
        assert announced
        assert world.living("data") == 0
        await daemon.clear(STACK, "data")
        assert await seen(daemon, "data") is None
        daemon.start(world.order("data", 2))
        assert (await answers(daemon, "data")).error == ""

    async def test_a_launch_that_did_not_happen_may_be_started_again(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "cannot be prepared"))
        await failed(daemon, "data")
        daemon.start(world.order("data", 1))
        await answers(daemon, "data")

    async def test_a_server_that_ends_is_seen_gone_with_its_exit_status(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "fails with 3"))
        sighting = await is_gone(daemon, "data")
        assert sighting.process is not None
        assert (sighting.process.outcome, sighting.answers, sighting.error) == (Outcome(exit_status=3), False, "")

    async def test_the_first_answer_and_the_end_are_announced(self, world: World) -> None:
        daemon, announced = world.daemon(), []
        daemon.on_change(lambda: announced.append(1))
        daemon.start(world.order("data"))
        await wait_until(lambda: announced, LONG, "the announcement of the answer")
        await answers(daemon, "data")
        announced.clear()
        await world.murder("data")
        await wait_until(lambda: announced, LONG, "the announcement of the end")
        sighting = await is_gone(daemon, "data")
        assert sighting.process is not None
        assert sighting.process.outcome == Outcome(signal=9)
        assert not sighting.answers

    async def test_one_that_never_answers_lives_and_says_why(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "never answers"))
        await runs(daemon, "data")
        sighting = await until(daemon, "data", lambda one: "accept" in one.clause, "asked")
        assert not sighting.answers
        with pytest.raises(ResourceError, match="does not accept connections"):
            await daemon.backup(world.order("data"), world.file("backup"), lambda text: None)

    async def test_stop_ends_a_server_in_its_own_way_and_may_be_repeated(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data"))
        await answers(daemon, "data")
        await daemon.stop(STACK, "data")
        sighting = await is_gone(daemon, "data")
        assert sighting.process is not None
        assert sighting.process.outcome == Outcome(exit_status=0)
        await daemon.stop(STACK, "data")

    async def test_what_is_told_to_stop_while_it_is_prepared_is_not_launched(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "prepares for long"))
        assert (await until(daemon, "data", lambda one: one.preparing, "being prepared")).process is None
        await daemon.stop(STACK, "data")
        sighting = await seen(daemon, "data")
        assert sighting is None or (sighting.preparing, sighting.process) == (False, None)
        await asyncio.sleep(3)
        assert world.living("data") == 0
        await daemon.clear(STACK, "data")
        daemon.start(world.order("data", 2))
        assert (await answers(daemon, "data")).launch == 2

    async def test_one_that_ignores_its_signal_lives_until_it_is_killed(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "ignores its signal"))
        before = await answers(daemon, "data")
        await daemon.stop(STACK, "data")
        assert (await runs(daemon, "data")).process == before.process
        await daemon.kill(STACK, "data")
        await daemon.kill(STACK, "data")
        sighting = await is_gone(daemon, "data")
        assert sighting.process is not None
        assert sighting.process.outcome == Outcome(signal=9)
        assert world.living("data") == 0

    async def test_what_was_cleared_is_forgotten_and_keeps_its_data(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1))
        await answers(daemon, "data")
        world.write("data", "precious")
        await daemon.stop(STACK, "data")
        await is_gone(daemon, "data")
        await daemon.clear(STACK, "data")
        await daemon.clear(STACK, "data")
        assert await daemon.observe() == ()
        await daemon.close()
        again = world.daemon()
        assert await again.observe() == ()
        again.start(world.order("data", 2))
        await answers(again, "data")
        assert world.read("data") == "precious"
        assert await again.size(STACK, "data") > 0

    async def test_a_number_that_was_used_is_launched_no_second_time(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 7, "fails with 3"))
        await is_gone(daemon, "data")
        daemon.start(world.order("data", 7))
        assert (await is_gone(daemon, "data")).launch == 7
        await daemon.clear(STACK, "data")
        daemon.start(world.order("data", 7))
        sighting = await until(daemon, "data", lambda one: not one.preparing, "refused")
        assert sighting.process is None
        assert sighting.error
        assert world.living("data") == 0

    async def test_the_next_launch_begins_over_a_dead_one(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1))
        await answers(daemon, "data")
        await world.murder("data")
        await is_gone(daemon, "data")
        daemon.start(world.order("data", 2))
        assert (await answers(daemon, "data")).launch == 2
        assert len(await daemon.observe()) == 1

    async def test_a_new_daemon_adopts_what_lives_and_knows_how_others_ended(self, world: World) -> None:
        daemon = world.daemon()
        for id in ("one", "two", "three"):
            daemon.start(world.order(id))
        daemon.start(world.order("four", 1, "fails with 3"))
        before = {id: await answers(daemon, id) for id in ("one", "two", "three")}
        await is_gone(daemon, "four")
        await daemon.close()
        await world.murder("two")
        await wait_until(lambda: world.living("two") == 0, LONG, "the end of two")

        again = world.daemon()
        assert {sighting.id for sighting in await again.observe()} == {"one", "two", "three", "four"}
        outcomes = [(await is_gone(again, id)).process for id in ("two", "four")]
        assert [one.outcome if one else None for one in outcomes] == [Outcome(signal=9), Outcome(exit_status=3)]
        assert [await answers(again, id) for id in ("one", "three")] == [before["one"], before["three"]]

    async def test_an_adopted_server_is_launched_no_second_time_and_obeys(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1))
        before = await answers(daemon, "data")
        await daemon.close()
        again, announced = world.daemon(), []
        again.on_change(lambda: announced.append(1))
        # Even before the first look.
        for launch in (1, 2):
            again.start(world.order("data", launch))
        await until(again, "data", lambda one: one == before, "as before")
        announced.clear()
        await again.stop(STACK, "data")
        await wait_until(lambda: announced, LONG, "the announcement")
        sighting = await is_gone(again, "data")
        assert sighting.process is not None
        assert sighting.process.outcome == Outcome(exit_status=0)

    async def test_a_preparation_that_died_with_its_daemon_is_done_again(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "prepares for long"))
        assert (await until(daemon, "data", lambda one: one.preparing, "being prepared")).process is None
        await daemon.close()
        again = world.daemon()
        sighting = await seen(again, "data")
        assert sighting is None or (sighting.preparing, sighting.process) == (False, None)
        again.start(world.order("data", 1))
        await answers(again, "data")

    async def test_only_what_does_not_run_can_be_deleted(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "prepares for long"))
        with pytest.raises(ResourceError, match="runs"):
            await daemon.delete(STACK, "data")
        await answers(daemon, "data")
        world.write("data", "precious")
        with pytest.raises(ResourceError, match="runs"):
            await daemon.delete(STACK, "data")
        assert world.read("data") == "precious"
        await daemon.kill(STACK, "data")
        await daemon.clear(STACK, "data")
        await daemon.delete(STACK, "data")
        await daemon.delete(STACK, "data")
        assert await daemon.size(STACK, "data") == 0
        assert daemon.log_tail(STACK, "data", 5) == ""
        assert await daemon.observe() == ()
        # It may be made anew, and counts from the beginning.
        daemon.start(world.order("data", 1))
        await answers(daemon, "data")
        assert world.read("data") == ""

    async def test_a_backup_is_one_file_that_brings_the_data_back(self, world: World) -> None:
        daemon, told = world.daemon(), []
        order, file = world.order("data"), world.file("backup")
        with pytest.raises(ResourceError, match="does not run"):
            await daemon.backup(order, file, told.append)
        daemon.start(order)
        await answers(daemon, "data")
        world.write("data", "precious")
        await daemon.backup(order, file, told.append)
        assert world.exists(file)
        assert "bytes" in told[-1] or "kB" in told[-1]
        with pytest.raises(ResourceError, match="there already"):
            await daemon.backup(order, file, told.append)
        world.write("data", "spoilt")
        await daemon.restore(order, file, told.append)
        assert world.read("data") == "precious"
        with pytest.raises(ResourceError):
            await daemon.restore(order, world.file("another"), told.append)
        assert world.read("data") == "precious"
        assert (await answers(daemon, "data")).process

    async def test_a_shell_has_no_password_in_its_words(self, world: World) -> None:
        daemon, order = world.daemon(), world.order("data")
        daemon.start(order)
        await answers(daemon, "data")
        shell = await daemon.shell(order)
        assert shell.argv
        assert not any(order.password in word for word in shell.argv)

    async def test_a_log_shows_its_last_lines_without_what_a_terminal_obeys(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "writes escapes"))
        await answers(daemon, "data")
        await daemon.tend()
        assert daemon.log_tail(STACK, "data", 2) == "second \\x1b]0;title\\x07\nthird"
        await daemon.kill(STACK, "data")
        assert daemon.log_tail(STACK, "data", 1) == "third"

    async def test_verbs_on_a_resource_that_never_was_do_nothing(self, world: World) -> None:
        daemon = world.daemon()
        await daemon.stop(STACK, "none")
        await daemon.kill(STACK, "none")
        await daemon.clear(STACK, "none")
        await daemon.delete(STACK, "none")
        await daemon.tend()
        assert await daemon.size(STACK, "none") == 0
        assert daemon.log_tail(STACK, "none", 5) == ""
        assert await daemon.observe() == ()

    async def test_ports_differ_and_avoid_those_that_are_taken(self, world: World) -> None:
        daemon = world.daemon()
        first = daemon.reserve(STACK, "one", frozenset())
        second = daemon.reserve(STACK, "two", frozenset({first, first + 1}))
        assert second not in (first, first + 1)
        assert 1024 <= first < 65536
        assert 1024 <= second < 65536
