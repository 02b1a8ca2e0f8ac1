"""`fairlead daemon uninstall`: systemd no longer keeps the daemon; what runs goes on, below a keeper."""

from __future__ import annotations

import os
import sys

import click

from fairlead.api.client import Client
from fairlead.cli import handover, output, systemd, unit
from fairlead.cli.options import home_option
from fairlead.cli.record import something_should_run
from fairlead.cli.running import look
from fairlead.cli.session import Session
from fairlead.errors import DaemonUnavailable, UsageError


@click.command("uninstall", short_help="Take the daemon back from systemd.")
@click.option("--user/--system", "user", default=None, help="Whose systemd. Default: the system's as root, else the "
              "user's.")  # fmt: skip
@home_option
@click.pass_obj
def command(session: Session, user: bool | None) -> int:
    """Remove the unit that `fairlead daemon install` wrote. If a stack is up, a daemon in the background takes over
    from systemd's, and what runs goes on; else the daemon ends.

    \b
    Examples:
      sudo fairlead daemon uninstall

    \b
    Exit status:
      0    the unit is gone, or there was none
      1    systemd could not do it; its own words are shown
      2    the unit is another program's, or of another home
    """
    manager = systemd.manager(user=os.geteuid() != 0 if user is None else user)
    text = manager.read()
    if text is None:
        output.note(f"there is no {manager.path}")
        return 0
    if not unit.is_ours(text):
        raise UsageError(
            f"{manager.path} is left as it is",
            "fairlead did not write it",
            "Remove it yourself if nothing needs it.",
        )
    if (home := unit.home_of(text)) != session.home:
        raise UsageError(
            f"{manager.path} is left as it is",
            f"it keeps the daemon of another home, {home}",
            f"Run `fairlead daemon uninstall --home {home}`.",
        )
    if manager.running:
        manager.ask("disable", unit.NAME)
        _take_over(session)
        manager.ask("stop", unit.NAME)
    manager.remove()
    if manager.running:
        manager.ask("daemon-reload")
    output.note(f"removed: {manager.path}")
    output.next_commands("fairlead daemon status")
    return 0


def _take_over(session: Session) -> None:
    """Have a keeper's daemon go on with what systemd's runs. With nothing to run there need be none."""
    client = Client(session.layout.api_socket)
    try:
        old = client.version()
    except DaemonUnavailable:
        return
    running = look(int(old["pid"]))
    if running is None or running.kept != "systemd" or not something_should_run(session.layout.database):
        return
    before = handover.world(client)
    environment = handover.inherited(running.environment, os.environ)
    handed = handover.to_keeper(session.layout, old, sys.executable, environment, running.python)
    output.note(f"a daemon in the background took over (pid {handed.pid}): {handed.gap:.2f} s without a daemon")
    for line in handover.compare(before, client):
        output.note(output.cell(line))
