"""The home's reserve: disk space that is kept so that it can be given up when the disk is full.

In: the home's folder. Out: a file of 16 MB, really allocated, that is removed at the first write that fails for want of
room: launchers, intents and HAProxy's configuration need a few kilobytes each, and healing goes on with them. The law:
it is made only where there is room for half as much again, so that making it never fills the disk; giving up what is
not there does nothing. `control.disk` decides when; it blocks for the disk, some milliseconds when the file is made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator

SIZE = 16 * 1024 * 1024

LOW = 1024 * 1024
"""Bytes free below which the reserve is given up before anything has failed."""

MARGIN = 8 * 1024 * 1024
"""Bytes that must be free beyond the reserve before it is made (again)."""

PROBE = 64 * 1024
"""Bytes written to find out whether a quota is used up, which no file system tells."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """The reserve of the home at `folder`."""

    def __init__(self, folder: str, size: int = SIZE) -> None:
        self._folder, self._size = folder, size
        self._path = f"{folder}/reserve"

    @property
    def held(self) -> bool:
        """Whether it is there, whole."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return found.st_size == self._size and found.st_blocks * 512 >= self._size

    def make(self) -> bool:
        """Allocate it if it is not there and there is room enough; whether it is there now."""
        if self.held:
            return True
        if free(self._folder) < self._size + MARGIN:
            return False
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, self._size)
                os.ftruncate(file, self._size)
            finally:
                os.close(file)
        except OSError:
            self.give_up()
            return False
        return self.held

    def give_up(self) -> bool:
        """Remove it; whether that made room."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True

    def no_room(self) -> bool:
        """Whether the disk has next to nothing left. Microseconds."""
        return free(self._folder) < LOW

    def explains(self, error: BaseException) -> bool:
        """Whether `error` is a write that found no room. SQLite tells a quota as "writing failed": then it is tried."""
        return is_disk_full(error) or (_may_be_quota(error) and not self._can_write())

    def _can_write(self) -> bool:
        probe = f"{self._path}.probe"
        try:
            file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, PROBE)
            finally:
                os.close(file)
        except OSError as error:
            return error.errno not in _NO_ROOM
        finally:
            with contextlib.suppress(OSError):
                os.unlink(probe)
        return True


def free(folder: str) -> int:
    """Bytes that this user may still write to the file system of `folder`; 0 when it cannot be asked. Microseconds."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, says that there was no room to write."""
    return any(
        (isinstance(one, OSError) and one.errno in _NO_ROOM) or _sqlite_name(one) == "SQLITE_FULL"
        for one in _causes(error)
    )


def _may_be_quota(error: BaseException) -> bool:
    return any(_sqlite_name(one).startswith(("SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHM")) for one in _causes(error))


def _sqlite_name(error: BaseException) -> str:
    return str(getattr(error, "sqlite_errorname", "")) if isinstance(error, sqlite3.Error) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
