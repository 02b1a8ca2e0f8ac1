"""`fairlead scale SERVICE [N] [--min N] [--max N]`: how many instances a service should have, set by hand."""

from __future__ import annotations

import click

from fairlead.cli import output
from fairlead.cli.follow import watch
from fairlead.cli.names import complete_service
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.errors import UsageError

KEYS = ("stack", "service", "desired", "declared", "minimum", "maximum", "text")
"""Of the result, with --json."""


@click.command("scale", short_help="Set how many instances a service has.")
@click.argument("service", shell_complete=complete_service)
@click.argument("desired", type=click.IntRange(min=0), metavar="[N]", required=False)
@click.option("--min", "minimum", type=click.IntRange(min=0), metavar="N", help="Never fewer. Default: as it is.")
@click.option("--max", "maximum", type=click.IntRange(min=0), metavar="N", help="Never more. Default: as it is.")
@stack_option
@json_option
@home_option
@click.pass_obj
def command(
    session: Session,
    service: str,
    desired: int | None,
    minimum: int | None,
    maximum: int | None,
    stack: str | None,
    as_json: bool,
) -> int:
    """Make SERVICE have N instances, and return when it has: new ones are healthy, or those it no longer needs have
    finished their requests and ended. 0 stops the service; its listeners then answer 503.

    Of a service of a fixed size (`instances:`) the size set by hand is kept, over restarts of the daemon and further
    `fairlead up`s, until the file's own size changes; `fairlead status` shows both. To go back to the file's size, set
    that.

    Of a service with `scaling:` N has to be within its minimum and maximum, and holds until a policy or the schedule
    changes it (AWS: SetDesiredCapacity); to keep it, `fairlead suspend SERVICE alarm-notification`. --min and --max
    change the bounds until the file's own change; what is outside the new ones is brought within.

    Ctrl-C stops the watching; the daemon goes on.

    \b
    Examples:
      fairlead scale web 4
      fairlead scale web 0 --stack shop
      fairlead scale web --min 3 --max 12
      fairlead scale web 4 --json

    \b
    Exit status:
      0    SERVICE has N instances
      1    it could not get there; the error says how many serve now
      2    no such stack or service, or N makes no sense, or is not within the minimum and maximum
      130  interrupted; the daemon goes on with it
    """
    if desired is None and minimum is None and maximum is None:
        raise UsageError("no size was given", "", f"fairlead scale {output.cell(service)} N")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise UsageError("--min is above --max", f"{minimum} is more than {maximum}", "Give --max as many at least.")
    meant = session.stack(session.running(), stack)
    result = watch(
        session.daemon, lambda client: client.scale(meant, service, desired, minimum=minimum, maximum=maximum)
    )
    if result is None:
        return 130
    output.note(output.cell(result["text"]))
    if as_json:
        output.json({key: result.get(key) for key in KEYS})
    named = session.naming(meant)
    if result["desired"] == 0:
        again = max(1, int(result.get("declared") or 1))
        output.next_commands(f"fairlead scale {output.cell(service)} {again}{named}")
    else:
        output.next_commands("fairlead status", f"fairlead check{named}")
    return 0
