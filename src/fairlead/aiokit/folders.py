"""Folders of a home that several users share: made, looked through, and trusted only when nobody else can write them.

The law: a folder that is there keeps its mode, once it has one, and no link is taken for a folder. Called by whoever
keeps folders of what it launches. Raises OSError, and EngineError where a folder cannot be trusted.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from fairlead.errors import EngineError

MADE = 0o700
"""The mode with which a folder begins: no umask takes anything off it."""


def make_folder(path: str, mode: int) -> None:
    """A folder of that mode, whatever the umask; one that is there is left as it is, unless it is as it was made: then
    whoever made it was killed before it could say the mode."""
    with suppress(FileExistsError):
        os.mkdir(path, MADE)
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == MADE != mode and found.st_uid == os.geteuid():
        os.chmod(path, mode)


def check_ours(path: str) -> None:
    """The run folder may lie in /tmp, where anybody could have put a folder or a link of that name."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EngineError(
            f"{path} cannot be trusted",
            f"it belongs to user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}, "
            f"and has to be a folder that only user {os.geteuid()} can write to",
            f"look at it, and remove it if nothing needs it: ls -ld {path}",
        )


def names_in(path: str) -> list[str]:
    """The names of the folders in it, sorted; none when it is not there."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
