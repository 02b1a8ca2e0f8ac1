"""`fairlead daemon`: run the daemon in the foreground, as systemd or the keeper wants it.

A daemon can be told from its process alone: its command line reads `fairlead daemon`, and its environment holds
FAIRLEAD_HOME. Where that is not so it starts itself again, in place, before it does anything.
"""

from __future__ import annotations

import os
import sys

import click

from fairlead.cli.options import home_option
from fairlead.cli.session import Session


@click.command("daemon", short_help="Run the daemon in the foreground.")
@home_option
@click.pass_obj
def command(session: Session) -> int:
    """Run the daemon in the foreground, with its log on stderr. Usually not needed: commands start it in the
    background, kept alive by a small loop, with its log in logs/daemon.log of the home.

    SIGTERM ends the daemon alone: instances and HAProxy go on, and the next daemon adopts them. `fairlead down --all`
    ends everything.

    \b
    Exit status: 0 asked to stop, 3 another daemon holds the home, 1 it could not start.

    \b
    Examples:
      fairlead daemon
      fairlead daemon --home /srv/fairlead
    """
    home = session.home
    if os.environ.get("FAIRLEAD_HOME") != home:
        # The environment that others see is the one a process began with.
        here = [sys.executable, "-P", "-m", "fairlead", "daemon"]
        os.execve(sys.executable, here, {**os.environ, "FAIRLEAD_HOME": home})  # noqa: S606 (no shell is wanted)
    from fairlead.wiring import run_daemon

    return run_daemon(home)
