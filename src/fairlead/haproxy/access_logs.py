"""The access logs of one node: a file for each generation and log, and the thread that puts them away.

In: which generation starts with which routings, which of them live. Out: descriptors that HAProxy inherits, and folders
that stay short (`sealing`). HAProxy alone writes a line: a dead daemon loses none. HAProxy takes O_APPEND away from any
descriptor that it is given, so no two generations have one file. The law: trouble with a log keeps nobody from serving,
and is said once. A root daemon opens the files before HAProxy becomes another user, who needs no way to the folders.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from fairlead.core.accesslog import file_name, generation_of, segment_of
from fairlead.core.traffic import Routing
from fairlead.haproxy.access import Log, logs, variable
from fairlead.haproxy.sealing import BLOCK, FULL, Findings, Limits, Stopped, look

log = logging.getLogger(__name__)

NICENESS = 10
"""Of the thread that compresses: requests go first."""


class AccessLogs:
    """folder_of: the folder of a stack's log; shared: that of the ports that several stacks share; "": no log."""

    def __init__(self, folder_of: Callable[[str], str], shared: str, limits: Limits | None = None) -> None:
        self._folder_of, self._shared = folder_of, shared
        self._limits = limits or Limits()
        self._living: set[int] = set()
        """The generations that may write: from before their start until they are gone."""
        self._newest: int | None = None
        """The last that was begun; None: nobody knows yet who lives."""
        self._files: dict[int, set[str]] = {}
        """What those that live write to, or would if there had been room."""
        self._endless: set[int] = set()
        self._in_trouble: dict[str, str] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._at_work = self._over = False

    def resume(self, living: Iterable[int], newest: int) -> None:
        """These are all that live of those up to `newest`. Until that is known nothing is put away."""
        self._living, self._newest = set(living), newest

    def begin(self, generation: int) -> None:
        """It is about to start, so that nobody takes its files for those of one that has ended."""
        self._living.add(generation)
        if self._newest is not None:
            self._newest = max(self._newest, generation)

    def end(self, generation: int) -> None:
        """It is gone, and writes no more."""
        self._living.discard(generation)
        self._files.pop(generation, None)

    def open(self, generation: int, routings: Iterable[Routing]) -> dict[str, int]:
        """A descriptor for each log that the generation is to write, by the variable that says its number. One that
        cannot be opened is left out: HAProxy can do without. Blocks; the caller closes them."""
        found = {}
        for name in logs(routings):
            folder = self._folder(name)
            if not folder:
                continue
            try:
                found[variable(name)] = _opened(folder, generation)
            except OSError as problem:
                reason = problem.strerror or str(problem)
                log.warning("requests are not logged in %s: %s", folder, reason)
                if problem.errno not in FULL:
                    continue
            self._files.setdefault(generation, set()).add(f"{folder}/{file_name(generation)}")
        return found

    def generations(self) -> set[int]:
        """Every generation that has left anything: no other may be called so, or its lines would be taken for these."""
        return {found for folder in self._folders() for name in _names(folder) if (found := _whose(name)) is not None}

    def is_long(self, generation: int) -> bool:
        """Whether only another generation's taking over helps: its file cannot be shortened, or is no longer there."""
        return generation in self._endless

    async def tend(self) -> None:
        """Put away what is due, in a thread. Raises nothing; a second call while one works does nothing."""
        if self._at_work or self._newest is None:
            return
        self._at_work, self._over = True, False
        alive, newest = frozenset(self._living), self._newest
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "access log", _be_nice)
            work = partial(self._look, alive, newest, time.time())
            self._endless = await asyncio.get_running_loop().run_in_executor(self._thread, work)
            self._tell("", "")
        except Stopped:
            pass
        except Exception as problem:
            self._tell("", f"access logs are not put away: {problem}")
        finally:
            self._at_work = False

    def close(self) -> None:
        """The daemon leaves: what is being compressed is begun anew by the next one."""
        self._over = True
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _look(self, living: Collection[int], newest: int, now: float) -> set[int]:
        endless: set[int] = set()
        for folder in self._folders():
            try:
                found = look(
                    folder, living=living, newest=newest, now=now, limits=self._limits, stop=lambda: self._over
                )
            except OSError as problem:
                self._tell(folder, f"the access log in {folder} is not put away: {problem}; tried again")
                continue
            self._tell(folder, _complaint(folder, found))
            endless |= found.endless
        return endless | self._without_file(max(living, default=0))

    def _without_file(self, generation: int) -> set[int]:
        """The generation, if it writes into a file that somebody removed, where nobody reads it and nothing bounds it,
        or into none because the disk was full when it began."""
        if generation not in self._files:
            # An earlier daemon opened them.
            paths = {f"{folder}/{file_name(generation)}" for folder in self._folders()}
            self._files.setdefault(generation, {path for path in paths if os.path.exists(path)})
        lost = [path for path in self._files[generation] if not os.path.exists(path)]
        return {generation} if any(_has_room(path) for path in lost) else set()

    def _tell(self, folder: str, complaint: str) -> None:
        if complaint and self._in_trouble.get(folder) != complaint:
            log.warning("%s", complaint)
        self._in_trouble[folder] = complaint

    def _folder(self, name: Log) -> str:
        return self._shared if name is None else self._folder_of(name)

    def _folders(self) -> list[str]:
        """Every folder that is there, also of stacks that are down."""
        found = [self._shared] if self._shared else []
        above, _, below = self._folder_of("*").rpartition("*")
        if above:
            found += [f"{above}{stack}{below}" for stack in _names(above)]
        return [folder for folder in found if os.path.isdir(folder)]


def _complaint(folder: str, found: Findings) -> str:
    return f"the disk is full: lines of the access log in {folder} went unread" if found.dropped else ""


def _has_room(path: str) -> bool:
    """Whether a file may be made there again."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    # Some file systems do not count inodes.
    return found.f_bavail * found.f_frsize > BLOCK and (found.f_favail > 0 or found.f_files == 0)


def _opened(folder: str, generation: int) -> int:
    """The new file of a generation, made 0600 in a folder of ours. OSError."""
    _make(folder)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(f"{folder}/{file_name(generation)}", flags, 0o600)


def _make(folder: str) -> None:
    """The folder and its parent are for us alone; those above, where they are missing, as passable as the one that they
    are in: instances of another user pass through a stack's folder."""
    own = (folder, os.path.dirname(folder))
    missing = []
    path = folder
    while not os.path.isdir(path) and path != os.path.dirname(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        mode = 0o700 if one in own else stat.S_IMODE(os.stat(os.path.dirname(one)).st_mode) & 0o711 | 0o700
        with suppress(FileExistsError):
            os.mkdir(one, 0o700)
            os.chmod(one, mode)


def _whose(name: str) -> int | None:
    """The generation of a file's name; None: it is none of ours."""
    segment = segment_of(name)
    return segment.generation if segment else generation_of(name)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _be_nice() -> None:
    # Of this thread alone: on Linux a niceness belongs to a thread, and none but root's can take it back.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
