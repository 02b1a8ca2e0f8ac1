"""The tables of runs and of the schedules of jobs.

Called by `Store` only, inside its transaction. The laws: a number once recorded is never given again, and what a run
was started for is recorded together with the run. Of each job and each service's before_traffic the last `KEPT_ENDED`
stay.
"""

from __future__ import annotations

import sqlite3

from fairlead.core.runs import Kind, RunRecord
from fairlead.store import records
from fairlead.store.instances import remember_number

KEPT_ENDED = 50
"""Ended runs that are kept of each job, and of the before_traffic of each service."""


def save(db: sqlite3.Connection, record: RunRecord) -> None:
    """Insert or replace the record, and remember its number."""
    db.execute(
        "INSERT INTO runs (stack, id, name, kind, release, number, ended, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (stack, id) DO UPDATE SET ended = excluded.ended, record = excluded.record",
        (
            *(record.stack, record.id, record.name, record.kind, record.release, record.number),
            *(bool(record.ended_at), records.text(record)),
        ),
    )
    remember_number(db, record.stack, record.name, record.kind, record.number)
    if record.ended_at:
        _prune(db, record)


def live(db: sqlite3.Connection, stack: str | None) -> tuple[RunRecord, ...]:
    """Those that have not ended, of one stack or of all, by stack, kind, name and number."""
    rows = db.execute(
        "SELECT record FROM runs WHERE ended = 0 AND (?1 IS NULL OR stack = ?1) ORDER BY stack, kind, name, number",
        (stack,),
    )
    return tuple(records.read(RunRecord, row[0]) for row in rows)


def find(db: sqlite3.Connection, stack: str, id: str) -> RunRecord | None:
    row = db.execute("SELECT record FROM runs WHERE stack = ? AND id = ?", (stack, id)).fetchone()
    return records.read(RunRecord, row[0]) if row else None


def last(
    db: sqlite3.Connection, stack: str, kind: Kind, name: str, release: int | None, before: int | None
) -> RunRecord | None:
    """The one with the highest number of that kind and name; of `release`, and with a number below `before`, if
    given."""
    row = db.execute(
        "SELECT record FROM runs WHERE stack = ?1 AND kind = ?2 AND name = ?3 AND (?4 IS NULL OR release = ?4)"
        " AND (?5 IS NULL OR number < ?5) ORDER BY number DESC LIMIT 1",
        (stack, kind, name, release, before),
    ).fetchone()
    return records.read(RunRecord, row[0]) if row else None


def forget_preparations(db: sqlite3.Connection, stack: str, service: str | None = None) -> None:
    """Data of the stack are gone, or others, and with them what the runs of before_traffic made: they are needed again.
    service: whose; None: of all."""
    db.execute(
        "DELETE FROM runs WHERE stack = ?1 AND kind = 'before_traffic' AND ended AND (?2 IS NULL OR name = ?2)",
        (stack, service),
    )


def schedules(db: sqlite3.Connection, stack: str) -> dict[str, tuple[str, str]]:
    """Job -> (its schedule, the last time of it that was dealt with)."""
    rows = db.execute("SELECT job, schedule, handled FROM schedules WHERE stack = ?", (stack,))
    return {job: (schedule, handled) for job, schedule, handled in rows}


def handle(db: sqlite3.Connection, stack: str, job: str, schedule: str, handled: str) -> None:
    """The time `handled` (ISO 8601 UTC) of the job's schedule has been dealt with."""
    db.execute(
        "INSERT INTO schedules (stack, job, schedule, handled) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (stack, job) DO UPDATE SET schedule = excluded.schedule, handled = excluded.handled",
        (stack, job, schedule, handled),
    )


def forget_schedule(db: sqlite3.Connection, stack: str, job: str | None) -> None:
    """Of one job, or of all of the stack: seen again, it begins anew."""
    db.execute("DELETE FROM schedules WHERE stack = ?1 AND (?2 IS NULL OR job = ?2)", (stack, job))


def _prune(db: sqlite3.Connection, record: RunRecord) -> None:
    db.execute(
        "DELETE FROM runs WHERE stack = ?1 AND kind = ?2 AND name = ?3 AND ended = 1 AND number <="
        " (SELECT number FROM runs WHERE stack = ?1 AND kind = ?2 AND name = ?3 AND ended = 1"
        " ORDER BY number DESC LIMIT 1 OFFSET ?4)",
        (record.stack, record.kind, record.name, KEPT_ENDED),
    )
