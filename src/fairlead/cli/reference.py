"""docs/reference/commands.md, made from the commands themselves: `python -m fairlead.cli.reference > FILE`.

A test compares the file with `text()`, so that the document cannot lie.
"""

from __future__ import annotations

import click

from fairlead.cli.main import COMMANDS, fairlead

WIDTH = 100
INTRODUCTION = """\
# Commands

This page is generated from the commands' own help by `python -m fairlead.cli.reference`; a test compares the two.

- `--stack NAME` names the stack. Without it: the one whose `fairlead.yaml` is in the current folder, else the only
  one of the home, else an error that lists them. `status` and `events` without a name show all.
- Data goes to stdout, everything else (progress, notes, the next useful commands, errors) to stderr.
- Colour is used only on a terminal, and never when `NO_COLOR` is set or `TERM` is `dumb`.
- An error reads `error: what happened: why` and ends with what to do next.
- The daemon is started when a command needs one: by `up`, and by the others when the store says that something
  should run. `logs` never needs it.
"""


def text() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _section("fairlead", fairlead, None)]
    with click.Context(fairlead, info_name="fairlead") as parent:
        for name in COMMANDS:
            found = fairlead.get_command(parent, name)
            assert found is not None
            parts.append(_section(f"fairlead {name}", found, parent))
    return "\n".join(parts)


def _section(title: str, command: click.Command, parent: click.Context | None) -> str:
    context = click.Context(
        command,
        info_name=command.name if parent else "fairlead",
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    body = "\n".join(lines)
    return f"## {title}\n\n```text\n{body}\n```\n"


if __name__ == "__main__":
    print(text(), end="")
