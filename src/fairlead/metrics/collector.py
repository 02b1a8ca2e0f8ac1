"""Samples in, finished seconds of every entity out. Pure: time comes with the samples.

A second is finished when a reading of the balancer lies behind its end; until then it waits, `TOO_LONG` at most. What
was counted between two readings is spread over the seconds between them (`spread`); a level is what it was at the
sample that ended the second. The law: seconds that nothing is known of are not there at all, those of which the
balancer said nothing have unknown counts; neither a stall, nor a restart, nor a step of the clock makes a zero or a
spike. When the balancer may have lost counts, the seconds in which it may have lost them are marked incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor

from fairlead.core.readings import Key, Reading, Sample
from fairlead.metrics.columns import COUNTS, LEVELS
from fairlead.metrics.counted import Counted
from fairlead.metrics.entities import Entity, around
from fairlead.metrics.rows import NAN
from fairlead.metrics.scene import Processors, Scene, scene_of
from fairlead.metrics.spread import NO_TIMES, Amounts, Spread
from fairlead.metrics.totals import Totals

TOO_LONG = 5.0
"""Seconds between two readings beyond which nobody can say what happened when."""

STEP = 0.25
"""Seconds by which the wall clock and the monotonic one may disagree between two samples before the wall clock is taken
to have been set: a second that was much longer than others would look like a spike. Slewing is slower than that."""

NEAR = 0.1
"""Seconds from the edge of a second within which a reading counts as one at the edge. Control reads at whole seconds:
what was counted between two of them is one second's, without sharing out the last milliseconds."""

UNKNOWN = {level: (NAN,) * len(names) for level, names in COUNTS.items()}
UNKNOWN_LEVELS = {level: (NAN,) * (len(names) - 1) for level, names in LEVELS.items()}

Values = tuple[Sequence[float], Mapping[int, int]]
"""Counts and levels, as `columns` orders them, and durations."""


@dataclass(frozen=True, slots=True)
class Second:
    """What happened from `at` (seconds since 1970) until one second later. read: when metrics of the user's own were
    read (monotonic seconds)."""

    at: int
    rows: Mapping[Entity, Values]
    incomplete: bool = False
    read: Mapping[Entity, float] = field(default_factory=dict)


class Collector:
    """One for all stacks."""

    def __init__(self) -> None:
        self.totals = Totals()
        """What was counted since this began, for Prometheus."""
        self._processors, self._counted, self._spread = Processors(), Counted(), Spread()
        self._zones: dict[Key, str] = {}
        """Of every target that was seen of late, by (group, target): the balancer does not know zones."""
        self._last: tuple[float, float] | None = None
        """Of the last sample: monotonic seconds, and those since 1970."""
        self._read: tuple[float, float] | None = None
        """Of the last one with a reading."""
        self._waiting: list[tuple[int, Scene]] = []

    def take(self, sample: Sample) -> list[Second]:
        """The seconds that are finished by this sample, oldest first."""
        finished = self._pass(sample)
        if sample.balancer is None:
            if self._read is None or sample.now - self._read[0] > TOO_LONG:
                finished += self._give_up()
            return finished
        return finished + self._settle(sample, self._introduced(sample.balancer))

    def _pass(self, sample: Sample) -> list[Second]:
        """Let the seconds that have ended wait for their counts; those that nobody can say anything of are given up."""
        last, self._last = self._last, (sample.now, sample.wall)
        cores = self._processors.take(sample.usage, sample.now)
        self._remember_zones(sample)
        if last is None:
            return []
        elapsed = sample.now - last[0]
        stepped = abs(sample.wall - last[1] - elapsed) > STEP or sample.wall < last[1]
        if stepped:
            self._read = None
        if stepped or elapsed > TOO_LONG:
            return self._give_up()
        ended = range(floor(snapped(last[1])), floor(snapped(sample.wall)))
        if ended:
            scene = scene_of(sample, cores)
            self._waiting += [(at, scene) for at in ended]
        return []

    def _settle(self, sample: Sample, reading: Reading) -> list[Second]:
        """Finish what waits, with the counts up to `reading`."""
        lost = reading.losses > self._counted.losses
        changes = self._counted.take(reading, self._zones)
        self.totals.add(changes)
        wall = snapped(sample.wall)
        read, self._read = self._read, (sample.now, wall)
        if read is None or sample.now - read[0] > TOO_LONG:
            self._spread.begin_anew(wall)
            return self._give_up()
        counted = self._spread.add(read[1], wall, changes, incomplete=lost)
        waiting, self._waiting = self._waiting, []
        running = _running(reading, self._zones) if waiting else {}
        finished = []
        for at, scene in waiting:
            found = counted.get(at)
            finished.append(_unknown(at, scene) if found is None else _second(at, scene, *found, running))
            for entity in scene.sharing:
                if not entity.zone and found is not None and entity in found[0]:
                    self.totals.add_per_target(entity, finished[-1].rows[entity][0][_PER_TARGET])
        return finished

    def _give_up(self) -> list[Second]:
        """What waits gets no counts any more."""
        waiting, self._waiting = self._waiting, []
        return [_unknown(at, scene) for at, scene in waiting]

    def _remember_zones(self, sample: Sample) -> None:
        present: dict[Key, str] = {}
        for service in sample.services:
            for instance in service.instances:
                present[(f"{service.stack}.{service.name}", instance.id)] = instance.zone
        kept = sample.balancer.targets if sample.balancer is not None else self._zones
        self._zones = {key: zone for key, zone in self._zones.items() if key in kept} | present

    def _introduced(self, reading: Reading) -> Reading:
        """Without targets that were just made: until control tells their zones, they would be others than later. They
        have done nothing yet, and whatever they do is counted from zero."""
        known = {key: target for key, target in reading.targets.items() if key in self._zones or target.counts.requests}
        return reading if len(known) == len(reading.targets) else replace(reading, targets=known)


def snapped(wall: float) -> float:
    """The edge of a second if it is near."""
    edge = float(round(wall))
    return edge if abs(wall - edge) < NEAR else wall


def _unknown(at: int, scene: Scene) -> Second:
    """A second of which the balancer said nothing."""
    rows: dict[Entity, Values] = {
        entity: ((*UNKNOWN[entity.level], NAN, *levels), NO_TIMES) for entity, levels in scene.levels.items()
    }
    return Second(at, rows | _customs(scene), read=scene.read)


def _customs(scene: Scene) -> dict[Entity, Values]:
    return {entity: ((value,), NO_TIMES) for entity, value in scene.customs.items()}


def _second(
    at: int,
    scene: Scene,
    counted: Mapping[Entity, Amounts],
    incomplete: bool,
    running: Mapping[Entity, tuple[float, ...]],
) -> Second:
    rows: dict[Entity, Values] = {}
    for entity, (amounts, times) in counted.items():
        counts: Sequence[float] = amounts
        levels = scene.levels.get(entity)
        if levels is None:
            levels = UNKNOWN_LEVELS[entity.level] if entity.service else ()
        if entity.service and not entity.target:
            sharing = scene.sharing.get(entity, 0)
            counts = (*counts, counts[0] / sharing if sharing else NAN)
        rows[entity] = ((*counts, *running.get(entity, _NOT_RUNNING[not entity.service]), *levels), times)
    for entity, levels in scene.levels.items():
        if entity not in rows:
            rows[entity] = ((*UNKNOWN[entity.level], NAN, *levels), NO_TIMES)
    return Second(at, rows | _customs(scene) if scene.customs else rows, incomplete, scene.read)


_PER_TARGET = COUNTS["service"].index("RequestCountPerTarget")
_NOT_RUNNING = ((NAN,), (NAN, NAN))
"""Levels that only the balancer knows, where it does not: of anything else, of a stack."""


def _running(reading: Reading, zones: Mapping[Key, str]) -> dict[Entity, tuple[float, ...]]:
    """What runs inside targets just now, and waits for one; of a stack, also how many connections are open."""
    inside: dict[Entity, float] = {}
    for name, group in reading.groups.items():
        whole = around(name, "", "")
        inside[whole.service] = group.queued
        inside[whole.stack] = inside.get(whole.stack, 0) + group.queued
    for key, target in reading.targets.items():
        zone = zones.get(key, "")
        places = around(key[0], zone, key[1])
        count = inside[places.target] = target.outstanding
        if zone:
            inside[places.zone] = inside.get(places.zone, 0) + count
        inside[places.service] = inside.get(places.service, 0) + count
        inside[places.stack] = inside.get(places.stack, 0) + count
    running: dict[Entity, tuple[float, ...]] = {entity: (count,) for entity, count in inside.items()}
    for stack in {entity.stack for entity in inside} | set(reading.listeners):
        listeners = reading.listeners.get(stack)
        running[Entity(stack)] = (inside.get(Entity(stack), 0), listeners.active if listeners else NAN)
    return running
