"""A launch is known by its folder, and happens once there. (What the local engine's tests prove is not repeated here.)"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead.aiokit import strays
from fairlead.aiokit.launcher import Launcher
from fairlead.aiokit.leader import Leader
from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome, Process
from fairlead.errors import EngineError

pytestmark = pytest.mark.live

MARKER = "TEST_LAUNCH"


@dataclass
class Place:
    """A folder to launch in; whatever was started there ends with the test."""

    folder: str
    launcher: Launcher
    leaders: list[Leader]

    def start(self, *argv: str) -> Leader:
        environment = {"PATH": "/usr/bin:/bin"}
        leader = self.launcher.start(self.folder, argv, environment, "/", user=None, umask=0o077)
        leader.watch(lambda: None)
        self.leaders.append(leader)
        return leader


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, Launcher(MARKER), [])
        yield place
        for leader in place.leaders:
            await leader.kill(5)
            leader.close()


async def test_two_shims_in_one_folder_start_the_program_once(place: Place) -> None:
    shims = [place.start("sh", "-c", "echo started; exec sleep 300") for _ in range(3)]
    settled = await asyncio.gather(*(place.launcher.settle(shim) for shim in shims))
    place.leaders.extend(leader for leader in settled if leader not in shims)
    assert len({leader.identity for leader in settled}) == 1
    log = Path(place.folder, "log")
    await wait_until(lambda: "started" in log.read_text(), 60.0, "the program's first line")
    await wait_until(lambda: len(strays.members(MARKER, place.folder, None)) == 2, 60.0, "one shim and one program")
    assert log.read_text().count("started") == 1


async def test_a_shim_that_cannot_record_itself_is_an_error_and_starts_nothing(place: Place) -> None:
    os.symlink("nowhere", f"{place.folder}/shim")
    leader = place.start("touch", f"{place.folder}/started")
    with pytest.raises(EngineError, match="could not record the start"):
        await place.launcher.settle(leader)
    assert not os.path.exists(f"{place.folder}/started")
    assert strays.members(MARKER, place.folder, leader.identity) == {}


@pytest.mark.parametrize("argv", [(), ("a\0b",), ("x" * 200_000,)])
async def test_what_no_kernel_starts_is_an_engine_error(place: Place, argv: tuple[str, ...]) -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        place.start(*argv)


@pytest.mark.parametrize(
    ("recorded", "outcome"),
    [
        ("0", Outcome(exit_status=0)),
        ("1", Outcome(exit_status=1)),
        ("128", Outcome(exit_status=128)),
        ("129", Outcome(signal=1)),
        ("143", Outcome(signal=15)),
        ("192", Outcome(signal=64)),
        ("193", Outcome(exit_status=193)),
        ("255", Outcome(exit_status=255)),
        ("", Outcome()),
        ("x", Outcome()),
    ],
)
def test_a_record_of_an_end_is_read_as_a_shell_writes_it(recorded: str, outcome: Outcome) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "exit").write_text(f"{recorded}\n")
        assert Launcher(MARKER).adopt(folder).outcome() == outcome


async def test_a_marker_is_matched_whole() -> None:
    with tempfile.TemporaryDirectory() as folder:
        near = [f"{folder}0", f"x{folder}", f"{folder}/y", ""]
        environments = [{MARKER: value} for value in near] + [{"X" + MARKER: folder}, {"A": f"x\n{MARKER}={folder}"}]
        others = [subprocess.Popen(["/usr/bin/sleep", "300"], env=environment) for environment in environments]
        try:
            assert strays.members(MARKER, folder, None) == {}
            assert sorted(value for value in strays.marked(MARKER) if value in near) == sorted(near)
            await strays.end(MARKER, folder, None, 1)
            assert [other.poll() for other in others] == [None] * len(others)
        finally:
            for other in others:
                other.kill()
                other.wait()


async def test_an_end_that_does_not_come_names_who_is_left() -> None:
    # This process is never a stray of its own; its child is, until somebody else kills it.
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(["/usr/bin/sleep", "300"], env={MARKER: folder})
        try:
            await wait_until(lambda: strays.members(MARKER, folder, None), 60.0, "the child")
            with pytest.raises(EngineError, match=f"pid {child.pid} in state"):
                await strays.end(MARKER, folder, None, 0)
        finally:
            child.kill()
            child.wait()


async def test_a_program_is_told_to_end_by_the_signal_of_the_callers_choice_and_once(place: Place) -> None:
    leader = place.start(
        "sh", "-c", 'trap "echo INT; exit 3" INT; trap "echo TERM" TERM; echo up; while :; do sleep 1; done'
    )
    log = Path(place.folder, "log")
    await place.launcher.settle(leader)
    await wait_until(lambda: "up" in log.read_text(), 60.0, "the program's first line")
    await leader.terminate(signal.SIGINT)
    await leader.terminate()
    await wait_until(lambda: not leader.alive, 60.0, "its end")
    assert log.read_text() == "up\nINT\n"
    assert leader.outcome() == Outcome(exit_status=3)
    assert leader.look() == Process(alive=False, outcome=Outcome(exit_status=3))


async def test_output_may_go_elsewhere_and_a_shim_may_be_called_otherwise(place: Place) -> None:
    place.launcher = Launcher(MARKER, name="fairlead-else", oom=42)
    elsewhere = f"{place.folder}/elsewhere"
    environment = {"PATH": "/usr/bin:/bin"}
    script = 'echo out; echo err >&2; cat /proc/self/oom_score_adj; tr "\\0" " " </proc/$PPID/cmdline; exec sleep 300'
    leader = place.launcher.start(
        place.folder, ("sh", "-c", script), environment, "/", user=None, umask=0o077, log=elsewhere
    )
    place.leaders.append(leader)
    await place.launcher.settle(leader)
    await wait_until(lambda: "fairlead-else" in Path(elsewhere).read_text(), 60.0, "its lines")
    assert Path(elsewhere).read_text().startswith("out\nerr\n42\n")
    assert not os.path.exists(f"{place.folder}/log")
