"""Phase three of a cycle: one action at a time, made true outside.

The law of each step: what must survive a crash is recorded before the act that needs it (an intent before a launch, the
SIGTERM before it is sent, the retirement before the drain), and an end is recorded after nothing is left. So a daemon
that dies between any two lines finds, when it comes back, a world from which the same decision leads on.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatchmethod

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.references import References
from fairlead.control.resources import StackResources
from fairlead.control.runs import Runs
from fairlead.core import plan as plans
from fairlead.core.desired import StackRecord
from fairlead.core.launch import Surroundings, start_of
from fairlead.core.layout import Layout
from fairlead.core.lifecycle import advance
from fairlead.core.model import Release
from fairlead.core.observed import InstanceRecord
from fairlead.core.processes import Outcome
from fairlead.core.traffic import Mode, Routing, Target
from fairlead.engines.base import Engine, LaunchOrder
from fairlead.errors import EngineError, FairleadError, NotFound, PortInUse
from fairlead.haproxy.base import Balancer
from fairlead.store.database import Store


class Applier:
    """Does the actions of one stack that touch instances and the balancer; the loop does those that end deployments."""

    def __init__(
        self,
        stack: str,
        *,
        store: Store,
        engine: Engine,
        balancer: Balancer,
        journal: Journal,
        clock: Clock,
        layout: Layout,
        around: Surroundings,
        runs: Runs,
        resources: StackResources,
    ) -> None:
        self._stack, self._store, self._engine, self._balancer = stack, store, engine, balancer
        self._journal, self._clock, self._layout, self._around = journal, clock, layout, around
        self._runs, self.resources = runs, resources
        self._references = References(store)
        self.configured: Routing | None = None
        """The routing that the balancer last accepted for this stack."""
        self.refused = ""
        """Why it cannot listen where the stack wants it to: set while another stack, or program, has a port."""

    @singledispatchmethod
    async def apply(self, action: plans.Action) -> None:
        raise NotImplementedError(f"no step for {type(action).__name__}")

    @apply.register
    async def _(self, action: plans.Configure) -> None:
        try:
            await self._balancer.configure(self._stack, action.routing)
        except PortInUse as error:
            self.refused = str(error)
            raise
        self.accepted(action.routing)

    def accepted(self, routing: Routing | None) -> None:
        """The balancer does that now."""
        self.configured, self.refused = routing, ""

    async def let_go_of_way_back(self) -> None:
        """A deployment has succeeded: ports that were kept for going back (`keep_way_back`) are free again."""
        await self._balancer.configure(self._stack, self.configured)

    @apply.register
    async def _(self, action: plans.Launch) -> None:
        release = self._store.release(self._stack, action.service, action.release)
        if release is None:
            raise NotFound(f"release {action.release} of {action.service} is not in the store")
        taken = frozenset(record.address for record in self._store.all_live())
        record = InstanceRecord(
            stack=self._stack,
            service=action.service,
            id=action.instance,
            number=action.number,
            release=action.release,
            zone=action.zone,
            address=self._address(action.instance, release, taken),
            state="pending",
            boot=self._clock.boot,
            launched_at=self._clock.now(),
            started_at=self._clock.wall(),
            cause=action.reason,
            pooled=action.pooled,
        )
        self._store.save_instance(record)
        self._tell("launched", record, f"{record.id} launched: {action.reason}")
        await self._launch(record)

    @apply.register
    async def _(self, action: plans.Enlist) -> None:
        record = InstanceRecord(
            stack=self._stack,
            service=action.service,
            id=action.instance,
            number=action.number,
            release=0,
            zone="",
            address=action.address,
            state="pending",
            boot=self._clock.boot,
            launched_at=self._clock.now(),
            started_at=self._clock.wall(),
            cause=action.reason,
            runs=False,
        )
        self._store.save_instance(record)
        self._tell("registered", record, f"{record.id} registered: {action.reason}")
        await self._register(record)

    @apply.register
    async def _(self, action: plans.Start) -> None:
        # Its grace period begins now: the daemon that wrote the intent may have died an hour ago.
        record = replace(
            self._record(action.instance),
            boot=self._clock.boot,
            launched_at=self._clock.now(),
            started_at=self._clock.wall(),
        )
        self._store.save_instance(record)
        await self._launch(record)

    @apply.register
    async def _(self, action: plans.Register) -> None:
        await self._register(self._record(action.instance))

    @apply.register
    async def _(self, action: plans.Admit) -> None:
        record = self._record(action.instance)
        if record.state == "warm":
            await self._let_in(record, action.reason)
            return
        if record.serves:
            await self._balancer.admit(f"{self._stack}.{record.service}", record.id)
            record = self._record(action.instance)  # a command may have marked it meanwhile
        if record.state == "pending":
            now = self._clock.now()
            self._store.save_instance(advance(record, "admit", now))
            took = now - record.launched_at
            self._tell("in_service", record, f"{record.id} in service after {took:.1f} s: {action.reason}")
            if record.runs and record.serves and not record.address.startswith("unix:"):
                await self._warn_of_exposure(record)

    async def _let_in(self, record: InstanceRecord, reason: str) -> None:
        """From the warm pool. Recorded first: one that gets requests is never taken for a warm one."""
        self._store.save_instance(advance(record, "admit", self._clock.now()))
        self._tell("in_service", record, f"{record.id} in service: {reason}")
        group = f"{self._stack}.{record.service}"
        if mode_of(record) == "draining":
            await self._balancer.restore(group, record.id)
        else:
            await self._balancer.admit(group, record.id)

    @apply.register
    async def _(self, action: plans.Warm) -> None:
        record, now = self._record(action.instance), self._clock.now()
        self._store.save_instance(advance(record, "warm", now))
        took = now - record.launched_at
        self._tell("warm", record, f"{record.id} in the warm pool after {took:.1f} s: {action.reason}")
        if not record.address.startswith("unix:"):
            await self._warn_of_exposure(record)

    @apply.register
    async def _(self, action: plans.Pool) -> None:
        record = self._record(action.instance)
        self._store.save_instance(advance(record, "warm", self._clock.now()))
        self._tell("pooled", record, f"{record.id} returns to the warm pool: {action.reason}")
        await self._balancer.drain(f"{self._stack}.{record.service}", record.id)

    async def _warn_of_exposure(self, record: InstanceRecord) -> None:
        """It passed its check, so what there is to say of where it listens is that others can reach it too."""
        if clause := await self._engine.diagnose(self._stack, record.id, record.address):
            self._tell("exposed", record, f"{record.id}: {clause}")

    @apply.register
    async def _(self, action: plans.MarkDown) -> None:
        record = self._record(action.instance)
        await self._balancer.mark_down(f"{self._stack}.{record.service}", record.id)

    @apply.register
    async def _(self, action: plans.Retire) -> None:
        record = self._record(action.instance)
        retired = advance(record, "retire", self._clock.now(), why=action.reason, failed_start=action.failed_start)
        self._store.save_instance(retired)
        self._tell(
            "terminating", record, f"{record.id} {'terminating' if record.runs else 'draining'}: {action.reason}"
        )
        if record.serves:
            await self._balancer.drain(f"{self._stack}.{record.service}", record.id)

    @apply.register
    async def _(self, action: plans.Drain) -> None:
        record = self._record(action.instance)
        await self._balancer.drain(f"{self._stack}.{record.service}", record.id)

    @apply.register
    async def _(self, action: plans.Sever) -> None:
        record = self._record(action.instance)
        await self._balancer.sever(f"{self._stack}.{record.service}", record.id)

    @apply.register
    async def _(self, action: plans.Restore) -> None:
        record = self._record(action.instance)
        await self._balancer.restore(f"{self._stack}.{record.service}", record.id)

    @apply.register
    async def _(self, action: plans.Condemn) -> None:
        record = self._record(action.instance)
        self._store.save_instance(replace(record, condemned=action.reason))
        self._tell("condemned", record, f"{record.id} is to be replaced: {action.reason}")

    @apply.register
    async def _(self, action: plans.StartRun) -> None:
        await self._runs.start(action)

    @apply.register
    async def _(self, action: plans.SkipJob) -> None:
        self._runs.skip(action)

    @apply.register
    async def _(self, action: plans.LaunchRun) -> None:
        await self._runs.launch(action)

    @apply.register
    async def _(self, action: plans.StopRun) -> None:
        await self._runs.stop(action)

    @apply.register
    async def _(self, action: plans.KillRun) -> None:
        await self._runs.kill(action)

    @apply.register
    async def _(self, action: plans.EndRun) -> None:
        await self._runs.end(action)

    @apply.register
    async def _(self, action: plans.StartResource) -> None:
        await self.resources.start(action)

    @apply.register
    async def _(self, action: plans.MarkAvailable) -> None:
        await self.resources.mark_available(action)

    @apply.register
    async def _(self, action: plans.StopResource) -> None:
        await self.resources.stop(action)

    @apply.register
    async def _(self, action: plans.KillResource) -> None:
        await self.resources.kill(action)

    @apply.register
    async def _(self, action: plans.EndResource) -> None:
        await self.resources.end(action)

    @apply.register
    async def _(self, action: plans.Deregister) -> None:
        record = self._record(action.instance)
        if record.serves:
            await self._balancer.deregister(f"{self._stack}.{record.service}", record.id)
        self._store.save_instance(advance(record, "deregister", self._clock.now()))

    @apply.register
    async def _(self, action: plans.Stop) -> None:
        record = self._record(action.instance)
        self._store.save_instance(advance(record, "stop", self._clock.now()))
        await self._engine.stop(self._stack, record.id)

    @apply.register
    async def _(self, action: plans.Kill) -> None:
        record = self._record(action.instance)
        self._tell("killed", record, f"{record.id} killed: {action.reason}")
        await self._engine.kill(self._stack, record.id)

    @apply.register
    async def _(self, action: plans.End) -> None:
        record = self._record(action.instance)
        if not record.runs:
            self._store.save_instance(advance(record, "end", self._clock.now(), outcome=action.outcome))
            self._tell("deregistered", record, f"{record.id} ({record.address}) is no longer a target: {record.why}")
            return
        await self._engine.clear(self._stack, record.id, failed_start=record.failed_start, why=record.why)
        self._store.save_instance(advance(record, "end", self._clock.now(), outcome=action.outcome))
        how = str(action.outcome)
        if action.outcome == Outcome() and record.why.startswith("ended"):
            how = record.why  # it knows better than nobody
        why = f" ({record.why})" if record.why and record.why != how else ""
        self._tell("ended", record, f"{record.id} {how}{why}")

    @apply.register
    async def _(self, action: plans.EndStranger) -> None:
        await self._engine.kill(self._stack, action.instance)
        await self._engine.clear(self._stack, action.instance)
        self._journal.event(
            self._stack, "ended", f"{action.instance} killed: {action.reason}", instance=action.instance
        )

    async def _launch(self, record: InstanceRecord) -> None:
        release = self._store.release(self._stack, record.service, record.release)
        if release is None:
            raise NotFound(f"release {record.release} of {record.service} is not in the store")
        try:
            values = self._references.of_release(self._stack, release)
            start = start_of(release, record, self._layout, self._around, values)
        except FairleadError as error:
            self._not_launched(record, error)
            return
        order = LaunchOrder(
            stack=self._stack,
            id=record.id,
            argv=start.argv,
            environment=start.environment,
            working_folder=start.working_folder,
            address=record.address,
        )
        try:
            await self._engine.launch(order)
        except EngineError as error:
            self._not_launched(record, error)
            return
        if record.serves:
            await self._register(record)

    def _not_launched(self, record: InstanceRecord, error: FairleadError) -> None:
        self._tell("problem", record, f"{record.id} could not be launched: {error}")
        self._store.save_instance(advance(record, "retire", self._clock.now(), why=str(error), failed_start=True))

    def _address(self, instance: str, release: Release, taken: frozenset[str]) -> str:
        if release.address == "none":
            return ""
        return self._engine.reserve(self._stack, instance, release.address, taken)

    async def _register(self, record: InstanceRecord) -> None:
        group = f"{self._stack}.{record.service}"
        mode = mode_of(record) if record.pooled else "initial"
        await self._balancer.register(
            Target(group=group, id=record.id, number=record.number, address=record.address, mode=mode)
        )

    def _record(self, instance: str) -> InstanceRecord:
        for record in self._store.instances(self._stack):
            if record.id == instance:
                return record
        raise NotFound(f"instance {instance} of stack {self._stack} has no live record")

    def _tell(self, kind: str, record: InstanceRecord, text: str) -> None:
        self._journal.event(self._stack, kind, text, service=record.service, instance=record.id)


def mode_of(record: InstanceRecord) -> Mode:
    """What the balancer should make of it. A warm one that has served drains: a client may hold its cookie."""
    if record.drained:
        return "draining"
    match record.state:
        case "pending":
            return "warm" if record.pooled else "initial"
        case "warm":
            return "warm" if record.in_service_at is None else "draining"
        case "in_service":
            return "in_service"
    return "draining"


def targets_of(wanted: StackRecord, records: tuple[InstanceRecord, ...]) -> tuple[Target, ...]:
    """The targets that the balancer should have for these live records: what a restarted daemon hands it."""
    return tuple(
        Target(
            group=f"{wanted.name}.{record.service}",
            id=record.id,
            number=record.number,
            address=record.address,
            mode=mode_of(record),
        )
        for record in records
        if record.serves and record.deregistered_at is None
    )
