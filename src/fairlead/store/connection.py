"""One connection to the home's database: opened, brought to the present schema, and its errors put in words.

In: the file's path. Out: a plain `sqlite3.Connection` used in the daemon's loop thread (a read takes microseconds, a
write some tens: WAL with synchronous NORMAL waits for no disk). The law: the schema has a number (`user_version`),
`migrations/NNNN.sql` makes number NNNN out of the one before, whole or not at all; a number we do not know is refused.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources

from fairlead.errors import HomeTooNew, StoreError
from fairlead.store import conversions

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another program that holds the database locked (a backup, somebody's sqlite3 shell)."""

_CAUSES: dict[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk is full", "Make room on the disk of {folder}; recording resumes by itself."),
    "SQLITE_IOERR": ("reading or writing the disk failed", "Check the disk of {folder}, its quota and `dmesg`."),
    "SQLITE_READONLY": ("it cannot be written", "Check the owner and mode of {path} and of its folder."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check the owner and mode of {folder}."),
    "SQLITE_PERM": ("it cannot be opened", "Check the owner and mode of {path}."),
    "SQLITE_BUSY": ("another program holds it locked", "End that program (`fuser -v {path}` names it)."),
    "SQLITE_CORRUPT": ("it is damaged", "Restore {path} from a backup, or set FAIRLEAD_HOME to a new folder."),
    "SQLITE_NOTADB": ("it is not a database", "Restore {path} from a backup, or set FAIRLEAD_HOME to a new folder."),
}  # fmt: skip
"""SQLite's primary error names: why, and what to do."""


@contextlib.contextmanager
def explained(what: str, path: str) -> Iterator[None]:
    """Turn SQLite's errors into a StoreError: `what` is the clause of what could not be done."""
    try:
        yield
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE and its like are kinds of SQLITE_IOERR
        why, next_step = _CAUSES.get(primary, (str(error), "Report this as a fault of fairlead."))
        where = {"path": path, "folder": os.path.dirname(path)}
        raise StoreError(
            what, f"{path}: {why}", next_step.format(**where), detail=f"{name or 'sqlite3'}: {error}"
        ) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the body's writes or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (a full disk); a second time would be an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect(path: str) -> sqlite3.Connection:
    """The database at `path`, made if it is not there (0600: it holds tokens and environments), with today's schema.

    HomeTooNew: a newer fairlead wrote it. StoreError: it cannot be opened or brought up to date.
    """
    with explained("the home's database cannot be opened", path):
        with contextlib.suppress(OSError):  # there already, or SQLite says in its own words why not
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            # The version first: a newer schema is left exactly as it is.
            refuse_newer(_version(connection), path)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def kept_copy(path: str, number: int) -> str:
    """Where the database was copied to before it was brought from schema `number` to a later one."""
    return f"{path}.schema-{number}"


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(found: int, path: str) -> None:
    """HomeTooNew when the database at `path` has schema `found` and this version does not know it."""
    known = max(_migrations())
    if found > known:
        raise HomeTooNew(
            "a newer fairlead wrote this home",
            f"{path} has schema {found}, this version knows up to {known}",
            "Use the newer fairlead, or set FAIRLEAD_HOME to another folder.",
        )


def _migrations() -> dict[int, str]:
    """Schema number -> the SQL that makes it, from the files beside this module, in order."""
    folder = resources.files("fairlead.store") / "migrations"
    scripts = {int(file.name[:4]): file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".sql")}
    return dict(sorted(scripts.items()))


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    scripts = _migrations()
    found = _version(connection)
    conversions.install(connection)
    if 0 < found < max(scripts):
        _keep_copy(connection, kept_copy(path, found))
    for number, script in scripts.items():
        if number <= _version(connection):
            continue
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _keep_copy(connection: sqlite3.Connection, copy: str) -> None:
    """The older fairlead cannot read the new schema: with this it can be gone back to."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        why = f"{copy}, a copy of it as it is, cannot be made: {error.strerror}"
        raise StoreError("the home's database is not brought up to date", why, "Make room on its disk.") from error
    connection.execute("VACUUM INTO ?", (copy,))
