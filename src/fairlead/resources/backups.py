"""The file of a backup: `FILE.fairlead-partial` until it is complete.

In: the file's path, and who writes a backup to a path where nothing is. Out: the file (0600, the daemon's user's), or
an error and nothing. The law: a file that is there is never replaced, whatever comes there meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fairlead.aiokit.atomic import flush_folder
from fairlead.errors import ResourceError


class BackupFiles:
    """Those that one daemon writes."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    async def write(
        self, file: str, write: Callable[[str], Awaitable[None]], progress: Callable[[str], None], what: str
    ) -> None:
        """write: makes the whole backup at the path it gets. what: `the cache x`, for messages. ResourceError."""
        _check(file, what)
        if file in self._under_way:
            raise ResourceError(f"{file} is being written", "another backup goes there", "name another file")
        partial = f"{file}.fairlead-partial"
        self._under_way.add(file)
        try:
            # What a daemon that was killed has left.
            with suppress(FileNotFoundError):
                os.unlink(partial)
            await write(partial)
            size = await asyncio.to_thread(_publish, partial, file)
        except OSError as problem:
            why = f"{problem.filename or file}: {problem.strerror or problem}"
            raise ResourceError(f"the backup of {what} cannot be written", why) from problem
        finally:
            self._under_way.discard(file)
            with suppress(OSError):
                os.unlink(partial)
        progress(f"{file} holds {in_words(size)}")


def in_words(size: float) -> str:
    """A number of bytes, as people say it: `3.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def _check(file: str, what: str) -> None:
    folder = os.path.dirname(file)
    if not os.path.isabs(file):
        raise ResourceError(f"{what} cannot be backed up to {file}", "that is no absolute path")
    if not os.path.isdir(folder):
        raise ResourceError(
            f"{what} cannot be backed up to {file}", f"there is no folder {folder}", f"make it: mkdir -p {folder}"
        )
    if os.path.lexists(file):
        raise _is_there(file)


def _publish(partial: str, file: str) -> int:
    """Give it its name once it is on the disk; its size in bytes."""
    descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        if os.fstat(descriptor).st_uid != os.geteuid():
            os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fsync(descriptor)
        try:
            # A link, because a renaming would replace what has come there meanwhile.
            os.link(partial, file)
        except FileExistsError:
            raise _is_there(file) from None
        except OSError as problem:
            if problem.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS) or os.path.lexists(file):
                raise
            os.rename(partial, file)
        flush_folder(os.path.dirname(file))
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _is_there(file: str) -> ResourceError:
    return ResourceError(f"{file} is there already", "a backup never replaces a file", "name another file")
