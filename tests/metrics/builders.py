"""A small town whose balancer counts exactly what is told to it, and whose time passes as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
from fairlead.metrics.collector import Second
from fairlead.metrics.columns import COUNT_AT, COUNTS, LEVEL_AT
from fairlead.metrics.entities import Entity

EPOCH = 1_795_000_200.0
"""A whole second, minute and block."""

STACK = "shop"


def plus(one: TargetCounts, other: TargetCounts) -> TargetCounts:
    """Both together."""
    times = dict(one.times)
    for bucket, count in other.times.items():
        times[bucket] = times.get(bucket, 0) + count
    return TargetCounts(
        requests=one.requests + other.requests,
        responses=tuple(a + b for a, b in zip(one.responses, other.responses, strict=True)),  # type: ignore[arg-type]
        connection_errors=one.connection_errors + other.connection_errors,
        broken=one.broken + other.broken,
        retried=one.retried + other.retried,
        connections=one.connections + other.connections,
        bytes_in=one.bytes_in + other.bytes_in,
        bytes_out=one.bytes_out + other.bytes_out,
        times=times,
    )


@dataclass
class Town:
    """One stack. `answers` is its memory of when what was answered, to compare with."""

    at: float = 0.0
    """Seconds since it began."""
    counts: dict[Key, TargetCounts] = field(default_factory=dict)
    gone: dict[str, TargetCounts] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    outstanding: dict[Key, int] = field(default_factory=dict)
    health: dict[Key, str] = field(default_factory=dict)
    zones: dict[Key, str] = field(default_factory=dict)
    usage: dict[Key, Usage] = field(default_factory=dict)
    workers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listeners: ListenersReading = field(default_factory=ListenersReading)
    losses: int = 0
    shift: float = 0.0
    """By which the wall clock was set."""
    reserved: tuple[float, int] = (1.0, 1000)
    custom: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    """Metrics of the user's own, by (stack, service)."""
    custom_read: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def target(self, id: str, zone: str = "a", service: str = "web", health: str = "healthy") -> Key:
        """A new target."""
        key = (f"{STACK}.{service}", id)
        self.counts[key] = TargetCounts()
        self.gone.setdefault(key[0], TargetCounts())
        self.requests.setdefault(key[0], 0)
        self.zones[key], self.health[key] = zone, health
        return key

    def leaves(self, key: Key) -> None:
        """It is no longer there; its group remembers what it did."""
        self.gone[key[0]] = plus(self.gone[key[0]], self.counts.pop(key))
        del self.zones[key], self.health[key]

    def serves(self, key: Key, requests: int = 1, seconds: float = 0.03, code: int = 2) -> None:
        """The target answers so many requests of 1,000 bytes."""
        responses = tuple(requests if place + 1 == code else 0 for place in range(5))
        more = TargetCounts(
            requests=requests, responses=responses, bytes_in=300 * requests, bytes_out=700 * requests,  # type: ignore[arg-type]
            times={bucket_of(round(seconds * 1e6)): requests} if requests else {},
        )  # fmt: skip
        self.counts[key] = plus(self.counts[key], more)
        self.requests[key[0]] += requests

    def counts_more(self, key: Key, **more: int) -> None:
        """Other things that happened at a target."""
        self.counts[key] = plus(self.counts[key], TargetCounts(**more))  # type: ignore[arg-type]

    def reading(self) -> Reading:
        return Reading(
            losses=self.losses,
            targets={
                key: TargetReading(counts=counts, outstanding=self.outstanding.get(key, 0))
                for key, counts in self.counts.items()
            },
            groups={
                name: GroupReading(
                    requests=requests,
                    elb_5xx=self.failed.get(name, 0),
                    queued=self.queued.get(name, 0),
                    gone=self.gone[name],
                )
                for name, requests in self.requests.items()
            },
            listeners={STACK: self.listeners},
        )

    def sample(self, after: float = 0.0, *, balancer: bool = True) -> Sample:
        """So many seconds later; balancer: whether it answers."""
        self.at += after
        return Sample(
            now=5000 + self.at,
            wall=EPOCH + self.at + self.shift,
            balancer=self.reading() if balancer else None,
            usage=dict(self.usage),
            services=tuple(self._scenes()),
            stacks=(STACK,),
            custom={whose: dict(values) for whose, values in self.custom.items()},
            custom_read={whose: dict(moments) for whose, moments in self.custom_read.items()},
        )

    def _scenes(self) -> list[ServiceScene]:
        scenes = []
        for group in self.requests:
            mine = [key for key in self.zones if key[0] == group]
            scenes.append(
                self._scene(
                    group.partition(".")[2], [(key[1], self.zones[key], self.health[key]) for key in mine], True
                )
            )
        for service, ids in self.workers.items():
            scenes.append(self._scene(service, [(id, "a", "healthy") for id in ids], False))
        return scenes

    def _scene(self, name: str, instances: list[tuple[str, str, str]], serves: bool) -> ServiceScene:
        return ServiceScene(
            stack=STACK, name=name, serves=serves, desired=len(instances) + 1, cpu=self.reserved[0], memory=self.reserved[1],
            instances=tuple(
                InstanceScene(id=id, zone=zone, health=health, in_service=health == "healthy")
                for id, zone, health in instances
            ),
        )  # fmt: skip

    def owns(self, **changes: object) -> None:
        """What the listeners counted."""
        self.listeners = replace(self.listeners, **changes)  # type: ignore[arg-type]


def count(second: Second, entity: Entity, name: str) -> float:
    """A count of a finished second."""
    return second.rows[entity][0][COUNT_AT[entity.level][name]]


def level(second: Second, entity: Entity, name: str) -> float:
    """A level of a finished second."""
    return second.rows[entity][0][len(COUNTS[entity.level]) + LEVEL_AT[entity.level][name]]


def times(second: Second, entity: Entity) -> Mapping[int, int]:
    return second.rows[entity][1]


WEB = Entity(STACK, "web")
WHOLE = Entity(STACK)


def of(id: str, zone: str = "a", service: str = "web") -> Entity:
    return Entity(STACK, service, zone, id)
