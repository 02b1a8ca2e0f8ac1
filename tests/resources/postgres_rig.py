"""PostgreSQL for its tests: a rig with it, and a client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from fairlead.core.resources.model import Database
from fairlead.resources import postgres_programs
from fairlead.resources.postgres import Postgres
from fairlead.resources.recipe import Search
from tests.needs import need
from tests.resources.rig import Rig, a_folder, run

DATABASE = Database(id="store", engine="postgres", name="shop", user="web_user")

PATH = "/usr/sbin:/usr/bin"


def a_rig(folder: Path, copies: str, **changes: Any) -> Rig:
    database = replace(DATABASE, **changes)
    search = Search(path=PATH, copies=copies, data=str(folder / "r" / "data"))
    return Rig(recipe=Postgres(), resource=database, folder=folder, search=search)


@contextlib.contextmanager
def prepared(copies: str, version: str | None = None) -> Iterator[Rig]:
    """One that nothing was done with."""
    with a_folder() as folder:
        made = a_rig(folder, copies, version=version)
        try:
            yield made
        finally:
            made.end()


@contextlib.contextmanager
def a_server(source: str, copies: str) -> Iterator[Rig]:
    """One that answers, whose program is of the `wheel` or the `system`."""
    found = run(postgres_programs._all(PATH, copies))
    fitting = [one for one in found if one.source == source]
    need(fitting, f"there is no PostgreSQL of the {source}")
    with prepared(copies, fitting[0].version.partition(".")[0]) as made:
        run(made.start())
        yield made


def connect(rig: Rig, **changes: Any) -> psycopg.Connection[Any]:
    login = {"user": "web_user", "password": rig.password, "dbname": "shop"} | changes
    return psycopg.connect(host="127.0.0.1", port=rig.port, autocommit=True, connect_timeout=30, **login)


def rows(rig: Rig, sql: str, **changes: Any) -> list[Any]:
    with connect(rig, **changes) as connection:
        return connection.execute(sql).fetchall()


def do(rig: Rig, *statements: str) -> None:
    with connect(rig) as connection:
        for sql in statements:
            connection.execute(sql)


async def restore(rig: Rig, file: Path, progress: Any = lambda line: None) -> None:
    await rig.recipe.restore(await rig.program(), rig.resource, rig.place, str(file), progress)


async def backup(rig: Rig, file: Path) -> None:
    await rig.recipe.backup(await rig.program(), rig.resource, rig.place, str(file), lambda line: None)
