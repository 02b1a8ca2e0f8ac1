"""Housekeeping of a home: logs are kept short and marked with the time, old folders go.

In: which instances live, every few seconds. Out: their logs, the daemon's own and the balancer's, each at most 10 MB
and one older part of as much; folders of ended instances removed by the rules of `retention`, once a minute. The law:
nothing here is needed for anything to run, so nothing here raises but what removes on request. With 100 instances a
look takes 0.6 ms when none of them has written and 4 when all have, the minute's sweep 2 ms more, and a cut 30, most of
it for the disk (2 shared cores, ext4). All of it runs in threads; no two work on a log at once. Called by the local
engine.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection

from fairlead.aiokit.logkeeper import LogKeeper
from fairlead.core.layout import Layout
from fairlead.engines.local.folders import Folders
from fairlead.engines.local.retention import look_at, to_remove
from fairlead.errors import EngineError

SWEEP_EVERY = 60.0
"""Seconds between two looks for folders that may go."""

log = logging.getLogger(__name__)


class Upkeep:
    """The housekeeping of one home."""

    def __init__(self, layout: Layout, folders: Folders) -> None:
        self._layout, self._folders = layout, folders
        self._logs = LogKeeper()
        self._lock = threading.Lock()
        self._swept_at = float("-inf")

    def tend(self, living: Collection[tuple[str, str]]) -> None:
        """living: (stack, instance) of all that was launched and not cleared."""
        now = time.time()
        paths = [f"{self._layout.instance(stack, instance)}/log" for stack, instance in living]
        paths += [self._layout.daemon_log, self._layout.balancer_log]
        with self._lock:
            self._logs.only(paths)
        for path in paths:
            # One at a time: whoever waits to clear an instance waits for one log at most.
            with self._lock:
                self._logs.look(path, now)
        if time.monotonic() - self._swept_at >= SWEEP_EVERY:
            self._swept_at = time.monotonic()
            self._sweep(now)

    def finish(self, stack: str, instance: str) -> None:
        """It writes no more: mark what it wrote last, and remove its run folder. EngineError when that stays."""
        with self._lock:
            path = f"{self._layout.instance(stack, instance)}/log"
            self._logs.look(path, time.time())
            self._logs.let_go(path)
        self._folders.remove_run(stack, instance)

    def forget(self, stack: str) -> None:
        """Remove everything of the stack's instances. EngineError when something stays."""
        with self._lock:
            self._folders.remove_all(stack)

    def _sweep(self, now: float) -> None:
        stacks: dict[str, list[tuple[str, str]]] = defaultdict(list)
        try:
            for stack, instance, folder in self._folders.all():
                stacks[stack].append((instance, folder))
            for folders in stacks.values():
                for one in to_remove(*look_at(folders), now):
                    with self._lock:
                        self._folders.remove_own(one.folder)
        except (EngineError, OSError) as problem:
            log.warning("logs of ended instances stay: %s", problem)
