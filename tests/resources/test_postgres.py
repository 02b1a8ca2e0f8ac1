"""PostgreSQL as a resource: real servers, the wheel's and the distribution's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.errors import ResourceError
from fairlead.resources.postgres import ADMIN, Postgres
from tests.resources.postgres_rig import DATABASE, a_server, backup, connect, do, prepared, restore, rows
from tests.resources.rig import SOON, Rig, a_folder, command_lines, environments, listening, run

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    with a_folder() as folder:
        yield str(folder / "programs")


@pytest.fixture
def rig(copies: str) -> Iterator[Rig]:
    """One that nothing was done with."""
    with prepared(copies) as made:
        yield made


@pytest.fixture(scope="module", params=["wheel", "system"])
def server(request: pytest.FixtureRequest, copies: str) -> Iterator[Rig]:
    """One that answers, of each source; tests leave it as they found it."""
    with a_server(request.param, copies) as made:
        yield made


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
from tests.resources.postgres_rig import a_rig
rig = a_rig(Path(sys.argv[1]), sys.argv[2])
asyncio.run(rig.prepare())
"""


@pytest.mark.parametrize("reached", ["", "PG_VERSION", "base/5/1255", "base/16384/1255"])
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


async def test_the_shell_is_psql_as_the_owner_with_no_password_in_its_words(server: Rig) -> None:
    shell = await server.recipe.shell(await server.program(), server.resource, server.place)
    assert not any(server.password in word for word in (*shell.argv, shell.says))
    done = subprocess.run(
        [*shell.argv, "-Atc", "SELECT current_user, current_database()"],
        env={"PATH": "/usr/bin:/bin", **shell.environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "web_user|shop\n"


async def test_data_made_before_the_vaults_key_was_lost_get_the_new_password_at_their_next_start(rig: Rig) -> None:
    await rig.start()
    do(rig, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (42)")
    rig.stop()
    before, rig.password = rig.password, "correct-horse-battery-staple-0002"
    # Another daemon's, which has seen none of it.
    rig.recipe = Postgres()
    await rig.start()
    assert rows(rig, "SELECT id FROM t") == [(42,)]
    with pytest.raises(psycopg.OperationalError), connect(rig, password=before):
        pass
    rig.stop()
    rig.recipe = Postgres()
    await rig.start()
    assert rows(rig, "SELECT id FROM t") == [(42,)]
    for password in (before, rig.password):
        assert password not in command_lines()
        assert password not in rig.log


async def test_a_password_that_is_not_known_changes_nothing(server: Rig) -> None:
    """The key is lost, and a new daemon asks: services go on with the one they have."""
    unknown = replace(server.place, password="")
    assert await Postgres().ask(server.resource, unknown) == ""
    assert rows(server, "SELECT 1") == [(1,)]
