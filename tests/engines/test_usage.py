"""What instances use, counted by the engine and, beside it, by the programs themselves: forks, orphans, zombies, strangers."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairlead.aiokit import strays
from fairlead.aiokit.pidfd import TICK, stat_of
from fairlead.aiokit.polling import wait_until
from fairlead.core.readings import Usage
from fairlead.engines.local import LocalEngine, births, members, memory
from fairlead.engines.local.births import Births
from fairlead.engines.local.members import LAP, Member
from tests.engines.local_world import PYTHON, LocalWorld
from tests.engines.worlds import STACK, runs

pytestmark = pytest.mark.live

KEY = (STACK, "web-1")

BURN = """
import os, resource, signal, subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def say(*words): print(*words, flush=True)
def used():
    all = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in all)
"""


@pytest.fixture
async def world() -> AsyncIterator[LocalWorld]:
    world = LocalWorld(None)
    yield world
    await world.end()


class Watch:
    """An eye on one instance that looks often, and asserts at each look that its processor time has not fallen, and
    that parents are read before their children."""

    def __init__(self, world: LocalWorld, engine: LocalEngine) -> None:
        self.world, self.engine, self.cpus = world, engine, [0.0]

    async def cpu(self) -> float:
        self.cpus.append((await self.engine.usage())[KEY].cpu)
        assert self.cpus[-1] >= self.cpus[-2]
        found = self.engine._usages._members.households[KEY].members
        order = list(found)
        for pid, member in found.items():
            assert member.times.parent not in order[order.index(pid) :]
        return self.cpus[-1]

    async def said(self, what: str) -> list[str]:
        """The words of the line of the program's log that begins with `what`."""

        async def look() -> list[str] | None:
            await self.cpu()
            lines = [line.split() for line in self.world.output("web-1").splitlines()]
            return next((line[1:] or [""] for line in lines if line[0] == what), None)

        return await wait_until(look, 60.0, f"the program's word {what}", seen=lambda: self.cpus[-1]) or []

    async def until(self, seconds: float) -> float:
        async def look() -> float | None:
            return cpu if (cpu := await self.cpu()) >= seconds else None

        return await wait_until(look, 60.0, f"{seconds} s of processor time", seen=lambda: self.cpus[-1]) or 0.0


async def watched(world: LocalWorld, program: str) -> Watch:
    """An instance web-1 that runs `program`."""
    engine = world.engine()
    await engine.launch(world.order_of("web-1", (PYTHON, "-S", "-c", BURN + program)))
    return Watch(world, engine)


def about(seconds: float) -> object:
    """Within ten percent, and what launcher, shells and rounding come to."""
    return pytest.approx(seconds, rel=0.1, abs=8 * TICK)


async def test_workers_that_burn_and_exit_add_up(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
for _ in range(4):
    for worker in range(2):
        if os.fork() == 0:
            burn(0.12); os._exit(0)
    for worker in range(2): os.wait()
say('used', used()); time.sleep(300)
""",
    )
    used = float((await watch.said("used"))[0])
    assert used > 0.9
    assert await watch.cpu() == about(used)
    # They were seen while they lived, too: it rose step by step.
    assert len(set(watch.cpus)) > 5


async def test_short_lived_children_add_up_although_hardly_one_is_ever_seen(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
for _ in range(20):
    subprocess.run([sys.executable, '-S', '-c', 'import time\\nwhile time.process_time() < 0.03: pass'])
    time.sleep(0.05)
say('used', used()); time.sleep(300)
""",
    )
    used = float((await watch.said("used"))[0])
    assert used > 0.5
    assert await watch.cpu() == about(used)


async def test_a_daemon_that_left_session_and_parent_counts(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        say('daemon', os.getpid())
        burn(0.5)
        say('used'); time.sleep(300)
    os._exit(0)
os.wait(); time.sleep(300)
""",
    )
    daemon = int((await watch.said("daemon"))[0])
    stat = stat_of(daemon)
    assert stat is not None
    assert stat.session not in (daemon, world.record("web-1", "shim"))
    await watch.said("used")
    await watch.until(0.45)


async def test_a_child_that_cleaned_its_environment_and_its_session_counts_by_its_parent(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
burner = 'import time\\nwhile time.process_time() < 0.5: pass\\ntime.sleep(300)'
subprocess.run([sys.executable, '-S', '-c', burner], env={}, start_new_session=True)
""",
    )
    await watch.until(0.45)


async def test_a_worker_that_was_killed_and_waited_for_by_init_stays_counted(world: LocalWorld) -> None:
    with init() as reap:
        watch = await watched(
            world,
            """
if os.fork() == 0:
    if os.fork() == 0:
        burn(0.4)
        say('burnt', os.getpid()); time.sleep(300)
    os._exit(0)
os.wait()
signal.signal(signal.SIGUSR1, lambda *_: burn(0.2))
while True: signal.pause()
""",
        )
        worker = int((await watch.said("burnt"))[0])
        before = await watch.until(0.35)
        stat = stat_of(worker)
        assert stat is not None
        assert stat.parent == os.getpid()
        os.kill(worker, signal.SIGKILL)
        await wait_until(lambda: (stat := stat_of(worker)) and stat.gone, 60.0, "the zombie")
        assert await watch.cpu() >= before
        reap(worker)
        assert stat_of(worker) is None
        assert await watch.cpu() >= before
        # Nothing of what comes then is hidden behind what was lost.
        os.kill(world.record("web-1", "pid"), signal.SIGUSR1)
        await watch.until(before + 0.15)


async def test_children_that_nobody_waits_for_stay_counted(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = os.fork()
if child == 0:
    burn(0.3)
    say('burnt', os.getpid()); time.sleep(300)
time.sleep(300)
""",
    )
    child = int((await watch.said("burnt"))[0])
    before = await watch.until(0.25)
    os.kill(child, signal.SIGKILL)
    await wait_until(lambda: stat_of(child) is None, 60.0, "the child's end")
    for _ in range(4):
        assert await watch.cpu() == pytest.approx(before, abs=4 * TICK)


async def test_a_zombie_counts(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
child = os.fork()
if child == 0:
    burn(0.3); os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
say('zombie', child); time.sleep(300)
""",
    )
    zombie = stat_of(int((await watch.said("zombie"))[0]))
    assert zombie is not None
    assert zombie.gone
    assert 0.25 <= await watch.cpu() == about(0.3)


async def test_a_new_daemon_goes_on_from_what_the_kernel_knows(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
signal.signal(signal.SIGUSR1, lambda *_: (subprocess.run([sys.executable, '-S', '-c',
    'import time\\nwhile time.process_time() < 0.2: pass']), say('used', used())))
say('up')
while True: signal.pause()
""",
    )
    await watch.said("up")
    await watch.engine.close()
    # Nobody looks while it works.
    os.kill(world.record("web-1", "pid"), signal.SIGUSR1)
    await wait_until(lambda: "used" in world.output("web-1"), 60.0, "its work")
    again = Watch(world, world.engine())
    used = float((await again.said("used"))[0])
    assert used > 0.2
    assert await again.cpu() == about(used)


async def test_runs_are_told_like_instances(world: LocalWorld) -> None:
    engine = world.engine()
    for id in ("nightly.job-17", "web.before-2"):
        await engine.launch(world.order(id))
    assert (await engine.usage()).keys() == {(STACK, "nightly.job-17"), (STACK, "web.before-2")}


async def test_two_instances_are_kept_apart_and_a_second_launcher_is_known(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(world.order("web-1", "works"))
    assert (await engine.usage()).keys() == {KEY}
    # Launched after the first look, as nearly all are.
    await engine.launch(world.order("web-2", "leaves a daemon"))
    await world.ready("web-2")
    watch = Watch(world, engine)
    await watch.until(0.2)
    assert (await engine.usage())[STACK, "web-2"].cpu < 0.2
    assert set(pids(engine, "web-1")) == set(world.pids("web-1"))
    assert set(pids(engine, "web-2")) == set(world.pids("web-2"))


async def test_what_another_engine_had_launched_before_we_heard_of_it_is_found_whole(world: LocalWorld) -> None:
    first, second = world.engine(), world.engine()
    await first.usage()
    await second.launch(world.order("web-1", "leaves a child"))
    await world.ready("web-1")
    # It sees those processes, and knows nothing of them.
    assert await first.usage() == {}
    await first.launch(world.order("web-1", "leaves a child"))
    assert (await first.usage()).keys() == {KEY}
    assert set(pids(first, "web-1")) == set(world.pids("web-1"))
    assert len(pids(first, "web-1")) == 3


async def test_a_process_that_gets_its_environment_late_is_judged_once_more(world: LocalWorld) -> None:
    """As one that was seen in the middle of execve, when the kernel shows no environment."""
    watch = await watched(world, "time.sleep(300)")
    program = "import os, time; time.sleep(0.3); os.execve('/bin/sleep', ['sleep', '300'], {'FAIRLEAD_RUN': %r})"
    late = subprocess.Popen([PYTHON, "-S", "-c", program % world.folder("web-1")], env={}, start_new_session=True)
    try:

        async def found() -> bool:
            await watch.cpu()
            return late.pid in pids(watch.engine, "web-1")

        await wait_until(found, 60.0, "the process that came late")
    finally:
        late.kill()
        late.wait()
    await watch.cpu()
    assert late.pid not in pids(watch.engine, "web-1")


async def test_a_process_whose_memory_cannot_be_read_holds_nobody_up(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "PATIENCE", 0.05)
    real, go = strays.environment_of, threading.Event()
    stuck = subprocess.Popen(["sleep", "300"], start_new_session=True)
    ours = {"FAIRLEAD_RUN": world.folder("web-1")}
    try:
        watch = await watched(world, "time.sleep(300)")
        monkeypatch.setattr(
            strays, "environment_of", lambda pid: real(pid) if pid != stuck.pid or go.wait(60) else None
        )
        await watch.cpu()
        late = subprocess.Popen(["sleep", "300"], env=ours, start_new_session=True)
        try:

            async def found() -> bool:
                await watch.cpu()
                return late.pid in pids(watch.engine, "web-1")

            await wait_until(found, 60.0, "the one that was asked after it")
            assert not go.is_set()
        finally:
            late.kill()
            late.wait()
    finally:
        go.set()
        stuck.kill()
        stuck.wait()


async def test_a_number_that_comes_back_as_somebody_else_is_found_within_a_lap(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = await watched(world, "time.sleep(300)")
    await watch.cpu()
    room = watch.engine._usages._members
    ours = {**os.environ, "FAIRLEAD_RUN": world.folder("web-1")}
    late = subprocess.Popen(["sleep", "300"], env=ours, start_new_session=True)
    try:
        # As if a stranger with this number had been seen before, and numbers had gone round since the last look.
        room._names.add(str(late.pid))
        room._others[late.pid] = 1
        # Others began meanwhile: nothing is looked at twice on a machine where nothing begins.
        monkeypatch.setattr(Births, "any", lambda self: True)
        for _ in range(2 * LAP):
            await watch.cpu()
        assert late.pid in pids(watch.engine, "web-1")
    finally:
        late.kill()
        late.wait()


async def test_a_thousand_strangers_are_not_read_again_and_again(world: LocalWorld) -> None:
    with strangers(1000):
        watch = await watched(world, "time.sleep(300)")
        await watch.cpu()
        counts = []
        for _ in range(LAP):
            before = watch.engine._usages.reads
            await watch.cpu()
            counts.append(watch.engine._usages.reads - before)
        # Members, a thirtieth of the strangers, and those whom the machine has started since. Not a thousand.
        everybody = sum(name.isdigit() for name in os.listdir("/proc"))
        assert everybody > 1000
        assert sorted(counts)[LAP // 2] < everybody / LAP + 40


async def test_where_nothing_begins_only_members_are_read(world: LocalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = await watched(world, "say('up'); time.sleep(300)")
    await watch.said("up")
    await watch.cpu()
    monkeypatch.setattr(Births, "any", lambda self: False)
    for _ in range(LAP // 2):
        before = watch.engine._usages.reads
        await watch.cpu()
        # Launcher, program, and whether anything began.
        assert watch.engine._usages.reads - before == 3


async def test_whether_a_process_began_is_known_without_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Births()
    assert asked.any()
    await wait_until(lambda: not asked.any(), 60.0, "a moment in which nothing begins")
    subprocess.run(["true"], check=True)
    assert asked.any()
    await wait_until(lambda: not asked.any(), 60.0, "a moment in which nothing begins")
    asked.doubt()
    assert asked.any()
    # A file that is not the kernel's, or says nothing, is no ground to say that nothing began.
    fake = tmp_path / "loadavg"
    fake.write_text("0.00 0.00 0.00 1/80 11206\n")
    with monkeypatch.context() as patched:
        patched.setattr(births, "_FILE", str(fake))
        other = Births()
        assert [other.any() for _ in range(3)] == [True] * 3
        for text in ("0.00 0.00 0.00 0/0 0\n", "nonsense\n", ""):
            fake.write_text(text)
            assert [asked.any() for _ in range(3)] == [True] * 3


async def test_without_a_descriptor_to_spare_figures_are_the_same(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "_SHARE", 1 << 40)
    watch = await watched(world, "burn(0.3); say('used', used()); time.sleep(300)")
    used = float((await watch.said("used"))[0])
    assert await watch.cpu() == about(used)
    found = watch.engine._usages._members.households[KEY].members.values()
    assert [member.descriptor for member in found] == [None, None]
    os.kill(world.record("web-1", "pid"), signal.SIGSTOP)
    assert await watch.cpu() == about(used)


async def test_descriptors_are_given_back_with_the_instance_and_with_the_engine(world: LocalWorld) -> None:
    def held() -> list[str]:
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:
                continue
        return [link for link in links if link.endswith("/stat")]

    engine = world.engine()
    for number in range(1, 4):
        await engine.launch(world.order(f"web-{number}", "leaves a child"))
        await world.ready(f"web-{number}")
    await engine.usage()
    assert len(held()) >= 9
    await engine.kill(STACK, "web-1")
    await engine.clear(STACK, "web-1")
    await engine.usage()
    assert len(held()) >= 6
    await engine.clear(STACK, "web-2")
    await engine.close()
    assert held() == []


async def test_memory_is_told_as_it_is_judged_and_follows_what_happens(world: LocalWorld) -> None:
    watch = await watched(
        world,
        """
held = []
signal.signal(signal.SIGUSR1, lambda *_: held.append(bytearray(40_000_000)))
say('up')
while True: signal.pause()
""",
    )
    await watch.said("up")

    async def usage() -> Usage:
        return (await watch.engine.usage())[KEY]

    async def known() -> int | None:
        return (await usage()).memory

    first = await wait_until(known, 60.0, "its memory")
    assert first is not None
    assert 100_000 < first < 40_000_000

    os.kill(world.record("web-1", "pid"), signal.SIGUSR1)

    async def has_grown() -> bool:
        return ((await usage()).memory or 0) > 40_000_000

    await wait_until(has_grown, 60.0, "its growth")
    assert (await usage()).memory == pytest.approx(await watch.engine.memory(*KEY), rel=0.2)


async def test_memory_has_a_budget_and_those_never_seen_come_first(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BUDGET", 0.0)
    monkeypatch.setattr(memory, "LONGEST", float("inf"))
    engine = world.engine()
    for number in range(1, 6):
        await engine.launch(world.order(f"web-{number}"))
        await runs(engine, f"web-{number}")
    sizes: list[int] = []
    while len(sizes) < 10:
        told = await engine.usage()
        await asyncio.wait_for(asyncio.shield(engine._usages._memory._working), 10)
        sizes.append(sum(member.size is not None for member in everybody(engine)))
        # An instance is known when all that it was made of is: nobody's half is told.
        known = [key for key, usage in told.items() if usage.memory is not None]
        assert len(known) <= len(sizes) // 2
    assert sizes == list(range(1, 11))
    assert all(usage.memory for usage in (await engine.usage()).values())


async def test_memory_that_could_not_be_read_for_long_is_unknown(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = world.engine()
    await engine.launch(world.order("web-1"))

    async def known() -> int | None:
        return (await engine.usage())[KEY].memory

    await wait_until(known, 60.0, "its memory")
    monkeypatch.setattr(memory, "STALE", 0.0)
    assert await known() is None


def everybody(engine: LocalEngine) -> list[Member]:
    return [one for household in engine._usages._members.households.values() for one in household.members.values()]


def pids(engine: LocalEngine, instance: str) -> list[int]:
    return list(engine._usages._members.households[STACK, instance].members)


@contextmanager
def init() -> Iterator[object]:
    """Be the init of all that loses its parent, and wait for such a one when asked: the machine's may take seconds."""
    prctl, subreaper = ctypes.CDLL(None).prctl, 36
    assert prctl(subreaper, 1, 0, 0, 0) == 0
    try:
        yield lambda pid: os.waitpid(pid, 0)
    finally:
        prctl(subreaper, 0, 0, 0, 0)


@contextmanager
def strangers(count: int) -> Iterator[None]:
    """So many processes that are nobody's."""
    program = f"""
import os, sys
for _ in range({count}):
    if os.fork() == 0:
        sys.stdin.buffer.read(); os._exit(0)
print('up', flush=True); sys.stdin.buffer.read()
for _ in range({count}): os.wait()
"""
    crowd = subprocess.Popen([PYTHON, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    try:
        assert crowd.stdout.readline() == b"up\n"
        yield
    finally:
        crowd.stdin.close()
        crowd.stdout.close()
        assert crowd.wait(60) == 0


def test_the_kernels_line_tells_processor_time() -> None:
    from fairlead.aiokit.pidfd import parse_times

    before = parse_times(Path("/proc/self/stat").read_bytes())
    assert before.parent == os.getppid()
    times = os.times()
    assert (before.own * TICK, before.gathered * TICK) == (
        pytest.approx(times.user + times.system, abs=0.1),
        pytest.approx(times.children_user + times.children_system, abs=0.1),
    )
