"""`fairlead status`: what runs, and how it is. `status_table` draws it, `screen` keeps it on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.names import complete_stack
from fairlead.cli.options import home_option, json_option, one_stack, stack_filter_option, watch_option
from fairlead.cli.session import Session
from fairlead.errors import DaemonUnavailable, NotFound

NOTHING: dict[str, Any] = {"stacks": [], "balancer": {"nodes": []}, "daemon": None}
"""The answer when no daemon runs and none is needed."""

WIDTH = 80
"""Characters of a line of a terminal that does not tell how many it has."""

PACE = "2"
"""Seconds between two looks of --watch without a number."""


@click.command("status", short_help="What runs, and how it is.")
@click.argument("name", required=False, metavar="[STACK]", shell_complete=complete_stack)
@stack_filter_option
@watch_option(PACE, "stack")
@json_option
@home_option
@click.pass_obj
def command(session: Session, name: str | None, stack: str | None, watch: float | None, as_json: bool) -> None:
    """Print stacks, listeners, services and instances with their health, and the reason when they are not healthy; the
    caches, databases and buckets beside them, with the program that serves each and how old that is; and how services
    and instances did over the last 10 seconds: requests per second, share of errors, p95 of the response times, cpu and
    memory (in percent of `resources`; `-` where it is not known). On a narrow terminal columns are left out, those that
    matter least first.

    Without STACK all of them. With --watch the table stays on the terminal and is drawn anew; when the output is no
    terminal it is printed again whenever something has changed, with --json as one line each time.

    The shape of --json is a contract: docs/reference/status.md.

    \b
    Examples:
      fairlead status
      fairlead status shop
      fairlead status --watch
      fairlead status shop --watch 0.5
      fairlead status --json | jq '.stacks[].services[].instances[].health'

    \b
    Exit status:
      0    there is an answer, whatever the health
      2    no such stack
      130  --watch was ended by Ctrl-C
    """
    asked = one_stack(name, stack)

    def ask() -> dict[str, Any]:
        return _ask(session, asked, explain=not as_json)

    if watch is not None:
        _watch(ask, watch, session.home, as_json)
    answer = ask()
    if as_json:
        output.json(answer)
        return
    for line in _drawn(answer):
        output.data(line)
    _conclude(answer, session)


def _ask(session: Session, asked: str | None, *, explain: bool) -> dict[str, Any]:
    client = session.daemon_if_needed()
    if client is None and asked:
        raise NotFound(f"there is no stack '{output.cell(asked)}'", "nothing runs in this home", "fairlead up PATH")
    return NOTHING if client is None else client.status(asked, explain=explain)


def _drawn(answer: dict[str, Any]) -> list[str]:
    from datetime import UTC, datetime

    from fairlead.cli.status_table import View, table

    # Scripts get every column.
    width = output.width(sys.stdout, WIDTH) if output.is_terminal(sys.stdout) else None
    return table(answer, View(datetime.now(UTC), output.coloured(sys.stdout), width))


def _conclude(answer: dict[str, Any], session: Session) -> None:
    from fairlead.cli.status_table import next_useful

    if not answer["stacks"]:
        from fairlead.cli.declared import up_command

        output.note(f"no stack is up in {output.cell(session.home)}")
        output.next_commands(up_command())
        return
    output.next_commands(*next_useful(answer, session.naming))


def _watch(ask: Callable[[], dict[str, Any]], pace: float, home: str, as_json: bool) -> None:
    """Until Ctrl-C. A daemon that went away is waited for: its keeper brings it back."""
    from fairlead.cli.screen import on_screen, when_changed

    def seen() -> dict[str, Any] | str:
        try:
            return ask()
        except DaemonUnavailable as problem:
            return output.cell(problem.sentence)

    # What is wrong with the request itself is said before anything is drawn.
    ask()
    if output.is_terminal(sys.stdout) and not as_json:
        on_screen(lambda: _lines(seen(), home), pace, f"every {pace:g} s, Ctrl-C ends it")
    when_changed(seen, output.compact if as_json else (lambda answer: _plain(answer, home)), pace)


def _lines(answer: dict[str, Any] | str, home: str) -> list[str]:
    if isinstance(answer, str):
        return [answer]
    none = [] if answer["stacks"] else [f"no stack is up in {output.cell(home)}"]
    return [*none, *_drawn(answer)]


def _plain(answer: dict[str, Any] | str, home: str) -> str:
    return "\n".join([*_lines(answer, home), ""])
