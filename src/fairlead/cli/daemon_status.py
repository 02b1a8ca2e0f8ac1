"""`fairlead daemon status`: which daemon runs, since when, and who keeps it. It starts none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from fairlead import __version__
from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.connection import PATIENCE
from fairlead.cli.declared import up_command
from fairlead.cli.options import home_option, json_option
from fairlead.cli.processes import lock_holder
from fairlead.cli.record import daemon_starts
from fairlead.cli.running import look
from fairlead.cli.session import Session
from fairlead.errors import DaemonUnavailable

STARTS = 5
"""How many of the last starts are shown."""

STATUSES = """\b
Exit status:
  0    a daemon answers
  1    none does, also when one runs that hangs
"""


@click.command("status", short_help="Which daemon runs, and who keeps it.", epilog=STATUSES)
@json_option
@home_option
@click.pass_obj
def command(session: Session, as_json: bool) -> int:
    """Print the daemon's version, process, age and memory, who starts it again when it dies, and its last starts. No
    daemon is started for it.

    \b
    Examples:
      fairlead daemon status
      fairlead daemon status --json | jq .daemon.kept_by
    """
    found = _daemon(session)
    starts = daemon_starts(session.layout.database, STARTS)
    if as_json:
        output.json({"home": session.home, "cli": __version__, "daemon": found, "starts": starts})
        return 0 if found else 1
    if found is None:
        _say_none_answers(session)
        return 1
    for name, value in _lines(session.home, found):
        output.data(f"{name:<10}{output.cell(value)}")
    for number, start in enumerate(starts):
        output.data(f"{'' if number else 'starts':<10}{output.moment(start['at'])}  {output.cell(start['text'])}")
    if found["version"] != __version__:
        output.note(f"this command is fairlead {__version__}")
        output.next_commands("fairlead daemon upgrade")
    return 0


def _daemon(session: Session) -> dict[str, Any] | None:
    """What is known of the daemon that answers; None when none does."""
    try:
        told = Client(session.layout.api_socket).version(timeout=PATIENCE)
    except DaemonUnavailable:
        return None
    process = look(int(told["pid"]))
    up = process.up if process else None
    since = None if up is None else datetime.now(UTC) - timedelta(seconds=up)
    return {
        "version": str(told["version"]),
        "pid": int(told["pid"]),
        "python": process.python if process else None,
        "since": since.isoformat(timespec="seconds").replace("+00:00", "Z") if since else None,
        "up_seconds": round(up, 1) if up is not None else None,
        "memory_bytes": process.memory if process else None,
        "kept_by": process.kept if process else None,
        "unit": (process.unit or None) if process else None,
        "keeper": process.keeper if process else None,
    }


def _say_none_answers(session: Session) -> None:
    if (holder := lock_holder(session.layout.lock)) is None:
        output.note(f"no daemon runs in {output.cell(session.home)}")
        output.next_commands(up_command(), "fairlead daemon install")
        return
    who = f"process {holder}" if holder else "a process of another container"
    output.note(f"the daemon of {output.cell(session.home)} does not answer: {who} holds its lock")
    # Another daemon takes its place, and what runs goes on.
    output.next_commands("fairlead logs --daemon", *([f"kill -9 {holder}"] if holder else []))


def _lines(home: str, found: dict[str, Any]) -> list[tuple[str, str]]:
    kept = {
        "keeper": f"its keeper (pid {found['keeper']}), until the machine restarts",
        "systemd": f"systemd ({found['unit']})",
        "nobody": "nobody: when it dies, the next command starts one",
    }.get(str(found["kept_by"]), "unknown")
    lines = [
        ("version", f"fairlead {found['version']}"),
        ("pid", str(found["pid"])),
        ("home", home),
        ("python", found["python"] or "unknown"),
        ("kept by", kept),
    ]
    if found["since"]:
        lines.append(("since", f"{output.moment(found['since'])} ({output.duration(found['up_seconds'])})"))
    if found["memory_bytes"]:
        lines.append(("memory", f"{found['memory_bytes'] / 2**20:.0f} MB"))
    return lines
