"""The rows: what is known of each photo, and the labels found on it. Every access to the database is here.

The tables are made by `photos.migrate`. DatabaseDown when the database does not answer; OutcomeUnknown when it went
away while a change was being made, and nobody knows whether it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    delete,
    exc,
    func,
    insert,
    select,
    text,
    update,
)

from photos.problems import DatabaseDown, OutcomeUnknown

CONNECT_PATIENCE = 3
"""Seconds for a connection to the database."""
ANSWER_PATIENCE = 10
"""Seconds for an answer to one statement."""

metadata = MetaData()

photos = Table(
    "photos",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("receipt", String(64), nullable=False, unique=True),
    Column("title", String(200), nullable=False),
    Column("format", String(10), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("uploaded_at", DateTime, nullable=False),
    Column("uploaded_by", String(64), nullable=False),
    Column("labelled_by", String(100), nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("photo", BigInteger, ForeignKey(photos.c.number), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("confidence", Float, nullable=True),
    Column("place", Integer, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Label:
    name: str
    confidence: float | None = None
    """Percent; None where the detector does not say."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    id: str
    """A random UUID: its public name, and that of its objects in the bucket."""
    receipt: str
    """The form and the file it came by; the same form sent again has the same one."""
    title: str
    format: str
    """What was uploaded: JPEG, PNG, WebP or GIF."""
    width: int
    height: int
    size: int
    """Bytes, as uploaded."""
    uploaded_at: datetime
    uploaded_by: str
    """The instance that took it."""
    labelled_by: str = ""
    """The detector's name; "" when none has looked at it yet."""
    labels: tuple[Label, ...] = ()
    number: int = 0
    """In the order of arrival; given by the database."""


@dataclass(frozen=True)
class Page:
    """A part of the gallery, newest first. The cursors are numbers of photos; None: there is no more that way."""

    photos: tuple[Photo, ...]
    newer: int | None = None
    older: int | None = None


class Catalogue:
    def __init__(self, url: URL) -> None:
        self.engine = engine_of(url)

    def answers(self) -> bool:
        try:
            with self._reading() as connection:
                connection.execute(text("SELECT 1"))
        except DatabaseDown:
            return False
        return True

    def add(self, photo: Photo) -> bool:
        """Keep a photo with its labels. False, and nothing is changed, when one with that receipt is there."""
        row = {name: getattr(photo, name) for name in photos.columns.keys() if name != "number"}  # noqa: SIM118
        row["uploaded_at"] = photo.uploaded_at.astimezone(UTC).replace(tzinfo=None)
        try:
            with self._writing() as connection:
                key = connection.execute(insert(photos).values(row)).inserted_primary_key
                assert key is not None, "the database gives each row its number"
                _put_labels(connection, key[0], photo.labels)
        except exc.IntegrityError:
            return False
        return True

    def find(self, id: str) -> Photo | None:
        return self._one(photos.c.id == id)

    def find_receipt(self, receipt: str) -> Photo | None:
        return self._one(photos.c.receipt == receipt)

    def neighbours(self, number: int) -> tuple[str | None, str | None]:
        """The ids of the next newer and the next older photo."""
        newer = select(photos.c.id).where(photos.c.number > number).order_by(photos.c.number).limit(1)
        older = select(photos.c.id).where(photos.c.number < number).order_by(photos.c.number.desc()).limit(1)
        with self._reading() as connection:
            return connection.scalar(newer), connection.scalar(older)

    def page(self, size: int, *, before: int | None = None, after: int | None = None, label: str = "") -> Page:
        """Up to `size` photos: those older than the number `before`, newer than `after`, or the newest."""
        query = select(photos)
        if label:
            query = query.join(labels).where(labels.c.name == label)
        if after is not None:
            query = query.where(photos.c.number > after).order_by(photos.c.number)
        else:
            query = query.where(photos.c.number < before) if before is not None else query
            query = query.order_by(photos.c.number.desc())
        with self._reading() as connection:
            rows = list(connection.execute(query.limit(size + 1)))
            more = len(rows) > size
            rows = sorted(rows[:size], key=lambda row: -row.number)
            found = _with_labels(connection, rows)
        if not found:
            return Page(())
        is_newest = not more if after is not None else before is None
        is_oldest = False if after is not None else not more
        return Page(found, None if is_newest else found[0].number, None if is_oldest else found[-1].number)

    def count(self) -> int:
        with self._reading() as connection:
            return connection.scalar(select(func.count()).select_from(photos)) or 0

    def names(self, most: int) -> list[tuple[str, int]]:
        """The labels that stand on most photos, with the number of these."""
        number = func.count().label("number")
        query = select(labels.c.name, number).group_by(labels.c.name).order_by(number.desc(), labels.c.name).limit(most)
        with self._reading() as connection:
            return [(row.name, row.number) for row in connection.execute(query)]

    def relabel(self, id: str, found: Iterable[Label], by: str) -> bool:
        """Put these labels in place of the earlier ones. False when there is no such photo."""
        with self._writing() as connection:
            number = connection.scalar(select(photos.c.number).where(photos.c.id == id).with_for_update())
            if number is None:
                return False
            connection.execute(update(photos).where(photos.c.number == number).values(labelled_by=by))
            connection.execute(delete(labels).where(labels.c.photo == number))
            _put_labels(connection, number, found)
            return True

    def remove(self, id: str) -> bool:
        """False when there is no such photo (any more)."""
        with self._writing() as connection:
            number = connection.scalar(select(photos.c.number).where(photos.c.id == id).with_for_update())
            if number is None:
                return False
            connection.execute(delete(labels).where(labels.c.photo == number))
            connection.execute(delete(photos).where(photos.c.number == number))
            return True

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of `ids` that have a row."""
        with self._reading() as connection:
            return set(connection.scalars(select(photos.c.id).where(photos.c.id.in_(list(ids)))))

    def close(self) -> None:
        self.engine.dispose()

    def _one(self, condition: Any) -> Photo | None:
        with self._reading() as connection:
            found = _with_labels(connection, list(connection.execute(select(photos).where(condition))))
        return found[0] if found else None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except _AWAY as problem:
            raise DatabaseDown from problem

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. DatabaseDown: it was not made. OutcomeUnknown: the commit
        was asked for, and no answer came."""
        asked = False
        try:
            with self.engine.connect() as connection:
                yield connection
                asked = True
                connection.commit()
        except _AWAY as problem:
            raise (OutcomeUnknown if asked else DatabaseDown) from problem


_AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
"""What drivers raise when the server is gone, going, or too busy. Mistakes of ours are other classes."""


def engine_of(url: URL) -> Engine:
    """Connections that notice that the server has been away, and wait for it no longer than they must. Only a
    PostgreSQL that is frozen, on a machine that is not, is waited for until somebody ends it."""
    if url.get_dialect().name == "postgresql":
        patience: dict[str, Any] = {
            "connect_timeout": CONNECT_PATIENCE,
            "options": f"-c statement_timeout={ANSWER_PATIENCE}s -c lock_timeout={ANSWER_PATIENCE}s",
            "tcp_user_timeout": ANSWER_PATIENCE * 1000,
        }
    else:
        patience = {"connect_timeout": CONNECT_PATIENCE, "read_timeout": ANSWER_PATIENCE}
        patience["write_timeout"] = ANSWER_PATIENCE
    return create_engine(
        url, connect_args=patience, pool_pre_ping=True, pool_recycle=1800, pool_timeout=5, hide_parameters=True
    )


def _put_labels(connection: Connection, number: int, found: Iterable[Label]) -> None:
    rows = [
        {"photo": number, "name": label.name, "confidence": label.confidence, "place": place}
        for place, label in enumerate(found)
    ]
    if rows:
        connection.execute(insert(labels), rows)


def _with_labels(connection: Connection, rows: list[Row[Any]]) -> tuple[Photo, ...]:
    """The photos of these rows, each with its labels, in two queries however many there are."""
    numbers = [row.number for row in rows]
    query = select(labels).where(labels.c.photo.in_(numbers)).order_by(labels.c.photo, labels.c.place)
    found: dict[int, list[Label]] = {number: [] for number in numbers}
    for row in connection.execute(query) if numbers else ():
        found[row.photo].append(Label(name=row.name, confidence=row.confidence))
    return tuple(_photo(row, tuple(found[row.number])) for row in rows)


def _photo(row: Row[Any], found: tuple[Label, ...]) -> Photo:
    values = dict(row._mapping)
    values["uploaded_at"] = values["uploaded_at"].replace(tzinfo=UTC)
    return Photo(**values, labels=found)
