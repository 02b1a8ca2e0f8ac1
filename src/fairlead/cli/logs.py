"""`fairlead logs`: what instances print, merged, each line with the instance it came from; with --access the requests
that came to them (`access.py`). Needs no daemon."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.access_options import Asked, access_options, refuse_nonsense, show_requests
from fairlead.cli.log_files import Choice, Filter, LogFile, every, find
from fairlead.cli.log_show import Printer, show
from fairlead.cli.moments import moment
from fairlead.cli.names import (
    complete_instance,
    complete_job,
    complete_service_or_resource,
    not_run,
    runs_nothing,
    services_of,
    stacks_kept,
)
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session, choose_stack, stack_here
from fairlead.errors import FairleadError, NotFound, UsageError

MOST_INSTANCES = 10
"""Logs shown when neither an instance nor a time nor a release says which: those written last."""

LINES = 50
"""Lines of each log, when nothing says how many."""


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """What --since or --until says, as seconds since 1970."""
    if value is None:
        return None
    return moment(value, datetime.fromtimestamp(time.time(), UTC), param.opts[0]).timestamp()


def _pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    """What --grep says, compiled."""
    try:
        return None if value is None else re.compile(value)
    except (re.error, RecursionError, OverflowError) as problem:
        advice = "Put a backslash before each of [ ( { * + ? . that is meant as it is, and quotes round the pattern."
        raise UsageError(f"--grep {value!r} is no regular expression", str(problem), advice) from problem


@click.command("logs", short_help="What instances print.")
@click.argument("service", required=False, metavar="[SERVICE|ID]", shell_complete=complete_service_or_resource)
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
    "--since",
    "begin",
    metavar="TIME",
    callback=_moment,
    help="Only lines since then: 10m, 2h, 10:02, 2026-11-21T10:00.",
)
@click.option("--grep", metavar="PATTERN", callback=_pattern, help="Only lines that match this regular expression.")
@click.option(
    "--lines",
    "-n",
    metavar="N",
    type=click.IntRange(0),
    help="Of each log; with --access, of all requests. Default: 50; with --since, all.",
)
@click.option(
    "--boot", metavar="[ID]", is_flag=False, flag_value="", help="How a start went; without ID the last failed."
)
@click.option("--daemon", is_flag=True, help="The daemon's own log.")
@click.option("--balancer", is_flag=True, help="HAProxy's log.")
@click.option("--access", is_flag=True, help="The access log: the requests that came through the balancer.")
@access_options(_moment)
@stack_option
@json_option
@home_option
@click.pass_obj
# Long by its help, which is the manual page.
def command(
    session: Session,
    /,
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
    access: bool,
    stack: str | None,
    as_json: bool,
    **of_requests: Any,
) -> int:
    """Print the last lines of each instance, in about the order in which they were written. Ended instances are shown
    too, as long as their logs are kept: two weeks, the newest 20 of a service, and 1 GB of a stack.

    Lines carry no time. The daemon notes every 5 seconds how far each log has come, so --since begins up to 5 seconds
    early (for what is older than an hour, up to a hundredth of its age), never late. What was written while no daemon
    ran has no better time than that. Times without a zone are local. Of each log the last 10 to 20 MB are kept.

    With the ID of a cache, database or bucket: what its server writes.

    With --follow, lines come in order of arrival. Runs (jobs, before_traffic) are shown only with --job, --instance or
    --boot. Control characters are shown as escapes.

    --boot tells of one start: the program, its user, how it ended, why fairlead gave it up, and its first lines. With a
    service or job instead of an ID: its last failed start.

    With --access: the last 50 requests that the balancer took, in the order in which they ended. Time (local), status,
    how long the answer took to begin (of a request without one: how long it took at all), client, instance, method and
    URL. Filters are of all requests that are kept: 14 days and 1 GB of each stack. With --raw each line is as it was
    written: a line of an Application Load Balancer's log, for tools that read these.

    With --json each line is an object: instance, service, release, line, at (about when; null if nobody knows). With
    --access: the fields of an ALB's log by their names in AWS's documentation of Athena, then instance, retries and
    termination_state (HAProxy's); null is what is not known.

    \b
    Examples:
      fairlead logs
      fairlead logs web --follow --grep 'ERROR|Traceback'
      fairlead logs store
      fairlead logs --since 10m
      fairlead logs --since 2026-11-21T10:00 --json | jq -r .line
      fairlead logs --instance web-3 --lines 100000
      fairlead logs web --release 7
      fairlead logs --boot
      fairlead logs --job nightly
      fairlead logs --daemon --since 1h
      fairlead logs --access --follow
      fairlead logs --access web --status 5xx --since 1h
      fairlead logs --access --path '/api/*' --slower 200ms --since 10m
      fairlead logs --access --since 10:00 --until 10:05 --json | jq .client_ip
      fairlead logs --access --instance web-3 --raw -n 1000 > requests.log

    \b
    Exit status:
      0    printed
      2    no such stack, service, instance or job, or a moment, pattern or filter that is none
      130  --follow was ended by Ctrl-C
    """
    narrowed = {"SERVICE": service, "--instance": instance, "--job": job, "--release": release, "--boot": boot}
    of_others = {"--daemon": daemon, "--balancer": balancer, "--job": job, "--release": release, "--boot": boot}
    asked = Asked(
        service=service, instance=instance, since=begin, grep=grep, follow=follow, as_json=as_json, **of_requests
    )
    if refuse_nonsense(access, asked, of_others):
        return show_requests(session.layout, _stack(session, stack), asked, _count(lines, begin))
    _refuse_nonsense(narrowed, daemon or balancer, stack, follow, begin, grep)
    meant = Filter(since=begin, last=_count(lines, begin), pattern=grep)
    printer = Printer(as_json)
    if daemon or balancer:
        own = _own_logs(session, daemon, balancer)
        printer.plain = len(own) == 1
        return show(lambda: own, own, meant, follow, printer)
    name = _stack(session, stack)
    if boot is not None:
        return _boot(session.layout.instances(name), boot, LINES if lines is None else lines, as_json)
    choice = Choice(service=service, instance=instance, job=job, release=release)
    return _of_stack(session, name, choice, meant, follow, printer)


def _of_stack(session: Session, name: str, choice: Choice, meant: Filter, follow: bool, printer: Printer) -> int:
    """The logs of a stack's instances; or the one of the resource whose id was given as the service's. NotFound."""
    folder = session.layout.instances(name)
    found = find(folder, choice)
    if choice.service is not None and (server := _server(session, name, choice.service, is_service=bool(found))):
        printer.plain = True
        return show(lambda: [server], [server], meant, follow, printer)
    if not found and (not follow or runs_nothing(session.layout.database, name)):
        raise NotFound(f"there is no log of {choice} in {name}", *_hint(session, name, choice))
    shown = found if meant.since is not None or choice.release is not None else found[-MOST_INSTANCES:]
    if len(found) > len(shown):
        left = len(found) - len(shown)
        older = "1 older instance is" if left == 1 else f"{left} older instances are"
        output.note(f"{older} not shown; --instance ID shows one")
    return show(lambda: find(folder, choice), shown, meant, follow, printer, known={log.instance for log in found})


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
        what = f"{[*given, '--stack'][0]} says nothing about the logs of the daemon and the balancer"
        raise UsageError(what, "", "fairlead logs --help")
    alone = [name for name in ("--boot", "--instance", "--job", "SERVICE") if name in given]
    if len(alone) > 1:
        raise UsageError(f"{alone[0]} and {alone[1]} cannot be given together", "", "fairlead logs --help")
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


def _server(session: Session, stack: str, id: str, *, is_service: bool) -> LogFile | None:
    """The log of a resource of that id. A service of the same name comes first; where the other lies is then said."""
    server = LogFile(id, session.layout.resource(stack, id))
    if "/" in id or not os.path.exists(server.path):
        return None
    if is_service or id in services_of(session.layout.database, stack):
        output.note(f"this is the service; what the server of that name writes is in {output.cell(server.path)}")
        return None
    return server


def _stack(session: Session, asked: str | None) -> str:
    """The stack that is meant. One that is down is meant when it is named, or when none that is up has logs."""
    here = stack_here()
    names = _stacks(session, asked or here)
    if not asked and not here:
        up = stacks_kept(session.layout.database)
        names = [name for name in names if name in up] or names
    return choose_stack(names, asked, here)


def _stacks(session: Session, meant: str | None) -> list[str]:
    """The stacks of the home that ever launched an instance, by their folders; one that launched none (it is made of
    `targets:`) when it is meant, or when there is no other."""
    try:
        folders = os.listdir(f"{session.home}/stacks")
    except FileNotFoundError:
        folders = []
    except PermissionError as problem:
        raise FairleadError(
            f"the logs of {session.home} cannot be read",
            "this home belongs to another user",
            "Run the command as that user, or choose another home with --home.",
        ) from problem
    # A first `up` that failed while it built left releases, and nothing that could have printed.
    places = (session.layout.instances, session.layout.access_logs)
    names = [name for name in folders if any(os.path.isdir(place(name)) for place in places)]
    others = [name for name in stacks_kept(session.layout.database) if name == meant or not names]
    return sorted({*names, *others})


def _hint(session: Session, stack: str, choice: Choice) -> tuple[str, str]:
    """Why there may be none, and what to try."""
    database, named = session.layout.database, session.naming(stack)
    meant = choice.service or (choice.instance or "").rpartition("-")[0]
    if meant and meant in not_run(database, stack):
        return f"{meant} is routed to, and not run by fairlead", f"fairlead explain {meant}{named}"
    if choice.service is not None and find(session.layout.instances(stack), Choice(job=choice.service)):
        return f"'{choice.service}' is a job", f"fairlead logs --job {choice.service}{named}"
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
