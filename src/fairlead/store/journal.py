"""What happened and why: events in words, and decisions with the snapshot that each of them judged.

Called by `Store` only. The law: the journal is bounded, in rows and in what they take; the newest are always there,
older ones go a few hundred at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

KEPT_EVENTS = 20_000
KEPT_DECISIONS = 5_000

ROOM = 256 * 1024 * 1024
"""Characters that decisions may take together, about: those of a stack of a thousand instances are a megabyte each."""

LEAST_DECISIONS = 100
"""Of decisions so many are kept, whatever they take."""

SIZED = 16
"""Of so many of the newest decisions the largest is what all are taken to be like."""

PRUNE_EVERY = 256
"""Rows between two prunings: old rows are removed when a row's id is a multiple of this."""


def add_event(db: sqlite3.Connection, at: str, stack: str, service: str, instance: str, kind: str, text: str) -> int:
    """Record an event; its id, which only grows."""
    cursor = db.execute(
        "INSERT INTO events (at, stack, service, instance, kind, text) VALUES (?, ?, ?, ?, ?, ?)",
        (at, stack, service, instance, kind, _storable(text)),
    )
    return _prune(db, "events", cursor.lastrowid, lambda: KEPT_EVENTS)


def events(db: sqlite3.Connection, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
    """The last `limit` events with an id above `after`, oldest first, of one stack or of all."""
    keys = ("id", "at", "stack", "service", "instance", "kind", "text")
    return _last(db, "events", keys, stack, limit, after)


def add_decision(db: sqlite3.Connection, at: str, stack: str, snapshot: str, plan: str) -> int:
    """Record a plan and what it judged, both JSON; its id, which only grows."""
    cursor = db.execute(
        "INSERT INTO decisions (at, stack, snapshot, plan) VALUES (?, ?, ?, ?)",
        (at, stack, _storable(snapshot), _storable(plan)),
    )
    return _prune(db, "decisions", cursor.lastrowid, lambda: _fitting(db))


def decisions(db: sqlite3.Connection, stack: str | None, limit: int, until: str | None = None) -> list[dict[str, Any]]:
    """The last `limit` decisions, oldest first, of one stack or of all; snapshot and plan are JSON text.

    until: only those made at or before that wall clock, written as they are stamped (ISO 8601 UTC, milliseconds)."""
    return _last(db, "decisions", ("id", "at", "stack", "snapshot", "plan"), stack, limit, 0, until)


def first_decision(db: sqlite3.Connection, stack: str) -> str | None:
    """The wall clock of the oldest decision of `stack` that is kept; None: there is none."""
    row = db.execute("SELECT at FROM decisions WHERE stack = ? ORDER BY id LIMIT 1", (stack,)).fetchone()
    return None if row is None else str(row[0])


def _last(
    db: sqlite3.Connection,
    table: str,
    keys: tuple[str, ...],
    stack: str | None,
    limit: int,
    after: int,
    until: str | None = None,
) -> list[dict[str, Any]]:
    where = "id > ?"
    values: list[Any] = [after]
    for clause, value in (("stack = ?", stack), ("at <= ?", until)):
        if value is not None:
            where += f" AND {clause}"
            values.append(value)
    columns = ", ".join(keys)
    rows = db.execute(
        f"SELECT {columns} FROM {table} WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608 (constant words)
        (*values, max(0, limit)),
    ).fetchall()
    return [dict(zip(keys, row, strict=True)) for row in reversed(rows)]


def _prune(db: sqlite3.Connection, table: str, newest: int | None, kept: Callable[[], int]) -> int:
    identity = newest or 0
    if identity % PRUNE_EVERY == 0:
        db.execute(f"DELETE FROM {table} WHERE id <= ?", (identity - kept(),))  # noqa: S608 (constant words)
    return identity


def _fitting(db: sqlite3.Connection) -> int:
    """How many decisions like the largest of the newest have room."""
    newest = "SELECT length(snapshot) + length(plan) AS size FROM decisions ORDER BY id DESC LIMIT ?"
    size: int = db.execute(f"SELECT max(size) FROM ({newest})", (SIZED,)).fetchone()[0]  # noqa: S608 (constant words)
    return min(KEPT_DECISIONS, max(LEAST_DECISIONS, ROOM // max(1, size)))


def _storable(text: str) -> str:
    """SQLite takes Unicode only: bytes that a program's log smuggled in as surrogates become `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
