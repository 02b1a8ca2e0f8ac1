"""Looking after logs that others write: marked with the time, and kept short (`logmarks`, `logcap`).

In: paths, one call for each every few seconds. Out: nothing but what lies beside the logs, so that a keeper that was
killed is replaced by the next. The law: trouble with one log is said once, and stops nothing. A look costs one stat
when nothing is to be done; it blocks for the disk while a log is shortened, so it is called from a thread. Not for two
threads at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection
from contextlib import suppress

from fairlead.aiokit.cappedlog import CappedLog, Span
from fairlead.aiokit.logcap import LIMIT, cap
from fairlead.aiokit.logmarks import Marker

log = logging.getLogger(__name__)


class LogKeeper:
    """limit: bytes of a log, and as many of its older part."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: dict[str, _Kept] = {}
        self._in_trouble: set[str] = set()
        self._endless = False

    def look(self, path: str, now: float) -> None:
        """Mark the log with the time, and shorten it if it is long. now: seconds since 1970. A missing one is passed
        over."""
        try:
            if path not in self._kept:
                self._kept[path] = _Kept(path, self._limit)
            able = self._kept[path].look(now)
        except FileNotFoundError:
            self.let_go(path)
            return
        except OSError as problem:
            if path not in self._in_trouble:
                self._in_trouble.add(path)
                log.warning("%s cannot be kept short: %s; tried again every few seconds", path, problem)
            return
        self._in_trouble.discard(path)
        if not able and not self._endless:
            self._endless = True
            log.warning("%s and other logs grow without limit: this file system cannot shorten a file in use", path)

    def only(self, paths: Collection[str]) -> None:
        """Let go of all but these."""
        for path in self._kept.keys() - set(paths):
            self.let_go(path)

    def let_go(self, path: str) -> None:
        """Nobody writes it any more."""
        self._kept.pop(path, None)
        self._in_trouble.discard(path)


class _Kept:
    def __init__(self, path: str, limit: int) -> None:
        self.path, self._limit = path, limit
        self._marker = Marker(path)
        self._span: Span | None = None

    def look(self, now: float) -> bool:
        """Whether the log is short, or could be made so."""
        if self._span is None:
            # What a keeper that was killed had begun; also after anything went wrong.
            self._shorten(sys.maxsize)
        span, status = self._span, os.stat(self.path)
        assert span is not None
        # A full disk takes no marks, and then most of all the log must become shorter.
        with suppress(OSError):
            self._marker.look(span.base + status.st_size, status.st_mtime, now)
        if 0 <= status.st_size - (span.newer - span.base) <= self._limit:
            return True
        return self._shorten(self._limit)

    def _shorten(self, limit: int) -> bool:
        self._span = None
        able = cap(self.path, limit)
        self._span = CappedLog(self.path).span()
        return able
