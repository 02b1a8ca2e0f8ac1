"""`fairlead logs --access`: the requests that came through the balancer, as it logged them. Needs no daemon.

In: what is asked (`access_filter.Wanted`), a time, a count. Out: a line each in columns, as JSON, or as it stands in
the log. What is shown is what HAProxy wrote: the daemon puts logs away, and never looks at a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Literal

from fairlead.cli import output
from fairlead.cli.access_files import Span
from fairlead.cli.access_filter import Wanted
from fairlead.cli.access_merged import Following, merged
from fairlead.cli.screen import pause
from fairlead.core.accesslog import Request, parse
from fairlead.core.printable import printable

Form = Literal["columns", "json", "raw"]

PACE = 0.2
"""Seconds between two looks with --follow."""

WIDTHS = (6, 9, 5, 4)
"""Characters of the columns of times, clients, instances and methods, at least: `250 ms`, `127.0.0.1`, `web-1`, `POST`.
They grow with what comes, since what is to come is not known."""

_COLOURS = {"2": "green", "3": "cyan", "4": "yellow", "5": "red"}


def show(
    folders: list[str], wanted: Wanted, span: Span, last: int | None, follow: bool, form: Form, why: Callable[[], str]
) -> int:
    """Print the requests that are meant, at most the `last` ones, then with `follow` those that come; the exit
    status. why: why there may be none; "": who knows."""
    printer = Printer(form)
    following = Following(folders, wanted.passes)
    try:
        printed = False
        for line in _past(following, span, wanted, last):
            printed = printer.show(line) or printed
        if not printed and not follow:
            nothing = wanted.everything and span == Span() and last != 0
            said = "no request came yet" if nothing else "no request matches what was asked for"
            output.note(": ".join(part for part in (said, why()) if part))
        while follow:
            for line in following.new():
                printer.show(line)
            print(end="", flush=True)
            pause(PACE)
    except KeyboardInterrupt:
        return 130
    finally:
        following.close()
    return 0


def _past(following: Following, span: Span, wanted: Wanted, last: int | None) -> Iterator[bytes]:
    chains = following.past()
    if last is None:
        return merged(chains, span, wanted.passes, newest_first=False)
    newest = list(islice(merged(chains, span, wanted.passes, newest_first=True), last))
    return reversed(newest)


class Printer:
    """Prints requests in one form."""

    def __init__(self, form: Form) -> None:
        self._colour = output.coloured(sys.stdout)
        self._widths = list(WIDTHS)
        self._text = {"columns": self._columns, "json": _as_json, "raw": _as_it_is}[form]

    def show(self, line: bytes) -> bool:
        """Whether it was a request."""
        text = self._text(line)
        if text is not None:
            output.data(text)
        return text is not None

    def _columns(self, line: bytes) -> str | None:
        request = parse(line)
        if request is None:
            return None
        paint = partial(output.paint, on=self._colour)
        status = output.cell(request.elb_status_code)
        took = _length(request.duration)
        if request.retries not in ("-", "0"):
            # A + says that another target was asked.
            took += f" ({output.cell(request.retries.lstrip('+'))} again)"
        cells = [output.cell(text) for text in (request.client_address or "-", request.instance, request.method)]
        columns = [f"{text:>{width}}" if place == 0 else f"{text:<{width}}" for place, (text, width) in enumerate(
            zip((took, *cells), self._grown(took, *cells), strict=True)
        )]  # fmt: skip
        return "  ".join(
            (
                paint(_local(request.time), "dim"),
                paint(status, _COLOURS.get(status[:1], "bold")),
                *columns,
                _url(request),
            )
        )

    def _grown(self, *cells: str) -> list[int]:
        self._widths = [max(width, len(text)) for width, text in zip(self._widths, cells, strict=True)]
        return self._widths


def _url(request: Request) -> str:
    """What was asked for, without what goes without saying."""
    scheme, _, rest = output.cell(request.url).partition("://")
    host, slash, path = rest.partition("/")
    usual = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}.get(scheme, "")
    return (
        f"{scheme}://{host.removesuffix(usual) if usual else host}{slash}{path}" if rest else output.cell(request.url)
    )


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else output.duration(seconds)


def _local(moment: str) -> str:
    try:
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone()
    except ValueError:
        return output.cell(moment)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def _as_json(line: bytes) -> str | None:
    from json import dumps

    request = parse(line)
    return None if request is None else dumps(request.to_json())


def _as_it_is(line: bytes) -> str | None:
    # HAProxy writes no control characters; what else there is of them never came from it.
    text = line.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else printable(text).replace("\n", "\\n")
