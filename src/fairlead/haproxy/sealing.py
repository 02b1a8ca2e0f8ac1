"""Putting an access log away while HAProxy goes on writing it: compressed, bounded, no line lost and none twice.

In: a folder of `core.accesslog`, which generations still write, the time. Out: the same folder, in which no live file
holds more than `Limits.live` bytes or anything of an earlier day, what ended is compressed, and what is too old or too
much is gone. The steps for bytes BEGIN to END of a living generation, each safe to die after:

    compress   into a `.part` file, and to the disk; nobody reads that
    rename     from this one moment on the segment has those bytes, whatever the live file says
    punch      those bytes of the live file become a hole: their blocks are free, HAProxy's offset stays what it is

HAProxy is given no other descriptor for that, since every reload would end another process with WebSockets in it. The
file of a generation that has ended is compressed to its last byte and removed. What a killed one left is finished or
begun anew by the next look, by the names alone. Where the file system cannot punch, the caller is told that the
generation writes too long. On a full disk the oldest segments make room for the next, and where there is none, the
oldest lines go. Blocks for the disk and for zlib, some 0.3 s for 64 MiB; called from a thread of its own.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from fairlead.aiokit.atomic import flush_folder
from fairlead.aiokit.holes import STEP, first_data, punch, talent
from fairlead.aiokit.packed import packed
from fairlead.core.accesslog import UNFINISHED, Segment, file_name, generation_of, segment_of, written_at

BLOCK = 1 << 20
"""Bytes compressed at once: what a reader unpacks at least. More than HAProxy's longest line, which is 64 KiB."""

UNPUNCHED = 8
"""So many times as long may a live file become where it can be shortened only by a reload."""

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a live file that are not put away; seconds and bytes that a folder keeps."""

    live: int = 64 << 20
    age: float = 14 * 86400.0
    total: int = 1 << 30


class Stopped(Exception):
    """The daemon leaves; nothing was changed."""


@dataclass(slots=True)
class Findings:
    """What one look found that somebody else has to do, or should know."""

    endless: set[int] = field(default_factory=set)
    """Living generations whose file is too long, and can be followed by another's only."""
    dropped: int = 0
    """Bytes that went for want of room, with nothing kept of them."""


def look(
    folder: str,
    *,
    living: Collection[int],
    newest: int,
    now: float,
    limits: Limits = Limits(),
    stop: Callable[[], bool] = lambda: False,
) -> Findings:
    """Do what is due. living: the generations that may still write; whatever is newer than `newest` was begun after
    that was asked, and lives. now: seconds since 1970. OSError: to be tried again; Stopped."""
    names = os.listdir(folder)
    for name in names:
        if name.endswith(UNFINISHED) and generation_of(name.removesuffix(UNFINISHED)) is not None:
            os.unlink(f"{folder}/{name}")
    findings, problem = Findings(), None
    for generation in sorted(found for name in names if (found := generation_of(name)) is not None):
        if generation > newest:
            continue
        try:
            live = _Live(folder, generation, now, limits, stop, findings)
            try:
                live.shorten() if generation in living else live.put_away_and_remove()
            finally:
                live.close()
        except OSError as error:
            problem = error
    _forget(folder, now, limits)
    if problem is not None:
        raise problem
    return findings


class _Live:
    """The file that a generation writes, or wrote."""

    def __init__(
        self, folder: str, generation: int, now: float, limits: Limits, stop: Callable[[], bool], findings: Findings
    ) -> None:
        self._folder, self._generation, self._now, self._limits = folder, generation, now, limits
        self._stop, self._findings = stop, findings
        self._path = f"{folder}/{file_name(generation)}"
        self._log = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self) -> None:
        os.close(self._log)

    def put_away_and_remove(self) -> None:
        begin, end = max(_first_byte(self._log), self._sealed), self._size
        while begin < end:
            begin = self._seal_or_make_room(begin, end, whole=True)
            with suppress(OSError):
                # One that wrote for days without a daemon would else be there twice until its end.
                punch(self._log, begin)
        os.unlink(self._path)

    def shorten(self) -> None:
        begin, sealed = _first_byte(self._log), self._sealed
        if begin < sealed:
            # Somebody was killed between the rename and this.
            punch(self._log, sealed)
            begin = sealed
        # What comes meanwhile is the next look's: a slow disk would never catch up with it.
        size = self._size
        while self._is_due(begin, size):
            if not self._can_punch():
                if size - begin > UNPUNCHED * self._limits.live or self._is_of_an_earlier_day(begin):
                    self._findings.endless.add(self._generation)
                return
            end = self._seal_or_make_room(begin, size, whole=False)
            if end == begin:
                return
            punch(self._log, end)
            begin = end

    def _is_due(self, begin: int, size: int) -> bool:
        return size - begin > self._limits.live or self._is_of_an_earlier_day(begin)

    def _is_of_an_earlier_day(self, begin: int) -> bool:
        written = written_at(os.pread(self._log, 64, begin))
        return written != "" and written[:8] < _stamp(self._now)[:8]

    def _can_punch(self) -> bool:
        try:
            return talent(self._folder) != "none"
        except OSError:
            # A full disk: it could not be tried. Where it does not work nothing is lost but time.
            return True

    def _seal_or_make_room(self, begin: int, end: int, *, whole: bool) -> int:
        """Up to where it is put away now. On a full disk room is made for what is long, and what is short waits."""
        while True:
            try:
                return self._seal(begin, min(end, begin + self._limits.live), whole=whole and end)
            except OSError as problem:
                if problem.errno not in FULL or end - begin <= self._limits.live:
                    raise
                oldest = min(_segments(self._folder), default=None)
                if oldest is None:
                    return self._drop(begin, end)
                os.unlink(f"{self._folder}/{oldest.name}")

    def _drop(self, begin: int, end: int) -> int:
        """There is no room, and nothing older: let the older half of what may be live go."""
        keep = max(begin, end - self._limits.live // 2)
        line_end = os.pread(self._log, BLOCK, keep).find(b"\n")
        cut = keep + line_end + 1
        punch(self._log, cut)
        self._findings.dropped += cut - begin
        return cut

    def _seal(self, begin: int, end: int, *, whole: int | bool) -> int:
        """Put away what is between, up to the end of a line, as one segment; up to where that is. whole: where the file
        ends for ever, line or not."""
        part = f"{self._folder}/{file_name(self._generation)}{UNFINISHED}"
        copy = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        stamps: list[str] = []
        position = begin
        try:
            while position < end:
                if self._stop():
                    raise Stopped
                read = os.pread(self._log, min(BLOCK, end - position), position)
                block = read[: _end_of_lines(read, last=position + len(read) == whole)]
                if not block and whole and position == begin:
                    block = read  # no line is that long: it ends in no segment
                if not block:
                    break
                _write_all(copy, packed(block))
                stamps += _times(block)
                position += len(block)
            if position > begin:
                os.fsync(copy)
                first, last = (end(stamps, default=_stamp(self._now)) for end in (min, max))
                segment = Segment(generation=self._generation, begin=begin, end=position, first=first, last=last)
                os.rename(part, f"{self._folder}/{segment.name}")
                # After a power cut the segment must be there if the hole is.
                flush_folder(self._folder)
        finally:
            os.close(copy)
            with suppress(FileNotFoundError):
                os.unlink(part)
        return position

    @property
    def _sealed(self) -> int:
        """Up to where it lies in segments."""
        mine = [one.end for one in _segments(self._folder) if one.generation == self._generation]
        return max(mine, default=0)

    @property
    def _size(self) -> int:
        return os.fstat(self._log).st_size


def _forget(folder: str, now: float, limits: Limits) -> None:
    """Remove the oldest segments, until none is too old and all together are not too much."""
    there = sorted(_segments(folder))
    sizes = {one: _blocks(f"{folder}/{one.name}") for one in there}
    alive = [name for name in os.listdir(folder) if generation_of(name) is not None]
    total = sum(sizes.values()) + sum(_blocks(f"{folder}/{name}") for name in alive)
    for one in there:
        if one.last < _stamp(now - limits.age) or total > limits.total:
            os.unlink(f"{folder}/{one.name}")
            total -= sizes[one]


def _segments(folder: str) -> list[Segment]:
    return [one for name in os.listdir(folder) if (one := segment_of(name)) is not None]


def _blocks(path: str) -> int:
    """Bytes that it takes on the disk: a hole takes none."""
    return os.stat(path, follow_symlinks=False).st_blocks * 512


def _first_byte(log: int) -> int:
    """Where what is no hole begins, to the byte; the size when there is nothing. HAProxy writes no zeros."""
    position, size = first_data(log), os.fstat(log).st_size
    while position < size:
        block = os.pread(log, STEP, position)
        rest = block.lstrip(b"\0")
        position += len(block) - len(rest)
        if rest or not block:
            break
    return position


def _end_of_lines(block: bytes, *, last: bool) -> int:
    """How much of it to take: whole lines. last: nothing will follow. A block without any end is taken as it is."""
    if last:
        return len(block)
    end = block.rfind(b"\n") + 1
    return len(block) if not end and len(block) == BLOCK else end


def _times(block: bytes) -> list[str]:
    """When its first and its last line were written, as far as they say so."""
    last = block.rfind(b"\n", 0, len(block) - 1) + 1
    return [time for line in (block[:64], block[last : last + 64]) if (time := written_at(line))]


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
