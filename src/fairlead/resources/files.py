"""Files that a server's user owns, made by a daemon that may be root.

The folders belong to the server's user, who might have put a link where we write or remove. So either a file is made
new under another name, given away by its descriptor, and renamed (`make_folder`, `write_private`: in folders whose own
parents are the daemon's), or everything is done with that user's rights (`acting_as`). `user`: (uid, gid), or None when
the daemon is that user itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator

User = tuple[int, int]


@contextlib.contextmanager
def acting_as(user: User | None) -> Iterator[None]:
    """Inside, this thread reaches, makes and removes files as `user`; other threads do not notice.

    For use in a worker thread, with nothing awaited in it. OSError when the kernel does not allow it.
    """
    if user is None:
        yield
        return
    before = os.geteuid(), os.getegid()
    _become(user)
    try:
        yield
    finally:
        _become(before)


def make_folder(path: str, user: User | None) -> None:
    """Make the folder `path` (0700) if it is not there. OSError, also when something else is."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(folder, 0o700)
        if user is not None:
            os.fchown(folder, *user)
    finally:
        os.close(folder)


def write_private(path: str, text: str, user: User | None) -> None:
    """Make `text` the content of `path`, for `user` alone (0600). OSError; then the old file is untouched."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(new_file(temporary), "wb") as file:
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
            if user is not None:
                os.fchown(file.fileno(), *user)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def new_file(path: str) -> int:
    """A file (0600) where nothing is, open for writing. OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def copy_private(source: int, path: str) -> None:
    """Copy what the open file `source` holds into a new file (0600). OSError."""
    with os.fdopen(os.dup(source), "rb") as content, os.fdopen(new_file(path), "wb") as target:
        content.seek(0)
        shutil.copyfileobj(content, target, 1 << 20)


def _become(user: User) -> None:
    """Of this thread alone: setfsuid(2). It returns what was before, whether it worked or not."""
    libc = ctypes.CDLL(None)
    # The group first: afterwards there is no right to.
    for call, wanted in ((libc.setfsgid, user[1]), (libc.setfsuid, user[0])):
        call.argtypes, call.restype = (ctypes.c_uint,), ctypes.c_uint
        call(wanted)
        if call(0xFFFFFFFF) != wanted:
            raise PermissionError(1, f"files cannot be used as user {user[0]}")
