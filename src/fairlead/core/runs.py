"""Programs that run once and end: jobs, and what a release needs before its first instance.

Here are the values: what is recorded of a run, what the engine says of it, and what both mean; `running` decides. Runs
live in their service's release and environment, like instances, under the same engine: they outlive the daemon, and the
next one finds how they ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fairlead.core.processes import Outcome, Process

Kind = Literal["job", "before_traffic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What the store keeps of a run. Written before it is started."""

    stack: str
    id: str
    """`web.before-2`, `nightly.job-17`: unique in the stack, never reused; the name of its folder and log."""
    number: int
    kind: Kind
    name: str
    """The job's name; of a before_traffic the service's."""
    service: str
    release: int
    argv: tuple[str, ...]
    boot: str
    began_at: float
    """Monotonic seconds of that boot."""
    started_at: str
    """Wall clock, ISO 8601 UTC."""
    timeout: float | None = None
    scheduled_for: str = ""
    """The time of the schedule it was started for, ISO 8601 UTC; "" when started by hand or by a deployment."""
    killed_for: str = ""
    """Why it was ended, recorded before it got a signal; "" when it was not."""
    stopping_at: float | None = None
    """When SIGTERM was sent, recorded before it was: it is sent once."""
    error: str = ""
    """Why nobody knows how it ended, or why it could not be started at all; "" when it was and somebody does."""
    outcome: Outcome | None = None
    """How it ended. None while it runs, and when it could not be started."""
    ended_at: str = ""
    """Wall clock, when nothing of it was left; "" until then."""
    took: float | None = None
    """Seconds from its start to `ended_at`; None: unknown."""

    @property
    def succeeded(self) -> bool:
        """It ended by itself with status 0."""
        return self.outcome is not None and self.outcome.exit_status == 0 and not self.killed_for

    @property
    def how(self) -> str:
        """How it ended, in words; "" while it runs."""
        if self.succeeded:
            return "succeeded"
        return self.killed_for or self.error or (str(self.outcome) if self.outcome else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A record with what the engine says of it; `process` is None when the engine knows of none, or it has ended."""

    record: RunRecord
    process: Process | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A job whose time has come."""

    job: str
    scheduled_for: str
    """ISO 8601 UTC; of several times that nobody was there for, the last."""
    late: float
    """Seconds since then, by the wall clock."""
    missed_since: str = ""
    """The first of the times before it that passed and were not dealt with; "" when there is none."""


Preparation = Literal["needed", "running", "done", "failed"]
"""How far a release is with its `before_traffic`."""


def live(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Those of which something may be left: a stack is not gone before they are, and their releases stay."""
    return tuple(run for run in runs if not run.record.ended_at)


def latest(runs: Iterable[Run], kind: Kind, name: str, release: int | None = None) -> Run | None:
    """The one with the highest number of that kind and name (the job's, or the service's), and release if given."""
    found = (run for run in runs if run.record.kind == kind and run.record.name == name)
    fitting = [run for run in found if release in (None, run.record.release)]
    return max(fitting, key=lambda run: run.record.number, default=None)


def preparation(service: str, release: int, runs: Iterable[Run], boot: str) -> Preparation:
    """What the last `before_traffic` of that release says. One of another boot that did not succeed, and one of which
    nobody knows how it ended, are run again."""
    last = latest(runs, "before_traffic", service, release)
    if last is None:
        return "needed"
    if not last.record.ended_at:
        return "running"
    if last.record.succeeded:
        return "done"
    unknown = last.record.outcome == Outcome()
    return "needed" if unknown or (boot and last.record.boot != boot) else "failed"
