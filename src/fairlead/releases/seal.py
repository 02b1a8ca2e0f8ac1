"""A release's files from the build user's hands into ours: what `build:` made, read-only and readable by instances.

In: a tree that somebody else could write a moment ago. Out: the same tree, ours, every folder 0555, every file 0444
with its executable bits; what is neither file, folder nor link is gone. The law: from the top down, a folder is taken
over before it is listed, so that no name below can be exchanged for a link while we act on it with our rights. A file
with a second name is copied first: the other may lie in a cache (uv and pnpm link from theirs), which must not change.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile

from fairlead.releases.access import User
from fairlead.releases.folders import READ_ONLY

OPEN = 0o755


def unseal(folder: str, owner: User | None) -> None:
    """Let `owner` (None: this process's user) write everywhere below `folder`, a fresh copy of a source."""
    for where, names, files in os.walk(folder):
        os.chmod(where, OPEN)
        for name in files:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                os.chmod(path, 0o644 | (os.stat(path).st_mode & 0o111))
        if owner is not None:
            for name in (*names, *files):
                os.chown(os.path.join(where, name), *owner, follow_symlinks=False)
    if owner is not None:
        os.chown(folder, *owner)


def seal(folder: str, owner: User | None) -> None:
    """Take `folder` over, for good. OSError when the disk is full, or when a file in it is neither `owner`'s nor new:
    a second name of somebody else's, which would be shown to everybody."""
    _take(folder)
    os.chmod(folder, OPEN)
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_symlink():
            _take(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            seal(entry.path, owner)
        elif entry.is_file(follow_symlinks=False):
            _seal_file(entry.path, owner)
        else:
            os.unlink(entry.path)
    os.chmod(folder, READ_ONLY)


def _seal_file(path: str, owner: User | None) -> None:
    found = os.stat(path, follow_symlinks=False)
    if owner is not None and found.st_uid != owner[0]:
        raise PermissionError(errno.EPERM, "it belongs to another user", path)
    if found.st_nlink > 1:
        _replace_by_copy(path)
    _take(path)
    os.chmod(path, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH | (found.st_mode & 0o111))


def _replace_by_copy(path: str) -> None:
    # A new file of a name that nobody could foresee: at one that is known a link may wait, to a file of root's.
    descriptor, copy = tempfile.mkstemp(prefix=".fairlead-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as target, open(path, "rb") as source:
            shutil.copyfileobj(source, target)
        os.rename(copy, path)
    except BaseException:
        os.unlink(copy)
        raise


def _take(path: str) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if os.lstat(path).st_uid != uid:
        os.chown(path, uid, gid, follow_symlinks=False)
