"""MariaDB as a resource: real servers of the distribution. With FAIRLEAD_MARIADB=FOLDER: of another one, or MySQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.errors import ResourceError
from fairlead.resources.mysql import Mysql
from fairlead.resources.mysql_accounts import ADMIN, admin_password
from tests.resources.mysql_rig import (
    DATABASE,
    a_server,
    as_admin,
    backup,
    connect,
    do,
    prepared,
    restore,
    rows,
)
from tests.resources.rig import SOON, Rig, command_lines, environments, listening, run

pytestmark = pytest.mark.live


@pytest.fixture
def rig() -> Iterator[Rig]:
    """One that nothing was done with."""
    with prepared() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Rig]:
    """One that answers; tests leave it as they found it."""
    with a_server() as made:
        yield made


def test_its_user_owns_the_database_and_nothing_else(server: Rig) -> None:
    do(server, "CREATE TABLE t (id int)", "ALTER TABLE t ADD x int", "DROP TABLE t")
    collation = rows(server, "SELECT @@character_set_database, @@collation_database")
    assert collation == [("utf8mb4", "utf8mb4_unicode_520_ci")]
    visible = {name for (name,) in rows(server, "SHOW DATABASES")}
    assert visible - {"information_schema", "performance_schema"} == {"my_shop"}
    # `_` in the name is no wildcard.
    for forbidden in ("CREATE DATABASE other", "CREATE DATABASE myXshop", "CREATE USER other", "SELECT * FROM mysql.user",
                      "SET GLOBAL max_connections = 1", "SELECT 1 INTO OUTFILE '/tmp/x'", "DROP DATABASE mysql"):  # fmt: skip
        with pytest.raises(pymysql.err.OperationalError) as refused:
            do(server, forbidden)
        assert refused.value.args[0] in (1044, 1045, 1142, 1227, 1290), forbidden


@pytest.mark.parametrize(
    ("user", "password"),
    [("web_user", "correct-horse-battery-staple-0002"), ("web_user", ""), ("root", ""), ("", ""), (ADMIN, ""),
     (ADMIN, admin_password("correct-horse-battery-staple-0001")), ("mysql", ""), ("mariadb.sys", "")],
)  # fmt: skip
def test_nobody_else_comes_in_by_the_network(server: Rig, user: str, password: str) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused, connect(server, user=user, password=password):
        pass
    # Denied, or (MySQL) its account is locked, or a proof that needs an encrypted connection.
    assert refused.value.args[0] in (1045, 1698, 3118)


def test_its_socket_and_its_data_are_closed_to_others(server: Rig) -> None:
    place = server.place
    assert os.stat(place.run).st_mode & 0o077 == 0
    assert os.stat(place.data).st_mode & 0o077 == 0
    assert server.process is not None
    assert listening(server.process.pid) == {("127.0.0.1", server.port)}


async def test_the_password_is_nowhere_to_be_read(server: Rig) -> None:
    file = server.folder / "secret.sql"
    await backup(server, file)
    await restore(server, file)
    with pytest.raises(pymysql.err.OperationalError), connect(server, password="wrong"):
        pass
    assert server.process is not None
    for secret in (server.password, admin_password(server.password)):
        assert secret not in command_lines()
        assert secret not in environments(server.process.pid)
        assert secret not in server.log
        assert secret.encode() not in file.read_bytes()
    file.unlink()
    found = subprocess.run(
        ["grep", "-rlaF", server.password, str(server.folder)], capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.returncode) == ("", 1)
    options = Path(server.place.run) / "client.cnf"
    assert options.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in Path(server.place.run).glob("*.cnf")] == ["client.cnf"]


def test_the_machines_own_configuration_is_not_read(server: Rig) -> None:
    """Debian's says, among others, that names of tables and logs go elsewhere."""
    assert server.process is not None
    words = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().split(b"\0")
    assert b"--no-defaults" in words
    tool = run(server.recipe.shell(run(server.program()), server.resource, server.place)).argv
    assert tool[1] == "--no-defaults"


async def test_it_says_why_it_does_not_answer(rig: Rig) -> None:
    place = rig.place
    assert await rig.recipe.ask(rig.resource, place) == "it does not accept connections yet"
    await rig.start()
    assert await rig.recipe.ask(replace(DATABASE, name="other"), place) == "it has no database other"
    stranger = replace(place, password="another resource's")
    assert "Access denied" in await rig.recipe.ask(rig.resource, stranger)
    assert rig.process is not None
    rig.process.send_signal(signal.SIGSTOP)
    assert await rig.recipe.ask(rig.resource, place) == "it did not answer within 2 s"
    rig.process.send_signal(signal.SIGCONT)
    await rig.answering()
    assert rig.stop() == 0
    assert await rig.recipe.ask(rig.resource, place) == "it does not accept connections yet"


async def test_it_answers_while_users_hold_all_connections(server: Rig) -> None:
    with contextlib.ExitStack() as held:
        with contextlib.suppress(pymysql.err.OperationalError):
            for _ in range(300):
                held.enter_context(connect(server))
        assert await server.recipe.ask(server.resource, server.place) == ""


async def test_many_questions_leave_no_line_in_the_log_and_no_error_in_the_counters(server: Rig) -> None:
    def aborted() -> str:
        return as_admin(server, "SHOW GLOBAL STATUS LIKE 'Aborted%'")

    before = (server.log, await asyncio.to_thread(aborted))
    for _ in range(200):
        assert await server.recipe.ask(server.resource, server.place) == ""
    assert (server.log, await asyncio.to_thread(aborted)) == before


async def test_data_survive_a_stop_and_a_kill_in_the_middle_of_writing(rig: Rig) -> None:
    await rig.start()
    do(rig, "CREATE TABLE t (id int PRIMARY KEY)")
    done: list[int] = []
    for ending in ("kill", "stop"):
        acknowledged = asyncio.Event()

        def write(first: int, acknowledged: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
            with contextlib.suppress(pymysql.err.Error), connect(rig) as cursor:
                for id in range(first, first + 100_000):
                    cursor.execute("INSERT INTO t VALUES (%s)", (id,))
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


_PREPARE = """
import asyncio, sys
from pathlib import Path
from tests.resources.mysql_rig import a_rig
asyncio.run(a_rig(Path(sys.argv[1])).prepare())
"""


@pytest.mark.parametrize("reached", ["", "mysql", "fairlead-program"])
async def test_whoever_is_killed_while_making_the_data_folder_does_not_harm_the_next(rig: Rig, reached: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", _PREPARE, str(rig.folder)], cwd=os.getcwd())
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


async def test_servers_do_not_touch_the_temporary_tables_of_each_other(server: Rig) -> None:
    """Each removes at its start what it finds in its folder for them."""
    with connect(server) as cursor, prepared() as other:
        cursor.execute("CREATE TEMPORARY TABLE mine (id int) ENGINE = MyISAM")
        cursor.execute("INSERT INTO mine VALUES (1)")
        files = {path.name for path in (Path(server.place.run) / "tmp").glob("#sql*")}
        await other.start()
        assert files
        assert {path.name for path in (Path(server.place.run) / "tmp").glob("#sql*")} == files
        cursor.execute("SELECT id FROM mine")
        assert cursor.fetchall() == ((1,),)
        assert other.stop() == 0


async def test_a_home_that_mysql_cannot_name_is_refused(rig: Rig) -> None:
    place = replace(rig.place, run=f"{rig.place.run}/a:b")
    Path(place.run).mkdir()
    with pytest.raises(ResourceError, match="has a colon in its name"):
        await rig.recipe.prepare(await rig.program(), rig.resource, place)


async def test_preparing_again_changes_nothing(rig: Rig) -> None:
    await rig.prepare()
    before = sorted(path for path in rig.folder.rglob("*"))
    await rig.prepare()
    assert sorted(path for path in rig.folder.rglob("*")) == before


async def test_the_shell_is_the_client_as_the_owner_with_no_password_in_its_words(server: Rig) -> None:
    shell = await server.recipe.shell(await server.program(), server.resource, server.place)
    assert not any(server.password in word for word in (*shell.argv, shell.says))
    done = subprocess.run(
        [*shell.argv, "--batch", "--skip-column-names", "--execute=SELECT CURRENT_USER(), DATABASE()"],
        env={"PATH": "/usr/bin:/bin", **shell.environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "web_user@%\tmy_shop\n"


async def test_data_made_before_the_vaults_key_was_lost_get_the_new_password_at_their_next_start(rig: Rig) -> None:
    await rig.start()
    do(rig, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (42)")
    rig.stop()
    before, rig.password = rig.password, "correct-horse-battery-staple-0002"
    # Another daemon's, which has seen none of it.
    rig.recipe = Mysql()
    await rig.start()
    assert rows(rig, "SELECT id FROM t") == [(42,)]
    with pytest.raises(pymysql.err.OperationalError), connect(rig, password=before):
        pass
    rig.stop()
    rig.recipe = Mysql()
    await rig.start()
    assert rows(rig, "SELECT id FROM t") == [(42,)]
    for password in (before, rig.password):
        assert password not in command_lines()
        assert password not in rig.log
    assert not (Path(rig.place.run) / "accounts.sql").exists(), "it goes with the first login"
