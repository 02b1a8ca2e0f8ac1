"""What the patterns of a rule become: conditions of HAProxy. Pure.

In: patterns in which `*` stands for any characters and `?` for one, and what HAProxy is to compare with them. Out:
conditions, each for a line of its own. The law: what a pattern matches is decided by its text alone; whatever else it
holds is literal. A regular expression only where nothing else does, since HAProxy tries them one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fairlead.haproxy import words

ALWAYS = ""
"""The condition of a pattern that matches everything."""

PER_LINE = 40
"""Patterns in one condition; HAProxy reads 64 words a line at most."""


def conditions(fetch: str, patterns: Iterable[str]) -> list[str]:
    """One of them holds when what `fetch` gets matches one of `patterns`; `ALWAYS` when one matches everything."""
    by_kind: dict[str, list[str]] = {}
    for pattern in patterns:
        kind, value = _matching(pattern)
        if kind == ALWAYS:
            return [ALWAYS]
        by_kind.setdefault(kind, []).append(words.word(value, "pattern"))
    return [
        f"{{ {fetch} -m {kind} -- {' '.join(values[first : first + PER_LINE])} }}"
        for kind, values in by_kind.items()
        for first in range(0, len(values), PER_LINE)
    ]


def is_exact(pattern: str) -> bool:
    """Whether it matches one text only."""
    return "*" not in pattern and "?" not in pattern


def matches(pattern: str, text: str) -> bool:
    """What HAProxy will say of it."""
    return re.search(_expression(re.sub(r"\*+", "*", pattern)), text) is not None


def _matching(pattern: str) -> tuple[str, str]:
    """(how HAProxy compares, with what)."""
    pattern = re.sub(r"\*+", "*", pattern)
    if pattern == "*":
        return ALWAYS, ""
    literal = pattern.strip("*")
    # A word that is just `}` would end the condition.
    if literal != "}" and is_exact(literal):
        kinds = {literal: "str", literal + "*": "beg", "*" + literal: "end", f"*{literal}*": "sub"}
        return kinds[pattern], literal
    return "reg", _expression(pattern)


def _expression(pattern: str) -> str:
    """The regular expression. What lies between two stars is looked for once, from the left (an atomic group): trying
    all its places for all places of the others would let a long path keep HAProxy busy."""
    pieces = ["".join("." if one == "?" else re.escape(one) for one in piece) for piece in pattern.split("*")]
    if len(pieces) == 1:
        return f"^{pieces[0]}$"
    first, *middle, last = pieces
    return f"^{first}{''.join(f'(?>.*?{piece})' for piece in middle)}.*{last}$"
