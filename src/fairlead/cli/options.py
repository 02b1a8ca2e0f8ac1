"""The options that commands share: --home, --stack, --json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fairlead.cli.names import complete_stack
from fairlead.cli.session import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _remember_home(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value:
        ctx.ensure_object(Session).choose_home(value)


def home_option(command: Decorated) -> Decorated:
    """--home, before or after the command's name; it lands in the session."""
    return click.option(
        "--home",
        metavar="FOLDER",
        expose_value=False,
        callback=_remember_home,
        help="Where fairlead keeps its state. Default: $FAIRLEAD_HOME, else /var/lib/fairlead as root, else "
        "~/.local/state/fairlead.",
    )(command)


def stack_option(command: Decorated) -> Decorated:
    """--stack; see `Session.choose_stack` for what holds without it."""
    return click.option(
        "--stack",
        metavar="NAME",
        shell_complete=complete_stack,
        help="The stack. Default: that of ./fairlead.yaml, else the only one there is.",
    )(command)


def stack_filter_option(command: Decorated) -> Decorated:
    """--stack, of commands that are about every stack without it."""
    return click.option(
        "--stack", metavar="NAME", shell_complete=complete_stack, help="Only this stack. Default: all of them."
    )(command)


def json_option(command: Decorated) -> Decorated:
    """--json: the same as data, on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead.")(command)


def one_stack(argument: str | None, option: str | None) -> str | None:
    """The stack that a command with both STACK and --stack was given; refused when they differ."""
    if argument and option and argument != option:
        raise click.UsageError(f"two stacks were given: {argument} and {option}")
    return argument or option
