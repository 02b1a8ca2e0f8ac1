"""Launching programs that outlive us, and knowing them again.

In: a folder for each launch, never reused, and the program to start in it. Out: a `Leader`, the handle of that launch.
The law: what is known of a launch lies in its folder, written by its shim; a launcher that was thrown away loses
nothing, and the next one adopts by pid, start time and boot. A folder without a shim's record never started a program,
so the launch may be done again there; two shims in one folder cannot both start it. Called by the engines that run
processes on this machine.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress

from fairlead.aiokit import strays
from fairlead.aiokit.leader import LAST_WORD_PATIENCE, Leader
from fairlead.aiokit.pidfd import Identity, boot_id, identity_of, open_pidfd, stat_of
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.records import words_of
from fairlead.aiokit.shim import Program, spawn
from fairlead.errors import EngineError

RECORD_PATIENCE = 10.0
"""Seconds for a shim to write who it is; 4 ms when the machine is idle."""

UNRECORDED_PATIENCE = 2.0
"""Seconds that a shim which a daemon before this one had just started gets to record itself."""

OPEN_FILES = 65536
"""The soft limit of open files that a program gets, where the hard limit allows it."""

log = logging.getLogger(__name__)


class Launcher:
    """Starts programs under shims, and adopts those that another launcher started.

    marker: the name of the variable that holds a launch's folder in the environment of all that comes from it; folders
    must be unique on the machine. name: of the shims, in `ps`. oom: how much sooner than other programs the kernel ends
    these when memory is short, 0 to 1000.
    """

    def __init__(self, marker: str, *, name: str = "fairlead-instance", oom: int = 300) -> None:
        self.marker = marker
        self._name, self._oom = name, oom

    def start(
        self,
        folder: str,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        working_folder: str,
        *,
        user: tuple[int, int] | None,
        umask: int,
        log: str = "",
    ) -> Leader:
        """Start a shim in `folder`, which exists; it has not recorded itself yet (`settle`).

        environment: the program's whole environment; the marker is added. user: (uid, gid) that the program becomes;
        only root can ask for one. log: where its output goes, `folder/log` when not said. EngineError when no such
        program can be started.
        """
        if not argv:
            raise EngineError("an empty command cannot be started")
        setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
        if user is not None and setpriv is None:
            raise EngineError(
                "instances cannot run as an unprivileged user",
                "the program setpriv is not there",
                "install it: apt install util-linux",
            )
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        program = Program(
            argv=argv,
            environment=environment,
            working_folder=working_folder,
            user=user,
            umask=umask,
            open_files=OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES),
            log=log or f"{folder}/log",
            name=self._name,
            oom=self._oom,
        )
        try:
            pid = spawn(folder, self.marker, program, setpriv or "")
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or str(problem)
            raise EngineError(f"{argv[0]} cannot be started", why) from problem
        # Our own child: its number is its own, and the kernel knows it, until it is reaped.
        stat = stat_of(pid)
        assert stat is not None
        return Leader(folder, self.marker, Identity(pid, stat.start_time, boot_id()), pidfd)

    async def settle(self, leader: Leader) -> Leader:
        """Wait until the shim has recorded itself: from then on a crash of ours loses nothing.

        The leader of the folder, another one when the launch had been done before. EngineError when nothing was
        recorded; then nothing runs.
        """
        record = f"{leader.folder}/shim"
        try:
            await wait_until(
                lambda: self.recorded(leader.folder) is not None or _is_gone(leader),
                RECORD_PATIENCE,
                f"the launcher's record {record}",
                seen=lambda: words_of(record),
                error=EngineError,
            )
            recorded = self.recorded(leader.folder)
            if recorded is None:
                raise EngineError(
                    "the launcher could not record the start",
                    f"it ended without writing {record}",
                    "look at the free space of that disk: df",
                )
        except EngineError:
            await leader.kill(LAST_WORD_PATIENCE)
            raise
        if recorded == leader.identity:
            return leader
        # Another shim was first: ours ends by itself, having started nothing.
        await leader.ended(LAST_WORD_PATIENCE)
        leader.close()
        return self.adopt(leader.folder)

    def recorded(self, folder: str) -> Identity | None:
        """Who leads `folder`, dead or alive, as its shim wrote; None when no shim ever did."""
        words = words_of(f"{folder}/shim")
        if len(words) != 3 or not (words[0].isdigit() and words[1].isdigit()):
            return None
        return Identity(int(words[0]), int(words[1]), words[2])

    async def has_record(self, folder: str, inhabited: bool) -> bool:
        """Whether a shim led `folder`. One that an earlier daemon started in its last milliseconds may be about to say
        so. inhabited: whether a process carries this folder."""
        if inhabited:
            with suppress(EngineError):
                await wait_until(
                    lambda: self.recorded(folder),
                    UNRECORDED_PATIENCE,
                    f"the launcher's record {folder}/shim",
                    error=EngineError,
                )
        return self.recorded(folder) is not None

    async def end_strays(
        self, carriers: Mapping[str, list[int]], unwanted: Callable[[str], bool], timeout: float
    ) -> None:
        """End all that belongs to unwanted folders. carriers: the folders that processes carry, with their pids. One
        that even SIGKILL cannot end within `timeout` seconds is logged: it must not keep the caller from its work."""
        for folder in filter(unwanted, carriers):
            log.warning("ending pids %s: left over from %s", carriers[folder], folder)
            try:
                await strays.end(self.marker, folder, self.recorded(folder), timeout)
            except EngineError as problem:
                log.error("%s", problem)

    def adopt(self, folder: str) -> Leader:
        """The leader of `folder` by what its shim recorded: alive, or gone with its outcome."""
        identity = self.recorded(folder)
        pidfd = open_pidfd(identity) if identity is not None else None
        if identity is not None and pidfd is not None and strays.marker_of(identity.pid, self.marker) != folder:
            # A record that names somebody else's process was not written by a shim.
            os.close(pidfd)
            identity, pidfd = None, None
        return Leader(folder, self.marker, identity, pidfd)


def _is_gone(leader: Leader) -> bool:
    return not leader.alive or leader.identity is None or identity_of(leader.identity.pid) is None
