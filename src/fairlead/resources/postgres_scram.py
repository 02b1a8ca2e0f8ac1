"""What PostgreSQL keeps of a password, made here, so that the password itself goes to no program and into no log.

In: a password of printable ASCII (others would have to be normalised first). Out: `SCRAM-SHA-256$…`. Source: RFC 5802,
and PostgreSQL's manual, "pg_authid".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

ITERATIONS = 4096
"""PostgreSQL's own number. The passwords are random, so that a slower hash protects nothing."""


def verifier(password: str, salt: bytes | None = None) -> str:
    """salt: 16 bytes; None: new ones."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(_keyed(salted, b"Client Key")).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(_keyed(salted, b'Server Key'))}"


def proves(kept: str, password: str) -> bool:
    """Whether `kept`, which the server has of a user, is of that password."""
    try:
        method, numbers, _ = kept.split("$")
        iterations, salt = numbers.split(":")
        # Another number would be of a password that somebody gave it by hand.
        same = method == "SCRAM-SHA-256" and int(iterations) == ITERATIONS
        return same and hmac.compare_digest(verifier(password, base64.b64decode(salt)), kept)
    except ValueError:
        return False


def _keyed(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
