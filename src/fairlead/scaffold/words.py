"""A command as people write it for a shell, turned into what `command:` takes: words that no shell ever sees.

In: text from a Procfile or the command line. Out: words, with the variables set before it, and `$PORT` as
`${instance.port}`. What truly needs a shell becomes `sh -c TEXT`, which is said.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from fairlead.errors import UsageError

PORT = "${instance.port}"
_PORT = re.compile(r"\$\{PORT(?::?-[^}]*)?\}|\$PORT\b")
_BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}(?![A-Za-z0-9_])")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_SHELL = re.compile(r"[|&;<>`$()*?~#\n]|\[.*\]")
_LISTENERS = {
    "gunicorn": (("-b", "--bind"), ("--bind", f"127.0.0.1:{PORT}")),
    "uvicorn": (("--port", "--uds", "--fd"), ("--port", PORT)),
    "hypercorn": (("-b", "--bind"), ("--bind", f"127.0.0.1:{PORT}")),
    "daphne": (("-p", "--port", "-u", "-e"), ("-p", PORT)),
}
"""Servers that listen elsewhere, or for everybody, unless they are told: (options that tell, what is added)."""


@dataclass(frozen=True, slots=True)
class Words:
    """argv for `command:`; variables for `environment:`; notes: what was changed, in sentences."""

    argv: tuple[str, ...]
    variables: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def names_port(self) -> bool:
        return any("${instance." in word for word in self.argv) or (self.argv[0] == "sh" and "$PORT" in self.argv[-1])


def words_of(text: str, *, serves: bool) -> Words:
    """UsageError: it cannot be split, or is empty."""
    try:
        plain = shlex.split(_PORT.sub("PORT", text))
        if not plain:
            raise ValueError("it is empty")
    except ValueError as problem:
        raise UsageError(f"the command {text!r} cannot be split into words", str(problem).lower()) from problem
    if _needs_shell(text):
        return _through_a_shell(text)
    notes = []
    variables: dict[str, str] = {}
    argv = [_PORT.sub(lambda _: PORT, word) for word in shlex.split(_PORT.sub("${PORT}", text))]
    while argv and (match := _ASSIGNMENT.fullmatch(argv[0])):
        variables[match[1]] = match[2]
        argv.pop(0)
    if not argv:
        raise UsageError(f"the command {text!r} names no program", "it only sets variables")
    if serves:
        for index, word in enumerate(argv):
            if "0.0.0.0:${" in word:
                argv[index] = word.replace("0.0.0.0:${", "127.0.0.1:${")
                notes.append("changed: it listens on loopback, so that nobody reaches it past the load balancer")
        argv, added = _told_where(argv)
        notes += added
    return Words(tuple(argv), variables, tuple(notes))


def _needs_shell(text: str) -> bool:
    """Whether anything outside single quotes means something to a shell, `$PORT` aside."""
    outside = re.sub(r"'[^']*'", "", _PORT.sub("PORT", text))
    quoted = re.sub(r'"[^"$`]*"', "", outside)
    return bool(_SHELL.search(quoted))


def _through_a_shell(text: str) -> Words:
    text = _PORT.sub(lambda _: "$PORT", _BRACED.sub(r"$\1", text))
    if "${" in text:
        raise UsageError(
            f"the command {text!r} cannot be taken over",
            "`${` in a fairlead.yaml is fairlead's own, and this needs a shell's",
            "Put it into a script, and name that.",
        )
    simple = not re.search(r"[|&;\n]", text)
    argv = (
        "sh",
        "-c",
        f"exec {text}" if simple and not text.startswith("exec ") and "=" not in text.split()[0] else text,
    )
    note = "it needs a shell, so it goes through `sh -c`"
    return Words(
        argv, {}, (note if simple else f"{note}, which does not pass SIGTERM on: a script that ends in `exec` would",)
    )


def _told_where(argv: list[str]) -> tuple[list[str], list[str]]:
    options, addition = _LISTENERS.get(argv[0].rpartition("/")[2], ((), ()))
    told = any(word.startswith(option) for option in options for word in argv[1:])
    if not addition or told:
        return argv, []
    return [*argv, *addition], [f"added: {' '.join(addition)}, so that it listens where fairlead asks"]
