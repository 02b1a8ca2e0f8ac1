"""PostgreSQL as a resource: real servers, the wheel's and the distribution's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources import postgres_programs
from fairlead.resources.postgres import ADMIN, Postgres
from fairlead.resources.postgres_restore import FRESH, REPLACED
from fairlead.resources.recipe import Search
from tests.needs import need
from tests.resources.rig import SOON, Rig, a_folder, command_lines, environments, listening, run

pytestmark = pytest.mark.live

DATABASE = Database(id="store", engine="postgres", name="shop", user="web_user")
PATH = "/usr/sbin:/usr/bin"
UNICODE = "Grüße, 世界, 🦀, \\ ' \" \t"
BLOB = bytes(range(256)) + random.Random(8).randbytes(500_000)


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    with a_folder() as folder:
        yield str(folder / "programs")


def a_rig(folder: Path, copies: str, **changes: Any) -> Rig:
    database = replace(DATABASE, **changes)
    search = Search(path=PATH, copies=copies, data=str(folder / "r" / "data"))
    return Rig(recipe=Postgres(), resource=database, folder=folder, search=search)


@pytest.fixture
def rig(copies: str) -> Iterator[Rig]:
    """One that nothing was done with."""
    with a_folder() as folder:
        made = a_rig(folder, copies)
        yield made
        made.end()


@pytest.fixture(scope="module", params=["wheel", "system"])
def server(request: pytest.FixtureRequest, copies: str) -> Iterator[Rig]:
    """One that answers, of each source; tests leave it as they found it."""
    found = run(postgres_programs._all(PATH, copies))
    fitting = [one for one in found if one.source == request.param]
    need(fitting, f"there is no PostgreSQL of the {request.param}")
    with a_folder() as folder:
        made = a_rig(folder, copies, version=fitting[0].version.partition(".")[0])
        run(made.start())
        yield made
        made.end()


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


# Who may do what


def test_its_user_owns_the_database_and_nothing_else(server: Rig) -> None:
    ((superuser, makes_roles),) = rows(
        server, "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'web_user'"
    )
    assert not superuser
    assert not makes_roles
    assert rows(server, "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding) FROM pg_database"
                        " WHERE datname = 'shop'") == [("web_user", "UTF8")]  # fmt: skip
    do(server, "CREATE SCHEMA own", "CREATE TABLE own.t (id int)", "CREATE TABLE t (id int)", "DROP SCHEMA own CASCADE",
       "CREATE EXTENSION pg_trgm", "DROP EXTENSION pg_trgm", "DROP TABLE t")  # fmt: skip
    for forbidden in ("CREATE ROLE other", "COPY pg_class TO PROGRAM 'cat'", "ALTER SYSTEM SET fsync = off",
                      "SELECT pg_read_file('PG_VERSION')", "CREATE DATABASE other"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            do(server, forbidden)


@pytest.mark.parametrize(
    ("user", "password"),
    [("web_user", "correct-horse-battery-staple-0002"), ("web_user", ""), (ADMIN, ""), (ADMIN, "fairlead"),
     (ADMIN, "correct-horse-battery-staple-0001"), ("postgres", ""), ("nobody", "correct-horse-battery-staple-0001")],
)  # fmt: skip
def test_nobody_else_comes_in_by_the_network(server: Rig, user: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(server, user=user, password=password)


def test_its_socket_and_its_data_are_closed_to_others(server: Rig) -> None:
    place = server.place
    assert os.stat(place.run).st_mode & 0o077 == 0
    assert os.stat(place.data).st_mode & 0o077 == 0
    assert server.process is not None
    assert listening(server.process.pid) == {("127.0.0.1", server.port)}


async def test_the_password_is_nowhere_to_be_read(server: Rig) -> None:
    file = server.folder / "secret.dump"
    await backup(server, file)
    await restore(server, file)
    with pytest.raises(psycopg.OperationalError):
        connect(server, password="wrong")
    assert server.process is not None
    secret = server.password
    assert secret not in command_lines()
    assert secret not in environments(server.process.pid)
    assert secret not in server.log
    assert secret.encode() not in file.read_bytes()
    file.unlink()
    found = subprocess.run(["grep", "-rlaF", secret, str(server.folder)], capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 1)


# What it answers


async def test_it_says_why_it_does_not_answer(rig: Rig) -> None:
    place = rig.place
    assert await rig.recipe.ask(rig.resource, place) == "it does not accept connections yet"
    await rig.start()
    assert await rig.recipe.ask(replace(DATABASE, name="other"), place) == "it has no database other"
    assert rig.process is not None
    rig.process.send_signal(signal.SIGSTOP)
    assert await rig.recipe.ask(rig.resource, place) == "it did not answer within 2 s"
    rig.process.send_signal(signal.SIGCONT)
    await rig.answering()
    assert rig.stop() == 0
    assert await rig.recipe.ask(rig.resource, place) == "it does not accept connections yet"


async def test_it_answers_while_users_hold_all_connections(server: Rig) -> None:
    held = []
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while len(held) < 300:
                held.append(connect(server))
        assert 150 < len(held) < 300
        assert await server.recipe.ask(server.resource, server.place) == ""
    finally:
        for connection in held:
            connection.close()


def test_many_questions_leave_no_line_in_the_log(server: Rig) -> None:
    before = server.log

    async def ask() -> None:
        for _ in range(20):
            assert await server.recipe.ask(server.resource, server.place) == ""

    run(ask())
    assert server.log == before


# What survives


async def test_data_survive_a_stop_and_a_kill_in_the_middle_of_writing(rig: Rig) -> None:
    await rig.start()
    do(rig, "CREATE TABLE t (id int PRIMARY KEY)")
    done: list[int] = []
    for ending in ("kill", "stop"):
        acknowledged = asyncio.Event()

        def write(first: int, acknowledged: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
            with contextlib.suppress(psycopg.OperationalError), connect(rig) as connection:
                for id in range(first, first + 100_000):
                    connection.execute("INSERT INTO t VALUES (%s)", (id,))
                    done.append(id)
                    if id == first + 50:
                        loop.call_soon_threadsafe(acknowledged.set)

        # One more than was acknowledged may be there.
        first = done[-1] + 2 if done else 0
        writer = asyncio.create_task(asyncio.to_thread(write, first, acknowledged, asyncio.get_running_loop()))
        await asyncio.wait_for(acknowledged.wait(), SOON)
        rig.kill() if ending == "kill" else rig.stop()
        await writer
        await rig.start()
        assert {id for (id,) in rows(rig, "SELECT id FROM t")} >= set(done)
    assert rig.stop() == 0


async def test_a_long_query_that_outlives_its_killed_server_does_not_keep_the_next_one_out(rig: Rig) -> None:
    await rig.start()
    do(rig, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")

    def long_query() -> None:
        with pytest.raises(psycopg.OperationalError), connect(rig) as connection:
            # It looks neither at its client nor at its parent for a while.
            connection.execute("SELECT count(*) FROM generate_series(1, 1000000000) a WHERE sqrt(a) < 0")

    asking = asyncio.create_task(asyncio.to_thread(long_query))

    def at_work() -> bool:
        return rows(rig, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1%'"
                         " AND pid <> pg_backend_pid() AND state = 'active'") == [(1,)]  # fmt: skip

    await wait_until(at_work, SOON, "the query")
    rig.kill()
    await rig.start()
    assert rows(rig, "SELECT id FROM t") == [(1,)]
    await asking


async def test_a_server_that_somebody_else_runs_on_the_data_is_left_alone(rig: Rig) -> None:
    await rig.start()
    with pytest.raises(ResourceError) as refused:
        await rig.recipe.prepare(await rig.program(), rig.resource, rig.place)
    assert refused.value.what == "another program works in the data folder of store"
    assert await rig.recipe.ask(rig.resource, rig.place) == ""


_PREPARE = """
import asyncio, sys
from pathlib import Path
from tests.resources.test_postgres import a_rig
rig = a_rig(Path(sys.argv[1]), sys.argv[2])
asyncio.run(rig.prepare())
"""


@pytest.mark.parametrize("reached", ["", "PG_VERSION", "global/pg_control", "postgresql.auto.conf", "base/4/1255",
                                     "base/5/1255", "base/16384/1255"])  # fmt: skip
async def test_whoever_is_killed_while_making_the_data_folder_does_not_harm_the_next(rig: Rig, reached: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", _PREPARE, str(rig.folder), rig.search.copies], cwd=os.getcwd())
    made = rig.folder / "r"

    def far_enough() -> bool:
        return bool([*made.glob(f"data.new-*/{reached}"), *made.glob("data")]) or child.poll() is not None

    try:
        await wait_until(far_enough, SOON, reached, seen=lambda: [*made.glob("*")])
    finally:
        child.kill()
        child.wait(SOON)
    await rig.start()
    do(rig, "CREATE TABLE t (id int)")
    assert [path.name for path in made.iterdir()] == ["data"]
    assert rig.stop() == 0


async def test_preparing_again_changes_nothing(rig: Rig) -> None:
    await rig.prepare()
    before = sorted(path for path in rig.folder.rglob("*"))
    await rig.prepare()
    assert sorted(path for path in rig.folder.rglob("*")) == before


# Versions


async def test_data_get_the_program_of_their_own_version(rig: Rig) -> None:
    found = await postgres_programs._all(PATH, rig.search.copies)
    need(len({one.version for one in found}) > 1, "there is only one version of PostgreSQL")
    oldest = min(found, key=lambda one: postgres_programs.order(one.version))
    newest = max(found, key=lambda one: postgres_programs.order(one.version))
    assert (await rig.program()).version == newest.version
    major = oldest.version.partition(".")[0]
    rig.resource = replace(DATABASE, version=major)
    await rig.start()
    do(rig, "CREATE TABLE t (id int)")
    assert rig.stop() == 0
    rig.resource = DATABASE
    assert (await rig.program()).version == oldest.version
    await rig.start()
    do(rig, "SELECT * FROM t")
    assert rig.stop() == 0
    rig.resource = replace(DATABASE, version=newest.version.partition(".")[0])
    ways = [rig.program(), *(rig.recipe.prepare(program, rig.resource, rig.place) for program in (oldest, newest))]
    for way in ways:
        with pytest.raises(ResourceError) as refused:
            await way
        assert refused.value.what.startswith(f"the data of store were made by PostgreSQL {major}, and its `version`")
    rig.resource = DATABASE
    with pytest.raises(ResourceError) as refused:
        await rig.recipe.prepare(newest, rig.resource, rig.place)
    assert refused.value.what == f"the data of store were made by PostgreSQL {major}, and this is {newest.version}"


async def test_data_of_a_version_that_is_not_here_are_refused_with_what_to_do(rig: Rig) -> None:
    data = Path(rig.place.data)
    data.mkdir()
    (data / "PG_VERSION").write_text("14\n")
    with pytest.raises(ResourceError) as refused:
        await rig.program()
    assert refused.value.what == "there is no PostgreSQL 14 for the data of store"
    assert "apt install postgresql-14" in refused.value.next_step
    rig.search = replace(rig.search, data="")
    with pytest.raises(ResourceError, match="were made by PostgreSQL 14"):
        await rig.prepare()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


async def test_a_version_that_is_not_here_is_refused_with_what_is(rig: Rig) -> None:
    rig.resource = replace(DATABASE, version="12")
    with pytest.raises(ResourceError) as refused:
        await rig.program()
    assert refused.value.what == "there is no PostgreSQL 12 for the database store"
    assert refused.value.why.startswith("this machine has 1")


async def test_an_incomplete_postgresql_is_passed_over(tmp_path: Path, copies: str) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n")
    (tmp_path / "postgres").chmod(0o755)
    assert (await postgres_programs.find(DATABASE, str(tmp_path), copies, "")).version != "99.1"
    for name in postgres_programs.NEEDED:
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n")
        (tmp_path / name).chmod(0o755)
    found = await postgres_programs.find(DATABASE, str(tmp_path), copies, "")
    assert (found.version, found.source) == ("99.1", "system")


async def test_a_folder_that_is_something_else_is_left_alone(rig: Rig) -> None:
    data = Path(rig.place.data)
    data.mkdir()
    (data / "precious").write_text("mine")
    with pytest.raises(ResourceError) as refused:
        await rig.prepare()
    assert refused.value.why == "it has no file PG_VERSION"
    assert (data / "precious").read_text() == "mine"


async def test_a_user_without_a_name_is_told_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(ResourceError) as refused:
        await rig.prepare()
    assert "useradd --uid" in refused.value.next_step
    assert [*(rig.folder / "r").iterdir()] == []


@pytest.mark.parametrize("changes", [{"name": "postgres"}, {"name": "template1"}, {"user": "pg_x"}, {"user": "public"}])
async def test_names_of_postgresql_itself_are_refused(rig: Rig, changes: dict[str, str]) -> None:
    rig.resource = replace(DATABASE, **changes)
    with pytest.raises(ResourceError, match="cannot have the"):
        await rig.program()


async def test_a_name_is_text_and_no_sql(rig: Rig) -> None:
    odd = {"user": "we\"b-'U\\ser", "name": "sh'\"o; DROP--p"}
    rig.resource = replace(DATABASE, **odd)
    await rig.start()
    assert rows(rig, "SELECT current_user", user=odd["user"], dbname=odd["name"]) == [(odd["user"],)]
    assert rig.stop() == 0


# Backups


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


# Looking into it


async def test_the_shell_is_psql_as_the_owner_with_no_password_in_its_words(server: Rig) -> None:
    shell = await server.recipe.shell(await server.program(), server.resource, server.place)
    assert not any(server.password in word for word in (*shell.argv, shell.says))
    done = subprocess.run(
        [*shell.argv, "-Atc", "SELECT current_user, current_database()"],
        env={"PATH": "/usr/bin:/bin", **shell.environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "web_user|shop\n"
