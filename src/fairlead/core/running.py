"""What to do about runs: jobs whose time has come, and whatever runs once and is at its end, or must be.

In: what is wanted, what is observed, and now. Out: actions and the times at which time alone will change them. The
laws: a job is started at most once for a time of its schedule, never twice at once, and not at all when nobody was
there for it within `MISSED_AFTER` seconds: what was missed is told, not made up for. A run gets SIGTERM once and
SIGKILL after its service's stop_timeout. `before_traffic` is started by `reconcile`, which knows when a release needs
it; it is ended here.
"""

from __future__ import annotations

from fairlead.core.desired import Revision, StackRecord
from fairlead.core.fates import LAST_BOOT
from fairlead.core.model import Job
from fairlead.core.observed import Observed
from fairlead.core.phrases import span
from fairlead.core.plan import Action, EndRun, KillRun, LaunchRun, SkipJob, StartRun, StopRun
from fairlead.core.processes import Outcome
from fairlead.core.runs import Due, Run, RunRecord, live

MISSED_AFTER = 60.0
"""Seconds by the wall clock after which a time of a schedule has been missed."""

STOP_TIMEOUT_OF_A_FORGOTTEN_SERVICE = 30.0
"""stop_timeout of a run whose service no revision holds any more: the default."""

NEVER_STARTED = "it was recorded, and never started"


def decide(wanted: StackRecord, observed: Observed, now: float) -> tuple[list[Action], list[float]]:
    """The actions for all runs, and when to look again (monotonic seconds of this boot)."""
    actions: list[Action] = []
    wakes: list[float] = []
    for run in live(observed.runs):
        action, wake = _tend(wanted, run, observed.boot, now)
        actions += [action] if action else []
        wakes += [wake] if wake is not None else []
    for due in observed.due if wanted.wanted == "up" else ():
        actions += _answer(wanted, observed, due)
    return actions, wakes


def serving_revision(wanted: StackRecord) -> Revision | None:
    """The revision whose jobs are run: while a deployment is under way the one before it, whose release still serves.
    None: nothing has served yet, or the stack goes down."""
    if wanted.wanted == "down":
        return None
    return wanted.previous if wanted.under_way else wanted.desired


def _tend(wanted: StackRecord, run: Run, boot: str, now: float) -> tuple[Action | None, float | None]:
    """The next step of one run that has not ended."""
    record, process = run.record, run.process
    if record.outcome is not None:
        return EndRun(run=record.id, outcome=record.outcome, reason="its end was seen"), None
    if boot and record.boot != boot:
        return EndRun(run=record.id, outcome=Outcome(), reason=LAST_BOOT), None
    why = record.killed_for or _why_end(wanted, record, now)
    if process is None:
        if why or now - record.began_at > MISSED_AFTER:
            return EndRun(run=record.id, outcome=Outcome(), reason=NEVER_STARTED), None
        return LaunchRun(run=record.id, reason="its start was recorded and did not happen"), None
    if not process.alive:
        outcome = process.outcome or Outcome()
        return EndRun(run=record.id, outcome=outcome, reason=str(outcome)), None
    if not why:
        return None, None if record.timeout is None else record.began_at + record.timeout
    if record.stopping_at is None:
        return StopRun(run=record.id, reason=why), None
    kill_at = record.stopping_at + _stop_timeout(wanted, record.service)
    return (KillRun(run=record.id, reason=why), None) if now >= kill_at else (None, kill_at)


def _why_end(wanted: StackRecord, record: RunRecord, now: float) -> str:
    """Why a run must not go on, or ""."""
    if wanted.wanted == "down":
        return "ended because the stack goes down"
    release = wanted.desired.releases.get(record.service)
    if record.kind == "before_traffic" and (release is None or release.number != record.release):
        return f"ended because release {record.release} of {record.service} is no longer being deployed"
    if record.timeout is not None and now - record.began_at >= record.timeout:
        return f"ended because it took longer than its timeout of {span(record.timeout)}"
    return ""


def _stop_timeout(wanted: StackRecord, name: str) -> float:
    for revision in (wanted.desired, wanted.previous):
        for service in revision.stack.services if revision else ():
            if service.name == name:
                return service.stop_timeout
    return STOP_TIMEOUT_OF_A_FORGOTTEN_SERVICE


def _answer(wanted: StackRecord, observed: Observed, due: Due) -> list[Action]:
    """A time of a schedule has come: start its job, or say why not."""
    revision = serving_revision(wanted)
    job = _job(revision, due.job)
    if revision is None or job is None:
        return []
    if due.late > MISSED_AFTER:
        return [SkipJob(job=job.name, scheduled_for=due.scheduled_for, reason=_missed(due))]
    before: list[Action] = []
    if due.missed_since:
        before = [SkipJob(job=job.name, scheduled_for=due.missed_since, reason=_missed(due))]
    busy = next((run.record for run in live(observed.runs) if _is_of(run, job) and not _is_gone(run)), None)
    if busy is not None:
        why = f"{busy.id}, which began at {busy.started_at}, is still running"
        return [*before, SkipJob(job=job.name, scheduled_for=due.scheduled_for, reason=why)]
    release = revision.releases.get(job.service)
    if release is None:
        why = f"its service {job.service} has no release"
        return [*before, SkipJob(job=job.name, scheduled_for=due.scheduled_for, reason=why)]
    start = StartRun(
        kind="job",
        name=job.name,
        service=job.service,
        release=release.number,
        argv=job.argv,
        reason=f"it was due at {due.scheduled_for}",
        timeout=job.timeout,
        scheduled_for=due.scheduled_for,
    )
    return [*before, start]


def _job(revision: Revision | None, name: str) -> Job | None:
    return next((job for job in revision.stack.jobs if job.name == name), None) if revision else None


def _is_of(run: Run, job: Job) -> bool:
    return run.record.kind == "job" and run.record.name == job.name


def _is_gone(run: Run) -> bool:
    """It is at its end in this very snapshot."""
    return run.record.outcome is not None or (run.process is not None and not run.process.alive)


def _missed(due: Due) -> str:
    several = f"from {due.missed_since} on" if due.missed_since else f"at {due.scheduled_for}"
    return f"it was due {several}, and the daemon was not there, or the clock was set forward"
