"""Short programs: what they say comes back, and nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.aiokit import programs
from fairlead.aiokit.programs import run
from fairlead.errors import FairleadError
from tests.needs import need

ENV = {"PATH": "/usr/bin:/bin"}


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def gone(pid: int, within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while alive(pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return not alive(pid)


async def pid_in(file: Path, within: float = 30.0) -> int:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        await asyncio.sleep(0.01)
    raise AssertionError(f"no pid in {file} after {within} s")


async def test_both_streams_come_back_and_stdout_also_alone() -> None:
    done = await run(shell("echo out; echo err >&2; exit 3"), env=ENV, timeout=30)
    assert (done.status, done.stdout, sorted(done.output.split())) == (3, b"out\n", ["err", "out"])
    assert not done.ok


async def test_a_program_that_ends_well_is_ok() -> None:
    assert (await run(["/bin/true"], env=ENV, timeout=30)).ok


async def test_it_reads_and_writes_files_that_the_caller_opened(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\0b" * 100_000)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        done = await run(
            shell("cat; echo said >&2"), env=ENV, timeout=30, stdin=source.fileno(), stdout=target.fileno()
        )
        assert not source.closed
        assert not target.closed
    assert (tmp_path / "out").read_bytes() == b"a\0b" * 100_000
    assert (done.stdout, done.output) == (b"", "said\n")


async def test_the_environment_is_exactly_what_was_given() -> None:
    done = await run(["/usr/bin/env"], env={"ONLY": "this"}, timeout=30)
    assert done.output == "ONLY=this\n"


async def test_standard_input_is_empty_and_there_is_no_terminal() -> None:
    done = await run(shell("cat; cat /dev/tty 2>/dev/null || echo no terminal"), env=ENV, timeout=30)
    assert done.output == "no terminal\n"


async def test_words_reach_the_program_as_they_are() -> None:
    done = await run(["/bin/echo", "$HOME; rm -rf *", "`id`"], env=ENV, timeout=30)
    assert done.output == "$HOME; rm -rf * `id`\n"


async def test_lines_are_told_as_they_arrive_the_last_one_without_its_end_too() -> None:
    lines: list[str] = []
    await run(shell("echo one; printf two"), env=ENV, timeout=30, on_lines=lines.extend)
    assert lines == ["one", "two"]


async def test_a_program_killed_by_a_signal_has_a_negative_status() -> None:
    assert (await run(shell("kill -9 $$"), env=ENV, timeout=30)).status == -9


async def test_only_the_end_of_endless_output_is_kept() -> None:
    done = await run(shell("head -c 300000 /dev/zero; echo last"), env=ENV, timeout=30, keep=1000)
    assert len(done.stdout) == 1000
    assert done.stdout.endswith(b"last\n")


@pytest.mark.parametrize(
    ("program", "why"), [("/nowhere/tool", "No such file or directory"), ("/etc/passwd", "Permission denied")]
)
async def test_a_program_that_cannot_be_started_is_a_sentence(program: str, why: str) -> None:
    with pytest.raises(FairleadError, match=f"{program} cannot be started: {why}"):
        await run([program], env=ENV, timeout=30)


async def test_a_folder_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(FairleadError, match="cannot be started: No such file"):
        await run(["/bin/true"], cwd="/nowhere", env=ENV, timeout=30)


async def test_a_program_whose_time_is_over_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    done = await run(shell(f"sleep 60 & echo $! >{tmp_path}/pid; echo here; wait"), env=ENV, timeout=0.3)
    assert done.timed_out
    assert done.output == "here\n"
    assert time.monotonic() - started < 30, "it does not wait for what the program left"
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TERM_PATIENCE", 0.2)
    done = await run(shell("trap '' TERM; while :; do sleep 0.05; done"), env=ENV, timeout=0.2)
    assert (done.timed_out, done.status) == (True, -9)


async def test_cancelling_ends_the_program_with_its_children(tmp_path: Path) -> None:
    task = asyncio.create_task(run(shell(f"sleep 60 & echo $! >{tmp_path}/pid; wait"), env=ENV, timeout=30))
    child = await pid_in(tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(child)


async def test_a_child_left_behind_neither_lives_on_nor_delays_the_answer(tmp_path: Path) -> None:
    started = time.monotonic()
    done = await run(shell(f"sleep 60 & echo $! >{tmp_path}/pid"), env=ENV, timeout=60)
    assert done.ok
    assert time.monotonic() - started < 30, "it does not wait for the child"
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_when_we_are_killed_the_program_dies_too(tmp_path: Path) -> None:
    text = "import asyncio; from fairlead.aiokit.programs import run; "
    text += f"asyncio.run(run(['/bin/sh', '-c', 'echo $$ >{tmp_path}/pid; exec sleep 60'], env={{}}, timeout=60))"
    with subprocess.Popen([sys.executable, "-c", text]) as killed:
        program = await pid_in(tmp_path / "pid")
        killed.kill()
    assert await gone(program)


async def test_files_it_makes_are_readable_whatever_our_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        await run(shell(f"echo x >{tmp_path}/file"), env=ENV, timeout=30)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


async def test_as_root_it_runs_as_another_user_without_our_groups() -> None:
    need(os.geteuid() == 0, "root, to run as another user")
    done = await run(shell("id -u; id -g; id -G"), env=ENV, timeout=30, user=(61001, 61002))
    assert done.output.split() == ["61001", "61002", "61002"]


async def test_no_descriptor_is_left_open() -> None:
    await run(["/bin/true"], env=ENV, timeout=30)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await run(shell("echo x"), env=ENV, timeout=30)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_undecodable_output_does_not_raise() -> None:
    done = await run([sys.executable, "-c", r"import os; os.write(1, b'\xff\n')"], env=ENV, timeout=30)
    assert (done.output, done.stdout) == ("�\n", b"\xff\n")
