"""Live progress on stderr: what the daemon does just now, and how long it has taken.

On a terminal the present step is a live last line; when the next one begins it becomes a line of its own with the time
at which it began. Elsewhere each step is one plain line. Text is made harmless here. Used as a context by `follow`.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType

from fairlead.cli.output import cell, coloured, is_terminal, note, paint

FRAMES = "|/-\\"
PACE = 0.1
"""Seconds between two frames of the live line."""


class Progress:
    """Shows steps until it is left. A step: one line of text."""

    def __init__(self) -> None:
        self._live = is_terminal(sys.stderr)
        self._colour = coloured(sys.stderr)
        self._began = time.monotonic()
        self._step, self._step_began = "", 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._thread = threading.Thread(target=self._animate, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._settle()

    def step(self, text: str) -> None:
        """The daemon has begun something, or is done with it."""
        text = cell(text)
        if not self._live:
            note(text)
            return
        with self._lock:
            self._settle()
            self._step, self._step_began = text, self._elapsed()
            self._draw(0)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _settle(self) -> None:
        """Turn the live line into one that stays."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            if self._step:
                note(f"{paint(f'{self._step_began:6.1f} s', 'dim', on=self._colour)}  {self._step}")
            self._step = ""
            sys.stderr.flush()

    def _animate(self) -> None:
        frame = 0
        while not self._ended.wait(PACE):
            frame += 1
            with self._lock:
                self._draw(frame)

    def _draw(self, frame: int) -> None:
        if not self._step:
            return
        # One column is left free: a full line would wrap, and could not be taken back.
        room = shutil.get_terminal_size().columns - 1
        line = f"{FRAMES[frame % len(FRAMES)]}{self._elapsed():5.1f} s  {self._step}"
        sys.stderr.write(f"\r{line[:room]}\x1b[K")
        sys.stderr.flush()
