"""`fairlead plan`: what `fairlead up` would change, and why, changing nothing."""

from __future__ import annotations

from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.declared import declared
from fairlead.cli.guest import Guest
from fairlead.cli.names import complete_path
from fairlead.cli.options import home_option, json_option
from fairlead.cli.session import Session
from fairlead.errors import FairleadError

CHANGES = 2
"""The exit status with --exit-code when `up` would change something, as `terraform plan -detailed-exitcode` has it."""


@click.command("plan", short_help="What `up` would change, and why.")
@click.argument("path", default=".", metavar="[PATH]", shell_complete=complete_path)
@click.option(
    "--exit-code", is_flag=True, help="Exit with 2 when `up` would change something, 0 when not, 1 on errors."
)
@json_option
@home_option
@click.pass_obj
def command(session: Session, path: str, exit_code: bool, as_json: bool) -> int:
    """Say what `fairlead up PATH` would change, with the reasons, and change nothing. PATH is a fairlead.yaml, or the
    folder it lies in (default: here).

    The file is read and checked as `up` does, and the source is compared with the release that runs; nothing is built,
    so whether a new release can be built shows only at `up`.

    \b
    Examples:
      fairlead plan
      fairlead plan shop/fairlead.yaml
      fairlead plan --json | jq '.changes[].what'
      fairlead plan --exit-code && echo "in step with the file"

    \b
    Exit status:
      0    there is an answer, whatever it says; with --exit-code: nothing to change
      1    it failed; with --exit-code also for an invalid file
      2    an invalid file, or no file; with --exit-code: `up` would change something
    """
    guest = Guest(session)
    try:
        file = declared(path, "fairlead plan")
        answer = session.daemon().plan(file.path, file.dotenv, file.environment)
    except FairleadError as error:
        if not exit_code:
            raise
        # 2 says "changes" here, so whatever goes wrong must not be 2.
        output.error(error)
        return 1
    finally:
        guest.leave()
    if as_json:
        output.json(answer)
    else:
        _show(answer, path)
    return CHANGES if exit_code and answer["changed"] else 0


def _show(answer: dict[str, Any], path: str) -> None:
    stack = output.cell(answer["stack"])
    if not answer["changed"]:
        output.data(f"{stack}: nothing to change")
    elif answer["first"]:
        output.data(f"{stack} is not up; `fairlead up` would start it:")
    else:
        output.data(f"{stack}: `fairlead up` would change")
    for change in answer["changes"]:
        output.data(f"  {_line(change)}")
    for url in answer["urls"]:
        output.data(f"  it {'will answer' if answer['changed'] else 'answers'} at {output.cell(url)}")
    for line in output.not_enforced(answer["unenforced"], answer.get("engine") or ""):
        output.data(f"  {line}")
    for note in answer.get("notes") or ():
        output.data(f"  {output.cell(note)}")
    if answer["changed"]:
        output.next_commands("fairlead up" if path == "." else f"fairlead up {output.word(path)}")
    else:
        output.next_commands("fairlead status")


def _line(change: dict[str, Any]) -> str:
    what, why = output.cell(change["what"]), output.cell(change.get("why") or "")
    about = f"{output.cell(change['service'])}: " if change.get("service") else ""
    return f"{about}{what}{f' ({why})' if why else ''}"
