"""What the patterns of a rule become: comparisons of HAProxy. Pure.

In: patterns in which `*` stands for any characters and `?` for one, and what HAProxy is to compare with them. Out:
comparisons, each the inside of one `{ }`. The law: what a pattern matches is decided by its text alone
(`core.rules.matches` says what that is); whatever else it holds is literal. A regular expression only where nothing
else does, since HAProxy tries them one by one; and none that a long request could keep busy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fairlead.haproxy import words

ALWAYS = ""
"""The comparison of a pattern that matches everything."""

PER_LINE = 40
"""Patterns in one of them; HAProxy reads 64 words a line at most."""

_STAR, _ONE = "\0*", "\0?"
"""Wildcards among the tokens of a pattern: no literal holds NUL."""


def comparisons(fetch: str, patterns: Iterable[str], *, case: bool = True) -> list[str]:
    """One of them holds when what `fetch` gets matches one of `patterns`; `ALWAYS` when one matches everything."""
    by_kind: dict[str, list[str]] = {}
    for pattern in patterns:
        kind, value = matching(pattern)
        if kind == ALWAYS:
            return [ALWAYS]
        by_kind.setdefault(kind, []).append(value)
    flag = "" if case else " -i"
    return [one for kind, values in by_kind.items() for one in listed(f"{fetch} -m {kind}{flag} --", values)]


def listed(comparison: str, values: Iterable[str]) -> list[str]:
    """`comparison` with as many of `values` behind it as a line takes, each time."""
    quoted = [words.word(value, "pattern") for value in values]
    return [f"{comparison} {' '.join(quoted[at : at + PER_LINE])}" for at in range(0, len(quoted), PER_LINE)]


def parameter(key: str, value: str) -> str:
    """The regular expression (without regard to case) that a query with such a parameter matches: as sent, not decoded.
    The key "" is any; a parameter without `=` has the value ""."""
    name, said = _tokens(key or "*", escapes=True), _tokens(value, escapes=True)
    # `&&` and an empty query hold no parameter.
    some = "(?=[^&])" if _may_be_empty(name) and _may_be_empty(said) else ""
    equals = f"={_glob(said, '[^&]')}"
    return f"(?:^|&){some}{_glob(name, '[^&=]')}{f'(?:{equals})?' if _may_be_empty(said) else equals}(?:&|$)"


def is_exact(pattern: str) -> bool:
    """Whether it matches one text only."""
    return "*" not in pattern and "?" not in pattern


def matches(pattern: str, text: str) -> bool:
    """What HAProxy will say of it."""
    return re.search(_expression(pattern), text) is not None


def matching(pattern: str) -> tuple[str, str]:
    """(how HAProxy compares: `ALWAYS`, or what stands behind its `-m`; with what)."""
    pattern = re.sub(r"\*+", "*", pattern)
    if pattern == "*":
        return ALWAYS, ""
    literal = pattern.strip("*")
    # A word that is just `}` would end the condition, and an empty one the list of patterns.
    if literal not in ("}", "") and is_exact(literal):
        kinds = {literal: "str", literal + "*": "beg", "*" + literal: "end", f"*{literal}*": "sub"}
        return kinds[pattern], literal
    return "reg", _expression(pattern)


def _expression(pattern: str) -> str:
    return f"^{_glob(_tokens(pattern), '.')}$"


def _tokens(pattern: str, *, escapes: bool = False) -> list[str]:
    """Its characters, with wildcards marked and stars in a row as one; escapes: `\\*` and `\\?` are literal."""
    found = re.findall(r"\\[*?]|.", pattern, re.DOTALL) if escapes else list(pattern)
    marked = [{"*": _STAR, "?": _ONE}.get(one, one[-1]) for one in found]
    return [one for at, one in enumerate(marked) if not (one == _STAR and at and marked[at - 1] == _STAR)]


def _may_be_empty(tokens: list[str]) -> bool:
    return tokens in ([], [_STAR])


def _glob(tokens: list[str], anything: str) -> str:
    """The regular expression, not yet anchored, in which a wildcard is `anything`. What lies between two stars is
    looked for once, from the left (an atomic group): trying all its places for all places of the others would let a
    long request keep HAProxy busy."""
    pieces = [""]
    for token in tokens:
        if token == _STAR:
            pieces.append("")
        else:
            pieces[-1] += anything if token == _ONE else re.escape(token)
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return f"{first}{''.join(f'(?>{anything}*?{piece})' for piece in middle)}{anything}*{last}"
