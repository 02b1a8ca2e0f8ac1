"""`fairlead exec INSTANCE|SERVICE [--] COMMAND...`: a command in an instance's folder and environment.

The daemon says where; this process then becomes the command itself, on the terminal as it is (`place`).
"""

from __future__ import annotations

from typing import Any

import click

from fairlead.cli import output
from fairlead.cli.names import complete_instance_or_service
from fairlead.cli.options import home_option, stack_option
from fairlead.cli.place import become, place_of, words_or_shell
from fairlead.cli.session import Session
from fairlead.errors import NotFound, UsageError

AS_IT_IS = {"allow_interspersed_args": False}
"""What follows the name is the command's, options too."""


@click.command("exec", short_help="Run a command in an instance.", context_settings=AS_IT_IS)
@click.argument("name", metavar="INSTANCE|SERVICE", shell_complete=complete_instance_or_service)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND...]")
@stack_option
@home_option
@click.pass_obj
def command(session: Session, name: str, words: tuple[str, ...], stack: str | None) -> None:
    """Run COMMAND in the folder, the environment and as the user of INSTANCE; default: a shell. Of a SERVICE its first
    healthy instance is taken, and named.

    Options of fairlead stand before INSTANCE; everything after it is COMMAND's and reaches it unchanged, through no
    shell. COMMAND is on your terminal, and its exit status is the command's. It belongs to the instance: when that
    ends, so does it. For a command that should not depend on an instance: `fairlead run`.

    \b
    Examples:
      fairlead exec web
      fairlead exec web-3 env
      fairlead exec --stack shop web-3 -- python manage.py shell
      fairlead exec web-3 sh -c 'curl --unix-socket $SOCKET http://localhost/health'

    \b
    Exit status:
      COMMAND's own
      1    nothing runs, or the instance's place cannot be entered
      2    no such stack, service or instance, or none is healthy
      126  COMMAND cannot be run
      127  COMMAND is not there
    """
    wanted = words_or_shell(words)
    client = session.running()
    meant = session.stack(client, stack)
    instance = _instance(session, client.status(meant)["stacks"][0], name)
    place = place_of(client.entry(meant, instance=instance), session.layout)
    if instance != name:
        output.note(f"in {output.cell(instance)}")
    become(place, wanted)


def _instance(session: Session, stack: dict[str, Any], name: str) -> str:
    """The instance that `name` means. NotFound; UsageError when the service has none that is healthy."""
    from fairlead.cli.status_table import serves

    for service in stack["services"]:
        if any(instance["id"] == name for instance in service["instances"]):
            return name
    services = {str(service["name"]): service for service in stack["services"]}
    if name not in services:
        instances = [instance["id"] for service in stack["services"] for instance in service["instances"]]
        known = ", ".join(output.cell(word) for word in (*services, *instances))
        what = f"there is no instance or service '{output.cell(name)}' in {output.cell(stack['name'])}"
        raise NotFound(what, f"it has {known}", "fairlead status")
    if not services[name].get("runs", True):
        what = f"{output.cell(name)} is routed to, and not run by fairlead"
        advice = f"fairlead explain {output.cell(name)}{session.naming(stack['name'])}"
        raise UsageError(what, "there is nothing here to enter", advice)
    instances = services[name]["instances"]
    for instance in instances:
        if serves(instance) and instance["state"] == "in_service":
            return str(instance["id"])
    if not instances:
        instead = f"fairlead run{session.naming(stack['name'])} {output.cell(name)}"
        raise UsageError(f"{output.cell(name)} has no instance", "", instead)
    seen = ", ".join(f"{output.cell(one['id'])} is {output.cell(one['health'])}" for one in instances)
    raise UsageError(f"no instance of {output.cell(name)} is healthy", seen, "Name the one you mean.")
