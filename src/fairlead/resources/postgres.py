"""PostgreSQL: one server a database, with one owner for it.

Two users are in it. `ADMIN` is the server's superuser and the daemon's alone: it has no password and comes by the Unix
socket, which lies in a folder that only the server's user and root can enter. The resource's user owns the database,
is no superuser, and comes by TCP with its password, of which the server holds the SCRAM verifier only. The laws: a data
folder is there under its name only when user, password and database are in it; no password is written, said, or given
to a program; a restore that fails, or is cut short anywhere, leaves the old database.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Callable
from typing import BinaryIO

from fairlead.aiokit.atomic import flush_folder
from fairlead.aiokit.trees import remove_tree
from fairlead.core.resources.model import Database, Resource
from fairlead.errors import ResourceError
from fairlead.resources import dumps, postgres_programs, postgres_restore
from fairlead.resources.base import Program, Shell
from fairlead.resources.leftovers import end_leftovers, remove_unfinished, unfinished
from fairlead.resources.postgres_scram import proves, verifier
from fairlead.resources.postgres_wire import Connection, Refusal, literal, name
from fairlead.resources.recipe import Place, Search, Start, User
from fairlead.resources.trouble import SILENT, silence

ADMIN = "fairlead.admin"
"""No user of a file can be called so: names have no dots there."""

OWN_DATABASE = "postgres"
"""The one that the daemon asks in; it holds nothing."""

ANSWER_PATIENCE = 2.0
"""Seconds for an answer."""

MAKING_PATIENCE = 600.0
"""Seconds for `initdb`; it takes one, on a disk that does nothing else."""

_RESERVED = (OWN_DATABASE, "template0", "template1")

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "ssl": "off",
    # As on a small machine; what is not used costs nothing.
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "min_wal_size": "32MB",
    "jit": "off",
    # Nobody replicates it.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # To stderr, which is its log file.
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Postgres:
    """The recipe for PostgreSQL."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        """By run folder: the password that the owner is known to have."""

    async def find(self, resource: Resource, search: Search) -> Program:
        database = _database(resource)
        _refuse_reserved(database)
        return await postgres_programs.find(database, search.path, search.copies, search.data)

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        database = _database(resource)
        major = postgres_programs.data_major(place.data)
        if major:
            _refuse_other_major(database, program, major)
            await end_leftovers(place.data, database.id)
            return
        await asyncio.to_thread(_refuse_other_files, place.data, database)
        await remove_unfinished(place.data)
        fresh = unfinished(place.data)
        await _make(program, fresh, database, place)
        await asyncio.to_thread(_publish, fresh, place.data)

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        folder = place.run.replace('"', '""')
        settings = _SETTINGS | {
            "port": str(place.port),
            "unix_socket_directories": f'"{folder}"',
            "cluster_name": resource.id,
        }
        words = [word for setting, value in settings.items() for word in ("-c", f"{setting}={value}")]
        return Start(
            argv=(program.path, "-D", place.data, *words),
            environment=_ENVIRONMENT,
            # SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
        )

    async def ask(self, resource: Resource, place: Place) -> str:
        database = _database(resource)
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                async with await _admin(place) as connection:
                    rows = await connection.ask(
                        f"SELECT 1 FROM pg_catalog.pg_database WHERE datname = {literal(database.name)}"  # noqa: S608
                    )
                    if self._given.get(place.run) != place.password:
                        await _give_password(connection, database, place)
                        self._given[place.run] = place.password
        except Refusal as refusal:
            # `the database system is starting up`, in its own words.
            return refusal.text
        except SILENT as problem:
            return silence(problem, "PostgreSQL", ANSWER_PATIENCE)
        return "" if rows else f"it has no database {database.name}"

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        database = _database(resource)
        progress(f"pg_dump {program.version} reads the database {database.name}")
        await dumps.dump(
            [f"{os.path.dirname(program.path)}/pg_dump", "--format=custom", *_by_socket(place, ADMIN), database.name],
            env=_ENVIRONMENT,
            user=place.user,
            file=file,
            what=f"the database {database.name}",
            progress=progress,
        )

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        database = _database(resource)
        pg_restore = f"{os.path.dirname(program.path)}/pg_restore"
        with dumps.opened(file) as source:
            await postgres_restore.refuse_foreign(source, file, pg_restore, place.user, _ENVIRONMENT)
            try:
                async with (
                    await _admin(place) as connection,
                    await _admin(place) as other,
                    postgres_restore.room(connection, database),
                ):
                    progress(f"pg_restore {program.version} fills a new database")
                    # As the owner, so that nothing in the file has the rights of a superuser.
                    await postgres_restore.load(
                        [pg_restore, *postgres_restore.OPTIONS, *_by_socket(place, database.user)],
                        source, place.user, _ENVIRONMENT, database,
                    )  # fmt: skip
                    async with await _by(place, ADMIN, postgres_restore.FRESH) as inside:
                        await inside.ask("ANALYZE")
                    progress("the new database takes the place of the old one; its connections end")
                    await postgres_restore.swap(connection, other, database)
            except (Refusal, OSError, EOFError) as problem:
                raise ResourceError(
                    f"the database {database.name} was not restored, and is as it was", str(problem)
                ) from problem

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        database = _database(resource)
        psql = f"{os.path.dirname(program.path)}/psql"
        login = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(place.port),
            "PGUSER": database.user,
            "PGPASSWORD": place.password,
            "PGDATABASE": database.name,
        }
        says = f"psql {program.version}, as {database.user} in the database {database.name}; leave with \\q"
        if program.source == "wheel":
            says += "; this psql has no line editing"
        return Shell(argv=(psql,), environment=login, says=says)


async def _make(program: Program, fresh: str, database: Database, place: Place) -> None:
    """A whole data folder, with user and database, at `fresh`."""
    _refuse_nameless(place.user)
    what = f"making the data folder of the database {database.id}"
    tools = os.path.dirname(program.path)
    words = [
        f"{tools}/initdb", "--pgdata", fresh, "--username", ADMIN, "--encoding", "UTF8", "--data-checksums",
        # By the Unix socket whoever can enter its folder, by TCP nobody without a password.
        "--auth-local", "trust", "--auth-host", "scram-sha-256",
    ]  # fmt: skip
    for locale in _locales(program):
        try:
            await dumps.run([*words, *locale], env=_ENVIRONMENT, user=place.user, what=what, timeout=MAKING_PATIENCE)
            break
        except ResourceError as problem:
            # Not every machine has the locale C.UTF-8; every one has C.
            if locale[-1] == "C" or "locale" not in problem.detail:
                raise
            await asyncio.to_thread(remove_tree, fresh)
    sql = (
        f"CREATE ROLE {name(database.user)} LOGIN PASSWORD {literal(verifier(place.password))}\n"
        f"CREATE DATABASE {name(database.name)} OWNER {name(database.user)}\n"
    )
    with _in_memory(sql) as source:
        # Nobody can connect meanwhile, and the first failure is the end.
        await dumps.run(
            [program.path, "--single", "-D", fresh, "-c", "exit_on_error=on", "-c", "log_checkpoints=off",
             "-c", "log_min_error_statement=panic", OWN_DATABASE],
            env=_ENVIRONMENT, user=place.user, what=what, stdin=source.fileno(), timeout=MAKING_PATIENCE,
        )  # fmt: skip


async def _give_password(connection: Connection, database: Database, place: Place) -> None:
    """The owner's password becomes the present one, should it be another: its data were made before the vault's key was
    lost. Services wait until the server was asked."""
    if not place.password:
        return  # it is not known (the key is lost): the one that there is stays
    rows = await connection.ask(
        f"SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = {literal(database.user)}"  # noqa: S608
    )
    kept = rows[0][0] if rows else None
    if kept is not None and not await asyncio.to_thread(proves, kept, place.password):
        await connection.ask(f"ALTER ROLE {name(database.user)} PASSWORD {literal(verifier(place.password))}")


def _locales(program: Program) -> tuple[tuple[str, ...], ...]:
    if postgres_programs.order(program.version)[0] >= 17:
        # Its own, which needs nothing of the machine and changes with no update of it.
        return (("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),)
    return ("--locale", "C.UTF-8"), ("--locale", "C")


def _in_memory(text: str) -> BinaryIO:
    file = os.fdopen(os.memfd_create("fairlead", os.MFD_CLOEXEC), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


def _publish(fresh: str, data: str) -> None:
    try:
        os.rename(fresh, data)
        flush_folder(os.path.dirname(data))
    except OSError as problem:
        raise ResourceError(f"the data folder {data} could not be made", problem.strerror or str(problem)) from problem


def _refuse_other_files(data: str, database: Database) -> None:
    """A folder that `prepare` has not made. An empty one is as good as none."""
    try:
        os.rmdir(data)
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise ResourceError(
            f"the folder {data} holds something that is no PostgreSQL",
            "it has no file PG_VERSION",
            f"move it away, or begin anew: fairlead data delete {database.id}",
        ) from problem


def _refuse_other_major(database: Database, program: Program, major: str) -> None:
    if database.version and not postgres_programs.fits(database.version, major):
        raise postgres_programs.other_version(database, major)
    if postgres_programs.fits(program.version, major):
        return
    raise ResourceError(
        f"the data of {database.id} were made by PostgreSQL {major}, and this is {program.version}",
        "each major version reads its own data only",
        f"install PostgreSQL {major} (apt install postgresql-{major}), or go to another version by a backup: "
        "docs/guide/data.md",
    )


def _refuse_nameless(user: User | None) -> None:
    """initdb asks for the name of the user it runs as, and does nothing when there is none."""
    uid = user[0] if user is not None else os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError as problem:
        raise ResourceError(
            "PostgreSQL cannot make its data",
            f"it wants to know its user's name, and user number {uid} has none on this machine",
            f"give it one, as root: useradd --uid {uid} --no-create-home NAME",
        ) from problem


def _refuse_reserved(database: Database) -> None:
    if database.name in _RESERVED:
        raise ResourceError(
            f"the database {database.id} cannot have the name {database.name}", "PostgreSQL has one of that name",
            "choose another `name`",
        )  # fmt: skip
    if database.user.startswith("pg_") or database.user in ("public", "none"):
        raise ResourceError(
            f"the database {database.id} cannot have the user {database.user}", "PostgreSQL keeps that name for itself",
            "choose another `user`",
        )  # fmt: skip


def _database(resource: Resource) -> Database:
    assert isinstance(resource, Database)
    return resource


def _by_socket(place: Place, user: str) -> tuple[str, ...]:
    return ("--host", place.run, "--port", str(place.port), "--username", user, "--no-password")


async def _admin(place: Place) -> Connection:
    return await _by(place, ADMIN, OWN_DATABASE)


async def _by(place: Place, user: str, database: str) -> Connection:
    return await Connection.open(f"{place.run}/.s.PGSQL.{place.port}", user, database)
