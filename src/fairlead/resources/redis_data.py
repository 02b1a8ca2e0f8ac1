"""Backups of a Valkey or Redis, while it serves: its present data as one snapshot, and back.

A backup is what a replica would get: the server hands it over by the socket, and no file is left beside its data. For a
restore, a second server is started on the snapshot, where nobody knows it; when it cannot load it, nothing was changed.
Then the first one becomes a replica of the second until it has the data, and is its own master again. Meanwhile its
clients wait with what they want to write; while it loads, their reads are refused (LOADING). It keeps the old data
until it has all of the new, and a restore that is cut short leaves it with either.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from fairlead.aiokit import programs
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.trees import remove_tree
from fairlead.core.resources.addresses import HOST
from fairlead.core.resources.model import Cache
from fairlead.errors import ResourceError
from fairlead.resources.base import Program
from fairlead.resources.dumps import opened
from fairlead.resources.files import acting_as, copy_private, new_file, write_private
from fairlead.resources.recipe import Place
from fairlead.resources.redis_admin import admin, do, facts, key_in, release
from fairlead.resources.redis_config import ADMIN, configuration
from fairlead.resources.resp import Connection, Refusal

SILENCE = 60.0
"""Seconds without a byte after which a snapshot is given up; the server sends at least a line end every 10 s."""

MARK = 40
"""Bytes of the mark that ends a snapshot of unknown length."""

CHUNK = 1 << 20

PATIENCE = 3600.0
"""Seconds for a snapshot to be loaded, or to be taken over."""

PAUSE = 5.0
"""Seconds that writes wait at most after this daemon was killed in the middle of a restore."""

SCRATCH = "restore"
"""How what a restore needs is called: a folder beside the data, a socket and a configuration in the run folder."""

Question = Callable[[], bool | Awaitable[bool]]

_COMPLAINT = re.compile(
    r"Can't handle RDB format version \d+|Wrong signature[^\n]*|RDB CRC error|Unexpected EOF[^\n]*|Out Of Memory[^\n]*",
    re.IGNORECASE,
)

_SIGNATURE = re.compile(rb"(REDIS|VALKEY)\d{3,4}")


async def backup(cache: Cache, place: Place, file: str) -> None:
    """Write a snapshot into `file`. ResourceError, OSError."""
    async with await admin(place.run) as connection:
        # From 7.0 on it may send the snapshot only, and not what changes afterwards.
        await do(connection, "REPLCONF", "rdb-only", "1")
        await do(connection, "REPLCONF", "capa", "eof")
        connection.send(("SYNC",))
        mark, tail = await _announced(connection), b""
        with os.fdopen(new_file(file), "wb") as target:
            while tail[-MARK:] != mark:
                chunk = await _within(connection.reader.read(CHUNK))
                if not chunk:
                    raise ResourceError(f"the backup of the cache {cache.id} was cut short", "it ended the connection")
                # What may be the mark, or its beginning, is kept back.
                tail += chunk
                await asyncio.to_thread(target.write, tail[:-MARK])
                tail = tail[-MARK:]


async def restore(program: Program, cache: Cache, place: Place, file: str, progress: Callable[[str], None]) -> None:
    """Replace its data by those of the snapshot `file`. ResourceError, OSError."""
    with opened(file) as source:
        if not _SIGNATURE.match(os.pread(source, 10, 0)):
            wanted = "give a file that `fairlead data backup` has made of a cache, or another snapshot (RDB)"
            raise ResourceError(f"{file} is no snapshot of a Redis or Valkey", "it does not begin like one", wanted)
        async with _scratch(program, cache, place, source, file) as port:
            progress(f"{file} can be loaded; {cache.id} takes it over")
            async with await admin(place.run) as connection:
                await _take_over(connection, cache, port, key_in(place.run))
                if cache.persist:
                    await _kept(connection, cache)


async def _announced(connection: Connection) -> bytes:
    """The mark that will end the snapshot."""
    while True:
        line = await _within(connection.reader.readline())
        if line.startswith(b"$EOF:") and len(line) == MARK + 7:
            return line[5:-2]
        if line.strip() or not line:  # empty lines say that it is still at work
            raise ResourceError("the cache hands over no snapshot", line.decode(errors="replace").strip())


async def _within(reading: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(SILENCE):
            return await reading
    except TimeoutError as problem:
        raise ResourceError("the cache hands over no snapshot", f"it was silent for {SILENCE:g} s") from problem


@asynccontextmanager
async def _scratch(program: Program, cache: Cache, place: Place, source: int, file: str) -> AsyncIterator[int]:
    """A second server that has loaded the snapshot; its port. ResourceError: it cannot. It ends with us."""
    folder, configured, port = f"{place.data}.{SCRATCH}", f"{place.run}/{SCRATCH}.conf", _free_port()
    text = configuration(
        replace(cache, memory=None, persist=False), data=folder, socket=f"{place.run}/{SCRATCH}.sock", port=port,
        password=key_in(place.run), admin=key_in(place.run),
    )  # fmt: skip

    def lay_out() -> None:
        with acting_as(place.user):
            remove_tree(folder)
            os.mkdir(folder, 0o700)
            copy_private(source, f"{folder}/dump.rdb")
            write_private(configured, text, None)

    def clear() -> None:
        with acting_as(place.user):
            for path in (folder, configured, f"{place.run}/{SCRATCH}.sock"):
                remove_tree(path)

    try:
        await asyncio.to_thread(lay_out)
        argv = [program.path, configured]
        running = asyncio.create_task(
            programs.run(argv, cwd="/", env={}, timeout=PATIENCE, user=place.user), name="a server for a restore"
        )
        try:
            await _loaded(running, place, program, file)
            yield port
        finally:
            running.cancel()
            await asyncio.wait([running])
    finally:
        await asyncio.to_thread(clear)


async def _loaded(running: asyncio.Task[programs.Finished], place: Place, program: Program, file: str) -> None:
    async def answers() -> bool:
        if running.done():
            said = running.result().output
            raise ResourceError(f"{file} cannot be loaded by {program}", _complaint(said), detail=said[-2000:])
        try:
            async with await admin(place.run, f"{SCRATCH}.sock") as connection:
                return not isinstance(await connection.ask("PING"), Refusal)
        except OSError:
            return False

    question: Question = answers
    await wait_until(question, PATIENCE, f"{program} to load {file}", error=ResourceError)


def _complaint(said: str) -> str:
    """What a server's log says of why it ended."""
    known = _COMPLAINT.search(said)
    lines = [line.partition(" # ")[2] for line in said.splitlines() if " # " in line]
    return known[0] if known else (lines or ["it ended without a word"])[-1].strip()


async def _take_over(connection: Connection, cache: Cache, port: int, key: str) -> None:
    """Get the data of the server at `port`, whole, while clients wait with their writes."""
    last = [""]

    async def linked() -> bool:
        # Again and again, so that clients do not wait long for a daemon that was killed.
        await do(connection, "CLIENT", "PAUSE", int(PAUSE * 1000), "WRITE")
        last[0] = (await facts(connection, "replication")).get("master_link_status", "unknown")
        return last[0] == "up"

    try:
        await do(connection, "CONFIG", "SET", "masteruser", ADMIN)
        await do(connection, "CONFIG", "SET", "masterauth", key)
        await do(connection, "CONFIG", "SET", "repl-diskless-load", "swapdb")
        await do(connection, "CLIENT", "PAUSE", int(PAUSE * 1000), "WRITE")
        # Writes that wait are refused to a replica, and to one that may be written to they are not.
        await do(connection, "CONFIG", "SET", "replica-read-only", "no")
        await do(connection, "REPLICAOF", HOST, port)
        what = f"the cache {cache.id} to take over the data"
        question: Question = linked
        await wait_until(question, PATIENCE, what, seen=lambda: last[0], error=ResourceError)
    finally:
        await release(connection)


async def _kept(connection: Connection, cache: Cache) -> None:
    """Wait until the new data are in its files."""

    async def rewritten() -> bool:
        seen = await facts(connection, "persistence")
        at_work = any(seen.get(name) != "0" for name in ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "loading"))
        return not at_work and seen.get("aof_enabled") == "1" and seen.get("aof_last_bgrewrite_status") == "ok"

    question: Question = rewritten
    await wait_until(question, PATIENCE, f"the cache {cache.id} to write its new data down", error=ResourceError)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
