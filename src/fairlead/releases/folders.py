"""Folders of a home that appear whole or not at all: made, marked complete, renamed into place, removed.

A folder built where it stays is complete when it holds its mark, written last: `COMPLETE` in an environment or server,
`DESCRIPTION` in a release that `build:` ran in. One built elsewhere (any other release) is complete because its final
name exists. What a crash leaves is known by the lack of either.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fairlead.aiokit.atomic import flush_folder
from fairlead.aiokit.trees import remove_tree
from fairlead.releases.access import User

COMPLETE = ".complete"
UNFINISHED = ".new-"
ASIDE = ".old-"
DESCRIPTION = "release.json"
"""Written last into a release that is made where it stays, because `build:` may write that place into its files."""

READ_ONLY = 0o555
PASSABLE = 0o711


def make_folders(path: str, mode: int = PASSABLE, owner: User | None = None) -> None:
    """Make `path` with `mode`, whatever the umask, and passable folders above it; `owner` gets `path` itself.

    OSError when `owner` would be given what a link leads to: the folder above may be his already."""
    missing = []
    above = path
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another build, of whatever stack, was a moment faster
            os.mkdir(folder)
        with _opened(folder) as descriptor:
            os.fchmod(descriptor, mode if folder == path else PASSABLE)
    if owner is not None and os.stat(path).st_uid != owner[0]:
        with _opened(path) as descriptor:
            os.fchown(descriptor, *owner)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_complete(folder: str) -> bool:
    return os.path.lexists(os.path.join(folder, COMPLETE))


def mark_complete(folder: str) -> None:
    """Everything below `folder` reaches the disk first, then the mark."""
    # One sync of all file systems: uv wrote hundreds of files by hand over hand, and none of them itself.
    os.sync()
    # EXCL and NOFOLLOW: the folder's owner may be less than we are.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.path.join(folder, COMPLETE), flags, 0o644)
    os.fsync(descriptor)
    os.close(descriptor)
    flush_folder(folder)


def write_json(path: str, fields: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(fields, file, indent=2, sort_keys=True)
        file.write("\n")


def sync_tree(folder: str) -> None:
    """Every file and folder below `folder`, and itself, reach the disk."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                os.fsync(descriptor)
                os.close(descriptor)
        flush_folder(where)


def close_folders(folder: str) -> None:
    """Take the write bits off every folder of a tree, the topmost last: then a closed one is closed all the way."""
    # By descriptor: the folder may be the build user's, who could put a link in the place of one that was listed.
    for _, _, _, descriptor in os.fwalk(folder, topdown=False):
        os.fchmod(descriptor, READ_ONLY)


def is_closed(folder: str) -> bool:
    return not os.stat(folder).st_mode & 0o222


def publish(stage: str, final: str) -> None:
    """Give a finished folder its name, for good, unless it was made under it. A leftover of that name, which nobody
    recorded, goes first."""
    sync_tree(stage)
    if stage != final:
        remove(final)
        os.rename(stage, final)
    flush_folder(os.path.dirname(final))


def remove(folder: str) -> None:
    """Remove a tree, read-only folders included; one that is not there is fine."""
    remove_tree(folder)


def put_aside(folder: str) -> None:
    """Take a tree out of use at once, under a name that `is_leftover` knows; it is removed later."""
    where, name = os.path.split(folder)
    aside = f"{where}/{ASIDE}{name}-{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):
        os.rename(folder, aside)


def is_leftover(folder: str, name: str) -> bool:
    """Whether `name` in a folder of releases is what a crash left unfinished, or what was put aside."""
    if name.startswith((UNFINISHED, ASIDE)):
        return True
    return name.isdecimal() and not os.path.lexists(f"{folder}/{name}/{DESCRIPTION}")


def remove_leftovers(folder: str) -> None:
    """Remove those of a folder of releases; what cannot be removed (a sick disk) is left for the next time."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if is_leftover(folder, name):
                with suppress(OSError):
                    remove(f"{folder}/{name}")


def new_stage(folder: str, final: str | None) -> str:
    """The empty folder in which a release is made. final: its final place, when commands run in it, because what they
    write may name that place; else it is one that is renamed in the end."""
    if final is None:
        return tempfile.mkdtemp(prefix=UNFINISHED, dir=folder)
    remove(final)
    os.mkdir(final, 0o700)
    return final


def still_missing(ignored: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The folders that .gitignore left out and that no build command has made again."""
    return tuple(name for name in ignored if not os.path.lexists(f"{source}/{name}"))
