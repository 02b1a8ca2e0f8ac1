"""`fairlead metrics`: what was measured, as sparklines. `metrics_table` draws them, `screen` keeps them on a terminal.

Also the ways for other programs: --json, --prometheus, and where the daemon lets a Prometheus ask (--listen).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from fairlead.cli import output
from fairlead.cli.metrics_asked import (
    Asked,
    MetricName,
    address_of,
    period_of,
    refuse_nonsense,
    refuse_unknown,
    refuse_what_cannot_be,
    span_of,
)
from fairlead.cli.moments import stamp
from fairlead.cli.names import complete_instance, complete_service, stacks_kept
from fairlead.cli.options import home_option, json_option, stack_option, watch_option
from fairlead.cli.session import Session, choose_stack, stack_here, stacks_of
from fairlead.errors import DaemonUnavailable, FairleadError, NotFound

if TYPE_CHECKING:
    from fairlead.api.client import Client
    from fairlead.cli.metrics_table import View

SPAN = "5m"
"""How far is looked back when nothing says it."""

PACE = "1"
"""Seconds between two looks of --watch without a number."""

WIDTH = 100
"""Characters of a line when the output is no terminal."""


class _NotYet(FairleadError):
    """It is there, and was not measured yet."""


@click.command("metrics", short_help="Requests, failures, times, cpu and memory over time.")
@click.argument("service", required=False, metavar="[SERVICE]", shell_complete=complete_service)
@click.option(
    "--since", metavar="TIME", default=SPAN,
    help=f"From when on: 30m, 2h, 10:02, 2026-11-21T10:00. Default: {SPAN}.",
)  # fmt: skip
@click.option("--until", metavar="TIME", help="Up to when, written as --since. Default: now.")
@click.option(
    "--period", metavar="LENGTH", callback=period_of,
    help="What a value stands for: 1s, 1m, 5m. Default: what fits; of --json 1s for up to 10 minutes, else 1m or more.",
)  # fmt: skip
@click.option(
    "--metric", "wanted", metavar="NAME", multiple=True, type=MetricName(),
    help="Exactly this one, by CloudWatch's name, or custom:NAME; may be repeated. Default: those looked at first.",
)  # fmt: skip
@click.option("--target", metavar="ID", shell_complete=complete_instance, help="Only this instance, e.g. web-3.")
@click.option("--zone", metavar="ZONE", help="Only this zone of SERVICE, e.g. a.")
@watch_option(PACE, "service")
@click.option("--prometheus", is_flag=True, help="Print everything as it is now in Prometheus' text format instead.")
@click.option(
    "--listen", metavar="ADDRESS:PORT", callback=address_of,
    help="Answer GET /metrics there too, from now on, also after a restart. Default: on the daemon's Unix socket only.",
)  # fmt: skip
@click.option(
    "--host", "hosts", metavar="NAME", multiple=True,
    help="With --listen: a name by which it may be asked there; may be repeated. Default: addresses and localhost.",
)  # fmt: skip
@click.option("--no-listen", is_flag=True, help="Answer there no longer.")
@stack_option
@json_option
@home_option
@click.pass_obj
# Long by its help, which is the manual page.
def command(
    session: Session,
    service: str | None,
    since: str,
    until: str | None,
    period: int | None,
    wanted: tuple[str, ...],
    target: str | None,
    zone: str | None,
    watch: float | None,
    prometheus: bool,
    listen: tuple[str, int] | None,
    hosts: tuple[str, ...],
    no_listen: bool,
    stack: str | None,
    as_json: bool,
) -> None:
    """Print for each service how many requests it gets, how many end in an error, how long its targets take (p50, p95,
    p99), what runs inside it, how many targets are healthy, and the cpu and memory they use: each over time as a
    sparkline, with its last, least and greatest value and that of the whole span. With SERVICE also a table of its
    targets (and zones, if there are several). Metrics of your own (`custom_metrics`) are lines of their service.

    Every second is kept for an hour, every minute for two weeks. What nobody measured is a gap, never a zero; beside
    "incomplete" stands a mark where a part is missing (no daemon was there, or a HAProxy died before it was read). Cpu
    and memory are in percent of `resources`. Names and meanings are CloudWatch's: docs/reference/metrics.md, which also
    has the shape of --json.

    With --watch the lines stay on the terminal and are drawn anew.

    A Prometheus on this machine asks where --listen says; only addresses of this machine alone are taken.

    \b
    Examples:
      fairlead metrics
      fairlead metrics web --watch
      fairlead metrics web --since 2h
      fairlead metrics --since 10:02 --until 10:10 --period 1s
      fairlead metrics web --metric TargetResponseTime --metric RequestCountPerTarget
      fairlead metrics web --metric custom:queue
      fairlead metrics --target web-3
      fairlead metrics web --since 1d --json | jq '.series[0].summary'
      fairlead metrics --listen 127.0.0.1:9464
      fairlead metrics --prometheus | grep outstanding

    \b
    Exit status:
      0    printed
      1    no daemon runs, or it does not answer, or it cannot listen there
      2    no such stack, service, target or metric, or a moment that is none
      130  --watch was ended by Ctrl-C
    """
    refuse_nonsense(
        {"--prometheus": prometheus, "--listen": listen, "--no-listen": no_listen, "--watch": watch}, hosts, as_json
    )
    if prometheus:
        output.raw(session.running().prometheus())
        return
    if listen is not None or no_listen:
        _let_ask(session.running(), listen, hosts, as_json)
        return
    client = _reached(session)
    # An instance's name begins with its service's.
    service = service or (target.rpartition("-")[0] if target else None)
    asked = Asked(_stack(session, client, stack), service, zone, target, since, until, period, wanted)
    refuse_what_cannot_be(asked, watch)
    if watch is not None:
        _watch(session, asked, watch, as_json)
    answer = _ask(client, asked, None if as_json else _view(asked))
    if as_json:
        # On one line: with a value a line, an hour of one service fills fifty thousand.
        output.data(output.compact(answer))
        return
    for line in _drawn(answer, _view(asked)):
        output.data(line)
    _conclude(client, answer, asked, stack)


def _let_ask(client: Client, listen: tuple[str, int] | None, hosts: tuple[str, ...], as_json: bool) -> None:
    """Where a Prometheus may ask from now on; None: nowhere but on the daemon's socket."""
    if listen is None:
        answer = client.no_longer_listen_for_prometheus()
    else:
        answer = client.listen_for_prometheus(*listen, [host.lower() for host in hosts])
    if as_json:
        output.json(answer)
        return
    output.note(output.cell(answer["text"]))


def _reached(session: Session) -> Client:
    client = session.daemon_if_needed()
    if client is None:
        raise DaemonUnavailable(
            "there are no metrics to show",
            f"no daemon runs in {session.home}, because no stack should",
            "Bring a stack up (`fairlead up PATH`): what was measured before is kept for two weeks.",
        )
    return client


def _stack(session: Session, client: Client, stack: str | None) -> str:
    """The stack that is meant; one that is down when it is named, or when none is up."""
    running, here = stacks_of(client), stack_here()
    kept = stacks_kept(session.layout.database) if stack or here or not running else []
    return choose_stack(sorted({*running, *kept}), stack, here)


def _ask(client: Client, asked: Asked, view: View | None) -> dict[str, Any]:
    """The answer, with the metrics that are wanted. view: where it is to be drawn, which says how much fits."""
    since, until = span_of(asked, datetime.now().astimezone())
    period = asked.period
    if period is None and view is not None:
        from fairlead.cli.metrics_table import period_for

        period = period_for((until - since).total_seconds(), view)
    try:
        answer = client.metrics(
            asked.stack, service=asked.service, zone=asked.zone, target=asked.target, since=stamp(since),
            until=None if asked.until is None else stamp(until), period=period,
        )  # fmt: skip
    except NotFound as problem:
        if not _is_there(client, asked):
            raise
        whose = output.cell(asked.target or asked.service)
        why = "it has just come, and is measured once a second"
        raise _NotYet(
            f"nothing is known of {whose} yet", why, "Ask again in a few seconds, or use --watch."
        ) from problem
    if asked.wanted:
        refuse_unknown(asked, answer)
        for series in answer["series"]:
            series["metrics"] = [metric for metric in series["metrics"] if metric["name"] in asked.wanted]
    return answer


def _is_there(client: Client, asked: Asked) -> bool:
    """Whether what was never measured runs now."""
    with suppress(FairleadError):
        (stack,) = client.status(asked.stack)["stacks"]
        ones = [
            one for service in stack["services"] if service["name"] == asked.service for one in service["instances"]
        ]
        ids, zones = {one["id"] for one in ones}, {one["zone"] for one in ones}
        return bool(ones) and asked.target in (None, *ids) and asked.zone in (None, *zones)
    return False


def _view(asked: Asked) -> View:
    from fairlead.cli.metrics_table import View
    from fairlead.cli.sparkline import glyphs_for

    glyphs = glyphs_for(getattr(sys.stdout, "encoding", None), os.environ)
    return View(output.width(sys.stdout, WIDTH), glyphs, output.coloured(sys.stdout), asked.wanted)


def _drawn(answer: dict[str, Any], view: View) -> list[str]:
    from fairlead.cli.metrics_table import table

    return table(answer, view)


def _conclude(client: Client, answer: dict[str, Any], asked: Asked, stack: str | None) -> None:
    """stack: as it was named, since what is useful next has to name it too."""
    from fairlead.cli.metrics_table import is_empty

    url = None
    # A daemon of before an upgrade does not know the question.
    with suppress(FairleadError):
        url = client.metrics_listener()
    if url is not None:
        output.data(f"Prometheus: {output.cell(url)}")
    if is_empty(answer):
        output.note("nothing was measured in that time: metrics begin when a stack is up, and go back two weeks")
    service = asked.service or next((one["service"] for one in answer["series"] if one["service"]), None)
    if service is None:
        output.next_commands("fairlead status", "fairlead metrics --watch")
        return
    name = output.cell(service) + (f" --stack {output.cell(asked.stack)}" if stack else "")
    # What is routed to only has no logs here, nor anything of the machine.
    levels = [one["values"] for series in answer["series"] for one in series["metrics"] if one["unit"] == "Percent"]
    prints = bool(asked.wanted) or any(value is not None for values in levels for value in values)
    closer = [f"fairlead metrics {name}"] if not asked.service else [f"fairlead logs {name}"] if prints else []
    output.next_commands(*closer, f"fairlead explain {name}", "fairlead status")


def _watch(session: Session, asked: Asked, pace: float, as_json: bool) -> None:
    """Until Ctrl-C. A daemon that went away is waited for: its keeper brings it back."""
    from fairlead.cli.screen import on_screen, when_changed

    def seen() -> dict[str, Any] | str:
        try:
            return _ask(_reached(session), asked, None if as_json else _view(asked))
        except (DaemonUnavailable, _NotYet) as problem:
            return output.cell(problem.sentence)

    def lines(answer: dict[str, Any] | str) -> list[str]:
        return [answer] if isinstance(answer, str) else _drawn(answer, _view(asked))

    # What is wrong with the request itself is said before anything is drawn.
    with suppress(_NotYet):
        _ask(_reached(session), asked, None)
    if output.is_terminal(sys.stdout) and not as_json:
        on_screen(lambda: lines(seen()), pace, f"every {pace:g} s, Ctrl-C ends it")
    when_changed(seen, output.compact if as_json else lambda answer: "\n".join([*lines(answer), ""]), pace)
