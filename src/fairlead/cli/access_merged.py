"""All generations' access logs as one: merged by time, and followed.

In: folders of access logs, a time, a filter. Out: lines in the order of their times, from the newest back or from the
oldest on; a generation's files are opened when its turn comes, so that the last lines of a log of many generations cost
no more than those of one. The law: each line once, also while HAProxies come and go and the daemon compresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fairlead.cli.access_files import Chain, Passes, Span, names_in
from fairlead.core.accesslog import generation_of, segment_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one generation wrote into one folder. oldest, newest: bounds of its lines' times, as far as they are known
    without opening it."""

    folder: str
    generation: int
    oldest: bytes
    newest: bytes

    @property
    def key(self) -> tuple[str, int]:
        return self.folder, self.generation


def find(folders: list[str]) -> list[Written]:
    """All that there is."""
    found = []
    for folder in folders:
        names = names_in(folder)
        live = {generation for name in names if (generation := generation_of(name)) is not None}
        segments = [one for name in names if (one := segment_of(name)) is not None]
        for generation in live | {one.generation for one in segments}:
            mine = [one for one in segments if one.generation == generation]
            oldest = _as_in_lines(min(one.first for one in mine)) if mine else b""
            newest = b"~" if generation in live else _as_in_lines(max(one.last for one in mine)) + b"~"
            found.append(Written(folder=folder, generation=generation, oldest=oldest, newest=newest))
    return found


def merged(
    chains: list[tuple[Written, Chain | None]], span: Span, passes: Passes, *, newest_first: bool
) -> Iterator[bytes]:
    """Their lines of that time that pass. A chain that is given is read and stays open; another is opened in its turn,
    and closed again."""
    turn = max if newest_first else min
    waiting = sorted(chains, key=lambda one: one[0].newest if newest_first else one[0].oldest, reverse=not newest_first)
    active: list[tuple[bytes, bytes, Iterator[tuple[bytes, bytes]]]] = []
    while waiting or active:
        best = turn(active, key=lambda one: one[0], default=None)
        if waiting and (best is None or _is_due(waiting[-1][0], best[0], newest_first)):
            lines = _lines(*waiting.pop(), span, passes, newest_first=newest_first)
        else:
            assert best is not None
            active.remove(best)
            yield best[1]
            lines = best[2]
        for time, line in lines:
            active.append((time, line, lines))
            break


def _is_due(written: Written, time: bytes, newest_first: bool) -> bool:
    return written.newest >= time if newest_first else written.oldest <= time


def _lines(
    written: Written, chain: Chain | None, span: Span, passes: Passes, *, newest_first: bool
) -> Iterator[tuple[bytes, bytes]]:
    opened = chain or Chain(*written.key)
    try:
        yield from opened.lines(span, passes, newest_first=newest_first)
    finally:
        if chain is None:
            opened.close()


class Following:
    """Goes on where what there was ends. Close it."""

    def __init__(self, folders: list[str], passes: Passes) -> None:
        self._folders, self._passes = folders, passes
        self._known: set[tuple[str, int]] = set()
        self._open: dict[tuple[str, int], tuple[Chain, int]] = {}

    def past(self) -> list[tuple[Written, Chain | None]]:
        """All that there is, for `merged`; from now on `new` gives what comes behind it."""
        found: list[tuple[Written, Chain | None]] = []
        for written in find(self._folders):
            self._known.add(written.key)
            chain = None
            if written.newest == b"~":
                chain = Chain(*written.key)
                self._open[written.key] = chain, chain.end
            found.append((written, chain))
        return found

    def new(self) -> list[bytes]:
        """What has come since the last look, in about its order."""
        for written in find(self._folders):
            if written.key not in self._known:
                self._known.add(written.key)
                self._open[written.key] = Chain(*written.key), 0
        timed: list[tuple[bytes, bytes]] = []
        for key, (chain, position) in list(self._open.items()):
            while True:
                over = chain.over
                end, lines = chain.new_lines(position)
                timed += Span().chosen(lines, self._passes)
                if end == position:
                    break
                position = end
            self._open[key] = chain, position
            if over:
                chain.close()
                del self._open[key]
        return [line for _, line in sorted(timed, key=lambda one: one[0])]

    def close(self) -> None:
        for chain, _ in self._open.values():
            chain.close()
        self._open = {}


def _as_in_lines(stamp: str) -> bytes:
    """`20261121T192243Z` as `2026-11-21T19:22:43`, so that it can be compared with a line's."""
    date, time = stamp[:8], stamp[9:15]
    return f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}".encode()
