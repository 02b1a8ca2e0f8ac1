"""Whether another user can execute a program, judged from owners and modes, without becoming that user.

Used before a choice is made (interpreter, uv): as root the instances and builds run as unprivileged users, to whom
everything below a folder of mode 0700 is out of reach. Access control lists are not looked at.
"""

from __future__ import annotations

import os
import stat

User = tuple[int, int]
"""(uid, gid), with no other groups."""


def can_execute(path: str, user: User | None) -> bool:
    """Whether `user` (None: this process) can execute the file at `path`: links resolved, all parents searchable."""
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
        if not stat.S_ISREG(found.st_mode):
            return False
        if user is None:
            return os.access(real, os.X_OK)
        return _allows(found, user) and all(_allows(os.stat(folder), user) for folder in _parents(real))
    except OSError:
        return False


def _parents(path: str) -> list[str]:
    parents = []
    while (above := os.path.dirname(path)) != path:
        parents.append(above)
        path = above
    return parents


def _allows(found: os.stat_result, user: User) -> bool:
    """Whether the class of `user` has the x bit: the owner's bit alone counts for the owner, then the group's."""
    uid, gid = user
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
