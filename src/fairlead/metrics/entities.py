"""Whose metrics: a stack, a service of it, a zone of that, or a target; or a metric of the user's own. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from fairlead.core.scaling.policies import CUSTOM
from fairlead.metrics.catalogue import Level


class Entity(NamedTuple):
    """Empty texts behind say the level; a target has its zone with it, which is empty while nobody knows it. A metric
    of the user's own stands in the place of a target, as `custom:NAME`, which no target is called."""

    stack: str
    service: str = ""
    zone: str = ""
    target: str = ""

    @property
    def level(self) -> Level:
        if self.target:
            return "custom" if self.target.startswith(CUSTOM) else "target"
        if self.zone:
            return "zone"
        return "service" if self.service else "stack"


def custom(stack: str, service: str, name: str) -> Entity:
    """A metric of the user's own, of a service."""
    return Entity(stack, service, "", f"{CUSTOM}{name}")


class Around(NamedTuple):
    """A target, and what it is part of. Without a zone or a target those are what is around them."""

    target: Entity
    zone: Entity
    service: Entity
    stack: Entity


@lru_cache(maxsize=8192)
def around(group: str, zone: str, target: str) -> Around:
    """Of a target of a group, which is named `STACK.SERVICE`."""
    stack, _, service = group.partition(".")
    return Around(
        Entity(stack, service, zone, target), Entity(stack, service, zone), Entity(stack, service), Entity(stack)
    )
