"""Caches as resources: a real Valkey serves, keeps, forgets and keeps out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cashews
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.addresses import addresses_here
from fairlead.errors import ResourceError
from fairlead.resources.recipe import Hindered
from fairlead.resources.redis_admin import admin
from tests.needs import need
from tests.resources.redis_rig import a_cache, backed_up, connect, contents, fill, restored
from tests.resources.rig import SOON, Rig, command_lines, environments, whom

pytestmark = pytest.mark.live


async def test_a_service_gets_in_with_its_password_only(cache: Rig) -> None:
    with connect(cache) as client:
        assert client.ping()
    for wrong in ("", "wrong", "correct-horse-battery-staple-0002"):
        stranger = redis.Redis(port=cache.port, password=wrong or None, retry=Retry(NoBackoff(), 0))
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)), stranger as client:
            client.ping()
    admin_of_old = redis.Redis(
        port=cache.port, username="fairlead", password=cache.password, retry=Retry(NoBackoff(), 0)
    )
    with pytest.raises(redis.AuthenticationError), admin_of_old as client:
        client.ping()


async def test_the_password_of_another_resource_is_refused_when_asking(cache: Rig, copies: str) -> None:
    with a_cache(copies) as other:
        await other.start()
        Path(cache.place.run, "admin").write_text(Path(other.place.run, "admin").read_text())
        assert await cache.recipe.ask(cache.resource, cache.place) == "another server answers in its place"


@pytest.mark.parametrize(
    "words",
    [
        ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/tmp"), ("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/x.so"),
        ("SHUTDOWN",), ("SAVE",), ("BGSAVE",), ("BGREWRITEAOF",), ("REPLICAOF", "127.0.0.1", "1"), ("SYNC",),
        ("SLAVEOF", "NO", "ONE"), ("MIGRATE", "127.0.0.1", "1", "k", "0", "1"), ("ACL", "SETUSER", "x"),
        ("ACL", "LIST"), ("FAILOVER",), ("PSYNC", "?", "-1"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_a_service_may_not_touch_files_settings_or_the_server_itself(cache: Rig, words: tuple[str, ...]) -> None:
    with connect(cache) as client, pytest.raises(redis.ResponseError, match=r"no permissions|not allowed"):
        client.execute_command(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("INFO",), ("KEYS", "*"), ("SCAN", "0"), ("FLUSHDB",), ("FLUSHALL",), ("CLIENT", "LIST"), ("SLOWLOG", "GET"),
        ("CLIENT", "SETNAME", "rq"), ("ACL", "WHOAMI"), ("SORT", "nothing"), ("SWAPDB", "0", "1"), ("DBSIZE",),
        ("EVAL", "return redis.call('INCR', 'n')", "0"), ("CLIENT", "NO-EVICT", "OFF"), ("COMMAND",),
        ("LATENCY", "LATEST"), ("MEMORY", "USAGE", "nothing"), ("OBJECT", "HELP"), ("PUBLISH", "channel", "x"),
        ("ROLE",), ("LASTSAVE",), ("WAIT", "0", "1"), ("XADD", "stream", "*", "a", "b"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_a_service_may_do_what_clients_usually_do(cache: Rig, words: tuple[str, ...]) -> None:
    with connect(cache) as client:
        client.execute_command(*words)


async def test_a_full_cache_forgets_what_was_not_used_for_long(copies: str) -> None:
    with a_cache(copies, memory=8_000_000) as cache:
        await cache.start()
        with connect(cache) as client:
            for number in range(2000):
                client.set(f"key-{number}", b"x" * 10_000)
            assert client.info("memory")["used_memory"] < 9_000_000
            assert client.info("stats")["evicted_keys"] > 500
            # Which ones it takes is a matter of samples and of a clock that counts seconds; not which it prefers.
            assert client.info("memory")["maxmemory_policy"] == "allkeys-lru"
            assert client.get("key-1999") is not None


def refused_after(client: Any) -> int:
    """How many values go in before one is refused."""
    for number in range(2000):
        try:
            client.set(f"key-{number}", b"x" * 10_000)
        except redis.exceptions.OutOfMemoryError:
            return number
    return 2000


async def test_a_full_cache_that_may_forget_nothing_refuses_writes_and_still_answers(copies: str) -> None:
    with a_cache(copies, memory=8_000_000, eviction="noeviction") as cache:
        await cache.start()
        with connect(cache) as client:
            assert 500 < refused_after(client) < 1000
            assert client.get("key-0") == b"x" * 10_000
        assert await cache.recipe.ask(cache.resource, cache.place) == ""


async def test_what_is_kept_outlives_a_stop_and_a_kill(kept: Rig) -> None:
    before = fill(kept)
    assert kept.stop() == 0
    await kept.start()
    assert contents(kept) == before
    with connect(kept) as client:
        client.set("last", "1")
        # What is flushed each second is at most a second old.
        await asyncio.to_thread(client.waitaof, 1, 0, 30_000)
    kept.kill()
    await kept.start()
    with connect(kept) as client:
        assert client.get("last") == b"1"
        client.delete("last")
    assert contents(kept) == before


async def test_what_is_not_kept_any_more_is_set_aside_and_does_not_come_back(copies: str) -> None:
    with a_cache(copies, persist=True) as cache:
        await cache.start()
        with connect(cache) as client:
            client.set("a", "1")
        cache.stop()
        cache.resource = replace(cache.resource, persist=False)
        await cache.start()
        with connect(cache) as client:
            assert client.get("a") is None
            client.set("b", "1")
        cache.stop()
        assert os.listdir(cache.place.data) == []
        assert "appendonlydir" in os.listdir(f"{cache.place.data}.kept-1"), "nobody asked for its deletion"
        cache.resource = replace(cache.resource, persist=True)
        await cache.start()
        with connect(cache) as client:
            assert client.keys() == []


async def test_preparing_again_changes_nothing_of_the_data(kept: Rig) -> None:
    before = fill(kept)
    kept.stop()
    for _ in range(3):
        await kept.prepare()
    await kept.launch()
    await kept.answering()
    assert contents(kept) == before


async def test_it_says_why_it_does_not_answer(kept: Rig) -> None:
    ask = kept.recipe.ask
    assert kept.process is not None
    assert await ask(kept.resource, kept.place) == ""
    async with await admin(kept.place.run) as connection:
        # The connection that sleeps is not answered meanwhile.
        connection.send(("EVAL", "local n = 0 while true do n = n + 1 end", 0))
        await connection._writer.drain()
        clause = ""

        async def says_busy() -> bool:
            nonlocal clause
            clause = await ask(kept.resource, kept.place)
            return "script" in clause

        question: Any = says_busy
        await wait_until(question, SOON, "the clause of a busy server", seen=lambda: clause)
        assert clause == "it is busy with a script that does not end"
    kept.end()
    assert await ask(kept.resource, kept.place) == "it does not accept connections yet"
    Path(kept.place.run, "ask.sock").unlink()
    assert await ask(kept.resource, kept.place) == "it does not accept connections yet"
    for reply, clause in (
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it is loading its data"),
        (
            b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
            "it refuses writes: Errors writing to the AOF file: No space left on device",
        ),
        (b"-ERR max number of clients reached\r\n", "max number of clients reached"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no reply of a Redis"),
        (b"", "the connection was closed"),
        (None, "it did not answer within 2 s"),
    ):
        async with a_liar(f"{kept.place.run}/ask.sock", reply):
            told = await ask(kept.resource, kept.place)
            assert clause in told
            # Of all these only a full disk is there after another start, too.
            assert isinstance(told, Hindered) == ("refuses writes" in clause)


@contextlib.asynccontextmanager
async def a_liar(path: str, reply: bytes | None) -> AsyncIterator[None]:
    """A server that greets with OK and then says `reply` to everything, or nothing for ever."""
    answered = asyncio.Event()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"AUTH")
        if reply is None:
            await reader.read()
        else:
            writer.write(b"+OK\r\n" + reply * 2)
        writer.close()
        answered.set()

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    async with await asyncio.start_unix_server(lie, path):
        yield
        await answered.wait()


async def test_the_password_is_seen_by_nobody(kept: Rig) -> None:
    fill(kept)
    await restored(kept, await backed_up(kept))
    kept.stop()
    await kept.start()
    assert kept.process is not None
    key = Path(kept.place.run, "admin").read_text()
    for secret in (kept.password, key):
        assert secret not in command_lines()
        assert secret not in environments(kept.process.pid)
        assert secret not in kept.log
    readable = [path for path in kept.folder.rglob("*") if path.is_file() and path.name != "admin"]
    assert readable
    for path in readable:
        assert kept.password.encode() not in path.read_bytes(), path


async def test_files_are_its_users_alone(kept: Rig) -> None:
    fill(kept)
    owner = (whom() or (os.getuid(), os.getgid()))[0]
    for folder in (Path(kept.place.data), Path(kept.place.run)):
        for path in (folder, *folder.rglob("*")):
            found = path.lstat()
            assert found.st_uid == owner, path
            assert found.st_mode & 0o077 == 0, path
    assert kept.process is not None
    assert os.stat(f"/proc/{kept.process.pid}").st_uid == owner


async def test_a_link_in_place_of_its_folder_leads_nowhere(copies: str) -> None:
    need(whom() is not None, "only root could be led astray")
    with a_cache(copies, persist=True) as cache:
        place, trap = cache.place, cache.folder / "trap"
        trap.mkdir(0o755)
        os.symlink(trap, place.data)
        with pytest.raises(ResourceError):
            await cache.prepare()
        assert list(trap.iterdir()) == []
        assert trap.stat().st_uid == 0


async def test_a_strange_path_and_a_strange_password_work(copies: str) -> None:
    with a_cache(copies) as cache:
        cache.folder = cache.folder / "a 'b' \"c\" \\x ü #"
        cache.folder.mkdir()
        cache.folder.chmod(0o755)
        cache.password = "pass word #'\"\\üß"
        await cache.start()
        with connect(cache) as client:
            assert client.ping()


async def test_the_shell_shows_replies_and_its_password_is_not_in_its_words(cache: Rig) -> None:
    shell = await cache.recipe.shell(await cache.program(), cache.resource, cache.place)
    assert cache.password not in " ".join(shell.argv)
    done = subprocess.run(
        shell.argv, env={**os.environ, **shell.environment}, input='SET greeting "hello world"\nGET greeting\nNO such\n',
        capture_output=True, text=True, timeout=SOON,
    )  # fmt: skip
    assert done.stdout.splitlines()[:2] == ["OK", "hello world"]
    assert "unknown command" in done.stdout


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
async def test_the_caching_library_of_the_example_works(cache: Rig) -> None:
    calls = []
    library = cashews.Cache()
    library.setup(addresses_here(cache.resource, cache.port, cache.password)["url"], client_side=False)

    @library(ttl="1m", lock=True)
    async def upstream(address: str) -> str:
        calls.append(address)
        await asyncio.sleep(0.1)
        return f"of {address}"

    try:
        assert await asyncio.gather(*(upstream("8.8.8.8") for _ in range(20))) == ["of 8.8.8.8"] * 20
        await library.set("a", 1, expire=60)
        assert await library.get("a") == 1
        assert await library.incr("n") == 1
        await library.clear()
        assert await library.get("a") is None
    finally:
        await library.close()
    assert calls == ["8.8.8.8"]
