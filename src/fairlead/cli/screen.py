"""Lines that stay on the terminal and are drawn anew in place; or, elsewhere, are printed when they have changed.

In: a function that gives the lines as they are now. The law: a redraw writes over what is there, all at once, so that
nothing flickers; a line never wraps; whatever ends it, the terminal is left as it was, with the last lines on it.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import stat
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
"""The cursor."""

HOME, CLEAR, REST_OF_LINE, BELOW = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"

OF_THE_MOMENT = {"explanation", "figures", "policies", "held", "would"}
"""Keys of the status that differ at every look."""

_PIECE = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)


def on_screen(lines: Callable[[], list[str]], pace: float, note: str) -> NoReturn:
    """Draw the lines every `pace` seconds until KeyboardInterrupt. note: stands after the time in the first line."""
    sys.stdout.write(HIDE + CLEAR)
    try:
        while True:
            began = time.monotonic()
            head = f"{time.strftime('%H:%M:%S')}  {note}"
            sys.stdout.write(frame([head, "", *lines()], *shutil.get_terminal_size()))
            sys.stdout.flush()
            time.sleep(max(0.0, began + pace - time.monotonic()))
    finally:
        sys.stdout.write(SHOW)
        sys.stdout.flush()


def frame(lines: list[str], width: int, height: int) -> str:
    """What to write to have `lines` on a terminal of that size, and nothing else; the cursor ends below them."""
    room = height - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} lines more, for which the terminal is too low"]
    return HOME + "".join(f"{clip(line, width - 1)}{REST_OF_LINE}\n" for line in lines) + BELOW


def clip(line: str, width: int) -> str:
    """At most `width` characters of `line`; colours do not count, and end where they ended."""
    shown, left = [], width
    for piece in _PIECE.findall(line):
        if piece.startswith("\x1b["):
            shown.append(piece)
        elif left:
            shown.append(piece)
            left -= 1
    return "".join(shown)


def when_changed(ask: Callable[[], Any], shown: Callable[[Any], str], pace: float) -> NoReturn:
    """Print `shown(answer)` when an answer differs from the one before, until KeyboardInterrupt. What an answer says of
    the present moment only (its explanations, and how things did of late) does not make it another."""
    before: object = _None
    while True:
        answer = ask()
        if (facts := _facts(answer)) != before:
            before = facts
            print(shown(answer), flush=True)
        pause(pace)


def pause(seconds: float) -> None:
    """Wait so long. BrokenPipeError: nobody reads what is printed any more, which a write would find out, but there may
    be nothing to write for long."""
    try:
        stdout = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):  # the last: there is none
        time.sleep(seconds)
        return
    if not stat.S_ISFIFO(os.fstat(stdout).st_mode):
        time.sleep(seconds)
        return
    waiting = select.poll()
    # Not whether it can be written to: that a reader has gone is always told.
    waiting.register(stdout, 0)
    if any(event & select.POLLERR for _, event in waiting.poll(seconds * 1000)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


_None = object()


def _facts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _facts(part) for key, part in value.items() if key not in OF_THE_MOMENT}
    return [_facts(part) for part in value] if isinstance(value, list) else value
