"""The steps of a restore of MariaDB and MySQL: judge the file, load it beside the data, let the tables change places.

A database cannot be renamed there, but all tables of two databases can change places in one statement, which happens
whole or not at all. So the file is loaded into a database of its own by an account that may do nothing else; when all
of it is in, tables change places, and what cannot move (triggers, views, routines, events) is made again from there.
The laws: until the tables change places, nothing of the old data has been touched; everything in the file becomes the
owner's, whoever it was of where it was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources import dumps
from fairlead.resources.files import write_private
from fairlead.resources.mysql_definers import without_definers
from fairlead.resources.mysql_wire import Connection, Refusal, literal, name, quoted
from fairlead.resources.recipe import User

FRESH = "fairlead.restored"
REPLACED = "fairlead.replaced"
"""No database of a file can be called so: names have no dots there."""

LOADER = "fairlead.loader"
"""The account by which a file is loaded; it is there for so long only."""

_WHOLE = ("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob",
          "--default-character-set=utf8mb4", "--max-allowed-packet=1G")  # fmt: skip

DUMP_OPTIONS = {
    "mariadb": _WHOLE,
    "mysql": (*_WHOLE, "--set-gtid-purged=OFF", "--no-tablespaces"),
}

_CLIENT_OPTIONS = {
    "mariadb": ("--batch", "--max-allowed-packet=1G", "--loose-sandbox"),
    "mysql": ("--batch", "--max-allowed-packet=1G", "--loose-system-command=OFF"),
}
"""The last: a file may hold commands for the client, which would run programs. Older clients do not know it."""

_MADE_BY = (b"-- MariaDB dump", b"-- MySQL dump")
_ENDS_WITH = b"-- Dump completed"

_ENDS = 4096
"""Bytes of a file's beginning and end that are looked at."""

_PACKET = 1 << 30
"""Bytes of a statement while a file is loaded: a large value takes twice its room there."""

_LOCK_PATIENCE = 30
"""Seconds that the tables' change of places waits for statements that end."""

_END_CONNECTIONS_EVERY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """How programs of the server's are run. client, dump: words that log in as the administrator."""

    program: str
    """`mariadb` or `mysql`."""
    client: str
    dump: tuple[str, ...]
    environment: dict[str, str]
    user: User | None
    run: str
    """The run folder, for files with passwords."""
    socket: str
    password: str
    """Of the resource's user."""


def options_of(password: str, socket: str) -> str:
    """A file by which a client logs in on the Unix socket; as whom, its words say."""
    escaped = password.replace("\\", "\\\\")
    lines = [f'password="{escaped}"', f'socket="{socket}"', "default-character-set=utf8mb4"]
    # Newer clients of MariaDB insist on TLS otherwise, which a Unix socket does not need.
    return "\n".join(["[client]", *lines, "loose-skip-ssl", ""])


def refuse_foreign(source: int, file: str) -> None:
    """ResourceError for what `fairlead data backup`, mariadb-dump or mysqldump has not made, or not whole."""
    wanted = "give a file that `fairlead data backup`, `mariadb-dump` or `mysqldump` has made, of one database"
    begin = os.pread(source, _ENDS, 0)
    if not any(line.startswith(_MADE_BY) for line in begin.splitlines()[:3]):
        raise ResourceError(
            f"{file} is no backup of a MySQL that can be restored here", "it does not begin as one does", wanted
        )
    end = os.pread(source, _ENDS, max(0, os.fstat(source).st_size - _ENDS))
    if not any(line.startswith(_ENDS_WITH) for line in end.splitlines()[-3:]):
        raise ResourceError(
            f"{file} is no whole backup of a MySQL", "its last line is not there: it was cut short", wanted
        )


async def restore(
    connection: Connection, other: Connection, source: int, tools: Tools, database: Database,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    """connection, other: the administrator's. Refusal, ResourceError: then the data are as they were, or the words
    say what is missing."""
    for leftover in (FRESH, REPLACED):
        await connection.ask(f"DROP DATABASE IF EXISTS {name(leftover)}")
    progress(f"{os.path.basename(tools.client)} fills a new database")
    async with _gone_on_failure(connection):
        # What cannot move, of both: the old ones for the case that the tables cannot change places.
        with _in_memory() as fresh_extras, _in_memory() as old_extras:
            async with _loader(connection) as password:
                await _load(connection, password, source, tools, database)
                new = await _contents(connection, FRESH)
                # While their owner is there: what belongs to nobody is told wrongly.
                await _dump_extras(tools, FRESH, new, fresh_extras)
            old = await _contents(connection, database.name)
            await _dump_extras(tools, database.name, old, old_extras)
            progress("the new tables take the place of the old ones; connections end")
            await _swap(connection, other, tools, database, old, new, old_extras)
            await _replace_extras(connection, tools, database, old, fresh_extras)
    for leftover in (FRESH, REPLACED):
        await connection.ask(f"DROP DATABASE IF EXISTS {name(leftover)}")


@contextlib.asynccontextmanager
async def _gone_on_failure(connection: Connection) -> AsyncIterator[None]:
    """What was loaded goes when it does not take its place: it may be what fills the disk."""
    try:
        yield
    except Exception:
        with contextlib.suppress(Refusal, OSError, EOFError):
            await connection.ask(f"DROP DATABASE IF EXISTS {name(FRESH)}")
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """Names in one database."""

    tables: tuple[str, ...]
    """Also sequences: what moves."""
    views: tuple[str, ...]
    triggers: tuple[str, ...]
    routines: tuple[tuple[str, str], ...]
    """(`PROCEDURE`, name), also packages."""
    events: tuple[str, ...]


async def _contents(connection: Connection, database: str) -> _Contents:
    async def names(column: str, table: str, schema: str, more: str = "") -> tuple[str, ...]:
        rows = await connection.ask(
            f"SELECT {column} FROM information_schema.{table} WHERE {schema} = {literal(database)} {more}"  # noqa: S608
        )
        return tuple(row[0] or "" for row in rows)

    routines = await connection.ask(
        "SELECT routine_type, routine_name FROM information_schema.routines"  # noqa: S608
        f" WHERE routine_schema = {literal(database)} ORDER BY routine_type DESC"
    )
    return _Contents(
        tables=await names("table_name", "tables", "table_schema", "AND table_type NOT LIKE '%VIEW%'"),
        views=await names("table_name", "views", "table_schema"),
        triggers=await names("trigger_name", "triggers", "trigger_schema"),
        routines=tuple((row[0] or "", row[1] or "") for row in routines),
        events=await names("event_name", "events", "event_schema"),
    )


@contextlib.asynccontextmanager
async def _loader(connection: Connection) -> AsyncIterator[str]:
    """The account that may do everything in the new database and nothing elsewhere, for a while; its password."""
    account, password = f"{quoted(LOADER)}@'localhost'", secrets.token_hex(32)
    await connection.ask(f"DROP USER IF EXISTS {account}")
    await connection.ask(f"CREATE USER {account} IDENTIFIED BY {quoted(password)}")
    try:
        await connection.ask(f"GRANT ALL PRIVILEGES ON {name(FRESH)}.* TO {account}")
        yield password
    finally:
        await connection.ask(f"DROP USER IF EXISTS {account}")


async def _load(connection: Connection, password: str, source: int, tools: Tools, database: Database) -> None:
    """The file into the new database."""
    await connection.ask(f"CREATE DATABASE {name(FRESH)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci")
    rows = await connection.ask("SELECT @@global.max_allowed_packet")
    try:
        await connection.ask(f"SET GLOBAL max_allowed_packet = {_PACKET}")
        what = f"the restore of the database {database.name}, which is as it was,"
        await _feed(tools, LOADER, password, FRESH, source, what)
    finally:
        await connection.ask(f"SET GLOBAL max_allowed_packet = {rows[0][0]}")


async def _feed(tools: Tools, user: str, password: str, database: str, source: int, what: str) -> None:
    """SQL, less who its objects belong to, to the client as `user`."""
    options = f"{tools.run}/{secrets.token_hex(4)}.cnf"
    text = options_of(password, tools.socket)
    await asyncio.to_thread(write_private, options, text, tools.user)
    os.lseek(source, 0, os.SEEK_SET)
    reading, writing = os.pipe()
    filtering = asyncio.create_task(asyncio.to_thread(_filter, source, writing), name="reading a backup")
    try:
        words = [
            tools.client,
            f"--defaults-file={options}",
            f"--user={user}",
            *_CLIENT_OPTIONS[tools.program],
            f"--database={database}",
        ]
        await dumps.run(words, env=tools.environment, user=tools.user, what=what, stdin=reading)
    finally:
        # The filter, if it still writes, learns by this that nobody reads.
        os.close(reading)
        await asyncio.shield(asyncio.wait([filtering]))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(options)


def _filter(source: int, target: int) -> None:
    with os.fdopen(target, "wb") as writing, contextlib.suppress(BrokenPipeError):
        for piece in without_definers(source):
            writing.write(piece)


async def _dump_extras(tools: Tools, database: str, contents: _Contents, target: int) -> None:
    """What does not move with the tables, as SQL, in the order in which it can be made."""
    what = f"reading what the database {database} holds beside tables"
    both = ["--no-data", "--skip-comments"]
    words = [*tools.dump, *both, "--no-create-info", "--", database]
    await dumps.run(words, env=tools.environment, user=tools.user, what=what, stdout=target)
    if contents.views:
        only = ["--skip-triggers", "--skip-routines", "--skip-events"]
        words = [*tools.dump, *both, *only, "--", database, *contents.views]
        await dumps.run(words, env=tools.environment, user=tools.user, what=what, stdout=target)


async def _swap(
    connection: Connection, other: Connection, tools: Tools, database: Database, old: _Contents, new: _Contents,
    old_extras: int,
) -> None:  # fmt: skip
    """The tables change places."""
    ours, fresh, replaced = name(database.name), name(FRESH), name(REPLACED)
    moves = [f"{ours}.{name(table)} TO {replaced}.{name(table)}" for table in old.tables]
    moves += [f"{fresh}.{name(table)} TO {ours}.{name(table)}" for table in new.tables]
    await connection.ask(f"CREATE DATABASE {replaced}")
    await connection.ask(f"SET SESSION lock_wait_timeout = {_LOCK_PATIENCE}")
    for trigger in new.triggers:
        await connection.ask(f"DROP TRIGGER {fresh}.{name(trigger)}")
    ending = asyncio.create_task(_end_connections(other, database.user), name="ending connections")
    try:
        for trigger in old.triggers:
            await connection.ask(f"DROP TRIGGER IF EXISTS {ours}.{name(trigger)}")
        if moves:
            await connection.ask(f"RENAME TABLE {', '.join(moves)}")
    except BaseException:
        if old.triggers:
            what = "making the triggers again"
            await _replace_extras(connection, tools, database, old, old_extras, what)
        raise
    finally:
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refusal, OSError, EOFError):
            await ending


async def _replace_extras(
    connection: Connection, tools: Tools, database: Database, old: _Contents, extras: int, what: str = ""
) -> None:
    """Of the old database everything but tables goes, and what `extras` holds comes, as its user's."""
    ours = name(database.name)
    drops = [("VIEW", one) for one in old.views] + [("EVENT", one) for one in old.events]
    drops += [("TRIGGER", one) for one in old.triggers] + list(old.routines)
    for kind, one in drops:
        await connection.ask(f"DROP {kind} IF EXISTS {ours}.{name(one)}")
    what = what or (
        f"the tables of the database {database.name} were restored; its views, triggers, routines and events were not, "
        "which"
    )
    await _feed(tools, database.user, tools.password, database.name, extras, what)


async def _end_connections(other: Connection, user: str) -> None:
    while True:
        for row in await other.ask("SHOW PROCESSLIST"):
            if row[1] == user:
                # It may have gone meanwhile.
                with contextlib.suppress(Refusal):
                    await other.ask(f"KILL {int(row[0] or 0)}")
        await asyncio.sleep(_END_CONNECTIONS_EVERY)


@contextlib.contextmanager
def _in_memory() -> Iterator[int]:
    descriptor = os.memfd_create("fairlead", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
