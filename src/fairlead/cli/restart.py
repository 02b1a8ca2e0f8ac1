"""`fairlead restart [SERVICE]`: every instance is replaced under the deployment rules (AWS: instance refresh)."""

from __future__ import annotations

import click

from fairlead.cli import output
from fairlead.cli.follow import watch
from fairlead.cli.names import complete_service
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session


@click.command("restart", short_help="Replace every instance, losing no request.")
@click.argument("service", required=False, metavar="[SERVICE]", shell_complete=complete_service)
@stack_option
@json_option
@home_option
@click.pass_obj
def command(session: Session, service: str | None, stack: str | None, as_json: bool) -> int:
    """Replace every instance of SERVICE, or of all services, by one of the same release: new ones take traffic before
    old ones finish their requests and end, as `deploy.min_healthy` and `max_healthy` say.

    Nothing is built and the file is not read: for that, `fairlead up`. If the new ones do not become healthy the old
    ones stay, and the error says why. Ctrl-C stops the watching; the daemon goes on.

    \b
    Examples:
      fairlead restart
      fairlead restart web --stack shop

    \b
    Exit status:
      0    every instance is a new one, and healthy
      1    it was given up; the error says what serves now
      2    no such stack or service
      130  interrupted; the daemon goes on with it
    """
    meant = session.stack(session.running(), stack)
    result = watch(session.daemon, lambda client: client.restart(meant, service))
    if result is None:
        return 130
    name = output.cell(result["stack"])
    output.note(f"{name} is restarted" if result.get("changed", True) else f"{name}: no instance to restart")
    for line in result.get("summary") or ():
        output.note(f"  {output.cell(line)}")
    if as_json:
        output.json({key: result.get(key) for key in ("stack", "changed", "summary", "urls")})
    output.next_commands("fairlead status", "fairlead events")
    return 0
