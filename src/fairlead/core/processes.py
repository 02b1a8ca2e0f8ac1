"""A process as an engine sees it: alive, or gone and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a process ended. Both None: nobody could tell (the launcher was killed too, or the machine restarted)."""

    exit_status: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {SIGNALS.get(self.signal, f'signal {self.signal}')}"
        if self.exit_status is not None:
            return f"exited with status {self.exit_status}"
        return "ended, nobody could record how (killed together with its launcher)"


SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
    11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 31: "SIGSYS",
}  # fmt: skip
"""Names of the signals that end programs (Linux, x86-64 and arm64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the engine says of an instance: alive, or gone and how."""

    alive: bool
    pid: int | None = None
    """The program's own pid; None for the first milliseconds, and when gone."""
    frozen: bool = False
    """Stopped by SIGSTOP or a debugger: it will not answer and not obey SIGTERM."""
    outcome: Outcome | None = None
