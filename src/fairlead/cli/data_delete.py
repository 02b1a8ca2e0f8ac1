"""`fairlead data delete ID`, and what `fairlead down --delete-data` does: data go for ever, after a question."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.amounts import data_size
from fairlead.cli.data_shared import STATUSES, a_daemon, id_argument, no_data, row_of, show, stack_of, told
from fairlead.cli.follow import watch
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.cli.typed import ask_to_type, yes_option
from fairlead.errors import FairleadError, NotFound, UsageError


@click.command("delete", short_help="Delete its data for ever.", epilog=STATUSES)
@id_argument
@yes_option("its data are deleted.")
@stack_option
@json_option
@home_option
@click.pass_obj
def delete(session: Session, id: str, yes: bool, stack: str | None, as_json: bool) -> int | None:
    """Delete the data of ID for ever, and its password with them: of a stack that is down, or of one whose file no
    longer has ID. You are told how much it is, and asked to type ID first. All data of a stack: `fairlead down STACK
    --delete-data`.

    \b
    Examples:
      fairlead data delete store
      fairlead data delete store --stack shop --yes
    """
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        meant = stack_of(client, stack, id)
        row = row_of(client, meant, id)
        _refuse_in_use(row, meant)
        if not yes:
            output.note(f"{told(row)} of {output.cell(meant)}: its data go for ever")
        ask_to_type(id, "delete its data", yes=yes)
        seen: list[dict[str, Any]] = []
        try:
            answer = watch(session.daemon, lambda client: client.delete_data(meant, id), seen.append)
        except NotFound:
            # Asked again of a daemon that came back: it had finished before it could say so.
            if not seen:
                raise
            answer = {"stack": meant, "id": id, "bytes": row["size"], "text": f"the data of {id} are deleted"}
    if answer is None:
        return 130
    show(answer, as_json)
    output.next_commands("fairlead data list")
    return None


def _refuse_in_use(row: dict[str, Any], stack: str) -> None:
    """As the daemon would, before anybody is asked to type."""
    id, name = output.cell(row["id"]), output.cell(stack)
    if row["state"] == "external":
        raise UsageError(
            f"{id} cannot be deleted here", "it has a `url:`: it exists already, and fairlead only uses it"
        )
    if row["up"] and row["declared"]:
        then = f"Take it out of the file and run `fairlead up`, or run: fairlead down {name} --delete-data"
        raise UsageError(f"{id} cannot be deleted", f"{name} is up, and its file declares it", then)


def kept_by(client: Client, stack: str | None) -> list[dict[str, Any]]:
    """The rows of what fairlead keeps; nothing when that cannot be asked."""
    with contextlib.suppress(FairleadError):
        return [row for row in client.data(stack) if row["state"] != "external"]
    return []


def say_kept(stack: str, rows: list[dict[str, Any]], folder: str) -> None:
    """After a plain `down`: what stays, where, and how it would go."""
    if rows:
        output.note(f"its data are kept in {output.cell(folder)}: {', '.join(map(told, rows))}")
        output.note(f"`fairlead up` finds them again; `fairlead down {output.cell(stack)} --delete-data` deletes them")


def ask_for_all(stack: str, rows: list[dict[str, Any]], *, yes: bool) -> None:
    """Show what would go, and have the stack's name typed."""
    for row in rows:
        output.note(f"  {told(row)}")
    total = sum(row.get("size") or 0 for row in rows)
    output.note(f"these data of {output.cell(stack)}, {data_size(total)}, go for ever")
    ask_to_type(stack, "delete them", yes=yes)
