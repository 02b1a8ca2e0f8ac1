"""Reading a log that another process appends to and a third one caps (`logcap`), by positions that never change.

A position counts bytes since the log's very beginning. The newest bytes are in `PATH`, those before them in `PATH.1`,
what came before is gone; `PATH.at` says where in all that `PATH` begins:

    BASE                      the first byte of PATH has position BASE
    BASE moving CUT INODE     the first CUT bytes are being moved to PATH.1, which then has this inode
    BASE collapsing CUT       they have been moved, and their hole is being closed

In: a path. Out: its bytes by position. The law: whenever one looks, and whenever whoever caps it was killed, each byte
that is kept is seen exactly once. A byte of PATH counts until it is in a hole; from then on the copy in PATH.1 does.
Reading takes no lock and needs nobody: all is looked at, read, and looked at again, until nothing was moved in between.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypeVar

from fairlead.aiokit.holes import first_data
from fairlead.core.printable import printable

BLOCK = 256 * 1024
"""Bytes read at once."""

TAIL = 256 * 1024
"""Bytes at the end of a log in which its last lines are looked for."""

TRIES = 100
"""Looks at a log while it is being moved; a move changes it three times in some milliseconds."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Place:
    """What `PATH.at` says. cut: offsets of PATH below it are being moved; inode: of the PATH.1 they are moved to."""

    base: int = 0
    phase: Literal["steady", "moving", "collapsing"] = "steady"
    cut: int = 0
    inode: int = 0

    def text(self) -> str:
        words = {"steady": "", "moving": f" moving {self.cut} {self.inode}", "collapsing": f" collapsing {self.cut}"}
        return f"{self.base}{words[self.phase]}\n"


def place_of(path: str) -> Place:
    """Where the log stands; at its beginning when nothing was ever moved."""
    try:
        with open(f"{path}.at", encoding="ascii", errors="replace") as file:
            words = file.read(256).split()
    except OSError:
        return Place()
    numbers = [int(word) for word in (*words[:1], *words[2:]) if word.isdecimal()]
    match words[1:2], numbers:
        case [], [base]:
            return Place(base)
        case ["moving"], [base, cut, inode]:
            return Place(base, "moving", cut, inode)
        case ["collapsing"], [base, cut]:
            return Place(base, "collapsing", cut)
    return Place()


@dataclass(frozen=True, slots=True)
class Span:
    """Positions: what is kept goes from `begin` to `end`; PATH has what is from `newer` on, PATH.1 the rest."""

    begin: int
    newer: int
    end: int
    base: int
    """The position of offset 0 of PATH."""


class CappedLog:
    """One log. Holds nothing open."""

    def __init__(self, path: str) -> None:
        self.path = path

    def span(self) -> Span:
        """What there is now. OSError when there is no log."""
        return self._at_one_moment(lambda span, newer, older: span)

    def read(self, position: int, size: int = BLOCK) -> tuple[int, bytes]:
        """At most `size` bytes from `position`, or from the oldest byte kept when that is later, and where they begin.

        No bytes: `position` is the end, or the program has emptied its log, and what it holds now begins where is said.
        OSError when there is no log.
        """

        def look(span: Span, newer: int, older: int | None) -> tuple[int, bytes]:
            begin = max(position, span.begin)
            if begin > span.end:
                return span.newer, b""
            if begin < span.newer and older is not None:
                return begin, os.pread(older, min(size, span.newer - begin), begin - span.begin)
            return begin, os.pread(newer, size, begin - span.base)

        return self._at_one_moment(look)

    def blocks(self, position: int) -> Iterator[tuple[int, bytes]]:
        """All there is from `position` to the present end, with where each block begins."""
        end = self.span().end
        while position < end:
            begin, block = self.read(position)
            if not block:
                return
            yield begin, block
            position = begin + len(block)

    def between(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`, less those that are gone."""
        found = []
        for at, block in self.blocks(begin):
            if at >= end:
                break
            found.append(block[: end - at])
        return b"".join(found)

    def _at_one_moment(self, look: Callable[[Span, int, int | None], Found]) -> Found:
        for _ in range(TRIES):
            with ExitStack() as stack:
                place = place_of(self.path)
                newer = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                stack.callback(os.close, newer)
                data = first_data(newer)
                older = None
                try:
                    older = os.open(f"{self.path}.1", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                    stack.callback(os.close, older)
                except FileNotFoundError:
                    pass
                found = look(_span(place, newer, data, older), newer, older)
                # Within one text of PATH.at the first data moves only once: so equal now means equal all the time.
                if place_of(self.path) == place and first_data(newer) == data:
                    return found
        raise OSError(errno.EAGAIN, "it is moved all the time", self.path)


def last_lines(path: str, count: int) -> str:
    """The last lines of a log as text, control characters made harmless; "" when there is no log. OSError."""
    try:
        log = CappedLog(path)
        blocks = [block for _, block in log.blocks(log.span().end - TAIL)]
    except FileNotFoundError:
        return ""
    text = printable(b"".join(blocks).decode("utf-8", "replace"))
    return "\n".join(text.rstrip("\n").split("\n")[-count:]) if count > 0 else ""


def _span(place: Place, newer: int, data: int, older: int | None) -> Span:
    # The hole is as long as what was moved: it was not yet closed. It is shorter: it was.
    base = place.base + (place.cut if place.phase == "collapsing" and data < place.cut else 0)
    begin = base + data
    end = base + max(os.fstat(newer).st_size, data)
    if older is None:
        return Span(begin, begin, end, base)
    status = os.fstat(older)
    # A copy of what has not been taken out of PATH yet counts for nothing.
    early = place.phase == "moving" and data < place.cut and status.st_ino == place.inode
    return Span(begin if early else begin - status.st_size, begin, end, base)
