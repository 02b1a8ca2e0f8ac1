"""The vault: values that nobody may read in the database, encrypted with the key that lies beside it.

In: text, under a stack and a name. Out: the same text. Users' secrets have a variable's name, generated passwords of
resources `resource:ID`. The laws: what is stored opens only under the stack, name and number it was put there for, so a
row copied to another place is refused; a number stands for one value and is never given to another, so that a release
names its values without holding them, and gets the same ones after a change that was given up; without its key nothing
is put in, because the key may come back. It does not protect against whoever can read the key: root, and the daemon's
own user.

`cryptography` is imported where it is first used: most homes have no secrets, and every start would pay for it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from fairlead.errors import StoreError
from fairlead.store import vault_key

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

Origin = Literal["set", "environment", "generated"]
"""By whom a value was given: `fairlead secret set`, the environment of `fairlead up`, or fairlead itself."""

Opened = Callable[[str], AbstractContextManager[sqlite3.Connection]]
"""The store's way to its database: given the clause of what cannot be done, should it fail."""

EARLIER = 10
"""Values of a secret that are kept beside the present one and those that something is started with, should nobody say
that they are needed no more."""

_FACT = "vault_key"
"""The fact that tells which key the rows were encrypted with, by its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    """What may be shown of a secret."""

    name: str
    origin: Origin
    number: int
    changed_at: str
    """When it got this value or this origin; ISO 8601 UTC."""


class Vault:
    """The secrets of a home. Every method may raise StoreError."""

    def __init__(self, key: str, reading: Opened, writing: Opened) -> None:
        """key: the path of its key file, made when the first value is put in."""
        self._key, self._reading, self._writing = key, reading, writing

    def put(self, stack: str, name: str, value: str, origin: Origin, needed: Collection[int] = ()) -> int:
        """Keep `value` as the present one; its number. The same value again keeps its number. needed: numbers of
        earlier ones that something is still started with, however long ago they were the present one."""
        with self._writing(f"the secret {name} of {stack} could not be kept") as db:
            key = self._key_to_seal(db)
            number, before, sealed = _present(db, stack, name) or (0, None, None)
            # One that is damaged is followed by another like any other.
            if sealed is not None and _opened(key, stack, name, number, sealed) == value:
                if before != origin:
                    db.execute(
                        "UPDATE secrets SET origin = ?, changed_at = ? WHERE stack = ? AND name = ? AND number = ?",
                        (origin, _now(), stack, name, number),
                    )
                return number
            number += 1
            db.execute(
                "INSERT INTO secrets (stack, name, number, origin, changed_at, sealed) VALUES (?, ?, ?, ?, ?, ?)",
                (stack, name, number, origin, _now(), _sealed(key, stack, name, number, value)),
            )
            rows = db.execute(
                "SELECT number FROM secrets WHERE stack = ? AND name = ? AND (number < ? OR sealed IS NULL)",
                (stack, name, number - EARLIER),
            ).fetchall()
            old = [(stack, name, one) for (one,) in rows if one not in needed]
            db.executemany("DELETE FROM secrets WHERE stack = ? AND name = ? AND number = ?", old)
        return number

    def value(self, stack: str, name: str, number: int | None = None) -> str | None:
        """The present value, or the one of that number while it is kept; None: there is none, or it was removed."""
        with self._reading(f"the secret {name} of {stack} cannot be read") as db:
            row = db.execute(
                "SELECT number, sealed FROM secrets WHERE stack = ?1 AND name = ?2 AND sealed IS NOT NULL"
                " ORDER BY number = ?3 DESC, number DESC LIMIT 1",
                (stack, name, number or 0),
            ).fetchone()
            if row is None:
                return None
            value = _opened(self._key_of_rows(db), stack, name, *row)
        if value is None:
            raise StoreError(
                f"the secret {name} of {stack} cannot be read",
                "its row in the database was damaged, or copied from another secret",
                "Restore the home's fairlead.db from a backup."
                if ":" in name
                else f"Give the value again: `fairlead secret set {name} --stack {stack}`.",
            )
        return value

    def numbers(self, stack: str) -> dict[str, int]:
        """Name -> the number of its present value."""
        with self._reading(f"the secrets of {stack} cannot be read") as db:
            rows = db.execute(
                "SELECT name, max(number) FROM secrets WHERE stack = ? AND sealed IS NOT NULL GROUP BY name", (stack,)
            )
            return {str(name): int(number) for name, number in rows}

    def entries(self, stack: str) -> tuple[SecretEntry, ...]:
        """Those of the user, by name; generated ones are not listed."""
        with self._reading(f"the secrets of {stack} cannot be read") as db:
            # SQLite takes the other columns from the row that has the maximum.
            rows = db.execute(
                "SELECT name, origin, max(number), changed_at FROM secrets"
                " WHERE stack = ? AND sealed IS NOT NULL AND origin != 'generated' GROUP BY name ORDER BY name",
                (stack,),
            )
            return tuple(
                SecretEntry(name=name, origin=origin, number=number, changed_at=changed_at)
                for name, origin, number, changed_at in rows
            )

    def remove(self, stack: str, name: str) -> bool:
        """Forget the value and those before it; whether there was one. Needs no key."""
        with self._writing(f"the secret {name} of {stack} could not be removed") as db:
            return forget(db, stack, name)

    def forget_earlier(self, stack: str, needed: Mapping[str, Collection[int]]) -> None:
        """Forget the values before the present ones, but for the numbers that are `needed`, by name."""
        with self._reading(f"the secrets of {stack} cannot be read") as db:
            rows = db.execute("SELECT name, number FROM secrets WHERE stack = ?", (stack,)).fetchall()
        present = {name: max(number for one, number in rows if one == name) for name, _ in rows}
        old = [(stack, name, number) for name, number in rows if number not in (present[name], *needed.get(name, ()))]
        if old:
            with self._writing(f"earlier secrets of {stack} could not be forgotten") as db:
                db.executemany("DELETE FROM secrets WHERE stack = ? AND name = ? AND number = ?", old)

    def lost(self) -> str:
        """Why nothing that is kept can be opened any more, as a clause about the key; "" when it can, or when nothing
        is kept. StoreError: the key is there, and not safe to use."""
        with self._reading("the secrets cannot be looked at") as db:
            if not _keeps_any(db):
                return ""
            return _why_lost(vault_key.read(self._key), db)

    def kept(self) -> tuple[tuple[str, str], ...]:
        """(stack, name) of all that has a value, generated ones too."""
        with self._reading("the secrets cannot be looked at") as db:
            rows = db.execute("SELECT DISTINCT stack, name FROM secrets WHERE sealed IS NOT NULL ORDER BY stack, name")
            return tuple((str(stack), str(name)) for stack, name in rows)

    def give_up(self) -> None:
        """Forget all values; the next one is encrypted with a new key. The file of the old one, if there is one, stays
        under another name."""
        kept = self.kept()
        # First, for without rows another key would be taken for theirs.
        vault_key.set_aside(self._key)
        with self._writing("the secrets could not be forgotten") as db:
            for stack, name in kept:
                forget(db, stack, name)

    def _key_of_rows(self, db: sqlite3.Connection) -> Fernet:
        """The key that the rows were encrypted with; there are some."""
        stored = vault_key.read(self._key)
        if why := _why_lost(stored, db):
            raise _lost(why, self._key)
        assert stored is not None
        return _fernet(stored)

    def _key_to_seal(self, db: sqlite3.Connection) -> Fernet:
        """The key for another row; made, if there are no rows that have one."""
        if _keeps_any(db):
            return self._key_of_rows(db)
        stored = vault_key.read(self._key)
        if stored is None:
            from cryptography.fernet import Fernet

            stored = Fernet.generate_key()
            vault_key.make(self._key, stored)
        key = _fernet(stored)
        db.execute(
            "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_FACT, _fingerprint(stored)),
        )
        return key


def forget(db: sqlite3.Connection, stack: str, name: str) -> bool:
    """Forget the value and those before it, in the caller's transaction; whether there was one. Its number stays."""
    present = _present(db, stack, name)
    if present is None or present[2] is None:
        return False
    db.execute("DELETE FROM secrets WHERE stack = ? AND name = ? AND number < ?", (stack, name, present[0]))
    db.execute("UPDATE secrets SET sealed = NULL, changed_at = ? WHERE stack = ? AND name = ?", (_now(), stack, name))
    return True


def _present(db: sqlite3.Connection, stack: str, name: str) -> tuple[int, str, str | None] | None:
    """The number, origin and sealed value of the present row, also of one that was removed."""
    row = db.execute(
        "SELECT number, origin, sealed FROM secrets WHERE stack = ? AND name = ? ORDER BY number DESC LIMIT 1",
        (stack, name),
    ).fetchone()
    return (int(row[0]), str(row[1]), row[2]) if row else None


def _keeps_any(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM secrets WHERE sealed IS NOT NULL)").fetchone()[0])


def _why_lost(stored: bytes | None, db: sqlite3.Connection) -> str:
    """stored: what the key's file holds; None: it is not there."""
    if stored is None:
        return "it is not there"
    return "" if _fingerprint(stored) == _noted(db) else "it is another one than they were encrypted with"


def _fernet(stored: bytes) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        return Fernet(stored)
    except ValueError:
        # Not chained: the cause may quote the key.
        raise StoreError(
            "the key of the secrets cannot be used", "its file was damaged", "Put it back from a backup of the home."
        ) from None


def _noted(db: sqlite3.Connection) -> str:
    row = db.execute("SELECT value FROM facts WHERE name = ?", (_FACT,)).fetchone()
    return str(row[0]) if row else ""


def _fingerprint(stored: bytes) -> str:
    return hashlib.sha256(stored).hexdigest()


def _bound(stack: str, name: str, number: int) -> bytes:
    """What stands before a value, inside: names hold no NUL."""
    return f"{stack}\0{name}\0{number}\0".encode(errors="surrogatepass")


def _sealed(key: Fernet, stack: str, name: str, number: int, value: str) -> str:
    return key.encrypt(_bound(stack, name, number) + value.encode(errors="surrogatepass")).decode("ascii")


def _opened(key: Fernet, stack: str, name: str, number: int, sealed: str) -> str | None:
    """None: it was damaged, or sealed for another place."""
    from cryptography.fernet import InvalidToken

    try:
        inside = key.decrypt(sealed.encode(errors="replace"))
    except InvalidToken:
        return None
    before = _bound(stack, name, number)
    return inside[len(before) :].decode(errors="surrogatepass") if inside.startswith(before) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lost(why: str, path: str) -> StoreError:
    return StoreError(
        "the secrets of this home cannot be opened",
        f"{path}, the key to them: {why}",
        "Put that file back from a backup of the home. If there is none, the values are lost: `fairlead down STACK` "
        "(its data stay), `fairlead secret reset`, `fairlead secret set NAME` for each, `fairlead up`; caches, "
        "databases and buckets get new passwords.",
    )
