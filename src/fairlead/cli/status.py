"""`fairlead status`: what runs, and how it is. `status_table` draws it."""

from __future__ import annotations

from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.options import home_option, json_option, one_stack, stack_option
from fairlead.cli.session import Session
from fairlead.errors import NotFound

NOTHING: dict[str, Any] = {"stacks": [], "balancer": {"nodes": []}, "daemon": None}
"""The answer when no daemon runs and none is needed."""


@click.command("status", short_help="What runs, and how it is.")
@click.argument("name", required=False, metavar="[STACK]")
@stack_option
@json_option
@home_option
@click.pass_obj
def command(session: Session, name: str | None, stack: str | None, as_json: bool) -> None:
    """Print stacks, listeners, services and instances with their health, and the reason when they are not healthy.

    Without STACK all of them. Exit status 0 whenever there is an answer, whatever the health. The shape of --json is a
    contract: docs/reference/status.md.

    \b
    Examples:
      fairlead status
      fairlead status shop
      fairlead status --json | jq '.stacks[].services[].instances[].health'
    """
    asked = one_stack(name, stack)
    client = session.daemon_if_needed()
    if client is None and asked:
        raise NotFound(f"there is no stack '{output.cell(asked)}'", "nothing runs in this home", "fairlead up PATH")
    answer = NOTHING if client is None else client.status(asked, explain=not as_json)
    if as_json:
        output.json(answer)
        return
    from fairlead.cli.status_table import draw

    draw(answer, session.home)
