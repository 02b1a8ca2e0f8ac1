"""What a node records, and how its processes are found again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.aiokit.pidfd import Identity, identity_of
from fairlead.aiokit.polling import wait_until
from fairlead.haproxy.files import Files, Known
from fairlead.haproxy.program import Program


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(str(tmp_path / "haproxy"))
    made.prepare()
    return made


KNOWN = Known(7, Identity(4711, 99, "some-boot"), Program("/p/haproxy", "2.8.25"))


@contextmanager
def a_process_like_haproxy(files: Files, generation: int) -> Iterator[subprocess.Popen[bytes]]:
    """Something that was started as a HAProxy of this folder is."""
    argv = ["haproxy", "-c", "read x", "-x", files.lending(generation)]
    process = subprocess.Popen(argv, executable="/bin/sh", stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def started(process: subprocess.Popen[bytes]) -> None:
    await wait_until(lambda: b"-x" in Path(f"/proc/{process.pid}/cmdline").read_bytes(), 60.0, "the program's start")


def test_a_record_comes_back_as_it_was(files: Files) -> None:
    for known in (KNOWN, replace(KNOWN, leaving=True), replace(KNOWN, program=None)):
        files.record(known)
        assert files.recall(7) == known


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"identity": {"pid": 1}, "program": null, "leaving": false}']
)
def test_a_torn_record_counts_as_none(files: Files, text: str) -> None:
    Path(files.folder, "haproxy.7.json").write_text(text)
    assert files.recall(7) is None
    assert files.recall(8) is None


def test_generations_are_those_that_left_a_file(files: Files) -> None:
    for name in ("haproxy.3.cfg", "haproxy.12.sock", "haproxy.x.cfg", "haproxy.0.cfg", "haproxy.5.cfg.old", "state"):
        Path(files.folder, name).touch()
    assert files.generations() == {3, 12}
    files.remove(3)
    assert files.generations() == {12}


def test_the_folder_is_nobody_elses(files: Files) -> None:
    os.chmod(files.folder, 0o755)
    files.prepare()
    assert os.stat(files.folder).st_mode & 0o777 == 0o700
    files.record(KNOWN)
    assert os.stat(f"{files.folder}/haproxy.7.json").st_mode & 0o777 == 0o600


@pytest.mark.live
async def test_a_process_is_found_by_its_command_line_and_trusted_with_its_record(files: Files) -> None:
    with a_process_like_haproxy(files, 7) as process:
        await started(process)
        identity = identity_of(process.pid)
        assert identity is not None
        assert files.running() == {7: Known(7, identity)}
        recorded = Known(7, identity, KNOWN.program, leaving=True)
        files.record(recorded)
        assert files.running() == {7: recorded}
        files.record(replace(recorded, identity=replace(identity, start_time=1)))
        assert files.running() == {7: Known(7, identity)}, "a record of somebody who had that pid before"
    assert files.running() == {}


@pytest.mark.live
async def test_a_process_of_another_folder_is_not_ours(files: Files, tmp_path: Path) -> None:
    with a_process_like_haproxy(Files(str(tmp_path / "other")), 7) as process:
        await started(process)
        assert files.running() == {}
