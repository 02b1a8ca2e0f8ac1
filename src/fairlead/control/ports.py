"""What control needs of the release builder (`releases.build.ReleaseBuilder` is the real one), of the meter
(`metrics.meter.Meter`) and of the gauges (`metrics.gauges.Gauges`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from fairlead.core.differences import Preview
from fairlead.core.figures import Figures
from fairlead.core.model import Release, Service, Stack
from fairlead.core.readings import Gauge, Sample
from fairlead.core.scaling.seconds import ServiceSecond
from fairlead.errors import GaugeError
from fairlead.metrics.query import Query


class Builder(Protocol):
    """Makes releases."""

    async def build(
        self, stack: Stack, service: Service, known: Sequence[Release], number: int, progress: Callable[[str], None]
    ) -> Release:
        """The release of `service` as its source is now: one of `known` when nothing differs, else a new one numbered
        `number`. BuildError, with the place in the file, when it cannot be made; then nothing of it is left."""
        ...

    async def preview(self, stack: Stack, service: Service, known: Sequence[Release]) -> Preview:
        """What `build` would return, found out without changing anything."""
        ...

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove the environments that are not in `keep` (folders); does nothing while a build runs."""
        ...

    def prune(self, stack: str, service: str, keep: Collection[int]) -> object:
        """Delete the releases of other numbers from the disk."""
        ...


class Meter(Protocol):
    """Keeps what is measured. Nothing here raises, `series` excepted."""

    async def open(self) -> None:
        """Make ready to record."""
        ...

    def take(self, sample: Sample) -> None:
        """One second's readings."""
        ...

    async def flush(self) -> None:
        """Write what is finished."""
        ...

    def figures(self, stack: str, service: str = "", target: str = "") -> Figures:
        """Of the last seconds: of a stack, a service of it, or a target of that."""
        ...

    async def figures_at(self, stack: str, service: str, wall: float) -> Mapping[str, Figures]:
        """Of the seconds before `wall` (since 1970): key "" is the service, each other one a target."""
        ...

    def seconds(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        """The finished seconds behind `after` (seconds since 1970) that are still in memory, oldest first; all of them
        if `after` is none of these and not before the newest. Cheap enough for once a second and service."""
        ...

    async def series(self, query: Query) -> dict[str, Any]:
        """What `GET /stacks/NAME/metrics` answers with. NotFound: no such service, zone or target was ever measured."""
        ...

    def prometheus(self) -> str:
        """Everything there is now, in Prometheus' text format."""
        ...

    async def close(self) -> None:
        """Write what is finished, and let go."""
        ...


TellGauge = Callable[[Gauge, GaugeError | None], None]
"""Told once when a metric cannot be read, and once, with None, when it can be again."""


class Gauges(Protocol):
    """Reads metrics of the user's own, each as often as it says. Nothing here raises, or waits but `close`."""

    def update(self, wanted: Sequence[Gauge]) -> None:
        """What is read from now on; what is not among it is forgotten."""
        ...

    def values(self, now: float) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """What is known at `now` (monotonic seconds), by (stack, service) and name; what is too old is not."""
        ...

    def moments(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """When each was read last (monotonic seconds)."""
        ...

    async def close(self) -> None:
        """Read nothing any more."""
        ...


GaugesMaker = Callable[[TellGauge, Callable[[str, BaseException], None]], Gauges]
"""Of who is told, and of what should not happen."""
