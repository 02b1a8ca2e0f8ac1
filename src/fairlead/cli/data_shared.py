"""What the commands of `fairlead data` share: which stack is meant, a daemon that may be a guest, and rows as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.amounts import data_size
from fairlead.cli.guest import Guest
from fairlead.cli.names import complete_resource, stacks_with_data
from fairlead.cli.session import Session, choose_stack, stack_here, stacks_of
from fairlead.errors import NotFound

id_argument = click.argument("id", metavar="ID", shell_complete=complete_resource)

STATUSES = """\b
Exit status:
  0    done
  1    it failed; the error says why
  2    no such stack or ID, or it is not possible now; the error says why
  130  interrupted by Ctrl-C; the daemon goes on with what it has begun
"""


@contextmanager
def a_daemon(session: Session) -> Iterator[Client | None]:
    """The daemon; one that was started for this, because of the data of stacks that are down, leaves at the end. None:
    nothing runs, and no data are kept."""
    guest = Guest(session)
    try:
        client = session.daemon_if_needed()
        if client is None and stacks_with_data(session.layout.database):
            client = session.daemon()
        yield client
    finally:
        guest.leave()


def no_data(session: Session) -> NotFound:
    return NotFound(
        "there are no data", f"{output.cell(session.home)} has no cache, database or bucket", "fairlead up PATH"
    )


def stack_of(client: Client, asked: str | None, id: str) -> str:
    """The stack that is meant: as with other commands, but one that is down and keeps data counts as well; and of
    several the only one that has `id`."""
    rows = client.data()
    names = sorted({*stacks_of(client), *(str(row["stack"]) for row in rows)})
    here = stack_here()
    having = {str(row["stack"]) for row in rows if row["id"] == id}
    if not asked and here not in names and len(having) == 1:
        return having.pop()
    return choose_stack(names, asked, here)


def row_of(client: Client, stack: str, id: str) -> dict[str, Any]:
    """What is known of one; where there are data from before it had a `url:`, of these. NotFound."""
    rows = client.data(stack)
    for row in sorted(rows, key=lambda row: row["state"] == "external"):
        if row["id"] == id:
            return row
    has = f"it has {', '.join(output.cell(row['id']) for row in rows)}" if rows else "it has none"
    what = f"there is no cache, database or bucket '{output.cell(id)}' in {output.cell(stack)}"
    raise NotFound(what, has, "fairlead data list")


def told(row: dict[str, Any]) -> str:
    """`store (postgres, 38 MB)`."""
    size = f", {data_size(row['size'])}" if row.get("size") is not None else ""
    return f"{output.cell(row['id'])} ({output.cell(row['engine'])}{size})"


def named(id: str, asked: str | None) -> str:
    """`store`, or `store --stack shop` when the stack had to be said."""
    return output.cell(id) + (f" --stack {output.cell(asked)}" if asked else "")


def show(answer: dict[str, Any], as_json: bool) -> None:
    """The result of a piece of work."""
    if as_json:
        output.json({key: value for key, value in answer.items() if key != "type"})
    else:
        output.note(output.cell(answer["text"]))
