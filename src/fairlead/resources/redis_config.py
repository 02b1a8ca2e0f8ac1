"""What a Valkey or Redis is told: its configuration file. Pure.

In: a cache, and where it lives. Out: text. Passwords stand in it as their SHA-256, as Redis itself keeps them.
"""

from __future__ import annotations

import hashlib
import os

from fairlead.core.resources.addresses import HOST
from fairlead.core.resources.model import Cache

ADMIN = "fairlead"
"""Whom the daemon asks as."""

USER_MAY = "+@all -@admin -migrate +acl|whoami +acl|cat +client +lastsave +latency +monitor +role +slowlog"
"""A service may do all but what ElastiCache refuses, too: CONFIG, DEBUG, MODULE, SHUTDOWN, SAVE, REPLICAOF and their
kin read and write files, or stop or redirect the server. Of the administrator's commands it keeps those that clients
use: rq lists clients, monitors read the slow log."""


def configuration(cache: Cache, *, data: str, socket: str, port: int, password: str, admin: str) -> str:
    """The whole file. data: the folder of its data. socket: where the daemon asks it. port: on loopback, 0 for none.
    admin: the password of ADMIN."""
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f"unixsocket {quoted(socket)}",
        "unixsocketperm 700",
        "protected-mode yes",
        f"dir {quoted(data)}",
        "daemonize no",
        'logfile ""',
        f"maxmemory {cache.memory or 0}",
        f"maxmemory-policy {cache.eviction}",
        # Snapshots are made when somebody asks for a backup; what is kept is kept by the append-only file.
        'save ""',
        f"appendonly {'yes' if cache.persist else 'no'}",
        "appendfsync everysec",
        # A snapshot goes straight to who asked for it, without a file in between.
        "repl-diskless-sync yes",
        "repl-diskless-sync-delay 0",
        # What is kept for replicas to come back counts as data, and there are none.
        "repl-backlog-size 16kb",
        "repl-backlog-ttl 1",
        # A service may hand over data in the server's own form (RESTORE), which is looked at first.
        "sanitize-dump-payload clients",
        f"user default on {digest(password)} ~* &* {USER_MAY}",
        f"user {ADMIN} on {digest(admin)} ~* &* +@all",
    ]
    return "\n".join(lines) + "\n"


def digest(password: str) -> str:
    """A password as a rule for a user."""
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def quoted(text: str) -> str:
    """`text` as one word of the file, whatever bytes it holds."""
    plain = (chr(byte) if 32 < byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f'"{"".join(plain)}"'
