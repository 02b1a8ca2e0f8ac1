"""`fairlead down`: stop a stack, or with --all everything of the home, the daemon too.

`down --all` is believed only when the kernel agrees: it returns when no process carries the home's mark any more.
"""

from __future__ import annotations

import contextlib
from typing import Any

import click

from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.data_delete import ask_for_all, kept_by, say_kept
from fairlead.cli.data_shared import a_daemon, no_data
from fairlead.cli.declared import up_command
from fairlead.cli.follow import follow
from fairlead.cli.names import complete_stack, file_of, stacks_kept, stacks_with_data
from fairlead.cli.options import home_option, one_stack, stack_option
from fairlead.cli.processes import kill, processes_of, wait_until_gone
from fairlead.cli.session import Session, choose_stack, stack_here, stacks_of
from fairlead.cli.typed import yes_option
from fairlead.errors import DaemonUnavailable, FairleadError, NotFound

ENDING = 20.0
"""Seconds in which the daemon, its keeper and HAProxy are gone once the daemon has stopped everything."""

KILLING = 5.0
"""Seconds in which a process is gone that was killed."""


@click.command("down", short_help="Stop a stack, or everything.")
@click.argument("name", required=False, metavar="[STACK]", shell_complete=complete_stack)
@stack_option
@click.option("--all", "everything", is_flag=True, help="Stop every stack of the home, HAProxy and the daemon.")
@click.option("--delete-data", is_flag=True, help="Delete the data of its caches, databases and buckets, for ever.")
@yes_option("with --delete-data the data are deleted.")
@home_option
@click.pass_obj
def command(
    session: Session, name: str | None, stack: str | None, everything: bool, delete_data: bool, yes: bool
) -> int:
    """Stop STACK: its listeners close, its instances finish their requests and end, then its caches, databases and
    buckets. Their data stay, and so do releases, logs and events.

    With --delete-data the data go as well, for ever: you are shown what there is, and asked to type the stack's name;
    also of a stack that is down already. With --all every stack is stopped, then HAProxy and the daemon; no process of
    the home is left when it returns.

    \b
    Examples:
      fairlead down                (the stack of ./fairlead.yaml, or the only one)
      fairlead down shop
      fairlead down --all
      fairlead down shop --delete-data

    \b
    Exit status:
      0    it is down, or nothing ran
      1    not everything has ended; the error names what is left
      2    no such stack, it is not clear which one is meant, or nobody is there to be asked
      130  interrupted; the daemon goes on stopping it
    """
    asked = one_stack(name, stack)
    if everything and asked:
        raise click.UsageError("--all stops every stack; do not name one with it")
    if everything and delete_data:
        raise click.UsageError("--delete-data is for one stack at a time; name it")
    if yes and not delete_data:
        raise click.UsageError("--yes answers the question of --delete-data, which is not asked")
    try:
        if delete_data:
            return _with_data(session, asked, yes=yes)
        return _everything(session) if everything else _one(session, asked)
    except KeyboardInterrupt:
        output.note("interrupted; the daemon goes on stopping it")
        output.next_commands("fairlead status")
        return 130


def _one(session: Session, asked: str | None) -> int:
    client = session.daemon_if_needed()
    names = [] if client is None else stacks_of(client)
    if not names and asked:
        raise NotFound(f"there is no stack '{output.cell(asked)}'", "no stack is up in this home", "fairlead status")
    if client is None:
        return _nothing(session)
    if not names:
        output.note(f"no stack is up in {output.cell(session.home)}")
        return _none_left()
    name = choose_stack(names, asked, stack_here())
    file = file_of(session.layout.database, name)
    _take_down(session, name)
    client = session.daemon()
    say_kept(name, kept_by(client, name), session.layout.resources(name))
    if not stacks_of(client):
        return _none_left(file)
    output.next_commands("fairlead status")
    return 0


def _take_down(session: Session, name: str) -> None:
    """Stop a stack that is up, and say so."""
    steps: list[str] = []
    try:
        text = follow(session.daemon, lambda client: client.down(name), lambda event: steps.append(event["text"]))[
            "text"
        ]
        # The last step often says the same.
        if steps[-2:-1] != [text]:
            output.note(output.cell(text))
    except NotFound:
        # Asked again of a daemon that came back: it had finished before it could say so.
        if not steps:
            raise


def _with_data(session: Session, asked: str | None, *, yes: bool) -> int:
    """Stop a stack, unless it is down already, and delete all its data. What would go is shown, and asked about, before
    anything is stopped."""
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        up = stacks_of(client)
        everything = client.data()
        name = choose_stack(sorted({*up, *(str(row["stack"]) for row in everything)}), asked, stack_here())
        mine = [row for row in everything if row["stack"] == name and row["state"] != "external"]
        if mine:
            ask_for_all(name, mine, yes=yes)
        file = file_of(session.layout.database, name)
        if name in up:
            _take_down(session, name)
        answer = follow(session.daemon, lambda client: client.delete_data(name))
        output.note(output.cell(answer["text"]))
    output.next_commands("fairlead data list", up_command(file))
    return 0


def _everything(session: Session) -> int:
    database = session.layout.database
    files = [file for stack in stacks_kept(database) if (file := file_of(database, stack))]
    if _daemon_or_none(session) is None:
        if not wait_until_gone(session.home, 1.0):
            return _nothing(session)
        # Something was left behind: a daemon finds it, and ends it.
        session.daemon()

    def reach() -> Client:
        client = session.daemon_if_needed()
        if client is None:
            raise _Over
        return client

    # Over before its last word came through: it had ended everything, and itself.
    with contextlib.suppress(_Over):
        follow(reach, lambda client: client.shutdown(), said=_of_which_stack)
    left = wait_until_gone(session.home, ENDING)
    if left:
        output.note(f"killing what does not end: {', '.join(map(str, left))}")
        left = kill(session.home, left, KILLING)
    if left:
        raise FairleadError(
            "not everything has ended",
            f"after {ENDING + KILLING:g} s there is still {', '.join(map(str, left))}",
            f"See {session.layout.daemon_log}; run `fairlead down --all` again, as the user whose processes these are.",
        )
    output.note("everything is stopped; nothing runs any more")
    if kept := [output.cell(stack) for stack in stacks_with_data(database)]:
        output.note(f"the data of {', '.join(kept)} are kept; `fairlead data list` shows them")
    output.next_commands(*(up_command(file) for file in files or [""]))
    return 0


def _daemon_or_none(session: Session) -> Client | None:
    """As `daemon_if_needed`; a daemon that hangs, or whose home was deleted under it, is ended and a new one asked."""
    try:
        return session.daemon_if_needed()
    except DaemonUnavailable as problem:
        hanging = [process for process in processes_of(session.home) if process.kind in ("keeper", "daemon")]
        if not hanging:
            raise
        output.note(f"{output.cell(problem.sentence)}; killing {', '.join(map(str, hanging))}")
        kill(session.home, hanging, KILLING)
        return session.daemon_if_needed()


def _nothing(session: Session) -> int:
    output.note(f"nothing runs in {output.cell(session.home)}")
    output.next_commands(up_command())
    return 0


def _none_left(file: str = "") -> int:
    output.next_commands(up_command(file), "fairlead down --all (ends the daemon too)")
    return 0


def _of_which_stack(event: dict[str, Any]) -> str:
    """A step of several stacks' end, with the name of the one it is of."""
    stack, text = str(event.get("stack") or ""), str(event.get("text", ""))
    # A bucket `photos` of a stack `photos` must not read like the stack.
    names_it = stack in text.split() and not event.get("service") and not event.get("instance")
    return text if not stack or names_it else f"{stack}: {text}"


class _Over(Exception):
    """No daemon is there to be asked, and none is needed."""
