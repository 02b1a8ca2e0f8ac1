"""What is there, as one frozen snapshot: the only thing, beside what is wanted, that a decision sees.

`State` is an instance's life cycle (the table is in `core/lifecycle.py`). Times are seconds of the monotonic clock of
this boot; a record from another boot is of an instance that is gone, unless it is a target that fairlead does not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairlead.core.processes import Outcome, Process
from fairlead.core.resources.records import ResourceSeen
from fairlead.core.runs import Due, Run
from fairlead.core.traffic import MissingListener, Routing, TargetReport

State = Literal["pending", "warm", "in_service", "terminating", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An instance that can be reached alone, on a port of its own (`fairlead instance open`)."""

    port: int
    digest: str
    """sha256 of the token that requests must show, hexadecimal."""
    boot: str
    until: float
    """Monotonic seconds of that boot."""
    until_at: str = ""
    """The same on the wall clock, ISO 8601 UTC; display only."""

    def holds(self, boot: str, now: float) -> bool:
        """Whether it has not ended at `now`, in monotonic seconds of `boot`."""
        return self.boot == boot and now < self.until


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
    """`unix:/path`, `127.0.0.1:20001`, or "" for a worker."""
    state: State
    boot: str
    """The boot id under which the times below were taken."""
    launched_at: float
    started_at: str
    """Wall clock of the launch, ISO 8601 UTC; display only."""
    cause: str
    """Why it was launched, in words."""
    in_service_at: float | None = None
    """When it was let in: at its first passed check, or when it was needed from the warm pool. None: never."""
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
    drained: bool = False
    """Taken out of the load balancer by hand (`instance drain`); it counts as capacity until it is returned."""
    drained_at: float | None = None
    """When, in seconds of `boot`: a deregistration delay later what still runs inside is ended."""
    protected: bool = False
    """Not chosen when the service shrinks (scale-in protection)."""
    pooled: bool = False
    """It is of the warm pool: `pending` it is on its way there, `warm` it is there, out of the load balancer."""
    warm_at: float | None = None
    """When it last came into the warm pool, passing its checks; None: never."""
    standby: Literal["", "replaced", "decremented"] = ""
    """With `drained`: put on standby by hand (`instance standby`). It is not counted as capacity, not replaced and not
    chosen when the service shrinks; another was started in its place, or desired made one less."""
    condemned: str = ""
    """Why it is to be replaced, in words (`instance terminate`); it goes when another serves in its place."""
    at_once: bool = False
    """With `condemned`: it goes now, whoever serves in its place."""
    runs: bool = True
    """False: a target that fairlead routes to and does not run (`targets:`). It has no process and no release (0)."""
    opened: Opened | None = None

    @property
    def serves(self) -> bool:
        """Whether it takes requests; a worker (`port: none`) has no address."""
        return bool(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A record with what the outside says of it. `process` and `target` are None when unknown."""

    record: InstanceRecord
    process: Process | None
    target: TargetReport | None
    """None: not registered, or (see `Observed.balancer_known`) the balancer does not answer."""
    unhealthy_at: float | None = None
    """Since when the balancer has reported it down, of a warm one since when its checks fail; None while up, and before
    it was ever up."""
    oversize_at: float | None = None
    """Since when it has used more memory than `max_memory` allows; None while it does not."""


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
    """Of each wanted release, and of each that a deployment replaces."""
    next_numbers: tuple[tuple[str, int], ...] = ()
    """For each service the N that its next instance gets; a number is never used twice."""
    boot: str = ""
    """The boot id of now: a record of another boot is of an instance that the restart of the machine ended."""
    runs: tuple[Run, ...] = ()
    """Programs that run once and end (jobs, before_traffic): those that run, and of each name and release the last."""
    due: tuple[Due, ...] = ()
    """Jobs whose time has come and that were not started for it yet."""
    missing: tuple[MissingListener, ...] = ()
    """Listeners of this stack that the balancer cannot have for now."""
    resources: tuple[ResourceSeen, ...] = ()
    """Those that have a record: also such as left the file and keep their data."""
