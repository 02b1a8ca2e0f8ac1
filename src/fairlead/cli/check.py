"""`fairlead check`: does the balancer share requests evenly, and does every listener answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fairlead.cli import output
from fairlead.cli.names import complete_stack
from fairlead.cli.options import home_option, json_option, one_stack, stack_option
from fairlead.cli.session import Session

if TYPE_CHECKING:
    from fairlead.drill.distribution import Judgement, Verdict


@click.command("check", short_help="Are requests shared evenly?")
@click.argument("name", required=False, metavar="[STACK]", shell_complete=complete_stack)
@stack_option
@click.option("--requests", default=100, show_default=True, type=click.IntRange(2, 100_000), help="How many to count.")
@json_option
@home_option
@click.pass_obj
def command(session: Session, name: str | None, stack: str | None, requests: int, as_json: bool) -> int:
    """Send 100 requests to each service of STACK, one after another, and count them by the instance that answered; and
    one request to every listener.

    A service is asked through each listener whose rules give it, and it alone, the request of its health check; it is
    counted through the first. One that gets it nowhere (it has weights, or other paths, or speaks HTTP2 or GRPC) is not
    asked, and named. A listener that gives it to no service (it redirects) has to answer, whatever it answers.

    On a quiet stack the counts must be equal (50 and 50 for two instances; one more or less where it does not divide).
    With other traffic, which is told, and with `algorithm: weighted_random` they must lie within the spread that chance
    allows. The path is the service's health check's; it must answer with the codes of its matcher (with any, where
    nothing is asked of it). Certificates of HTTPS listeners are verified as by any client, who trusts this home's
    development CA and the certificate files that the listener names.

    \b
    Examples:
      fairlead check
      fairlead check shop --requests 1000
      fairlead check --json

    \b
    Exit status:
      0    it holds
      1    something does not hold, or nothing runs
      2    no such stack
    """
    from fairlead.certificates.authority import Authority
    from fairlead.drill.distribution import asking, check

    client = session.running()
    meant = session.stack(client, one_stack(name, stack))
    own = Authority(session.layout.authority).certificate
    shown = client.status(meant)["stacks"][0]
    verdict = check(lambda: client.check(meant), requests, ask=asking(own), shown=shown)
    if as_json:
        output.json(verdict.to_json())
    else:
        for listener in verdict.listeners:
            _show(listener)
        _conclude(verdict, session.naming(meant))
    return 0 if verdict.holds else 1


def _show(listener: Judgement) -> None:
    several = "request" if listener.requests == 1 else "requests"
    to = f" -> {output.cell(listener.service)}" if listener.service else ""
    answered = f", answered {listener.answered}" if listener.answered is not None else ""
    output.data(f"{output.cell(listener.url)}{to}: {listener.requests} {several}{answered}")
    if listener.how != "reached":
        for instance, count in listener.counts.items():
            output.data(f"  {output.cell(instance):<16} {count:>6}")
    for reason in listener.reasons:
        output.data(f"  {output.cell(reason)}")


def _conclude(verdict: Verdict, named: str) -> None:
    """named: the stack, as the next command has to name it."""
    if verdict.others:
        output.note(f"{verdict.others} requests of others came meanwhile: shares are judged by their expected spread")
    elif verdict.others is None:
        output.note("the balancer could not tell whether others sent requests meanwhile")
    for reason in verdict.reasons:
        output.note(output.cell(reason))
    if left := verdict.not_asked:
        names = ", ".join(map(output.cell, left))
        whom = "it" if len(left) == 1 else "one of them"
        output.note(f"not asked: {names}; no request of HTTP/1.1 for the path of its health check goes to {whom} alone")
    if verdict.holds:
        output.data(f"holds ({verdict.seconds:.2f} s)")
    else:
        output.data("does not hold")
        output.next_commands("fairlead status", "fairlead events", f"fairlead check{named}")
