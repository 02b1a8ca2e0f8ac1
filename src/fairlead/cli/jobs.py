"""`fairlead jobs`: what runs on a schedule, how it went and when it comes next; and `jobs run NAME`, to run one now.

A run started by hand belongs to the daemon, like every other: this only looks, again and again, whether it has ended.
So neither Ctrl-C nor the death of the daemon touches it, and nothing is ever started twice.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.names import complete_job
from fairlead.cli.options import home_option, json_option, stack_filter_option, stack_option
from fairlead.cli.progress import Progress
from fairlead.cli.session import Session
from fairlead.core.printable import printable
from fairlead.errors import DaemonUnavailable, NotFound

PACE = 0.3
"""Seconds between two looks at a run."""

TRIES = 5
"""How often the daemon may go away while a run is waited for."""

HEADINGS = ("JOB", "SERVICE", "SCHEDULE", "LAST RUN", "TOOK", "OUTCOME", "NEXT RUN")


@click.group("jobs", invoke_without_command=True, subcommand_metavar="[COMMAND]", short_help="What runs on a schedule.")
@stack_filter_option
@json_option
@home_option
@click.pass_context
def command(ctx: click.Context, stack: str | None, as_json: bool) -> None:
    """Print the jobs of a stack, or of all: their schedules, how the last run went, and when the next one comes (UTC).

    What a job wrote: `fairlead logs --job NAME`. The shape of --json is described in docs/reference/jobs.md.

    \b
    Examples:
      fairlead jobs
      fairlead jobs --stack shop --json
      fairlead jobs run nightly               now, by hand
      fairlead logs --job nightly

    \b
    Exit status:
      0    there is an answer, whatever the outcomes
      2    no such stack
    """
    if ctx.invoked_subcommand is not None:
        return
    session = ctx.ensure_object(Session)
    client = session.daemon_if_needed()
    if client is None and stack:
        raise NotFound(f"there is no stack '{output.cell(stack)}'", "nothing runs in this home", "fairlead up PATH")
    jobs = client.jobs(stack) if client else []
    if as_json:
        output.json({"jobs": jobs})
        return
    if not jobs:
        output.note("no jobs: a stack's file declares them under `jobs:`")
        return
    for line in table(jobs, datetime.now(UTC), colour=output.coloured(sys.stdout)):
        output.data(line)
    name = output.cell(jobs[0]["job"]) + session.naming(jobs[0]["stack"])
    output.next_commands(f"fairlead jobs run {name}", f"fairlead logs --job {name}")


@command.command("run", short_help="Run a job now.")
@click.argument("name", shell_complete=complete_job)
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@stack_option
@json_option
@home_option
@click.pass_obj
def run(session: Session, name: str, detach: bool, stack: str | None, as_json: bool) -> int:
    """Run job NAME now, in its service's current release, and wait until it has ended. Its schedule stays as it is. It
    is refused while the job runs already. Ctrl-C ends the waiting and not the job.

    \b
    Examples:
      fairlead jobs run nightly
      fairlead jobs run nightly --detach

    \b
    Exit status:
      0    it succeeded; with --detach: it was started
      1    it failed; the last lines that it wrote are shown
      2    no such stack or job, or it runs already
      130  interrupted; the job goes on
    """
    client = session.running()
    meant = session.stack(client, stack)
    started = client.run_job(meant, name)
    log = f"fairlead logs --job {output.cell(name)}{session.naming(meant)}"
    if detach:
        if as_json:
            output.json(started)
        output.note(f"{output.cell(started['id'])} was started")
        output.next_commands("fairlead jobs", f"{log} --follow")
        return 0
    try:
        ended = _wait(session, meant, started)
    except KeyboardInterrupt:
        output.note(f"{output.cell(started['id'])} goes on")
        output.next_commands("fairlead jobs")
        return 130
    if as_json:
        output.json(ended)
    return _conclude(ended, log)


def _wait(session: Session, stack: str, started: dict[str, Any]) -> dict[str, Any]:
    """The run once it has ended, with its log."""
    identity, left = str(started["id"]), TRIES
    client = session.daemon()
    with Progress() as progress:
        progress.step(f"{identity} runs")
        while True:
            try:
                seen = client.run(stack, identity)
            except DaemonUnavailable:
                left -= 1
                if not left:
                    raise
                progress.step("the daemon went away; connecting to it again")
                client = session.daemon()
                continue
            if seen["ended_at"]:
                return seen
            time.sleep(PACE)


def _conclude(ended: dict[str, Any], log: str) -> int:
    """log: the command that shows what it wrote."""
    after = f" after {_took(ended)}" if ended["took"] is not None else ""
    if ended["succeeded"]:
        output.note(f"{output.cell(ended['id'])} succeeded{after}")
        output.next_commands(log, "fairlead jobs")
        return 0
    output.note(f"{output.cell(ended['id'])} failed{after}: {output.cell(ended['outcome'])}")
    for line in printable(str(ended.get("log", ""))).splitlines():
        output.note(f"  {line[: output.WIDEST]}")
    output.next_commands(log)
    return 1


def table(jobs: list[dict[str, Any]], now: datetime, *, colour: bool) -> list[str]:
    """The lines for people; a stack's name stands above its jobs."""
    rows = [HEADINGS, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines: list[str] = []
    above = None
    for job, row in zip(jobs, rows[1:], strict=True):
        if job["stack"] != above:
            above = job["stack"]
            lines += [output.paint(output.cell(above), "bold", on=colour), f"  {_line(HEADINGS, widths)}"]
        failed = job["last"] is not None and not job["last"]["succeeded"]
        line = f"  {_line(row, widths)}"
        lines.append(output.paint(line, "red", on=colour) if failed else line)
        if job["running"]:
            since = _age(job["running"]["started_at"], now)
            lines.append(f"    {output.cell(job['running']['id'])} is running{f' for {since}' if since else ''}")
    return lines


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    last = job["last"]
    return (
        output.cell(job["job"]),
        output.cell(job["service"]),
        output.cell(job["schedule"]),
        output.moment(last["started_at"]) if last else "never",
        _took(last) if last else "-",
        output.cell(last["outcome"]) if last else "-",
        output.moment(job["next"]) if job["next"] else "never",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _took(run: dict[str, Any]) -> str:
    seconds = run["took"]
    if seconds is None:
        return "?"
    return f"{seconds:.1f}s" if seconds < 10 else output.duration(seconds)


def _age(text: Any, now: datetime) -> str:
    try:
        return output.duration((now - datetime.fromisoformat(str(text))).total_seconds())
    except ValueError:
        return ""
