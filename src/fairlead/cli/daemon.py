"""`fairlead daemon`: run the daemon in the foreground, as systemd or the keeper wants it; below it, what manages one.

A daemon can be told from its process alone: its command line reads `fairlead daemon`, and its environment holds
FAIRLEAD_HOME. Where that is not so it starts itself again, in place, before it does anything.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

import click

from fairlead.cli.options import home_option
from fairlead.cli.session import Session

SUBCOMMANDS = ("status", "upgrade", "install", "uninstall", "relocate")
"""In the order of `--help`: `NAME` is `command` in `fairlead/cli/daemon_NAME.py`."""

QUICK = 5.0
"""Seconds: a daemon that ended with an error sooner could not start."""

PAUSE = 2.0
"""Seconds that such a daemon waits before it ends below systemd, which starts it again at once, and for ever."""


class Subcommands(click.Group):
    """Imports a subcommand's module when it is asked for: the daemon itself must not pay for them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        found = import_module(f"fairlead.cli.daemon_{cmd_name}").command
        assert isinstance(found, click.Command)
        return found


@click.group(
    "daemon",
    cls=Subcommands,
    invoke_without_command=True,
    no_args_is_help=False,
    subcommand_metavar="[COMMAND]",
    short_help="Run the daemon in the foreground, or manage it.",
)
@click.option("--take-over", type=click.FloatRange(0, 3600), default=0.0, metavar="SECONDS", show_default=False,
              help="Wait so long for another daemon to let go of the home. Default: 0.")  # fmt: skip
@home_option
@click.pass_context
def command(ctx: click.Context, take_over: float) -> int:
    """Without COMMAND: run the daemon in the foreground, with its log on stderr. Usually not needed: commands start it
    in the background, kept alive by a small loop, with its log in logs/daemon.log of the home.

    SIGTERM ends the daemon alone: instances and HAProxy go on, and the next daemon adopts them. `fairlead down --all`
    ends everything.

    \b
    Examples:
      fairlead daemon
      fairlead daemon --home /srv/fairlead
      fairlead daemon status
      fairlead daemon upgrade       after a newer fairlead was installed: it adopts what runs
      fairlead daemon install       let systemd keep it

    \b
    Exit status:
      0    it was asked to stop
      1    it could not start
      3    another daemon holds the home
    """
    if ctx.invoked_subcommand is not None:
        return 0
    session = ctx.ensure_object(Session)
    home = session.home
    if os.environ.get("FAIRLEAD_HOME") != home:
        # The environment that others see is the one a process began with.
        here = [sys.executable, "-P", "-m", "fairlead", "daemon", "--take-over", f"{take_over:g}"]
        os.execve(sys.executable, here, {**os.environ, "FAIRLEAD_HOME": home})  # noqa: S606 (no shell is wanted)
    from fairlead.wiring import run_daemon

    began = time.monotonic()
    status = run_daemon(home, patience=take_over)
    if status and "INVOCATION_ID" in os.environ and time.monotonic() - began < QUICK:
        time.sleep(PAUSE)
    return status
