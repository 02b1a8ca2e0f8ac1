"""What is there, as one frozen snapshot: the only thing, beside what is wanted, that a decision sees.

`State` is an instance's life cycle (the table is in `core/lifecycle.py`). Times are seconds of the monotonic clock of
this boot; a record from another boot is of an instance that is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairlead.core.traffic import MissingListener, Routing, TargetReport

State = Literal["pending", "in_service", "terminating", "ended"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """What the store keeps of an instance: what was intended and what was seen. Written before each act."""

    stack: str
    service: str
    id: str
    """`web-1`: SERVICE-NUMBER; equals FAIRLEAD_INSTANCE."""
    number: int
    release: int
    zone: str
    address: str
    state: State
    boot: str
    """The boot id under which the times below were taken."""
    launched_at: float
    started_at: str
    """Wall clock of the launch, ISO 8601 UTC; display only."""
    cause: str
    """Why it was launched, in words."""
    in_service_at: float | None = None
    """Its first passed check; None: never passed one."""
    terminating_at: float | None = None
    why: str = ""
    """Why it is terminating, in words."""
    deregistered_at: float | None = None
    """When the balancer let go of it; from then on no request can reach it."""
    stopping_at: float | None = None
    """When SIGTERM was sent, recorded before it was: it is sent once."""
    ended_at: float | None = None
    outcome: Outcome | None = None
    failed_start: bool = False
    """It ended, or was given up, before its first passed check and not because it was no longer wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A record with what the outside says of it. `process` and `target` are None when unknown."""

    record: InstanceRecord
    process: Process | None
    target: TargetReport | None
    """None: not registered, or (see `Observed.balancer_known`) the balancer does not answer."""
    unhealthy_at: float | None = None
    """Since when the balancer has reported it down; None while up, and before it was ever up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartHistory:
    """Failed starts of one release of one service, since the last instance of it that passed a check."""

    service: str
    release: int
    failures: int = 0
    last_failed_at: float | None = None
    last_outcome: str = ""
    last_instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One stack, now."""

    instances: tuple[Instance, ...] = ()
    """Those whose record has not ended."""
    strangers: tuple[str, ...] = ()
    """Instances that the engine runs under this stack's name and the store does not know as live."""
    balancer_known: bool = True
    routing: Routing | None = None
    """What the balancer was last configured with for this stack."""
    starts: tuple[StartHistory, ...] = ()
    next_numbers: tuple[tuple[str, int], ...] = ()
    """For each service the N that its next instance gets; a number is never used twice."""
    boot: str = ""
    """The boot id of now: a record of another boot is of an instance that the restart of the machine ended."""
    missing: tuple[MissingListener, ...] = ()
    """Listeners of this stack that the balancer cannot have for now."""
