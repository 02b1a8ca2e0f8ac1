"""How much of what there was at a moment: the levels of every entity, as far as control and the engine know. Pure.

In: a sample's scenes, usage and metrics of the user's own. Out: hosts, utilisation and capacity of each service, zone
and target, and how many targets share the requests of each. The rest of the levels, what runs inside targets, the
balancer tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.core.readings import InstanceScene, Key, Sample, ServiceScene, Usage
from fairlead.metrics.entities import Entity, around, custom
from fairlead.metrics.rows import NAN

STALE = 5.0
"""Seconds after which what was read of an instance no longer says how it is."""


@dataclass(slots=True)
class Scene:
    """levels: as `columns.LEVELS` orders them, without the first, which the balancer knows. sharing: how many targets
    the requests of a service or zone are divided by. customs: metrics of the user's own; read: when each of
    these was."""

    levels: dict[Entity, Sequence[float]] = field(default_factory=dict)
    sharing: dict[Entity, int] = field(default_factory=dict)
    customs: dict[Entity, float] = field(default_factory=dict)
    read: dict[Entity, float] = field(default_factory=dict)


class Processors:
    """How many cores each instance uses: what it used between two readings, by the time between them."""

    def __init__(self) -> None:
        self._before: dict[Key, Usage] = {}
        self._cores: dict[Key, float] = {}

    def take(self, usage: Mapping[Key, Usage], now: float) -> Mapping[Key, float]:
        """Cores of those that are known. An instance that is seen for the first time is not, nor one of which nothing
        was read for `STALE` seconds."""
        cores: dict[Key, float] = {}
        for key, new in usage.items():
            old = self._before.get(key)
            if old is None or now - new.at > STALE:
                continue
            if new.at > old.at:
                if new.cpu >= old.cpu:
                    cores[key] = (new.cpu - old.cpu) / (new.at - old.at)
            elif key in self._cores:
                cores[key] = self._cores[key]
        self._before, self._cores = dict(usage), cores
        return cores


def scene_of(sample: Sample, cores: Mapping[Key, float]) -> Scene:
    """The levels at the moment of `sample`."""
    scene = Scene()
    for service in sample.services:
        group = f"{service.stack}.{service.name}"
        entity = around(group, "", "").service
        used = {
            instance.id: _used(service, sample.usage.get((service.stack, instance.id)), cores, instance, sample.now)
            for instance in service.instances
        }
        zones: dict[str, list[InstanceScene]] = {}
        for instance in service.instances:
            zones.setdefault(instance.zone, []).append(instance)
            target = around(group, instance.zone, instance.id).target
            scene.levels[target] = (*_hosts(service, (instance,)), *used[instance.id])
        for zone, instances in zones.items():
            if zone:
                place = entity._replace(zone=zone)
                scene.levels[place] = _levels(service, instances, used)
                scene.sharing[place] = _sharing(instances)
        in_service = sum(1 for instance in service.instances if instance.in_service)
        scene.levels[entity] = (*_levels(service, service.instances, used), service.desired, in_service)
        scene.sharing[entity] = _sharing(service.instances)
    scene.customs, scene.read = _by_entity(sample.custom), _by_entity(sample.custom_read)
    return scene


def _by_entity(customs: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[Entity, float]:
    return {custom(*whose, name): value for whose, values in customs.items() for name, value in values.items()}


def _used(
    service: ServiceScene, usage: Usage | None, cores: Mapping[Key, float], instance: InstanceScene, now: float
) -> tuple[float, float]:
    """Percent of what is reserved: processor and memory."""
    cpu = cores.get((service.stack, instance.id))
    fresh = usage is not None and usage.memory is not None and now - usage.at <= STALE
    memory = usage.memory if usage is not None and fresh else None
    return (
        100 * cpu / service.cpu if cpu is not None and service.cpu > 0 else NAN,
        100 * memory / service.memory if memory is not None and service.memory > 0 else NAN,
    )


def _levels(
    service: ServiceScene, instances: Sequence[InstanceScene], used: Mapping[str, tuple[float, float]]
) -> tuple[float, ...]:
    cpu, memory = zip(*(used[instance.id] for instance in instances), strict=True) if instances else ((), ())
    return *_hosts(service, instances), _mean(cpu), _mean(memory)


def _hosts(service: ServiceScene, instances: Sequence[InstanceScene]) -> tuple[float, float]:
    """How many are healthy, and unhealthy; a service without a port has no targets."""
    if not service.serves:
        return NAN, NAN
    states = [instance.health for instance in instances]
    return states.count("healthy"), states.count("unhealthy")


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NAN


def _sharing(instances: Sequence[InstanceScene]) -> int:
    """Of RequestCountPerTarget: the healthy targets; all registered ones when none is healthy (aws-semantics C2)."""
    healthy = sum(1 for instance in instances if instance.health == "healthy")
    return healthy or sum(1 for instance in instances if instance.health not in ("unused", "draining"))
