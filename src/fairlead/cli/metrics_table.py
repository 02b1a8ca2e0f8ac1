"""Metrics as sparklines for people: the contract of `fairlead metrics --json` comes in, lines come out. Pure.

One block for each service: a line a metric, with its last, least and greatest value and what the span makes together.
Below it, when a service is asked for, a table of its zones and targets, in which a column has one scale, so that they
can be compared. The width, the characters and the use of colour are arguments; what does not fit is left out, the least
important first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fairlead.cli.amounts import UNKNOWN
from fairlead.cli.amounts import span as time
from fairlead.cli.metrics_rows import Row, Series, row_of_metric, rows_of_service, rows_of_stack
from fairlead.cli.moments import shown as moment_shown
from fairlead.cli.output import cell, paint
from fairlead.cli.sparkline import Glyphs, drawn, folded
from fairlead.core.phrases import several, span

LABEL = len("outstanding")
"""Characters of the column of names, at least."""

NAME = 20
"""The same where instances are named there, of which we do not know before they are told how long they are."""

LAST, LEAST, MOST, OVERALL = 8, 7, 7, 15
"""Characters of the columns beside a sparkline."""

ROOM = 24
"""Characters that a sparkline should have; below it, columns beside it give way."""

FEWEST = 4
"""Characters that a sparkline has at least."""

SMALL, VALUE = 6, 7
"""Characters of a sparkline, at least, and of the value beside it in the table of targets."""

COMPARED = ("requests/s", "errors/s", "p95", "cpu", "memory", "outstanding")
"""What the table of targets shows, the most important first."""

MOST_TARGETS = 20
"""Targets that are shown; more only when they are there at the end."""

SHORT = {"requests/s": "req/s", "errors/s": "err/s", "outstanding": "outst.", "memory": "mem"}

PERIODS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 3600, 7200, 10800)
"""Seconds that a character may stand for; beyond the last, whole hours."""


class View(NamedTuple):
    """How to draw. wanted: exactly these metrics."""

    width: int
    glyphs: Glyphs
    colour: bool
    wanted: tuple[str, ...] = ()


class Block(NamedTuple):
    """parts: what is compared below the rows."""

    title: str
    rows: list[Row]
    parts: Sequence[Series] = ()


class Columns(NamedTuple):
    """What stands beside a label: a sparkline of so many characters, and which of the figures."""

    label: int
    room: int
    least: bool
    most: bool
    overall: bool


def period_for(seconds: float, view: View) -> int:
    """The length in seconds of a character, with which the span fits into a sparkline."""
    # One more than fits may begin in the span.
    wanted = seconds / (_columns(NAME if view.wanted else LABEL, view.width).room - 1)
    if wanted <= PERIODS[-1]:
        return next(period for period in PERIODS if period >= wanted)
    return min(86400, 3600 * math.ceil(wanted / 3600))


def table(answer: Mapping[str, Any], view: View) -> list[str]:
    """Its lines. answer: the contract."""
    period = float(answer["period"])
    every, left_out = _those_that_matter([Series(one, period) for one in answer["series"]])
    blocks = list(_by_metric(every, view) if view.wanted else _by_service(every))
    every_row = [row for block in blocks for row in block.rows]
    columns = _columns(max([LABEL, *(len(row.label) for row in every_row)]), view.width)
    points = max((len(row.values) for row in every_row), default=0)
    each = max(1, math.ceil(points / columns.room))
    lines = [*_heading(answer, view, period * each), *_incomplete(answer, view, columns, points, each)]
    for block in blocks:
        lines += ["", _titles(block.title, columns, view), *(_line(row, columns, each, view) for row in block.rows)]
        lines += _compared(block.parts, each, view)
    if left_out:
        lines += ["", f"{several(left_out, 'more target')} that ended before; --target ID shows one"]
    return [*lines, "", *_legend(every_row, each, view)] if blocks else lines


def is_empty(answer: Mapping[str, Any]) -> bool:
    """Whether nothing at all is known of that time."""
    return not any(
        value is not None for series in answer["series"] for metric in series["metrics"] for value in metric["values"]
    )


def _those_that_matter(every: Sequence[Series]) -> tuple[list[Series], int]:
    """Without the targets that ended first, when there are many; and how many those are."""
    ended = {id(one): one.last_known for one in every if one.target}
    newest = max(ended.values(), default=-1)
    order = sorted(ended, key=lambda one: ended[one], reverse=True)
    kept = {one for place, one in enumerate(order) if place < MOST_TARGETS or ended[one] == newest}
    return [one for one in every if not one.target or id(one) in kept], len(ended) - len(kept)


def _by_service(every: Sequence[Series]) -> Iterator[Block]:
    """A block for each service with its zones and targets below; for each zone, or target, when only these were asked
    for. What no service has comes last."""
    widest = min((one.depth for one in every if one.service), default=0)
    for series in every:
        if series.service and series.depth == widest:
            below = [one for one in every if one.service == series.service and one.depth > widest]
            yield Block(_name(series), rows_of_service(series), below)
    for series in every:
        if not series.service:
            yield Block(_name(series), rows_of_stack(series))


def _by_metric(every: Sequence[Series], view: View) -> Iterator[Block]:
    """One for each statistic of each metric, so that those who have it can be compared."""
    for name in view.wanted:
        for statistic in dict.fromkeys(statistic for series in every for statistic in series.statistics(name)):
            made = [row_of_metric(series, name, statistic, _name(series)) for series in every]
            title = f"{name}/s" if statistic == "Sum" else f"{name} {statistic}"
            yield Block(title, [row for row in made if row is not None])


def _name(series: Series) -> str:
    if series.target:
        return cell(series.target)
    if series.zone:
        return f"{cell(series.service)}, zone {cell(series.zone)}"
    return cell(series.service) or "load balancer"


def _columns(label: int, width: int) -> Columns:
    """What fits beside a label of that length."""
    least = most = overall = True

    def room() -> int:
        beside = 2 + LAST + least * (2 + LEAST) + most * (2 + MOST) + overall * (2 + OVERALL)
        return width - 2 - label - 2 - beside

    if room() < ROOM:
        least = False
    if room() < ROOM:
        overall = False
    if room() < ROOM:
        most = False
    return Columns(label, max(FEWEST, room()), least, most, overall)


def _heading(answer: Mapping[str, Any], view: View, each: float) -> Iterator[str]:
    start, end = (datetime.fromisoformat(str(answer[key])) for key in ("start", "end"))
    seconds = (end - start).total_seconds()
    began, ended = start.astimezone(), end.astimezone()
    same_day = began.date() == ended.date() and began.tzname() == ended.tzname()
    first = moment_shown(began) if not same_day else f"{began:%Y-%m-%d %H:%M:%S}"
    last = moment_shown(ended) if not same_day else f"{ended:%H:%M:%S} {ended.tzname()}"
    name = paint(cell(answer["stack"]), "bold", on=view.colour)
    yield f"{name}  {first} to {last} ({span(seconds)}), a character is {span(each)}"


def _incomplete(answer: Mapping[str, Any], view: View, columns: Columns, points: int, each: int) -> Iterator[str]:
    """A line with a mark below each column in which counts may be missing."""
    stamps = [datetime.fromisoformat(str(at)) for at in answer.get("incomplete") or ()]
    if not stamps or not points:
        return
    start = datetime.fromisoformat(str(answer["start"]))
    marked = [0.0] * points
    for at in stamps:
        place = int((at - start).total_seconds() // float(answer["period"]))
        if 0 <= place < points:
            marked[place] = 1.0
    marks = "".join("!" if column else " " for column in folded(marked, each, max))
    yield f"  {'incomplete':<{columns.label}}  {paint(marks, 'yellow', on=view.colour)}".rstrip()


def _titles(title: str, columns: Columns, view: View) -> str:
    """The name of the block over its sparklines, and what stands beside them."""
    beside = [f"{'LAST':>{LAST}}"]
    beside += [f"{'MIN':>{LEAST}}"] * columns.least + [f"{'MAX':>{MOST}}"] * columns.most
    beside += ["OVERALL"] * columns.overall
    before = 2 + columns.label + 2 + columns.room
    # A long name takes the place of what would stand beside it.
    name = f"{title:<{before}}"
    return paint(name, "bold", on=view.colour) + "".join(f"  {one}" for one in beside)


def _line(row: Row, columns: Columns, each: int, view: View) -> str:
    shown = folded(row.values, each, row.fold)
    known = [value for value in shown if value is not None]
    top = max([row.full, *known])
    last = shown[-1] if shown else None
    text = f"{(row.last or row.shown)(last):>{LAST}}"
    beside = [paint(text, "red", on=view.colour and last is not None and row.bad(last))]
    if columns.least:
        beside.append(f"{row.shown(min(known)) if known else UNKNOWN:>{LEAST}}")
    if columns.most:
        beside.append(f"{row.shown(max(known)) if known else UNKNOWN:>{MOST}}")
    if columns.overall:
        beside.append(row.overall)
    bars = paint(f"{drawn(shown, top, view.glyphs):<{columns.room}}", "cyan", on=view.colour)
    return f"  {row.label:<{columns.label}}  {bars}  {'  '.join(beside)}".rstrip()


def _compared(parts: Sequence[Series], lately: int, view: View) -> Iterator[str]:
    """The table of zones and targets of one service: each column has one scale, which its heading names. lately: how
    many periods the last value is of."""
    if not parts:
        return
    rows = [{row.label: row for row in rows_of_service(part)} for part in parts]
    # A worker has no requests.
    present = [label for label in COMPARED if any(label in row for row in rows)]
    names = [cell(part.target) if part.target else f"zone {cell(part.zone)}" for part in parts]
    first = max(map(len, names))
    fit = max(1, (view.width - 2 - first) // (2 + SMALL + 1 + VALUE))
    labels = present[:fit]
    if not labels:
        return
    room = max(FEWEST, min(ROOM, (view.width - 2 - first) // len(labels) - 2 - 1 - VALUE))
    made = [_column(label, [row.get(label) for row in rows], room, lately, view) for label in labels]
    yield ""
    yield f"  {'':<{first}}  {'  '.join(heading for heading, _ in made)}".rstrip()
    for place, name in enumerate(names):
        yield f"  {name:<{first}}  {'  '.join(cells[place] for _, cells in made)}".rstrip()


def _column(label: str, rows: Sequence[Row | None], room: int, lately: int, view: View) -> tuple[str, list[str]]:
    """The heading of a column of the table, and its cells."""
    present = [row for row in rows if row is not None]
    each = max(1, math.ceil(max(len(row.values) for row in present) / room))

    def last_of(row: Row) -> float | None:
        return folded(row.values[-lately:], lately, row.fold)[-1] if row.values else None

    # A character is of more seconds than the value beside it, so the value may be the greatest of all.
    drawable = [value for row in present for value in (*folded(row.values, each, row.fold), last_of(row))]
    top = max([*(row.full for row in present), *(value for value in drawable if value is not None)])
    heading = SHORT.get(label, label) + (f" to {present[0].shown(top)}" if top else "")

    def shown(row: Row | None) -> str:
        if row is None:
            gaps = view.glyphs.gap * math.ceil(len(present[0].values) / each)
            return f"{paint(f'{gaps:<{room}}', 'cyan', on=view.colour)} {UNKNOWN:<{VALUE}}"
        bars = f"{drawn(folded(row.values, each, row.fold), top, view.glyphs):<{room}}"
        last = last_of(row)
        bad = last is not None and row.bad(last)
        text = paint(f"{row.shown(last):<{VALUE}}", "red", on=view.colour and bad)
        return f"{paint(bars, 'cyan', on=view.colour)} {text}"

    return f"{heading:<{room + 1 + VALUE}}", [shown(row) for row in rows]


def _legend(rows: Iterable[Row], each: int, view: View) -> Iterator[str]:
    """How to read the bars."""
    said = f"bars: from 0 to MAX, percentages to 100% at least; {view.glyphs.legend}"
    if each > 1 and any(row.fold is max and row.shown is time for row in rows):
        said += "; of times the slowest period of a character"
    yield paint(said, "dim", on=view.colour)
