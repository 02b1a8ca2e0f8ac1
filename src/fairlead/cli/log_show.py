"""Logs printed: merged by time, each line behind the name of its instance, then followed."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from fairlead.cli import output
from fairlead.cli.log_files import Filter, Follower, Line, LogFile, Past
from fairlead.cli.screen import pause

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
PACE = 0.2
"""Seconds between two looks with --follow; a look at 100 files takes a fraction of a millisecond."""


def show(
    look: Callable[[], list[LogFile]],
    shown: Sequence[LogFile],
    meant: Filter,
    follow: bool,
    printer: Printer,
    known: set[str] | None = None,
) -> int:
    """Print the past of `shown`, then follow all that `look` finds. known: whose past is not to be shown."""
    pasts = {log: Past(log) for log in shown}
    printer.make_room(log.instance for log in shown)
    printed = False
    for line in _merged([past.lines(meant) for past in pasts.values()], [log.written_at for log in shown]):
        printer.show(line)
        printed = True
    if not printed and not follow:
        output.note("no line matches what was asked for")
    followers = {log.instance: Follower(log, past.end) for log, past in pasts.items()}
    known = {*followers} | (known or set())
    try:
        while follow:
            for log in look():
                if log.instance not in known:
                    known.add(log.instance)
                    followers[log.instance] = Follower(log, 0)
            for follower in followers.values():
                _show_new(follower, meant, printer)
            print(end="", flush=True)
            pause(PACE)
    except KeyboardInterrupt:
        return 130
    return 0


def _merged(logs: Sequence[Iterator[Line]], written_at: Sequence[float]) -> Iterator[Line]:
    """Lines of several logs by their times, never one before another of its own log; one without a time counts as
    written when its log was written last."""

    def timed(log: Iterator[Line], place: int) -> Iterator[tuple[float, int, Line]]:
        latest = float("-inf")
        for line in log:
            latest = max(latest, written_at[place] if line.at is None else line.at)
            yield latest, place, line

    streams = [timed(log, place) for place, log in enumerate(logs)]
    return (line for _, _, line in heapq.merge(*streams, key=lambda entry: entry[:2]))


def _show_new(follower: Follower, meant: Filter, printer: Printer) -> None:
    """Print what is new. Its time is that of its arrival here."""
    before, now = follower.missed, time.time()
    for text in follower.new_lines():
        line = Line(follower.log, text, now)
        if meant.passes(line):
            printer.show(line)
    if follower.missed > before:
        name, missed = output.cell(follower.log.instance), follower.missed - before
        output.note(f"{missed} bytes of {name} are not shown: it wrote more than is kept before they could be read")


class Printer:
    """Prints lines behind the coloured name of their instance, or as JSON. plain: as they are."""

    def __init__(self, as_json: bool) -> None:
        self.plain = False
        self._json = as_json
        self._colour = output.coloured(sys.stdout)
        self._colours: dict[str, str] = {}
        self._width = 0

    def make_room(self, instances: Iterator[str]) -> None:
        """Names of these lengths are to stand in one column."""
        self._width = max([self._width, *(len(output.cell(instance)) for instance in instances)])

    def show(self, line: Line) -> None:
        if self._json:
            self._show_json(line)
            return
        if self.plain:
            output.data(line.shown)
            return
        name = output.cell(line.log.instance)
        self._width = max(self._width, len(name))
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        output.data(f"{output.paint(f'{name:<{self._width}} |', colour, on=self._colour)} {line.shown}")

    def _show_json(self, line: Line) -> None:
        from json import dumps

        at = None
        if line.at is not None:
            at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        own = self.plain or line.log.name != "log"
        fields = {
            "instance": line.log.instance,
            "service": None if own else line.log.service,
            "release": line.log.release,
            "line": line.text.decode("utf-8", errors="backslashreplace").rstrip("\r"),
            "at": at,
        }
        output.data(dumps(fields))
