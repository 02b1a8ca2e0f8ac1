"""The text of `.env` -> its variables.

One `KEY=VALUE` a line, `export` allowed before it, `#` begins a comment. Single quotes keep everything as it is,
double quotes know \\n, \\t, \\", \\\\ and \\$; both may hold line breaks. Nothing is replaced in a value. The last
of two equal keys counts. No problem repeats a line's text: this file is where secrets are kept.
"""

from __future__ import annotations

import re

from fairlead.spec.problems import Place, Problem

FILE = ".env"

# Possessive throughout, so that no text makes the reading slow.
_LINE = re.compile(
    r"""[ \t]*+(?:export[ \t]++)?([A-Za-z_][A-Za-z0-9_.]*+)[ \t]*+=[ \t]*+
        (?: (?: '([^']*+)' | "((?:[^"\\]|\\.)*+)" ) [ \t]*+ (?:\#[^\n]*+)?
          | (?!['"])([^\n]*+)
        ) (?:\r?\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_IDLE = re.compile(r"[ \t]*+(?:\#[^\n]*+)?(?:\r?\n|\Z)")
_COMMENT = re.compile(r"(?:^|[ \t])#.*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OPENS_QUOTE = re.compile(r"""[^\n#=]*+=[ \t]*+['"]""")


def parse_dotenv(text: str) -> tuple[dict[str, str], list[Problem]]:
    """The variables of `text`, and what could not be read, each problem with its line."""
    variables: dict[str, str] = {}
    problems: list[Problem] = []
    text = text.removeprefix("\ufeff")
    at, line = 0, 1
    while at < len(text):
        match = _IDLE.match(text, at) or _LINE.match(text, at)
        if match is None:
            problems.append(_problem(text, at, line))
            end = text.find("\n", at) + 1 or len(text)
        else:
            if match.re is _LINE:
                variables[match[1]] = _value(match)
            end = match.end()
        line += text.count("\n", at, end)
        at = end
    return variables, problems


def _value(match: re.Match[str]) -> str:
    _, literal, escaped, bare = match.groups()
    if escaped is not None:
        return _ESCAPE.sub(lambda escape: {"n": "\n", "t": "\t", "r": "\r"}.get(escape[1], escape[1]), escaped)
    return literal if literal is not None else _COMMENT.sub("", bare).strip()


def _problem(text: str, at: int, line: int) -> Problem:
    place = Place(FILE, line)
    if _OPENS_QUOTE.match(text, at):
        return Problem(place, "", "the quotes are not closed, or something follows them", "quote the whole value")
    return Problem(place, "", "is not KEY=VALUE", "correct the line, or begin it with #")
