"""The past of metrics: one SQLite file, per second for an hour and per minute for two weeks, in bounded space.

In: finished seconds, as bytes. Out: rows by entity and time. Seconds lie together by second and stack, since they are
written so and soon go; minutes lie together by entity, ten of them in a block, since they are read so and stay. Minutes
are made from the seconds in the file, so a daemon that was killed at any moment makes those that it owes later. The
law: each transaction leaves a file that says no more and no less than what was measured; what is too old goes, and
above `MOST_BYTES` the oldest goes sooner. Every method may raise sqlite3.Error, and is called in one thread at a time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fairlead.metrics.columns import TODAY, Columns
from fairlead.metrics.entities import Entity
from fairlead.metrics.rows import Row, decode, encode, merged

SCHEMA = 1
"""Of the file. A file of any other is moved aside: nothing but the past of metrics is lost."""

SECONDS_KEPT = 3600
MINUTES_KEPT = 14 * 86400
BLOCK = 600
"""Seconds whose minutes are written together: one write to the disk's block of each entity instead of ten."""

MOST_BYTES = 512 * 1024 * 1024

MOST_TARGETS = 200
"""Of one answer. A service whose instances die all the time has thousands in two weeks."""

_TABLES = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE entities (id INTEGER PRIMARY KEY, stack TEXT NOT NULL, service TEXT NOT NULL, zone TEXT NOT NULL,
    target TEXT NOT NULL, last INTEGER NOT NULL, UNIQUE (stack, service, zone, target));
CREATE TABLE columns (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE seconds (at INTEGER NOT NULL, stack INTEGER NOT NULL, columns INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE (at, stack));
CREATE TABLE blocks (entity INTEGER NOT NULL, at INTEGER NOT NULL, columns INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE (entity, at));
CREATE TABLE progress (made INTEGER NOT NULL);
INSERT INTO progress VALUES (0);
PRAGMA user_version = 1;
COMMIT;
"""

Encoded = Mapping[Entity, bytes]
Wanted = Callable[[Entity], bool]
Found = dict[Entity, dict[int, Row]]
"""Rows by whose they are and when they begin."""


class Unusable(Exception):
    """The file is damaged, or of another schema: it has to be moved aside."""


@dataclass(frozen=True, slots=True)
class EncodedSecond:
    """A finished second as it is kept."""

    at: int
    rows: Encoded


class History:
    """An open file. Make one with `History.open`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._file = (0, 0)
        self._ids: dict[Entity, int] = {}
        """Of those that were written of late."""
        self._columns: dict[int, Columns] = {}
        self._today = 0
        self._minutes: dict[int, dict[int, bytes]] = {}
        """Finished minutes of the block that is not written yet: id of the entity -> beginning -> row."""
        self._next_minute = 0
        self._newest = 0
        """The latest second that was written."""

    @classmethod
    def open(cls, path: str) -> History:
        """The file at `path`, made if need be, 0600. Unusable, sqlite3.Error."""
        with contextlib.suppress(OSError):  # there already, or SQLite says in its own words why not
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            history = cls._opened(connection)
        except BaseException:
            connection.close()
            raise
        history._file = _file_at(path)
        return history

    @classmethod
    def _opened(cls, connection: sqlite3.Connection) -> History:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            connection.executescript(_TABLES)
        elif version != SCHEMA:
            raise Unusable(f"it has schema {version}, this version knows {SCHEMA}")
        # No wait for the disk at each commit; a small cache and a small log, since little is read twice.
        for pragma in ("synchronous = NORMAL", "cache_size = -512", "wal_autocheckpoint = 256",
                       "journal_size_limit = 1048576"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        history = cls(connection)
        history._load()
        return history

    def is_at(self, path: str) -> bool:
        """Whether the file is there still; otherwise what is written goes with it."""
        return self._file == _file_at(path)

    def close(self) -> None:
        """Let go of the file. A second call does nothing."""
        self._db.close()

    def _load(self) -> None:
        with _transaction(self._db) as db:
            db.execute("INSERT INTO columns (text) VALUES (?) ON CONFLICT DO NOTHING", (TODAY.text(),))
        for id, text in self._db.execute("SELECT id, text FROM columns"):
            self._columns[id] = Columns.read(text)
            if text == TODAY.text():
                self._today, self._columns[id] = id, TODAY
        self._next_minute = self._db.execute("SELECT made FROM progress").fetchone()[0]
        self._newest = self._db.execute("SELECT coalesce(max(at), 0) FROM seconds").fetchone()[0]

    # Writing

    def write(self, seconds: Sequence[EncodedSecond]) -> None:
        """Keep them, and let go of seconds that are too old and minutes have been made of."""
        if not seconds:
            return
        first, newest = min(second.at for second in seconds), seconds[-1].at
        # A clock that was set back: the block it fell into is made again, of all the seconds that there are of it.
        again = first // BLOCK * BLOCK if first < self._next_minute else self._next_minute
        known = dict(self._ids)
        try:
            with _transaction(self._db) as db:
                for second in seconds:
                    self._insert(db, second)
                db.execute("UPDATE progress SET made = min(made, ?)", (again,))
                oldest = min(newest - SECONDS_KEPT, again // BLOCK * BLOCK)
                db.execute("DELETE FROM seconds WHERE at < ?", (oldest,))
        except BaseException:
            self._ids = known
            raise
        if again < self._next_minute:
            self._next_minute, self._minutes = again, {}
        self._newest = newest

    def _insert(self, db: sqlite3.Connection, second: EncodedSecond) -> None:
        by_stack: dict[str, list[tuple[int, bytes]]] = {}
        for entity, data in second.rows.items():
            by_stack.setdefault(entity.stack, []).append((self._id(db, entity, second.at), data))
        for stack, rows in by_stack.items():
            db.execute(
                "INSERT OR REPLACE INTO seconds (at, stack, columns, data) VALUES (?, ?, ?, ?)",
                (second.at, self._id(db, Entity(stack), second.at), self._today, _packed(rows)),
            )

    def _id(self, db: sqlite3.Connection, entity: Entity, at: int) -> int:
        found = self._ids.get(entity)
        if found is None:
            sql = "SELECT id FROM entities WHERE stack = ? AND service = ? AND zone = ? AND target = ?"
            row = db.execute(sql, entity).fetchone()
            if row is None:
                sql = "INSERT INTO entities (stack, service, zone, target, last) VALUES (?, ?, ?, ?, ?) RETURNING id"
                row = db.execute(sql, (*entity, at)).fetchone()
            found = self._ids[entity] = int(row[0])
        return found

    def make_minute(self) -> bool:
        """Make the oldest minute that is owed, and write its block when it is the last of one; False: none is owed."""
        minute = self._next_minute
        if minute + 60 > self._newest - self._newest % 60:
            return False
        seconds, ticks = self._seconds_of(minute)
        if seconds:
            # One entity after the other: all rows of a minute at once would be some megabytes.
            for id, ones in seconds.items():
                entity = self._entity(id)
                row = merged([self._row(data, entity, columns) for data, columns in ones])
                row.incomplete |= ticks < 60
                self._minutes.setdefault(id, {})[minute] = encode(row)
            following = minute + 60
        else:
            sql = "SELECT min(at) FROM seconds WHERE at >= ?"
            later = self._db.execute(sql, (minute + 60,)).fetchone()[0]
            following = minute + 60 if later is None else later // 60 * 60
        if following // BLOCK != minute // BLOCK:
            self._write_block(minute // BLOCK * BLOCK, following // BLOCK * BLOCK)
        self._next_minute = following
        return True

    def _seconds_of(self, minute: int) -> tuple[dict[int, list[tuple[bytes, int]]], int]:
        """The bytes and the columns of a minute's rows by entity, and how many of its seconds there are."""
        rows: dict[int, list[tuple[bytes, int]]] = {}
        ticks = set()
        sql = "SELECT at, columns, data FROM seconds WHERE at >= ? AND at < ? ORDER BY at"
        for at, columns, data in self._db.execute(sql, (minute, minute + 60)):
            ticks.add(at)
            for id, packed in _unpacked(data):
                rows.setdefault(id, []).append((packed, columns))
        return rows, len(ticks)

    def _entity(self, id: int) -> Entity:
        sql = "SELECT stack, service, zone, target FROM entities WHERE id = ?"
        row = self._db.execute(sql, (id,)).fetchone()
        if row is None:
            raise Unusable(f"it has rows of an entity {id} that it does not name")
        return Entity(*row)

    def _write_block(self, at: int, made: int) -> None:
        """Write the minutes that wait as the block that begins at `at`; minutes before `made` are then written."""
        blocks = [(id, at, self._today, _packed(list(minutes.items()), 6)) for id, minutes in self._minutes.items()]
        with _transaction(self._db) as db:
            db.executemany("INSERT OR REPLACE INTO blocks (entity, at, columns, data) VALUES (?, ?, ?, ?)", blocks)
            db.executemany("UPDATE entities SET last = max(last, ?) WHERE id = ?", ((at, id) for id, *_ in blocks))
            db.execute("UPDATE progress SET made = ?", (made,))
            _forget(db, at)
        self._ids = {entity: id for entity, id in self._ids.items() if id in self._minutes}
        self._minutes = {}
        self._db.execute("PRAGMA incremental_vacuum(256)").fetchall()

    # Reading

    def seconds(self, stack: str, start: int, end: int, wanted: Wanted) -> Found:
        """The rows of entities of `stack` that are `wanted`, of seconds from `start` to before `end`."""
        entities = self._entities(stack, wanted, start)
        found: Found = {entity: {} for entity in entities.values()}
        sql = "SELECT at, columns, data FROM seconds WHERE at >= ? AND at < ? AND stack = "
        sql += "(SELECT id FROM entities WHERE stack = ? AND service = '' AND zone = '' AND target = '')"
        for at, columns, data in self._db.execute(sql, (start, end, stack)):
            for id, packed in _unpacked(data, entities):
                found[entities[id]][at] = self._row(packed, entities[id], columns)
        return {entity: rows for entity, rows in found.items() if rows}

    def minutes(self, stack: str, start: int, end: int, wanted: Wanted) -> Found:
        """The same of minutes, by their beginning."""
        found: Found = {}
        sql = "SELECT columns, data FROM blocks WHERE entity = ? AND at > ? AND at < ?"
        for id, entity in self._entities(stack, wanted, start).items():
            rows: dict[int, Row] = {}
            for columns, data in self._db.execute(sql, (id, start - BLOCK, end)):
                for minute, packed in _unpacked(data):
                    if start <= minute < end:
                        rows[minute] = self._row(packed, entity, columns)
            for minute, packed in self._minutes.get(id, {}).items():
                if start <= minute < end:
                    rows[minute] = decode(packed, entity.level)
            if rows:
                found[entity] = rows
        return found

    def has(self, stack: str, start: int, end: int) -> bool:
        """Whether there are rows of `stack` of seconds from `start` to before `end`, or of blocks that begin there."""
        sql = "SELECT id FROM entities WHERE stack = ? AND service = '' AND zone = '' AND target = ''"
        found = self._db.execute(sql, (stack,)).fetchone()
        if found is None:
            return False
        sql = "SELECT EXISTS (SELECT 1 FROM seconds WHERE stack = ?1 AND at >= ?2 AND at < ?3)"
        sql += " OR EXISTS (SELECT 1 FROM blocks WHERE entity = ?1 AND at >= ?2 AND at < ?3)"
        return bool(self._db.execute(sql, (found[0], start, end)).fetchone()[0])

    def knows(self, stack: str, wanted: Wanted) -> bool:
        """Whether anybody of `stack` that is `wanted` was measured in the time that is kept."""
        sql = "SELECT stack, service, zone, target FROM entities WHERE stack = ?"
        return any(wanted(Entity(*names)) for names in self._db.execute(sql, (stack,)))

    def _row(self, data: bytes, entity: Entity, columns: int) -> Row:
        try:
            return decode(data, entity.level, self._columns[columns])
        except (ValueError, KeyError) as error:
            raise Unusable(f"a row of {'.'.join(filter(None, entity))} cannot be read: {error}") from error

    @property
    def minutes_until(self) -> int:
        """Minutes that end at this time or before have been made."""
        return self._next_minute

    def _entities(self, stack: str, wanted: Wanted, since: int) -> dict[int, Entity]:
        """Those that may have been there since `since`; of targets the `MOST_TARGETS` that were seen last."""
        sql = "SELECT id, last, service, zone, target FROM entities WHERE stack = ? ORDER BY last DESC, id DESC"
        found: dict[int, Entity] = {}
        targets = 0
        for id, last, *names in self._db.execute(sql, (stack,)):
            entity = Entity(stack, *names)
            # `last` is written with blocks only, and says when the last one began.
            gone = last < since - 2 * SECONDS_KEPT and id not in self._minutes and entity not in self._ids
            is_target = entity.level == "target"
            if gone or not wanted(entity) or (is_target and targets >= MOST_TARGETS):
                continue
            targets += is_target
            found[id] = entity
        return found


def _file_at(path: str) -> tuple[int, int]:
    """Which one stands there; none is one, too."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _forget(db: sqlite3.Connection, now: int) -> None:
    """Let go of blocks that are too old, of the oldest ones when there are too many, and of whoever has none left."""
    # Blocks are in the order in which they were written: what is too old is at the front.
    sql = "SELECT rowid FROM blocks WHERE at >= ? ORDER BY rowid LIMIT 1"
    kept = db.execute(sql, (now - MINUTES_KEPT,)).fetchone()
    if kept is not None:
        db.execute("DELETE FROM blocks WHERE rowid < ?", kept)
    (pages,), (free,), (size,) = (
        db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    if (pages - free) * size > MOST_BYTES:
        db.execute("DELETE FROM blocks WHERE rowid <= (SELECT min(rowid) + (max(rowid) - min(rowid)) / 10 FROM blocks)")
    db.execute(
        "DELETE FROM entities WHERE last < ? AND NOT EXISTS (SELECT 1 FROM blocks WHERE entity = entities.id)",
        (now - 2 * SECONDS_KEPT,),
    )


def _packed(rows: Sequence[tuple[int, bytes]], effort: int = 1) -> bytes:
    """Numbered rows in one blob: how many, their numbers, their lengths, the rows."""
    head = array("I", (len(rows), *(number for number, _ in rows), *(len(row) for _, row in rows)))
    return zlib.compress(b"".join((head.tobytes(), *(row for _, row in rows))), effort)


def _unpacked(data: bytes, wanted: Container[int] | None = None) -> Iterator[tuple[int, bytes]]:
    """The numbered rows of a blob, or those whose numbers are `wanted`. Unusable: it is none."""
    try:
        plain = zlib.decompress(data)
        head = array("I")
        head.frombytes(plain[: head.itemsize])
        rows = head[0]
        start = (1 + 2 * rows) * head.itemsize
        head.frombytes(plain[head.itemsize : start])
        if len(plain) != start + sum(head[1 + rows :]):
            raise Unusable(f"a blob says it has {rows} rows, and does not")
        for number, length in zip(head[1 : 1 + rows], head[1 + rows :], strict=True):
            if wanted is None or number in wanted:
                yield number, plain[start : start + length]
            start += length
    except (zlib.error, ValueError, IndexError) as error:
        raise Unusable(f"a blob cannot be read: {error}") from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the body's writes or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (a full disk); a second time would be an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
