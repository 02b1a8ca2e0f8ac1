"""The log files of instances: found, their last lines read, and followed while they grow.

Each instance appends to `log` in its own folder; when that is long the daemon moves its beginning to `log.1`, and
the bytes of `log.1` and `log` stay contiguous. Reading needs no daemon. Lines carry no time, so the order between two
instances is that of arrival, and for the past that of the files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 64 * 1024
"""Bytes read at once, and the length at which a line without an end is shown as it is."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """The log of one instance."""

    instance: str
    folder: str

    @property
    def path(self) -> str:
        return f"{self.folder}/log"

    @property
    def older(self) -> str:
        return f"{self.folder}/log.1"

    @property
    def written_at(self) -> float:
        """When it last grew, as a wall clock; 0 when it is gone."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return 0.0


def service_of(instance: str) -> str:
    """`web` of `web-12`."""
    return instance.rpartition("-")[0]


def find(folder: str, service: str | None, instance: str | None) -> list[LogFile]:
    """The logs below a stack's folder of instances, the one written last at the end."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [
        LogFile(name, f"{folder}/{name}")
        for name in sorted(names)
        if (instance is None or name == instance)
        and (service is None or service_of(name) == service)
        and os.path.exists(f"{folder}/{name}/log")
    ]
    return sorted(found, key=lambda log: log.written_at)


def tail(log: LogFile, lines: int) -> tuple[list[bytes], int]:
    """The last complete `lines` of a log, without their ends, and the offset in `log.path` up to which they go."""
    data, end = b"", 0
    for path in (log.path, log.older):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            start = file.seek(0, os.SEEK_END)
            end = start if path == log.path else end
            while start and data.count(b"\n") <= lines:
                size = min(BLOCK, start)
                start -= size
                file.seek(start)
                data = file.read(size) + data
    complete = data[: data.rfind(b"\n") + 1]
    unfinished = len(data) - len(complete)
    return complete.splitlines()[-lines:] if lines else [], max(0, end - unfinished)


class Follower:
    """Reads what one log got since it was last asked."""

    def __init__(self, log: LogFile, offset: int) -> None:
        self.log = log
        self._offset = offset
        self._unfinished = b""

    def new_lines(self) -> Iterator[bytes]:
        """Complete lines without their ends; a line longer than BLOCK comes in pieces."""
        while block := self._read():
            *complete, self._unfinished = (self._unfinished + block).split(b"\n")
            yield from complete
            if len(self._unfinished) > BLOCK:
                yield self._unfinished
                self._unfinished = b""

    def rest(self) -> bytes:
        """The line that has no end yet."""
        return self._unfinished

    def _read(self) -> bytes:
        try:
            with open(self.log.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    self._offset = self._after_cut(size)
                file.seek(self._offset)
                block = file.read(BLOCK)
        except OSError:
            return b""
        self._offset += len(block)
        return block

    def _after_cut(self, size: int) -> int:
        """Where we are in a log whose beginning was moved away: before, less what was moved."""
        with contextlib.suppress(OSError):
            moved = os.stat(self.log.older).st_size
            if 0 <= self._offset - moved <= size:
                return self._offset - moved
        return 0
