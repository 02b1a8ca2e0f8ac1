"""The daemon's own connection to a Valkey or Redis: by the Unix socket, as a user who may do everything."""

from __future__ import annotations

from fairlead.errors import ResourceError
from fairlead.resources.redis_config import ADMIN
from fairlead.resources.resp import Connection, Refusal, Reply

CONFIGURATION = "redis.conf"
SOCKET = "ask.sock"
KEY = "admin"
"""Files in the run folder; the last holds the daemon's password."""


async def admin(run: str, socket: str = SOCKET) -> Connection:
    """A connection to the server whose socket is `socket` of that run folder. OSError while nobody is there;
    ResourceError when it does not let us in."""
    connection, key = await Connection.open(f"{run}/{socket}"), key_in(run)
    try:
        await do(connection, "AUTH", ADMIN, key)
    except BaseException:
        connection.close()
        raise
    return connection


def key_in(run: str) -> str:
    """The daemon's password. OSError."""
    with open(f"{run}/{KEY}", encoding="utf-8") as file:
        return file.read()


async def do(connection: Connection, *words: str | int) -> Reply:
    """The reply to a command that is to succeed. ResourceError when it is refused, OSError when nobody answers."""
    reply = await connection.ask(*words)
    if isinstance(reply, Refusal):
        raise ResourceError(f"{words[0]} was refused by the cache", reply.text)
    return reply


async def facts(connection: Connection, section: str) -> dict[str, str]:
    """What INFO says of `section`."""
    text = await do(connection, "INFO", section)
    lines = text.decode(errors="replace").splitlines() if isinstance(text, bytes) else []
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


async def release(connection: Connection) -> None:
    """Let it be its own master again, and its clients write: what a restore ends with, also one that was cut short."""
    await do(connection, "REPLICAOF", "NO", "ONE")
    await do(connection, "CONFIG", "SET", "replica-read-only", "yes")
    await do(connection, "CONFIG", "SET", "masterauth", "")
    await do(connection, "CLIENT", "UNPAUSE")
