"""One service at one moment: what every sentence of an explanation may need to know.

Made by `explain`, read by it and by `answer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.core import reconcile
from fairlead.core.desired import StackRecord
from fairlead.core.figures import UNKNOWN, Figures
from fairlead.core.health import TargetHealth, target_health
from fairlead.core.model import Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.plan import Action
from fairlead.core.steps import Step


@dataclass(frozen=True, slots=True)
class Scene:
    """mine: the service's instances. decided: the plan of that moment. earlier: steps before it, oldest first. figures:
    how the service ("") and its instances did of late."""

    wanted: StackRecord
    observed: Observed
    now: float
    service: Service
    mine: tuple[Instance, ...]
    decided: tuple[Action, ...]
    earlier: tuple[Step, ...]
    figures: Mapping[str, Figures] = field(default_factory=dict)

    @property
    def stays(self) -> bool:
        return self.wanted.wanted == "up" and self.wanted.desired.stack.has(self.service.name)

    def health(self, instance: Instance) -> TargetHealth:
        known = self.observed.balancer_known
        return target_health(instance, self.service.health_check, self.now, balancer_known=known)

    def age(self, instance: Instance, at: float | None) -> float | None:
        """Seconds since `at`; None when it is of another boot, or did not happen."""
        other = bool(self.observed.boot) and instance.record.boot != self.observed.boot
        return None if at is None or other else max(0.0, self.now - at)

    def is_healthy(self, instance: Instance) -> bool:
        if instance.record.state != "in_service" or reconcile.is_gone(instance):
            return False
        return self.health(instance).serves

    def did(self, instance: str = "") -> Figures:
        """How an instance did of late; without one, the service."""
        return self.figures.get(instance, UNKNOWN)

    def others(self, instance: Instance) -> list[Figures]:
        """How those did that are healthy beside `instance`."""
        return [self.did(one.record.id) for one in self.healthy if one is not instance]

    @property
    def healthy(self) -> tuple[Instance, ...]:
        return tuple(instance for instance in self.mine if self.is_healthy(instance))


def by_number(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: instance.record.number)
