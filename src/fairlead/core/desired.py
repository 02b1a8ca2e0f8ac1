"""What is wanted of a stack, as the store keeps it: a revision, and, while a deployment runs, the one to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fairlead.core.model import Release, Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A stack with the release that each of its services should run."""

    stack: Stack
    releases: Mapping[str, Release]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The act of moving a stack to a revision. It is over when `status` is not `in_progress`."""

    number: int
    status: Literal["in_progress", "successful", "failed"]
    boot: str
    began_at: float
    """Monotonic seconds of that boot."""
    started_at: str
    """Wall clock, ISO 8601 UTC; display only."""
    reason: str = ""
    """Why it failed, in words."""
    place: str = ""
    """The place in the file of the value that failed it, or ""."""
    detail: str = ""
    """The failed instance's last log lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """One row of the store.

    wanted: `up`, or `down` (its instances are being ended; then only releases, logs and events are left of it).
    previous: what a failed deployment goes back to; None on a first `up`, and when no deployment runs.
    """

    name: str
    wanted: Literal["up", "down"]
    desired: Revision
    previous: Revision | None
    deployment: Deployment | None
    check_token: str
