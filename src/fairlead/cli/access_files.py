"""What one generation of HAProxy wrote into an access log, by positions that never change. Needs no daemon.

In: a folder of `core.accesslog` and a generation. Out: its lines, each once, whatever is compressed or removed
meanwhile, from the newest back or from the oldest on. The law: the live file is opened before the segments are listed,
and what reads as zero there is looked for in the segments once more; so each byte is found on one side. Lines are in
about the order of their times, and each piece of them is read for itself.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from fairlead.aiokit.holes import first_data
from fairlead.aiokit.packed import Member, Packed
from fairlead.core.accesslog import Segment, file_name, segment_of, stamp_of

BLOCK = 1 << 20
"""Bytes of a live file that are read as one piece."""

LONGEST = 64 << 10
"""Bytes of HAProxy's longest line."""

HEAD = 16 << 10
"""Bytes of a piece that are looked at to find out when it was written: some forty lines, because that of a long request
may be older than its neighbours."""

Passes = Callable[[bytes], bool]
Timed = tuple[bytes, bytes]
"""When a line was written, as it says itself (never against the order of its file), and the line."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, as lines write times (`2026-11-21T19:22:43.123456Z`). early, late: the same with room for
    lines that are out of order."""

    since: bytes = b""
    until: bytes = b"~"
    early: bytes = b""
    late: bytes = b"~"

    def touches(self, segment: Segment) -> bool:
        late = stamp_of(self.late.decode()) if self.until != b"~" else "~"
        return segment.first <= late and (not self.early or segment.last >= stamp_of(self.early.decode()))

    def chosen(self, lines: Iterable[bytes], passes: Passes) -> Iterator[Timed]:
        """Those of that time that pass."""
        since, until = self.since, self.until
        for line in lines:
            time = time_of(line)
            if since <= time <= until and time and passes(line):
                yield time, line


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole lines: a member of a segment, or those that begin in a part of the live file."""

    begin: int
    end: int
    member: Member | None = None


class Chain:
    """One generation's lines. Close it."""

    def __init__(self, folder: str, generation: int) -> None:
        self._folder, self._generation = folder, generation
        self._live = -1
        with suppress(FileNotFoundError):
            path = f"{folder}/{file_name(generation)}"
            self._live = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._packed: tuple[Segment, Packed] | None = None
        # In this order: what is a hole by then is in a segment.
        data = first_data(self._live) if self._live >= 0 else 0
        self._segments = self._listed()
        sealed = self._segments[-1].end if self._segments else 0
        self._live_from = max(sealed, data)
        self.end = self._end(sealed)
        """Up to where there were whole lines when it was opened."""

    def close(self) -> None:
        self._shut()
        if self._live >= 0:
            os.close(self._live)
            self._live = -1

    @property
    def over(self) -> bool:
        """Whether nothing more will be written: its live file was removed."""
        return self._live < 0 or os.fstat(self._live).st_nlink == 0

    def lines(self, span: Span, passes: Passes, *, newest_first: bool) -> Iterator[Timed]:
        """Those of that time that pass."""
        key = b"~" if newest_first else b""
        for segment, piece in self._pieces(span, newest_first):
            lines = self._lines(segment, piece)
            for time, line in span.chosen(reversed(lines) if newest_first else lines, passes):
                key = min(key, time) if newest_first else max(key, time)
                yield key, line

    def new_lines(self, position: int) -> tuple[int, list[bytes]]:
        """The whole lines that begin at `position` or behind it, some `BLOCK` at most, and up to where they go."""
        size = os.fstat(self._live).st_size if self._live >= 0 else self.end
        data = self._between(position, min(size, position + BLOCK))
        end = max(data.rfind(b"\n"), data.rfind(b"\0")) + 1
        if self.over and position + len(data) >= size:
            end = len(data)
        return position + end, _split(data[:end])

    def _listed(self) -> list[Segment]:
        found = (segment_of(name) for name in names_in(self._folder))
        mine = (one for one in found if one is not None and one.generation == self._generation)
        return sorted(mine, key=lambda one: one.begin)

    def _end(self, sealed: int) -> int:
        if self._live < 0:
            return sealed
        size = os.fstat(self._live).st_size
        begin = max(sealed, size - LONGEST)
        return max(sealed, begin + self._between(begin, size).rfind(b"\n") + 1)

    def _pieces(self, span: Span, newest_first: bool) -> Iterator[tuple[Segment | None, Piece]]:
        step = -1 if newest_first else 1
        regions: list[Segment | None] = [*self._segments, None]
        for segment in regions[::step]:
            if segment is None or span.touches(segment):
                for piece in self._of_that_time(segment, self._region(segment), span)[::step]:
                    yield segment, piece

    def _region(self, segment: Segment | None) -> list[Piece]:
        """The pieces of a segment, or of the live file (None); none of a segment that is gone or damaged."""
        if segment is not None:
            with suppress(OSError):
                return [
                    Piece(segment.begin + one.begin, segment.begin + one.end, one)
                    for one in self._opened(segment).members
                ]
            return []
        return [Piece(at, min(at + BLOCK, self.end)) for at in range(self._live_from, self.end, BLOCK)]

    def _of_that_time(self, segment: Segment | None, pieces: list[Piece], span: Span) -> list[Piece]:
        """Those that may hold lines of that time."""

        def head(piece: Piece) -> bytes:
            """The latest time near its beginning. Of one that does not say: that which leaves nothing out."""
            if segment is not None and piece.member is not None:
                lines = _split(self._opened(segment).unpack(piece.member, HEAD))
            else:
                lines = _split(self._between(piece.begin, piece.begin + HEAD))[1:]
            return max(
                (time for line in lines if (time := time_of(line))[:1].isdigit()), default=span.early or span.late
            )

        with suppress(OSError):
            if span.until != b"~":
                pieces = pieces[: bisect_right(pieces, span.late, key=head) + 1]
            if span.since:
                pieces = pieces[max(0, bisect_left(pieces, span.early, key=head) - 1) :]
        return pieces

    def _lines(self, segment: Segment | None, piece: Piece) -> list[bytes]:
        if segment is not None and piece.member is not None:
            with suppress(OSError):
                return _split(self._opened(segment).unpack(piece.member))
            return []
        # The lines that begin in it: what was begun before belongs to the piece before, what goes beyond its end to it.
        begin = max(0, piece.begin - 1)
        data = self._between(begin, min(self.end, piece.end + LONGEST))
        first = 0 if piece.begin == 0 else _behind_end(data, 0)
        last = _behind_end(data, piece.end - 1 - begin)
        return _split(data[first:last])

    def _between(self, begin: int, end: int) -> bytes:
        """Those bytes; what is gone reads as zeros, what is not there yet is missing."""
        parts = []
        listed = False
        while begin < end:
            segment = self._segment_at(begin)
            block = self._unpacked(segment, begin) if segment else self._read(begin, end - begin)
            if block[:1] == b"\0" and not segment and not listed:
                # It may have been compressed since segments were listed.
                self._segments, listed = self._listed(), True
                continue
            if not segment:
                zero = block.find(b"\0")
                block = block if zero < 0 or (listed and zero == 0) else block[:zero]
            if not block:
                break
            parts.append(block[: end - begin])
            begin += len(parts[-1])
            listed = False
        return b"".join(parts)

    def _segment_at(self, position: int) -> Segment | None:
        place = bisect_right(self._segments, position, key=lambda one: one.end)
        found = self._segments[place] if place < len(self._segments) else None
        return found if found is not None and found.begin <= position else None

    def _unpacked(self, segment: Segment, position: int) -> bytes:
        """What it has from there on, up to the end of a member; zeros when it is gone or damaged."""
        try:
            packed, at = self._opened(segment), position - segment.begin
            member = packed.members[bisect_right(packed.members, at, key=lambda one: one.end)]
            return packed.unpack(member)[at - member.begin :]
        except (OSError, IndexError):
            return bytes(min(BLOCK, segment.end - position))

    def _read(self, begin: int, size: int) -> bytes:
        return os.pread(self._live, size, begin) if self._live >= 0 else b""

    def _opened(self, segment: Segment) -> Packed:
        if self._packed is None or self._packed[0] != segment:
            self._shut()
            self._packed = segment, Packed(f"{self._folder}/{segment.name}")
        return self._packed[1]

    def _shut(self) -> None:
        if self._packed is not None:
            self._packed[1].close()
            self._packed = None


def names_in(folder: str) -> list[str]:
    """What lies there; nothing when there is no such folder."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def time_of(line: bytes) -> bytes:
    """The second field; b"": there is none."""
    fields = line.split(b" ", 2)
    return fields[1] if len(fields) == 3 else b""


def _behind_end(data: bytes, begin: int) -> int:
    """Behind the first end of a line from `begin` on. A hole ends one, too: what is in it is gone."""
    match = _END.search(data, begin)
    return match.end() if match else len(data)


_END = re.compile(rb"[\n\0]")


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n") if b"\0" not in data else re.split(rb"[\0\n]+", data)
    return lines if lines[-1] else lines[:-1]
