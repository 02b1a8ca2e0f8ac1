"""`fairlead daemon upgrade`: the daemon of this fairlead's version takes over from the one that runs."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from fairlead import __version__
from fairlead.api.client import Client
from fairlead.cli import handover, output, systemd, unit
from fairlead.cli.options import home_option, json_option
from fairlead.cli.progress import Progress
from fairlead.cli.record import schema
from fairlead.cli.running import Running, look
from fairlead.cli.session import Session
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable, FairleadError, UsageError

STATUSES = """\b
Exit status:
  0    this version's daemon runs
  1    it does not start, or a newer version wrote the home; the old one goes on, or was started
       again
  2    the daemon is another user's, or process 1 of a container
"""


@click.command("upgrade", short_help="Let this version's daemon take over; what runs goes on.", epilog=STATUSES)
@click.option("--force", is_flag=True, help="Also when the daemon is of this version already.")
@json_option
@home_option
@click.pass_obj
def command(session: Session, force: bool, as_json: bool) -> int:
    """Run it with a newly installed fairlead: its daemon starts, waits, and takes over when the old one leaves.
    Instances and HAProxy go on meanwhile, and no request is lost. A new daemon that does not start changes nothing, or
    the old version is started again.

    \b
    Examples:
      pipx install --force ./fairlead && fairlead daemon upgrade      (the new version's clone)
      fairlead daemon upgrade --force                 a new daemon of the same version
    """
    layout = session.layout
    client = Client(layout.api_socket)
    try:
        old = client.version()
    except DaemonUnavailable:
        return _none_runs(session, as_json)
    if old["version"] == __version__ and not force:
        output.note(f"the daemon is fairlead {__version__} already (pid {old['pid']})")
        if as_json:
            output.json({"from": __version__, "to": __version__, "changed": False})
        return 0
    from fairlead.store.connection import refuse_newer

    refuse_newer(schema(layout.database), layout.database)
    running = _known(int(old["pid"]))
    before = handover.world(client)
    with Progress() as progress:
        progress.step(f"fairlead {__version__} starts and waits for fairlead {old['version']} to leave")
        handed = _hand_over(layout, client, old, running)
    told = handover.compare(before, client)
    if as_json:
        output.json(
            {"from": old["version"], "to": handed.version, "changed": True, "pid": handed.pid,
             "seconds_without_daemon": round(handed.gap, 3), "told": told}
        )  # fmt: skip
    output.note(
        f"fairlead {output.cell(old['version'])} -> {output.cell(handed.version)} (pid {handed.pid}): "
        f"{handed.gap:.2f} s without a daemon"
    )
    for line in told:
        output.note(output.cell(line))
    if handed.version != __version__:
        raise FairleadError(
            "the daemon is not of this version",
            f"it is fairlead {handed.version}, and this command {__version__}",
            "Whoever starts it runs another fairlead: see `fairlead daemon status`.",
        )
    output.next_commands("fairlead daemon status", "fairlead status")
    return 0


def _none_runs(session: Session, as_json: bool) -> int:
    """Nobody has to be taken over from: start one if something should run."""
    client = session.daemon_if_needed()
    if as_json:
        output.json({"from": None, "to": __version__ if client else None, "changed": client is not None})
    if client is None:
        output.note(f"no daemon runs in {output.cell(session.home)}, and none is needed")
        output.next_commands("fairlead up")
    else:
        output.note(f"no daemon ran; fairlead {__version__} was started")
        output.next_commands("fairlead status")
    return 0


def _known(pid: int) -> Running:
    found = look(pid)
    if found is None:
        raise UsageError(
            f"the daemon (pid {pid}) cannot be looked at", "it is another user's", "Run the command as that user."
        )
    if pid == 1:
        raise UsageError(
            "the daemon is process 1 of this container",
            "when it leaves, the container ends, and with it all that runs",
            "Start a container with the new version instead.",
        )
    return found


def _hand_over(layout: Layout, client: Client, old: dict[str, Any], running: Running) -> handover.Handed:
    if running.kept == "systemd":
        return _by_systemd(layout, client, old, running)
    environment = handover.inherited(running.environment, os.environ)
    return handover.to_keeper(layout, old, sys.executable, environment, running.python)


def _by_systemd(layout: Layout, client: Client, old: dict[str, Any], running: Running) -> handover.Handed:
    """systemd restarts it: a unit of ours gets this interpreter first, and its old text again when that fails."""
    manager = systemd.manager(user=running.user_manager)
    before, text = schema(layout.database), None
    if running.unit == unit.NAME and (found := manager.read()) and unit.is_ours(found):
        text = found
        manager.write(unit.with_python(text, sys.executable))
        manager.ask("daemon-reload")
    try:
        began = time.monotonic()  # the old one leaves within this: the seconds told are the most it can be
        manager.ask("restart", running.unit)
        told = handover.await_answer(client, int(old["pid"]))
    except FairleadError as error:
        if text is None:
            raise
        manager.ask("stop", running.unit)
        manager.write(text)
        handover.restore_schema(layout, before)
        manager.ask("daemon-reload")
        manager.ask("start", running.unit)
        back = handover.await_answer(client, 0)
        raise DaemonUnavailable(
            "the new daemon does not start",
            f"{error.sentence}; fairlead {back['version']} was started again (pid {back['pid']}), and nothing was lost",
            f"See {manager.journal}, then run `fairlead daemon upgrade` again.",
            detail=error.detail,
        ) from error
    return handover.Handed(str(told["version"]), int(told["pid"]), time.monotonic() - began)
