"""Jobs in virtual time: started once for a time, whatever happens to the daemon, the clock and the machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.processes import Outcome
from fairlead.core.runs import RunRecord
from fairlead.engines.fake.script import Fault, Script
from fairlead.errors import NotFound, StoreError, UsageError

from .deaths import PACE
from .town import Died, LoopClock, Town

pytestmark = pytest.mark.looptime

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "{version}"}}
    target_group: {{deregistration_delay: 0s}}
    deploy: {{stop_timeout: 10s}}
jobs:
  tidy: {{service: web, command: tidy --up, cron: "{cron}", timeout: {timeout}}}
"""

TIDY = "shop", "tidy.job-1"


class Calendar(LoopClock):
    """A wall clock that starts at noon, goes on, and may be set by `shift` seconds."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.shift = 0.0

    def wall(self) -> str:
        moment = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(
            seconds=asyncio.get_running_loop().time() + self.shift
        )
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(town: Town, cron: str = "* * * * *", timeout: str = "20s", version: int = 1) -> None:
    town.say(FILE.format(cron=cron, timeout=timeout, version=version))


def town_of_jobs(folder: Path, pace: float = 0.01) -> Town:
    town = Town(folder, pace)
    town.clock = Calendar()
    town.scripts["tidy"] = Script(exits_after=3.0)
    write(town)
    return town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    found = town_of_jobs(tmp_path)
    yield found
    await found.close()


def runs(town: Town) -> list[RunRecord]:
    """Every run of the job, by number."""
    count = town.store.next_run_number("shop", "job", "tidy") - 1
    found = (town.store.run("shop", f"tidy.job-{number}") for number in range(1, count + 1))
    return [record for record in found if record is not None]


def times(town: Town) -> list[str]:
    return [record.scheduled_for[11:16] for record in runs(town)]


async def until(what: str, question: Callable[[], bool], seconds: float = 300.0) -> None:
    """Let minutes of virtual time pass until it holds."""
    loop = asyncio.get_running_loop()
    over = loop.time() + seconds
    while not question():
        assert loop.time() < over, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.5)


async def ended(town: Town, count: int = 1) -> RunRecord:
    """Wait until so many runs have ended; the last of them."""
    await until(f"{count} runs to end", lambda: sum(1 for run in runs(town) if run.ended_at) >= count)
    return [run for run in runs(town) if run.ended_at][count - 1]


def told(town: Town, kind: str) -> list[str]:
    return [event["text"] for event in town.store.events("shop", 1000) if event["kind"] == kind]


async def test_a_job_runs_at_its_time_in_its_services_release(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    assert runs(town) == [], "a new job begins with its next time"
    run = await ended(town)
    assert (run.id, run.scheduled_for, run.release, run.succeeded) == ("tidy.job-1", "2026-01-01T12:01:00Z", 1, True)
    assert run.started_at[:19] == "2026-01-01T12:01:00", "within the second"
    assert run.took == pytest.approx(3.0, abs=0.5)
    assert town.kinds()[-2:] == ["job_started", "job_succeeded"]
    assert "shop", "tidy.job-1" not in town.engine.living()
    launched = town.engine._programs[TIDY].order
    assert launched.argv == ("tidy", "--up")
    assert launched.environment["VERSION"] == "1"
    assert launched.address == ""


async def test_it_is_shown_with_its_last_run_and_the_next_time(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    (before,) = daemon.jobs("shop")["jobs"]
    assert (before["last"], before["running"], before["next"]) == (None, None, "2026-01-01T12:01:00Z")
    assert before["schedule"] == "Every minute (UTC)"
    await ended(town)
    await until("the second", lambda: len(runs(town)) == 2)
    (shown,) = daemon.jobs()["jobs"]
    assert (shown["last"]["id"], shown["last"]["outcome"]) == ("tidy.job-1", "succeeded")
    assert (shown["running"]["id"], shown["running"]["outcome"]) == ("tidy.job-2", "running")
    with pytest.raises(NotFound):
        daemon.jobs("bank")


async def test_a_failure_is_told_with_its_status_and_the_next_time_comes_all_the_same(town: Town) -> None:
    town.scripts["tidy"] = Script(exits_after=3.0, outcome=Outcome(exit_status=3), log="no room\n")
    daemon = await town.daemon()
    await town.up(daemon)
    run = await ended(town, 2)
    assert (run.succeeded, run.how) == (False, "exited with status 3")
    assert told(town, "job_failed")[0].startswith("tidy.job-1 failed after 3.")
    assert daemon.run("shop", run.id)["log"] == "no room"


async def test_never_two_at_once(town: Town) -> None:
    write(town, timeout="10m")
    town.scripts["tidy"] = Script(exits_after=100.0)
    daemon = await town.daemon()
    await town.up(daemon)
    await ended(town, 2)
    assert times(town) == ["12:01", "12:03"]
    assert "tidy.job-1, which began at" in told(town, "job_skipped")[0]


async def test_over_its_timeout_it_gets_sigterm_once_and_then_sigkill(town: Town) -> None:
    town.scripts["tidy"] = Script(stops_in=None)
    daemon = await town.daemon()
    await town.up(daemon)
    run = await ended(town)
    assert run.how == "ended because it took longer than its timeout of 20 s"
    assert run.outcome == Outcome(signal=9)
    assert run.took == pytest.approx(30.0, abs=1.0), "20 s and the stop timeout of 10 s"
    assert [verb for _, verb, _, id in town.engine.calls if id == run.id] == ["launch", "stop", "kill", "clear"]
    assert town.engine.violations == []


async def test_a_program_that_cannot_be_started_is_a_failed_run(town: Town) -> None:
    town.scripts["tidy"] = Script(refuses="its source is not there")
    daemon = await town.daemon()
    await town.up(daemon)
    run = await ended(town)
    assert not run.succeeded
    assert run.how.startswith("could not be started: ")
    assert "its source is not there" in told(town, "job_failed")[0]


async def test_it_goes_on_without_a_daemon_and_the_next_one_records_how_it_ended(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await until("a run", lambda: bool(runs(town)))
    await town.bury(daemon)
    await asyncio.sleep(10)
    assert not runs(town)[0].ended_at
    await town.daemon()
    run = await ended(town)
    assert run.succeeded
    assert town.engine.starts[TIDY] == 1


async def test_what_came_while_no_daemon_lived_is_missed_and_told_once(town: Town) -> None:
    write(town, cron="*/10 * * * *")
    daemon = await town.daemon()
    await town.up(daemon)
    await town.until("its schedule to begin", lambda: bool(town.store.schedules("shop")))
    await daemon.close()
    await asyncio.sleep(3000)
    await town.daemon()
    await asyncio.sleep(700)
    (skipped,) = told(town, "job_skipped")
    assert "it was due from 2026-01-01T12:10:00Z on" in skipped
    assert times(town) in (["12:50", "13:00"], ["13:00"])


async def test_a_reboot_ends_a_run_and_the_schedule_goes_on(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await until("a run", lambda: bool(runs(town)))
    await town.bury(daemon)
    for stack, instance in town.engine.living():
        town.engine.end(stack, instance)
    town.clock = Calendar("boot-2", 10.0, asyncio.get_running_loop().time())
    await town.daemon()
    run = await ended(town)
    assert (run.succeeded, run.how, run.took) == (False, "ended with the machine's last boot", None)
    assert (await ended(town, 2)).succeeded


async def test_a_clock_set_back_an_hour_runs_nothing_twice(town: Town) -> None:
    assert isinstance(town.clock, Calendar)
    daemon = await town.daemon()
    await town.up(daemon)
    await ended(town, 2)
    town.clock.shift -= 3600
    await asyncio.sleep(300)
    assert times(town) == ["12:01", "12:02"], "those minutes have been"
    town.clock.shift += 3600
    await ended(town, 3)
    assert len(set(times(town))) == 3


async def test_a_clock_set_forward_a_day_brings_no_burst(town: Town) -> None:
    assert isinstance(town.clock, Calendar)
    daemon = await town.daemon()
    await town.up(daemon)
    await ended(town, 1)
    town.clock.shift += 86400
    await asyncio.sleep(130)
    days = [record.scheduled_for[:16] for record in runs(town)]
    assert days == ["2026-01-01T12:01", "2026-01-02T12:01", "2026-01-02T12:02", "2026-01-02T12:03"]
    assert len(told(town, "job_skipped")) == 1


async def test_an_edited_schedule_begins_from_now(town: Town) -> None:
    daemon = await town.daemon()
    write(town, cron="0 3 * * *")
    await town.up(daemon)
    write(town, cron="0 11 * * *")  # an hour ago
    await town.up(daemon)
    await asyncio.sleep(600)
    assert (runs(town), told(town, "job_skipped")) == ([], [])
    (job,) = daemon.jobs("shop")["jobs"]
    assert job["next"] == "2026-01-02T11:00:00Z"


async def test_a_stack_that_was_down_for_an_hour_missed_nothing(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    await ended(town)
    await daemon.down("shop", lambda event: None)
    await asyncio.sleep(3600)
    await town.up(daemon)
    await ended(town, 2)
    assert told(town, "job_skipped") == []


async def test_down_ends_a_run_and_only_then_is_the_stack_gone(town: Town) -> None:
    town.scripts["tidy"] = Script(stops_in=4.0)
    daemon = await town.daemon()
    await town.up(daemon)
    await until("a run", lambda: bool(runs(town)))
    await daemon.down("shop", lambda event: None)
    (run,) = runs(town)
    assert (run.how, run.outcome) == ("ended because the stack goes down", Outcome(signal=15))
    assert town.engine.living() == ()
    assert daemon.run("shop", run.id)["outcome"] == run.how, "history outlives the stack"


async def test_a_job_runs_on_over_a_deployment_and_the_next_one_is_in_the_new_release(town: Town) -> None:
    town.scripts["tidy"] = Script(exits_after=15.0)
    daemon = await town.daemon()
    await town.up(daemon)
    await until("a run", lambda: bool(runs(town)))
    write(town, version=2)
    await town.up(daemon)
    assert not runs(town)[0].ended_at
    await ended(town, 2)
    assert [(run.release, run.succeeded) for run in runs(town)] == [(1, True), (2, True)]


class TestByHand:
    async def test_it_starts_now_and_leaves_the_schedule_as_it_is(self, town: Town) -> None:
        daemon = await town.daemon()
        await town.up(daemon)
        answer = await daemon.run_job("shop", "tidy")
        assert (answer["run"]["id"], answer["run"]["scheduled_for"]) == ("tidy.job-1", None)
        assert (await ended(town)).succeeded
        assert daemon.run("shop", "tidy.job-1")["succeeded"] is True
        await ended(town, 2)
        assert times(town) == ["", "12:01"]

    async def test_it_is_refused_while_one_runs(self, town: Town) -> None:
        daemon = await town.daemon()
        await town.up(daemon)
        await daemon.run_job("shop", "tidy")
        with pytest.raises(UsageError, match="running already"):
            await daemon.run_job("shop", "tidy")
        await ended(town)
        await daemon.run_job("shop", "tidy")

    async def test_two_at_the_same_moment_start_one(self, town: Town) -> None:
        daemon = await town.daemon()
        await town.up(daemon)
        town.engine.fail("launch", Fault(kind="slow", seconds=2.0))
        both = await asyncio.gather(
            daemon.run_job("shop", "tidy"), daemon.run_job("shop", "tidy"), return_exceptions=True
        )
        assert [isinstance(one, UsageError) for one in both] == [False, True]
        await ended(town)
        assert len(runs(town)) == 1
        assert town.engine.starts[TIDY] == 1

    async def test_what_is_not_there_is_named(self, town: Town) -> None:
        daemon = await town.daemon()
        await town.up(daemon)
        with pytest.raises(NotFound, match="it has tidy"):
            await daemon.run_job("shop", "clean")
        with pytest.raises(NotFound):
            await daemon.run_job("bank", "tidy")
        with pytest.raises(NotFound):
            daemon.run("shop", "tidy.job-9")

    async def test_before_anything_serves_it_is_refused(self, town: Town) -> None:
        town.scripts["1"] = Script(answers_after=20.0)
        daemon = await town.daemon()
        bringing = asyncio.ensure_future(town.up(daemon))
        await town.until("the stack", lambda: town.store.stack("shop") is not None)
        with pytest.raises(UsageError, match="first deployment is still under way"):
            await daemon.run_job("shop", "tidy")
        await bringing


async def test_a_full_disk_keeps_no_instance_from_being_healed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = await town.daemon()
    await town.up(daemon)

    def full(*words: Any, **named: Any) -> None:
        raise StoreError("it could not be recorded", "the disk is full")

    for name in ("save_run", "handle_schedule", "forget_schedule"):
        monkeypatch.setattr(town.store, name, full)
    await asyncio.sleep(65)
    assert runs(town) == [], "what cannot be recorded is not started: it might be started twice"
    (first,) = town.living()
    town.engine.end("shop", first)
    await town.until("a replacement", lambda: len(town.serving()) == 1 and town.living() != [first])
    monkeypatch.undo()
    assert (await ended(town)).succeeded


async def play(folder: Path, dies_at: int) -> bool:
    """A time of the schedule comes; the daemon dies at that call, and another takes over."""
    folder.mkdir()
    town = town_of_jobs(folder, PACE)
    assert isinstance(town.clock, Calendar)
    town.scripts["tidy"] = Script(exits_after=0.5)
    town.clock.shift = -asyncio.get_running_loop().time()
    try:
        before = await town.daemon()
        await town.up(before)
        await before.close()
        town.clock.shift += 56
        await one_life(town, dies_at, 6.0)
        died = town.fuse.burnt >= dies_at
        await town.daemon()
        await ended(town)
        assert times(town) == ["12:01"], town.evidence()
        assert runs(town)[0].succeeded, runs(town)[0].how
        assert town.engine.starts[TIDY] == 1
        assert told(town, "job_skipped") == []
        assert town.store.live_runs("shop") == ()
        assert town.engine.violations == []
    finally:
        await town.close()
    return died


async def one_life(town: Town, dies_at: int, seconds: float) -> None:
    """A daemon lives so long, or until it has died and nothing of it moves any more."""
    with contextlib.suppress(Died):
        await town.daemon(dies_at)
        loop = asyncio.get_running_loop()
        over = loop.time() + seconds
        while loop.time() < over and town.fuse.burnt < dies_at:
            await asyncio.sleep(town.pace)
    await town.bury(town.daemons[-1])


@pytest.mark.timeout(120)
async def test_a_daemon_that_dies_anywhere_starts_no_job_twice_and_loses_none(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *ignored: None)
    for dies_at in itertools.count(1):
        try:
            if not await play(tmp_path / str(dies_at), dies_at):
                break
        except BaseException as error:
            raise AssertionError(f"died at call {dies_at}") from error
    assert dies_at > 50, "the story has that many moments at least"
