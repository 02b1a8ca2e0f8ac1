"""What cannot be undone is asked for: the user types a name, as clouds demand it, or says --yes in a script."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from fairlead.cli import output
from fairlead.cli.options import Decorated
from fairlead.errors import FairleadError, UsageError


def yes_option(meaning: str) -> Callable[[Decorated], Decorated]:
    """--yes. meaning: what is then done without a question."""
    return click.option("--yes", is_flag=True, help=f"Do not ask: {meaning}")


def ask_to_type(name: str, what: str, *, yes: bool) -> None:
    """Return when the user has typed `name`, or said `yes` before. what: what happens then, as in `delete them`.

    UsageError: nobody is there to be asked. FairleadError: something else was typed, and nothing is done.
    """
    if yes:
        return
    if not output.is_terminal(sys.stdin):
        why = "it cannot be undone, and nobody is at a terminal to be asked"
        raise UsageError("nothing was done", why, "Say --yes if you mean it.")
    typed = click.prompt(f"Type {output.cell(name)} to {what}", default="", show_default=False, err=True)
    if typed.strip() != name:
        raise FairleadError("nothing was done", f"{output.cell(name)} was not typed", "")
