"""MariaDB for its tests: a rig with it, and a client."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql

from fairlead.core.resources.model import Database
from fairlead.resources import mysql_programs
from fairlead.resources.mysql import Mysql
from fairlead.resources.mysql_accounts import ADMIN
from fairlead.resources.recipe import Search
from tests.needs import need
from tests.resources.rig import Rig, a_folder, run

DATABASE = Database(id="store", engine="mysql", name="my_shop", user="web_user")

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def a_rig(folder: Path, **changes: Any) -> Rig:
    database = replace(DATABASE, **changes)
    search = Search(path=PATH, copies=str(folder / "programs"), data=str(folder / "r" / "data"))
    return Rig(recipe=Mysql(), resource=database, folder=folder, search=search)


@contextlib.contextmanager
def a_server() -> Iterator[Rig]:
    """One that answers."""
    need(shutil.which("mariadb-dump", path=PATH), "mariadb-client is not installed")
    with prepared() as made:
        run(made.start())
        yield made


@contextlib.contextmanager
def prepared() -> Iterator[Rig]:
    """One that nothing was done with."""
    need(shutil.which("mariadbd", path=PATH), "mariadb-server-core is not installed")
    with a_folder() as folder:
        made = a_rig(folder)
        try:
            yield made
        finally:
            made.end()


@contextlib.contextmanager
def connect(rig: Rig, **changes: Any) -> Iterator[Any]:
    login = {"user": "web_user", "password": rig.password, "database": "my_shop"} | changes
    connection = pymysql.connect(
        host="127.0.0.1", port=rig.port, autocommit=True, connect_timeout=30, charset="utf8mb4", **login
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        with contextlib.suppress(pymysql.err.Error):
            connection.close()


def rows(rig: Rig, sql: str, **changes: Any) -> list[Any]:
    with connect(rig, **changes) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def do(rig: Rig, *statements: str, **changes: Any) -> None:
    with connect(rig, **changes) as cursor:
        for sql in statements:
            cursor.execute(sql)


async def restore(rig: Rig, file: Path, progress: Any = lambda line: None) -> None:
    await rig.recipe.restore(await rig.program(), rig.resource, rig.place, str(file), progress)


async def backup(rig: Rig, file: Path) -> None:
    await rig.recipe.backup(await rig.program(), rig.resource, rig.place, str(file), lambda line: None)


def as_admin(rig: Rig, sql: str, database: str = "") -> str:
    """What the administrator's client prints."""
    program = run(rig.program())
    tool = mysql_programs.tool(program, "client")
    options = (f"--defaults-file={rig.place.run}/client.cnf", f"--user={ADMIN}")
    installed = mysql_programs.installation(program.path)
    done = subprocess.run(
        [tool, *options, "--batch", "--skip-column-names", f"--execute={sql}", *([database] if database else [])],
        env=installed.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
