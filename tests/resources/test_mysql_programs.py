"""Which MariaDB is run, on which data, under which names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.errors import ResourceError
from fairlead.resources import mysql_programs
from fairlead.resources.base import Program
from fairlead.resources.mysql import Mysql
from fairlead.resources.mysql_accounts import pattern
from tests.needs import need
from tests.resources.mysql_rig import (
    DATABASE,
    backup,
    do,
    prepared,
    restore,
    rows,
)
from tests.resources.rig import Rig

pytestmark = pytest.mark.live


@pytest.fixture
def rig() -> Iterator[Rig]:
    """One that nothing was done with."""
    with prepared() as made:
        yield made


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
