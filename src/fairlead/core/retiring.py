"""Which instances of a service have to go, or to wait, now.

In: the service, its census, and whether it is deployed, may launch and may retire. Out: retirements with reasons, and
returns to the warm pool. The law is add before remove: an instance that serves goes only while enough others serve
(`Bounds`). While nobody may be launched no place is made, so who serves nobody stays too: it may still come up.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core import pool
from fairlead.core.capacity import Bounds, bounds_of
from fairlead.core.census import Census, serving
from fairlead.core.model import Service
from fairlead.core.observed import Instance
from fairlead.core.placement import choose_to_terminate
from fairlead.core.plan import Action, Pool, Retire
from fairlead.core.scaling.policies import TerminationPolicy


def retirements(service: Service, census: Census, *, deploying: bool, launching: bool = True) -> tuple[Action, ...]:
    """Who has to go now. A deployment gives up as a whole on hopeless ones, so then they are left alone."""
    going = _Going(service, census, bounds_of(service, launching=launching), launching)
    made: list[Action] = []
    if not deploying and launching:
        made += hopeless(service, census.hopeless)
    made += going.sick()
    made += going.condemned()
    made += going.surplus(may_pool=not deploying)
    made += going.old()
    made += (
        Retire(instance=one.record.id, reason=one.record.condemned) for one in census.standby if one.record.condemned
    )
    return tuple(made)


def hopeless(service: Service, instances: Sequence[Instance]) -> list[Action]:
    """Those that never came up, and count for the back-off."""
    why = f"passed no health check within its grace period of {service.health_check.grace_period:g} s"
    return [Retire(instance=one.record.id, reason=why, failed_start=True) for one in instances]


class _Going:
    """One service's decision about who goes."""

    def __init__(self, service: Service, census: Census, bounds: Bounds, launching: bool) -> None:
        self._service, self._census, self._bounds, self._launching = service, census, bounds, launching
        self._sound = [instance for instance in census.current if serving(instance)]
        self._living = census.everyone
        self._policy: TerminationPolicy = service.scaling.termination_policy if service.scaling else "default"

    def sick(self) -> list[Action]:
        """A frozen one serves nobody and goes at once; another goes when a healthy one stands in for it."""
        sick = self._census.sick
        frozen = [one for one in sick if self._launching and one.process and one.process.frozen]
        made: list[Action] = [Retire(instance=one.record.id, reason="it is frozen and unhealthy") for one in frozen]
        rest = [one for one in sick if one not in frozen]
        for one in self._choose(rest, len(self._sound) + len(rest) - self._bounds.stand_ins):
            made.append(Retire(instance=one.record.id, reason="unhealthy, and replaced"))
        return made

    def condemned(self) -> list[Action]:
        """They go as far as others stand in for them; at once those that serve nobody, and those of whom that was
        asked."""
        made: list[Action] = []
        rest = []
        for one in self._census.condemned:
            if one.record.at_once or (self._launching and not serving(one)):
                made.append(Retire(instance=one.record.id, reason=one.record.condemned))
            else:
                rest.append(one)
        for one in self._choose(rest, len(self._sound) + len(rest) - self._bounds.stand_ins):
            made.append(Retire(instance=one.record.id, reason=one.record.condemned))
        return made

    def surplus(self, *, may_pool: bool) -> list[Action]:
        """The group shrinks. What serves may return to the warm pool, as far as that has room."""
        service, current = self._service, self._census.current
        candidates = [one for one in current if not one.record.protected]
        chosen = self._choose(candidates, len(current) - service.desired)
        free = pool.room(service, self._census) if may_pool else 0
        made: list[Action] = []
        for one in chosen:
            if free > 0 and serving(one):
                free -= 1
                made.append(Pool(instance=one.record.id, reason=f"desired is {service.desired}"))
            else:
                made.append(Retire(instance=one.record.id, reason=f"desired is {service.desired}"))
        return made

    def old(self) -> list[Action]:
        """Instances of other releases: those that never served go at once, as do those of whom that was asked, the
        others as far as others stand in for them, the unhealthy first. (Unhealthy may only mean that it lacks the new
        release's health check path; while the new one does not serve, it is what there is to go back to.)"""
        made: list[Action] = []
        admitted = []
        for one in self._census.old:
            if one.record.at_once:
                made.append(Retire(instance=one.record.id, reason=one.record.condemned))
            elif one.record.state == "pending":
                made.append(Retire(instance=one.record.id, reason="another release is wanted, and it serves nobody"))
            else:
                admitted.append(one)
        sound = len(self._sound)
        standing = sound + sum(1 for one in self._census.condemned if serving(one))
        newer = "a newer one serves" if sound == 1 else f"{sound} newer ones serve"
        why = f"its place is taken: {newer}" if sound else f"desired is {self._service.desired}"
        if not sound and self._bounds.least < self._service.desired and self._bounds.most == self._service.maximum:
            why = f"it makes room for its replacement: max is {self._service.maximum}"
        for one in self._choose(admitted, standing + len(admitted) - self._bounds.least):
            made.append(Retire(instance=one.record.id, reason=why))
        return made

    def _choose(self, candidates: Sequence[Instance], count: int) -> tuple[Instance, ...]:
        return choose_to_terminate(candidates, count, self._policy, self._living)
