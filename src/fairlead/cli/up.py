"""`fairlead up`: send the daemon a file, watch it work, print where the stack answers.

Only the file's path goes to the daemon, with the text of `.env` beside it and those variables of our environment which
the file mentions: the daemon reads, builds and starts. Ctrl-C gives the deployment up and waits until that is done.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.follow import follow
from fairlead.cli.options import home_option, json_option
from fairlead.cli.processes import lock_holder, wait_until_gone
from fairlead.cli.progress import Progress
from fairlead.cli.session import FILE, Session, name_in
from fairlead.core.interpolation import env_names
from fairlead.errors import FairleadError, UsageError

LEAVING = 5.0
"""Seconds in which a daemon that has nothing to do is gone."""


@click.command("up", short_help="Build, start or update a stack.")
@click.argument("path", default=".", metavar="[PATH]")
@json_option
@home_option
@click.pass_obj
def command(session: Session, path: str, as_json: bool) -> int:
    """Build, start or update the stack that PATH describes: a fairlead.yaml, or the folder it lies in (default: here).

    Returns when every service is healthy, and prints the URLs. A second `up` changes nothing; after an edit it changes
    only what differs, without losing a request. Ctrl-C gives the change up. The daemon is started when none runs.

    \b
    Examples:
      fairlead up
      fairlead up examples/host-date
      PORT=9090 fairlead up shop/fairlead.yaml     (the file mentions ${env.PORT})
      fairlead up --json | jq -r '.urls[]'
    """
    file, text = _the_file(path)
    dotenv, environment = _dotenv_beside(file), _mentioned(text)
    seen = {"stack": name_in(text) or ""}
    started_here = lock_holder(session.layout.lock) is None
    try:
        result = follow(
            session.daemon,
            lambda client: client.up(file, dotenv, environment),
            lambda event: seen.update(stack=event.get("stack") or seen["stack"]),
        )
    except KeyboardInterrupt:
        status = _give_up(session, seen["stack"])
        _leave_nothing(session, started_here)
        return status
    except FairleadError:
        _leave_nothing(session, started_here)
        raise
    _show(result, as_json)
    return 0


def _leave_nothing(session: Session, started_here: bool) -> None:
    """It failed: a daemon that was started for it, and now has nothing to do, ends too."""
    if not started_here:
        return
    # Whatever goes wrong here must not hide the error that is on its way.
    with contextlib.suppress(FairleadError, KeyboardInterrupt):
        client = session.daemon_if_needed()
        if client is not None and client.leave():
            wait_until_gone(session.home, LEAVING)


def _the_file(path: str) -> tuple[str, str]:
    """The absolute path of the file that PATH means, and its text. UsageError."""
    file = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(file):
        file = os.path.join(file, FILE)
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return file, opened.read()
    except FileNotFoundError as error:
        hint = f"Give `fairlead up` the path of a {FILE}, or of the folder it lies in."
        raise UsageError(f"there is no {file}", "", hint) from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder, not a file", "", f"Give `fairlead up` the {FILE} itself.") from error
    except OSError as error:
        hint = "Let your user read it, or run the command as one who may."
        raise UsageError(f"{file} cannot be read", str(error.strerror), hint) from error


def _dotenv_beside(file: str) -> str:
    """The text of `.env` in the file's folder, "" when there is none."""
    path = os.path.join(os.path.dirname(file), ".env")
    try:
        with open(path, encoding="utf-8") as opened:
            return opened.read()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read", "it is not UTF-8", "Save it as UTF-8.") from error
    except OSError as error:
        hint = "Let your user read it, or remove it."
        raise UsageError(f"{path} cannot be read", str(error.strerror), hint) from error


def _mentioned(text: str) -> dict[str, str]:
    """Those variables of our environment that the file names, and no others."""
    found = {name: os.environ[name] for name in env_names(text) if name in os.environ}
    for name, value in found.items():
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"the variable {name} cannot be used", "its value is not UTF-8")
    return found


def _give_up(session: Session, stack: str) -> int:
    """Ctrl-C: the daemon puts back what was; we wait for it, unless Ctrl-C comes again."""
    if not stack:
        output.note("interrupted; the daemon goes on with it")
        output.next_commands("fairlead status", "fairlead down")
        return 130
    try:
        with Progress() as progress:
            progress.step(f"giving up the change of {stack}; Ctrl-C again leaves that to the daemon")
            text = session.daemon().cancel(stack)["text"]
        output.note(f"interrupted: {output.cell(text)}")
    except KeyboardInterrupt:
        output.note("the daemon goes on giving it up")
    except FairleadError as problem:
        output.error(problem)
    output.next_commands("fairlead status", "fairlead up")
    return 130


def _show(result: dict[str, Any], as_json: bool) -> None:
    shown = {key: result.get(key) for key in ("stack", "changed", "summary", "urls")}
    stack = output.cell(shown["stack"])
    output.note(f"{stack} is up" if shown["changed"] else f"{stack}: nothing to change")
    if shown["changed"]:
        for line in shown["summary"] or ():
            output.note(f"  {output.cell(line)}")
    if as_json:
        output.json(shown)
    else:
        for url in shown["urls"] or ():
            output.data(output.cell(url))
    output.next_commands("fairlead status", "fairlead check", "fairlead logs --follow")
