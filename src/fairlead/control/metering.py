"""Once a second: read the balancer and the engine, see how the stacks are, and hand it all to the meter; and what the
meter then says. Right after a sample the sizes of scaled services are decided upon (`control/scaling.py`).

In: the collaborators. Out: samples, on whole seconds of the wall clock, so that what is counted falls into the second
in which it happened. The law: whatever fails to answer is unknown in that sample, and metering never keeps anything
else from being done: it takes no decision, and its failures are told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.loops import Loops
from fairlead.control.ports import Gauges, Meter
from fairlead.control.scaling import Autoscaler
from fairlead.core import readings
from fairlead.core.desired import StackRecord
from fairlead.core.figures import UNKNOWN, Figures
from fairlead.core.health import TargetHealth
from fairlead.core.observed import Instance, Observed
from fairlead.core.readings import Gauge, InstanceScene, Reading, Sample, ServiceScene, Usage
from fairlead.core.reconcile import is_gone
from fairlead.engines.base import Engine
from fairlead.errors import NotFound
from fairlead.haproxy.base import Balancer
from fairlead.metrics.query import Query

log = logging.getLogger("fairlead")

PACE = 1.0

Healths = Mapping[str, tuple[TargetHealth, str]]


class Metering:
    """Of all stacks. meter: None where nothing is measured; memory: bytes that the machine has, which services that
    reserve none share; gauges: who reads metrics of the user's own; gauges_of: those of a stack."""

    def __init__(
        self,
        meter: Meter | None,
        *,
        engine: Engine,
        balancer: Balancer,
        loops: Loops,
        clock: Clock,
        memory: int,
        scaler: Autoscaler,
        gauges: Gauges | None = None,
        gauges_of: Callable[[StackRecord], Sequence[Gauge]] = lambda wanted: (),
    ) -> None:
        self._meter, self._engine, self._balancer, self._loops = meter, engine, balancer, loops
        self._clock, self._memory, self._scaler = clock, memory, scaler
        self._gauges, self._gauges_of = gauges, gauges_of
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled; then what is finished is written."""
        meter = self._meter
        if meter is not None:
            await meter.open()
        try:
            while True:
                await asyncio.sleep(PACE - self._seconds() % PACE)
                seen = self._loops.seen()
                if seen and meter is not None:
                    meter.take(await self._sample(seen))
                # Before anything is written: the decision waits for it, and need not.
                self._scaler.consider([(wanted, observed) for wanted, observed, _ in self._loops.seen()])
                if seen and meter is not None:
                    await meter.flush()
        finally:
            if self._gauges is not None:
                await self._gauges.close()
            if meter is not None:
                await meter.close()

    def figures(self, stack: str, service: str, instance: str = "") -> Figures:
        """How a service, or an instance of it, did of late."""
        return self._meter.figures(stack, service, instance) if self._meter else UNKNOWN

    async def figures_at(self, stack: str, service: str, at: str | None) -> Mapping[str, Figures]:
        """How a service ("") and its instances did before a moment (ISO 8601); nothing of what is no moment."""
        if at is None or self._meter is None:
            return {}
        try:
            wall = datetime.fromisoformat(at).timestamp()
        except (ValueError, OverflowError, OSError):
            return {}
        return await self._meter.figures_at(stack, service, wall)

    async def series(self, query: Query) -> dict[str, Any]:
        """As `Meter.series`. NotFound, too, where nothing is measured."""
        if self._meter is None:
            raise NotFound("nothing is measured here", "this daemon has no meter")
        return await self._meter.series(query)

    def prometheus(self) -> str:
        """As `Meter.prometheus`."""
        return self._meter.prometheus() if self._meter else ""

    async def _sample(self, seen: Sequence[tuple[StackRecord, Observed, Healths]]) -> Sample:
        if self._gauges is not None:
            self._gauges.update([gauge for wanted, _, _ in seen for gauge in self._wanted_gauges(wanted)])
        balancer, usage = await self._reading(), await self._usage()
        return Sample(
            now=self._clock.now(),
            wall=self._seconds(),
            balancer=balancer,
            usage=usage,
            services=tuple(scene for one in seen for scene in scenes(*one, self._memory)),
            stacks=tuple(wanted.name for wanted, _, _ in seen),
            custom=self._gauges.values(self._clock.now()) if self._gauges is not None else {},
            custom_read=self._gauges.moments() if self._gauges is not None else {},
        )

    def _wanted_gauges(self, wanted: StackRecord) -> Sequence[Gauge]:
        try:
            return self._gauges_of(wanted)
        except Exception as problem:
            self._warn(f"the custom metrics of {wanted.name}", problem)
            return ()

    async def _reading(self) -> Reading | None:
        try:
            return await self._balancer.measure()
        except Exception as problem:
            self._warn("the balancer", problem)
            return None

    async def _usage(self) -> Mapping[readings.Key, Usage]:
        try:
            return await self._engine.usage()
        except Exception as problem:
            self._warn("the instances", problem)
            return {}

    def _seconds(self) -> float:
        return datetime.fromisoformat(self._clock.wall()).timestamp()

    def _warn(self, what: str, problem: Exception) -> None:
        """Once for each kind: it goes on being tried every second."""
        text = f"{what} cannot be measured: {type(problem).__name__}: {problem}"
        if text not in self._told:
            self._told.add(text)
            log.warning("%s", text, exc_info=problem)


def scenes(wanted: StackRecord, observed: Observed, healths: Healths, memory: int) -> Iterable[ServiceScene]:
    """Each service of a stack, as it was when its loop looked last."""
    stack = wanted.desired.stack
    for declared in stack.services:
        service = wanted.sized(declared)
        mine = [one for one in observed.instances if one.record.service == service.name]
        yield ServiceScene(
            stack=wanted.name,
            name=service.name,
            serves=service.serves,
            desired=service.desired if wanted.wanted == "up" else 0,
            cpu=service.cpu,
            memory=service.memory or memory // max(1, service.maximum),
            instances=tuple(_instance(one, healths) for one in mine),
        )


def _instance(instance: Instance, healths: Healths) -> InstanceScene:
    record = instance.record
    health = healths.get(record.id)
    return InstanceScene(
        id=record.id,
        zone=record.zone,
        health=health[0].state if health else "initial",
        in_service=record.state == "in_service" and not record.standby and not is_gone(instance),
    )
