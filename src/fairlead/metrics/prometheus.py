"""Everything there is now in Prometheus' text format; the library that writes it is imported with the first scrape.

`families` is the table of what is exported, made from the catalogue. The law: within one family each request, byte or
target is counted once, so that `sum by (service)` and `sum by (stack)` are right. A family is therefore exported at one
level only, the finest at which its metric exists; where a coarser level is more than the sum of the finer one, it is a
family of its own with the level in its name. Counters begin at zero with the daemon, and never fall while they are
there; what is unknown is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from fairlead.core.scaling.policies import CUSTOM
from fairlead.metrics.catalogue import METRICS, Level, Metric
from fairlead.metrics.columns import COUNT_AT, LEVEL_AT
from fairlead.metrics.entities import Entity
from fairlead.metrics.rows import Row
from fairlead.metrics.totals import LIMITS, Totals

if TYPE_CHECKING:
    from prometheus_client import Metric as Written

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LABELS: Mapping[Level, tuple[str, ...]] = {
    "stack": ("stack",),
    "service": ("stack", "service"),
    "zone": ("stack", "service", "zone"),
    "target": ("stack", "service", "zone", "target"),
    "custom": ("stack", "service", "name"),
}

_APART: Mapping[str, tuple[Level, ...]] = {
    # Sent to a target, and sent again to another, it counts at both; of a service each request counts once.
    "RequestCount": ("target", "service"),
    # Of zones it is another quotient, not a part of the service's.
    "RequestCountPerTarget": ("service",),
    # The balancer also answers requests that no service was chosen for.
    "HTTPCode_ELB_5XX_Count": ("stack", "service"),
    # With clients, and with targets.
    "ProcessedBytes": ("target", "stack"),
}
"""At which levels a metric is exported, where that is not the finest alone; the first has the plain name."""

_FINEST: tuple[Level, ...] = ("target", "zone", "service", "stack", "custom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One name that Prometheus sees. labels: those that every series has; metrics: which metrics of the catalogue it
    holds, by the further labels that tell them apart."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    level: Level
    labels: tuple[str, ...]
    metrics: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    unit: str
    meaning: str


CUSTOM_METRIC = Family(
    name="fairlead_custom_metric",
    kind="gauge",
    level="custom",
    labels=LABELS["custom"],
    metrics=(("Value", ()),),
    unit="None",
    meaning="Metrics of the user's own, as they were read last.",
)
"""One family for all of them: their names are no names of families, and may change at any `up`."""


def families() -> tuple[Family, ...]:
    """Everything that is exported, in the catalogue's order; metrics of the user's own come last."""
    members: dict[str, list[tuple[Metric, Level]]] = {}
    for metric in METRICS:
        for place, level in enumerate(exported(metric)):
            members.setdefault(_name(metric, level if place else None), []).append((metric, level))
    return (*(_family(name, ones) for name, ones in members.items()), CUSTOM_METRIC)


def exported(metric: Metric) -> tuple[Level, ...]:
    """At which levels."""
    return _APART.get(metric.name) or (next(level for level in _FINEST if level in metric.levels),)


def _name(metric: Metric, level: Level | None) -> str:
    total = "_total" if metric.kind == "count" else ""
    return f"fairlead_{level + '_' if level else ''}{metric.prometheus}{total}"


def _family(name: str, members: list[tuple[Metric, Level]]) -> Family:
    first, level = members[0]
    meaning = first.meaning
    for _, value in first.labels if len(members) > 1 else ():
        meaning = meaning.replace(f" of {value}", "")
    kinds: Mapping[str, Literal["counter", "gauge", "histogram"]] = {
        "count": "counter",
        "level": "gauge",
        "time": "histogram",
    }
    return Family(
        name=name,
        kind=kinds[first.kind],
        level=level,
        labels=(*LABELS[level], *(label for label, _ in first.labels)),
        metrics=tuple((metric.name, metric.labels) for metric, _ in members),
        unit=first.unit,
        meaning=meaning,
    )


def text(totals: Totals, now: Mapping[Entity, Row]) -> str:
    """What Prometheus reads. now: the last finished second."""
    from prometheus_client import generate_latest

    return generate_latest(_Everything(totals, now)).decode()


class _Everything:
    """What the library asks for its families."""

    def __init__(self, totals: Totals, now: Mapping[Entity, Row]) -> None:
        # Copied at once: samples may go on being taken meanwhile, in another thread.
        self._totals, self._now = dict(totals.of), now

    def collect(self) -> Iterator[Written]:
        counted, present = _by_level(self._totals), _by_level(self._now)
        for family in families():
            if family.kind == "counter":
                yield self._counter(family, counted[family.level])
            elif family.kind == "gauge":
                yield self._gauge(family, present[family.level])
            else:
                yield self._histogram(family, counted[family.level])

    def _counter(self, family: Family, entities: list[Entity]) -> Written:
        from prometheus_client.metrics_core import CounterMetricFamily

        written = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
        for name, labels in family.metrics:
            place = COUNT_AT[family.level][name]
            for entity in entities:
                total = self._totals[entity]
                value = total.per_target if name == "RequestCountPerTarget" else total.counts[place]
                written.add_metric(_values(entity, labels), value)
        return written

    def _gauge(self, family: Family, entities: list[Entity]) -> Written:
        from prometheus_client.metrics_core import GaugeMetricFamily

        written = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
        for name, labels in family.metrics:
            place = LEVEL_AT[family.level][name]
            values = {entity: self._now[entity].average[place] for entity in entities}
            if name == "OutstandingRequestCount":
                values |= self._queues(values)
            for entity, value in values.items():
                if value == value:
                    written.add_metric(_values(entity, labels, family.level), value)
        return written

    def _queues(self, targets: Mapping[Entity, float]) -> dict[Entity, float]:
        """What waits for a target of each service runs in none of them: a series of no zone and no target."""
        inside: dict[tuple[str, str], float] = {}
        for entity, value in targets.items():
            key = (entity.stack, entity.service)
            inside[key] = inside.get(key, 0) + (value if value == value else 0)
        place = LEVEL_AT["service"]["OutstandingRequestCount"]
        return {
            entity: max(0.0, row.average[place] - inside.get((entity.stack, entity.service), 0))
            for entity, row in sorted(self._now.items())
            if entity.level == "service" and row.average[place] == row.average[place]
        }

    def _histogram(self, family: Family, entities: list[Entity]) -> Written:
        from prometheus_client.metrics_core import HistogramMetricFamily

        written = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        limits = [*map(repr, LIMITS), "+Inf"]
        for entity in entities:
            total = self._totals[entity]
            buckets = list(zip(limits, accumulate(total.times), strict=True))
            written.add_metric(_values(entity), buckets, total.seconds)
        return written


def _by_level(entities: Iterable[Entity]) -> dict[Level, list[Entity]]:
    found: dict[Level, list[Entity]] = {level: [] for level in _FINEST}
    for entity in sorted(entities):
        found[entity.level].append(entity)
    return found


def _values(entity: Entity, labels: tuple[tuple[str, str], ...] = (), level: Level | None = None) -> list[str]:
    """The values of a series' labels, in the order of the family's."""
    if entity.level == "custom":
        return [entity.stack, entity.service, entity.target.removeprefix(CUSTOM)]
    dimensions = entity[: len(LABELS[level or entity.level])]
    return [*dimensions, *(value for _, value in labels)]
