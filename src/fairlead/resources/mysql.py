"""MariaDB or MySQL: one server a database, with one owner for it.

Two accounts are in it beside the server's own. `ADMIN` may do everything, is the daemon's alone, and can come by the
Unix socket only, which lies in a folder that only the server's user and root can enter; its password is made from the
resource's. The resource's user may do everything in its database, and comes by TCP with its password. The laws: a data
folder is there under its name only when accounts and database are in it; no password stands in a program's words or in
a log; no file of the machine (`my.cnf`) is read; a restore that fails leaves the old data.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from fairlead.core.resources.model import Database, Resource
from fairlead.errors import ResourceError
from fairlead.resources import dumps, mysql_making, mysql_programs, mysql_restore
from fairlead.resources.base import Program, Shell
from fairlead.resources.files import write_private
from fairlead.resources.leftovers import remove_unfinished, unfinished
from fairlead.resources.mysql_accounts import ADMIN, admin_password
from fairlead.resources.mysql_wire import SHA2, Connection, Refusal, literal
from fairlead.resources.recipe import Place, Search, Start
from fairlead.resources.trouble import SILENT, silence

SOCKET = "ask.sock"

OPTIONS = "client.cnf"
"""The file in the run folder by which the clients that are run here log in; 0600."""

ANSWER_PATIENCE = 2.0
"""Seconds for an answer."""

_RESERVED = ("mysql", "sys", "information_schema", "performance_schema")

_TOO_MANY = (1040, 1203, 1226)
"""Errors that say that users hold all connections."""

_SHARED = (
    "--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_520_ci",
    # As on a small machine; what is not used costs nothing.
    "--max-connections=200", "--innodb-buffer-pool-size=128M", "--performance-schema=OFF", "--skip-log-bin",
    "--max-allowed-packet=64M",
)  # fmt: skip

_OWN = {
    "mariadb": ("--innodb-log-file-size=32M", "--skip-ssl"),
    "mysql": ("--loose-mysqlx=OFF", "--innodb-redo-log-capacity=64M", "--secure-file-priv=NULL"),
}


class Mysql:
    """The recipe for MariaDB and MySQL. folder: of a server that the user names; None: as FAIRLEAD_MARIADB says."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = os.environ.get("FAIRLEAD_MARIADB", "") if folder is None else folder

    async def find(self, resource: Resource, search: Search) -> Program:
        database = _database(resource)
        _refuse_reserved(database)
        return await mysql_programs.find(database, search.path, self._folder, search.copies, search.data)

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        database = _database(resource)
        options = mysql_restore.options_of(admin_password(place.password), f"{place.run}/{SOCKET}")
        await asyncio.to_thread(write_private, f"{place.run}/{OPTIONS}", options, place.user)
        await mysql_making.make_temporary_folder(database, place)
        wrote = mysql_programs.written_by(place.data)
        if wrote:
            _refuse_other(database, program, wrote)
            await mysql_making.note_program(program, place)
            await mysql_making.vet_password(program, database, place)
            return
        await asyncio.to_thread(_refuse_other_files, place.data, database)
        await remove_unfinished(place.data)
        await mysql_making.make(program, unfinished(place.data), database, place)

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        words = [*_SHARED, *_OWN[program.name]]
        words += [f"--socket={place.run}/{SOCKET}", f"--pid-file={place.run}/pid", f"--port={place.port}"]
        accounts = f"{place.run}/{mysql_making.ACCOUNTS}"
        words += [f"--init-file={accounts}"] if os.path.exists(accounts) else []
        return Start(
            argv=(*mysql_making.words(program, place.data, place), *words),
            environment=mysql_making.environment(program),
        )

    async def ask(self, resource: Resource, place: Place) -> str:
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                return await _asked(_database(resource), place)
        except Refusal as refusal:
            return refusal.text
        except SILENT as problem:
            return silence(problem, "MySQL", ANSWER_PATIENCE)

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        database = _database(resource)
        dump = mysql_programs.tool(program, "dump")
        progress(f"{os.path.basename(dump)} {program.version} reads the database {database.name}")
        await dumps.dump(
            [dump, *_login(place), *mysql_restore.DUMP_OPTIONS[program.name], "--", database.name],
            env=mysql_making.environment(program),
            user=place.user,
            file=file,
            what=f"the database {database.name}",
            progress=progress,
        )

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        database = _database(resource)
        tools = mysql_restore.Tools(
            program=program.name,
            client=mysql_programs.tool(program, "client"),
            dump=(mysql_programs.tool(program, "dump"), *_login(place), *mysql_restore.DUMP_OPTIONS[program.name]),
            environment=mysql_making.environment(program),
            user=place.user,
            run=place.run,
            socket=f"{place.run}/{SOCKET}",
            password=place.password,
        )
        with dumps.opened(file) as source:
            mysql_restore.refuse_foreign(source, file)
            try:
                async with await _admin(place) as connection, await _admin(place) as other:
                    await mysql_restore.restore(connection, other, source, tools, database, progress)
            except (Refusal, OSError, EOFError) as problem:
                raise ResourceError(
                    f"the database {database.name} was not restored, and is as it was", str(problem)
                ) from problem

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        database = _database(resource)
        client = mysql_programs.tool(program, "client")
        words = (
            "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={place.port}", f"--user={database.user}",
            "--default-character-set=utf8mb4", "--loose-skip-ssl", f"--database={database.name}",
        )  # fmt: skip
        return Shell(
            argv=(client, *words),
            environment={**mysql_programs.installation(program.path).environment, "MYSQL_PWD": place.password},
            says=f"{program}, as {database.user} in the database {database.name}; leave with \\q",
        )


async def _asked(database: Database, place: Place) -> str:
    async with await _admin(place) as connection:
        rows = await connection.ask(
            f"SELECT 1 FROM information_schema.schemata WHERE schema_name = {literal(database.name)}"  # noqa: S608
        )
        if not rows:
            return f"it has no database {database.name}"
        plugin = connection.default_plugin
    await mysql_making.password_proved(place)
    if plugin == SHA2:
        # The server remembers whom it has seen the password of, which it does by a Unix socket only; from then on
        # clients prove theirs by TCP without encryption, and need no library for that.
        try:
            async with await Connection.open(f"{place.run}/{SOCKET}", database.user, place.password):
                pass
        except Refusal as refusal:
            if refusal.code not in _TOO_MANY:
                raise
    return ""


def _refuse_other_files(data: str, database: Database) -> None:
    """A folder that `prepare` has not made. An empty one is as good as none."""
    try:
        os.rmdir(data)
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise ResourceError(
            f"the folder {data} holds something that fairlead has not made",
            f"it has no file {mysql_programs.WROTE}",
            f"move it away, or begin anew: fairlead data delete {database.id}",
        ) from problem


def _refuse_other(database: Database, program: Program, wrote: str) -> None:
    if not mysql_programs.reads(program, wrote):
        raise ResourceError(
            f"{program} does not read the data of {database.id}",
            f"{wrote} wrote them",
            f"install {wrote} or a later one, or go to another by a backup: docs/guide/data.md",
        )


def _refuse_reserved(database: Database) -> None:
    if database.name.lower() in _RESERVED:
        raise ResourceError(
            f"the database {database.id} cannot have the name {database.name}", "MySQL has one of that name",
            "choose another `name`",
        )  # fmt: skip
    if database.user.lower() == "root":
        raise ResourceError(
            f"the database {database.id} cannot have the user root", "MySQL has one of that name",
            "choose another `user`",
        )  # fmt: skip
    if len(database.user) > LONGEST_USER:
        raise ResourceError(
            f"the database {database.id} cannot have the user {database.user}",
            f"MySQL's users have at most {LONGEST_USER} characters",
            "choose another `user`",
        )


LONGEST_USER = 32


def _database(resource: Resource) -> Database:
    assert isinstance(resource, Database)
    return resource


def _login(place: Place) -> tuple[str, ...]:
    """The first words of clients that fairlead runs."""
    return (f"--defaults-file={place.run}/{OPTIONS}", f"--user={ADMIN}")


async def _admin(place: Place) -> Connection:
    return await Connection.open(f"{place.run}/{SOCKET}", ADMIN, admin_password(place.password))
