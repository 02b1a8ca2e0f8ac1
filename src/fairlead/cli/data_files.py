"""`fairlead data backup` and `fairlead data restore`: data as one file. The daemon writes and reads it, as its user."""

from __future__ import annotations

import os
import shlex
from datetime import datetime
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.amounts import data_size
from fairlead.cli.data_shared import STATUSES, a_daemon, id_argument, named, no_data, row_of, show, stack_of
from fairlead.cli.follow import watch
from fairlead.cli.names import complete_path
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.cli.typed import ask_to_type, yes_option
from fairlead.core.phrases import listed
from fairlead.core.resources.backups import STAMP, backup_name
from fairlead.errors import UsageError


@click.command("backup", short_help="Write its data into a file.", epilog=STATUSES)
@id_argument
@click.argument("file", required=False, metavar="[FILE]", shell_complete=complete_path)
@stack_option
@json_option
@home_option
@click.pass_obj
def backup(session: Session, id: str, file: str | None, stack: str | None, as_json: bool) -> int | None:
    """Write the data of ID into FILE while it serves on: what was there at the moment it began. FILE must not exist, is
    readable by its owner alone, and is complete or not there at all. Default: STACK-ID-DATE-TIME.ENGINE.dump in the
    current folder.

    It is in the engine's own format: pg_dump's custom format, mysqldump's SQL, a Redis snapshot, a tar of objects.

    \b
    Examples:
      fairlead data backup store
      fairlead data backup store /backups/store.dump
      fairlead data backup store --json | jq -r .file
    """
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        meant = stack_of(client, stack, id)
        stamp = datetime.now().strftime(STAMP)
        path = os.path.abspath(file or backup_name(meant, id, row_of(client, meant, id)["engine"], stamp))
        if os.path.isdir(path):
            raise UsageError(f"{output.cell(path)} is a folder", "", "Name a file in it.")
        began: list[dict[str, Any]] = []
        try:
            answer = watch(session.daemon, lambda client: client.backup_data(meant, id, path), began.append)
        except UsageError:
            # Asked again of a daemon that came back: it had finished before it could say so.
            if not (began and os.path.exists(path)):
                raise
            answer = {"stack": meant, "id": id, "file": path, "bytes": os.path.getsize(path)}
            answer["text"] = f"the data of {id} are in {path}"
    if answer is None:
        return 130
    show(answer, as_json)
    output.note("whoever can read that file can read the data")
    output.next_commands(f"fairlead data restore {named(id, stack)} {output.word(path)}")
    return None


@click.command("restore", short_help="Replace its data by a backup's.", epilog=STATUSES)
@id_argument
@click.argument("file", metavar="FILE", shell_complete=complete_path)
@yes_option("its data are replaced.")
@stack_option
@json_option
@home_option
@click.pass_obj
def restore(session: Session, id: str, file: str, yes: bool, stack: str | None, as_json: bool) -> int | None:
    """Replace the data of ID by those of FILE, which `fairlead data backup` made of the same engine, here or elsewhere.
    What ID holds now is lost: you are asked to type ID first. A file that is no such backup is refused before anything
    is changed. Services go on, and see the other data. A database may then be older than the release that uses it: you
    are shown the command that prepares it again (`before_traffic`).

    \b
    Examples:
      fairlead data restore store shop-store-20261122-013305.postgres.dump
      fairlead data restore store /backups/store.dump --yes
    """
    path = os.path.abspath(file)
    with a_daemon(session) as client:
        if client is None:
            raise no_data(session)
        meant = stack_of(client, stack, id)
        row = row_of(client, meant, id)
        size = f" ({data_size(row['size'])})" if row.get("size") is not None else ""
        if not yes:
            _refuse_missing(path)
            output.note(
                f"the data of {output.cell(id)} in {output.cell(meant)}{size} become those of {output.cell(path)}"
            )
        ask_to_type(id, "replace them", yes=yes)
        answer = watch(session.daemon, lambda client: client.restore_data(meant, id, path))
    if answer is None:
        return 130
    show(answer, as_json)
    commands = [f"fairlead data shell {named(id, stack)}", "fairlead status"]
    if unprepared := answer.get("unprepared"):
        names = listed([output.cell(one["service"]) for one in unprepared])
        output.note(f"before_traffic of {names} ran on other data; if these are of an older release, run it on them")
        commands = [_prepares(one, stack) for one in unprepared]
    output.next_commands(*commands)
    return None


def _prepares(unprepared: dict[str, Any], stack: str | None) -> str:
    """The command that runs a service's before_traffic once more."""
    of = f"--stack {output.cell(stack)} " if stack else ""
    words = " ".join(shlex.quote(output.cell(word)) for word in unprepared["argv"])
    return f"fairlead run {of}{output.cell(unprepared['service'])} {words}"


def _refuse_missing(path: str) -> None:
    """As the daemon would, before anybody is asked to type."""
    if not os.path.lexists(path):
        what = f"{output.cell(path)} cannot be restored"
        raise UsageError(what, "there is no such file", "Name a file that `fairlead data backup` made.")
