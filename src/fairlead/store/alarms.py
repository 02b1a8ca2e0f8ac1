"""The tables of alarms: what each last told, and what is still to be delivered.

Called by `Store` only, inside its transaction. The law: that an alarm has told something, and the message itself, are
recorded together, so that it is neither lost nor told twice.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from fairlead.core.alarms import AlarmRecord, Delivery
from fairlead.store import records


def all_records(db: sqlite3.Connection) -> tuple[AlarmRecord, ...]:
    rows = db.execute("SELECT record FROM alarms ORDER BY stack, alarm")
    return tuple(records.read(AlarmRecord, row[0]) for row in rows)


def save(db: sqlite3.Connection, record: AlarmRecord) -> None:
    """Insert or replace it."""
    db.execute(
        "INSERT INTO alarms (stack, alarm, record) VALUES (?, ?, ?)"
        " ON CONFLICT (stack, alarm) DO UPDATE SET record = excluded.record",
        (record.stack, record.key, records.text(record)),
    )


def forget(db: sqlite3.Connection, stack: str, key: str) -> None:
    db.execute("DELETE FROM alarms WHERE stack = ? AND alarm = ?", (stack, key))


def deliveries(db: sqlite3.Connection) -> tuple[Delivery, ...]:
    """Oldest first."""
    rows = db.execute("SELECT id, record FROM deliveries ORDER BY id")
    return tuple(replace(records.read(Delivery, text), id=id) for id, text in rows)


def add_delivery(db: sqlite3.Connection, delivery: Delivery) -> int:
    """Its id, which only grows."""
    cursor = db.execute(
        "INSERT INTO deliveries (stack, record) VALUES (?, ?)", (delivery.stack, records.text(delivery))
    )
    return cursor.lastrowid or 0


def save_delivery(db: sqlite3.Connection, delivery: Delivery) -> None:
    db.execute("UPDATE deliveries SET record = ? WHERE id = ?", (records.text(delivery), delivery.id))


def remove_delivery(db: sqlite3.Connection, id: int) -> None:
    db.execute("DELETE FROM deliveries WHERE id = ?", (id,))
