"""The logs of resources: what their servers wrote, one launch after the other, and why one could not be launched.

In: their paths. Out: logs that are marked with the time and kept short while servers go on writing (aiokit.logkeeper).
Blocks for the disk; threads may call it at once. Called by the host of resources.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from fairlead.aiokit.logkeeper import LogKeeper
from fairlead.errors import FairleadError


class ResourceLogs:
    """Of one home."""

    def __init__(self) -> None:
        self._keeper, self._lock = LogKeeper(), threading.Lock()

    def tend(self, paths: Iterable[str]) -> None:
        """Look after those that may be written."""
        for path in paths:
            # One at a time: whoever waits to clear a launch waits for one log at most.
            with self._lock:
                self._keeper.look(path, time.time())

    def finish(self, path: str) -> None:
        """Nobody writes it any more."""
        with self._lock:
            self._keeper.look(path, time.time())
            self._keeper.let_go(path)


def write_down(path: str, error: FairleadError) -> None:
    """Why it could not be launched, with what a tool said, where its server would have written. Fails in silence."""
    text = "\n".join(part for part in (error.sentence, error.detail.rstrip("\n")) if part)
    with suppress(OSError), open(path, "ab", opener=_private) as file:
        file.write(f"{text}\n".encode(errors="replace"))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
