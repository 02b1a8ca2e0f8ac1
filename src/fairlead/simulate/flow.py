"""What becomes of the requests of one second: a fluid model of the instances' queues.

In: what arrives, who takes requests and who only finishes its own. Out: a `Passed`: what was answered, what had to wait
and what was lost, and what each instance would have been measured at. Laws: no more is answered than has arrived, an
instance answers no more than its capacity, and nothing vanishes: arrived = answered + lost + what still waits.

Instances that have the same backlog are the same to this model, so a hundred of them cost no more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fairlead.core.latency import bucket_of
from fairlead.core.scaling.seconds import InstanceSecond
from fairlead.simulate.app import App, Queueing

UNKNOWN = InstanceSecond()
"""Of an instance in a second of which nobody knows what came."""

QUANTILES = (
    (10, 20), (30, 20), (50, 20), (65, 10), (75, 10), (85, 10), (91, 3), (93.5, 2), (95.5, 2), (97.5, 2), (99.5, 1),
)  # fmt: skip
"""Where a distribution of response times is looked at, and the percent of the requests that each stands for."""

GRAIN = 1000
"""Entries of a histogram for each request: shares of requests are counted too."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Requests: answered; queued: of those that came, how many found no room in their second; timed_out: had waited for
    the idle timeout; refused: nobody took requests. waiting: at the end of the second. p95: seconds, None: nobody was
    answered. cpu: mean of those that take requests."""

    served: float = 0.0
    queued: float = 0.0
    timed_out: float = 0.0
    refused: float = 0.0
    waiting: float = 0.0
    p95: float | None = None
    cpu: float | None = None
    instances: Mapping[str, InstanceSecond] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What one instance did in a second. waited: seconds that its backlog cost."""

    served: float
    queued: float
    timed_out: float
    left: float
    waited: float
    queueing: Queueing
    seen: InstanceSecond


class Flow:
    """The backlog of every instance. reserved: cores. patience: seconds after which a request that waits is given up.
    timed: whether policies ask for response times."""

    def __init__(self, app: App, *, reserved: float, patience: float, timed: bool) -> None:
        self._app, self._reserved, self._patience, self._timed = app, reserved, patience, timed
        self._waiting: dict[str, float] = {}

    def waiting(self, instance: str) -> float:
        """Requests that wait inside it."""
        return self._waiting.get(instance, 0.0)

    def forget(self, instance: str) -> float:
        """It is gone; how many requests went with it."""
        return self._waiting.pop(instance, 0.0)

    def second(self, arrivals: float, taking: Sequence[str], finishing: Sequence[str] = ()) -> Passed:
        """One second. taking: who gets an equal share of `arrivals`; finishing: who works off what it has."""
        seen, works = self._all(taking, arrivals / len(taking) if taking else 0.0)
        cpu = sum((work.seen.cpu or 0.0) * count for work, count in works) / len(taking) if taking else None
        if self._waiting and finishing:
            works = [*works, *self._all([one for one in finishing if one in self._waiting], 0.0)[1]]
        served = queued = timed_out = waiting = 0.0
        for work, count in works:
            served += work.served * count
            queued += work.queued * count
            timed_out += work.timed_out * count
            waiting += work.left * count
        return Passed(
            served=served, queued=queued, timed_out=timed_out, refused=0.0 if taking else arrivals, waiting=waiting,
            p95=_p95(works, served, self._app), cpu=cpu, instances=seen,
        )  # fmt: skip

    def _all(self, instances: Sequence[str], share: float) -> tuple[dict[str, InstanceSecond], list[tuple[_Work, int]]]:
        """What each is measured at, and each different kind of work with how many did it."""
        if not self._waiting:
            # Nobody has a backlog: all do the same.
            work = self._work(0.0, share)
            if work.left:
                self._waiting.update(dict.fromkeys(instances, work.left))
            return dict.fromkeys(instances, work.seen), [(work, len(instances))]
        alike: dict[float, list[str]] = {}
        for one in instances:
            alike.setdefault(self._waiting.pop(one, 0.0), []).append(one)
        seen, works = {}, []
        for waiting, ones in alike.items():
            work = self._work(waiting, share)
            works.append((work, len(ones)))
            seen.update(dict.fromkeys(ones, work.seen))
            if work.left:
                self._waiting.update(dict.fromkeys(ones, work.left))
        return seen, works

    def _work(self, waiting: float, share: float) -> _Work:
        app = self._app
        served = min(waiting + share, app.capacity)
        left = waiting + share - served
        most = app.capacity * self._patience
        timed_out, left = max(0.0, left - most), min(left, most)
        queued = min(share, max(0.0, waiting + share - app.capacity))
        waited = (waiting + left) / 2 / app.capacity
        queueing = app.queueing(served)
        points: tuple[tuple[float, float], ...] = ()
        if self._timed and served:
            alone = app.service_time + waited
            points = tuple((alone + queueing.percentile(at), served * part / 100) for at, part in QUANTILES)
        seen = InstanceSecond(
            requests=share,
            outstanding=left + served * (app.service_time + queueing.average),
            cpu=app.cpu(served, self._reserved),
            times=_histogram(points),
        )
        return _Work(served, queued, timed_out, left, waited, queueing, seen)


def _histogram(points: Iterable[tuple[float, float]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for seconds, requests in points:
        bucket = bucket_of(round(seconds * 1e6))
        counts[bucket] = counts.get(bucket, 0) + max(1, round(requests * GRAIN))
    return counts


def _p95(works: Sequence[tuple[_Work, int]], total: float, app: App) -> float | None:
    """Of all that were answered; of those with the longest backlog, as far as these are more than a twentieth."""
    if total <= 0:
        return None
    slower = 0.0
    for work, count in sorted(works, key=lambda each: each[0].waited, reverse=True) if len(works) > 1 else works:
        part = work.served * count
        if slower + part > total / 20:
            # So many of its own may still be slower than that.
            above = 100 * (total / 20 - slower) / part
            return app.service_time + work.waited + work.queueing.percentile(100 - above)
        slower += part
    return None
