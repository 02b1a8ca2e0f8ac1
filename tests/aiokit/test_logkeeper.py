"""Logs are looked after by whoever looks: marked, capped, and trouble said once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fairlead.aiokit import logkeeper
from fairlead.aiokit.cappedlog import CappedLog
from fairlead.aiokit.holes import STEP
from fairlead.aiokit.logkeeper import LogKeeper
from fairlead.aiokit.logmarks import read_marks

LIMIT = 2 * STEP


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def write(path: str, text: bytes, at: float) -> None:
    with open(path, "ab") as file:
        file.write(text)
    os.utime(path, (at, at))


def test_positions_of_marks_hold_across_cuts_and_keepers(path: str) -> None:
    keeper = LogKeeper(LIMIT)
    for moment in range(1, 30):
        write(path, b"x" * STEP, moment)
        # Every third look is a new daemon's.
        keeper = LogKeeper(LIMIT) if moment % 3 == 1 else keeper
        keeper.look(path, moment + 0.5)
    assert [(mark.position, mark.at) for mark in read_marks(path)] == [(STEP * n, n) for n in range(1, 30)]
    span = CappedLog(path).span()
    assert span.end == 29 * STEP
    assert span.end - span.begin <= 2 * LIMIT + STEP


def test_a_missing_log_is_passed_over(path: str) -> None:
    keeper = LogKeeper(LIMIT)
    keeper.look(path, 1)
    assert os.listdir(os.path.dirname(path)) == []


def test_trouble_is_said_once_and_again_when_it_comes_back(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, b"x" * 4 * STEP, 1)
    keeper = LogKeeper(LIMIT)

    def broken(path: str, limit: int) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(logkeeper, "cap", broken)
            for now in (1, 2, 3):
                keeper.look(path, now)
        keeper.look(path, 4)
        write(path, b"x" * 4 * STEP, 5)
    said = [record.message for record in caplog.records]
    assert said == [f"{path} cannot be kept short: [Errno 5] Input/output error; tried again every few seconds"] * 2


def test_a_file_system_that_cannot_shorten_is_named_once(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logkeeper, "cap", lambda path, limit: os.stat(path).st_size <= limit)
    keeper = LogKeeper(LIMIT)
    for now in range(5):
        write(path, b"x" * STEP, now)
        keeper.look(path, now)
    assert len(caplog.records) == 1
    assert "grow without limit" in caplog.records[0].message


def test_a_log_that_a_program_emptied_is_marked_and_capped_on(path: str) -> None:
    keeper = LogKeeper(LIMIT)
    write(path, b"x" * 5 * STEP, 1)
    keeper.look(path, 2)
    Path(path).write_bytes(b"anew\n")
    os.utime(path, (3, 3))
    keeper.look(path, 4)
    write(path, b"y" * 5 * STEP, 5)
    keeper.look(path, 6)
    assert read_marks(path)[-1].at == 5
    assert CappedLog(path).span().end == read_marks(path)[-1].position
