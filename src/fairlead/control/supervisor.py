"""All stacks of one daemon: brings them back at its start, and does what the API asks for.

`up` is a pipeline (`control/ups.py`) that ends by recording what is wanted; from then on the stack's loop leads there,
whether or not anybody waits. So everything the supervisor knows can be read again from the store.
It is long because it is the whole list of what can be asked of a daemon: each method says what it takes and returns,
and hands on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fairlead.aiokit.tasks import Tasks
from fairlead.control.alarms import Alarms
from fairlead.control.applier import targets_of
from fairlead.control.certificates import Certificates
from fairlead.control.data import Data
from fairlead.control.explain import explain_past, explain_present
from fairlead.control.gauges import gauges_of
from fairlead.control.journal import Journal, Progress
from fairlead.control.loops import Loops, Machine
from fairlead.control.metering import Metering
from fairlead.control.openings import Openings
from fairlead.control.operations import Operations, refuse_unless_run, service_named
from fairlead.control.previews import Previews
from fairlead.control.references import References
from fairlead.control.runs import shown_jobs, shown_run, shown_run_with_log
from fairlead.control.scaling import Autoscaler
from fairlead.control.secrets import Secrets
from fairlead.control.stackloop import StackLoop, keep_way_back
from fairlead.control.suspending import Suspending
from fairlead.control.ups import UpRequest, Ups
from fairlead.control.view import check_facts, stack_status
from fairlead.core.desired import StackRecord
from fairlead.core.observed import Observed
from fairlead.core.readings import Gauge
from fairlead.core.routing import openings_of, routing_of
from fairlead.core.traffic import Routing, Target, Traffic
from fairlead.errors import FairleadError, GaugeError, NotFound
from fairlead.metrics.query import Query

__all__ = ["Machine", "Progress", "Supervisor", "UpRequest"]

log = logging.getLogger("fairlead")

CLOSE_DEADLINE = 5.0
"""Seconds in which the loops end when the daemon leaves."""

HOUSEKEEPING = 5.0
"""Seconds between two rounds of the engine's housekeeping."""

DOWN_DEADLINE = 4 * 3600.0 + 60
"""Seconds `down` may take at most: more than the longest delays that a file may ask for."""


class Supervisor:
    """One for the daemon. `start` first, `close` last; every other method may be called at any time in between."""

    def __init__(self, machine: Machine) -> None:
        self._m = machine
        self.journal = Journal(machine.store, machine.clock)
        self._tasks = Tasks("supervisor", self._failed)
        m = machine
        self._alarms = Alarms(m.store, self.journal, m.clock, m.courier)
        self._loops = loops = Loops(machine, self.journal, self._alarms, self._tasks)
        wake = partial(_wake, loops)
        self._scaler = Autoscaler(m.store, self.journal, m.clock, m.meter, wake)
        self._suspending = Suspending(m.store, self.journal, wake)
        self._metering = Metering(
            m.meter,
            engine=m.engine,
            balancer=m.balancer,
            loops=loops,
            clock=m.clock,
            memory=m.memory,
            scaler=self._scaler,
            gauges=m.gauges(self._tell_gauge, self._failed) if m.gauges else None,
            gauges_of=partial(
                gauges_of, layout=m.layout, around=m.around, user=m.app_user, references=References(m.store)
            ),
        )
        self.secrets = Secrets(m.store, self.journal)
        """What `fairlead secret` does."""
        self.data = Data(machine, loops, self.journal)
        """What `fairlead data` does."""
        self._ups = Ups(
            m.store, m.balancer, m.builder, m.clock, self.journal, loops.of, loops.resources_of, self.secrets
        )
        self._previews = Previews(m.store, m.builder, m.balancer, loops.resources_of, self.secrets)
        self._operations = Operations(
            m.store, m.engine, self.journal, m.clock, m.layout, m.around, m.app_user, loops.of
        )

        self._openings = Openings(m.store, self.journal, m.clock, loops.of)
        self._certificates = Certificates(self.journal)

    async def start(self) -> None:
        """Adopt what lives, end what nobody wants, hand the balancer all it should do, and let the loops run."""
        m = self._m
        records = m.store.stacks()
        names = {record.name for record in records}
        for seen in await m.engine.observe():
            if seen.stack not in names:
                self.journal.event(seen.stack, "ended", f"{seen.id} killed: its stack is gone", instance=seen.id)
                await m.engine.kill(seen.stack, seen.id)
                await m.engine.clear(seen.stack, seen.id)
        routings: list[Routing] = []
        targets: list[Target] = []
        for record in records:
            live = m.store.instances(record.name)
            openings = openings_of(live, m.clock.boot, m.clock.now())
            routing = routing_of(record, {instance.service for instance in live if instance.serves}, None, openings)
            self._loops.add(record.name).applier.accepted(routing)
            if routing:
                routings.append(routing)
                mine = [instance for instance in live if instance.boot == m.clock.boot or not instance.runs]
                targets += targets_of(record, tuple(mine))
        await m.balancer.start(Traffic(routings=tuple(routings), targets=tuple(targets)))
        for record in records:
            await keep_way_back(m.balancer, record)
        # Only now: requests wait for the balancer.
        for kept in await m.resources.observe():
            if m.store.resource(kept.stack, kept.id) is None or kept.stack not in names:
                self.journal.event(kept.stack, "resource_killed", f"{kept.id} killed: its stack is gone")
                await m.resources.kill(kept.stack, kept.id)
                await m.resources.clear(kept.stack, kept.id)
        m.engine.on_change(self.wake)
        m.resources.on_change(self.wake)
        m.balancer.on_change(self.wake)
        found = f"{len(records)} stack{'s' if len(records) != 1 else ''}"
        self.journal.event("", "daemon_started", f"daemon {m.version} started (pid {m.pid}), {found}")
        self._alarms.start(names)
        self._loops.run_all()
        self._tasks.spawn("housekeeping", self._keep_house())
        self._tasks.spawn("metering", self._metering.run())

    async def _keep_house(self) -> None:
        """Logs are capped and old folders removed while the daemon lives. What is wrong is told once."""
        told: set[str] = set()
        while True:
            problems = set()
            try:
                report = await self._m.balancer.observe()
                problems = {f"balancer: {node.problem}" for node in report.nodes if node.problem}
                self._certificates.tell(report.certificates, self._m.clock.wall())
                self._openings.expire()
                await self._m.engine.tend()
                await self._m.balancer.tend()
                await self._m.resources.tend()
            except FairleadError as error:
                problems.add(f"housekeeping: {error}")
            except Exception as error:
                # Logs must not grow for ever because of a defect: it is told, and tried again.
                log.exception("housekeeping")
                problems.add(f"housekeeping: {type(error).__name__}: {error}")
            for problem in sorted(problems - told):
                self.journal.event("", "problem", problem)
            told = problems
            await asyncio.sleep(HOUSEKEEPING)

    def wake(self) -> None:
        """Something outside changed: all loops look now."""
        self._loops.wake()

    def loop(self, stack: str) -> StackLoop:
        """The running loop of a stack: for benchmarks, which turn it by hand. KeyError: no such stack."""
        return self._loops[stack]

    async def close(self) -> None:
        """The daemon leaves: loops end, instances and the balancer stay."""
        await self._ups.turns.close()
        for stuck in await self._tasks.stop(CLOSE_DEADLINE):
            log.error("%s did not end within %g s", stuck, CLOSE_DEADLINE)
        await self._alarms.close()
        await self._m.balancer.close()
        await self._m.engine.close()
        await self._m.resources.close()

    async def status(self, stack: str | None = None, *, explain: bool = False) -> dict[str, Any]:
        """The contract of `fairlead status --json` (docs/reference/status.md). explain: each instance also gets a
        `explanation`, a clause on its last check. NotFound when `stack` is named and not there."""
        records = [record for record in self._m.store.stacks() if stack in (None, record.name)]
        if stack is not None and not records:
            raise self._no_such_stack(stack)
        report = await self._m.balancer.observe()
        shown = []
        for record in records:
            loop = self._loops.of(record.name)
            observed = await loop.observe(record)
            healths = loop.observer.health(record, observed)
            alarms = self._alarms.shown(record.name)
            certificates = [one for one in report.certificates if one.stack == record.name]
            now = self._m.clock.now()
            figures = partial(self._metering.figures, record.name)
            scaling = partial(self._scaler.shown, record, observed)
            programs = loop.applier.resources.programs
            shown.append(
                stack_status(
                    record, observed, healths, alarms, certificates, now, figures, scaling, programs, explain=explain
                )
            )
        nodes = [
            {"pid": node.pid, "version": node.version, "state": node.state, "problem": node.problem}
            for node in report.nodes
        ]
        daemon = {"pid": self._m.pid, "version": self._m.version, "recording": self._m.store.recording}
        return {"stacks": shown, "balancer": {"nodes": nodes}, "daemon": daemon}

    async def up(self, request: UpRequest, progress: Progress) -> dict[str, Any]:
        """Build and start or update; returns when healthy: {"stack", "changed", "summary": [lines], "urls": [...]}.
        FairleadError otherwise. If the caller is cancelled (the client went away) the work goes on; the same request
        again joins it."""
        return await self._ups.up(request, progress)

    async def cancel(self, stack: str, who: str = "") -> dict[str, Any]:
        """Give up a running `up` (Ctrl-C), as after a failed deployment; returns when that is done. who: whose it is,
        as in its request; the `up` of another one goes on, and ours no longer waits for it. "": whoever's it is."""
        if self._ups.turns.withdraw(stack, who):
            return {"stack": stack, "cancelled": False, "text": "another one is under way, and goes on"}
        cancelled = await self._ups.turns.cancel(stack, who)
        record = self._m.store.stack(stack)
        if record and record.under_way:
            self._loops.of(stack).fail(record, reason="cancelled")
            cancelled = True
        record = self._m.store.stack(stack)
        if record and record.wanted == "down":
            await self._gone(stack)
            record = None
        left = "nothing of it is left" if record is None else f"what serves is as before: {_releases(record)}"
        return {"stack": stack, "cancelled": cancelled, "text": left if cancelled else "nothing was under way"}

    async def down(self, stack: str, progress: Progress) -> dict[str, Any]:
        """Drain and stop it; returns when nothing of it runs. NotFound."""
        if self._m.store.stack(stack) is None:
            raise self._no_such_stack(stack)
        await self._ups.turns.cancel(stack)
        with self.journal.follow(stack, progress):
            record = self._m.store.stack(stack)
            if record is not None:
                self._take_down(record)
                await self._m.store.durable()
                await self._gone(stack)
        return {"stack": stack, "text": f"{stack} is down"}

    async def shutdown(self, progress: Progress) -> dict[str, Any]:
        """`down --all`: every stack at once, then every node of the balancer. The caller then ends the daemon."""
        stacks = [record.name for record in self._m.store.stacks()]
        downs: list[Awaitable[Any]] = [self.down(stack, progress) for stack in stacks]
        await asyncio.gather(*downs)
        await self._m.balancer.stop()
        return {"stacks": stacks, "text": _down(len(stacks))}

    def is_idle(self) -> bool:
        """Whether no stack is up, going down or being brought up, and no data are worked with."""
        return not self._m.store.stacks() and not self._ups.turns.under_way and not self.data.is_busy

    def events(self, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
        """Oldest first, at most the last `limit` with id > after."""
        return self._m.store.events(stack, limit, after)

    async def explain(self, stack: str, service: str, at: str | None = None) -> dict[str, Any]:
        """Why a service is as it is; at (ISO 8601 with a zone): as it was at the last decision until then. The shape is
        docs/reference/explain.md. Of a stack that is down, its last decision. NotFound, UsageError."""
        record = self._m.store.stack(stack)
        if at is not None or record is None:
            return explain_past(self._m.store, stack, service, at, await self._metering.figures_at(stack, service, at))
        loop = self._loops.of(stack)
        observed = await loop.observe(record)
        names = ["", *(one.record.id for one in observed.instances if one.record.service == service)]
        figures = {name: self._metering.figures(stack, service, name) for name in names}
        clock = self._m.clock
        scaling = self._scaler.shown(record, observed, service)
        return explain_present(self._m.store, record, observed, clock.now(), clock.wall(), service, figures, scaling)

    async def metrics(self, query: Query) -> dict[str, Any]:
        """The contract of `fairlead metrics --json` (docs/reference/metrics.md). NotFound: nothing of that name was
        measured."""
        return await self._metering.series(query)

    def prometheus(self) -> str:
        """All that is measured, in Prometheus' text format."""
        return self._metering.prometheus()

    async def plan(self, request: UpRequest) -> dict[str, Any]:
        """What `up` would change, changing nothing: {"stack", "first", "changed", "changes": [{"service", "what",
        "why"}], "unenforced", "notes", "urls"}. SpecError, BuildError as from `up`."""
        return await self._previews.plan(request)

    async def scale(
        self,
        stack: str,
        service: str,
        desired: int | None,
        progress: Progress,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> dict[str, Any]:
        """Set the size of a service by hand; it holds until the file's own size changes, that of an auto scaling group
        until its policies change it. Returns when as many serve: {"stack", "service", "desired", "declared",
        "minimum", "maximum", "text"}. NotFound, UsageError; DeploymentFailed when new instances cannot start (the size
        stays wanted)."""
        record = self._record(stack)
        return await self._operations.scale(record, service, desired, progress, minimum=minimum, maximum=maximum)

    async def suspend(self, stack: str, service: str, processes: Sequence[str], *, on: bool = True) -> dict[str, Any]:
        """Suspend processes of a service (on), or resume them; none named means all: {"stack", "service", "suspended",
        "text"}. NotFound, UsageError."""
        record = self._record(stack)
        declared = service_named(record, service)
        refuse_unless_run(declared.runs, service, "fairlead does nothing about it that could be suspended")
        return self._suspending.change(record, declared, processes, on=on)

    async def restart(self, stack: str, service: str | None, progress: Progress) -> dict[str, Any]:
        """Replace every instance of a service, or of all, under the deployment rules; as `up`."""
        record = self._record(stack)
        if service is not None:
            refuse_unless_run(service_named(record, service).runs, service, "there is nothing to restart")
        names = tuple(one.name for one in record.desired.stack.services if one.runs)
        refuse_unless_run(bool(names), stack, "there is nothing to restart")
        return await self._ups.restart(stack, (service,) if service else names, progress)

    async def drain(self, stack: str, instance: str, *, force: bool = False) -> dict[str, Any]:
        """No new request to it until it is given back; it stays. {"stack", "instance", "text"}. force: also the last
        one that serves. NotFound, UsageError."""
        record, observed = await self._look(stack)
        return _told(stack, instance, self._operations.drain(record, instance, observed, force=force))

    async def give_back(self, stack: str, instance: str) -> dict[str, Any]:
        """The opposite of `drain`."""
        return _told(stack, instance, self._operations.give_back(self._record(stack), instance))

    async def standby(self, stack: str, instance: str, *, decrement: bool = False) -> dict[str, Any]:
        """Take it out of the load balancer and out of the count, until it is given back; another one is started in its
        place, or (decrement) desired becomes one less. NotFound, UsageError."""
        record, observed = await self._look(stack)
        return _told(stack, instance, self._operations.standby(record, instance, observed, decrement=decrement))

    async def protect(self, stack: str, instance: str, on: bool) -> dict[str, Any]:
        """Scale-in does not choose it (on), or may (off). Deployments and failed health checks replace it all the
        same."""
        return _told(stack, instance, self._operations.protect(self._record(stack), instance, on=on))

    async def terminate(
        self, stack: str, instance: str, *, now: bool = False, decrement: bool = False, progress: Progress
    ) -> dict[str, Any]:
        """Replace it and end it; returns when it has ended. now: do not wait for a replacement to serve. decrement: it
        is not replaced, desired becomes one less."""
        record = self._record(stack)
        operations = self._operations
        text = await operations.terminate(record, instance, now=now, decrement=decrement, progress=progress)
        return _told(stack, instance, text)

    async def open_instance(self, stack: str, instance: str, seconds: float) -> dict[str, Any]:
        """Let one instance be reached alone, whatever its health, for so long: {"url", "port", "until", "text"}. The
        url holds a token that is told this once. Asked again: with another token and time. NotFound, UsageError;
        BalancerError when the balancer cannot listen there."""
        record = self._record(stack)
        return await self._openings.open(record, self._operations.instance(record, instance), seconds)

    async def close_instance(self, stack: str, instance: str) -> dict[str, Any]:
        """The opposite; returns when nobody is let in any more."""
        record = self._record(stack)
        text = await self._openings.close(record, self._operations.instance(record, instance))
        return _told(stack, instance, text)

    def entry(self, stack: str, *, service: str | None = None, instance: str | None = None) -> dict[str, Any]:
        """How to start a program by hand: in the surroundings of `instance` (`exec`), or once in the release of
        `service` (`run`): {"argv", "environment", "working_folder", "user", "service", "instance", "release"}; argv is
        the instance's own. The environment may hold secrets: it is for the owner of the home only."""
        return self._operations.entry(self._record(stack), service=service, instance=instance)

    def jobs(self, stack: str | None = None) -> dict[str, Any]:
        """{"jobs": [..]}: of each its schedule, the last run, the one that runs, and the next time
        (docs/reference/jobs.md). NotFound when `stack` is named and not there."""
        records = self._m.store.stacks() if stack is None else (self._record(stack),)
        return {"jobs": [job for record in records for job in shown_jobs(record, self._m.store, self._m.clock)]}

    async def run_job(self, stack: str, job: str) -> dict[str, Any]:
        """Start a job now: its run, which goes on whether or not anybody waits. NotFound, UsageError."""
        run = await self._loops.runs_of(stack).by_hand(self._record(stack), job)
        self._loops.of(stack).wake()
        return {"stack": stack, "job": job, "run": shown_run(run)}

    def run(self, stack: str, run: str) -> dict[str, Any]:
        """One run, also of a stack that is down, with the last lines that it wrote as `log`. NotFound."""
        record = self._m.store.run(stack, run)
        if record is None:
            raise NotFound(
                f"there is no run {run!r} in {stack}", "it was never started, or is forgotten", "fairlead jobs"
            )
        return shown_run_with_log(record, self._m.engine)

    async def check(self, stack: str) -> dict[str, Any]:
        """What `fairlead check` needs to know: token, listeners, who is in service, requests so far. NotFound."""
        record, observed = await self._look(stack)
        report = await self._m.balancer.observe()
        certificates = [one for one in report.certificates if one.stack == stack]
        return check_facts(record, observed, report.requests, certificates)

    def _record(self, stack: str) -> StackRecord:
        record = self._m.store.stack(stack)
        if record is None or record.wanted == "down":
            raise self._no_such_stack(stack)
        return record

    async def _look(self, stack: str) -> tuple[StackRecord, Observed]:
        """What is wanted of a stack, and what is there now."""
        record = self._m.store.stack(stack)
        if record is None:
            raise self._no_such_stack(stack)
        loop = self._loops.of(stack)
        return record, await loop.observe(record)

    def _take_down(self, record: StackRecord) -> None:
        self.journal.event(record.name, "stack_going_down", f"{record.name} goes down")
        loop = self._loops.of(record.name)
        if record.under_way:
            ended = replace(record.under_way, status="failed", reason="the stack was taken down")
            self._m.store.save_stack(replace(record, wanted="down", previous=None, deployment=ended))
            text = f"deployment {ended.number} failed: {ended.reason}"
            self.journal.event(record.name, "deployment_failed", text)
            loop.finish(record, ended)
        else:
            self._m.store.save_stack(replace(record, wanted="down", previous=None))
        loop.wake()

    async def _gone(self, stack: str) -> None:
        """Wait until the stack's loop has removed it."""
        async with asyncio.timeout(DOWN_DEADLINE):
            await self._loops.of(stack).gone.wait()

    def _failed(self, name: str, error: BaseException) -> None:
        """A loop catches what the outside does to it; what gets here is a defect, and must be seen."""
        log.error("%s ended", name, exc_info=error)
        self.journal.event("", "problem", f"{name} ended: {type(error).__name__}: {error}")

    def _tell_gauge(self, gauge: Gauge, error: GaugeError | None) -> None:
        said = f"cannot be read, and is unknown: {error}" if error else "is read again"
        self.journal.event(
            gauge.stack, "custom_metric", f"custom:{gauge.metric} of {gauge.service} {said}", service=gauge.service
        )

    def _no_such_stack(self, stack: str) -> NotFound:
        names = [record.name for record in self._m.store.stacks()]
        known = f"this home has {', '.join(names)}" if names else "no stack is up in this home"
        return NotFound(f"there is no stack '{stack}'", known, "fairlead status" if names else "fairlead up PATH")


def _wake(loops: Loops, stack: str) -> None:
    loops.of(stack).wake()


def _down(stacks: int) -> str:
    return {0: "no stack was up", 1: "1 stack is down"}.get(stacks, f"{stacks} stacks are down")


def _told(stack: str, instance: str, text: str) -> dict[str, Any]:
    return {"stack": stack, "instance": instance, "text": text}


def _releases(record: StackRecord) -> str:
    known = sorted(record.desired.releases.items())
    return ", ".join(f"release {release.number} of {name}" for name, release in known)
