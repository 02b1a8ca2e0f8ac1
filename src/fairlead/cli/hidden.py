"""A line that is typed or pasted at a terminal and not shown, whole, however long.

A terminal that edits lines itself gives a program 4095 characters of one and drops the rest, and what is pasted after
the first line would be run by the shell as commands. So its editing is off meanwhile: what comes is all read here.
"""

from __future__ import annotations

import os
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fairlead.errors import UsageError

PASTING = 0.1
"""Seconds in which the next line of a paste follows."""

_END = (b"\n", b"\r", b"\x04")
_ERASE = (b"\x7f", b"\x08")
_KILL = b"\x15"


def hidden_line(prompt: str) -> bytes:
    """What is answered to `prompt` at the terminal that is stdin, without the end of its line. Ctrl-D where nothing was
    typed is an end, too: click.Abort. UsageError: there were several lines."""
    with _unseen(0) as terminal:
        # Only now: what is typed before would be shown.
        print(prompt, end="", file=sys.stderr, flush=True)
        try:
            line, rest = _read(terminal)
            if rest.strip():
                raise UsageError(
                    "several lines were pasted",
                    "a hidden prompt takes one",
                    "Put them into a file, and give it by --file, or by stdin: `... < FILE`.",
                )
            return line
        finally:
            print(file=sys.stderr)


def _read(terminal: int) -> tuple[bytes, bytes]:
    """The first line, and what came with it after its end."""
    line = bytearray()
    while True:
        came = os.read(terminal, 65536)
        if not came:
            raise click.Abort
        for index, byte in enumerate(came):
            key = bytes((byte,))
            if key in _END:
                if key == b"\x04" and not line:
                    raise click.Abort
                return bytes(line), came[index + 1 :] + _follows(terminal)
            if key in _ERASE:
                _erase(line)
            elif key == _KILL:
                line.clear()
            else:
                line += key


def _erase(line: bytearray) -> None:
    """Take off the last character, which may be several bytes of UTF-8."""
    while line:
        if line.pop() & 0xC0 != 0x80:
            return


def _follows(terminal: int) -> bytes:
    rest = b""
    while select.select([terminal], [], [], PASTING)[0]:
        came = os.read(terminal, 65536)
        if not came:
            break
        rest += came
    return rest


@contextmanager
def _unseen(terminal: int) -> Iterator[int]:
    """Nothing is shown, nothing edited, and Ctrl-Z does not leave the shell with such a terminal; Ctrl-C works."""
    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 1, 0
    quiet[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(terminal, termios.TCSAFLUSH, quiet)
    try:
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
