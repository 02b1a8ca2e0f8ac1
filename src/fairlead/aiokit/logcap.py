"""Keeping a log short while the program that appends to it goes on, without losing or doubling a line.

In: the path of a log that is opened with O_APPEND by whoever writes it. Out: the same file with its beginning moved to
`PATH.1`, whose former content goes. The steps, each safe to die after (`cappedlog` says what a reader makes of each):

    copy      the bytes below CUT to PATH.next, and to the disk; nobody reads that file
    moving    write down CUT and the copy's inode
    rename    PATH.next to PATH.1; until the next step readers pass it over
    punch     make those bytes of PATH a hole: from this one moment on the copy counts
    collapsing, collapse, and where PATH begins now

`cap` first finishes what a killed one left. Where the file system cannot collapse (tmpfs, btrfs) the hole stays:
nothing is lost, the blocks are free, and `ls` shows a size that nothing has; tools that do not know holes read zeros
there, `fairlead logs` does not. Where it cannot punch either, the log is left to grow: to cut it off behind the
program's back (copy and truncate) loses what is written in between, which `capped` tells the caller instead. On a full
disk, where no copy can be made, the oldest bytes go without one. Blocks for the disk; called from a thread.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from fairlead.aiokit.atomic import flush_folder, write_atomically
from fairlead.aiokit.cappedlog import Place, place_of
from fairlead.aiokit.holes import STEP, collapse, first_data, punch, talent

LIMIT = 10 * 1024 * 1024
"""Bytes: a log that is longer is moved to its older part, of which as much is kept."""


def cap(path: str, limit: int = LIMIT) -> bool:
    """Move the beginning of the log away if it is longer than `limit` bytes. False: it is, and this file system cannot.

    At most `limit` bytes are kept in the older part, and less than 64 KiB stay behind. OSError: what had been begun is
    finished by the next call.
    """
    log = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        place = _resumed(path, log, place_of(path))
        size, data = os.fstat(log).st_size, first_data(log)
        if size - data <= limit:
            return True
        if talent(os.path.dirname(path)) == "none":
            return False
        # Never all of it: to collapse a whole file is refused, and it may have grown since.
        cut = (size - 1) // STEP * STEP
        if cut > data:
            _move(path, log, place, max(data, cut - limit), cut, limit)
    finally:
        os.close(log)
    return True


def _move(path: str, log: int, place: Place, begin: int, cut: int, limit: int) -> None:
    try:
        inode = _copy(log, begin, cut, f"{path}.next")
        moving = Place(place.base, "moving", cut, inode)
        _write(path, moving)
    except OSError as problem:
        with suppress(OSError):
            os.unlink(f"{path}.next")
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _drop(path, log, place, cut - limit)
        return
    os.replace(f"{path}.next", f"{path}.1")
    _take_out(path, log, moving)


def _take_out(path: str, log: int, moving: Place) -> None:
    """PATH.1 is the copy: let it count."""
    # After a power cut the copy must be there if the hole is.
    flush_folder(os.path.dirname(path))
    punch(log, moving.cut)
    _close_up(path, log, moving.base, moving.cut)


def _close_up(path: str, log: int, base: int, cut: int) -> None:
    """The first `cut` bytes are a hole: remove it where that can be done."""
    if talent(os.path.dirname(path)) == "collapse":
        _write(path, Place(base, "collapsing", cut))
        with suppress(OSError):
            collapse(log, cut)
            base += cut
    _write(path, Place(base))


def _resumed(path: str, log: int, place: Place) -> Place:
    """Finish what a killed one left; where the log stands then."""
    punched = first_data(log) >= place.cut
    if place.phase == "collapsing":
        if punched:
            _close_up(path, log, place.base, place.cut)
        else:
            _write(path, Place(place.base + place.cut))
    elif place.phase == "moving":
        if punched:
            _close_up(path, log, place.base, place.cut)
        elif _inode(f"{path}.1") == place.inode:
            _take_out(path, log, place)
        elif _inode(f"{path}.next") == place.inode:
            os.replace(f"{path}.next", f"{path}.1")
            _take_out(path, log, place)
        else:
            _write(path, Place(place.base))
    return place_of(path)


def _drop(path: str, log: int, place: Place, cut: int) -> None:
    """No room for a copy: let the older part go, and all but the newest bytes of the log."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.1")
    cut = cut // STEP * STEP
    if cut > 0:
        punch(log, cut)
        with suppress(OSError):
            _close_up(path, log, place.base, cut)


def _copy(log: int, begin: int, end: int, path: str) -> int:
    """The bytes of `log` from `begin` to `end` as the file `path`, on the disk; its inode."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    copy = os.open(path, flags, 0o600)
    try:
        while begin < end:
            sent = os.sendfile(copy, log, begin, end - begin)
            if not sent:
                raise OSError(errno.EIO, "the log became shorter while it was copied", path)
            begin += sent
        os.fsync(copy)
        return os.fstat(copy).st_ino
    finally:
        os.close(copy)


def _write(path: str, place: Place) -> None:
    write_atomically(f"{path}.at", place.text())


def _inode(path: str) -> int | None:
    with suppress(FileNotFoundError):
        return os.stat(path, follow_symlinks=False).st_ino
    return None
