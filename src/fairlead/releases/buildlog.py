"""The log of a service's last build: everything that uv and the commands of `build:` said, as they said it.

It helps and must not hinder: where it cannot be written (a full disk), the build goes on without, and one that says
more than anybody reads does not fill the disk with it: what is older than the last `LIMIT` bytes goes to `LOG.1`, and
of that the last `LIMIT` stay.
"""

from __future__ import annotations

import os
from contextlib import suppress

LIMIT = 10 * 1024 * 1024
"""Bytes after which the log is begun anew."""


def clear(log: str) -> None:
    """Remove what the build before this one said."""
    for path in (log, f"{log}.1"):
        with suppress(FileNotFoundError):
            os.unlink(path)


def append(log: str, text: str) -> None:
    """Add `text` at the end of the file `log`, which only its owner may read."""
    with suppress(OSError):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            size = file.tell()
        if size > LIMIT:
            os.replace(log, f"{log}.1")
