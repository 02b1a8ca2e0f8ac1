"""What a stack's metrics say of a stretch of traffic: two readings of the real balancer, taken for a second apart, and
the meter's answer about that second, which is what `fairlead metrics --json` shows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairlead.core.readings import InstanceScene, Reading, Sample, ServiceScene
from fairlead.core.traffic import Target
from fairlead.metrics.meter import Meter
from fairlead.metrics.query import Query
from tests.conformance.rehearsal import Up

SECOND = 1_795_000_200
"""The one that the traffic is taken to have needed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one second: of the stack, of each service, of each target."""

    found: dict[tuple[str, str], dict[tuple[str, str], float | None]]

    def of(self, name: str, service: str = "", target: str = "", *, statistic: str = "") -> float | None:
        """One metric, of which there is one statistic but for durations."""
        mine = self.found[service, target]
        [value] = [value for (other, kind), value in mine.items() if other == name and statistic in ("", kind)]
        return value

    def some(self, service: str = "") -> dict[str, float]:
        """All counts and levels that are not 0."""
        return {name: value for (name, _), value in self.found[service, ""].items() if value}


class Stretch:
    """Begins with a first reading; `until` ends it."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._before = self._read()

    def until(self, holds: Callable[[Figures], object], what: str = "those figures") -> Figures:
        """The figures, as soon as they hold: an answer is counted a moment after its client has it."""
        last: list[Figures] = []

        def question() -> Figures | None:
            last[:] = [self.figures()]
            return last[0] if holds(last[0]) else None

        try:
            return self._up.rehearsal.until(question, what)
        except AssertionError as problem:
            raise AssertionError(f"{what} did not come; last seen: {last[0].some()}") from problem

    def figures(self) -> Figures:
        """As they are now."""
        return self._up.rehearsal.run(self._answer(self._read()))

    def _read(self) -> Reading:
        reading = self._up.rehearsal.run(self._up.rehearsal.world.balancer.measure())
        assert reading is not None
        return reading

    async def _answer(self, after: Reading) -> Figures:
        with tempfile.TemporaryDirectory(dir=self._up.rehearsal.folder) as folder:
            meter = Meter(os.path.join(folder, "metrics.db"))
            await meter.open()
            try:
                for seconds, reading in ((0, self._before), (1, after)):
                    meter.take(self._sample(seconds, reading))
                services = ["", *(service.name for service in self._up.stack.services)]
                answers = [await meter.series(self._query(service)) for service in services]
            finally:
                await meter.close()
        found = {}
        for answer in answers:
            assert (answer["period"], len(answer["incomplete"])) == (1, 0)
            for series in answer["series"]:
                found[series["service"] or "", series["target"] or ""] = _last(series)
        return Figures(found)

    def _query(self, service: str) -> Query:
        return Query(stack=self._up.stack.name, service=service, since=SECOND, until=SECOND + 1)

    def _sample(self, seconds: int, reading: Reading) -> Sample:
        name = self._up.stack.name
        return Sample(
            now=100.0 + seconds, wall=float(SECOND + seconds), balancer=reading, usage={},
            services=tuple(self._scene(service.name) for service in self._up.stack.services), stacks=(name,),
        )  # fmt: skip

    def _scene(self, service: str) -> ServiceScene:
        """As control sees it."""
        mine = [one for one in self._up.registered.values() if one.group == f"{self._up.stack.name}.{service}"]
        instances = tuple(
            InstanceScene(id=one.id, zone="local-1", health=self._health(one), in_service=True) for one in mine
        )
        return ServiceScene(
            stack=self._up.stack.name, name=service, serves=True, desired=len(mine), cpu=0.0, memory=0, instances=instances
        )  # fmt: skip

    def _health(self, target: Target) -> str:
        report = self._up.report(target)
        if report is None or report.check is None:
            return "initial"
        return "healthy" if report.up else "unhealthy"


def _last(series: dict[str, Any]) -> dict[tuple[str, str], float | None]:
    return {(metric["name"], metric["statistic"]): metric["values"][-1] for metric in series["metrics"]}
