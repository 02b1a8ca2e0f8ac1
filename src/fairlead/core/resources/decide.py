"""What to do about the resources that fairlead runs.

In: what is wanted, what is observed, and now. Out: actions with reasons, and when time alone will change them. Called
by `reconcile`. The laws: a resource is started before the services that refer to it and stopped after them; one that
died is started again with its data; one that left the file, or was stopped by hand, is stopped and keeps its data;
while a deployment is under way, what the revision before it needs stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.core.desired import Revision, StackRecord
from fairlead.core.fates import LAST_BOOT
from fairlead.core.interpolation import references
from fairlead.core.model import App, Command, Service
from fairlead.core.observed import Observed
from fairlead.core.phrases import several, span
from fairlead.core.plan import Action, EndResource, KillResource, MarkAvailable, StartResource, StopResource
from fairlead.core.resources.model import SECTIONS, Resource, run_here, settings_of
from fairlead.core.resources.records import ResourceSeen
from fairlead.core.runs import live

LASTING = 10.0
"""Seconds of being available after which a launch has not failed, however it ends."""

SILENCE = 30.0
"""Seconds without an answer after which one that was available is started again."""

STOP_TIMEOUT = 60.0
"""Seconds that a server gets to end by itself: a database writes its checkpoint."""

MOST_FAILURES = 3
"""Failed launches after which a deployment does not wait for it any longer."""

START_PATIENCE = 120.0
"""Seconds of starting after which a deployment does not wait for it any longer: a database may have to recover."""

_LONGEST_PAUSE = 30.0


def decide(wanted: StackRecord, observed: Observed, now: float) -> tuple[list[Action], list[float]]:
    """The actions for all resources, and when to look again (monotonic seconds of this boot)."""
    actions: list[Action] = []
    wakes: list[float] = []
    needed = _needed(wanted)
    known = {seen.record.id: seen for seen in observed.resources}
    for id, resource in needed.items():
        if id not in known:
            actions.append(StartResource(resource=resource, reason="the file declares it"))
    for id, seen in known.items():
        action, wake = _tend(wanted, observed, seen, needed.get(id), now)
        actions += [action] if action else []
        wakes += [wake] if wake is not None else []
    return actions, wakes


def needs(service: Service) -> tuple[str, ...]:
    """The ids of the resources that it refers to, each once, in the order of mention."""
    words = service.program.argv if isinstance(service.program, Command) else ()
    texts = (*words, *service.environment.values())
    found = (parts for text in texts for parts in references(text) if parts[0] in SECTIONS.values())
    return tuple(dict.fromkeys(parts[1] for parts in found)) if isinstance(service.program, App | Command) else ()


def lacking(service: Service, wanted: StackRecord, observed: Observed) -> tuple[str, ...]:
    """The resources that fairlead runs, that it needs, and that do not answer."""
    here = {one.id for one in run_here(wanted.desired.stack.resources)}
    launched = (seen for seen in observed.resources if seen.is_launched and seen.record.stopping_at is None)
    answering = {seen.record.id for seen in launched if seen.answers}
    return tuple(id for id in needs(service) if id in here and id not in answering)


def hopeless(id: str, wanted: StackRecord, observed: Observed, now: float) -> str:
    """Why waiting for a resource to answer leads nowhere, or ""."""
    seen = next((one for one in observed.resources if one.record.id == id), None)
    if seen is None:
        return ""
    record = seen.record
    if record.stopped_at:
        return f"it was stopped by hand; start it: fairlead data start {id}"
    # Those of another boot say nothing of this one.
    if record.failures >= MOST_FAILURES and record.boot == observed.boot:
        return f"it failed to start {several(record.failures, 'time')}: {record.why}"
    asked = next((one for one in wanted.desired.stack.resources if one.id == id), None)
    changes = asked is not None and record.settings != settings_of(asked)
    if record.launched_at is None or record.boot != observed.boot or record.stopping_at is not None or changes:
        return ""  # what runs, if anything, is on its way out: the next start will tell
    if seen.hindered:
        return seen.clause
    starting = now - record.launched_at
    if record.available_at is None and starting >= START_PATIENCE:
        return f"it has been starting for {span(starting)}: {seen.clause}"
    return ""


def is_over(observed: Observed) -> bool:
    """Whether nothing of any resource runs."""
    return not any(seen.is_launched for seen in observed.resources)


def _needed(wanted: StackRecord) -> Mapping[str, Resource]:
    """Those that should run: of what is wanted, and, until a deployment is over, of what it replaces."""
    if wanted.wanted == "down":
        return {}
    revisions: tuple[Revision | None, ...] = (wanted.previous if wanted.under_way else None, wanted.desired)
    return {one.id: one for revision in revisions if revision for one in run_here(revision.stack.resources)}


def _tend(
    wanted: StackRecord, observed: Observed, seen: ResourceSeen, resource: Resource | None, now: float
) -> tuple[Action | None, float | None]:
    """The next step of one that has a record, and when to look again."""
    record = seen.record
    if not seen.is_launched:
        if resource is None or record.stopped_at:
            return None, None
        pause = _pause(record.failures)
        due = record.failed_at + pause if record.failed_at is not None and record.boot == observed.boot else now
        if now < due:
            return None, due
        return StartResource(resource=resource, reason=_cause(seen)), None
    if record.boot != observed.boot:
        return EndResource(resource=record.id, failed=False, reason=LAST_BOOT), None
    assert record.launched_at is not None
    if seen.error:
        # One that was told to end while it was prepared has not failed.
        told = record.stopping_at is not None
        return EndResource(resource=record.id, failed=not told, reason=record.why if told else seen.error), None
    if seen.process is not None and not seen.process.alive:
        return _ended(seen, now), None
    if seen.process is None and not seen.preparing:
        if resource is None or record.stopped_at or record.stopping_at is not None:
            return EndResource(resource=record.id, failed=False, reason="it was recorded, and never started"), None
        return StartResource(resource=resource, reason="its launch was recorded and did not happen"), None
    if record.stopping_at is not None:
        due = record.stopping_at + STOP_TIMEOUT
        if now < due:
            return None, due
        return KillResource(resource=record.id, reason=f"it did not end within {STOP_TIMEOUT:g} s"), None
    if why := _why_stop(wanted, observed, seen, resource, now):
        return StopResource(resource=record.id, reason=why), None
    if seen.answers and record.available_at is None:
        return MarkAvailable(resource=record.id, reason=f"it answers after {span(now - record.launched_at)}"), None
    if record.available_at is None:
        # Until then those that wait for it have hope.
        due = record.launched_at + START_PATIENCE
        return None, due if now < due else None
    return None, seen.silent_at + SILENCE if seen.silent_at is not None else None


def _ended(seen: ResourceSeen, now: float) -> EndResource:
    record, process = seen.record, seen.process
    how = str(process.outcome) if process is not None and process.outcome is not None else "ended, nobody knows how"
    if record.stopping_at is not None:
        return EndResource(resource=record.id, failed=False, reason=record.why)
    short = record.available_at is None or now - record.available_at < LASTING
    return EndResource(resource=record.id, failed=short, reason=how)


def _why_stop(
    wanted: StackRecord, observed: Observed, seen: ResourceSeen, resource: Resource | None, now: float
) -> str:
    record = seen.record
    if record.stopped_at:
        return "it was stopped by hand"
    if resource is None:
        if wanted.wanted == "down":
            # Last of all: what ends may still have to write.
            empty = not observed.instances and not observed.strangers and not live(observed.runs)
            return "the stack goes down" if empty else ""
        return "" if _others_run(wanted, observed) else "it is no longer in the file"
    if record.settings != settings_of(resource) and not seen.preparing:
        return f"it is to run with other settings: {settings_of(resource)}"
    if record.available_at is not None and seen.silent_at is not None and now - seen.silent_at >= SILENCE:
        return f"it has not answered for {span(now - seen.silent_at)}: {seen.clause}"
    return ""


def _others_run(wanted: StackRecord, observed: Observed) -> bool:
    """Whether anything of a release that no revision has any more still runs: it may use what left the file."""
    revisions = (wanted.desired, *([wanted.previous] if wanted.previous else ()))
    kept = {(name, release.number) for one in revisions for name, release in one.releases.items()}
    running = {(one.record.service, one.record.release) for one in observed.instances if one.record.runs}
    running |= {(run.record.service, run.record.release) for run in live(observed.runs)}
    return not running <= kept


def _pause(failures: int) -> float:
    """Seconds before the next launch: none after the first failure, then doubling."""
    return 0.0 if failures < 2 else min(_LONGEST_PAUSE, 2.0 ** min(failures - 2, 10))


def _cause(seen: ResourceSeen) -> str:
    record = seen.record
    return f"its last run is over: {record.why}" if record.why else "it should run"
