"""Which PostgreSQL is run, on which data, under which names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.errors import ResourceError
from fairlead.resources import postgres_programs
from tests.needs import need
from tests.resources.postgres_rig import DATABASE, PATH, do, prepared, rows
from tests.resources.rig import Rig, a_folder

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
