"""A bucket as a tar archive, and back.

In: the bucket's folder, and an open file. Each object is in the archive as one of its versions, whole, with the time of
its last change; those that come or go meanwhile are there or not. What is read back is looked through first: regular
files and folders only, under names that objects can have, no more bytes than there is room for. All of it blocks, and
runs in a thread; `check` is called between steps and raises when nobody wants the result any more.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from fairlead.errors import ResourceError
from fairlead.resources.backups import in_words
from fairlead.resources.files import new_file

CUT_SHORT = re.compile(r"\.rclone_temp_(put|multipart)_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What rclone leaves when it is killed in the middle of an upload; it never holds what was acknowledged."""

LONGEST_PART = 255
"""Bytes of a part of a key: it is the name of a file or a folder."""

LONGEST_KEY = 1024
"""Bytes, as on S3."""

CHUNK = 1 << 20

LOOKS = 3
"""At a folder; one in 600 misses a name that is replaced again and again."""

REPLACED_WITHIN = 0.5
"""Seconds for an object that was there to be there again; it takes a millisecond."""

WANTED = "give a file that `fairlead data backup` has made of a bucket"

Check = Callable[[], None]
Tell = Callable[[int, int], None]
"""Called with the objects and the bytes so far."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its key, its bytes, when it was last changed (seconds of the epoch)."""

    key: str
    size: int
    changed: float


def pack(bucket: str, target: int, check: Check, tell: Tell) -> int:
    """Write the objects of the folder `bucket` into the open file `target`; how many there are. OSError."""
    objects = size = 0
    with (
        os.fdopen(os.dup(target), "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for key, path in _objects(bucket, ""):
            check()
            with suppress(FileNotFoundError), _found(path) as content:
                found = os.fstat(content.fileno())
                if stat.S_ISREG(found.st_mode):
                    member = tarfile.TarInfo(key)
                    member.size, member.mtime, member.mode = found.st_size, found.st_mtime, 0o600
                    tar.addfile(member, content)
                    objects, size = objects + 1, size + found.st_size
                    tell(objects, size)
    return objects


def inspect(source: int, file: str, room: int, check: Check) -> list[Stored]:
    """The objects of an archive. room: bytes that they may take. ResourceError: it is none, or not one of objects."""
    objects: dict[str, Stored] = {}
    folders: set[str] = set()
    total = 0
    try:
        with os.fdopen(os.dup(source), "rb") as content, _opened(content) as tar:
            for member in tar:
                check()
                name = member.name.removeprefix("./").rstrip("/")
                if not (member.isreg() or member.isdir()):
                    raise _refused(file, f"it holds {member.name!r}, which is neither a file nor a folder")
                if member.isdir() and name in ("", "."):
                    continue
                _check_name(file, member.name, name)
                parents = {name[:at] for at, letter in enumerate(name) if letter == "/"}
                if clash := (parents & objects.keys()) or (
                    {name} & (objects.keys() | folders) if member.isreg() else set()
                ):
                    raise _refused(file, f"it holds {min(clash)!r} twice, or as a file and as a folder")
                folders |= parents | ({name} if member.isdir() else set())
                if member.isreg():
                    objects[name] = Stored(name, member.size, member.mtime)
                    total += member.size
                    if total > room:
                        raise ResourceError(
                            f"the objects of {file} do not fit", f"{in_words(room)} are free on the disk of the bucket"
                        )
            _check_end(file, tar)
    except (tarfile.TarError, EOFError, ValueError, OSError) as problem:
        # Of a file that is none at all, further lines tell of every compression that it is not.
        why = str(problem).partition("\n")[0].rstrip(":")
        raise ResourceError(
            f"{file} is no backup of a bucket", f"it cannot be read as a tar archive: {why}", WANTED
        ) from None
    return list(objects.values())


def unpack(source: int, folder: str, check: Check, tell: Tell) -> None:
    """Write the objects of an archive that was inspected into the empty `folder`. OSError."""
    objects = size = 0
    with os.fdopen(os.dup(source), "rb") as content, _opened(content) as tar:
        for member in tar:
            check()
            data = tar.extractfile(member) if member.isreg() else None
            if data is not None:
                path = os.path.join(folder, member.name.removeprefix("./"))
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                with os.fdopen(new_file(path), "wb") as target:
                    while chunk := data.read(CHUNK):
                        check()
                        target.write(chunk)
                os.utime(path, (member.mtime, member.mtime))
                objects, size = objects + 1, size + member.size
                tell(objects, size)


def sweep(folder: str) -> None:
    """Remove what rclone was cut short in. OSError."""
    for _, path in _files(folder, ""):
        if CUT_SHORT.fullmatch(os.path.basename(path)):
            os.unlink(path)


def _objects(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    return ((key, path) for key, path in _files(folder, prefix) if not CUT_SHORT.fullmatch(os.path.basename(path)))


def _files(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """(key, path) of all files, in the order of their names in each folder; what vanishes is left out."""
    waiting = [(folder, prefix)]
    while waiting:
        inside, before = waiting.pop()
        found = _entries(inside)
        yield from ((f"{before}{name}", f"{inside}/{name}") for name in sorted(found) if not found[name])
        waiting += [(f"{inside}/{name}", f"{before}{name}/") for name in sorted(found, reverse=True) if found[name]]


def _entries(folder: str) -> dict[str, bool]:
    """The files and folders in it by name, and whether it is a folder.

    rclone replaces an object by removing the old one first, so that any look may miss some of those that are there."""
    found: dict[str, bool] = {}
    for _ in range(LOOKS):
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                    found[entry.name] = entry.is_dir(follow_symlinks=False)
    return found


def _found(path: str) -> BinaryIO:
    """The open file, also when it is being replaced. OSError."""
    deadline = time.monotonic() + REPLACED_WITHIN
    while True:
        try:
            return open(path, "rb", opener=_without_links)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(REPLACED_WITHIN / 100)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _opened(content: object) -> tarfile.TarFile:
    content.seek(0)  # type: ignore[attr-defined]
    return tarfile.open(fileobj=content, mode="r:*")  # type: ignore[call-overload, no-any-return]


def _check_name(file: str, told: str, name: str) -> None:
    parts = name.split("/")
    encoded = [os.fsencode(part) for part in parts]
    if told.startswith("/") or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise _refused(file, f"it holds {told!r}, which leads out of the bucket")
    if any(len(part) > LONGEST_PART for part in encoded) or len(os.fsencode(name)) > LONGEST_KEY:
        raise _refused(file, f"it holds {told[:60]!r}..., a name that is too long for an object")
    if CUT_SHORT.fullmatch(parts[-1]):
        raise _refused(file, f"it holds {told!r}, an upload that was cut short")


def _check_end(file: str, tar: tarfile.TarFile) -> None:
    """An archive that was cut between two members reads like a whole one but for its end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ResourceError(f"{file} is no backup of a bucket", "it was cut short")


def _refused(file: str, why: str) -> ResourceError:
    return ResourceError(f"{file} is no backup of a bucket", why, "nothing was changed")
