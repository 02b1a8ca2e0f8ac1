"""`fairlead logs`: what instances print, merged, each line with the instance it came from. Needs no daemon."""

from __future__ import annotations

import os
import sys
import time

import click

from fairlead.cli import output
from fairlead.cli.log_files import Follower, LogFile, find, tail
from fairlead.cli.options import home_option, stack_option
from fairlead.cli.session import Session, choose_stack, stack_here
from fairlead.core.printable import printable
from fairlead.errors import NotFound

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
PACE = 0.2
"""Seconds between two looks with --follow; a look at 100 files takes a fraction of a millisecond."""

MOST_INSTANCES = 10
"""Logs shown without --instance: those written last."""


@click.command("logs", short_help="What instances print.")
@click.argument("service", required=False, metavar="[SERVICE]")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C; new instances are picked up.")
@click.option("--instance", metavar="ID", help="Only this one, e.g. web-3; also one that has ended.")
@click.option("--lines", "-n", default=50, show_default=True, type=click.IntRange(0), help="Of each instance.")
@stack_option
@home_option
@click.pass_obj
def command(
    session: Session, service: str | None, follow: bool, instance: str | None, lines: int, stack: str | None
) -> int:
    """Print the last lines of each instance, the one that wrote last at the end. Ended instances are shown too.

    Lines of different instances are in order of arrival with --follow, else by instance. Control characters are shown
    as escapes.

    \b
    Examples:
      fairlead logs
      fairlead logs web --follow
      fairlead logs --instance web-3 --lines 500
    """
    name = choose_stack(_stacks(session), stack, stack_here())
    folder = session.layout.instances(name)
    found = find(folder, service, instance)
    if not found and not follow:
        wanted = f"instance '{instance}'" if instance else f"service '{service}'" if service else "any instance"
        raise NotFound(f"there is no log of {wanted} in {name}", "", "fairlead status")
    shown = found[-MOST_INSTANCES:]
    if len(found) > len(shown):
        output.note(f"{len(found) - len(shown)} older instances are not shown; --instance ID shows one")
    printer = _Printer()
    followers = {}
    for log in shown:
        past, offset = tail(log, lines)
        for line in past:
            printer.show(log, line)
        followers[log.instance] = Follower(log, offset)
    known = {log.instance for log in found}
    try:
        while follow:
            _look(folder, service, instance, known, followers, printer)
            time.sleep(PACE)
    except KeyboardInterrupt:
        return 130
    return 0


def _stacks(session: Session) -> list[str]:
    """The stacks of the home that ever launched an instance, by their folders."""
    try:
        names = sorted(os.listdir(f"{session.home}/stacks"))
    except FileNotFoundError:
        return []
    # A first `up` that failed while it built left releases, and nothing that could have printed.
    return [name for name in names if os.path.isdir(session.layout.instances(name))]


def _look(
    folder: str,
    service: str | None,
    instance: str | None,
    known: set[str],
    followers: dict[str, Follower],
    printer: _Printer,
) -> None:
    """Print what is new, of instances that are new too."""
    for log in find(folder, service, instance):
        if log.instance not in known:
            known.add(log.instance)
            followers[log.instance] = Follower(log, 0)
    for follower in followers.values():
        for line in follower.new_lines():
            printer.show(follower.log, line)
    sys.stdout.flush()


class _Printer:
    """Prints lines behind the coloured name of their instance."""

    def __init__(self) -> None:
        self._colour = output.coloured(sys.stdout)
        self._colours: dict[str, str] = {}
        self._width = 0

    def show(self, log: LogFile, line: bytes) -> None:
        name = output.cell(log.instance)
        self._width = max(self._width, len(name))
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        prefix = output.paint(f"{name:<{self._width}} |", colour, on=self._colour)
        text = printable(line.decode("utf-8", errors="surrogateescape")).replace("\n", "\\n")
        output.data(f"{prefix} {text.rstrip()}")
