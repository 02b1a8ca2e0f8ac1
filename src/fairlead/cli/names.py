"""Names of stacks, services, instances, jobs and resources, read from the home's database for shell completion, and for
commands that need no daemon.

Completion runs at every press of TAB: no daemon is asked or started, nothing is written, and whatever goes wrong is an
empty answer. `complete_*` are Click's `shell_complete` callbacks; options.py and the commands use them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from fairlead.cli.session import Session, stack_here

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]*")
"""What may be put on a command line as it is."""


def stacks_with_decisions(database: str) -> list[str]:
    """The stacks that ever decided anything, and of which something is kept; also those that are down."""
    return _asked(database, "SELECT DISTINCT stack FROM decisions ORDER BY stack")


def stacks_kept(database: str) -> list[str]:
    """The stacks that the home knows, whether or not anything of them ever ran."""
    return _stacks(database)


def runs_nothing(database: str, stack: str) -> bool:
    """Whether the stack's services are all made of `targets:`."""
    declared = {str(one["name"]) for one in _in_files(database, [stack], "services")}
    return bool(declared) and declared <= not_run(database, stack)


def not_run(database: str, stack: str) -> set[str]:
    """The stack's services made of `targets:`, which fairlead routes to and does not run."""
    return {str(one["name"]) for one in _in_files(database, [stack], "services") if "addresses" in one["program"]}


def services_of(database: str, stack: str) -> list[str]:
    """The services of the stack's file; nothing when it is not known."""
    return sorted(service["name"] for service in _in_files(database, [stack], "services"))


def file_of(database: str, stack: str) -> str:
    """The file that the stack which is up was brought up from, absolute; "" when it is not known."""
    from json import loads

    found = _asked(database, "SELECT record FROM stacks WHERE name = ?", stack)
    return str(loads(found[0])["desired"]["stack"].get("path", "")) if found else ""


def complete_stack(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _matching(incomplete, lambda: _stacks(_database(ctx)))


def complete_service(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _matching(incomplete, lambda: (str(one["name"]) for one in _declared(ctx, "services")))


def stacks_with_data(database: str) -> list[str]:
    """The stacks whose caches, databases or buckets have data, whether they are up or down."""
    return _asked(database, "SELECT DISTINCT stack FROM resources ORDER BY stack")


def complete_resource(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Of the files of stacks that are up, and of whatever keeps data."""
    return _matching(incomplete, lambda: _resources(ctx))


def complete_service_or_resource(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [*complete_service(ctx, param, incomplete), *complete_resource(ctx, param, incomplete)]


def complete_job(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _matching(incomplete, lambda: (str(one["name"]) for one in _declared(ctx, "jobs")))


def complete_instance(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _matching(incomplete, lambda: _instances(ctx))


def complete_instance_or_service(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [*complete_instance(ctx, param, incomplete), *complete_service(ctx, param, incomplete)]


def complete_secret(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _matching(incomplete, lambda: _secrets(ctx))


def declared_metrics(ctx: click.Context) -> list[str]:
    """The metrics of the users' own that the files of the stacks that are meant declare, as `custom:NAME`."""
    from fairlead.core.scaling.policies import CUSTOM

    def declared() -> Iterator[str]:
        for service in _declared(ctx, "services"):
            yield from (str(metric["name"]) for metric in service.get("custom_metrics", ()))

    return [f"{CUSTOM}{name}" for name in _matching("", declared)]


def complete_process(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Processes that can be suspended and are not on the line yet, in AWS's spelling or with hyphens."""
    from fairlead.core.suspension import PROCESSES

    given = {str(word).lower().replace("-", "") for word in ctx.params.get("processes") or ()}
    left = [name for name in PROCESSES if name.lower() not in given]
    hyphened = [re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=AZ)", "-", name).lower() for name in left]
    return _matching(incomplete, lambda: left) or _matching(incomplete, lambda: hyphened)


def complete_path(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell knows best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _matching(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    # An error printed now would land in the middle of what the user is typing.
    try:
        return [name for name in dict.fromkeys(names()) if name.startswith(incomplete) and _PLAIN.fullmatch(name)]
    except Exception:
        return []


def _database(ctx: click.Context) -> str:
    return ctx.ensure_object(Session).layout.database


def _stacks(database: str) -> list[str]:
    return _asked(database, "SELECT name FROM stacks ORDER BY name")


def _meant(ctx: click.Context) -> list[str]:
    """The stack that the line is about so far; all of them when that is not clear."""
    stacks = _stacks(_database(ctx))
    for name in (ctx.params.get("stack"), stack_here()):
        if name in stacks:
            return [str(name)]
    return stacks


def _declared(ctx: click.Context, what: str) -> Iterator[dict[str, Any]]:
    """The services or jobs that the files of the stacks that are meant declare."""
    return _in_files(_database(ctx), _meant(ctx), what)


def _in_files(database: str, stacks: Iterable[str], what: str) -> Iterator[dict[str, Any]]:
    from json import loads

    for stack in stacks:
        for record in _asked(database, "SELECT record FROM stacks WHERE name = ?", stack):
            yield from loads(record)["desired"]["stack"].get(what, ())


def _instances(ctx: click.Context) -> Iterator[str]:
    for stack in _meant(ctx):
        yield from _asked(
            _database(ctx),
            "SELECT id FROM instances WHERE stack = ? AND NOT ended ORDER BY service, number",
            stack,
        )


def _resources(ctx: click.Context) -> Iterator[str]:
    yield from (str(one["id"]) for one in _declared(ctx, "resources"))
    stack = ctx.params.get("stack")
    asked = "SELECT id FROM resources WHERE ?1 IS NULL OR stack = ?1 ORDER BY stack, id"
    yield from _asked(_database(ctx), asked, stack)


def _secrets(ctx: click.Context) -> Iterator[str]:
    """Those of the stack that the line is about, which need not be up, and those that its services name."""
    database = _database(ctx)
    meant = ctx.params.get("stack") or stack_here()
    for stack in [str(meant)] if meant else _stacks(database):
        yield from _asked(
            database,
            "SELECT DISTINCT name FROM secrets WHERE stack = ? AND sealed IS NOT NULL AND origin != 'generated'"
            " ORDER BY name",
            stack,
        )
        for service in _in_files(database, [stack], "services"):
            yield from sorted(service.get("secrets", ()))


def _asked(database: str, question: str, *values: str | None) -> list[str]:
    """The first column of the answer; nothing when there is no database, or it cannot be read."""
    import sqlite3

    from fairlead.cli.record import opened

    if not os.path.exists(database):
        return []
    try:
        with opened(database) as db:
            return [str(row[0]) for row in db.execute(question, values)]
    except sqlite3.Error:
        return []
