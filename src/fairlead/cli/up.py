"""`fairlead up`: send the daemon a file, watch it work, print where the stack answers.

Only the file's path and what `declared` adds go to the daemon: it reads, builds and starts. Ctrl-C gives the deployment
up and waits until that is done.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.declared import declared, up_command
from fairlead.cli.follow import follow
from fairlead.cli.guest import Guest
from fairlead.cli.names import complete_path
from fairlead.cli.options import home_option, json_option
from fairlead.cli.progress import Progress
from fairlead.cli.session import Session, name_in
from fairlead.errors import FairleadError


@click.command("up", short_help="Build, start or update a stack.")
@click.argument("path", default=".", metavar="[PATH]", shell_complete=complete_path)
@json_option
@home_option
@click.pass_obj
def command(session: Session, path: str, as_json: bool) -> int:
    """Build, start or update the stack that PATH describes: a fairlead.yaml, or the folder it lies in (default: here).

    Returns when every service is healthy (of targets that it does not run: when their health is known), and prints the
    URLs. A second `up` changes nothing; after an edit it changes only what differs, without losing a request. Ctrl-C
    gives the change up. The daemon is started when none runs.

    \b
    Examples:
      fairlead up
      fairlead up examples/host-date
      PORT=9090 fairlead up shop/fairlead.yaml     (the file mentions ${env.PORT})
      fairlead up --json | jq -r '.urls[]'

    \b
    Exit status:
      0    every service is healthy
      1    it was given up (a build failed, a port is taken, an instance does not become healthy);
           what served before serves on
      2    the file is not valid, or not there
      130  interrupted; the change is given up
    """
    file = declared(path, "fairlead up")
    seen = {"stack": name_in(file.text) or ""}
    guest = Guest(session)
    try:
        result = follow(
            session.daemon,
            lambda client: client.up(file.path, file.dotenv, file.environment, _who()),
            lambda event: seen.update(stack=event.get("stack") or seen["stack"]),
        )
    except KeyboardInterrupt:
        status = _give_up(session, seen["stack"], file.path)
        guest.leave()
        return status
    except FairleadError:
        guest.leave()
        raise
    _show(result, as_json)
    certificates = _certificates(session, result)
    for one in certificates:
        if one["problem"]:
            # What was shown before goes on, so it did not stop the `up`.
            output.note(f"certificate for {', '.join(map(output.cell, one['names']))}: {output.cell(one['problem'])}")
    first = ["fairlead trust"] if _trust_is_missing(session, certificates) else []
    named = session.naming(result["stack"])
    output.next_commands(*first, "fairlead status", f"fairlead check{named}", f"fairlead logs{named} --follow")
    return 0


def _certificates(session: Session, result: dict[str, Any]) -> list[dict[str, Any]]:
    """What the stack's listeners show now, in the contract of `status --json`; nothing when nobody can tell."""
    if any(str(url).startswith("https:") for url in result.get("urls") or ()):
        with contextlib.suppress(FairleadError):
            listeners = session.daemon().status(result["stack"])["stacks"][0]["listeners"]
            return [one for listener in listeners for one in listener.get("certificates") or ()]
    return []


def _trust_is_missing(session: Session, certificates: list[dict[str, Any]]) -> bool:
    """Whether one is of the development CA, and this machine does not trust that."""
    if all(one["file"] for one in certificates):
        return False
    from fairlead.certificates.authority import Authority
    from fairlead.certificates.machine import machine_store

    with contextlib.suppress(FairleadError, OSError, ValueError):
        store = machine_store("/")
        return store is None or not store.trusts(Authority(session.layout.authority).pem())
    return False


def _who() -> str:
    """Us, for another `up` of the stack that must wait: `pid 4711 on pts/3`."""
    with contextlib.suppress(OSError):
        return f"pid {os.getpid()} on {os.ttyname(2).removeprefix('/dev/')}"
    return f"pid {os.getpid()}"


def _give_up(session: Session, stack: str, path: str) -> int:
    """Ctrl-C: the daemon puts back what was; we wait for it, unless Ctrl-C comes again. path: of the file."""
    if not stack:
        output.note("interrupted; the daemon goes on with it")
        output.next_commands("fairlead status", "fairlead down")
        return 130
    try:
        with Progress() as progress:
            progress.step(f"giving up the change of {stack}; Ctrl-C again leaves that to the daemon")
            text = session.daemon().cancel(stack, _who())["text"]
        output.note(f"interrupted: {output.cell(text)}")
    except KeyboardInterrupt:
        output.note("the daemon goes on giving it up")
    except FairleadError as problem:
        output.error(problem)
    output.next_commands("fairlead status", up_command(path))
    return 130


def _show(result: dict[str, Any], as_json: bool) -> None:
    shown = {key: result.get(key) for key in ("stack", "changed", "summary", "urls")}
    unenforced = shown["unenforced"] = result.get("unenforced") or []
    by_hand = shown["by_hand"] = result.get("by_hand") or []
    stack = output.cell(shown["stack"])
    output.note(f"{stack} is up" if shown["changed"] else f"{stack}: nothing to change")
    if shown["changed"]:
        for line in shown["summary"] or ():
            output.note(f"  {output.cell(line)}")
    for line in (*by_hand, *output.not_enforced(unenforced, result.get("engine") or "")):
        output.note(output.cell(line))
    if as_json:
        output.json(shown)
    else:
        for url in shown["urls"] or ():
            output.data(output.cell(url))
