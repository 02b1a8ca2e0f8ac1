"""A person at a terminal: a program with a pseudo-terminal as its controlling one, typed into and read by a test."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Mapping
from types import TracebackType

DEADLINE = 15.0


class Terminal:
    """Runs `argv` until the block ends."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], folder: str = "/") -> None:
        self.written = ""
        self.pid, self._leader = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execve(argv[0], argv, dict(environment))
            finally:
                os._exit(99)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._leader)

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Read until the pattern is there; what matched. What was read up to its end is then over."""
        deadline = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.written)):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"no {pattern!r} in {DEADLINE:g} s, or it ended: {self.written!r}")
        self.written = self.written[found.end() :]
        return found[0]

    def end(self) -> int:
        """Read to the end; the exit status, as `waitstatus_to_exitcode` gives it."""
        deadline = time.monotonic() + DEADLINE
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError(f"it does not end: {self.written!r}")

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._leader], [], [], seconds)
        if not ready:
            return False
        try:
            piece = os.read(self._leader, 65536)
        except OSError:
            return False
        self.written += piece.decode(errors="replace")
        return bool(piece)


def fairlead_argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "fairlead", *words]
