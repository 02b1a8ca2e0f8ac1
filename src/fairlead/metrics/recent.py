"""The last finished seconds, in memory, as scaling asks for them. Pure.

Rows stay bytes until somebody asks; metrics of the user's own are kept beside them as they were read, since a decision
that compares one with a target must not fall over the rounding of what is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.core.scaling.policies import CUSTOM
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond
from fairlead.metrics.collector import Second
from fairlead.metrics.columns import COUNT_AT, LEVEL_AT
from fairlead.metrics.entities import Entity
from fairlead.metrics.history import EncodedSecond
from fairlead.metrics.rows import Row, decode
from fairlead.metrics.summary import known

_REQUESTS = COUNT_AT["target"]["RequestCount"]
_REFUSED = COUNT_AT["service"]["HTTPCode_ELB_5XX_Count"]
_OUTSTANDING, _CPU, _MEMORY = (
    LEVEL_AT["target"][name] for name in ("OutstandingRequestCount", "CPUUtilization", "MemoryUtilization")
)


@dataclass(slots=True)
class _Kept:
    second: EncodedSecond
    customs: Mapping[Entity, float]
    """With all their digits."""
    read: Mapping[Entity, float]
    by_service: dict[tuple[str, str], list[Entity]] = field(default_factory=dict)
    """Its targets and its own metrics; made when it is asked for."""


class Recent:
    """Holds so many seconds."""

    def __init__(self, length: int) -> None:
        self._kept: deque[_Kept] = deque(maxlen=length)

    def add(self, finished: Second, second: EncodedSecond) -> None:
        """finished: what `second` was made of."""
        customs = {entity: values[0] for entity, (values, _) in finished.rows.items() if entity.level == "custom"}
        self._kept.append(_Kept(second, customs, finished.read))

    def of(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        """The seconds behind the one that began at `after`, oldest first. Behind and not later than: a clock that was
        set back hides nothing."""
        behind: list[_Kept] = []
        for one in reversed(self._kept):
            if one.second.at == after:
                break
            behind.append(one)
        else:
            # It is not in memory: it was long ago, or the clock was set back to before it.
            behind = [one for one in behind if one.second.at > after] or behind
        return tuple(_second(one, stack, service) for one in reversed(behind))


def _second(kept: _Kept, stack: str, service: str) -> ServiceSecond:
    """What is known of one service in one second."""
    if not kept.by_service:
        for entity in kept.second.rows:
            if entity.target:
                kept.by_service.setdefault((entity.stack, entity.service), []).append(entity)
    instances: dict[str, InstanceSecond] = {}
    custom: dict[str, float] = {}
    read: dict[str, float] = {}
    rows = kept.second.rows
    for entity in kept.by_service.get((stack, service), ()):
        if entity in kept.customs:
            name = entity.target.removeprefix(CUSTOM)
            custom[name] = kept.customs[entity]
            if entity in kept.read:
                read[name] = kept.read[entity]
        else:
            instances[entity.target] = _instance(decode(rows[entity], "target"))
    whole = rows.get(Entity(stack, service))
    refused = known(decode(whole, "service").counts[_REFUSED]) if whole is not None else None
    return ServiceSecond(at=kept.second.at, instances=instances, refused=refused, custom=custom, read=read)


def _instance(row: Row) -> InstanceSecond:
    return InstanceSecond(
        requests=known(row.counts[_REQUESTS]),
        outstanding=known(row.average[_OUTSTANDING]),
        cpu=known(row.average[_CPU]),
        memory=known(row.average[_MEMORY]),
        times=row.times,
    )
