"""`fairlead logs`: what instances print, merged, each line with the instance it came from. Needs no daemon."""

from __future__ import annotations

import heapq
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

from fairlead.cli import output
from fairlead.cli.log_files import Choice, Filter, Follower, Line, LogFile, Past, every, find
from fairlead.cli.moments import moment
from fairlead.cli.names import (
    complete_instance,
    complete_job,
    complete_service,
    not_run,
    runs_nothing,
    stacks_kept,
)
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session, choose_stack, stack_here
from fairlead.errors import NotFound, UsageError

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
PACE = 0.2
"""Seconds between two looks with --follow; a look at 100 files takes a fraction of a millisecond."""

MOST_INSTANCES = 10
"""Logs shown when neither an instance nor a time nor a release says which: those written last."""

LINES = 50
"""Lines of each log, when nothing says how many."""


def _since(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """What --since says, as seconds since 1970."""
    if value is None:
        return None
    return moment(value, datetime.fromtimestamp(time.time(), UTC), "--since").timestamp()


def _pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    """What --grep says, compiled."""
    try:
        return None if value is None else re.compile(value)
    except (re.error, RecursionError, OverflowError) as problem:
        raise UsageError(f"--grep {value!r} is no regular expression", str(problem)) from problem


@click.command("logs", short_help="What instances print.")
@click.argument("service", required=False, metavar="[SERVICE]", shell_complete=complete_service)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C; new instances are picked up.")
@click.option(
    "--instance",
    metavar="ID",
    shell_complete=complete_instance,
    help="Only this one, e.g. web-3; also one that has ended, or a run.",
)
@click.option("--job", metavar="NAME", shell_complete=complete_job, help="The runs of this job instead.")
@click.option("--release", metavar="N", type=click.IntRange(1), help="Only instances of this release.")
@click.option(
    "--since", "begin", metavar="TIME", callback=_since, help="Only lines since then: 10m, 2h, 10:02, 2026-11-21T10:00."
)
@click.option("--grep", metavar="PATTERN", callback=_pattern, help="Only lines that match this regular expression.")
@click.option("--lines", "-n", metavar="N", type=click.IntRange(0), help="Of each log. Default: 50; with --since, all.")
@click.option(
    "--boot", metavar="[ID]", is_flag=False, flag_value="", help="How a start went; without ID the last failed."
)
@click.option("--daemon", is_flag=True, help="The daemon's own log.")
@click.option("--balancer", is_flag=True, help="HAProxy's log.")
@stack_option
@json_option
@home_option
@click.pass_obj
# Long by its help, which is the manual page.
def command(
    session: Session,
    service: str | None,
    follow: bool,
    instance: str | None,
    job: str | None,
    release: int | None,
    begin: float | None,
    grep: re.Pattern[str] | None,
    lines: int | None,
    boot: str | None,
    daemon: bool,
    balancer: bool,
    stack: str | None,
    as_json: bool,
) -> int:
    """Print the last lines of each instance, in about the order in which they were written. Ended instances are shown
    too, as long as their logs are kept: two weeks, the newest 20 of a service, and 1 GB of a stack.

    Lines carry no time. The daemon notes every 5 seconds how far each log has come, so --since begins up to 5 seconds
    early (for what is older than an hour, up to a hundredth of its age), never late. What was written while no daemon
    ran has no better time than that. Times without a zone are local. Of each log the last 10 to 20 MB are kept.

    With --follow, lines come in order of arrival. Runs (jobs, before_traffic) are shown only with --job, --instance or
    --boot. Control characters are shown as escapes.

    --boot tells of one start: the program, its user, how it ended, why fairlead gave it up, and its first lines. With a
    service or job instead of an ID: its last failed start.

    With --json each line is an object: instance, service, release, line, at (about when; null if nobody knows).

    \b
    Examples:
      fairlead logs
      fairlead logs web --follow --grep 'ERROR|Traceback'
      fairlead logs --since 10m
      fairlead logs --since 2026-11-21T10:00 --json | jq -r .line
      fairlead logs --instance web-3 --lines 100000
      fairlead logs web --release 7
      fairlead logs --boot
      fairlead logs --job nightly
      fairlead logs --daemon --since 1h

    \b
    Exit status:
      0    printed
      2    no such stack, service, instance or job, or a moment or pattern that is none
      130  --follow was ended by Ctrl-C
    """
    narrowed = {"SERVICE": service, "--instance": instance, "--job": job, "--release": release, "--boot": boot}
    _refuse_nonsense(narrowed, daemon or balancer, stack, follow, begin, grep)
    meant = Filter(since=begin, last=_count(lines, begin), pattern=grep)
    printer = _Printer(as_json)
    if daemon or balancer:
        own = _own_logs(session, daemon, balancer)
        if len(own) == 1:
            printer.plain = True
        return _show(lambda: own, own, meant, follow, printer)
    here = stack_here()
    name = choose_stack(_stacks(session, stack or here), stack, here)
    folder = session.layout.instances(name)
    if boot is not None:
        return _boot(folder, boot, LINES if lines is None else lines, as_json)
    choice = Choice(service=service, instance=instance, job=job, release=release)
    found = find(folder, choice)
    if not found and (not follow or runs_nothing(session.layout.database, name)):
        raise NotFound(f"there is no log of {choice} in {name}", *_hint(session.layout.database, name, folder, choice))
    shown = found if begin is not None or release is not None else found[-MOST_INSTANCES:]
    if len(found) > len(shown):
        left = len(found) - len(shown)
        older = "1 older instance is" if left == 1 else f"{left} older instances are"
        output.note(f"{older} not shown; --instance ID shows one")
    return _show(lambda: find(folder, choice), shown, meant, follow, printer, known={log.instance for log in found})


def _refuse_nonsense(
    narrowed: Mapping[str, object],
    own: bool,
    stack: str | None,
    follow: bool,
    begin: float | None,
    grep: re.Pattern[str] | None,
) -> None:
    given = [name for name, value in narrowed.items() if value is not None]
    if own and (given or stack):
        raise UsageError(f"{[*given, '--stack'][0]} says nothing about the logs of the daemon and the balancer")
    alone = [name for name in ("--boot", "--instance", "--job", "SERVICE") if name in given]
    if len(alone) > 1:
        raise UsageError(f"{alone[0]} and {alone[1]} cannot be given together")
    if "--boot" in given and (follow or begin is not None or grep is not None or "--release" in given):
        raise UsageError("--boot shows one start", "it takes only --lines, --stack and --json", "fairlead logs --help")


def _count(lines: int | None, begin: float | None) -> int | None:
    if lines is None and begin is None:
        return LINES
    return lines


def _own_logs(session: Session, daemon: bool, balancer: bool) -> list[LogFile]:
    wanted = [("daemon", session.layout.daemon_log)] * daemon + [("haproxy", session.layout.balancer_log)] * balancer
    logs = [LogFile(name, *os.path.split(path)) for name, path in wanted if os.path.exists(path)]
    if not logs:
        raise NotFound(
            f"there is no log of the {' or the '.join(name for name, _ in wanted)}",
            f"{wanted[0][1]} is not there; a daemon under systemd writes to its journal",
            "journalctl --unit fairlead (of a user's own daemon: journalctl --user --unit fairlead)",
        )
    return logs


def _stacks(session: Session, meant: str | None) -> list[str]:
    """The stacks of the home that ever launched an instance, by their folders; one that launched none (it is made of
    `targets:`) when it is meant, or when there is no other."""
    try:
        folders = os.listdir(f"{session.home}/stacks")
    except FileNotFoundError:
        folders = []
    # A first `up` that failed while it built left releases, and nothing that could have printed.
    names = [name for name in folders if os.path.isdir(session.layout.instances(name))]
    others = [name for name in stacks_kept(session.layout.database) if name == meant or not names]
    return sorted({*names, *others})


def _hint(database: str, stack: str, folder: str, choice: Choice) -> tuple[str, str]:
    """Why there may be none, and what to try."""
    meant = choice.service or (choice.instance or "").rpartition("-")[0]
    if meant and meant in not_run(database, stack):
        return f"{meant} is routed to, and not run by fairlead", f"fairlead explain {meant}"
    if choice.service is not None and find(folder, Choice(job=choice.service)):
        return f"'{choice.service}' is a job", f"fairlead logs --job {choice.service}"
    if not meant and runs_nothing(database, stack):
        return "all that it has is routed to, and not run by fairlead", "fairlead status"
    return "", "fairlead status"


def _boot(folder: str, asked: str, count: int, as_json: bool) -> int:
    from fairlead.cli.log_boot import boot_of, last_failed

    logs = every(folder)
    meant = next((log for log in logs if log.instance == asked), None) or last_failed(logs, asked)
    if meant is None:
        what = f"no start '{asked}', and no failed one of a service or job of that name" if asked else "no failed start"
        raise NotFound(f"there is {what}", "", "fairlead logs --boot ID (of any instance: fairlead events)")
    boot = boot_of(meant, count)
    if as_json:
        output.json(boot.to_json())
    else:
        for row in boot.text():
            output.data(row)
    return 0


def _show(
    look: Callable[[], list[LogFile]],
    shown: Sequence[LogFile],
    meant: Filter,
    follow: bool,
    printer: _Printer,
    known: set[str] | None = None,
) -> int:
    """Print the past of `shown`, then follow all that `look` finds. known: whose past is not to be shown."""
    pasts = {log: Past(log) for log in shown}
    printer.make_room(log.instance for log in shown)
    printed = False
    for line in _merged([past.lines(meant) for past in pasts.values()], [log.written_at for log in shown]):
        printer.show(line)
        printed = True
    if not printed and not follow:
        output.note("no line matches what was asked for")
    followers = {log.instance: Follower(log, past.end) for log, past in pasts.items()}
    known = {*followers} | (known or set())
    try:
        while follow:
            for log in look():
                if log.instance not in known:
                    known.add(log.instance)
                    followers[log.instance] = Follower(log, 0)
            for follower in followers.values():
                _show_new(follower, meant, printer)
            sys.stdout.flush()
            time.sleep(PACE)
    except KeyboardInterrupt:
        return 130
    return 0


def _merged(logs: Sequence[Iterator[Line]], written_at: Sequence[float]) -> Iterator[Line]:
    """Lines of several logs by their times, never one before another of its own log; one without a time counts as
    written when its log was written last."""

    def timed(log: Iterator[Line], place: int) -> Iterator[tuple[float, int, Line]]:
        latest = float("-inf")
        for line in log:
            latest = max(latest, written_at[place] if line.at is None else line.at)
            yield latest, place, line

    streams = [timed(log, place) for place, log in enumerate(logs)]
    return (line for _, _, line in heapq.merge(*streams, key=lambda entry: entry[:2]))


def _show_new(follower: Follower, meant: Filter, printer: _Printer) -> None:
    """Print what is new. Its time is that of its arrival here."""
    before, now = follower.missed, time.time()
    for text in follower.new_lines():
        line = Line(follower.log, text, now)
        if meant.passes(line):
            printer.show(line)
    if follower.missed > before:
        name, missed = output.cell(follower.log.instance), follower.missed - before
        output.note(f"{missed} bytes of {name} are not shown: it wrote more than is kept before they could be read")


class _Printer:
    """Prints lines behind the coloured name of their instance, or as JSON. plain: as they are."""

    def __init__(self, as_json: bool) -> None:
        self.plain = False
        self._json = as_json
        self._colour = output.coloured(sys.stdout)
        self._colours: dict[str, str] = {}
        self._width = 0

    def make_room(self, instances: Iterator[str]) -> None:
        """Names of these lengths are to stand in one column."""
        self._width = max([self._width, *(len(output.cell(instance)) for instance in instances)])

    def show(self, line: Line) -> None:
        if self._json:
            self._show_json(line)
            return
        if self.plain:
            output.data(line.shown)
            return
        name = output.cell(line.log.instance)
        self._width = max(self._width, len(name))
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        output.data(f"{output.paint(f'{name:<{self._width}} |', colour, on=self._colour)} {line.shown}")

    def _show_json(self, line: Line) -> None:
        from json import dumps

        at = None
        if line.at is not None:
            at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        own = self.plain or line.log.name != "log"
        fields = {
            "instance": line.log.instance,
            "service": None if own else line.log.service,
            "release": line.log.release,
            "line": line.text.decode("utf-8", errors="backslashreplace").rstrip("\r"),
            "at": at,
        }
        output.data(dumps(fields))
