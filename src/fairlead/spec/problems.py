"""One thing that is wrong with the file, and how it is said:
`fairlead.yaml:12:7: services.web.port: reason; suggestion`.

Every stage of reading returns problems instead of raising, so that a user sees all of them at once, in the order in
which they stand in the file. No control character of the file survives in it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.errors import SpecError

SHOWN = 60
"""Characters of a value that a message repeats."""

LONGEST = 300
"""Characters of a key in a message; of its sentence, twice as many."""

MOST = 200
"""Problems that one error carries; a file with more has the rest counted."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands. `line` and `column` count from 1; 0 means the whole line, or the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([printable(self.file), *(str(number) for number in (self.line, self.column) if number)])


@dataclass(frozen=True, slots=True)
class Problem:
    """key: dotted, or "" for the file itself. suggestion: what to do, or ""."""

    place: Place
    key: str
    reason: str
    suggestion: str = ""

    def __str__(self) -> str:
        """One printable line, whatever names of the file it repeats."""
        sentence = f"{self.reason}; {self.suggestion}" if self.suggestion else self.reason
        parts = (str(self.place), _line(self.key, LONGEST), _line(sentence, 2 * LONGEST))
        return ": ".join(part for part in parts if part)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By place, those of the file before those of `.env`, each once."""
    return sorted(set(problems), key=lambda one: (one.place.file == ".env", one.place, one.key, one.reason))


def as_error(what: str, problems: Iterable[Problem], next_step: str) -> SpecError:
    """All `problems` as the one error that is raised."""
    lines = [str(problem) for problem in in_order(problems)]
    if len(lines) > MOST:
        lines[MOST:] = [f"and {len(lines) - MOST} more"]
    return SpecError(what, tuple(lines), next_step)


def printable(text: str) -> str:
    """`text` with everything that a terminal might act on written as an escape (`\\x1b`)."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shown(text: str) -> str:
    """`text` in quotes, printable, and cut to what fits in a sentence."""
    return cut(printable(json.dumps(cut(text, SHOWN), ensure_ascii=False)), 3 * SHOWN)


def _line(text: str, most: int) -> str:
    """Cut before it is made printable, which takes time, and after, which makes it longer."""
    return cut(printable(cut(text, most)), most)


def cut(text: str, most: int) -> str:
    """`text`, or what fits of it."""
    return text if len(text) <= most else text[:most] + "..."


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that was most likely meant, or "". Long words are not looked at: it would take long."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6) if len(word) < 40 else []
    return close[0] if close else ""


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final
