"""The file that holds the vault's key: made once, readable by its owner only.

In: its path. Out: what is in it. The laws: the file is there whole or not at all, whenever the daemon dies; it is on
the disk before anything is encrypted with it; one that somebody else could have read or written is refused. Its only
writer is the daemon, which holds the home's lock.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat

from fairlead.errors import StoreError

LONGEST = 1024
"""Bytes that are read of it; a key has 44."""


def read(path: str) -> bytes | None:
    """The key at `path`; None: there is no such file. StoreError: it cannot be read, or is not safe."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        _check(path, os.fstat(file))
        return os.read(file, LONGEST).strip()
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(file)


def make(path: str, key: bytes) -> None:
    """Write `key` to `path`, where nothing is. StoreError: it cannot be written; then nothing is there."""
    new = f"{path}.new"
    try:
        # Left behind by a daemon that died here; nothing was encrypted with it.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        try:
            _write(new, key)
            os.rename(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise StoreError(
            "the key of the secrets cannot be written",
            f"{path}: {error.strerror}",
            f"Make sure that {os.path.dirname(path)} can be written and its disk has room, then repeat the command.",
        ) from error


def set_aside(path: str) -> None:
    """Give what lies at `path`, if anything does, a name of its own: `secret.key.old-1`. StoreError."""
    try:
        free = (name for number in itertools.count(1) if not os.path.lexists(name := f"{path}.old-{number}"))
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, next(free))
            _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        why = f"{path}: {error.strerror}"
        raise StoreError("the key of the secrets cannot be renamed", why, "Move it away by hand.") from error


def _write(path: str, key: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)  # whatever the umask
        os.write(file, key + b"\n")
        os.fsync(file)
        # A full disk may cut a write short without an error.
        if os.fstat(file).st_size != len(key) + 1:
            raise OSError(28, os.strerror(28), path)
    finally:
        os.close(file)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: str, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        why, next_step = "it is not a plain file", "Put the key back from a backup of the home."
    elif found.st_uid != os.geteuid():
        why = f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}"
        next_step = f"Run `chown {os.geteuid()} {path}`, if you know who put it there."
    elif mode & 0o077:
        why = f"its mode is {mode:04o}: others may have read it, and with it every secret of this home"
        next_step = f"Run `chmod 600 {path}`; change the secrets if others use this machine."
    else:
        return
    raise StoreError(f"the key of the secrets, {path}, is not used", why, next_step)


def _unreadable(path: str, error: OSError) -> StoreError:
    why = f"{path}: {error.strerror}"
    return StoreError("the key of the secrets cannot be read", why, f"Check the owner and mode of {path}.")
