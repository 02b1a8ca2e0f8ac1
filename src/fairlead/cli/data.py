"""`fairlead data list|shell|backup|restore|stop|start|delete`: the caches, databases and buckets of stacks.

Here are the group, `list`, `stop` and `start`; the others have files of their own.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.data_delete import delete
from fairlead.cli.data_files import backup, restore
from fairlead.cli.data_shared import STATUSES, a_daemon, id_argument, named, no_data, show, stack_of
from fairlead.cli.data_shell import shell
from fairlead.cli.data_table import table
from fairlead.cli.declared import up_command
from fairlead.cli.follow import watch
from fairlead.cli.options import home_option, json_option, stack_filter_option, stack_option
from fairlead.cli.session import Session

WIDTH = 80
"""Characters of a line of a terminal that does not tell how many it has."""


@click.group("data", short_help="Caches, databases and buckets: look, back up, stop.", epilog=STATUSES)
@home_option
def command() -> None:
    """Look after the caches, databases and buckets that fairlead runs beside the services. ID is the name in the file:
    `store` of `databases: {store: ...}`.

    Data outlive `fairlead down` (a cache's with `persist: true`), and a resource that leaves the file keeps them: only
    `fairlead data delete` and `fairlead down --delete-data` remove them. What the file gives a `url:` exists already:
    fairlead never starts, stops, backs up or deletes it.

    \b
    Examples:
      fairlead data list
      fairlead data shell store               its own client program, logged in
      fairlead data backup store
      fairlead data restore store shop-store-20261122-013305.postgres.dump
      fairlead data stop store                its data stay
      fairlead data start store
      fairlead data delete store              for ever; asks first
    """


@command.command("list", short_help="What there is, its size and its state.", epilog=STATUSES)
@stack_filter_option
@json_option
@home_option
@click.pass_obj
def list_data(session: Session, stack: str | None, as_json: bool) -> None:
    """Print every cache, database and bucket with its state, the bytes that its data take on the disk, where it listens
    and what serves it; also those of stacks that are down, and those that left their file and keep their data.

    With --json: {"data": [...]}, each as in `resources` of docs/reference/status.md, with `stack`, `up` (whether that
    stack is up) and `size` in bytes (null of one that exists already).

    \b
    Examples:
      fairlead data list
      fairlead data list --stack shop
      fairlead data list --json | jq '.data[] | {stack, id, size}'
    """
    with a_daemon(session) as client:
        if client is None and stack:
            raise no_data(session)
        rows = client.data(stack) if client is not None else []
    if as_json:
        output.json({"data": rows})
        return
    if not rows:
        output.note("no data: a stack's file declares them under `caches:`, `databases:` and `buckets:`")
        output.next_commands("fairlead schema", "fairlead status")
        return
    width = output.width(sys.stdout, WIDTH) if output.is_terminal(sys.stdout) else None
    for line in table(rows, colour=output.coloured(sys.stdout), width=width):
        output.data(line)
    output.next_commands(*_useful(rows))


def _useful(rows: list[dict[str, Any]]) -> list[str]:
    """Commands for the first that each is possible for."""
    several = len({row["stack"] for row in rows}) > 1

    def of(row: dict[str, Any]) -> str:
        return named(row["id"], row["stack"] if several else None)

    stopped = [row for row in rows if row["up"] and row["declared"] and row["state"] == "stopped"][:1]
    found = [f"fairlead data start {of(row)}" for row in stopped]
    available = [row for row in rows if row["state"] == "available"][:1]
    found += [f"fairlead data {verb} {of(row)}" for row in available for verb in ("shell", "backup")]
    left = [row for row in rows if row["up"] and not row["declared"]][:1]
    found += [f"fairlead data delete {of(row)}" for row in left]
    return found or (["fairlead status"] if any(row["up"] for row in rows) else ["fairlead up"])


@command.command("stop", short_help="Stop its server; its data stay.", epilog=STATUSES)
@id_argument
@stack_option
@json_option
@home_option
@click.pass_obj
def stop(session: Session, id: str, stack: str | None, as_json: bool) -> int | None:
    """Stop the server of ID and keep its data. It stays stopped, also after a reboot, until `fairlead data start ID`.
    The services that refer to it run on without it, and `fairlead status` says so; an `up` of a service that needs it
    fails. Returns when it has ended.

    \b
    Examples:
      fairlead data stop store
    """
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        meant = stack_of(client, stack, id)
        answer = watch(session.daemon, lambda client: client.stop_data(meant, id))
    if answer is None:
        return 130
    show(answer, as_json)
    output.next_commands(f"fairlead data start {named(id, stack)}", "fairlead status")
    return None


@command.command("start", short_help="Start its server again.", epilog=STATUSES)
@id_argument
@stack_option
@json_option
@home_option
@click.pass_obj
def start(session: Session, id: str, stack: str | None, as_json: bool) -> int | None:
    """Start the server of ID again, which was stopped by hand or has failed, with the data it had. Returns when it
    answers; when it does not, the error shows the end of its log.

    \b
    Examples:
      fairlead data start store
    """
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        meant = stack_of(client, stack, id)
        answer = watch(session.daemon, lambda client: client.start_data(meant, id))
    if answer is None:
        return 130
    show(answer, as_json)
    if answer.get("state") == "stopped":
        output.next_commands(up_command())
    else:
        output.next_commands("fairlead status", f"fairlead data shell {named(id, stack)}")
    return None


for one in (shell, backup, restore, delete):
    command.add_command(one)
