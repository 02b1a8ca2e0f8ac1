"""A command's help as the parts of a manual page: description, examples, exit status, what to see also.

In: a Click command whose docstring (or epilog) has its `Examples:` and `Exit status:` as paragraphs behind Click's
`\\b`. Out: the parts. `reference` makes documents of them, and tests hold every command to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc

import click

EVERYWHERE = {2, 130, 141}
"""Statuses that any command may end with (`fairlead --help`): a wrong command line, Ctrl-C, a reader that left."""

_STATUS = re.compile(r"^(\d+) +(.+)$")


@dataclass(frozen=True, slots=True)
class Manual:
    """paragraphs: (text, whether its lines stay as they are). statuses: (status or words, meaning)."""

    summary: str
    paragraphs: tuple[tuple[str, bool], ...]
    examples: tuple[str, ...]
    statuses: tuple[tuple[str, str], ...]


def manual_of(command: click.Command) -> Manual:
    """The parts of a command's help."""
    paragraphs: list[tuple[str, bool]] = []
    examples: list[str] = []
    statuses: list[tuple[str, str]] = []
    for text, kept in _paragraphs(f"{cleandoc(command.help or '')}\n\n{cleandoc(command.epilog or '')}"):
        first, _, rest = text.partition("\n")
        if first == "Examples:":
            examples += cleandoc(rest).splitlines()
        elif first == "Exit status:":
            statuses += _statuses(rest)
        elif not text.startswith("See also: "):
            paragraphs.append((text, kept))
    return Manual(command.get_short_help_str(200).rstrip("."), tuple(paragraphs), tuple(examples), tuple(statuses))


def every_command(root: click.Group) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Each command below `root` with its words and a context, groups before what is in them."""
    with click.Context(root, info_name="fairlead", **root.context_settings) as context:
        yield from _below(root, context, ())


def _below(
    group: click.Group, context: click.Context, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if found.hidden:
            continue
        inside = click.Context(found, info_name=name, parent=context)
        yield (*words, name), found, inside
        if isinstance(found, click.Group):
            yield from _below(found, inside, (*words, name))


def _paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Each paragraph, and whether Click leaves its lines as they are."""
    for block in re.split(r"\n\s*\n", text.replace("\b", "\\b").strip()):
        kept = block.startswith("\\b\n")
        yield (block[3:] if kept else block), kept


def _statuses(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in cleandoc(text).splitlines():
        match = _STATUS.match(line)
        if match is not None:
            found.append((match[1], match[2]))
        elif line.startswith(" ") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            found.append((line, ""))
    return found
