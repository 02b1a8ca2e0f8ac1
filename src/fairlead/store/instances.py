"""The table of instances: those that are not ended, and a history from which failed starts are counted.

Called by `Store` only, inside its transaction. The law: a number once recorded is never given again.
"""

from __future__ import annotations

import sqlite3

from fairlead.core.observed import InstanceRecord, StartHistory
from fairlead.store import records

KEPT_ENDED = 200
"""Ended instances that are kept for each service."""

PRUNE_EVERY = 50
"""History is pruned when an instance ends whose number is a multiple of this."""


def save(db: sqlite3.Connection, record: InstanceRecord) -> None:
    """Insert or replace the record, and remember its number."""
    ended, passed = record.state == "ended", record.in_service_at is not None or record.warm_at is not None
    searched_by = (record.stack, record.id, record.service, record.number, record.release, record.boot)
    db.execute(
        "INSERT INTO instances (stack, id, service, number, release, boot, ended, passed, failed_start, record)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (stack, id) DO UPDATE SET service = excluded.service, number = excluded.number,"
        " release = excluded.release, boot = excluded.boot, ended = excluded.ended, passed = excluded.passed,"
        " failed_start = excluded.failed_start, record = excluded.record",
        (*searched_by, ended, passed, record.failed_start, records.text(record)),
    )
    remember_number(db, record.stack, record.service, "instance", record.number)
    if ended and record.number % PRUNE_EVERY == 0:
        _prune(db, record.stack, record.service)


def live(db: sqlite3.Connection, stack: str | None) -> tuple[InstanceRecord, ...]:
    """Those that are not ended, of one stack or of all, by stack, service and number."""
    rows = db.execute(
        "SELECT record FROM instances WHERE ended = 0 AND (?1 IS NULL OR stack = ?1) ORDER BY stack, service, number",
        (stack,),
    )
    return tuple(records.read(InstanceRecord, row[0]) for row in rows)


def start_history(
    db: sqlite3.Connection, stack: str, service: str, release: int, boot: str, since: float
) -> StartHistory:
    """The failed starts of `release` in this boot, launched at `since` or later, since its last instance that passed a
    check (in any boot)."""
    rows = db.execute(
        "SELECT record FROM instances WHERE stack = ?1 AND service = ?2 AND release = ?3 AND boot = ?4"
        " AND failed_start = 1 AND number > (SELECT coalesce(max(number), 0) FROM instances"
        " WHERE stack = ?1 AND service = ?2 AND release = ?3 AND passed = 1)",
        (stack, service, release, boot),
    )
    failed = [record for row in rows if (record := records.read(InstanceRecord, row[0])).launched_at >= since]
    if not failed:
        return StartHistory(service=service, release=release)
    last = max(failed, key=lambda record: (record.terminating_at or 0.0, record.number))
    return StartHistory(
        service=service,
        release=release,
        failures=len(failed),
        last_failed_at=last.terminating_at,
        last_outcome=last.why,
        last_instance=last.id,
    )


def remember_number(db: sqlite3.Connection, stack: str, service: str, kind: str, number: int) -> None:
    """`number` was given to a `kind` (`release` or `instance`) of the service."""
    db.execute(
        "INSERT INTO counters (stack, service, kind, highest) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (stack, service, kind) DO UPDATE SET highest = max(highest, excluded.highest)",
        (stack, service, kind, number),
    )


def next_number(db: sqlite3.Connection, stack: str, service: str, kind: str) -> int:
    """One more than the highest that was ever given; 1 at first."""
    row = db.execute(
        "SELECT highest FROM counters WHERE stack = ? AND service = ? AND kind = ?", (stack, service, kind)
    ).fetchone()
    return int(row[0]) + 1 if row else 1


def _prune(db: sqlite3.Connection, stack: str, service: str) -> None:
    db.execute(
        "DELETE FROM instances WHERE stack = ?1 AND service = ?2 AND ended = 1 AND number <="
        " (SELECT number FROM instances WHERE stack = ?1 AND service = ?2 AND ended = 1"
        " ORDER BY number DESC LIMIT 1 OFFSET ?3)",
        (stack, service, KEPT_ENDED),
    )
