"""The datapoints that policies are judged by: seconds in, the last points of each metric out.

A point is the mean over one period, and how many instances it is of; a period that nothing is known of is a missing
point, not a zero. Pure, though it remembers: what comes out depends only on what was added.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from fairlead.core.latency import merged, percentile
from fairlead.core.scaling.alarm import LOOKED_FURTHER
from fairlead.core.scaling.policies import CUSTOM, Policy, Scaling
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond

PERCENTILES = {"latency_p50": 50.0, "latency_p95": 95.0, "latency_p99": 99.0}


@dataclass(frozen=True, slots=True)
class Point:
    """value: of one instance (of a custom metric: of the service). counted: how many instances it is of. settled: False
    if others, that do not count yet, took a share of what there was to do: then it may look like less than it was."""

    value: float | None
    counted: int
    settled: bool = True

    @property
    def load(self) -> float | None:
        """What all of them had to do together. With nobody there, the value is all there was."""
        return None if self.value is None else self.value * (self.counted or 1)


MISSING = Point(None, 0)


class History:
    """Of one service. It is made anew when the service's policies change."""

    def __init__(self, scaling: Scaling) -> None:
        self._series: dict[tuple[str, int], _Series] = {}
        for policy in scaling.policies:
            length = max(policy.scale_out_after, policy.scale_in_after) + LOOKED_FURTHER
            series = self._series.setdefault((policy.metric, policy.period), _series(policy.metric, policy.period))
            series.lengthen(length)
        self.last: int | None = None
        """The last second that was added."""

    def add(
        self, second: ServiceSecond, counted: Collection[str], *, empty: bool = False, settled: bool = True
    ) -> None:
        """counted: the instances whose metrics count. empty: the service has none that could serve, nor is one of them
        ill: then requests that found nobody are what tells of load. settled: False while others start or warm up. A
        second that was added already is passed over."""
        if second.at == self.last:
            return
        if self.last is not None and second.at < self.last:
            for series in self._series.values():
                series.clear()  # the clock was set back: what was before is of another time
        self.last = second.at
        for series in self._series.values():
            series.add(second, counted, empty, settled)

    def points(self, policy: Policy) -> Sequence[Point]:
        """Oldest first; () while there is none."""
        return self._series[policy.metric, policy.period].points


class _Series(ABC):
    """One metric in periods of so many seconds."""

    def __init__(self, metric: str, period: int) -> None:
        self._metric, self._period = metric, period
        self.points: deque[Point] = deque(maxlen=1)
        self._open: int | None = None
        """The period that is being filled."""
        self._settled = True
        """Whether its last second was."""
        self.forget()

    def lengthen(self, length: int) -> None:
        if length > self._length:
            self.points = deque(maxlen=length)

    @property
    def _length(self) -> int:
        assert self.points.maxlen is not None
        return self.points.maxlen

    def clear(self) -> None:
        self.points.clear()
        self.forget()
        self._open = None

    def add(self, second: ServiceSecond, counted: Collection[str], empty: bool, settled: bool) -> None:
        at = second.at // self._period
        if self._open is not None and at > self._open:
            gaps = at - self._open
            self._close()
            self.points.extend([MISSING] * min(gaps - 1, self._length))
        self._open = at
        if settled and not self._settled:
            self.forget()  # what came before in this period may look like less than it was
        self._settled = settled
        self.take(second, counted, empty)
        if (second.at + 1) % self._period == 0:
            self._close()
            self._open = at + 1

    def _close(self) -> None:
        point = self.point()
        self.points.append(point if self._settled else replace(point, settled=False))
        self.forget()

    @abstractmethod
    def take(self, second: ServiceSecond, counted: Collection[str], empty: bool) -> None:
        """Keep what a second tells of the period that is being filled."""

    @abstractmethod
    def point(self) -> Point:
        """What is known of that period."""

    @abstractmethod
    def forget(self) -> None:
        """Begin a period."""


class _Means(_Series):
    """A mean over instances and seconds."""

    def forget(self) -> None:
        self._known: list[Point] = []

    def take(self, second: ServiceSecond, counted: Collection[str], empty: bool) -> None:
        point = measure(self._metric, second, counted, empty=empty)
        if point.value is not None:
            self._known.append(point)

    def point(self) -> Point:
        known = self._known
        if len(known) < 2:
            return known[0] if known else MISSING
        # The load is what is kept: how many share it may have changed meanwhile.
        counted = known[-1].counted
        load = sum(point.load or 0.0 for point in known) / len(known)
        return Point(load / max(1, counted), counted)


class _Readings(_Means):
    """Of a metric of the user's own, which is read every so often: what was read is of the instances that counted then.
    Taken to be of those that count now, a queue shared by one would look as long for each of the three that were
    started for it."""

    _read: float | None = None
    _of_then: tuple[Collection[str], bool] = ((), True)
    """Who counted when it was read, and whether that was settled."""

    def add(self, second: ServiceSecond, counted: Collection[str], empty: bool, settled: bool) -> None:
        read = second.read.get(self._metric.removeprefix(CUSTOM))
        if read is None or read != self._read:
            self._read, self._of_then = read, (counted, settled)
        counted, settled = self._of_then
        super().add(second, counted, empty, settled)


class _Percentiles(_Series):
    """A percentile of all answers of the period: those of single seconds would weigh a quiet second as a busy one."""

    def forget(self) -> None:
        self._times: list[Mapping[int, int]] = []
        self._counted = 0
        self._idle: bool | None = None
        """Whether nobody asked; None while nothing is known."""

    def take(self, second: ServiceSecond, counted: Collection[str], empty: bool) -> None:
        instances = [] if empty else _those(second, counted)
        if instances:
            self._counted = len(counted)
            self._idle = self._idle is not False and all(one.requests == 0 for one in instances)
            self._times = [merged([*self._times, *(one.times for one in instances)])]

    def point(self) -> Point:
        times = merged(self._times)
        if times:
            return Point(percentile(times, PERCENTILES[self._metric]), self._counted)
        # Nobody waited while nobody asked: that is known, unlike how long it would have taken.
        return Point(0.0, self._counted) if self._idle else MISSING


def _series(metric: str, period: int) -> _Series:
    if metric.startswith(CUSTOM):
        return _Readings(metric, period)
    return _Percentiles(metric, period) if metric in PERCENTILES else _Means(metric, period)


def measure(metric: str, second: ServiceSecond, counted: Collection[str], *, empty: bool) -> Point:
    """A metric over the counted instances of one second; latencies, which are of periods, apart."""
    if metric.startswith(CUSTOM):
        value = second.custom.get(metric.removeprefix(CUSTOM))
        return MISSING if value is None or not math.isfinite(value) else Point(value, len(counted))
    if empty:
        # Nobody serves: whoever asks is refused, and that is what there is to do.
        return Point(second.refused if metric in ("requests_per_target", "outstanding") else None, 0)
    read, instances = _READ[metric], second.instances
    known = [value for id in counted if (one := instances.get(id)) and (value := read(one)) is not None]
    return Point(sum(known) / len(known), len(counted)) if known else MISSING


_READ: Mapping[str, Callable[[InstanceSecond], float | None]] = {
    "cpu": attrgetter("cpu"),
    "memory": attrgetter("memory"),
    "outstanding": attrgetter("outstanding"),
    "requests_per_target": attrgetter("requests"),
}


def _those(second: ServiceSecond, counted: Collection[str]) -> list[InstanceSecond]:
    return [second.instances[id] for id in counted if id in second.instances]
