"""The reserve is real disk space, is never what fills the disk, and a full disk is told from every other error."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from fairlead.errors import EngineError, StoreError
from fairlead.store import reserve
from fairlead.store.reserve import MARGIN, SIZE, Reserve, is_disk_full


def an_error(number: int) -> EngineError:
    """As an adapter raises it: ours, caused by the system's."""
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as cause:
            raise EngineError("the folder cannot be made") from cause
    except EngineError as error:
        return error


def test_it_is_allocated_and_not_a_hole(tmp_path: Path) -> None:
    kept = Reserve(str(tmp_path))
    assert not kept.held
    assert kept.make()
    assert kept.held
    found = (tmp_path / "reserve").stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE
    assert found.st_mode & 0o777 == 0o600
    assert kept.make()


def test_it_is_given_up_once(tmp_path: Path) -> None:
    kept = Reserve(str(tmp_path))
    assert not kept.give_up()
    kept.make()
    assert kept.give_up()
    assert os.listdir(tmp_path) == []
    assert not kept.give_up()


def test_it_is_not_made_where_it_would_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "free", lambda folder: SIZE + MARGIN - 1)
    assert not Reserve(str(tmp_path)).make()
    assert os.listdir(tmp_path) == []


def test_half_of_one_is_no_reserve_and_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "reserve").write_bytes(b"half")
    kept = Reserve(str(tmp_path))
    assert not kept.held
    assert kept.make()
    with open(tmp_path / "reserve", "r+b") as file:
        os.ftruncate(file.fileno(), 0)
        os.ftruncate(file.fileno(), SIZE)
    assert not kept.held, "a hole is no room"


def test_one_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not Reserve(str(tmp_path)).make()
    assert os.listdir(tmp_path) == []


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/reserve").symlink_to(other)
    assert not Reserve(str(tmp_path / "home")).make()
    assert other.read_bytes() == b"precious"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_seen_through_the_errors_that_it_caused(number: int) -> None:
    assert is_disk_full(an_error(number))
    assert is_disk_full(OSError(number, ""))


@pytest.mark.parametrize("error", [an_error(errno.EACCES), ValueError(), None, StoreError("x"), sqlite3.Error("x")])
def test_no_other_error_is_a_full_disk(error: BaseException | None) -> None:
    assert not is_disk_full(error)


def test_a_quota_that_sqlite_tells_as_a_failed_write_is_found_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorname = "SQLITE_IOERR_WRITE"
    kept = Reserve(str(tmp_path))
    assert not kept.explains(failed), "there is room: it is something else"

    def over(file: int, offset: int, length: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "posix_fallocate", over)
    assert kept.explains(failed)
    assert os.listdir(tmp_path) == []
