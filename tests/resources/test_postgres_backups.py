"""PostgreSQL backed up and restored: real servers, whole files, foreign ones and broken ones."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources.postgres import ADMIN
from fairlead.resources.postgres_restore import FRESH, REPLACED
from tests.resources.postgres_rig import a_rig, a_server, backup, connect, do, restore, rows
from tests.resources.rig import Rig, a_folder

pytestmark = pytest.mark.live


UNICODE = "Grüße, 世界, 🦀, \\ ' \" \t"

BLOB = bytes(range(256)) + random.Random(8).randbytes(500_000)


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    with a_folder() as folder:
        yield str(folder / "programs")


@pytest.fixture(scope="module", params=["wheel", "system"])
def server(request: pytest.FixtureRequest, copies: str) -> Iterator[Rig]:
    """One that answers, of each source; tests leave it as they found it."""
    with a_server(request.param, copies) as made:
        yield made


def fill(rig: Rig) -> None:
    with connect(rig) as connection:
        connection.execute("CREATE TABLE t (id serial PRIMARY KEY, text text UNIQUE, blob bytea)")
        connection.execute("INSERT INTO t (text, blob) VALUES (%s, %s)", (UNICODE, BLOB))
        connection.execute("CREATE VIEW v AS SELECT text FROM t")
        connection.execute("CREATE TABLE child (t int REFERENCES t)")
        connection.execute("INSERT INTO child VALUES (1)")
        connection.execute("CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * $1; END'")
        connection.execute("SELECT lo_from_bytea(4242, %s)", (BLOB,))


def check_filled(rig: Rig, **login: Any) -> None:
    assert rows(rig, "SELECT id, text, blob FROM t", **login) == [(1, UNICODE, BLOB)]
    assert rows(rig, "SELECT text FROM v", **login) == [(UNICODE,)]
    assert rows(rig, "SELECT twice(21), lo_get(4242)", **login) == [(42, BLOB)]
    assert rows(rig, "SELECT nextval('t_id_seq')", **login)[0][0] >= 2
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert rows(rig, owners, **login) == [(login.get("user", "web_user"),)]


@pytest.fixture
def filled(server: Rig) -> Iterator[Rig]:
    fill(server)
    yield server
    do(server, "DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS t CASCADE", "DROP FUNCTION IF EXISTS twice",
       "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")  # fmt: skip


async def test_a_backup_brings_everything_back(filled: Rig) -> None:
    file = filled.folder / "shop.dump"
    await backup(filled, file)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert os.stat(file).st_uid == os.getuid()
    said: list[str] = []
    with connect(filled) as held:
        do(filled, "TRUNCATE t CASCADE", "CREATE TABLE later (id int)")
        await restore(filled, file, said.append)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    check_filled(filled)
    with pytest.raises(psycopg.errors.UndefinedTable):
        do(filled, "SELECT * FROM later")
    assert said[-1] == "the new database takes the place of the old one; its connections end"
    names = {name for (name,) in rows(filled, "SELECT datname FROM pg_database")}
    assert names == {"shop", "postgres", "template0", "template1"}
    assert "skip" not in filled.log
    with pytest.raises(ResourceError, match="cannot be written"):
        await backup(filled, file)
    file.unlink()


async def test_a_backup_goes_into_a_database_with_another_name_and_owner(filled: Rig, copies: str) -> None:
    file = filled.folder / "other.dump"
    await backup(filled, file)
    with a_folder() as folder:
        other = a_rig(folder, copies, name="market", user="trader", version=filled.resource.version)
        try:
            await other.start()
            await restore(other, file)
            check_filled(other, user="trader", dbname="market")
        finally:
            other.end()
    file.unlink()


async def test_a_file_that_is_no_backup_is_refused_and_nothing_happens(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    whole = file.read_bytes()
    for name, content in {
        "empty": b"", "text": b"-- MariaDB dump 10.19\nDROP TABLE t;\n", "head": b"PGDMP", "noise": b"PGDMP" + os.urandom(500),
        "toc": whole[:200], "zip": b"PK\3\4" + bytes(100),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ResourceError) as refused:
            await restore(filled, tmp_path / name)
        assert "is no backup of a PostgreSQL that can be restored here" in refused.value.what, name
        assert "pg_dump --format=custom" in refused.value.next_step
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(ResourceError):
            await restore(filled, missing)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResourceError, match="it is no file"):
        await restore(filled, tmp_path / "pipe")
    check_filled(filled)


async def test_a_backup_that_was_cut_short_leaves_the_old_database(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    whole = file.read_bytes()
    do(filled, "INSERT INTO t (id, text) VALUES (77, 'later')")
    # Its table of contents may stand at the end once more, and is not missed there.
    for cut in (len(whole) // 4, len(whole) // 2, len(whole) - 20_000):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(ResourceError) as refused:
            await restore(filled, tmp_path / "cut")
        assert "the database shop" in refused.value.what or "no backup" in refused.value.what
        assert rows(filled, "SELECT text FROM t WHERE id = 77") == [("later",)]
        assert (FRESH,) not in rows(filled, "SELECT datname FROM pg_database"), "what was loaded takes no room"
    await restore(filled, file)
    check_filled(filled)


@pytest.mark.parametrize("step", [0, 1])
async def test_a_restore_that_is_cut_off_leaves_the_old_database_and_can_be_repeated(
    filled: Rig, tmp_path: Path, step: int
) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    do(filled, "INSERT INTO t (id, text) VALUES (77, 'later')")
    said: list[str] = []

    def cut(line: str) -> None:
        said.append(line)
        if len(said) > step:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await restore(filled, file, cut)
    assert rows(filled, "SELECT text FROM t WHERE id = 77") == [("later",)]
    left = {name for (name,) in rows(filled, "SELECT datname FROM pg_database")}
    assert FRESH in left
    assert REPLACED not in left
    await restore(filled, file)
    check_filled(filled)


async def test_connections_that_come_during_the_swap_do_not_stop_it(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    over = False

    def connect_often() -> int:
        count = 0
        while not over:
            try:
                with connect(filled) as connection:
                    connection.execute("SELECT pg_sleep(0.01)")
                    count += 1
            except psycopg.OperationalError:
                pass
        return count

    clients = [asyncio.create_task(asyncio.to_thread(connect_often)) for _ in range(3)]
    try:
        await restore(filled, file)
    finally:
        over = True
        await asyncio.gather(*clients)
    check_filled(filled)


async def test_a_dump_cannot_do_more_than_the_owner(filled: Rig, tmp_path: Path) -> None:
    """A file of somebody else: what it runs, it runs as the resource's user."""
    database = filled.resource
    assert isinstance(database, Database)
    program = await filled.program()
    marker = filled.folder / "owned"
    # As a superuser: a function in the dump that a trigger calls when rows are loaded.
    place = filled.place
    tool = f"{os.path.dirname(program.path)}/psql"
    sql = (
        "CREATE TABLE bait (id int); CREATE FUNCTION bite() RETURNS int LANGUAGE plpgsql AS $$BEGIN"
        f" EXECUTE 'COPY (SELECT 1) TO ''{marker}'''; RETURN 1; END$$;"
        "CREATE MATERIALIZED VIEW trap AS SELECT bite() WITH NO DATA;"
    )
    made = subprocess.run(
        [tool, "-h", place.run, "-p", str(place.port), "-U", ADMIN, "-d", "shop", "-c", sql],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    file = tmp_path / "evil"
    await backup(filled, file)
    await restore(filled, file)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        do(filled, "REFRESH MATERIALIZED VIEW trap")
    assert not marker.exists()
    do(filled, "DROP MATERIALIZED VIEW trap", "DROP FUNCTION bite", "DROP TABLE bait")
