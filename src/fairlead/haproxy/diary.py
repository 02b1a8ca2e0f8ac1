"""What HAProxy says, in one log file that only the daemon writes to.

In: what a HAProxy writes while it runs into a file of its own generation (`haproxy.N.log`), and on its standard error
while it starts. Out: lines in the log, in order, each once.

HAProxy cannot share the log: it takes O_APPEND away from any descriptor that it is given, and then two generations
write over each other. So the daemon copies, whenever it looks; what comes while no daemon lives waits in its file. The
law: append only, whole lines while there is room, 0600, opened anew for each copy (so it may be moved away or shortened
at any moment); a log that cannot be written keeps nobody from serving, and is written later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

from fairlead.haproxy.files import Files

FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

AT_ONCE = 1 << 20
"""Bytes copied at once; HAProxy writes some 200 for a server that goes or comes."""

LONGEST = 4 << 20
"""Bytes after which a generation has said enough: the next one begins with an empty file."""


class Diary:
    """The log at `path`, of the generations of `files`."""

    def __init__(self, path: str, files: Files) -> None:
        self._path, self._files = path, files
        self._copied: dict[int, int] = {}

    def note(self, output: str) -> None:
        """Add what HAProxy wrote while it started, without what it always says."""
        now = datetime.now(UTC).isoformat()
        lines = [line for line in output.splitlines() if line.strip() and not line.startswith("[NOTICE]")]
        with suppress(OSError):
            self._append("".join(f"{now} {line}\n" for line in lines).encode(errors="replace"))

    def copy(self, generation: int) -> None:
        """Add what it has written since the last time, up to `AT_ONCE` bytes. Blocks; nothing new takes microseconds.
        A daemon that is killed right here leaves lines that the next one copies once more."""
        done = self._done(generation)
        with suppress(OSError):
            with open(self._files.log(generation), "rb") as file:
                if os.fstat(file.fileno()).st_size <= done:
                    return
                file.seek(done)
                said = file.read(AT_ONCE)
            done += self._append(said[: said.rfind(b"\n") + 1])
            self._copied[generation] = done
            self._files.write(self._files.copied(generation), str(done))

    def end(self, generation: int) -> None:
        """Add the rest of one that has ended."""
        before = -1
        while self._done(generation) != before:
            before = self._done(generation)
            self.copy(generation)
        self._copied.pop(generation, None)

    def is_long(self, generation: int) -> bool:
        """Whether it has said enough."""
        return self._done(generation) > LONGEST

    def _done(self, generation: int) -> int:
        if generation not in self._copied:
            try:
                with open(self._files.copied(generation), encoding="ascii") as file:
                    self._copied[generation] = int(file.read(20))
            except (OSError, ValueError):
                self._copied[generation] = 0
        return self._copied[generation]

    def _append(self, lines: bytes) -> int:
        """How many bytes there was room for."""
        if not lines:
            return 0
        descriptor = os.open(self._path, FLAGS, 0o600)
        try:
            return os.write(descriptor, lines)
        finally:
            os.close(descriptor)
