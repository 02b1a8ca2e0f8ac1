"""The accounts that a new MariaDB or MySQL gets, as SQL: pure.

In: the resource and its password. Out: statements, one a line. MariaDB is given hashes; MySQL makes its own, of which
it has a kind that nobody else makes.
"""

from __future__ import annotations

import hashlib
import hmac

from fairlead.core.resources.model import Database
from fairlead.resources.mysql_wire import name, native_hash, quoted

ADMIN = "fairlead.admin"
"""No user of a file can be called so: names have no dots there."""


def admin_password(password: str) -> str:
    """The daemon's own, from that of the resource: whoever knows one resource's knows no other's."""
    return hmac.new(password.encode(), b"fairlead: the administrator", hashlib.sha256).hexdigest()


def statements(program: str, database: Database, password: str) -> tuple[str, ...]:
    """What makes database and accounts. program: `mariadb` or `mysql`."""
    user, admin = f"{quoted(database.user)}@'%'", f"{quoted(ADMIN)}@'localhost'"
    return (
        f"CREATE DATABASE {name(database.name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;",
        f"CREATE USER {user} {_proof(program, password)};",
        f"GRANT ALL PRIVILEGES ON {pattern(database.name)}.* TO {user};",
        f"CREATE USER {admin} {_proof(program, admin_password(password))};",
        f"GRANT ALL PRIVILEGES ON *.* TO {admin} WITH GRANT OPTION;",
        # MariaDB's comes by the Unix socket as root of the machine; MySQL's has no password at first.
        *(() if program == "mariadb" else ("ALTER USER 'root'@'localhost' ACCOUNT LOCK;",)),
    )


def other_passwords(program: str, database: Database, password: str) -> tuple[str, ...]:
    """What gives the accounts of existing data the passwords that belong to this one."""
    of_user, of_admin = _proof(program, password), _proof(program, admin_password(password))
    return (
        f"ALTER USER IF EXISTS {quoted(database.user)}@'%' {of_user};",
        f"ALTER USER IF EXISTS {quoted(ADMIN)}@'localhost' {of_admin};",
    )


def mark_of(password: str) -> str:
    """What may be written down of it, to know another one: the passwords are random, so nobody guesses it from this."""
    return hashlib.sha256(admin_password(password).encode()).hexdigest()


def pattern(database: str) -> str:
    """The name of one database where names are patterns (GRANT): `_` and `%` stand for themselves."""
    escaped = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return name(escaped)


def _proof(program: str, password: str) -> str:
    if program == "mariadb":
        return f"IDENTIFIED VIA mysql_native_password USING {quoted(native_hash(password))}"
    return f"IDENTIFIED WITH caching_sha2_password BY {quoted(password)}"
