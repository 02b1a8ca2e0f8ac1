"""Removing a folder that a program filled, whatever it left there.

In: a path. Out: nothing there any more, or OSError. The laws: no link is followed, not even one that is put in the
place of a folder meanwhile; the depth does not count (Python's own way ends at a thousand folders in each other); a
folder that its owner closed against writing, as Go's module cache is, goes too. It blocks: some 20 us a file.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

DEEPEST = 64
"""Folders in each other that are open at once."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> None:
    """Remove what is at `path`, a folder with all below it or anything else; nothing being there is fine."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        top = _opened(path, None)
    except FileNotFoundError:
        return
    try:
        lifted = _emptied(top, top, 1)
        while lifted:
            lifted += _gone(lifted.pop(), top, top, 1)
    finally:
        os.close(top)
    os.rmdir(path)


def _emptied(folder: int, top: int, depth: int) -> list[str]:
    """Remove all that is in the open `folder`. What lies too deep moves up into `top` instead; its names there."""
    lifted = []
    for name in _without_files(folder):
        if depth < DEEPEST:
            lifted += _gone(name, folder, top, depth)
        else:
            if os.geteuid():
                # One that cannot be written cannot be moved either: its `..` would change.
                os.close(_opened(name, folder))
            lifted.append(f".removed-{os.urandom(8).hex()}")
            os.rename(name, lifted[-1], src_dir_fd=folder, dst_dir_fd=top)
    return lifted


def _gone(name: str, place: int, top: int, depth: int) -> list[str]:
    """Remove the folder `name` of the open folder `place`; otherwise as `_emptied`."""
    inside = _opened(name, place)
    try:
        lifted = _emptied(inside, top, depth + 1)
    finally:
        os.close(inside)
    os.rmdir(name, dir_fd=place)
    return lifted


def _without_files(folder: int) -> list[str]:
    """Remove everything in the open `folder` that is no folder; the names of those."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]


def _opened(folder: str, place: int | None) -> int:
    """The folder, open and, for whoever is not root, writable."""
    try:
        opened = os.open(folder, _FOLDER, dir_fd=place)
    except PermissionError:
        closed = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
        try:
            os.chmod(f"/proc/self/fd/{closed}", stat.S_IRWXU)
        finally:
            os.close(closed)
        opened = os.open(folder, _FOLDER, dir_fd=place)
    if os.geteuid():
        with suppress(PermissionError):
            os.fchmod(opened, stat.S_IRWXU)
    return opened
