"""A draft as the text of a fairlead.yaml: every key with where it was found, commented for who reads it first.

Text from the folder is quoted as YAML wants it, so that no name in it can become syntax.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator

from fairlead.core.printable import printable
from fairlead.scaffold.findings import Draft, Key, ServiceDraft, Value

HEAD = """\
# yaml-language-server: $schema=fairlead.schema.json
# (`fairlead schema > fairlead.schema.json` writes that schema; editors then complete keys and explain them.)
#
# Written by `fairlead init`, which read the files of this folder and {ran}.
# "found" was seen in them; "assumed" was not: look at it. `fairlead plan` says what this file would do.
"""
_PLAIN = re.compile(r"(?:[A-Za-z_/]|\./)[A-Za-z0-9_./ =-]*")
_NOT_TEXT = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n", "~"})
WIDTH = 118


def text(draft: Draft, tried: str = "") -> str:
    """The whole file. tried: what a trial run showed, in a clause, or ""."""
    lines = [HEAD.format(ran=tried or "ran nothing of them"), f"name: {scalar(draft.name)}", "", "services:"]
    for number, service in enumerate(draft.services):
        lines += ([""] if number else []) + list(_service(service))
    ports = [service for service in draft.services if service.health is not None]
    if len(ports) == 1:
        listener = f"{{port: 8080, default: {{forward: {ports[0].name}}}}}"
        lines += [
            "",
            "# This is the default; `address: 0.0.0.0` beside `listeners` serves other machines.",
            "# load_balancer:",
        ]
        lines.append(f"#   listeners: [{listener}]")
    if draft.warnings:
        lines += ["", "# Look at these before the first `fairlead up`:"]
        for warning in draft.warnings:
            lines += _comment(warning, "#   - ", "#     ")
    return "\n".join(lines) + "\n"


def _service(service: ServiceDraft) -> Iterator[str]:
    yield f"  {service.name}:"
    for key in service.keys:
        yield from _key(key)
    if service.health is None:
        return
    yield "    health_check:"
    yield from _comment(service.health.comment, "      # ")
    yield f"      path: {scalar(service.health.path)}"
    if service.health_host:
        yield f"      host: {scalar(service.health_host)}   # found: the first of ALLOWED_HOSTS; others get 400"


def _key(key: Key) -> Iterator[str]:
    yield from _comment(key.comment, "    # ")
    before = "    " if key.active else "    # "
    if isinstance(key.value, dict):
        before = "    " if key.value else "    # "
        yield f"{before}{key.name}:"
        for name, value in key.value.items():
            yield f"{before}  {name}: {scalar(value)}"
        for name, value in key.hints.items():
            yield f"    #   {name}: {scalar(value)}"
    elif isinstance(key.value, tuple) and key.value and isinstance(key.value[0], tuple):
        yield f"{before}{key.name}:"
        for words in key.value:
            assert isinstance(words, tuple)
            yield f"{before}  - {_command(words)}"
    else:
        yield f"{before}{key.name}: {_value(key.value)}"


def _value(value: Value) -> str:
    if isinstance(value, tuple):
        return _command(tuple(map(str, value)))
    return str(value) if isinstance(value, int) else scalar(str(value))


def _command(words: tuple[str, ...]) -> str:
    """As one line where splitting it gives the same words, else as a list."""
    if all(re.fullmatch(r"[A-Za-z0-9_./:=@%+,${}-]+", word) for word in words):
        return scalar(" ".join(words))
    return f"[{', '.join(map(_quoted, words))}]"


def scalar(value: str) -> str:
    """Text as a YAML scalar that is read back as the same text."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT and value == value.strip():
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    """In double quotes, with nothing in it that a terminal obeys. JSON's own escapes for what lies beyond 16 bits mean
    something else in YAML."""
    escaped = (char if char.isprintable() else f"\\U{ord(char):08x}" for char in json.dumps(value, ensure_ascii=False))
    return "".join(escaped)


def _comment(sentence: str, first: str, then: str | None = None) -> list[str]:
    if not sentence:
        return []
    safe = printable(sentence).replace("\n", " ")
    return textwrap.wrap(safe, WIDTH, initial_indent=first, subsequent_indent=then or first, break_long_words=False)
