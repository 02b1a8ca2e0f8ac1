"""`fairlead suspend SERVICE [PROCESS...]` and `fairlead resume`: what fairlead does about a service by itself, stopped.

The words that name a process become AWS's names here, so that a slip is told before anybody is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from fairlead.api.client import Client
from fairlead.cli import output
from fairlead.cli.names import complete_process, complete_service
from fairlead.cli.options import home_option, json_option, stack_option
from fairlead.cli.session import Session
from fairlead.core.suspension import PROCESSES, named
from fairlead.errors import UsageError

_MEANINGS = "\n".join(f"  {name:<20}{meaning}" for name, meaning in PROCESSES.items())

_STATUSES = """\b
Exit status:
  0    done, also when it was so before
  1    it failed
  2    no such stack, service or process; or SERVICE is not run by fairlead
"""

_SUSPEND = f"""Stop what fairlead does about SERVICE by itself, to look into something without being disturbed: it still
watches, and tells what it would do. Without a PROCESS all of them; in any case, or with hyphens
(`replace-unhealthy`). They stay suspended, over restarts of the daemon and further `fairlead up`s, until
`fairlead resume`.

\b
While it is suspended:
{_MEANINGS}

What waits for a suspended process (a deployment needs Launch and Terminate) says so in `fairlead status` and
`fairlead explain`. `fairlead down` ignores every suspension.

\b
Examples:
  fairlead suspend web alarm-notification       keep the size as it is, whatever the load
  fairlead suspend web Terminate                nothing that lives is ended
  fairlead suspend web                          all of them
"""

_RESUME = f"""Let suspended processes of SERVICE go on; without a PROCESS all of them. What they would have done
meanwhile is judged anew: an instance that is still unhealthy is replaced at once, a policy is asked as it is now, and
scheduled actions whose time has passed are not made up for.

\b
Processes, and what is so while they are suspended:
{_MEANINGS}

\b
Examples:
  fairlead resume web
  fairlead resume web alarm-notification
"""


@click.command("suspend", help=_SUSPEND, short_help="Stop scaling, replacing or ending instances.", epilog=_STATUSES)
@click.argument("service", shell_complete=complete_service)
@click.argument("processes", nargs=-1, metavar="[PROCESS]...", shell_complete=complete_process)
@stack_option
@json_option
@home_option
@click.pass_obj
def command(session: Session, service: str, processes: tuple[str, ...], stack: str | None, as_json: bool) -> None:
    answer = _ask(session, service, processes, stack, lambda client: client.suspend)
    _show(answer, as_json)
    output.next_commands(f"fairlead resume {_named(session, answer)}", "fairlead status")


@click.command("resume", help=_RESUME, short_help="Let suspended processes of a service go on.", epilog=_STATUSES)
@click.argument("service", shell_complete=complete_service)
@click.argument("processes", nargs=-1, metavar="[PROCESS]...", shell_complete=complete_process)
@stack_option
@json_option
@home_option
@click.pass_obj
def resume(session: Session, service: str, processes: tuple[str, ...], stack: str | None, as_json: bool) -> None:
    answer = _ask(session, service, processes, stack, lambda client: client.resume)
    _show(answer, as_json)
    output.next_commands("fairlead status", f"fairlead explain {_named(session, answer)}")


Change = Callable[[str, str, Sequence[str]], dict[str, Any]]


def _ask(
    session: Session,
    service: str,
    processes: tuple[str, ...],
    stack: str | None,
    change: Callable[[Client], Change],
) -> dict[str, Any]:
    """The daemon's answer. UsageError: a word that names no process."""
    try:
        meant = named(processes) if processes else ()
    except ValueError as error:
        raise UsageError(output.cell(error), "", f"The processes are {', '.join(PROCESSES)}.") from error
    client = session.running()
    return change(client)(session.stack(client, stack), service, meant)


def _named(session: Session, answer: dict[str, Any]) -> str:
    """The service, as the next command has to name it."""
    return output.cell(answer["service"]) + session.naming(answer["stack"])


def _show(answer: dict[str, Any], as_json: bool) -> None:
    """What is suspended now, a line each."""
    suspended = [output.cell(name) for name in answer["suspended"]]
    if as_json:
        output.json({key: answer.get(key) for key in ("stack", "service", "suspended", "text")})
    elif not suspended:
        output.note(output.cell(answer["text"]))
    else:
        output.note(f"{output.cell(answer['service'])}: suspended until `fairlead resume`")
        for name in suspended:
            output.note(f"  {name:<20}{PROCESSES.get(name, '')}".rstrip())
