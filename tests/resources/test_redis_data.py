"""Backups of caches, and back, while they serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from fairlead.aiokit.polling import wait_until
from fairlead.errors import ResourceError
from fairlead.resources.redis_admin import admin, do
from tests.resources.redis_rig import a_cache, backed_up, connect, contents, fill, restored
from tests.resources.rig import SOON, Rig, command_lines

pytestmark = pytest.mark.live


async def test_a_backup_brings_everything_back(kept: Rig, copies: str) -> None:
    before = fill(kept)
    file = await backed_up(kept)
    assert os.stat(file).st_mode & 0o777 == 0o600
    with connect(kept) as client:
        client.flushall()
        client.function_flush()
        client.set("new", "since")
    assert await restored(kept, file)
    assert contents(kept) == before
    # It is written down, and another server can have it, too.
    kept.kill()
    await kept.start()
    assert contents(kept) == before
    with a_cache(copies) as other:
        await other.start()
        await restored(other, file)
        assert contents(other) == before


async def test_nothing_of_a_backup_or_a_restore_stays_behind(cache: Rig) -> None:
    fill(cache)
    run_before, data_before = sorted(os.listdir(cache.place.run)), sorted(os.listdir(cache.folder / "r"))
    file = await backed_up(cache)
    await restored(cache, file)
    assert sorted(os.listdir(cache.place.run)) == run_before
    assert sorted(os.listdir(cache.folder / "r")) == data_before
    assert os.listdir(cache.place.data) == []
    async with await admin(cache.place.run) as connection:
        assert await do(connection, "CONFIG", "GET", "masterauth") == [b"masterauth", b""]
        assert await do(connection, "CONFIG", "GET", "replica-read-only") == [b"replica-read-only", b"yes"]
        role = await do(connection, "ROLE")
    assert isinstance(role, list)
    assert role[0] == b"master"
    assert f"{cache.place.run}/restore.conf" not in command_lines()


async def test_a_restore_keeps_the_limits_and_the_password_of_the_cache(copies: str, kept: Rig) -> None:
    with connect(kept) as client:
        for number in range(1000):
            client.set(f"key-{number}", b"x" * 10_000)
    file = await backed_up(kept)
    with a_cache(copies, memory=5_000_000) as small:
        await small.start()
        await restored(small, file)
        with connect(small) as client:
            client.set("one more", "1")
            assert client.info("memory")["used_memory"] < 6_000_000


async def test_writers_wait_while_data_are_restored_and_none_is_lost(kept: Rig) -> None:
    fill(kept)
    file = await backed_up(kept)
    stop, problems, written = threading.Event(), [], []

    def write() -> None:
        with connect(kept) as client:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    client.set("written", number)
                    written.append(number)
                except redis.exceptions.BusyLoadingError:
                    pass
                except redis.RedisError as problem:
                    problems.append(problem)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        await wait_until(lambda: len(written) > 10, SOON, "some writes")
        await restored(kept, file)
        at = len(written)
        await wait_until(lambda: len(written) > at + 10, SOON, "some more writes")
    finally:
        stop.set()
        writer.join()
    assert problems == []
    with connect(kept) as client:
        assert client.get("written") == str(written[-1]).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 100, b"PGDMP\x01\x10", b"-- MySQL dump", b"REDIS", b"REDIS0011", b"REDIS0011" + b"\xff" * 200,
        b"REDIS0012\xfa\x09redis-ver\x057.4.0\xff\0\0\0\0\0\0\0\0", b"VALKEY999" + b"\xff" * 9, b"*3\r\n$3\r\nSET\r\n",
    ],
    ids=lambda content: repr(content)[:20],
)  # fmt: skip
async def test_a_file_that_is_no_backup_changes_nothing(kept: Rig, content: bytes) -> None:
    before = fill(kept)
    foreign = kept.folder / "foreign"
    foreign.write_bytes(content)
    with pytest.raises(ResourceError) as raised:
        await restored(kept, str(foreign))
    assert raised.value.what
    assert contents(kept) == before
    assert await kept.recipe.ask(kept.resource, kept.place) == ""


async def test_a_backup_with_a_changed_byte_changes_nothing(kept: Rig) -> None:
    before = fill(kept)
    file = Path(await backed_up(kept))
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    for content in (bytes(whole), bytes(whole[: len(whole) // 2])):
        file.write_bytes(content)
        with pytest.raises(ResourceError, match="cannot be loaded"):
            await restored(kept, str(file))
        assert contents(kept) == before


async def test_a_missing_file_a_folder_and_a_pipe_are_refused(kept: Rig) -> None:
    os.mkfifo(kept.folder / "pipe")
    for name in ("missing", "r", "pipe"):
        with pytest.raises(ResourceError):
            await restored(kept, str(kept.folder / name))


async def test_a_daemon_that_dies_in_a_restore_leaves_a_server_that_is_mended_by_asking(kept: Rig) -> None:
    before = fill(kept)
    async with await admin(kept.place.run) as connection:
        await do(connection, "CLIENT", "PAUSE", 600_000, "WRITE")
        await do(connection, "CONFIG", "SET", "replica-read-only", "no")
        await do(connection, "REPLICAOF", "127.0.0.1", 1)
    assert await kept.recipe.ask(kept.resource, kept.place) == ""
    assert contents(kept) == before
    with connect(kept) as client:
        assert client.role()[0] == b"master"
        client.set("writes", "go on")


async def test_two_restores_at_once_are_refused(kept: Rig) -> None:
    file = await backed_up(kept)
    both = await asyncio.gather(restored(kept, file), restored(kept, file), return_exceptions=True)
    assert [isinstance(one, ResourceError) for one in both].count(True) == 1


async def test_a_backup_of_much_is_whole_while_it_is_written_to(kept: Rig) -> None:
    with connect(kept) as client:
        client.execute_command("EVAL", "for i = 1, 100000 do redis.call('SET', 'k' .. i, i) end", 0)
        file = asyncio.create_task(backed_up(kept))
        for number in range(200):
            await asyncio.to_thread(client.set, f"later-{number}", "x")
        await restored(kept, await file)
        assert client.dbsize() >= 100_000
        assert client.get("k77777") == b"77777"


async def test_a_server_that_is_killed_in_a_restore_has_the_old_data_or_the_new(kept: Rig) -> None:
    with connect(kept) as client:
        many = "for i = 1, 300000 do redis.call('SET', ARGV[1] .. i, i) end"
        client.execute_command("EVAL", many, 0, "new")
        file = await backed_up(kept)
        client.flushall()
        client.execute_command("EVAL", many, 0, "old")
        await asyncio.to_thread(client.waitaof, 1, 0, 30_000)
    task = asyncio.create_task(restored(kept, file))
    async with await admin(kept.place.run) as connection:

        async def is_taking_over() -> bool:
            role = await do(connection, "ROLE")
            return (isinstance(role, list) and role[0] == b"slave") or task.done()

        question: Any = is_taking_over
        await wait_until(question, SOON, "the restore to take over")
    kept.kill()
    with contextlib.suppress(ResourceError):
        await task
    await kept.start()
    with connect(kept) as client:
        keys = (client.dbsize(), client.exists("old1", "old300000"), client.exists("new1", "new300000"))
    assert keys in ((300_000, 2, 0), (300_000, 0, 2))


async def test_a_restore_that_is_given_up_leaves_the_server_serving(kept: Rig) -> None:
    with connect(kept) as client:
        client.execute_command("EVAL", "for i = 1, 100000 do redis.call('SET', 'k' .. i, i) end", 0)
        file = await backed_up(kept)
        client.set("since", "1")
        for pause in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6):
            task = asyncio.create_task(restored(kept, file))
            await asyncio.sleep(pause)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert client.role()[0] == b"master"
            client.set("writes", "go on")
            assert client.dbsize() in (100_001, 100_002)
    assert sorted(os.listdir(kept.place.run)) == ["admin", "ask.sock", "redis.conf"]
    assert os.listdir(kept.folder / "r") == ["data"]
