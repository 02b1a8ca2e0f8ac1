"""The log that all generations of HAProxy share, in the daemon's hands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.haproxy import diary
from fairlead.haproxy.diary import Diary
from fairlead.haproxy.files import Files


def test_a_disk_that_takes_half_a_line_gets_the_rest_when_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, files = tmp_path / "log", Files(str(tmp_path))
    ours = Diary(str(log), files)
    Path(files.log(1)).write_bytes(b"one\ntwo\n")
    write = os.write
    monkeypatch.setattr(diary.os, "write", lambda descriptor, lines: write(descriptor, lines[:5]))
    ours.copy(1)
    assert log.read_bytes() == b"one\nt"
    monkeypatch.undo()
    Diary(str(log), files).copy(1)
    assert log.read_bytes() == b"one\ntwo\n"


def test_a_line_that_is_not_finished_waits_for_its_end(tmp_path: Path) -> None:
    log, files = tmp_path / "log", Files(str(tmp_path))
    ours = Diary(str(log), files)
    Path(files.log(1)).write_bytes(b"one\ntw")
    ours.copy(1)
    assert log.read_bytes() == b"one\n"
    Path(files.log(1)).write_bytes(b"one\ntwo\n")
    ours.copy(1)
    assert log.read_bytes() == b"one\ntwo\n"
