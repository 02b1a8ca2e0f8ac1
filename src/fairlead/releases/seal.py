"""A release's files from the build user's hands into ours: what `build:` made, read-only and readable by instances.

In: a tree that somebody else could write a moment ago. Out: the same tree, ours, every folder 0555, every file 0444
with its executable bits; what is neither file, folder nor link is gone. The law: from the top down, a folder is taken
over before it is listed, so that no name below can be exchanged for a link while we act on it with our rights. A file
with a second name is copied first: the other may lie in a cache (uv and pnpm link from theirs), which must not change.
"""

from __future__ import annotations

import os
import shutil
import stat

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


def seal(folder: str) -> None:
    """Take `folder` over, for good. OSError when the disk is full."""
    _take(folder)
    os.chmod(folder, OPEN)
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_symlink():
            _take(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            seal(entry.path)
        elif entry.is_file(follow_symlinks=False):
            _seal_file(entry.path)
        else:
            os.unlink(entry.path)
    os.chmod(folder, READ_ONLY)


def _seal_file(path: str) -> None:
    found = os.stat(path, follow_symlinks=False)
    if found.st_nlink > 1:
        shutil.copyfile(path, f"{path}.fairlead-copy", follow_symlinks=False)
        os.rename(f"{path}.fairlead-copy", path)
    _take(path)
    os.chmod(path, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH | (found.st_mode & 0o111))


def _take(path: str) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if os.lstat(path).st_uid != uid:
        os.chown(path, uid, gid, follow_symlinks=False)
