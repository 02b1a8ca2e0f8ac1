"""The table of resources: what was launched of each cache, database and bucket that fairlead runs.

Called by `Store` only, inside its transaction. The law: a record goes when the data are deleted, and its password with
it, together; `down` and the end of its stack leave both.
"""

from __future__ import annotations

import sqlite3

from fairlead.core.resources.records import ResourceRecord
from fairlead.store import records, vault


def save(db: sqlite3.Connection, record: ResourceRecord) -> None:
    """Insert or replace it."""
    db.execute(
        "INSERT INTO resources (stack, id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (stack, id) DO UPDATE SET record = excluded.record",
        (record.stack, record.id, records.text(record)),
    )


def find(db: sqlite3.Connection, stack: str, id: str) -> ResourceRecord | None:
    row = db.execute("SELECT record FROM resources WHERE stack = ? AND id = ?", (stack, id)).fetchone()
    return records.read(ResourceRecord, row[0]) if row else None


def listed(db: sqlite3.Connection, stack: str | None) -> tuple[ResourceRecord, ...]:
    """Those of one stack or of all, by stack and id."""
    rows = db.execute("SELECT record FROM resources WHERE ?1 IS NULL OR stack = ?1 ORDER BY stack, id", (stack,))
    return tuple(records.read(ResourceRecord, row[0]) for row in rows)


def remove(db: sqlite3.Connection, stack: str, id: str) -> None:
    """Forget it and its password."""
    db.execute("DELETE FROM resources WHERE stack = ? AND id = ?", (stack, id))
    vault.forget(db, stack, f"resource:{id}")
