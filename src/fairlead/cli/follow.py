"""Long work watched to its end, also across the death of the daemon.

The daemon does the work; this only watches. When the daemon dies in the middle its keeper brings it back, and the same
request, sent again, joins the work or finds it done. Every command that takes its time comes through here; Ctrl-C stops
the watching (`watch`), and what it means for the work is the command's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.progress import Progress
from fairlead.errors import DaemonUnavailable

TRIES = 5
"""How often the daemon may go away during one piece of work."""


def follow(
    reach: Callable[[], Client],
    begin: Callable[[Client], Iterator[dict[str, Any]]],
    notice: Callable[[dict[str, Any]], None] = lambda event: None,
    said: Callable[[dict[str, Any]], str] = lambda event: str(event.get("text", "")),
) -> dict[str, Any]:
    """Begin the work and show its progress; its result. `notice` sees each event too; `said` is how a step is told.

    DaemonUnavailable: it went away too often, or did not come back (`reach` has its own deadline).
    """
    with Progress() as progress:
        for left in reversed(range(TRIES)):
            client = reach()
            try:
                for event in begin(client):
                    notice(event)
                    if event["type"] == "result":
                        return event
                    progress.step(said(event))
            except DaemonUnavailable:
                if not left:
                    raise
                progress.step("the daemon went away; connecting to it again")
        raise AssertionError("a stream ends with a result or an error")


def watch(
    reach: Callable[[], Client],
    begin: Callable[[Client], Iterator[dict[str, Any]]],
    notice: Callable[[dict[str, Any]], None] = lambda event: None,
) -> dict[str, Any] | None:
    """As `follow`, for work that goes on when nobody watches: None after Ctrl-C, which is told here. Exit with 130."""
    try:
        return follow(reach, begin, notice)
    except KeyboardInterrupt:
        output.note("interrupted; the daemon goes on with it")
        output.next_commands("fairlead status", "fairlead events --follow")
        return None
