"""Where the home lies, as the home itself remembers it: a home that was moved while it was stopped is not run as it is.

Releases, environments and what is recorded of instances hold absolute paths, and so does what a build left in them: a
moved home would start programs that are not there. Nothing is changed when that is found: moving it back makes all as
it was. `accept` is for the one who cannot: it forgets what has to be built again, and says what that is. Called by
`Store` only.
"""

from __future__ import annotations

import sqlite3

from fairlead.core.desired import StackRecord
from fairlead.errors import StoreError
from fairlead.store import records


def check(db: sqlite3.Connection, home: str) -> None:
    """Note the path of a new home. StoreError: it lay elsewhere before, and holds what knows the old path."""
    row = db.execute("SELECT value FROM facts WHERE name = 'home'").fetchone()
    before = row[0] if row else None
    if before == home:
        return
    if before is not None and _holds_paths(db):
        raise StoreError(
            f"the home was moved from {before} to {home}",
            "its releases and environments hold the old path",
            f"Move it back (`mv {home} {before}`), or run `fairlead daemon relocate` to stay here: each stack is then "
            "built again by `fairlead up`.",
        )
    _note(db, home)


def accept(db: sqlite3.Connection, home: str) -> tuple[str, ...]:
    """The home stays where it is now: forget what holds the old path. The files that `fairlead up` has to be given
    again, of the stacks that were wanted. Events, counters, ended instances and runs remain."""
    rows = db.execute("SELECT record FROM stacks ORDER BY name").fetchall()
    files = tuple(records.read(StackRecord, row[0]).desired.stack.path for row in rows)
    for statement in (
        "DELETE FROM stacks",
        "DELETE FROM releases",
        "DELETE FROM instances WHERE ended = 0",
        "DELETE FROM runs WHERE ended = 0",
        "DELETE FROM schedules",
        "DELETE FROM deliveries",
    ):
        db.execute(statement)
    _note(db, home)
    return files


def _holds_paths(db: sqlite3.Connection) -> bool:
    asked = "SELECT EXISTS (SELECT 1 FROM stacks) OR EXISTS (SELECT 1 FROM releases)"
    return bool(db.execute(asked).fetchone()[0])


def _note(db: sqlite3.Connection, home: str) -> None:
    db.execute(
        "INSERT INTO facts (name, value) VALUES ('home', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (home,),
    )
