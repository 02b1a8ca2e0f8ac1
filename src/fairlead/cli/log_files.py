"""The log files of a stack's instances and runs: found, read by line, and followed while they grow.

Each instance appends to `log` in its own folder; the daemon moves the beginning of a long one to `log.1`, and notes
when it was written (`aiokit.cappedlog`, `aiokit.logmarks`). Reading needs no daemon, and sees each line once whatever
is moved meanwhile. A run's id holds a dot (`nightly.job-17`, `web.before-2`), which no service's name does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from fairlead.aiokit.cappedlog import BLOCK, CappedLog
from fairlead.aiokit.logmarks import Times, read_marks
from fairlead.core.printable import printable
from fairlead.engines.about import About, read_about

LONGEST = 64 * 1024
"""Bytes at which a line without an end is shown as it is."""


@dataclass(frozen=True)
class LogFile:
    """The log of one instance. name: of the file in its folder."""

    instance: str
    folder: str
    name: str = "log"

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def written_at(self) -> float:
        """When it last grew, as a wall clock; 0 when it is gone."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return 0.0

    @property
    def ended(self) -> bool:
        """Nothing more will be written; an unfinished line is all there will be of it."""
        return any(os.path.lexists(f"{self.folder}/{name}") for name in ("exit", "cleared"))

    @cached_property
    def about(self) -> About | None:
        """Who wrote it; None when nobody noted that."""
        return read_about(self.folder)

    @property
    def service(self) -> str:
        return (self.about and self.about.service) or service_of(self.instance).partition(".")[0]

    @property
    def release(self) -> int | None:
        return self.about.release if self.about else None


def service_of(instance: str) -> str:
    """`web` of `web-12`, `nightly.job` of `nightly.job-17`."""
    return instance.rpartition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which logs are meant. None: whichever. Without `instance` and `job` no run is meant."""

    service: str | None = None
    instance: str | None = None
    job: str | None = None
    release: int | None = None

    def means(self, log: LogFile) -> bool:
        group = service_of(log.instance)
        if self.instance is not None:
            meant = log.instance == self.instance
        elif self.job is not None:
            meant = group == f"{self.job}.job"
        else:
            meant = "." not in group and self.service in (None, group)
        return meant and (self.release is None or log.release == self.release)

    def __str__(self) -> str:
        if self.instance is not None:
            found = f"instance '{self.instance}'"
        elif self.job is not None:
            found = f"job '{self.job}'"
        else:
            found = f"service '{self.service}'" if self.service is not None else "any instance"
        return found + (f" of release {self.release}" if self.release is not None else "")


def every(folder: str) -> list[LogFile]:
    """All logs below a stack's folder of instances, by name."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    logs = (LogFile(name, f"{folder}/{name}") for name in sorted(names))
    return [log for log in logs if os.path.exists(log.path)]


def find(folder: str, choice: Choice) -> list[LogFile]:
    """Those of them that are meant, the one written last at the end."""
    return sorted(filter(choice.means, every(folder)), key=lambda log: log.written_at)


class Splitter:
    """Bytes come in, lines without their ends go out, each with where it begins; one longer than LONGEST in pieces."""

    def __init__(self, position: int, *, broken: bool = False) -> None:
        """broken: what comes first may be the rest of a line; it is left out."""
        self.position = position
        """Where the unfinished line begins."""
        self.unfinished = b""
        self._broken = broken

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        *complete, self.unfinished = (self.unfinished + block).split(b"\n")
        for line in complete:
            if not self._broken:
                yield self.position, line
            self._broken = False
            self.position += len(line) + 1
        if len(self.unfinished) > LONGEST:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """What has no end yet, if it is to be shown as it is."""
        if self.unfinished:
            yield self.position, self.unfinished
            self.position += len(self.unfinished)
            self.unfinished = b""


@dataclass(frozen=True, slots=True)
class Line:
    """text: as written, without its end. at: about when, seconds since 1970; None: nobody knows."""

    log: LogFile
    text: bytes
    at: float | None = None

    @property
    def shown(self) -> str:
        """The text, harmless."""
        return printable(self.text.decode("utf-8", errors="surrogateescape")).replace("\n", "\\n").rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which lines are meant. since: seconds since 1970. last: at most so many. pattern: what they must hold."""

    since: float | None = None
    last: int | None = None
    pattern: re.Pattern[str] | None = None

    def passes(self, line: Line) -> bool:
        return self.pattern is None or self.pattern.search(line.shown) is not None


class Past:
    """What a log holds at this moment: its complete lines, and those without an end when its writer has ended."""

    def __init__(self, log: LogFile) -> None:
        self._log, self._capped = log, CappedLog(log.path)
        self._written_at = log.written_at
        self._times = Times(read_marks(log.path))
        self._ended = log.ended
        try:
            span = self._capped.span()
            self._begin, self._end = span.begin, span.end
        except FileNotFoundError:
            # Deleted a moment ago: it holds nothing.
            self._begin = self._end = 0
        self.end = self._end if self._ended else self._back(self._end, 1)
        """The position up to which the lines go."""

    def lines(self, meant: Filter) -> Iterator[Line]:
        """The lines that are meant, oldest first."""
        begin: int | None = self._begin
        if meant.since is not None:
            begin = self._times.begin(meant.since, self._written_at)
            if begin is None:
                return
            # A mark may be in the middle of a line; what was begun before was ended after.
            begin = self._back(max(begin, self._begin), 1)
        assert begin is not None
        if meant.last is not None and meant.pattern is None:
            begin = max(begin, self._back(self.end, meant.last + (not self._cut_short)))
        found = (line for line in self._read(begin) if meant.passes(line))
        yield from found if meant.last is None else deque(found, meant.last)

    def first(self, count: int) -> list[Line]:
        """Its first lines, as far as they are still there."""
        return list(islice(self._read(self._begin), count))

    @property
    def whole(self) -> bool:
        """Whether its very beginning is still there."""
        return self._begin == 0

    @property
    def _cut_short(self) -> bool:
        """Whether the last line shown has no end."""
        return self._ended and not self._capped.between(self.end - 1, self.end).endswith(b"\n")

    def _read(self, begin: int) -> Iterator[Line]:
        splitter = Splitter(begin, broken=begin == self._begin > 0)
        with contextlib.suppress(FileNotFoundError):
            for at, block in self._capped.blocks(begin):
                if at != splitter.position + len(splitter.unfinished):
                    # What comes next was moved away while we read.
                    splitter = Splitter(at, broken=True)
                for position, text in splitter.feed(block[: max(0, self.end - at)]):
                    yield self._line(position, text)
        for position, text in splitter.rest() if self._ended else ():
            yield self._line(position, text)

    def _line(self, position: int, text: bytes) -> Line:
        return Line(self._log, text, self._times.at(position, self._written_at))

    def _back(self, position: int, ends: int) -> int:
        """The position behind the line's end that is the `ends`th before `position`, or where all begins."""
        while position > self._begin:
            start = max(self._begin, position - BLOCK)
            block = self._capped.between(start, position)
            # Less than asked for when the oldest were moved away meanwhile.
            start, count = position - len(block), block.count(b"\n")
            if not block:
                break
            if count < ends:
                position, ends = start, ends - count
                continue
            found = len(block)
            for _ in range(ends):
                found = block.rindex(b"\n", 0, found)
            return start + found + 1
        return self._begin


@dataclass
class Follower:
    """Reads what one log got since it was last asked, from `position` on."""

    log: LogFile
    position: int
    missed: int = 0
    """Bytes that went before they were read: the program wrote more than is kept between two looks."""
    _seen: tuple[int, int] = (-1, -1)
    _splitter: Splitter = field(init=False)

    def __post_init__(self) -> None:
        self._splitter = Splitter(self.position)

    def new_lines(self) -> Iterator[bytes]:
        """Complete lines without their ends; the last one as it is once its writer has ended."""
        try:
            status = os.stat(self.log.path)
            if (status.st_size, status.st_mtime_ns) != self._seen:
                for block in self._blocks():
                    for _, line in self._splitter.feed(block):
                        yield line
                # Only now: a reader that is stopped in the middle has not seen it all.
                self._seen = (status.st_size, status.st_mtime_ns)
        except OSError:
            return
        if self._splitter.unfinished and self.log.ended:
            for _, line in self._splitter.rest():
                yield line

    def _blocks(self) -> Iterator[bytes]:
        capped = CappedLog(self.log.path)
        while True:
            at, block = capped.read(self.position)
            if at != self.position:
                # Later: what was between is gone. Earlier: the program emptied its log, and begins anew.
                self.missed += max(0, at - self.position)
                self._splitter = Splitter(at, broken=at > self.position)
                self.position = at
                continue
            if not block:
                return
            self.position += len(block)
            yield block
