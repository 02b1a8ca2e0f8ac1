"""A simulation as lines of text: the load against what the instances could answer, how many there were, and why. Pure.

In: results, and how to draw. Out: lines that fit the width. A column of the chart is its fullest second, so that no
spike is averaged away; what is above the capacity of that moment looks different.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from fairlead.cli.amounts import amount, percent
from fairlead.cli.amounts import span as time
from fairlead.cli.metrics_table import PERIODS
from fairlead.cli.moments import shown
from fairlead.cli.output import cell, duration, paint
from fairlead.cli.sparkline import BLOCKS, Glyphs, drawn
from fairlead.core.phrases import several, span

if TYPE_CHECKING:
    from fairlead.simulate.result import Decision, Result

LABEL, BESIDE = 11, 15
"""Characters left of the chart, and of the figures right of it."""

HEIGHT = 8
"""Lines of the chart."""

FEWEST = 20
"""Columns of the chart at least."""

MOST_DECISIONS = 40
"""That are shown; of more, the first and the last."""

HOUR, DAY = 3600, 86400

NICE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


class View(NamedTuple):
    width: int
    glyphs: Glyphs
    colour: bool

    @property
    def room(self) -> int:
        """Columns of the chart."""
        return max(FEWEST, self.width - LABEL - 2 - BESIDE)

    @property
    def line(self) -> str:
        return "─" if self.glyphs is BLOCKS else "~"

    @property
    def beyond(self) -> str:
        return "↑" if self.glyphs is BLOCKS else "^"

    @property
    def over(self) -> str:
        return "▒" if self.glyphs is BLOCKS else "!"


def picture(result: Result, view: View) -> list[str]:
    """One simulation: its chart and the rows below it."""
    each = period_of(result, view)
    lines = [_heading(result, each, view), ""]
    lines += _chart(result, each, view)
    lines += [*_rows(result, each, view), "", *_legend(view)]
    return lines


def rows_of(result: Result, name: str, view: View) -> list[str]:
    """One of several simulations of the same load: the rows without the chart."""
    return [paint(_cut(name, view.width), "bold", on=view.colour), *_rows(result, period_of(result, view), view)]


def period_of(result: Result, view: View) -> int:
    """Seconds of a column."""
    wanted = result.seconds / view.room
    return next((period for period in PERIODS if period >= wanted), 3600 * math.ceil(wanted / 3600))


def story(result: Result) -> Iterator[str]:
    """What became of the requests, in a few sentences."""
    found = result.summary
    lost = [
        f"{amount(count)} {what}"
        for count, what in (
            (found.refused, "refused (nobody served)"),
            (found.timed_out, "given up (they waited for the idle timeout)"),
            (found.cut, "cut off (inside when a deregistration delay was over)"),
        )
        if round(count, 3)
    ]
    yield f"requests     {amount(found.requests)}: {', '.join(lost) if lost else 'none lost'}"
    if found.queued:
        of_all = percent(100 * found.queued / found.requests)
        yield f"             {amount(found.queued)} ({of_all}) found the instances full when they came"
    label = "targets"
    for name, seconds in found.over_target.items():
        above = "never above" if not seconds else f"above for {span(seconds)}"
        yield f"{label:<12} {name}: {'nothing is known of it' if seconds is None else above}"
        label = ""
    if found.at_maximum:
        yield f"             {span(found.at_maximum)} of it with desired at its maximum"
    yield (
        f"instances    {found.instance_hours:.2f} instance-hours, at most {several(found.most_instances, 'instance')}, "
        f"at least {found.least_serving} serving"
    )
    flaps = f"{several(found.flaps, 'scale-in')} undone within 2 min" if found.flaps else "no flapping"
    yield f"decisions    {found.scale_outs} out, {found.scale_ins} in, {flaps}"


def decisions(result: Result, view: View, most: int = MOST_DECISIONS) -> Iterator[str]:
    """When, from how many to how many, and why."""
    every = result.decisions
    if len(every) > most:
        half = most // 2
        yield from _told(every[:half], result, view)
        yield f"  ... {len(every) - 2 * half} more; --json has them all"
        every = every[-half:]
    yield from _told(every, result, view)


COMPARED: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("lost requests", lambda one: _count(one.summary.refused + one.summary.timed_out + one.summary.cut)),
    ("found it full", lambda one: _count(one.summary.queued)),
    ("over target", lambda one: duration(one.summary.over_any)),
    ("  at maximum", lambda one: duration(one.summary.at_maximum)),
    ("p95 at worst", lambda one: time(one.summary.p95_worst)),
    ("cpu, mean", lambda one: percent(one.summary.cpu_mean)),
    ("instance-hours", lambda one: f"{one.summary.instance_hours:.2f}"),
    ("most instances", lambda one: str(one.summary.most_instances)),
    ("scale-outs", lambda one: str(one.summary.scale_outs)),
    ("scale-ins", lambda one: str(one.summary.scale_ins)),
    ("undone (flaps)", lambda one: str(one.summary.flaps)),
)


def compared(results: Sequence[tuple[str, Result]], view: View) -> Iterator[str]:
    """The variants beside each other; the best of a row is not marked, because what is best is the reader's."""
    letters = [chr(ord("A") + number) for number in range(len(results))]
    for letter, (name, _) in zip(letters, results, strict=True):
        yield f"  {paint(letter, 'bold', on=view.colour)}  {_cut(name, view.width - 5)}"
    yield ""
    yield f"  {'':<16}" + "".join(f"{letter:>8}" for letter in letters)
    for label, figure in COMPARED:
        yield f"  {label:<16}" + "".join(f"{figure(result):>8}" for _, result in results)


def _cut(name: str, most: int) -> str:
    text = cell(name)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _count(value: float) -> str:
    return amount(value) if round(value, 3) else "0"


def _told(every: Sequence[Decision], result: Result, view: View) -> Iterator[str]:
    from textwrap import wrap

    room = 14 if result.seconds > DAY else 8
    for one in every:
        at = _moment(result, one.second)
        change = f"{one.before} -> {one.desired}" if one.before != one.desired else str(one.desired)
        undoes = " (undoes the scale-in before)" if one.undoes else ""
        head = f"  {at:>{room}}  {paint(change, 'green' if one.desired > one.before else 'yellow', on=view.colour)}"
        head += " " * (10 - len(change))
        body = wrap(cell(one.cause) + undoes, max(30, view.width - room - 14)) or [""]
        yield f"{head}{body[0]}"
        yield from (f"{'':{room + 14}}{line}" for line in body[1:])


def _moment(result: Result, second: int) -> str:
    """How a second is told of a simulation of minutes, of hours, of days."""
    if result.seconds < HOUR:
        return duration(second)
    return format(_local(result.began + second), "%m-%d %H:%M:%S" if result.seconds > DAY else "%H:%M:%S")


def _heading(result: Result, each: int, view: View) -> str:
    name = paint(cell(result.service), "bold", on=view.colour)
    began = _local(result.began)
    sizes = f"{result.minimum}..{result.maximum}" if result.minimum != result.maximum else str(result.minimum)
    return f"{name}  {span(result.seconds)} from {shown(began)}, {sizes} instances, a column is {span(each)}"


def _chart(result: Result, each: int, view: View) -> Iterator[str]:
    """Requests per second as bars, with a line where capacity is."""
    seconds = result.fullest(each)
    most = max((load for load, _ in seconds if load is not None), default=0.0)
    ceiling = max((capacity for _, capacity in seconds), default=0.0)
    # Capacity that is far above the load would leave nothing of it to see.
    top = _nice(max(most, min(ceiling, 1.5 * most)) or 1.0)
    columns = [_column(load, capacity, top, view) for load, capacity in seconds]
    yield f"{'requests/s':>{LABEL}}"
    for row in reversed(range(HEIGHT)):
        number = amount(top * (row + 1) / HEIGHT) if row % 4 == 3 else ""
        line = "".join(_painted("".join(run), view) for _, run in groupby(column[row] for column in columns))
        beside = f"  {amount(most)}/s at most" if row == HEIGHT - 1 else ""
        yield f"{number:>{LABEL - 1}} {line}{beside}"
    yield f"{'0':>{LABEL - 1}} {_axis(result, each, len(columns))}"


def _column(load: float | None, capacity: float, top: float, view: View) -> list[str]:
    """One column of the chart, from below."""
    if load is None:
        return [view.glyphs.gap] + [" "] * (HEIGHT - 1)
    filled = math.ceil(8 * HEIGHT * min(load, top) / top - 1e-9)
    edge = max(0, math.ceil(HEIGHT * capacity / top) - 1)
    cells = []
    for row in range(HEIGHT):
        part = filled - 8 * row
        if part >= 8:
            cells.append(view.over if top * row / HEIGHT >= capacity else view.glyphs.levels[7])
        elif part > 0:
            cells.append(view.over if top * row / HEIGHT >= capacity else view.glyphs.levels[part - 1])
        else:
            cells.append(view.line if row == edge else " ")
    if capacity > top and cells[-1] == " ":
        cells[-1] = view.beyond
    return cells


def _painted(run: str, view: View) -> str:
    """Some of one character."""
    colour = {view.over: "red", view.line: "green", view.beyond: "green", " ": ""}.get(run[0], "cyan")
    return paint(run, colour, on=view.colour) if colour else run


def _axis(result: Result, each: int, columns: int) -> str:
    """The moments at the beginning, in the middle and at the end."""
    clock = "%m-%d" if result.seconds > 2 * DAY else "%H:%M"

    def said(column: int) -> str:
        at = column * each
        return format(_local(result.began + at), clock) if result.seconds >= HOUR else span(at)

    line = [" "] * (columns + 8)
    for column in (0, columns // 2, columns):
        text = said(column)
        start = max(0, min(column - (len(text) // 2 if column else 0), columns + 8 - len(text)))
        line[start : start + len(text)] = text
    return "".join(line).rstrip()


def _rows(result: Result, each: int, view: View) -> Iterator[str]:
    """Sparklines under the chart, column by column."""
    serving, cpu = result.column("serving", each, "last"), result.column("cpu", each, "max")
    waiting, p95 = result.column("waiting", each, "max"), result.column("p95", each, "max")
    few, many = int(min(_known(serving), default=0)), int(max(_known(serving), default=0))
    yield _row("instances", serving, float(max(result.maximum, many)), f"{few} to {many}", view)
    busiest = max(_known(cpu), default=0.0)
    yield _row("cpu", cpu, max(100.0, busiest), f"{percent(busiest)} at most", view)
    if any(_known(waiting)):
        longest = max(_known(waiting))
        yield _row("waiting", waiting, longest, f"{amount(longest)} at most", view)
    if _known(p95):
        slowest = max(_known(p95))
        yield _row("p95", p95, slowest, f"{time(slowest)} at most", view)


def _row(label: str, values: Sequence[float | None], top: float, beside: str, view: View) -> str:
    bars = paint(drawn(values, top, view.glyphs), "cyan", on=view.colour)
    return f"{label:>{LABEL - 1}} {bars}  {beside}"


def _legend(view: View) -> list[str]:
    from textwrap import wrap

    line = f"{view.line} what the instances can answer ({view.beyond} more than fits)"
    text = f"{line}; {view.over} load above it; {view.glyphs.legend}"
    return [paint(line, "dim", on=view.colour) for line in wrap(text, view.width)]


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _nice(value: float) -> float:
    """The next number that reads well."""
    scale = 10.0 ** math.floor(math.log10(value))
    return next((one * scale for one in NICE if one * scale >= value * (1 - 1e-9)), 10 * scale)


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at).astimezone()
