"""Phase one of a cycle: everything a decision may see, read once, as one frozen snapshot.

The only memory kept here is since when a target has been down, and which health was last told: both may be lost.
"""

from __future__ import annotations

from dataclasses import replace

from fairlead.control.clock import Clock
from fairlead.control.resources import StackResources
from fairlead.control.runs import Runs
from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth, explain, fails, is_down, target_health
from fairlead.core.model import HealthCheck
from fairlead.core.observed import Instance, InstanceRecord, Observed
from fairlead.core.processes import Process
from fairlead.core.reconcile import service_of
from fairlead.core.routing import unheard
from fairlead.core.traffic import BalancerReport, MissingListener, Routing, TargetReport
from fairlead.engines.base import Engine
from fairlead.haproxy.base import Balancer
from fairlead.store.database import Store

WEIGHING = 5.0
"""Seconds between two looks at the memory of instances."""


class Observer:
    """Of one stack."""

    def __init__(
        self,
        stack: str,
        store: Store,
        engine: Engine,
        balancer: Balancer,
        clock: Clock,
        runs: Runs,
        resources: StackResources,
    ) -> None:
        self._stack, self._store, self._engine, self._balancer, self._clock = stack, store, engine, balancer, clock
        self._runs, self._resources = runs, resources
        self._oversize_at: dict[str, float] = {}
        self._weighed_at = float("-inf")
        self._unhealthy_at: dict[str, float] = {}
        self._told: dict[str, TargetHealth] = {}
        self.healths: dict[str, tuple[TargetHealth, str]] = {}
        """Of each instance what `changes` last judged, with a clause that explains it."""

    async def observe(self, wanted: StackRecord, configured: Routing | None, refused: str = "") -> Observed:
        """The stack now. The outside is read first, the store last: a record is written before its act, so what is seen
        outside and not in the store is nobody's. refused: why the balancer could not take over from `configured`, or
        ""."""
        sightings = {seen.id: seen.process for seen in await self._engine.observe() if seen.stack == self._stack}
        report = await self._balancer.observe()
        await self._weigh(wanted)
        missing = tuple(one for one in report.missing if one.stack == self._stack)
        missing += unheard(wanted, configured, refused)
        resources = await self._resources.observe()
        return replace(self._judge(wanted, configured, sightings, report, missing), resources=resources)

    def _judge(
        self,
        wanted: StackRecord,
        configured: Routing | None,
        sightings: dict[str, Process],
        report: BalancerReport,
        missing: tuple[MissingListener, ...],
    ) -> Observed:
        now = self._clock.now()
        targets = {(target.group, target.id): target for target in report.targets}
        records = self._store.instances(self._stack)
        instances = []
        for record in records:
            target = targets.get((f"{self._stack}.{record.service}", record.id))
            process = sightings.get(record.id)
            if record.boot != self._clock.boot:
                process = Process(alive=False) if record.runs else None
            unhealthy_at = self._since(record, target, now, known=report.known)
            instances.append(
                Instance(
                    record=record,
                    process=process,
                    target=target,
                    unhealthy_at=unhealthy_at,
                    oversize_at=self._oversize_at.get(record.id),
                )
            )
        ran, due = self._runs.observe(sightings, wanted)
        deployment = wanted.under_way
        # Another boot's seconds say nothing now: they would hide every failed start of this one.
        began = deployment.began_at if deployment and deployment.boot == self._clock.boot else 0.0
        services = wanted.desired.stack.services
        return Observed(
            instances=tuple(instances),
            strangers=tuple(
                sorted(set(sightings) - {record.id for record in records} - {run.record.id for run in ran})
            ),
            balancer_known=report.known,
            routing=configured,
            starts=tuple(
                self._store.start_history(self._stack, name, number, self._clock.boot, began)
                for name, number in _releases(wanted)
            ),
            next_numbers=tuple(
                (service.name, self._store.next_number(self._stack, service.name)) for service in services
            ),
            boot=self._clock.boot,
            runs=ran,
            due=due,
            missing=missing,
        )

    async def _weigh(self, wanted: StackRecord) -> None:
        """See who uses more memory than allowed; only services with `max_memory` cost anything."""
        limits = {service.name: service.max_memory for service in wanted.desired.stack.services if service.max_memory}
        now = self._clock.now()
        if not limits or now - self._weighed_at < WEIGHING:
            return
        self._weighed_at = now
        over: dict[str, float] = {}
        for record in self._store.instances(self._stack):
            limit = limits.get(record.service)
            if limit is None or record.state != "in_service" or record.boot != self._clock.boot:
                continue
            size = await self._engine.memory(self._stack, record.id)
            # Unknown for a moment is not small: it goes on counting.
            if (size is None and record.id in self._oversize_at) or (size or 0) > limit:
                over[record.id] = self._oversize_at.get(record.id, now)
        self._oversize_at = over

    def _since(self, record: InstanceRecord, target: TargetReport | None, now: float, *, known: bool) -> float | None:
        """Since when it has been down. Unknown is not down: while the balancer is silent, nothing changes."""
        was_down = record.id in self._unhealthy_at
        if known:
            down = record.state == "in_service" and target is not None and is_down(target, was_down)
            if down or (record.state == "warm" and fails(target)):
                self._unhealthy_at.setdefault(record.id, now)
            else:
                self._unhealthy_at.pop(record.id, None)
        return self._unhealthy_at.get(record.id)

    def health(self, wanted: StackRecord, observed: Observed) -> dict[str, tuple[TargetHealth, str]]:
        """For each instance its target health, and a clause that explains it."""
        now = self._clock.now()
        found = {}
        for instance in observed.instances:
            service = service_of(wanted, instance.record.service)
            check = service.health_check if service else HealthCheck()
            health = target_health(instance, check, now, balancer_known=observed.balancer_known)
            clause = explain(check, instance.target.check) if instance.target and health.reason else ""
            found[instance.record.id] = (health, clause)
        return found

    def changes(self, wanted: StackRecord, observed: Observed) -> list[tuple[str, TargetHealth, str]]:
        """Instances that turned healthy or unhealthy since this was last asked: (id, health, clause)."""
        now_told = {}
        changed = []
        # One whose process is gone is about to be told as ended.
        gone = {seen.record.id for seen in observed.instances if seen.process is not None and not seen.process.alive}
        self.healths = self.health(wanted, observed)
        for instance, (health, clause) in self.healths.items():
            if instance in gone:
                continue
            before = self._told.get(instance)
            if health.state not in ("healthy", "unhealthy"):
                now_told.update({instance: before} if before else {})
                continue
            now_told[instance] = health
            if before is None and health.state == "healthy":
                continue  # its admission was told already
            if before is None or before.state != health.state:
                changed.append((instance, health, clause))
        self._told = now_told
        return changed


def _releases(wanted: StackRecord) -> list[tuple[str, int]]:
    """Of which releases instances may be launched: of the wanted ones, and of those that serve until these do."""
    revisions = [revision for revision in (wanted.desired, wanted.previous) if revision]
    return list(dict.fromkeys((name, one.number) for revision in revisions for name, one in revision.releases.items()))
