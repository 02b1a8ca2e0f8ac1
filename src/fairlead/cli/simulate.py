"""`fairlead simulate`: what a scaling policy would do, before the traffic does it."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from fairlead.cli import output
from fairlead.cli.declared import declared, up_command
from fairlead.cli.names import complete_path, complete_service, complete_stack
from fairlead.cli.options import home_option, json_option
from fairlead.cli.session import Session
from fairlead.cli.simulate_asked import Variant, app_of, moment_of, read_text, service_of, variants
from fairlead.errors import DaemonUnavailable, UsageError

if TYPE_CHECKING:
    from fairlead.cli.declared import Declared
    from fairlead.cli.simulate_picture import View
    from fairlead.core.model import Stack
    from fairlead.simulate.app import App
    from fairlead.simulate.load import Load
    from fairlead.simulate.result import Result

WIDTH = 100
"""Characters of a line when the output is no terminal."""

MOST_POINTS = 1000
"""Points of a timeline in --json."""

SHORT = 50_000
"""Virtual seconds that take no time to speak of."""

FEW = 6
"""Decisions of each variant that are shown, when there are several."""


@click.command("simulate", short_help="Try a scaling policy against a load, on a virtual clock.")
@click.argument("service", required=False, metavar="[SERVICE]", shell_complete=complete_service)
@click.option(
    "--file", "path", default=".", metavar="PATH", shell_complete=complete_path,
    help="The fairlead.yaml, or the folder it lies in. Default: here.",
)  # fmt: skip
@click.option("--load", "shape", metavar="SHAPE", help="What arrives: ramp:0-500/5m, traffic.csv; see above.")
@click.option("--from", "since", metavar="TIME", help="Instead: what arrived since then, as the daemon measured it.")
@click.option("--to", "until", metavar="TIME", help="With --from: until when. Default: now.")
@click.option(
    "--stack", metavar="NAME", shell_complete=complete_stack,
    help="With --from: the stack whose traffic is meant. Default: the file's.",
)  # fmt: skip
@click.option(
    "--set", "changes", metavar="KEY=VALUE", multiple=True,
    help="Also with this changed in the file: services.web.scaling.max=6; A=1,B=2 for two at once. May be repeated: "
    "each is a variant of its own, shown beside the file.",
)  # fmt: skip
@click.option(
    "--capacity", metavar="N|FILE",
    help="Requests per second that an instance can answer, or what `fairlead drill capacity --json` printed.",
)  # fmt: skip
@click.option("--start-time", metavar="LENGTH", help="From the launch of an instance to its first passed check.")
@click.option("--service-time", metavar="LENGTH", help="What a request takes by itself.")
@click.option("--at", "moment", metavar="TIME", help="When it begins, for `schedule:`. Default: midnight.")
@click.option("--seed", default=1, metavar="N", help="Another number, other jitter. Default: 1.")
@json_option
@home_option
@click.pass_obj
# Long by its help, which is the manual page.
def command(
    session: Session,
    service: str | None,
    path: str,
    shape: str | None,
    since: str | None,
    until: str | None,
    stack: str | None,
    changes: tuple[str, ...],
    capacity: str | None,
    start_time: str | None,
    service_time: str | None,
    moment: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Say what `scaling:` of a fairlead.yaml would do under a load: how many instances there would be at each moment
    and why, how long targets would be missed, which requests would wait or be lost, and how many instance-hours it
    would take. Decisions are made by the code that makes them in the daemon, on a virtual clock: a day takes seconds.
    Nothing is started, and without --from nothing need run.

    \b
    The load, with numbers in requests per second; several follow each other with commas:
      constant:100/10m         the same for ten minutes
      ramp:0-500/5m            evenly from none to 500
      step:50-500/10m          50, then at half (or @2m: after two minutes) 500
      spike:50-800/10m         50, and for a tenth of the time in the middle (or @2m) 800
      sine:20-200/24h          from 20 up to 200 and back; with @1h every hour
      traffic.csv              rows of seconds,requests_per_second, or with times
      sine:20-200/24h+jitter:5%   each second off by up to so much

    How an instance answers is a model: up to its capacity a request takes its service time and what a random queue
    adds; what comes on top waits, at most for the idle timeout. Without --capacity numbers are assumed, and said.
    `fairlead drill capacity` measures them. docs/guide/scaling.md tells what the model leaves out.

    \b
    Examples:
      fairlead simulate web --load ramp:0-500/5m
      fairlead simulate --load step:50-500/10m --capacity 120 --start-time 4s
      fairlead simulate --load sine:20-400/24h+jitter:5% --capacity capacity.json
      fairlead simulate --load spike:50-800/10m --set services.web.scaling.max=6
      fairlead simulate web --from 2h --set services.web.scaling.warm_pool=2
      fairlead simulate --load traffic.csv --json | jq '.variants[0].summary'

    \b
    Exit status:
      0    simulated
      1    --from: no daemon runs, or it does not answer
      2    an invalid file, load or change, or no such service
    """
    if (shape is None) == (since is None):
        what = "one of --load and --from is needed" if shape is None else "--load and --from cannot be given together"
        raise UsageError(what, "", "fairlead simulate --load ramp:0-500/5m")
    for option, value in (("--to", until), ("--stack", stack)):
        if value is not None and since is None:
            raise UsageError(f"{option} says nothing without --from")
    app, assumed = app_of(capacity, start_time, service_time)
    file = declared(path, "fairlead simulate --file")
    base = _read(file, ())
    name = service_of(base, service)
    wanted = variants(changes, name)
    stacks = [base, *(_read(file, variant.changes) for variant in wanted[1:])]
    load = _invented(shape) if shape is not None else _recorded(session, stack or base.name, name, str(since), until)
    results = _simulated(stacks, wanted, name, load, app, moment_of(moment, load), seed)
    if as_json:
        output.json(_document(results, app, assumed, load))
        return
    _show(results, _view())
    here = (session.naming(base.name), up_command(file.path))
    _conclude(results, output.cell(name), assumed, here, recorded=shape is None)


def _read(file: Declared, changes: tuple[str, ...]) -> Stack:
    from fairlead.spec import read

    return read(file.path, env=file.environment, dotenv=file.dotenv, changes=changes)


def _invented(shape: str) -> Load:
    from fairlead.simulate.grammar import load_of
    from fairlead.simulate.recorded import from_csv

    return load_of(shape, lambda path: from_csv(read_text(path, "--load"), output.cell(path)))


def _recorded(session: Session, stack: str, service: str, since: str, until: str | None) -> Load:
    from fairlead.cli.moments import moment, shown, stamp
    from fairlead.simulate.recorded import from_metrics

    now = datetime.now().astimezone()
    end = now if until is None else moment(until, now, "--to")
    start = moment(since, now, "--from")
    if start >= end:
        why = f"{shown(start.astimezone())} is not before {shown(end.astimezone())}"
        raise UsageError("--from is not before --to", why)
    client = session.daemon_if_needed()
    if client is None:
        raise DaemonUnavailable(
            "there is no recorded traffic to simulate",
            f"no daemon runs in {session.home}, because no stack should",
            "Bring the stack up (`fairlead up`), or invent a load (`--load ramp:0-500/5m`).",
        )
    return from_metrics(client.metrics(stack, service=service, since=stamp(start), until=stamp(end)), service)


def _simulated(
    stacks: list[Stack], wanted: list[Variant], service: str, load: Load, app: App, began: int, seed: int
) -> list[tuple[Variant, Result]]:
    from fairlead.core.phrases import span
    from fairlead.simulate.run import run

    if load.seconds * len(stacks) > SHORT and output.is_terminal(sys.stderr):
        times = f", {len(stacks)} times" if len(stacks) > 1 else ""
        output.note(f"simulating {span(load.seconds)}{times} ...")
    return [
        (variant, run(stack, service, load, app, began=began, seed=seed))
        for variant, stack in zip(wanted, stacks, strict=True)
    ]


def _document(results: list[tuple[Variant, Result]], app: App, assumed: list[str], load: Load) -> dict[str, Any]:
    """The contract of --json."""
    from dataclasses import asdict

    from fairlead.simulate.schedule import iso

    first = results[0][1]
    each = max(1, -(-first.seconds // MOST_POINTS))
    return {
        "service": first.service,
        "began": iso(first.began),
        "recorded": bool(load.began),
        "model": {**asdict(app), "assumed": assumed},
        "variants": [
            {"name": variant.name, "changes": list(variant.changes), **result.to_json(each)}
            for variant, result in results
        ],
    }


def _view() -> View:
    from fairlead.cli.simulate_picture import View
    from fairlead.cli.sparkline import glyphs_for

    glyphs = glyphs_for(getattr(sys.stdout, "encoding", None), os.environ)
    return View(output.width(sys.stdout, WIDTH), glyphs, output.coloured(sys.stdout))


def _show(results: list[tuple[Variant, Result]], view: View) -> None:
    from fairlead.cli import simulate_picture as drawing

    (_, first), *others = results
    lines = drawing.picture(first, view)
    if not others:
        lines += ["", *drawing.story(first)]
        if first.decisions:
            lines += ["", "decisions", *drawing.decisions(first, view)]
    for variant, result in others:
        lines += ["", *drawing.rows_of(result, variant.name, view)]
    if others:
        lines += ["", *drawing.compared([(variant.name, result) for variant, result in results], view)]
        for variant, result in results:
            told = list(drawing.decisions(result, view, FEW)) or ["  none"]
            lines += ["", f"decisions of {output.cell(variant.name)}", *told]
    for line in lines:
        output.data(line.rstrip())


def _conclude(
    results: list[tuple[Variant, Result]], service: str, assumed: list[str], here: tuple[str, str], *, recorded: bool
) -> None:
    """What has to be known to believe it. here: how the next commands name the stack, and the `up` of the file."""
    named, up = here
    for note in dict.fromkeys(note for _, result in results for note in result.notes):
        output.note(f"note: {output.cell(note)}")
    if assumed:
        output.note(
            output.paint(f"assumed, not measured: {', '.join(assumed)}", "yellow", on=output.coloured(sys.stderr))
        )
        output.next_commands(f"fairlead drill capacity {service}{named} --json > capacity.json")
    elif not recorded:
        output.next_commands(f"fairlead metrics {service}{named}", up)
