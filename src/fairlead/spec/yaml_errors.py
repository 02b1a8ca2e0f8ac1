"""What a YAML scanner complains of, in words that help: libyaml's and PyYAML's sentences name grammar, not mistakes.

The character at the place of the complaint tells most: a tab, a `*` without quotes, a `${` inside `{ }`. Called by
`document` when the scanner raises.
"""

from __future__ import annotations

from typing import Any

from fairlead.spec.problems import Place, Problem, printable

_BY_CHARACTER = {
    "\t": ("a tab cannot indent YAML", "use spaces"),
    "@": ("a value cannot begin with @", "put quotes around it"),
    "`": ("a value cannot begin with `", "put quotes around it"),
    "%": ("a value cannot begin with %", "put quotes around it"),
}

_BY_SENTENCE = (
    (
        "mapping values are not allowed",
        'a ": " stands where no key can begin',
        'put quotes around a value that holds ": ", or check the indentation and the line above',
    ),
    (
        "scanning an alias",
        "a * begins an alias of YAML",
        "put quotes around a value that begins with *",
    ),
    (
        "scanning an anchor",
        "a & begins an anchor of YAML",
        "put quotes around a value that begins with &",
    ),
    ("flow mapping", "a comma or the closing } is missing", "close what { opened, or put quotes around the value"),
    ("flow sequence", "a comma or the closing ] is missing", "close what [ opened, or put quotes around the value"),
    (
        "unknown escape",
        "an escape in double quotes that YAML does not know",
        r"use single quotes, or write \\ for a backslash",
    ),
    ("end of stream", "the quotes opened here are not closed", "add the closing quote"),
    ("simple key", "a key without its colon", 'write `key: value`, with a space after the ":"'),
    (
        "block mapping",
        "this line does not fit the lines above it",
        "indent it exactly as the keys beside it",
    ),
    (
        "block collection",
        "this line does not fit the list above it",
        'begin each item of the list with "- ", all in one column',
    ),
)


def syntax_problem(error: Exception, text: str, file: str) -> Problem:
    """`error`, raised while `text` was scanned, as a problem with the best place that it names."""
    context, sentence = getattr(error, "context", None) or "", getattr(error, "problem", None) or ""
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    # These are noticed where something else begins, and caused where they began themselves.
    if "simple key" in context or ("quoted" in context and "end of stream" in sentence):
        mark = getattr(error, "context_mark", None) or mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    around = _around(text, place)
    if around == "${":
        advice = "inside { } or [ ] put quotes around it, or give the entry lines of its own"
        return Problem(place, "", "${...} cannot stand bare inside { } or [ ]", advice)
    if "cannot start any token" in sentence and around[1:] in _BY_CHARACTER:
        return Problem(place, "", *_BY_CHARACTER[around[1:]])
    for words, reason, suggestion in _BY_SENTENCE:
        if words in f"{context} {sentence}":
            return Problem(place, "", reason, suggestion)
    return Problem(place, "", printable(f"not YAML: {sentence or error}"), "")


def _around(text: str, place: Place) -> str:
    """The character at `place` with the one before it (a space when there is none); a line's end reads as ""."""
    lines = text.splitlines()
    line = " " + (lines[place.line - 1] if place.line <= len(lines) else "")
    return line[place.column - 1 : place.column + 1]
