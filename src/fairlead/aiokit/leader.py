"""One launch, alive or gone: its shim, pinned by a pidfd while it lives.

In: what the shim recorded in the launch's folder, and a pidfd that holds it. Out: whether it lives, the program's own
pid and state, how it ended; SIGTERM (or what it ends by) to the program, SIGKILL to everything. The law: gone is for
ever; the signal to end is sent once, also over restarts; after `kill` nothing is left of the launch. Made by
`Launcher`, held by an engine or the host of resources.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from fairlead.aiokit import strays
from fairlead.aiokit.pidfd import Identity, Stat, ended, parse_stat, reap, send, stat_of
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.records import outcome_in, words_of
from fairlead.core.processes import Outcome, Process
from fairlead.errors import EngineError

PID_PATIENCE = 2.0
"""Seconds for the program's pid to appear after the shim's record."""

LAST_WORD_PATIENCE = 2.0
"""Seconds for the shim to record how a killed program ended, before the shim is killed too."""


class Leader:
    """The handle of one launch. identity: its shim, as recorded; None: there is no record. pidfd: None when gone."""

    def __init__(self, folder: str, marker: str, identity: Identity | None, pidfd: int | None) -> None:
        self.folder = folder
        self.identity = identity
        self._marker = marker
        self._pidfd = pidfd
        self._watched = False
        self._program: int | None = None
        self._program_stat: int | None = None
        self._outcome: Outcome | None = None
        self._told_to_stop = os.path.lexists(f"{folder}/term")

    @property
    def alive(self) -> bool:
        """Whether the shim lives; needs `watch` to become false by itself."""
        return self._pidfd is not None

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back once, from the loop, when the shim has ended."""
        if self._pidfd is not None and not self._watched:
            self._watched = True
            asyncio.get_running_loop().add_reader(self._pidfd, self._over, callback)

    async def ended(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the shim's end; whether it has ended."""
        return self._pidfd is None or await ended(self._pidfd, timeout)

    def outcome(self) -> Outcome:
        """How the program ended, as its shim recorded it; an empty one when nothing was recorded."""
        if self._outcome is None:
            outcome = outcome_in(self.folder)
            if outcome == Outcome():
                return outcome
            self._outcome = outcome
        return self._outcome

    def program(self) -> Stat | None:
        """The program as the kernel sees it now; None before it has a pid and after it is gone. 3 us once found."""
        if not self._find_program() or self._program_stat is None:
            return None
        try:
            return parse_stat(os.pread(self._program_stat, 1024, 0))
        except ProcessLookupError:
            return None

    def wake_shim(self) -> None:
        """A shim that was stopped together with its program cannot see the program end: let it go on."""
        if self._pidfd is not None and self.identity is not None:
            stat = stat_of(self.identity.pid)
            if stat is not None and stat.frozen:
                send(self._pidfd, signal.SIGCONT)

    def look(self) -> Process:
        """What is seen of it now: a few microseconds, five times a second."""
        if not self.alive:
            return Process(alive=False, outcome=self.outcome())
        program = self.program()
        if program is None or program.gone:
            # Not started yet, or gone with its shim about to say how: which a frozen shim cannot.
            self.wake_shim()
            return Process(alive=True)
        return Process(alive=True, pid=program.pid, frozen=program.frozen)

    async def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """A signal to the program and to nothing else; once, whoever asks again, also after a restart.

        EngineError when the program's pid was not there in time, or it may not be signalled.
        """
        if self._told_to_stop or not self.alive:
            return
        await wait_until(
            lambda: self._find_program() or not self.alive,
            PID_PATIENCE,
            f"the program's pid in {self.folder}/pid",
            seen=lambda: words_of(f"{self.folder}/pid"),
            error=EngineError,
        )
        if self._told_to_stop:
            return
        # Sent, then recorded: a crash between sends it twice; a third could hang a server (local.md 0, trap 1).
        self._told_to_stop = True
        self._signal_program(number)
        with suppress(OSError):
            os.close(os.open(f"{self.folder}/term", os.O_WRONLY | os.O_CREAT, 0o600))

    async def kill(self, timeout: float) -> None:
        """SIGKILL to the program, its group and all that left it; returns when none is left, or EngineError.

        The program goes first, so that its shim, if it still can, records how it ended.
        """
        if self._pidfd is not None:
            with suppress(EngineError):
                self._signal_program(signal.SIGKILL)
            self.wake_shim()
            if self._program is None or not await self.ended(LAST_WORD_PATIENCE):
                self._kill_group()
        await strays.end(self._marker, self.folder, self.identity, timeout)
        if self._watched:
            what = f"the end of the launcher in {self.folder}"
            await wait_until(lambda: not self.alive, timeout, what, error=EngineError)

    def close(self) -> None:
        """Let go of it; it goes on."""
        if self._pidfd is not None:
            if self._watched:
                asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._program_stat is not None:
            os.close(self._program_stat)
            self._program_stat = self._program = None

    def _over(self, callback: Callable[[], None]) -> None:
        assert self._pidfd is not None
        reap(self._pidfd)
        self.close()
        callback()

    def _find_program(self) -> bool:
        """Whoever may write the folder may write any number into `pid`: it counts only as a child of the living shim,
        whose children's numbers are not reused before it has collected them."""
        if self._program_stat is not None:
            return True
        words = words_of(f"{self.folder}/pid")
        if not self.alive or self.identity is None or not words or not words[0].isdigit():
            return False
        with suppress(OSError):
            descriptor = os.open(f"/proc/{int(words[0])}/stat", os.O_RDONLY | os.O_CLOEXEC)
            # An open descriptor of /proc/PID never reads another process: after its end it fails.
            with suppress(ProcessLookupError):
                stat = parse_stat(os.pread(descriptor, 1024, 0))
                if stat.parent == self.identity.pid:
                    self._program_stat, self._program = descriptor, stat.pid
                    return True
            os.close(descriptor)
        return False

    def _signal_program(self, number: signal.Signals) -> None:
        if not self._find_program() or self._program is None:
            return
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(self._program)
            try:
                # Opened by number: only if the program is still there is it the program's.
                if self.program() is not None:
                    send(pidfd, number)
            except PermissionError as problem:
                why = "it runs as another user (a set-user-id program)"
                raise EngineError(f"{number.name} cannot be sent to pid {self._program}", why) from problem
            finally:
                os.close(pidfd)

    def _kill_group(self) -> None:
        """By number, but only while the number is the shim's; a group that has members keeps it from being reused."""
        stat = stat_of(self.identity.pid) if self.identity is not None else None
        if stat is not None and self.identity is not None and stat.start_time == self.identity.start_time:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(stat.pid, signal.SIGKILL)
