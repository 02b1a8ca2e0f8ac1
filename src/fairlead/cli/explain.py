"""`fairlead explain`: why a service is as it is, now or at a moment of the past.

From the daemon, or from the store when none runs: the decisions of a stack that is down are still there.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.explain_size import size_lines, size_of
from fairlead.cli.moments import local, moment, stamp
from fairlead.cli.names import complete_service, not_run, stacks_with_decisions
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session, choose_stack, stack_here, stacks_of

_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


@click.command("explain", short_help="Why a service is as it is, now or in the past.")
@click.argument("service", metavar="SERVICE", shell_complete=complete_service)
@click.option(
    "--at",
    metavar="TIME",
    help="A moment of the past: 10:02 or 10:02:30 (local time), 2026-11-21T10:02:00Z, 10m (minutes ago; also s, h, d, "
    "w). Default: now.",
)
@stack_option
@json_option
@home_option
@click.pass_obj
def command(session: Session, service: str, at: str | None, stack: str | None, as_json: bool) -> None:
    """Print why SERVICE is as it is: the answer in one line, then its size and release, each instance with its health
    and the cause of its launch or end, what is waited for, and what was decided about it. Of a service with `scaling:`
    also why it has the size it has and since when, what each policy sees and asks for, what its schedule will do, and
    what would change the size.

    With --at the last decision at or before TIME is explained, with exactly what it saw. Every decision that changed
    something is kept, the newest 5000 of the home, also those of a stack that is down. The shape of --json is a
    contract: docs/reference/explain.md.

    \b
    Examples:
      fairlead explain web
      fairlead explain web --at 03:12
      fairlead explain web --at 10m --json | jq -r .answer

    \b
    Exit status:
      0    explained
      1    the daemon does not answer, or the store cannot be read
      2    no such stack or service, TIME is none, or nothing of that time is kept
      130  interrupted
    """
    now = datetime.now().astimezone()
    asked = None if at is None else stamp(moment(at, now))
    client = session.daemon_if_needed()
    running = stacks_of(client) if client is not None else []
    kept = stacks_with_decisions(session.layout.database)
    here = stack_here()
    # A stack that is down is meant when it is named, or when none is up.
    names = sorted({*running, *kept}) if stack or here or not running else running
    meant = choose_stack(names, stack, here)
    answer = (
        client.explain(meant, service, asked) if client is not None else _from_store(session, meant, service, asked)
    )
    if as_json:
        output.json(answer)
        return
    _show(answer)
    prints = service not in not_run(session.layout.database, meant)
    logs = [f"fairlead logs {output.cell(service)}{session.naming(meant)}"] if prints else []
    output.next_commands("fairlead status", *logs, "fairlead events")


def _from_store(session: Session, stack: str, service: str, at: str | None) -> dict[str, Any]:
    from fairlead.cli.record import Kept
    from fairlead.control.explain import explain_past

    return explain_past(Kept(session.layout.database), stack, service, at)


def _show(answer: dict[str, Any]) -> None:
    colour, width = output.coloured(sys.stdout), output.line_width(sys.stdout)
    for line in output.folded(output.cell(answer["answer"]), width, 0):
        output.data(output.paint(line, "bold", on=colour))
    output.data(_when(answer))
    output.data("")
    for line in (f"{'size':<12}{size_of(answer)}", *(f"{'':<12}{line}" for line in size_lines(answer))):
        _say(_in_local_time(line))
    for name in ("release", "deployment"):
        if answer[name] is not None:
            _say(f"{name:<12}{_in_local_time(answer[name]['text'])}")
    if did := _did(answer):
        _say(f"{'load':<12}{did}")
    for instance in answer["instances"]:
        output.data("")
        head = f"{output.cell(instance['id']):<12}{output.cell(instance['text'])}"
        # A target that fairlead does not run has neither.
        known = [f", {key} {output.cell(instance[key])}" for key in ("release", "zone") if instance[key]]
        _say(head + "".join(known))
        for clause in instance["clauses"]:
            _say(f"{'':<12}{output.cell(clause)}")
    _list("would change its size", (answer.get("scaling") or {}).get("would") or [])
    _list("waits for", answer["waits"])
    title = "is about to" if answer["decision"] is None else "it decided to"
    _list(title, [step["text"] for step in answer["decided"]])
    _list("before that", [f"{_moment_of(step)}  {step['text']}" for step in answer["earlier"]])


def _did(answer: dict[str, Any]) -> str:
    """How the service did over the seconds before that moment; "" when nothing is known."""
    from fairlead.cli.amounts import amount, span
    from fairlead.cli.status_columns import figures_of
    from fairlead.core.figures import WINDOW
    from fairlead.core.performance import told

    figures = figures_of(answer)
    more = [f"p50 {span(figures.p50)}"] if figures.p50 is not None else []
    more += [f"{amount(figures.outstanding)} outstanding"] if figures.outstanding is not None else []
    said = ", ".join([part for part in (told(figures), *more) if part])
    return f"{said} (over {WINDOW} s)" if said else ""


def _in_local_time(text: str) -> str:
    """`text` with the stamps in it (ISO 8601 UTC) as the clock on the wall shows them."""
    return output.cell(_STAMP.sub(lambda found: local(found[0]), text))


def _when(answer: dict[str, Any]) -> str:
    at = output.cell(local(answer["at"]))
    if answer["decision"] is None:
        return f"{answer['stack']}, now, {at}"
    asked = (
        f", the last one at or before {output.cell(local(answer['asked']))}" if answer["asked"] else ", the last one"
    )
    return f"{answer['stack']}, as decision {answer['decision']} saw it at {at}{asked}"


def _moment_of(step: dict[str, Any]) -> str:
    from fairlead.core.phrases import ago

    when = ago(step["ago"])
    return output.cell(local(step["at"])) + (f" ({when})" if when else "")


def _list(title: str, lines: list[str]) -> None:
    if lines:
        output.data("")
        output.data(title)
    for line in lines:
        _say(f"  {_in_local_time(line)}", 4)


def _say(line: str, hanging: int = 14) -> None:
    for part in output.folded(line, output.line_width(sys.stdout), hanging):
        output.data(part)
