"""What the store says, read without a daemon: whether something should run, and what happened.

Plain SQL on the database file, read-only. It never makes, locks or changes a file of the home: a stray `-wal` of
another owner would keep the daemon out. A database that cannot be read is the daemon's to explain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import sqlite3

COLUMNS = ("id", "at", "stack", "service", "instance", "kind", "text")


def something_should_run(database: str) -> bool:
    """Whether a stack is wanted up, or an instance was launched that nobody saw end. When in doubt, yes."""
    import sqlite3

    if not os.path.exists(database):
        return False
    try:
        with opened(database) as db:
            wanted = db.execute("SELECT EXISTS (SELECT 1 FROM stacks WHERE wanted = 'up')").fetchone()[0]
            return bool(wanted or db.execute("SELECT EXISTS (SELECT 1 FROM instances WHERE NOT ended)").fetchone()[0])
    except sqlite3.Error:
        return True


def events(database: str, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
    """As `Client.events`; nothing when the database is not there or cannot be read."""
    import sqlite3

    if not os.path.exists(database):
        return []
    asked = (
        f"SELECT {', '.join(COLUMNS)} FROM events WHERE id > ? AND (? IS NULL OR stack = ?)"  # noqa: S608 (constants)
        " ORDER BY id DESC LIMIT ?"
    )
    try:
        with opened(database) as db:
            rows = db.execute(asked, (after, stack, stack, limit)).fetchall()
    except sqlite3.Error:
        return []
    return [dict(zip(COLUMNS, row, strict=True)) for row in reversed(rows)]


def secrets(database: str, stack: str) -> list[dict[str, str]]:
    """The user's secrets of a stack, by name: {"name", "origin", "changed_at"}; nothing when it cannot be read."""
    import sqlite3

    asked = (
        "SELECT name, origin, changed_at, max(number) FROM secrets"
        " WHERE stack = ? AND sealed IS NOT NULL AND origin != 'generated' GROUP BY name ORDER BY name"
    )
    try:
        with opened(database) as db:
            rows = db.execute(asked, (stack,)).fetchall()
    except sqlite3.Error:
        return []
    return [{"name": name, "origin": origin, "changed_at": changed_at} for name, origin, changed_at, _ in rows]


def secret_names(database: str) -> frozenset[str]:
    """Of the user's secrets of all stacks; nothing when it cannot be read."""
    import sqlite3

    asked = "SELECT DISTINCT name FROM secrets WHERE sealed IS NOT NULL AND origin != 'generated'"
    try:
        with opened(database) as db:
            return frozenset(str(name) for (name,) in db.execute(asked))
    except sqlite3.Error:
        return frozenset()


def schema(database: str) -> int:
    """The number of the database's schema; 0 when it is not there or cannot be read."""
    import sqlite3

    try:
        with opened(database) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return 0


def place(database: str) -> str | None:
    """Where the home lay when a daemon last ran in it; None when it does not say."""
    import sqlite3

    try:
        with opened(database) as db:
            row = db.execute("SELECT value FROM facts WHERE name = 'home'").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def daemon_starts(database: str, limit: int) -> list[dict[str, str]]:
    """When daemons took over this home, newest first: {"at", "text"}; nothing when it cannot be read."""
    import sqlite3

    asked = "SELECT at, text FROM events WHERE kind = 'daemon_started' ORDER BY id DESC LIMIT ?"
    try:
        with opened(database) as db:
            return [{"at": at, "text": text} for at, text in db.execute(asked, (limit,))]
    except sqlite3.Error:
        return []


class Kept:
    """The decisions of a home whose daemon does not run, as `control.explain` asks for them. StoreError."""

    def __init__(self, database: str) -> None:
        self._database = database

    def decisions(self, stack: str | None, limit: int, until: str | None = None) -> list[dict[str, Any]]:
        """As `Store.decisions`."""
        from fairlead.store import journal

        with self._reading() as db:
            return journal.decisions(db, stack, limit, until)

    def first_decision(self, stack: str) -> str | None:
        """As `Store.first_decision`."""
        from fairlead.store import journal

        with self._reading() as db:
            return journal.first_decision(db, stack)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        from fairlead.store.connection import explained

        with explained("the decisions cannot be read", self._database), opened(self._database) as db:
            yield db


@contextmanager
def opened(database: str) -> Iterator[sqlite3.Connection]:
    """The database, to be read only. sqlite3.Error when it is not there or cannot be read."""
    import sqlite3

    # With a log beside it the file needs its shared memory, which a daemon left too. Without one nothing is pending,
    # and `immutable` keeps SQLite from making either.
    log = f"{database}-wal"
    pending = os.path.exists(log) and os.path.getsize(log) > 0
    mode = "mode=ro" if pending else "mode=ro&immutable=1"
    db = sqlite3.connect(f"file:{quote(database)}?{mode}", uri=True, timeout=1.0)
    try:
        yield db
    finally:
        db.close()
