"""Documents made from the commands themselves.

docs/reference/commands.md: `python -m fairlead.cli.reference > FILE`; a test compares the file with `text()`, so that
the document cannot lie. Manual pages for man(1): `python -m fairlead.cli.reference --man FOLDER`.
"""

from __future__ import annotations

import os
import sys

import click

from fairlead.cli.main import fairlead
from fairlead.cli.man_page import page
from fairlead.cli.manual import every_command

WIDTH = 100
INTRODUCTION = """\
# Commands

This page is generated from the commands' own help by `python -m fairlead.cli.reference`; a test compares the two.
`python -m fairlead.cli.reference --man FOLDER` writes the same as manual pages for man(1).

- `--stack NAME` names the stack. Without it: the one whose `fairlead.yaml` is in the current folder, else the only
  one of the home, else an error that lists them. `status`, `events` and `jobs` without a name show all.
- Data goes to stdout, everything else (progress, notes, the next useful commands, errors) to stderr. `--json` prints
  the data as JSON, in ASCII.
- Colour is used only on a terminal, and never when `NO_COLOR` is set or `TERM` is `dumb`.
- An error reads `error: what happened: why` and ends with what to do next.
- The daemon is started when a command needs one: by `up`, and by the others when the store says that something
  should run. `logs` never needs it.
- Any command may end with 2 (the command line makes no sense), 130 (Ctrl-C) and 141 (nobody reads its output any
  more); what else it ends with stands below `Exit status`.
"""


def text() -> str:
    """The whole page."""
    with click.Context(fairlead, info_name="fairlead", **fairlead.context_settings) as context:
        parts = [INTRODUCTION, _section((), fairlead, context)]
    parts += [_section(words, command, context) for words, command, context in every_command(fairlead)]
    return "\n".join(parts)


def man_pages() -> dict[str, str]:
    """File name -> manual page, of every command."""
    with click.Context(fairlead, info_name="fairlead", **fairlead.context_settings) as context:
        pages = {"fairlead.1": page((), fairlead, context)}
    for words, command, context in every_command(fairlead):
        pages[f"{'-'.join(('fairlead', *words))}.1"] = page(words, command, context)
    return pages


def _section(words: tuple[str, ...], command: click.Command, context: click.Context) -> str:
    shown = click.Context(
        command,
        info_name=context.info_name,
        parent=context.parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    body = "\n".join(line.rstrip() for line in command.get_help(shown).splitlines())
    return f"{'#' * min(4, 1 + max(1, len(words)))} {' '.join(('fairlead', *words))}\n\n```text\n{body}\n```\n"


def _write(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, content in man_pages().items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(content)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--man"] and len(sys.argv) == 3:
        _write(sys.argv[2])
    elif len(sys.argv) == 1:
        print(text(), end="")
    else:
        sys.exit("usage: python -m fairlead.cli.reference [--man FOLDER]")
