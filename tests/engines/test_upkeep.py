"""What the local engine does every few seconds and on request beside its verbs: logs, old folders, memory, descriptors."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from fairlead.aiokit.cappedlog import CappedLog
from fairlead.aiokit.logcap import LIMIT
from fairlead.aiokit.logkeeper import LogKeeper
from fairlead.aiokit.logmarks import read_marks
from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome
from fairlead.engines.about import End, read_about, read_end
from fairlead.engines.base import LaunchOrder
from fairlead.engines.local import LocalEngine, upkeep
from fairlead.engines.local.retention import NEWEST
from tests.engines.local_world import PYTHON, LocalWorld
from tests.engines.worlds import STACK, is_gone, runs

pytestmark = pytest.mark.live


@pytest.fixture
async def world() -> AsyncIterator[LocalWorld]:
    world = LocalWorld(None)
    yield world
    await world.end()


def a_worker(world: LocalWorld, id: str, *argv: str, release: int = 3) -> LaunchOrder:
    """An order of a program that serves no requests: a worker, a job, before_traffic."""
    service = id.rpartition("-")[0].partition(".")[0]
    environment = {"PATH": "/usr/bin:/bin", "SECRET": "hidden", "FAIRLEAD_SERVICE": service}
    environment["FAIRLEAD_RELEASE"] = str(release)
    return LaunchOrder(
        stack=STACK, id=id, argv=argv, environment=environment, working_folder=world.source, address=""
    )  # fmt: skip


RUNS = ["worker-1", "web.before-2", "nightly.job-17", f"{'long' * 15}.job-123456"]


@pytest.mark.parametrize("id", RUNS)
async def test_a_program_without_an_address_is_launched_adopted_and_cleared_like_any_other(
    world: LocalWorld, id: str
) -> None:
    engine = world.engine()
    await engine.launch(a_worker(world, id, "sleep", "300"))
    process = await runs(engine, id)
    assert await engine.diagnose(STACK, id, "") == ""
    await engine.close()
    again = world.engine()
    assert await runs(again, id) == process
    await again.stop(STACK, id)
    assert (await is_gone(again, id)).outcome == Outcome(signal=15)
    assert await again.diagnose(STACK, id, "") == "the program killed by SIGTERM"
    assert os.path.isdir(world.run(id))
    await again.clear(STACK, id)
    assert not os.path.exists(world.run(id))
    assert await again.observe() == ()


async def test_a_run_that_fails_leaves_its_log_and_why(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(a_worker(world, "nightly.job-1", "/bin/sh", "-c", "echo no; exit 3"))
    assert (await is_gone(engine, "nightly.job-1")).outcome == Outcome(exit_status=3)
    await engine.clear(STACK, "nightly.job-1", failed_start=True, why="exited with status 3")
    await engine.clear(STACK, "nightly.job-1")
    assert engine.log_tail(STACK, "nightly.job-1", 5) == "no"
    assert read_end(world.folder("nightly.job-1")) == End(failed_start=True, why="exited with status 3")


async def test_a_launch_notes_what_it_is_and_no_value_of_its_environment(world: LocalWorld) -> None:
    engine, before = world.engine(), time.time()
    await engine.launch(a_worker(world, "worker-1", "sleep", "300", release=7))
    about = read_about(world.folder("worker-1"))
    assert about is not None
    assert (about.stack, about.id, about.service, about.release) == (STACK, "worker-1", "worker", 7)
    assert (about.argv, about.user) == (("sleep", "300"), (os.getuid(), os.getgid()))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", about.started_at)
    assert before - 1 < os.stat(f"{world.folder('worker-1')}/about").st_mtime < time.time() + 1
    assert "hidden" not in Path(world.folder("worker-1"), "about").read_text()


async def test_a_living_log_is_marked_and_capped_and_read_as_one(world: LocalWorld) -> None:
    engine = world.engine()
    program = "import os, sys, time\nfor n in range(2_000_000): sys.stdout.write('%07d\\n' % n)\n"
    await engine.launch(
        a_worker(world, "worker-1", PYTHON, "-S", "-c", program + "sys.stdout.flush(); time.sleep(300)")
    )
    path = f"{world.folder('worker-1')}/log"
    await wait_until(lambda: os.stat(path).st_size == 16_000_000, 60.0, "16 MB", seen=lambda: os.stat(path).st_size)
    await engine.tend()
    assert os.stat(path).st_blocks * 512 < LIMIT
    assert os.stat(f"{path}.1").st_size <= LIMIT
    span = CappedLog(path).span()
    assert span.end == 16_000_000
    assert (
        CappedLog(path).between(span.begin, span.end)
        == b"".join(b"%07d\n" % number for number in range(-(-span.begin // 8), 2_000_000))[-(span.end - span.begin) :]
    )
    assert engine.log_tail(STACK, "worker-1", 2) == "1999998\n1999999"
    assert [mark.position for mark in read_marks(path)] == [16_000_000]


async def test_what_was_written_last_is_marked_when_an_instance_is_cleared(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(a_worker(world, "worker-1", "echo", "done"))
    await is_gone(engine, "worker-1")
    await engine.clear(STACK, "worker-1")
    assert [mark.position for mark in read_marks(f"{world.folder('worker-1')}/log")] == [5]


async def test_the_logs_of_the_daemon_and_the_balancer_are_capped_too(world: LocalWorld) -> None:
    engine = world.engine()
    os.mkdir(f"{world.home}/logs")
    for path in (world.layout.daemon_log, world.layout.balancer_log):
        with open(path, "ab") as file:
            file.write(b"x" * (LIMIT + 100_000))
    await engine.tend()
    for path in (world.layout.daemon_log, world.layout.balancer_log):
        assert os.stat(path).st_blocks * 512 < 200_000
        assert CappedLog(path).span().end == LIMIT + 100_000


async def test_folders_of_ended_instances_go_and_those_of_living_ones_stay(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEEP_EVERY", 0.0)
    engine = world.engine()
    for instance in ("web-0", "web-99"):
        await engine.launch(world.order(instance))
    for number in range(1, NEWEST + 4):
        folder = Path(world.folder(f"web-{number}"))
        folder.mkdir()
        (folder / "log").write_bytes(b"x")
        (folder / "exit").write_text("1\n" if number == 2 else "0\n")
        (folder / "cleared").touch()
    await engine.tend()
    left = {int(name.rpartition("-")[2]) for name in os.listdir(world.layout.instances(STACK))}
    assert left == {0, 2, *range(4, NEWEST + 4), 99}
    # Another home's, or another stack's that is down, is looked through as well.
    down = Path(world.layout.instance("gone", "web-1"))
    down.mkdir(parents=True)
    (down / "cleared").touch()
    os.utime(down / "cleared", (1e9, 1e9))
    await engine.tend()
    assert not down.exists()


async def test_housekeeping_raises_nothing_and_happens_once_at_a_time(
    world: LocalWorld, caplog: pytest.LogCaptureFixture
) -> None:
    engine = world.engine()
    await engine.launch(world.order("web-1"))
    os.mkdir(f"{world.folder('web-1')}/log.at")
    with open(f"{world.folder('web-1')}/log", "ab") as file:
        file.write(b"x" * (LIMIT + 100_000))
    await asyncio.gather(*(engine.tend() for _ in range(3)))
    await engine.tend()
    assert len([record for record in caplog.records if "cannot be kept short" in record.message]) == 1


async def test_the_memory_of_an_instance_is_that_of_its_whole_group_and_shared_pages_count_once(
    world: LocalWorld,
) -> None:
    engine = world.engine()
    assert await engine.memory(STACK, "web-1") is None
    program = "import os, time\nx = bytearray(40_000_000)\nos.fork()\nprint('up', flush=True)\ntime.sleep(300)"
    await engine.launch(world.order_of("web-1", (PYTHON, "-S", "-c", program)))
    await wait_until(lambda: world.output("web-1") == "up\nup\n", 60.0, "both processes")
    held = await engine.memory(STACK, "web-1")
    assert held is not None
    assert 40_000_000 < held < 70_000_000
    await engine.kill(STACK, "web-1")
    assert await engine.memory(STACK, "web-1") is None


async def test_where_nobody_may_look_in_memory_is_what_is_resident(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = world.engine()
    await engine.launch(world.order("web-1"))
    await runs(engine, "web-1")
    exact = await engine.memory(STACK, "web-1")
    monkeypatch.setattr("fairlead.engines.local.memory._proportional", lambda pid: None)
    resident = await engine.memory(STACK, "web-1")
    assert exact is not None
    assert resident is not None
    assert resident > exact > 0


async def test_fifty_launches_and_clears_leave_no_descriptor_open(world: LocalWorld) -> None:
    engine = world.engine()

    async def one(number: int) -> None:
        instance = f"web-{number}"
        await engine.launch(world.order(instance, "fails with 3" if number % 2 else "serves"))
        await engine.stop(STACK, instance)
        await is_gone(engine, instance)
        await engine.memory(STACK, instance)
        await engine.tend()
        await engine.kill(STACK, instance)
        await engine.clear(STACK, instance)

    # Whatever is opened once (threads, the loop's own) is open after the first.
    await one(0)
    before = descriptors()
    for first in range(1, 51, 10):
        await asyncio.gather(*(one(number) for number in range(first, first + 10)))
        with pytest.raises(Exception, match="cannot be started"):
            await engine.launch(world.order(f"web-{first + 1000}", "is refused"))
    assert descriptors() == before
    assert engine._leaders == {}
    assert engine._locks.keys() <= {(STACK, f"web-{number + 1000}") for number in range(51)}


def descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


async def test_housekeeping_of_a_hundred_instances_costs_little(world: LocalWorld) -> None:
    engine = LocalEngine(world.layout, None)
    await engine.observe()
    paths = []
    for number in range(100):
        folder = Path(world.folder(f"web-{number}"))
        folder.mkdir(parents=True)
        (folder / "log").write_bytes(b"x")
        paths.append((STACK, folder.name))
    tended = engine._upkeep
    tended.tend(paths)
    spent = []
    for _ in range(20):
        began = time.thread_time()
        tended.tend(paths)
        spent.append(time.thread_time() - began)
    # Every 5 s: under half a percent of a core even on a slow machine; some 1.5 ms on an idle one.
    assert sorted(spent)[10] < 0.025
    await engine.close()


NUMBERS = """
import os, sys, time
for first in range(0, int(sys.argv[1]), 1000):
    os.write(1, b''.join(b'line %07d\\n' % n for n in range(first, first + 1000)))
    time.sleep(0.03)
os.write(1, b'the end\\n')
"""


async def test_whoever_follows_a_log_misses_and_doubles_nothing_while_it_is_capped_and_daemons_change(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, limit = 300_000, 1 << 19
    monkeypatch.setattr(upkeep, "LogKeeper", partial(LogKeeper, limit))
    engine, followed = world.engine(), Path(world.home, "followed")
    await engine.launch(a_worker(world, "web-1", "echo", "line 0000000"))
    command = [sys.executable, "-m", "fairlead", "logs", "web", "--follow", "--stack", STACK, "--json"]
    with followed.open("wb") as file:
        follower = subprocess.Popen(command, env={**os.environ, "FAIRLEAD_HOME": world.home}, stdout=file)
    shown, lines = followed.open("rb"), 0
    try:
        await wait_until(lambda: followed.read_bytes().endswith(b"\n"), 60.0, "the follower's first line")
        await engine.launch(a_worker(world, "web-2", PYTHON, "-S", "-c", NUMBERS, str(total)))
        log, cuts = CappedLog(f"{world.folder('web-2')}/log"), 0
        while await is_alive(engine):
            before = log.span()
            # Only as quick as the follower: what went before it was read it reports as missed.
            lines += shown.read().count(b"\n")
            if (lines - 1) * len("line 0000000\n") > before.end - limit // 2:
                await engine.tend()
            if log.span().newer > before.newer:
                cuts += 1
                # The daemon dies; the next one goes on.
                await engine.close()
                engine = world.engine()
            await asyncio.sleep(0.02)
        await wait_until(lambda: b"the end" in followed.read_bytes()[-500:], 60.0, "the last line")
    finally:
        follower.send_signal(2)
        follower.wait(10)
        shown.close()
    seen = [json.loads(line)["line"] for line in followed.read_text().splitlines()][1:]
    assert seen == [*(f"line {number:07}" for number in range(total)), "the end"]
    assert cuts >= 2


async def is_alive(engine: LocalEngine) -> bool:
    return any(sighting.id == "web-2" and sighting.process.alive for sighting in await engine.observe())
