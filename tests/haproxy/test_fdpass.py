"""Sockets change hands whole, however many, and never leak into programs; files are written whole."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.aiokit.atomic import write_atomically
from fairlead.aiokit.fdpass import Lender, borrow


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.live
@pytest.mark.parametrize("count", [1, 252, 253, 600])
async def test_what_is_lent_is_what_is_borrowed(count: int, folder: Path) -> None:
    path = str(folder / "lend")
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener.dup() for _ in range(count)]
    async with Lender(path, sockets):
        assert os.stat(path).st_mode & 0o777 == 0o600
        for _ in range(2):
            taken = await asyncio.to_thread(borrow, path)
            assert {one.getsockname() for one in taken} == {listener.getsockname()}
            assert len(taken) == count
            assert not any(one.get_inheritable() for one in taken)
            for one in taken:
                one.close()
    assert not Path(path).exists()
    for one in (*sockets, listener):
        one.close()


@pytest.mark.live
async def test_who_says_something_else_gets_nothing_and_the_next_is_served(folder: Path) -> None:
    path = str(folder / "lend")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Lender(path, [listener]):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"hello\n")
            assert await reader.read() == b""
            writer.close()
            (taken,) = await asyncio.to_thread(borrow, path)
            taken.close()


def test_nobody_to_borrow_from_is_an_error(folder: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        borrow(str(folder / "lend"))


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_with_its_mode(folder: Path, durable: bool) -> None:
    path = folder / "a.cfg"
    write_atomically(str(path), "old", durable=durable)
    write_atomically(str(path), "new é\udcff", 0o640, durable=durable)
    assert path.read_bytes() == b"new \xc3\xa9\xff"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(folder) == ["a.cfg"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder: Path) -> None:
    (folder / "a.cfg").mkdir()
    with pytest.raises(OSError, match=r"a\.cfg"):
        write_atomically(str(folder / "a.cfg"), "new")
    assert os.listdir(folder) == ["a.cfg"]
