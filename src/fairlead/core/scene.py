"""One service at one moment: what every sentence of an explanation may need to know.

Made by `explain`, read by it and by `answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core import reconcile
from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth, target_health
from fairlead.core.model import Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.plan import Action
from fairlead.core.steps import Step


@dataclass(frozen=True, slots=True)
class Scene:
    """mine: the service's instances. decided: the plan of that moment. earlier: steps before it, oldest first."""

    wanted: StackRecord
    observed: Observed
    now: float
    service: Service
    mine: tuple[Instance, ...]
    decided: tuple[Action, ...]
    earlier: tuple[Step, ...]

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

    @property
    def healthy(self) -> tuple[Instance, ...]:
        return tuple(instance for instance in self.mine if self.is_healthy(instance))


def by_number(instances: Sequence[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda instance: instance.record.number)
