"""The SQL of a dump without the accounts to which its views, triggers, routines and events belong.

MariaDB and MySQL write `DEFINER=`user`@`host`` into a dump; where that account does not exist, what is made so does not
work. Without it, whoever loads the dump becomes the owner. Only lines are changed that begin as the dump programs write
these, which no line of data does: they write the end of a line inside of a value as `\\n`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

PIECE = 1 << 16
"""Bytes that are looked at at once; the beginning of every definition fits."""

# Views, triggers, events, routines and packages; the numbers are versions and differ.
_DEFINER = re.compile(
    rb"(?P<before>(?:/\*!\d+ (?:CREATE\*/ /\*!\d+ )?|CREATE (?:OR REPLACE )?))"
    rb"DEFINER ?= ?`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?(?P<space> ?)"
)


def without_definers(source: int) -> Iterator[bytes]:
    """The content of the open file, from where it stands, in pieces."""
    with os.fdopen(os.dup(source), "rb") as file:
        at_start = True
        while piece := file.readline(PIECE):
            if at_start and (found := _DEFINER.match(piece)):
                piece = found["before"] + piece[found.end() :]
            yield piece
            at_start = piece.endswith(b"\n")
