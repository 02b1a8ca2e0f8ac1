"""The log of a service's last build: everything that uv and the commands of `build:` said, as they said it.

It helps and must not hinder: where it cannot be written (a full disk), the build goes on without.
"""

from __future__ import annotations

import os
from contextlib import suppress


def append(log: str, text: str) -> None:
    """Add `text` at the end of the file `log`, which only its owner may read."""
    with suppress(OSError):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
