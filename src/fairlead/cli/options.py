"""The options that commands share: --home, --stack, --json, --watch."""

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


class Seconds(click.ParamType[float]):
    """A number of seconds from 0.2 on. `--watch shop` is what people write when they mean the stack."""

    name = "seconds"

    def __init__(self, meant: str) -> None:
        self._meant = meant

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds; a {self._meant}'s name stands before --watch", param, ctx)
        if not 0.2 <= seconds <= 86400:
            self.fail(f"{value} is not from 0.2 to 86400", param, ctx)
        return seconds


def watch_option(pace: str, meant: str) -> Callable[[Decorated], Decorated]:
    """--watch [SECONDS]. pace: the seconds between two looks without a number. meant: whose name is an argument."""
    return click.option(
        "--watch", "-w", is_flag=False, flag_value=pace, type=Seconds(meant), metavar="[SECONDS]",
        help=f"Look again every SECONDS (default {pace}), until Ctrl-C.",
    )  # fmt: skip


def one_stack(argument: str | None, option: str | None) -> str | None:
    """The stack that a command with both STACK and --stack was given; refused when they differ."""
    if argument and option and argument != option:
        raise click.UsageError(f"two stacks were given: {argument} and {option}")
    return argument or option
