"""Once a second: read the balancer and the engine, see how the stacks are, and hand it all to the meter.

In: the collaborators. Out: samples, on whole seconds of the wall clock, so that what is counted falls into the second
in which it happened. The law: whatever fails to answer is unknown in that sample, and metering never keeps anything
else from being done: it takes no decision, and its failures are told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from fairlead.control.clock import Clock
from fairlead.control.loops import Loops
from fairlead.control.ports import Meter
from fairlead.core import readings
from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth
from fairlead.core.observed import Instance, Observed
from fairlead.core.readings import InstanceScene, Reading, Sample, ServiceScene, Usage
from fairlead.core.reconcile import is_gone
from fairlead.engines.base import Engine
from fairlead.haproxy.base import Balancer

log = logging.getLogger("fairlead")

PACE = 1.0

Healths = Mapping[str, tuple[TargetHealth, str]]


class Metering:
    """Of all stacks. memory: bytes that the machine has; what services that reserve none share."""

    def __init__(
        self, meter: Meter, *, engine: Engine, balancer: Balancer, loops: Loops, clock: Clock, memory: int
    ) -> None:
        self._meter, self._engine, self._balancer, self._loops = meter, engine, balancer, loops
        self._clock, self._memory = clock, memory
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled; then what is finished is written."""
        await self._meter.open()
        try:
            while True:
                await asyncio.sleep(PACE - self._seconds() % PACE)
                seen = self._loops.seen()
                if seen:
                    self._meter.take(await self._sample(seen))
                    await self._meter.flush()
        finally:
            await self._meter.close()

    async def _sample(self, seen: Iterable[tuple[StackRecord, Observed, Healths]]) -> Sample:
        balancer, usage = await self._reading(), await self._usage()
        return Sample(
            now=self._clock.now(),
            wall=self._seconds(),
            balancer=balancer,
            usage=usage,
            services=tuple(scene for one in seen for scene in scenes(*one, self._memory)),
            stacks=tuple(wanted.name for wanted, _, _ in seen),
        )

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
        in_service=record.state == "in_service" and not is_gone(instance),
    )
