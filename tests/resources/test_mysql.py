"""MariaDB as a resource: real servers of the distribution. With FAIRLEAD_MARIADB=FOLDER: of another one, or MySQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.model import Database
from fairlead.errors import ResourceError
from fairlead.resources import mysql_programs
from fairlead.resources.base import Program
from fairlead.resources.mysql import Mysql
from fairlead.resources.mysql_accounts import ADMIN, admin_password, pattern
from fairlead.resources.mysql_definers import PIECE, without_definers
from fairlead.resources.mysql_restore import FRESH, LOADER, REPLACED
from fairlead.resources.recipe import Search
from tests.needs import need
from tests.resources.rig import SOON, Rig, a_folder, command_lines, environments, listening, run

pytestmark = pytest.mark.live

DATABASE = Database(id="store", engine="mysql", name="my_shop", user="web_user")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
UNICODE = "Grüße, 世界, 🦀, \\ ' \" \t \n--\nCREATE DEFINER=`root`@`localhost` x"
BLOB = bytes(range(256)) + random.Random(8).randbytes(300_000)


def a_rig(folder: Path, **changes: Any) -> Rig:
    database = replace(DATABASE, **changes)
    search = Search(path=PATH, copies=str(folder / "programs"), data=str(folder / "r" / "data"))
    return Rig(recipe=Mysql(), resource=database, folder=folder, search=search)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """One that nothing was done with."""
    need(shutil.which("mariadbd", path=PATH), "mariadb-server-core is not installed")
    with a_folder() as folder:
        made = a_rig(folder)
        yield made
        made.end()


@pytest.fixture(scope="module")
def server() -> Iterator[Rig]:
    """One that answers; tests leave it as they found it."""
    need(shutil.which("mariadbd", path=PATH), "mariadb-server-core is not installed")
    need(shutil.which("mariadb-dump", path=PATH), "mariadb-client is not installed")
    with a_folder() as folder:
        made = a_rig(folder)
        run(made.start())
        yield made
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


# Who may do what


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


# What it answers


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


# What survives


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
from tests.resources.test_mysql import a_rig
asyncio.run(a_rig(Path(sys.argv[1])).prepare())
"""


@pytest.mark.parametrize("reached", ["", "ibdata1", "mysql", "my_shop", "fairlead-program"])
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


async def test_preparing_again_changes_nothing(rig: Rig) -> None:
    await rig.prepare()
    before = sorted(path for path in rig.folder.rglob("*"))
    await rig.prepare()
    assert sorted(path for path in rig.folder.rglob("*")) == before


# Versions


async def test_data_of_another_program_or_a_newer_version_are_refused(rig: Rig) -> None:
    program = await rig.program()
    await rig.prepare()
    wrote = Path(rig.place.data) / mysql_programs.WROTE
    assert wrote.read_text() == f"{program}\n"
    other = "mysql" if program.name == "mariadb" else "mariadb"
    for writer in (f"{program.name} 99.1.0", f"{other} 11.0.0"):
        wrote.write_text(f"{writer}\n")
        with pytest.raises(ResourceError) as refused:
            await rig.program()
        assert refused.value.what == f"there is no program for the data of store, which {writer} wrote"
        with pytest.raises(ResourceError) as refused:
            await rig.recipe.prepare(program, rig.resource, rig.place)
        assert refused.value.what == f"{program} does not read the data of store"
        assert wrote.read_text() == f"{writer}\n"


async def test_data_that_a_newer_version_opens_are_its_own_from_then_on(rig: Rig) -> None:
    program = await rig.program()
    await rig.prepare()
    wrote = Path(rig.place.data) / mysql_programs.WROTE
    wrote.write_text(f"{program.name} 8.0.0\n")
    await rig.prepare()
    assert wrote.read_text() == f"{program}\n"


async def test_a_version_that_is_not_here_is_refused_with_what_is(rig: Rig) -> None:
    program = await rig.program()
    rig.resource = replace(DATABASE, version=".".join(program.version.split(".")[:2]))
    assert await rig.program() == program
    rig.resource = replace(DATABASE, version="5")
    with pytest.raises(ResourceError) as refused:
        await rig.program()
    assert refused.value.what == "there is no MariaDB or MySQL 5 for the database store"
    assert str(program) in refused.value.why


async def test_without_a_server_the_error_says_how_to_get_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_programs, "KEPT_OFF_THE_PATH", "")
    rig.recipe = Mysql("")
    rig.search = replace(rig.search, path="/nowhere")
    with pytest.raises(ResourceError) as refused:
        await rig.program()
    assert "apt install mariadb-server-core mariadb-client" in refused.value.next_step
    assert "dnf install" in refused.value.next_step
    assert f"cd {rig.search.copies}/mariadb\n" in refused.value.detail
    assert "dpkg -x" in refused.value.detail


async def test_unpacked_packages_are_found_where_the_error_says(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `dpkg -x` leaves them: here by links to the installed ones."""
    program = await rig.program()
    base = Path(program.path).parent.parent
    need((base / "sbin" / "mariadbd").exists(), "this is no MariaDB of Debian")
    unpacked = Path(rig.search.copies) / "mariadb" / "usr"
    for name in ("sbin/mariadbd", "bin/mariadb", "bin/mariadb-dump"):
        (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(base / name, unpacked / name)
    (unpacked / "share").mkdir()
    (unpacked / "share" / "mysql").symlink_to(mysql_programs.installation(program.path).share)
    (unpacked / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    monkeypatch.setattr(mysql_programs, "KEPT_OFF_THE_PATH", "")
    for recipe, copies in ((Mysql(""), rig.search.copies), (Mysql(str(unpacked.parent)), "/nowhere")):
        rig.recipe = recipe
        rig.search = replace(rig.search, path="/nowhere", copies=copies)
        found = await rig.program()
        assert found.path == str(unpacked / "sbin" / "mariadbd")
        assert found.version == program.version
    await rig.start()
    file = rig.folder / "b.sql"
    await backup(rig, file)
    await restore(rig, file)
    assert rig.stop() == 0


async def test_a_folder_without_a_server_is_refused_by_name(rig: Rig, tmp_path: Path) -> None:
    rig.recipe = Mysql(str(tmp_path))
    with pytest.raises(ResourceError) as refused:
        await rig.program()
    assert refused.value.what.startswith(f"FAIRLEAD_MARIADB names {tmp_path}, and there is no")


def test_missing_clients_are_named(tmp_path: Path) -> None:
    program = Program(name="mariadb", path=str(tmp_path / "sbin" / "mariadbd"), version="10.11.1", source="system")
    with pytest.raises(ResourceError) as refused:
        mysql_programs.tool(program, "dump")
    assert refused.value.next_step == "install them: apt install mariadb-client (Fedora: dnf install mariadb)"


async def test_a_folder_that_is_something_else_is_left_alone(rig: Rig) -> None:
    data = Path(rig.place.data)
    data.mkdir()
    (data / "precious").write_text("mine")
    with pytest.raises(ResourceError) as refused:
        await rig.prepare()
    assert refused.value.why == "it has no file fairlead-program"
    assert (data / "precious").read_text() == "mine"


@pytest.mark.parametrize("changes", [{"name": "mysql"}, {"name": "Sys"}, {"user": "root"}, {"user": "u" * 33}], ids=str)
async def test_names_that_mysql_does_not_take_are_refused(rig: Rig, changes: dict[str, str]) -> None:
    rig.resource = replace(DATABASE, **changes)
    with pytest.raises(ResourceError, match="cannot have the"):
        await rig.program()


async def test_a_name_is_text_and_no_sql(rig: Rig) -> None:
    odd = {"user": "we`b-'U\\ser\"", "database": "sh`o_p% DROP--'"}
    if (await rig.program()).name == "mysql":
        # Whatever reads its --init-file finds quotes inside of names, too; no file of ours can have such names.
        odd = {"user": "we`b-U\\ser", "database": "sh`o_p% DROP--"}
    rig.resource = replace(DATABASE, user=odd["user"], name=odd["database"])
    await rig.start()
    do(rig, "CREATE TABLE `t``x` (id int)", "INSERT INTO `t``x` VALUES (7)", **odd)
    assert rows(rig, "SELECT DATABASE()", **odd) == [(odd["database"],)]
    file = rig.folder / "odd.sql"
    await backup(rig, file)
    do(rig, "DELETE FROM `t``x`", **odd)
    await restore(rig, file)
    assert rows(rig, "SELECT id FROM `t``x`", **odd) == [(7,)]
    assert rig.stop() == 0


def test_a_pattern_of_a_name_matches_that_name_only() -> None:
    assert pattern("my_shop") == "`my\\_shop`"
    assert pattern("a%b`c\\") == "`a\\%b``c\\\\`"


# Backups


def is_mariadb(rig: Rig) -> bool:
    return "MariaDB" in rows(rig, "SELECT VERSION()")[0][0]


def fill(rig: Rig) -> None:
    do(
        rig,
        "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, text longtext, raw longblob, n int DEFAULT 1, twice int AS (n * 2) STORED)",
        "CREATE TABLE child (t int, FOREIGN KEY (t) REFERENCES t (id))",
        "CREATE TABLE `odd ``name` (id int)",
        "CREATE VIEW w AS SELECT 1 AS one",
        "CREATE FUNCTION doubled(a int) RETURNS int DETERMINISTIC RETURN a * 2",
        "CREATE VIEW v AS SELECT text, doubled(id) AS d FROM t WHERE id > (SELECT MIN(one) - 1 FROM w)",
        "CREATE PROCEDURE p() BEGIN SELECT doubled(21); END",
        "CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.t = NEW.t",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM child WHERE t < 0",
    )
    if is_mariadb(rig):
        do(rig, "CREATE SEQUENCE s START WITH 5", "SELECT NEXTVAL(s)")
    with connect(rig) as cursor:
        cursor.execute("INSERT INTO t (text, raw) VALUES (%s, %s)", (UNICODE, BLOB))
        cursor.execute("INSERT INTO child VALUES (1)")


def check_filled(rig: Rig, **login: Any) -> None:
    user = login.get("user", "web_user")
    assert rows(rig, "SELECT id, text, raw, twice FROM t", **login) == [(1, UNICODE, BLOB, 2)]
    assert rows(rig, "SELECT text, d FROM v", **login) == [(UNICODE, 2)]
    assert rows(rig, "CALL p()", **login) == [(42,)]
    assert rows(rig, "SHOW TRIGGERS", **login)[0][0] == "tr"
    assert rows(rig, "SELECT event_name, definer FROM information_schema.events", **login) == [("e", f"{user}@%")]
    with pytest.raises(pymysql.err.IntegrityError):
        do(rig, "INSERT INTO child VALUES (99)", **login)
    assert rows(rig, "SELECT definer FROM information_schema.views WHERE table_schema = DATABASE()", **login) == [
        (f"{user}@%",), (f"{user}@%",)
    ]  # fmt: skip
    if login.get("database", "my_shop") and "MariaDB" in rows(rig, "SELECT VERSION()", **login)[0][0]:
        assert rows(rig, "SELECT NEXTVAL(s)", **login)[0][0] > 5


def empty(rig: Rig) -> None:
    as_admin(rig, "DROP DATABASE my_shop; CREATE DATABASE my_shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci")


@pytest.fixture
def filled(server: Rig) -> Iterator[Rig]:
    fill(server)
    yield server
    empty(server)


def databases(rig: Rig) -> set[str]:
    return set(as_admin(rig, "SHOW DATABASES").split())


async def test_a_backup_brings_everything_back(filled: Rig) -> None:
    file = filled.folder / "shop.sql"
    await backup(filled, file)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert os.stat(file).st_uid == os.getuid()
    said: list[str] = []
    with connect(filled) as held:
        do(filled, "DELETE FROM child", "DELETE FROM t", "DROP TRIGGER tr", "DROP VIEW v", "CREATE TABLE later (id int)",
           "CREATE VIEW later_too AS SELECT 1 AS one", "CREATE PROCEDURE later_as_well() SELECT 1")  # fmt: skip
        await restore(filled, file, said.append)
        with pytest.raises(pymysql.err.Error):
            held.execute("SELECT 1")
    check_filled(filled)
    for gone in ("SELECT * FROM later", "SELECT * FROM later_too", "CALL later_as_well()"):
        with pytest.raises(pymysql.err.Error):
            do(filled, gone)
    assert said[-1] == "the new tables take the place of the old ones; connections end"
    assert not databases(filled) & {FRESH, REPLACED}
    assert LOADER not in as_admin(filled, "SELECT user FROM mysql.user")
    assert as_admin(filled, "SELECT @@global.max_allowed_packet").strip() == str(64 << 20)
    with pytest.raises(ResourceError, match="cannot be written"):
        await backup(filled, file)
    file.unlink()


async def test_a_backup_goes_into_a_database_with_another_name_and_owner(filled: Rig) -> None:
    file = filled.folder / "other.sql"
    await backup(filled, file)
    with a_folder() as folder:
        other = a_rig(folder, name="market", user="trader")
        try:
            await other.start()
            await restore(other, file)
            check_filled(other, user="trader", database="market")
        finally:
            other.end()
    file.unlink()


async def test_a_large_value_comes_back(filled: Rig, tmp_path: Path) -> None:
    """As text it is larger than what the server takes of others."""
    do(filled, "CREATE TABLE large (raw longblob)", "INSERT INTO large VALUES (REPEAT(UNHEX('AB'), 40000000))")
    file = tmp_path / "large.sql"
    await backup(filled, file)
    assert file.stat().st_size > 80_000_000
    do(filled, "DELETE FROM large")
    await restore(filled, file)
    assert rows(filled, "SELECT LENGTH(raw), HEX(SUBSTR(raw, 1, 2)) FROM large") == [(40_000_000, "ABAB")]


async def test_a_file_that_is_no_whole_backup_is_refused_and_nothing_happens(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    whole = file.read_bytes()
    for name, content in {
        "empty": b"", "postgres": b"PGDMP" + bytes(100), "sql": b"DROP TABLE t;\n-- Dump completed\n", "zip": b"PK\3\4" + bytes(99),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ResourceError) as refused:
            await restore(filled, tmp_path / name)
        assert "is no backup of a MySQL that can be restored here" in refused.value.what, name
        assert "mariadb-dump" in refused.value.next_step
    for size in (len(whole) - 60, len(whole) // 2, 200):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(ResourceError, match="it was cut short"):
            await restore(filled, tmp_path / "cut")
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(ResourceError):
            await restore(filled, missing)
    check_filled(filled)


EVIL = (
    "THIS IS NO SQL;",
    "DELETE FROM my_shop.t;",
    "USE my_shop;\nDROP TABLE t;",
    "CREATE DATABASE elsewhere;",
    "DROP DATABASE mysql;",
    "GRANT ALL ON *.* TO web_user;",
    "\\! touch {marker}",
    "system touch {marker}",
    "SELECT 1 INTO OUTFILE '{marker}';",
)


async def test_a_dump_that_fails_or_reaches_for_more_leaves_the_old_data(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    marker = filled.folder / "k" / "owned"
    do(filled, "INSERT INTO t (text) VALUES ('later')")
    for evil in EVIL:
        # Without the first line, which asks the client for caution itself.
        lines = [line for line in file.read_bytes().splitlines(keepends=True) if b"sandbox" not in line]
        lines.insert(len(lines) - 3, evil.format(marker=marker).encode() + b"\n")
        (tmp_path / "evil").write_bytes(b"".join(lines))
        with pytest.raises(ResourceError) as refused:
            await restore(filled, tmp_path / "evil")
        assert "which is as it was" in refused.value.what, evil
        assert not marker.exists(), evil
        assert rows(filled, "SELECT COUNT(*) FROM t") == [(2,)], evil
        assert LOADER not in as_admin(filled, "SELECT user FROM mysql.user")
    await restore(filled, file)
    check_filled(filled)


async def test_a_restore_that_is_cut_off_leaves_the_old_data_and_can_be_repeated(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    do(filled, "INSERT INTO t (text) VALUES ('later')")
    for step in (0, 1):
        said: list[str] = []

        def cut(line: str, said: list[str] = said, step: int = step) -> None:
            said.append(line)
            if len(said) > step:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await restore(filled, file, cut)
        assert rows(filled, "SELECT COUNT(*) FROM t") == [(2,)]
        assert rows(filled, "SHOW TRIGGERS")[0][0] == "tr"
    await restore(filled, file)
    check_filled(filled)
    assert not databases(filled) & {FRESH, REPLACED}


async def test_connections_and_open_transactions_do_not_stop_a_restore(filled: Rig, tmp_path: Path) -> None:
    file = tmp_path / "whole"
    await backup(filled, file)
    over = False

    def connect_often() -> None:
        while not over:
            with contextlib.suppress(pymysql.err.Error), connect(filled) as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT COUNT(*) FROM t")
                cursor.execute("SELECT SLEEP(0.05)")

    clients = [asyncio.create_task(asyncio.to_thread(connect_often)) for _ in range(3)]
    try:
        with connect(filled) as held:
            # Its lock on the table lasts as long as its transaction.
            held.execute("BEGIN")
            held.execute("SELECT COUNT(*) FROM t")
            await restore(filled, file)
    finally:
        over = True
        await asyncio.gather(*clients)
    check_filled(filled)


async def test_an_empty_database_can_be_backed_up_and_restored(server: Rig, tmp_path: Path) -> None:
    file = tmp_path / "empty.sql"
    await backup(server, file)
    do(server, "CREATE TABLE t (id int)")
    await restore(server, file)
    assert rows(server, "SHOW TABLES") == []
    await restore(server, file)


# Without definers


def stripped(text: bytes, tmp_path: Path) -> bytes:
    (tmp_path / "dump").write_bytes(text)
    with (tmp_path / "dump").open("rb") as file:
        return b"".join(without_definers(file.fileno()))


@pytest.mark.parametrize(
    ("line", "without"),
    [
        (b"/*!50013 DEFINER=`a`@`%` SQL SECURITY DEFINER */\n", b"/*!50013 SQL SECURITY DEFINER */\n"),
        (b"/*!50003 CREATE*/ /*!50017 DEFINER=`a``b`@`l`*/ /*!50003 TRIGGER x\n",
         b"/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER x\n"),
        (b"CREATE DEFINER=`a`@`%` PROCEDURE `p`()\n", b"CREATE PROCEDURE `p`()\n"),
        (b"/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT `e` ON\n",
         b"/*!50106 CREATE*/ /*!50117 */ /*!50106 EVENT `e` ON\n"),
        (b"CREATE OR REPLACE DEFINER=`role` PACKAGE p\n", b"CREATE OR REPLACE PACKAGE p\n"),
        (b"INSERT INTO t VALUES ('CREATE DEFINER=`a`@`%` x');\n", b"INSERT INTO t VALUES ('CREATE DEFINER=`a`@`%` x');\n"),
        (b" CREATE DEFINER=`a`@`%` x", b" CREATE DEFINER=`a`@`%` x"),
        (b"", b""),
    ],
)  # fmt: skip
def test_definitions_lose_their_owner_and_data_lose_nothing(tmp_path: Path, line: bytes, without: bytes) -> None:
    assert stripped(b"-- before\n" + line, tmp_path) == b"-- before\n" + without


def test_the_middle_of_a_long_line_is_no_beginning(tmp_path: Path) -> None:
    text = b"x" * PIECE + b"CREATE DEFINER=`a`@`%` x\n" + bytes(range(256)) * 1000
    assert stripped(text, tmp_path) == text


# Looking into it


async def test_the_shell_is_the_client_as_the_owner_with_no_password_in_its_words(server: Rig) -> None:
    shell = await server.recipe.shell(await server.program(), server.resource, server.place)
    assert not any(server.password in word for word in (*shell.argv, shell.says))
    done = subprocess.run(
        [*shell.argv, "--batch", "--skip-column-names", "--execute=SELECT CURRENT_USER(), DATABASE()"],
        env={"PATH": "/usr/bin:/bin", **shell.environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "web_user@%\tmy_shop\n"
