"""The steps of a restore of PostgreSQL: judge the file, fill a new database beside the old one, let it take its place.

The swap is one transaction of the server: whoever is killed in its middle, one whole database has the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence

from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources import dumps
from fairlead.resources.postgres_wire import Connection, Refusal, literal, name
from fairlead.resources.recipe import User

FRESH = "fairlead.restored"
REPLACED = "fairlead.replaced"
"""No database of a file can be called so: names have no dots there."""

OPTIONS = ("--exit-on-error", "--no-owner", "--no-privileges", "--dbname", FRESH)
"""The file may come from a server with other users: all of it becomes its new owner's."""

LIST_PATIENCE = 600.0
"""Seconds to read a backup's table of contents."""

SWAP_TRIES = 6
"""Each waits 5 s for connections to end, as PostgreSQL does."""

_IN_USE = "55006"
_END_CONNECTIONS_EVERY = 0.1


async def refuse_foreign(source: int, file: str, pg_restore: str, user: User | None, env: Mapping[str, str]) -> None:
    """ResourceError for what `fairlead data backup`, or pg_dump --format=custom, has not made."""
    refused = f"{file} is no backup of a PostgreSQL that can be restored here"
    wanted = "give a file that `fairlead data backup` or `pg_dump --format=custom` has made"
    if os.pread(source, 5, 0) != b"PGDMP":
        raise ResourceError(refused, "it does not begin as one does", wanted)
    os.lseek(source, 0, os.SEEK_SET)
    try:
        await dumps.run([pg_restore, "--list"], env=env, user=user, what=refused, stdin=source, timeout=LIST_PATIENCE)
    except ResourceError as problem:
        raise ResourceError(refused, problem.why, wanted, detail=problem.detail) from problem


@contextlib.asynccontextmanager
async def room(connection: Connection, database: Database) -> AsyncIterator[None]:
    """An empty database beside the one that there is; what a restore before this one left behind goes. When the work
    with it fails, it goes as well: it may be what fills the disk."""
    for leftover in (FRESH, REPLACED):
        await connection.ask(f"DROP DATABASE IF EXISTS {name(leftover)} WITH (FORCE)")
    await connection.ask(f"CREATE DATABASE {name(FRESH)} OWNER {name(database.user)}")
    try:
        yield
    except Exception:
        with contextlib.suppress(Refusal, OSError, EOFError):
            await connection.ask(f"DROP DATABASE IF EXISTS {name(FRESH)} WITH (FORCE)")
        raise


async def load(argv: Sequence[str], source: int, user: User | None, env: Mapping[str, str], database: Database) -> None:
    """Fill it. ResourceError, and then the database that there is has not been touched."""
    os.lseek(source, 0, os.SEEK_SET)
    what = f"the restore of the database {database.name}, which is as it was,"
    await dumps.run(argv, env=env, user=user, what=what, stdin=source)


async def swap(connection: Connection, other: Connection, database: Database) -> None:
    """The new one gets the name; the old one goes. Whoever is connected to it is cut off. Refusal."""
    old, fresh, replaced = name(database.name), name(FRESH), name(REPLACED)
    # The first renaming holds off new connections, and waits for those that there are.
    sql = f"BEGIN; ALTER DATABASE {old} RENAME TO {replaced}; ALTER DATABASE {fresh} RENAME TO {old}; COMMIT"
    ending = asyncio.create_task(_end_connections(other, database), name="ending connections")
    try:
        for left in reversed(range(SWAP_TRIES)):
            try:
                await connection.ask(sql)
                break
            except Refusal as refusal:
                await connection.ask("ROLLBACK")
                if refusal.code != _IN_USE or not left:
                    raise
    finally:
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refusal, OSError, EOFError):
            await ending
    await connection.ask(f"DROP DATABASE {replaced} WITH (FORCE)")


async def _end_connections(other: Connection, database: Database) -> None:
    while True:
        await other.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {literal(database.name)}"  # noqa: S608
        )
        await asyncio.sleep(_END_CONNECTIONS_EVERY)
