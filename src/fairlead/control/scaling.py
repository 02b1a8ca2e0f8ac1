"""Auto scaling of all stacks: once a second, what was measured and the clock are made into desired capacities.

In: what the stacks' loops saw last, and the meter's finished seconds. Out: changed records in the store, each with a
decision in the journal and an event; the stack's loop then leads there. The law: a decision is written before it is
told, from the record of that moment, and whatever is wrong with one service keeps no other from being scaled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fairlead.control import schedule
from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.ports import Meter
from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import Observed
from fairlead.core.plan import Plan, Resize
from fairlead.core.scaling.decide import Verdict, decide
from fairlead.core.scaling.group import Group, kept
from fairlead.core.scaling.history import History
from fairlead.core.scaling.policies import Scaling
from fairlead.core.scaling.proposals import Proposal
from fairlead.core.scaling.scene import Scene, scene_of
from fairlead.core.scaling.scheduled import DueAction
from fairlead.core.scaling.seconds import ServiceSecond
from fairlead.core.scaling.shown import ScalingShown, ScheduleShown, shown
from fairlead.errors import StoreError
from fairlead.store.database import Store

log = logging.getLogger("fairlead")

STALE = 3
"""Seconds without a finished one after which a metric is unknown."""


@dataclass(slots=True)
class _Watched:
    """What is remembered of a service between two looks; all of it may be lost."""

    scaling: Scaling
    history: History
    after: int
    """The last second that was added, in seconds since 1970."""
    verdict: Verdict | None = None
    problem: str = ""
    unreadable: set[str] = field(default_factory=set)


class Autoscaler:
    """Of one daemon. meter: None where nothing is measured; then only schedules act. wake: makes a stack's loop look
    now."""

    def __init__(
        self, store: Store, journal: Journal, clock: Clock, meter: Meter | None, wake: Callable[[str], None]
    ) -> None:
        self._store, self._journal, self._clock, self._meter, self._wake = store, journal, clock, meter, wake
        self._watched: dict[tuple[str, str], _Watched] = {}

    def consider(self, seen: Iterable[tuple[StackRecord, Observed]]) -> None:
        """Look at every scaled service, and change what has to be changed. Raises nothing."""
        present = set()
        for then, observed in seen:
            if not any(service.scaling for service in then.desired.stack.services):
                continue
            try:
                record = self._store.stack(then.name)
            except StoreError:
                record = then  # each of its services reads it again, and tells what is wrong
            if record is None or record.wanted == "down":
                continue
            for service in record.desired.stack.services:
                if service.scaling is not None:
                    present.add((record.name, service.name))
                    self._consider(record.name, service, service.scaling, observed)
        for key in self._watched.keys() - present:
            del self._watched[key]

    def shown(self, record: StackRecord, observed: Observed, name: str) -> ScalingShown | None:
        """A service's scaling as people see it; None: it has a fixed size, or is no longer wanted."""
        service = next((one for one in record.desired.stack.services if one.name == name), None)
        if service is None or service.scaling is None:
            return None
        watched = self._watched.get((record.name, service.name))
        verdict = watched.verdict if watched and watched.scaling == service.scaling else None
        mine = [one.record for one in observed.instances if one.record.service == service.name and one.record.pooled]
        return shown(
            service,
            record.groups.get(service.name),
            proposals=verdict.proposals if verdict else _unjudged(service.scaling),
            held=verdict.reasons[-1] if verdict and verdict.reasons and not verdict.cause else "",
            schedule=self._schedule(service.scaling),
            warm=(
                sum(one.state == "warm" for one in mine),
                sum(one.state == "pending" for one in mine),
            ),
        )

    def _schedule(self, scaling: Scaling) -> list[ScheduleShown]:
        found = []
        for action in scaling.schedule:
            try:
                coming = schedule.next_time(action, self._clock.wall())
            except ValueError:
                coming = None
            sizes = (("min", action.minimum), ("desired", action.desired), ("max", action.maximum))
            text = ", ".join(f"{name} {value}" for name, value in sizes if value is not None)
            found.append(ScheduleShown(name=action.name, next=coming, text=text))
        return found

    def _consider(self, stack: str, service: Service, scaling: Scaling, observed: Observed) -> None:
        wall = _seconds(self._clock.wall())
        watched = self._watched.get((stack, service.name))
        if watched is None or watched.scaling != scaling:
            watched = self._watched[stack, service.name] = _Watched(scaling, History(scaling), int(wall) - 2)
        try:
            self._judge(stack, service, watched, observed, wall)
            watched.problem = ""
        except Exception as error:
            self._tell(stack, service.name, watched, error)

    def _judge(self, stack: str, service: Service, watched: _Watched, observed: Observed, wall: float) -> None:
        # Read for each service: the one before may just have changed it.
        record = self._store.stack(stack)
        if record is None or record.wanted == "down":
            return
        now = self._clock.now()
        scene = scene_of(record, observed, service.name, now)
        fresh = self._add_seconds(stack, service.name, watched, scene, int(wall))
        group = record.groups.get(service.name)
        due, handled = self._due(stack, watched, service, group)
        gone = _left_the_file(record, service, group)
        if not (fresh or due or handled or gone):
            return
        verdict = decide(service, group, watched.history, scene, due, now, self._clock.boot, self._clock.wall())
        if not due:
            watched.verdict = verdict
        changed = verdict.group
        if handled or gone:
            base = changed or kept(service.sizes, group, self._clock.boot)
            known = {**base.handled, **handled}
            changed = replace(base, handled={name: last for name, last in known.items() if name not in gone})
        if changed is not None:
            self._keep(record, service, observed, watched, scene, verdict, changed, now)

    def _keep(
        self,
        record: StackRecord,
        service: Service,
        observed: Observed,
        watched: _Watched,
        scene: Scene,
        verdict: Verdict,
        group: Group,
        now: float,
    ) -> None:
        name = service.name
        self._store.save_stack(replace(record, groups={**record.groups, name: group}))
        if verdict.desired != verdict.before:
            resize = Resize(service=name, before=verdict.before, desired=verdict.desired, reason=verdict.cause)
            saw = _saw(service, watched, scene)
            self._journal.decision(record, observed, Plan(actions=(resize,)), now, scaling=saw)
        for text in verdict.scheduled:
            self._journal.event(record.name, "schedule", f"{name}: {text}", service=name)
        if verdict.desired != verdict.before:
            self._journal.event(record.name, "scaled", f"{name}: {verdict.cause}", service=name)
        self._wake(record.name)

    def _add_seconds(self, stack: str, service: str, watched: _Watched, scene: Scene, wall: int) -> bool:
        """Whether there was a new one, if only one of which nothing is known."""
        if self._meter is None or not watched.scaling.policies:
            return False
        if watched.after > wall:
            watched.after = wall - 2  # the clock was set back
        seconds = self._meter.seconds(stack, service, watched.after)
        if not seconds and wall - 1 - watched.after > STALE:
            seconds = (ServiceSecond(at=wall - 2),)
        for second in seconds:
            watched.history.add(second, scene.counted, empty=scene.empty, settled=not scene.warming)
            watched.after = second.at
        return bool(seconds)

    def _due(
        self, stack: str, watched: _Watched, service: Service, group: Group | None
    ) -> tuple[Sequence[DueAction], dict[str, tuple[str, str]]]:
        """The scheduled actions whose time has come, in the order of their times, and what has been dealt with now. One
        that is seen for the first time begins with the next of its times; what passed while the daemon was away is
        made up for, since its sizes would hold now."""
        assert service.scaling is not None
        known, wall = group.handled if group is not None else {}, self._clock.wall()
        found: list[DueAction] = []
        handled: dict[str, tuple[str, str]] = {}
        for action in service.scaling.schedule:
            mine, before = schedule.schedule_of(action), known.get(action.name)
            try:
                if before is None or before[0] != mine or schedule.begins_anew(before[1], wall):
                    handled[action.name] = (mine, wall)
                elif (due := schedule.due(action, before[1], wall)) is not None:
                    handled[action.name] = (mine, due.scheduled_for)
                    found.append(DueAction(action=action, scheduled_for=due.scheduled_for, late=due.late))
            except ValueError as problem:  # a time zone whose rules have left the machine, for example
                if action.name not in watched.unreadable:
                    watched.unreadable.add(action.name)
                    text = f"the schedule of {service.name}'s action {action.name} cannot be read: {problem}"
                    self._journal.event(stack, "problem", text, service=service.name)
        return sorted(found, key=lambda one: one.scheduled_for), handled

    def _tell(self, stack: str, service: str, watched: _Watched, error: Exception) -> None:
        """Once for each new error: it is tried again a second later."""
        text = f"{service} cannot be scaled: {error if isinstance(error, StoreError) else repr(error)}"
        if text != watched.problem:
            watched.problem = text
            if not isinstance(error, StoreError):
                log.exception("%s: scaling of %s", stack, service)
            self._journal.event(stack, "problem", text, service=service)


def _unjudged(scaling: Scaling) -> tuple[Proposal, ...]:
    """In the first seconds nothing is known of any policy's metric."""
    return tuple(Proposal(policy=policy, wants="unknown") for policy in scaling.policies)


def _left_the_file(record: StackRecord, service: Service, group: Group | None) -> frozenset[str]:
    """Scheduled actions that are kept and no longer asked for: one that comes back begins with its next time. While a
    deployment runs they are kept, since it may go back to them."""
    if group is None or service.scaling is None or record.under_way is not None:
        return frozenset()
    return frozenset(group.handled.keys() - {action.name for action in service.scaling.schedule})


def _saw(service: Service, watched: _Watched, scene: Scene) -> dict[str, object]:
    """What a decision was made of, for the journal."""
    assert service.scaling is not None
    points = {
        policy.name: [[point.value, point.counted] for point in watched.history.points(policy)]
        for policy in service.scaling.policies
    }
    return {
        "service": service.name,
        "points": points,
        "counted": sorted(scene.counted),
        "warming": scene.warming,
        "ailing": scene.ailing,
    }


def _seconds(wall: str) -> float:
    return datetime.fromisoformat(wall).timestamp()
