"""Taking the beginning of a file away while another process appends to it.

In: a descriptor open for writing. Out: a file whose beginning is a hole (`punch`: its offsets stay, its blocks are
free), or is gone (`collapse`: all offsets shrink). Both are one step for everybody who reads or appends: a line that is
being appended is neither lost nor cut. Not every file system can: ext4 and XFS do both, tmpfs and btrfs only punch
(tried on ext4 and tmpfs); `talent` finds out. Called by what caps logs.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Literal

STEP = 64 * 1024
"""Bytes: every length here is a multiple of it. File systems take whole blocks only, and none has larger ones."""

_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE = 0x01, 0x02, 0x08
"""Flags of fallocate(2), from linux/falloc.h."""

Talent = Literal["collapse", "punch", "none"]


_talents: dict[int, Talent] = {}
"""By device."""


def talent(folder: str) -> Talent:
    """What the file system of `folder` can do, tried once with a small file there. OSError: it could not be tried."""
    device = os.stat(folder).st_dev
    if device not in _talents:
        _talents[device] = _tried(folder)
    return _talents[device]


def _tried(folder: str) -> Talent:
    # Here, because whoever only looks for data need not wait for it.
    from tempfile import TemporaryFile

    with TemporaryFile(dir=folder) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, b"x" * (2 * STEP), 0)
        for what in (punch, collapse):
            try:
                what(descriptor, STEP)
            except OSError as problem:
                if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
            if what is punch and first_data(descriptor) != STEP:
                return "none"
        return "collapse" if os.fstat(descriptor).st_size == STEP else "punch"


def punch(descriptor: int, length: int) -> None:
    """Make the first `length` bytes a hole: they read as zeros, every other byte stays where it is. OSError."""
    _fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, length)


def collapse(descriptor: int, length: int) -> None:
    """Remove the first `length` bytes, fewer than there are: what follows begins the file. OSError."""
    _fallocate(descriptor, _COLLAPSE_RANGE, length)


def first_data(descriptor: int) -> int:
    """The offset of the first byte that is in no hole; the file's size when there is none."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            return os.fstat(descriptor).st_size
        raise


def _fallocate(descriptor: int, mode: int, length: int) -> None:
    call = _libc()
    while call(descriptor, mode, 0, length):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@cache
def _libc() -> ctypes._NamedFuncPointer:
    libc = ctypes.CDLL(None, use_errno=True)
    # With 32-bit offsets the plain name would take 32-bit lengths.
    call = getattr(libc, "fallocate64", None) or libc.fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    call.restype = ctypes.c_int
    return call
