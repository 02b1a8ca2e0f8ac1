"""All stacks of one daemon: brings them back at its start, and does what the API asks for.

`up` is a pipeline (`control/ups.py`) that ends by recording what is wanted; from then on the stack's loop leads there,
whether or not anybody waits. So everything the supervisor knows can be read again from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

from fairlead.aiokit.tasks import Tasks
from fairlead.control.applier import Applier, targets_of
from fairlead.control.clock import Clock
from fairlead.control.journal import Journal, Progress
from fairlead.control.observer import Observer
from fairlead.control.ports import Builder
from fairlead.control.stackloop import StackLoop
from fairlead.control.ups import UpRequest, Ups
from fairlead.control.view import check_facts, stack_status
from fairlead.core.desired import StackRecord
from fairlead.core.launch import Surroundings
from fairlead.core.layout import Layout
from fairlead.core.routing import routing_of
from fairlead.core.traffic import Routing, Target, Traffic
from fairlead.engines.base import Engine
from fairlead.errors import NotFound
from fairlead.haproxy.base import Balancer
from fairlead.store.database import Store

__all__ = ["Machine", "Progress", "Supervisor", "UpRequest"]

log = logging.getLogger("fairlead")

CLOSE_DEADLINE = 5.0
"""Seconds in which the loops end when the daemon leaves."""

DOWN_DEADLINE = 4 * 3600.0 + 60
"""Seconds `down` may take at most: more than the longest delays that a file may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The daemon's collaborators, built by `wiring`."""

    store: Store
    engine: Engine
    balancer: Balancer
    builder: Builder
    clock: Clock
    layout: Layout
    around: Surroundings
    version: str
    pid: int


class Supervisor:
    """One for the daemon. `start` first, `close` last; every other method may be called at any time in between."""

    def __init__(self, machine: Machine) -> None:
        self._m = machine
        self.journal = Journal(machine.store, machine.clock)
        self._loops: dict[str, StackLoop] = {}
        self._tasks = Tasks("supervisor", self._failed)
        self._ups = Ups(machine.store, machine.balancer, machine.builder, machine.clock, self.journal, self._loop_for)

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
            routing = routing_of(record, {instance.service for instance in live}, None)
            loop = self._make_loop(record.name)
            loop.applier.configured = routing
            if routing:
                routings.append(routing)
                mine = [instance for instance in live if instance.boot == m.clock.boot]
                targets += targets_of(record, tuple(mine))
        await m.balancer.start(Traffic(routings=tuple(routings), targets=tuple(targets)))
        m.engine.on_change(self.wake)
        m.balancer.on_change(self.wake)
        self.journal.event("", "daemon_started", f"daemon {m.version} started (pid {m.pid}), {len(records)} stacks")
        for loop in self._loops.values():
            self._run(loop)

    def wake(self) -> None:
        """Something outside changed: all loops look now."""
        for loop in self._loops.values():
            loop.wake()

    async def close(self) -> None:
        """The daemon leaves: loops end, instances and the balancer stay."""
        await self._ups.close()
        for stuck in await self._tasks.stop(CLOSE_DEADLINE):
            log.error("%s did not end within %g s", stuck, CLOSE_DEADLINE)
        await self._m.balancer.close()
        await self._m.engine.close()

    async def status(self, stack: str | None = None, *, explain: bool = False) -> dict[str, Any]:
        """The contract of `fairlead status --json` (docs/reference/status.md). explain: each instance also gets a
        `explanation`, a clause on its last check. NotFound when `stack` is named and not there."""
        records = [record for record in self._m.store.stacks() if stack in (None, record.name)]
        if stack is not None and not records:
            raise self._no_such_stack(stack)
        shown = []
        for record in records:
            loop = self._loop_for(record.name)
            observed = await loop.observer.observe(record, loop.applier.configured)
            shown.append(stack_status(record, observed, loop.observer.health(record, observed), explain=explain))
        report = await self._m.balancer.observe()
        nodes = [{"pid": node.pid, "version": node.version, "state": node.state} for node in report.nodes]
        daemon = {"pid": self._m.pid, "version": self._m.version}
        return {"stacks": shown, "balancer": {"nodes": nodes}, "daemon": daemon}

    async def up(self, request: UpRequest, progress: Progress) -> dict[str, Any]:
        """Build and start or update; returns when healthy: {"stack", "changed", "summary": [lines], "urls": [...]}.
        FairleadError otherwise. If the caller is cancelled (the client went away) the work goes on; the same request
        again joins it."""
        return await self._ups.up(request, progress)

    async def cancel(self, stack: str) -> dict[str, Any]:
        """Give up a running `up` (Ctrl-C), as after a failed deployment; returns when that is done."""
        cancelled = await self._ups.cancel(stack)
        record = self._m.store.stack(stack)
        if record and record.deployment and record.deployment.status == "in_progress":
            self._loop_for(stack).fail(record, reason="cancelled")
            cancelled = True
        record = self._m.store.stack(stack)
        if record and record.wanted == "down":
            await self._gone(stack)
            record = None
        left = "nothing of it is left" if record is None else f"release(s) {_releases(record)} stay in service"
        return {"stack": stack, "cancelled": cancelled, "text": left if cancelled else "nothing was under way"}

    async def down(self, stack: str, progress: Progress) -> dict[str, Any]:
        """Drain and stop it; returns when nothing of it runs. NotFound."""
        if self._m.store.stack(stack) is None:
            raise self._no_such_stack(stack)
        await self._ups.cancel(stack)
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
        return {"stacks": stacks, "text": f"{len(stacks)} stacks are down" if stacks else "no stack was up"}

    def is_idle(self) -> bool:
        """Whether no stack is up, going down or being brought up."""
        return not self._m.store.stacks() and not self._ups.under_way

    def events(self, stack: str | None, limit: int, after: int) -> list[dict[str, Any]]:
        """Oldest first, at most the last `limit` with id > after."""
        return self._m.store.events(stack, limit, after)

    async def check(self, stack: str) -> dict[str, Any]:
        """What `fairlead check` needs to know: token, listeners, who is in service, requests so far. NotFound."""
        record = self._m.store.stack(stack)
        if record is None:
            raise self._no_such_stack(stack)
        loop = self._loop_for(stack)
        observed = await loop.observer.observe(record, loop.applier.configured)
        report = await self._m.balancer.observe()
        return check_facts(record, observed, report.requests)

    def _take_down(self, record: StackRecord) -> None:
        self.journal.event(record.name, "stack_going_down", f"{record.name} goes down")
        loop = self._loop_for(record.name)
        if record.deployment and record.deployment.status == "in_progress":
            ended = replace(record.deployment, status="failed", reason="the stack was taken down")
            self._m.store.save_stack(replace(record, wanted="down", previous=None, deployment=ended))
            loop.finish(record, ended)
        else:
            self._m.store.save_stack(replace(record, wanted="down", previous=None))
        loop.wake()

    async def _gone(self, stack: str) -> None:
        """Wait until the stack's loop has removed it."""
        async with asyncio.timeout(DOWN_DEADLINE):
            await self._loop_for(stack).gone.wait()

    def _make_loop(self, stack: str) -> StackLoop:
        m = self._m
        observer = Observer(stack, m.store, m.engine, m.balancer, m.clock)
        applier = Applier(
            stack,
            store=m.store,
            engine=m.engine,
            balancer=m.balancer,
            journal=self.journal,
            clock=m.clock,
            layout=m.layout,
            around=m.around,
        )
        loop = StackLoop(
            stack,
            store=m.store,
            engine=m.engine,
            observer=observer,
            applier=applier,
            journal=self.journal,
            clock=m.clock,
        )
        self._loops[stack] = loop
        return loop

    def _loop_for(self, stack: str) -> StackLoop:
        """The running loop of a stack that is in the store."""
        loop = self._loops.get(stack)
        if loop is None or loop.gone.is_set():
            loop = self._make_loop(stack)
            self._run(loop)
        return loop

    def _run(self, loop: StackLoop) -> None:
        async def run() -> None:
            try:
                await loop.run()
            finally:
                if self._loops.get(loop.name) is loop and loop.gone.is_set():
                    del self._loops[loop.name]

        self._tasks.spawn(f"loop {loop.name}", run())

    def _failed(self, name: str, error: BaseException) -> None:
        """A loop catches what the outside does to it; what gets here is a defect, and must be seen."""
        log.error("%s ended", name, exc_info=error)
        self.journal.event("", "problem", f"{name} ended: {type(error).__name__}: {error}")

    def _no_such_stack(self, stack: str) -> NotFound:
        names = [record.name for record in self._m.store.stacks()]
        known = f"there are: {', '.join(names)}" if names else "no stack is up"
        return NotFound(f"no stack {stack!r}", known, "`fairlead status` lists them; `fairlead up` starts one")


def _releases(record: StackRecord) -> str:
    return ", ".join(f"{name} {release.number}" for name, release in sorted(record.desired.releases.items()))
