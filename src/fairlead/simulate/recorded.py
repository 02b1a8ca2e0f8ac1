"""Loads that once were: the rows of a CSV file, and the daemon's answer about a past window, to a `Load`.

A CSV has two columns: when, and requests per second. When is seconds from the beginning, seconds since 1970, or ISO
8601; a row holds until the next one, the last for as long as the one before it. An empty or `null` number, and a gap of
what was measured, are unknown: no zero is made of them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from fairlead.errors import UsageError
from fairlead.simulate.grammar import HIGHEST, LONGEST, number_of
from fairlead.simulate.load import Load, Recording

SINCE_1970 = 1e8
"""A larger number of seconds is a date."""

FAR_AHEAD = 4e9
"""Seconds since 1970: the year 2096."""

EXAMPLE = "Write two columns: seconds,requests_per_second (0,20 then 60,180), or a time (2026-11-21T10:00:00Z,20)."


def from_csv(text: str, name: str) -> Load:
    """The load that a CSV file says. name: the file's, for errors. UsageError."""
    try:
        every = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        _refuse(name, str(error))
    rows = [(number, row) for number, row in enumerate(every, 1) if any(map(str.strip, row))]
    if rows and _is_heading(rows[0][1]):
        rows = rows[1:]
    if not rows:
        _refuse(name, "it has no rows")
    points: list[tuple[float, float | None]] = []
    for number, row in rows:
        if len(row) < 2:
            _refuse(f"{name}:{number}", "there is one column, and two are needed")
        at, rate = _moment(row[0].strip(), f"{name}:{number}"), _rate(row[1].strip(), f"{name}:{number}")
        if points and at <= points[-1][0]:
            _refuse(f"{name}:{number}", "its time is not after that of the row before")
        points.append((at, rate))
    return _held(points, name)


def from_metrics(answer: Mapping[str, Any], service: str) -> Load:
    """The load that `GET /stacks/NAME/metrics` tells of a service, its RequestCount: requests that came while it had
    nobody to send them to are not in it. UsageError: nothing is known."""
    period = int(answer["period"])
    found = [one for one in answer["series"] if one["service"] == service and not one["zone"] and not one["target"]]
    counts = [metric["values"] for one in found for metric in one["metrics"] if metric["name"] == "RequestCount"]
    values = [None if count is None else count / period for count in (counts[0] if counts else ())]
    known = [place for place, value in enumerate(values) if value is not None]
    if not known:
        why = "metrics begin when a stack is up, and go back two weeks"
        raise UsageError(f"nothing is known of {service} in that time", why, "fairlead metrics --since 1d")
    # It begins and ends with what is known: before and after it nothing may have been up.
    first, last = known[0], known[-1]
    began = datetime.fromisoformat(answer["start"]) + timedelta(seconds=first * period)
    return Load(pieces=(Recording(values=tuple(values[first : last + 1]), period=period),), began=_stamp(began))


def _is_heading(row: Sequence[str]) -> bool:
    """Words over both columns: beside a number they are a slip of the pen, and a row that nobody wants to miss."""
    return not _reads(_moment, row[0]) and not (len(row) > 1 and _reads(_rate, row[1]))


def _reads(read: Callable[[str, str], object], text: str) -> bool:
    try:
        read(text.strip(), "")
    except UsageError:
        return False
    return True


def _moment(text: str, place: str) -> float:
    try:
        return number_of(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        _refuse(place, f"{text[:40]!r} is neither a number of seconds nor a time")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _rate(text: str, place: str) -> float | None:
    if text in ("", "-", "null", "None", "nan", "NaN"):
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= HIGHEST:
        _refuse(place, f"{text[:40]!r} is no number of requests per second")
    return rate


def _held(points: Sequence[tuple[float, float | None]], name: str) -> Load:
    """Every row for as long as it holds, in whole seconds."""
    if not 0 <= points[0][0] <= points[-1][0] < FAR_AHEAD:
        _refuse(name, "its times lie too far away")
    first = math.floor(points[0][0])
    tail = points[-1][0] - points[-2][0] if len(points) > 1 else 1.0
    ends = [round(at) - first for at, _ in points[1:]] + [round(points[-1][0] + max(1.0, tail)) - first]
    if ends[-1] > LONGEST:
        _refuse(name, f"it is of {ends[-1] / 86400:.0f} days, and 31 are the most")
    values: list[float | None] = []
    for end, (_, rate) in zip(ends, points, strict=True):
        values += [rate] * (end - len(values))
    began = _stamp(datetime.fromtimestamp(first, UTC)) if first > SINCE_1970 else ""
    return Load(pieces=(Recording(values=tuple(values)),), began=began)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _refuse(place: str, why: str) -> NoReturn:
    raise UsageError(f"{place} is no load" if place else "no load", why, EXAMPLE)
