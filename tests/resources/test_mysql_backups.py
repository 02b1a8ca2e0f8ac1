"""MariaDB backed up and restored: real servers, whole files, foreign ones and broken ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from fairlead.errors import ResourceError
from fairlead.resources.mysql_definers import PIECE, without_definers
from fairlead.resources.mysql_restore import FRESH, LOADER, REPLACED
from tests.resources.mysql_rig import (
    a_rig,
    a_server,
    as_admin,
    backup,
    connect,
    do,
    restore,
    rows,
)
from tests.resources.rig import Rig, a_folder

pytestmark = pytest.mark.live


UNICODE = "Grüße, 世界, 🦀, \\ ' \" \t \n--\nCREATE DEFINER=`root`@`localhost` x"

BLOB = bytes(range(256)) + random.Random(8).randbytes(300_000)


@pytest.fixture(scope="module")
def server() -> Iterator[Rig]:
    """One that answers; tests leave it as they found it."""
    with a_server() as made:
        yield made


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
        assert FRESH not in databases(filled), "what was loaded takes no room"
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
