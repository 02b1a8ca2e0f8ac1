"""The runs of one stack, made true: started, stopped, recorded; and what a cycle must know of them.

The law of each step is the applier's: what must survive a crash is recorded before the act that needs it, and an end is
recorded after nothing is left. The time of a schedule is recorded as dealt with together with the run that is started
for it. So a daemon that dies between any two lines finds a world from which the same decision leads on, and no job is
started twice for one time. A run that was recorded and not launched is launched, or ended, by the next decision.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fairlead.control import schedule
from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.references import References
from fairlead.core import plan as plans
from fairlead.core.desired import StackRecord
from fairlead.core.launch import Surroundings, start_once
from fairlead.core.layout import Layout
from fairlead.core.model import Job
from fairlead.core.processes import Outcome, Process
from fairlead.core.running import serving_revision
from fairlead.core.runs import Due, Run, RunRecord
from fairlead.engines.base import Engine, LaunchOrder
from fairlead.errors import EngineError, FairleadError, NotFound, StoreError, UsageError
from fairlead.store.database import Store

log = logging.getLogger("fairlead")

TAIL = 20
"""Lines of its log that are shown of a run."""

WORDS = {"job": "job", "before_traffic": "before"}
"""What stands in a run's id."""


class Runs:
    """Of one stack. The applier does actions with it, the observer observes with it."""

    def __init__(
        self,
        stack: str,
        *,
        store: Store,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        layout: Layout,
        around: Surroundings,
    ) -> None:
        self._stack, self._store, self._engine, self._journal = stack, store, engine, journal
        self._clock, self._layout, self._around = clock, layout, around
        self._references = References(store)
        self._begun: dict[str, tuple[str, str]] = {}
        """As the store's table of schedules, for what could not be written there."""
        self._unreadable: set[str] = set()

    # What there is

    def observe(self, sightings: Mapping[str, Process], wanted: StackRecord) -> tuple[tuple[Run, ...], tuple[Due, ...]]:
        """The runs that have not ended, and of each wanted release the last that prepared it; and the jobs whose time
        has come. sightings: what the engine says, by id. A disk that is full keeps no job from being due."""
        records = {record.id: record for record in self._store.live_runs(self._stack)}
        for name, release in wanted.desired.releases.items():
            if release.before_traffic is not None:
                last = self._store.last_run(self._stack, "before_traffic", name, release.number)
                records |= {last.id: last} if last else {}
        runs = tuple(Run(record=record, process=self._process(record, sightings)) for record in records.values())
        return runs, tuple(self._due(wanted))

    def _process(self, record: RunRecord, sightings: Mapping[str, Process]) -> Process | None:
        if record.ended_at or record.boot != self._clock.boot:
            return None
        return sightings.get(record.id)

    def _due(self, wanted: StackRecord) -> list[Due]:
        revision = serving_revision(wanted)
        if revision is None:
            return []
        jobs = {job.name: job for job in revision.stack.jobs}
        known = self._store.schedules(self._stack)
        for name in known.keys() - jobs.keys():
            with suppress(StoreError):
                self._store.forget_schedule(self._stack, name)
        found = []
        for job in jobs.values():
            try:
                due = self._due_of(job, known.get(job.name))
            except ValueError as problem:  # a time zone whose rules have left the machine, for example
                self._tell_unreadable(job, problem)
                continue
            found += [due] if due else []
        return found

    def _due_of(self, job: Job, stored: tuple[str, str] | None) -> Due | None:
        wall, mine = self._clock.wall(), schedule.schedule_of(job)
        for known in (stored, self._begun.get(job.name)):
            if known is not None and known[0] == mine and not schedule.begins_anew(known[1], wall):
                return schedule.due(job, known[1], wall)
        self._begun[job.name] = (mine, wall)
        with suppress(StoreError):
            self._store.handle_schedule(self._stack, job.name, mine, wall)
        return None

    def _tell_unreadable(self, job: Job, problem: Exception) -> None:
        if job.name not in self._unreadable:
            text = f"the schedule of job {job.name} cannot be read, so it is not run: {problem}"
            self._journal.event(self._stack, "problem", text, service=job.service)
        self._unreadable.add(job.name)

    # What is done

    async def start(self, action: plans.StartRun) -> RunRecord | None:
        """Record a run and start its program. None: one is there already (it was started since the decision)."""
        for other in self._store.live_runs(self._stack):
            if (other.kind, other.name) == (action.kind, action.name):
                same = action.kind == "job" or other.release == action.release
                if same:
                    return None
        number = self._store.next_run_number(self._stack, action.kind, action.name)
        record = RunRecord(
            stack=self._stack,
            id=f"{action.name}.{WORDS[action.kind]}-{number}",
            number=number,
            kind=action.kind,
            name=action.name,
            service=action.service,
            release=action.release,
            argv=action.argv,
            boot=self._clock.boot,
            began_at=self._clock.now(),
            started_at=self._clock.wall(),
            timeout=action.timeout,
            scheduled_for=action.scheduled_for,
        )
        self._store.save_run(record, self._schedule_of(action))
        if record.kind == "job":
            self._tell("job_started", record, f"{record.id} started: {action.reason}")
        else:
            self._tell("preparing", record, f"{record.id} started: {action.reason}")
        await self._launch(record)
        return self._store.run(self._stack, record.id)

    async def launch(self, action: plans.LaunchRun) -> None:
        """The recorded one was not launched: now."""
        if record := self._live(action.run):
            await self._launch(record)

    async def stop(self, action: plans.StopRun) -> None:
        """SIGTERM, once."""
        record = self._live(action.run)
        if record is None or record.stopping_at is not None:
            return
        self._store.save_run(replace(record, killed_for=action.reason, stopping_at=self._clock.now()))
        self._tell("run_stopping", record, f"{record.id} gets SIGTERM: {action.reason}")
        await self._engine.stop(self._stack, record.id)

    async def kill(self, action: plans.KillRun) -> None:
        """SIGKILL to whatever is left of it."""
        if record := self._live(action.run):
            if not record.killed_for:
                self._store.save_run(replace(record, killed_for=action.reason))
            self._tell("killed", record, f"{record.id} killed: {action.reason}")
            await self._engine.kill(self._stack, record.id)

    async def end(self, action: plans.EndRun) -> None:
        """Its end is recorded first, because clearing makes the engine forget it; that nothing is left, last."""
        record = self._live(action.run)
        if record is None:
            return
        if record.outcome is None:
            error = action.reason if action.outcome == Outcome() else ""
            record = replace(record, outcome=action.outcome, error=error)
            self._store.save_run(record)
        failed = not record.succeeded
        await self._engine.clear(self._stack, record.id, failed_start=failed, why=record.killed_for)
        self._finish(record)

    def skip(self, action: plans.SkipJob) -> None:
        """That time of its schedule is dealt with, without a run."""
        job = self._job(action.job)
        if job is None:
            return
        mine = schedule.schedule_of(job)
        self._store.handle_schedule(self._stack, job.name, mine, action.scheduled_for)
        text = f"job {job.name} is not started: {action.reason}"
        self._journal.event(self._stack, "job_skipped", text, service=job.service)

    async def by_hand(self, wanted: StackRecord, name: str) -> RunRecord:
        """Start a job now, in the release that serves, whatever its schedule says. NotFound: there is no such job.
        UsageError: it runs already, or nothing serves yet."""
        revision = serving_revision(wanted)
        jobs = {job.name: job for job in revision.stack.jobs} if revision else {}
        if revision is None:
            why = "it goes down" if wanted.wanted == "down" else "its first deployment is still under way"
            raise UsageError(
                f"{name} cannot run", f"no release of {self._stack} is in service: {why}", "fairlead status"
            )
        if name not in jobs:
            known = f"it has {', '.join(sorted(jobs))}" if jobs else "its file declares none"
            raise NotFound(f"there is no job {name!r} in {self._stack}", known, "fairlead jobs")
        job = jobs[name]
        record = await self.start(
            plans.StartRun(
                kind="job",
                name=name,
                service=job.service,
                release=revision.releases[job.service].number,
                argv=job.argv,
                reason="by hand",
                timeout=job.timeout,
            )
        )
        if record is None:
            raise UsageError(f"{name} is running already", "a job never runs twice at once", "fairlead jobs")
        return record

    async def _launch(self, record: RunRecord) -> None:
        release = self._store.release(self._stack, record.service, record.release)
        if release is None:
            self._finish(replace(record, error=f"release {record.release} of {record.service} is no longer there"))
            return
        try:
            values = self._references.of_release(self._stack, release)
            start = start_once(release, record.argv, self._stack, record.id, self._layout, self._around, values)
        except FairleadError as error:
            self._finish(replace(record, error=f"could not be started: {error}"))
            return
        order = LaunchOrder(
            stack=self._stack,
            id=record.id,
            argv=start.argv,
            environment=start.environment,
            working_folder=start.working_folder,
            address="",
        )
        try:
            await self._engine.launch(order)
        except EngineError as error:
            self._finish(replace(record, error=f"could not be started: {error}"))

    def _finish(self, record: RunRecord) -> None:
        """Nothing of it is left."""
        took = self._clock.now() - record.began_at if record.boot == self._clock.boot else None
        record = replace(record, ended_at=self._clock.wall(), took=took)
        self._store.save_run(record)
        after = f" after {took:.1f} s" if took is not None else ""
        text = f"{record.id} {record.how}{after}"
        match record.kind, record.succeeded:
            case "job", True:
                self._tell("job_succeeded", record, text)
            case "job", False:
                self._tell("job_failed", record, f"{record.id} failed{after}: {record.how}")
            case _, True:
                self._tell("prepared", record, text)
            case _:
                self._tell("preparation_failed", record, f"{record.id} failed{after}: {record.how}")

    def _live(self, id: str) -> RunRecord | None:
        return next((record for record in self._store.live_runs(self._stack) if record.id == id), None)

    def _job(self, name: str) -> Job | None:
        wanted = self._store.stack(self._stack)
        revision = serving_revision(wanted) if wanted else None
        return next((job for job in revision.stack.jobs if job.name == name), None) if revision else None

    def _schedule_of(self, action: plans.StartRun) -> str | None:
        """None: it is not started for a time of a schedule."""
        job = self._job(action.name) if action.scheduled_for else None
        return schedule.schedule_of(job) if job else None

    def _tell(self, kind: str, record: RunRecord, text: str) -> None:
        self._journal.event(self._stack, kind, text, service=record.service, instance=record.id)


def shown_jobs(wanted: StackRecord, store: Store, clock: Clock) -> list[dict[str, Any]]:
    """Each job of a stack as `fairlead jobs --json` shows it."""
    revision = serving_revision(wanted)
    wall = clock.wall()
    found = []
    for job in revision.stack.jobs if revision else ():
        running = next((one for one in store.live_runs(wanted.name) if (one.kind, one.name) == ("job", job.name)), None)
        last = _last_ended(store, wanted.name, job.name, running)
        found.append(
            {
                "stack": wanted.name,
                "job": job.name,
                "service": job.service,
                "cron": job.cron,
                "timezone": job.timezone,
                "schedule": schedule.in_words(job),
                "timeout": job.timeout,
                "next": _next(job, wall),
                "running": shown_run(running) if running else None,
                "last": shown_run(last) if last else None,
            }
        )
    return found


def shown_run(record: RunRecord) -> dict[str, Any]:
    """A run as JSON, without its words: they may hold what is secret."""
    return {
        "id": record.id,
        "kind": record.kind,
        "service": record.service,
        "release": record.release,
        "scheduled_for": record.scheduled_for or None,
        "started_at": record.started_at,
        "ended_at": record.ended_at or None,
        "took": record.took,
        "succeeded": record.succeeded if record.ended_at else None,
        "exit_status": record.outcome.exit_status if record.outcome else None,
        "signal": record.outcome.signal if record.outcome else None,
        "outcome": record.how if record.ended_at else "running",
    }


def shown_run_with_log(record: RunRecord, engine: Engine) -> dict[str, Any]:
    """The same with `log`: the last lines that it wrote."""
    return {**shown_run(record), "log": engine.log_tail(record.stack, record.id, TAIL)}


def _last_ended(store: Store, stack: str, job: str, running: RunRecord | None) -> RunRecord | None:
    last = store.last_run(stack, "job", job)
    if last is not None and running is not None and last.id == running.id:
        return store.last_run(stack, "job", job, before=running.number)
    return last


def _next(job: Job, wall: str) -> str | None:
    """A schedule that cannot be read any more has no next time; the loop has told so."""
    try:
        return schedule.next_time(job, wall)
    except ValueError:
        return None
