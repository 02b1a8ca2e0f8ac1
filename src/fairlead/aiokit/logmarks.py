"""When a log's bytes were written, as well as can be known of lines that carry no time.

Whoever looks after a log looks at it every few seconds, and when it has grown leaves a mark in `PATH.marks`, one a
line: the position it has grown to, the time of its last byte, and the time of the look before, both in seconds since
1970. So the bytes between two marks were written between the second mark's two times. In: looks; and, by whoever reads,
a time or a position. Out: where to begin for "since then", never too late and early by at most the pace of the looks;
and about when a byte was written. The file stays small: when there are too many marks, those older than an hour are
thinned, the further back the more.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from fairlead.aiokit.atomic import write_atomically

MOST = 2000
"""Marks of a log, some 80 kB."""

EXACT = 3600.0
"""Seconds back from the last mark in which every mark is kept."""

COARSENESS = 0.01
"""Of its age: how far apart older marks are."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The bytes up to `position`, from the mark before on, were written between `after` and `at` (seconds)."""

    position: int
    at: float
    after: float


def read_marks(path: str) -> list[Mark]:
    """The marks of the log `path`, oldest first; none when there are none."""
    try:
        with open(f"{path}.marks", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    marks: list[Mark] = []
    for line in lines:
        with suppress(ValueError):
            position, at, after = line.split()
            mark = Mark(int(position), float(at), float(after))
            # A line that a full disk cut short may say anything.
            if not marks or mark.position > marks[-1].position:
                marks.append(mark)
    return marks


class Marker:
    """Leaves the marks of one log. Only one at a time may."""

    def __init__(self, path: str) -> None:
        self.path = path
        marks = read_marks(path)
        self._count = len(marks)
        self._position = marks[-1].position if marks else 0
        self._looked_at = marks[-1].at if marks else None

    def look(self, position: int, written_at: float, now: float) -> None:
        """The log ends at `position`, its last byte came at `written_at`. OSError: it could not be marked."""
        after, self._looked_at = self._looked_at, now
        if position == self._position:
            return
        if position < self._position:
            # The program emptied its own log: what was said of it holds no more.
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}.marks")
            self._count = 0
        self._position = position
        self._append(Mark(position, written_at, min(written_at, written_at if after is None else after)))
        if self._count > MOST:
            marks = thinned(read_marks(self.path))
            write_atomically(f"{self.path}.marks", "".join(map(_line, marks)), durable=False)
            self._count = len(marks)

    def _append(self, mark: Mark) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(f"{self.path}.marks", flags, 0o600)
        try:
            os.write(file, _line(mark).encode())
        finally:
            os.close(file)
        self._count += 1


def thinned(marks: Sequence[Mark]) -> list[Mark]:
    """The marks of the last hour, and of those before it one a hundredth of its age; a mark that goes leaves its bytes
    to the next."""
    kept: list[Mark] = []
    for mark in reversed(marks):
        age = marks[-1].at - mark.at
        if kept and age > EXACT and 0 <= kept[-1].at - mark.at < COARSENESS * age:
            kept[-1] = replace(kept[-1], after=mark.after)
        else:
            kept.append(mark)
    kept.reverse()
    # Times that make no sense, after a clock was set back: the newest will do.
    return kept[-MOST // 2 :] if len(kept) > MOST * 3 // 4 else kept


class Times:
    """What the marks of one log say. Read once; a log without marks has no times."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks = marks
        self._positions = [mark.position for mark in marks]

    def begin(self, since: float, end: float) -> int | None:
        """The position from which everything written at `since` or later is found. end: the time of the last byte.

        None: all of it is older. 0: nobody knows, so everything is.
        """
        if not self._marks and end >= since:
            return 0
        before = 0
        for mark in self._marks:
            # The first such mark: a clock that was set back made later ones look older.
            if mark.at >= since:
                return before
            before = mark.position
        return before if end >= since else None

    def at(self, position: int, end: float) -> float | None:
        """About when the byte at `position` was written; evenly between the times that are known. end: as above."""
        if not self._marks:
            return None
        index = bisect_left(self._positions, position + 1)
        if index == len(self._marks):
            return max(end, self._marks[-1].at)
        mark = self._marks[index]
        first = self._positions[index - 1] if index else 0
        return mark.after + (mark.at - mark.after) * (position + 1 - first) / (mark.position - first)


def _line(mark: Mark) -> str:
    # A new line first: what is left of one that was cut short must not run into this one.
    return f"\n{mark.position} {mark.at:.3f} {mark.after:.3f}"
