"""`fairlead drill NAME`: tries on what runs, each with a verdict. `capacity`: how much load one instance bears."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from fairlead.cli import output
from fairlead.cli.names import complete_instance, complete_service
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.errors import UsageError

if TYPE_CHECKING:
    from fairlead.drill.capacity import Capacity

SHORTEST, LONGEST = 2.0, 600.0
"""Seconds that a drill may take."""

SPARE = 64
"""Open files that a process has beside its connections."""

STATUSES = """\b
Exit status:
  0    done
  1    no rate was found that the instance bears, or something failed
  2    no such stack, service or instance, or it is not possible; the error says why
  130  stopped by Ctrl-C, after what was found until then
"""


@click.group(
    "drill", short_help="Try what runs under load.", epilog="\b\nExit status:\n  0    done; each drill's help says more"
)
@home_option
def command() -> None:
    """Put what runs to the test, and say what came of it.

    \b
    Examples:
      fairlead drill capacity web                how many requests a second one instance bears
    """


@command.command("capacity", short_help="How many requests a second does one instance do?", epilog=STATUSES)
@click.argument("service", required=False, metavar="[SERVICE]", shell_complete=complete_service)
@click.option("--instance", metavar="ID", shell_complete=complete_instance,
              help="The instance to try. Default: the first healthy one of SERVICE.")  # fmt: skip
@click.option("--path", default="/", show_default=True, metavar="PATH", help="What to ask for, by GET.")
@click.option("--for", "length", default="60s", show_default=True, metavar="TIME",
              help="How long it takes: 2s to 10m. Longer is more exact.")  # fmt: skip
@click.option("--latency", metavar="TIME", help="What the p95 may be: 100ms, 1.5s. Default: 5 times that of one "
              "request alone, at least 50ms.")  # fmt: skip
@click.option("--max-rate", type=click.IntRange(1, 100_000), default=20_000, show_default=True, metavar="N",
              help="Requests/s that are not exceeded.")  # fmt: skip
@click.option("--connections", type=click.IntRange(1, 20_000), default=1000, show_default=True, metavar="N",
              help="Connections that are open at once at most.")  # fmt: skip
@stack_option
@json_option
@home_option
@click.pass_obj
def capacity(
    session: Session,
    service: str | None,
    instance: str | None,
    path: str,
    length: str,
    latency: str | None,
    max_rate: int,
    connections: int,
    stack: str | None,
    as_json: bool,
) -> int:
    """Find how many requests a second one instance of SERVICE bears: the highest rate at which the p95 stays within
    --latency, less than 1 in 100 fails (a good answer has a status of 200 to 399), and the answers keep up with the
    requests within 3 %.

    The instance is opened alone (as by `fairlead instance open`), and gets requests at a constant rate, whether or not
    it answers: twice as many in each step until it is too much, then rates in between. It is overloaded for moments,
    which others that use it feel; `fairlead instance drain ID` takes it out of the load balancer before. The scaling
    policies of SERVICE are suspended meanwhile, and resumed after.

    What else is told: how long one request alone takes, how many are worked on at once, what a request costs of the
    processor, how long the instance took to start. Save the document of --json for `fairlead simulate --capacity FILE`.

    \b
    Examples:
      fairlead drill capacity web
      fairlead drill capacity web --path /api --latency 100ms
      fairlead drill capacity web --for 2m --json > capacity.json
    """
    from fairlead.drill.measuring import Asked
    from fairlead.drill.subject import chosen

    asked = Asked(
        path=_path(path),
        seconds=_length(length),
        latency=None if latency is None else _latency(latency),
        highest=max_rate,
        connections=_connections(connections),
    )
    client = session.running()
    meant = session.stack(client, stack)
    subject = chosen(client.status(meant)["stacks"][0], service, instance)
    output.note(
        f"{output.cell(subject.instance)} of stack {output.cell(meant)} gets GET {output.cell(asked.path)} for about "
        f"{asked.seconds:g} s; Ctrl-C ends it"
    )
    from fairlead.cli.drill_run import run

    found, stopped = run(client, subject, asked)
    _show(found, as_json)
    of = output.cell(subject.service)
    again = f"fairlead drill capacity {of}{session.naming(meant)} --json > FILE"
    output.next_commands(f"fairlead simulate {of} --capacity FILE --load ramp:0-500/5m" if as_json else again)
    if stopped:
        return 130
    return 0 if found.rate else 1


def _show(found: Capacity, as_json: bool) -> None:
    from fairlead.cli.drill_run import table
    from fairlead.drill.verdict import sentences, warnings

    if as_json:
        output.json(found.to_json())
    else:
        for line in table(found):
            _say(line, 4)
        output.data("")
    for line in sentences(found):
        if as_json:
            output.note(output.cell(line))
        else:
            _say(output.cell(line), 2)
    for line in warnings(found):
        output.note(output.paint(f"note: {output.cell(line)}", "yellow", on=output.coloured(sys.stderr)))


def _say(line: str, hanging: int) -> None:
    for part in output.folded(line, output.line_width(sys.stdout), hanging):
        output.data(part)


def _path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise UsageError(f"--path {text!r} is no path", "", "Begin it with /, and write other characters as %20.")
    return text


def _length(text: str) -> float:
    from fairlead.cli.moments import seconds

    long = seconds(text, "--for")
    if not SHORTEST <= long <= LONGEST:
        raise UsageError(f"--for {text!r} is not possible", "it can take 2s to 10m", "Give it 60s.")
    return long


def _latency(text: str) -> float:
    import re

    from fairlead.cli.moments import seconds

    given = text.strip()
    milliseconds = re.fullmatch(r"(\d+(?:\.\d+)?)ms", given)
    limit = float(milliseconds[1]) / 1000 if milliseconds else seconds(given, "--latency")
    if not 0.001 <= limit <= 10:
        raise UsageError(f"--latency {text!r} is not possible", "from 1ms to 10s", "Give it 100ms.")
    return limit


def _connections(wanted: int) -> int:
    """As many of them as this process may open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + SPARE:
        soft = min(hard, wanted + SPARE) if hard != resource.RLIM_INFINITY else wanted + SPARE
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - SPARE))
