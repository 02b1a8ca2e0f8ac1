"""The options of `fairlead logs --access`: what they take, which make sense together, and the way to `access.show`.

What reads an access log is imported only when one is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fairlead.core.layout import Layout
from fairlead.errors import NotFound, UsageError

if TYPE_CHECKING:
    from fairlead.cli.access import Form

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


_FILTERS = (
    ("--status", "STATUS", "these, e.g. 502, 5xx, 4xx,5xx"),
    ("--method", "METHOD", "these, e.g. GET, POST,PUT"),
    ("--path", "PATTERN", "such paths, e.g. '/api/*'; ? is one character"),
    ("--slower", "TIME", "what took so long or longer, e.g. 200ms, 1.5s"),
    ("--client", "ADDRESS", "from there, e.g. 10.0.0.7, 10.0.0.0/8"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says; filters as they were written. since, until: seconds since 1970."""

    service: str | None
    instance: str | None
    since: float | None
    until: float | None
    grep: re.Pattern[str] | None
    follow: bool
    as_json: bool
    raw: bool
    status: str | None
    path: str | None
    method: str | None
    slower: str | None
    client: str | None

    @property
    def only_of_requests(self) -> list[str]:
        """The options that were given and mean something with --access only."""
        options = {
            "--status": self.status, "--path": self.path, "--method": self.method, "--slower": self.slower,
            "--client": self.client, "--until": self.until, "--raw": self.raw or None,
        }  # fmt: skip
        return [name for name, value in options.items() if value is not None]


def access_options(until: Callable[..., Any]) -> Callable[[Decorated], Decorated]:
    """The options that mean something with --access only. until: reads a moment."""

    def decorate(command: Decorated) -> Decorated:
        # The last is the first in the help.
        command = click.option("--raw", is_flag=True, help="With --access: each line as it was written.")(command)
        only_until = "With --access: only requests until then."
        command = click.option("--until", metavar="TIME", callback=until, help=only_until)(command)
        for name, metavar, text in reversed(_FILTERS):
            command = click.option(name, metavar=metavar, help=f"With --access: only {text}.")(command)
        return command

    return decorate


def refuse_nonsense(access: bool, asked: Asked, of_others: Mapping[str, object]) -> bool:
    """Whether requests are asked for. of_others: options that say nothing about requests. UsageError: what was given
    makes no sense together."""
    given = [name for name, value in of_others.items() if value is not None and value is not False]
    if not access:
        if asked.only_of_requests:
            name = asked.only_of_requests[0]
            what = f"{name} says nothing about what programs print"
            raise UsageError(what, "it is about requests", f"Add --access: `fairlead logs --access {name}`.")
        return False
    if given:
        raise UsageError(
            f"--access and {given[0]} cannot be given together", "each shows a log of its own", "fairlead logs --help"
        )
    if asked.raw and asked.as_json:
        raise UsageError(
            "--raw and --json cannot be given together", "both say how a request is printed", "Leave out one."
        )
    if asked.follow and asked.until is not None:
        raise UsageError(
            "--follow and --until cannot be given together",
            "what is to come is later than any --until",
            "Leave out one.",
        )
    if asked.since is not None and asked.until is not None and asked.since > asked.until:
        raise UsageError("--since is later than --until", "no request is between them", "Change one for the other.")
    return True


def show_requests(layout: Layout, stack: str, asked: Asked, last: int | None) -> int:
    """Print them; the exit status. last: at most so many. NotFound: the stack has no access log."""
    from fairlead.cli import access, access_filter

    wanted = access_filter.Wanted(
        stack=stack,
        service=asked.service,
        instance=asked.instance,
        pattern=asked.grep,
        statuses=access_filter.statuses(asked.status) if asked.status is not None else frozenset(),
        methods=access_filter.methods(asked.method) if asked.method is not None else frozenset(),
        path=access_filter.path(asked.path) if asked.path is not None else None,
        slower=access_filter.slower(asked.slower) if asked.slower is not None else None,
        clients=access_filter.clients(asked.client) if asked.client is not None else (),
    )
    folders = [layout.access_logs(stack), layout.shared_access_logs]
    if not asked.follow and not any(os.path.isdir(folder) for folder in folders):
        raise NotFound(
            f"{stack} has no access log",
            "no request came, or its fairlead.yaml says `access_log: false`",
            f"fairlead status {stack}",
        )
    form: Form = "json" if asked.as_json else "raw" if asked.raw else "columns"
    span = access_filter.span(asked.since, asked.until)
    return access.show(folders, wanted, span, last, asked.follow, form, lambda: _why_none(layout, stack, asked.service))


def _why_none(layout: Layout, stack: str, service: str | None) -> str:
    """Whether a service is meant that the stack has not. That is no error: it may have had it."""
    from fairlead.cli import output
    from fairlead.cli.names import services_of

    names = services_of(layout.database, stack)
    if service is None or service in names or not names:
        return ""
    return f"{stack} has no service '{output.cell(service)}', it has {', '.join(names)}"
