"""What the command line prints: data on stdout, everything else on stderr, and an error in its one form.

Text that others wrote goes through `core.printable` on its way, here or at the caller's; colour is used only on a
terminal, and never with NO_COLOR or TERM=dumb.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

import click

from fairlead.cli.session import Session
from fairlead.core.printable import printable
from fairlead.errors import FairleadError

COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}

WIDEST = 500
"""Characters of a line of an error's detail; a program may have logged a megabyte without a line's end."""


def never_fail_to_encode() -> None:
    """A terminal that cannot show a character gets its escape, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and stream.isatty()


def coloured(stream: IO[str] | None) -> bool:
    """Whether colour may be used on `stream` (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width(stream: IO[str] | None, otherwise: int) -> int:
    """Characters that a line on `stream` may have: what COLUMNS says, or the terminal; without either `otherwise`. One
    less than there are, because some terminals wrap a line that fills them. (`shutil` takes 3 ms to import.)"""
    with contextlib.suppress(ValueError):
        if (said := int(os.environ.get("COLUMNS", ""))) > 1:
            return said - 1
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if (known := os.get_terminal_size(stream.fileno()).columns) > 1:  # type: ignore[union-attr]
            return known - 1
    return otherwise


def line_width(stream: IO[str] | None) -> int | None:
    """Characters that a line may have before it is `folded`; None, of what is no terminal: as many as it takes."""
    return width(stream, 80) if is_terminal(stream) else None


def folded(text: str, width: int | None, hanging: int) -> list[str]:
    """`text` on as many lines of `width` characters as it needs, broken between words; those behind the first one begin
    with `hanging` blanks."""
    if width is None or len(text) <= width:
        return [text]
    from textwrap import wrap

    room = max(20, width)
    return wrap(text, room, subsequent_indent=" " * min(hanging, room // 3), break_on_hyphens=False)


def paint(text: str, colour: str, *, on: bool) -> str:
    """`text` in a colour of COLOURS, or as it is."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if on and text else text


def cell(value: Any) -> str:
    """Any value as one harmless line."""
    return printable(str(value)).replace("\n", " ").replace("\t", " ")


def word(path: str) -> str:
    """A path as one word of a command that is shown to be run: a shell reads it back, and no option comes of it."""
    from shlex import quote

    return quote(cell(f"./{path}" if path.startswith("-") else path))


def data(text: str) -> None:
    print(text)


def json(value: Any) -> None:
    """JSON on stdout: ASCII, so that nothing in it can speak to a terminal."""
    from json import dumps

    print(dumps(value, indent=2))


def compact(value: Any) -> str:
    """The same as one line; a sentence in place of an answer becomes {"error": "..."}."""
    from json import dumps

    return dumps({"error": value} if isinstance(value, str) else value)


def raw(text: str) -> None:
    """What programs read, as it is; on a terminal made harmless."""
    sys.stdout.write(printable(text) if is_terminal(sys.stdout) else text)


def note(text: str) -> None:
    # Both may lead to one file or pipe, where what was printed first has to stand first. Whether it could be written is
    # asked at the end.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    print(text, file=sys.stderr)


def next_commands(*commands: str) -> None:
    """The next useful commands, after what was done, of the home that this one was about."""
    context = click.get_current_context(silent=True)
    if context is not None and (session := context.find_object(Session)) is not None:
        commands = tuple(map(session.typed, commands))
    note(paint(f"next: {'  |  '.join(commands)}", "dim", on=coloured(sys.stderr)))


def not_enforced(keys: Iterable[Any], engine: Any = "") -> list[str]:
    """What of the file is accepted and has no effect here, one line each."""
    return [
        f"not enforced by engine {cell(engine)}: {cell(key)}" if engine else f"not enforced: {cell(key)}"
        for key in keys
    ]


def error(problem: FairleadError) -> None:
    """`error: place: what: why`, the detail as it is, and what to do next."""
    colour = coloured(sys.stderr)
    note(f"{paint('error:', 'red', on=colour)} {printable(problem.sentence)}")
    for line in printable(problem.detail).splitlines():
        note(f"  {line if len(line) <= WIDEST else f'{line[:WIDEST]}... ({len(line)} characters)'}")
    if problem.next_step:
        note(f"{paint('next:', 'bold', on=colour)} {printable(problem.next_step)}")


def moment(at: Any) -> str:
    """A stamp in UTC (ISO 8601) as tables show it: `2026-11-21 10:02:11Z`."""
    text = cell(at)
    return f"{text[:19].replace('T', ' ')}Z" if len(text) >= 19 else text


def duration(seconds: float) -> str:
    """`4s`, `3m12s`, `2h05m`, `3d04h`."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{minutes}m{whole % 60:02}s"
    if whole < 86400:
        return f"{hours}h{minutes % 60:02}m"
    return f"{days}d{hours % 24:02}h"
