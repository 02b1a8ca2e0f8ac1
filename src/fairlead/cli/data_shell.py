"""`fairlead data shell ID`: the engine's own client program on the user's terminal, with address and password.

The daemon says which; this process then becomes it (`place`). The password is in its environment, never in its words.
"""

from __future__ import annotations

import os
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.data_shared import a_daemon, id_argument, no_data, stack_of
from fairlead.cli.options import home_option, stack_option
from fairlead.cli.place import Place, become
from fairlead.cli.session import Session
from fairlead.core.layout import Layout

LENT = ("PATH", "TERM", "LANG", "LC_ALL", "TZ", "PAGER", "EDITOR", "COLUMNS", "LINES")
"""Of root's environment, what a program gets that is begun as another user."""


@click.command("shell", short_help="Look into it with its own client.")
@id_argument
@stack_option
@home_option
@click.pass_obj
def shell(session: Session, id: str, stack: str | None) -> None:
    """Start the client program of ID's engine, logged in: psql, mariadb or mysql, redis-cli or valkey-cli; for a bucket
    a shell in which aws and rclone reach it. It is on your terminal, and what is piped into this command goes to it.
    Its exit status is the command's.

    Of one that exists already (`url:`) the client program must be installed.

    \b
    Examples:
      fairlead data shell store
      echo 'select count(*) from users' | fairlead data shell store

    \b
    Exit status:
      the program's own
      0    it ended well
      1    there is no client program, or the daemon does not answer
      2    no such stack or ID, or it is not available
      126  the program cannot be run
      127  the program is not there
    """
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        answer = client.data_shell(stack_of(client, stack, id), id)
    if answer.get("says"):
        output.note(output.cell(answer["says"]))
    become(place_of(answer, session.layout), tuple(map(str, answer["argv"])))


def place_of(answer: dict[str, Any], layout: Layout) -> Place:
    """Where it is begun: here, with our environment. Root who asks another user's daemon becomes that user first: it
    names the program."""
    given = {str(name): str(value) for name, value in answer["environment"].items()}
    if os.geteuid() != 0 or (owner := os.stat(layout.api_socket)).st_uid == 0:
        return Place({**os.environ, **given}, os.getcwd(), None)
    lent = {name: os.environ[name] for name in LENT if name in os.environ}
    return Place({**lent, **given}, "/", (owner.st_uid, owner.st_gid))
