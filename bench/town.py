"""Samples as a busy stack gives them, one a second, made of dice and quickly: for what metrics cost, whatever HAProxy
does. Ten targets are one service, more are ten services; a target answers ten requests a second, most of them within
30 ms, some much later. The same ones in each run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from fairlead.core.latency import bucket_of
from fairlead.core.readings import (
    GroupReading,
    InstanceScene,
    Key,
    ListenersReading,
    Reading,
    Sample,
    ServiceScene,
    TargetCounts,
    TargetReading,
    Usage,
)

STACK = "bench"

LEAST, MOST = 10, 10
"""Targets of a service, at least; services, at most."""

RATE = 10
"""Requests a second and target."""

MEDIAN, SPREAD = 0.03, 0.9
"""Seconds, and sigma of the logarithm: the 99th percentile is eight times the median."""

SECONDS = 200
"""Different seconds of a target, in turn."""

_BEGAN = 1_700_000_000.0 // 86400 * 86400


def services_of(targets: int) -> int:
    """Of how many services so many targets are."""
    return min(MOST, targets // LEAST)


class Town:
    """So many targets, of as many services as `services_of` says, or of `services`."""

    def __init__(self, targets: int, services: int | None = None) -> None:
        die = random.Random(6)  # noqa: S311 (nothing secret)
        self._seconds = [_times(die) for _ in range(SECONDS)]
        count = services or services_of(targets)
        self._names = {f"s{number}": targets // count for number in range(1, count + 1)}
        self._counted: dict[Key, dict[int, int]] = {
            (f"{STACK}.{service}", f"{service}-{number}"): {}
            for service, size in self._names.items()
            for number in range(1, size + 1)
        }
        self._services = tuple(_scene(service, size) for service, size in self._names.items())
        self._passed = 0

    def sample(self) -> Sample:
        """The next second's."""
        self._passed += 1
        second, requests = self._passed, RATE * self._passed
        return Sample(
            now=float(second),
            wall=_BEGAN + second,
            balancer=Reading(
                targets={key: self._target(key, number) for number, key in enumerate(self._counted)},
                groups={
                    f"{STACK}.{name}": GroupReading(requests=size * requests) for name, size in self._names.items()
                },
                listeners={STACK: ListenersReading(connections=second, active=50, bytes=1500 * requests)},
            ),
            usage={
                (STACK, target): Usage(
                    cpu=0.05 * second + number / 7, memory=(40 << 20) + 4096 * number, at=float(second)
                )
                for number, (_, target) in enumerate(self._counted)
            },
            services=self._services,
            stacks=(STACK,),
        )

    def _target(self, key: Key, number: int) -> TargetReading:
        times = self._counted[key]
        for bucket, count in self._seconds[(self._passed * 7 + number) % SECONDS].items():
            times[bucket] = times.get(bucket, 0) + count
        requests = RATE * self._passed
        return TargetReading(
            counts=TargetCounts(
                requests=requests, responses=(0, requests - self._passed // 9, 0, self._passed // 9, 0),
                connections=self._passed // 60, bytes_in=700 * requests, bytes_out=2000 * requests, times=dict(times),
            ),
            outstanding=number % 3,
        )  # fmt: skip


def _times(die: random.Random) -> Mapping[int, int]:
    found: dict[int, int] = {}
    for _ in range(RATE):
        bucket = bucket_of(round(1e6 * die.lognormvariate(math.log(MEDIAN), SPREAD)))
        found[bucket] = found.get(bucket, 0) + 1
    return found


def _scene(service: str, size: int) -> ServiceScene:
    instances = tuple(
        InstanceScene(id=f"{service}-{number}", zone="ab"[number % 2], health="healthy", in_service=True)
        for number in range(1, size + 1)
    )
    return ServiceScene(
        stack=STACK, name=service, serves=True, desired=size, cpu=1.0, memory=256 << 20, instances=instances
    )
