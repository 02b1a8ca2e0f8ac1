"""Making the data folder of MariaDB or MySQL, without the scripts of their packages.

MariaDB reads the SQL of its own package and ours by `--bootstrap`, as `mariadb-install-db` does, which cannot be used:
it wants files of other packages. MySQL makes its tables itself (`--initialize-insecure`) and then reads ours. Both get
it as standard input from memory, so that it stands in no file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import BinaryIO

from fairlead.aiokit.atomic import flush_folder
from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources import dumps
from fairlead.resources.base import Program
from fairlead.resources.files import make_folder, write_private
from fairlead.resources.mysql_accounts import mark_of, other_passwords, statements
from fairlead.resources.mysql_programs import WROTE, installation, written_by
from fairlead.resources.recipe import Place

MAKING_PATIENCE = 600.0
"""Seconds; MariaDB takes half of one on a disk that does nothing else, MySQL three."""

ACCOUNTS = "accounts.sql"
"""The file in the run folder that gives existing data other passwords; 0600, and not there otherwise."""

MARK = "fairlead-password"
"""The file among the data that tells which password their accounts have, without telling it."""

TEMPORARY = "tmp"
"""The folder in the run folder for temporary tables."""

_SQL = ("system_tables.sql", "performance_tables.sql", "system_tables_data.sql")
"""Of MariaDB's package, each with `mysql_` or `mariadb_` before it."""


async def make(program: Program, fresh: str, database: Database, place: Place) -> None:
    """A whole data folder in `fresh`, which is not there, and then under its name. ResourceError."""
    what = f"making the data folder of the database {database.id}"
    ours = statements(program.name, database, place.password)
    try:
        await asyncio.to_thread(make_folder, fresh, place.user)
        if program.name == "mariadb":
            text = await asyncio.to_thread(_bootstrap, program, ours)
            mode = ["--bootstrap", "--skip-networking", "--innodb-log-file-size=32M"]
        else:
            text = "".join(f"{statement}\n" for statement in ours)
            mode = ["--initialize-insecure", "--init-file=/dev/stdin", "--innodb-redo-log-capacity=64M"]
        mode += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_520_ci"]
        with _in_memory(text) as source:
            await dumps.run(
                [*words(program, fresh, place), *mode],
                env=environment(program), user=place.user, what=what, stdin=source.fileno(), timeout=MAKING_PATIENCE,
            )  # fmt: skip
        await asyncio.to_thread(write_private, f"{fresh}/{WROTE}", f"{program}\n", place.user)
        await asyncio.to_thread(write_private, f"{fresh}/{MARK}", f"{mark_of(place.password)}\n", place.user)
        await asyncio.to_thread(_publish, fresh, place.data)
    except OSError as problem:
        raise ResourceError(f"{what} failed", problem.strerror or str(problem)) from problem


async def note_program(program: Program, place: Place) -> None:
    """Data that a newer version has opened are not for an older one any more: written down before it opens them."""
    if written_by(place.data) != str(program):
        await asyncio.to_thread(write_private, f"{place.data}/{WROTE}", f"{program}\n", place.user)


async def vet_password(program: Program, database: Database, place: Place) -> None:
    """Existing data whose accounts have another password (they were made before the vault's key was lost) get the
    present one: by a file that the server runs when it starts, which goes with the first login. OSError."""
    if _mark(place) != mark_of(place.password):
        text = "".join(f"{statement}\n" for statement in other_passwords(program.name, database, place.password))
        await asyncio.to_thread(write_private, f"{place.run}/{ACCOUNTS}", text, place.user)


async def password_proved(place: Place) -> None:
    """Somebody has logged in with it."""
    if os.path.exists(f"{place.run}/{ACCOUNTS}"):  # noqa: ASYNC240 (a stat takes no time)
        # On a full disk: the next question does it.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(write_private, f"{place.data}/{MARK}", f"{mark_of(place.password)}\n", place.user)
            os.unlink(f"{place.run}/{ACCOUNTS}")


def _mark(place: Place) -> str:
    try:
        with open(f"{place.data}/{MARK}", encoding="ascii", errors="replace") as file:
            return file.read(100).strip()
    except FileNotFoundError:
        return ""


async def make_temporary_folder(database: Database, place: Place) -> None:
    """For temporary tables: a server of its own folder, because each removes at its start what it finds there, also
    another's. ResourceError."""
    if ":" in place.run:
        raise ResourceError(
            f"MySQL cannot run the database {database.id}",
            f"the folder {place.run} has a colon in its name, at which it divides names of folders",
            "choose another home: --home, or FAIRLEAD_HOME",
        )
    try:
        await asyncio.to_thread(make_folder, f"{place.run}/{TEMPORARY}", place.user)
    except OSError as problem:
        raise ResourceError(f"{place.run}/{TEMPORARY} cannot be made", problem.strerror or str(problem)) from problem


def words(program: Program, data: str, place: Place) -> tuple[str, ...]:
    """How the server is called on a data folder, in whatever mode: the first word keeps the machine's my.cnf out."""
    installed = installation(program.path)
    plugins = next(
        (path for path in (f"{installed.base}/lib/mysql/plugin", f"{installed.base}/lib64/mysql/plugin",
                           f"{installed.base}/lib64/mariadb/plugin", f"{installed.base}/lib/mariadb/plugin")
         if os.path.isdir(path)), "",
    )  # fmt: skip
    found = (f"--plugin-dir={plugins}",) if plugins else ()
    return (
        program.path, "--no-defaults", f"--datadir={data}", f"--basedir={installed.base}",
        f"--lc-messages-dir={installed.share}", f"--character-sets-dir={installed.share}/charsets",
        f"--tmpdir={place.run}/{TEMPORARY}", *found,
    )  # fmt: skip


def environment(program: Program) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **installation(program.path).environment}


def _bootstrap(program: Program, ours: tuple[str, ...]) -> str:
    """All SQL of a new MariaDB. OSError."""
    share = installation(program.path).share
    # Root's account comes by the Unix socket only, and only for the user root of the machine.
    parts = ["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = 'root';"]
    for name in _SQL:
        parts.append(_read([f"{share}/{prefix}_{name}" for prefix in ("mariadb", "mysql")]))
    parts += ["FLUSH PRIVILEGES;", *ours]
    return "\n".join(parts) + "\n"


def _read(paths: list[str]) -> str:
    path = next((one for one in paths if os.path.exists(one)), paths[-1])
    with open(path, encoding="utf-8") as file:
        # As mariadb-install-db does for data that may move: no account is tied to the machine's name.
        return "".join(line for line in file if "@current_hostname" not in line)


def _in_memory(text: str) -> BinaryIO:
    file = os.fdopen(os.memfd_create("fairlead", os.MFD_CLOEXEC), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


def _publish(fresh: str, data: str) -> None:
    os.rename(fresh, data)
    flush_folder(os.path.dirname(data))
