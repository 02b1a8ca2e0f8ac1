"""`fairlead events`: what happened, and why. From the daemon, or from the store when none runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.options import home_option, json_option, stack_filter_option
from fairlead.cli.screen import pause
from fairlead.cli.session import Session, stacks_of
from fairlead.errors import DaemonUnavailable, NotFound

PACE = 0.5
"""Seconds between two looks with --follow."""

TIME = len("2026-11-21 10:02:11Z  ")
"""Characters before what happened to whom."""


@click.command("events", short_help="What happened, and why.")
@stack_filter_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most this many.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@json_option
@home_option
@click.pass_obj
def command(session: Session, stack: str | None, limit: int, follow: bool, as_json: bool) -> None:
    """Print the newest events, oldest first: launches, health, replacements, deployments, each with its reason.

    Without --stack those of every stack, also of stacks that are down. With --json one object, {"events": [...]}; with
    --json and --follow one object a line, as they happen.

    \b
    Examples:
      fairlead events
      fairlead events --stack shop --limit 200
      fairlead events --follow
      fairlead events --json | jq '.events[].text'
      fairlead events --follow --json | jq --unbuffered -r .kind

    \b
    Exit status:
      0    done, also when there are no events
      2    nothing is known of that stack
      130  --follow was ended by Ctrl-C
    """
    found = _ask(session, stack, limit, 0)
    if not found and stack:
        _refuse_unknown(session, stack)
    if as_json and not follow:
        output.json({"events": found})
        return
    last = _show(found, as_json, 0)
    if not found and not follow:
        output.note("no events")
    while follow:
        # A pipe would keep for itself what is too little to fill its buffer.
        print(end="", flush=True)
        pause(PACE)
        try:
            last = _show(_ask(session, stack, limit, last), as_json, last)
        except DaemonUnavailable:
            # Its keeper brings it back; what happens meanwhile is in the next answer.
            continue


def _ask(session: Session, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
    client = session.daemon_if_needed()
    if client is not None:
        return client.events(stack, limit, after)
    from fairlead.cli.record import events

    return events(session.layout.database, stack, limit, after)


def _refuse_unknown(session: Session, stack: str) -> None:
    """Nothing is known of it: NotFound, unless it is there."""
    client = session.daemon_if_needed()
    names = [] if client is None else stacks_of(client)
    if stack not in names:
        here = ", ".join(map(output.cell, names)) or "none that is up"
        why = f"no event of it is kept, and this home has {here}"
        raise NotFound(f"there is no stack '{output.cell(stack)}'", why, "fairlead events")


def _show(found: list[dict[str, Any]], as_json: bool, last: int) -> int:
    """Print them; the id of the last one ever printed."""
    from json import dumps

    width = output.line_width(sys.stdout)
    for event in found:
        for text in [dumps(event)] if as_json else output.folded(line(event), width, TIME):
            output.data(text)
        last = int(event["id"])
    return last


def line(event: dict[str, Any]) -> str:
    """`2026-11-21 10:02:11Z  shop/web-1   launched   why`."""
    who = "/".join(output.cell(event[key]) for key in ("stack", "instance") if event.get(key))
    if event.get("service") and not event.get("instance"):
        who = f"{who}/{output.cell(event['service'])}"
    return f"{output.moment(event['at'])}  {who:<20}  {output.cell(event['kind']):<20}  {output.cell(event['text'])}"
