"""Policies, histories and decisions in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fairlead.core.model import Service
from fairlead.core.scaling.decide import Verdict, decide
from fairlead.core.scaling.group import Group, Sizes
from fairlead.core.scaling.history import History, Point
from fairlead.core.scaling.policies import (
    Policy,
    Scaling,
    ScheduledAction,
    StepAdjustment,
    StepScaling,
    TargetTracking,
)
from fairlead.core.scaling.scene import Scene
from fairlead.core.scaling.scheduled import DueAction
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond

from ..builders import a_service

BOOT, WALL = "boot-1", "2026-01-01T00:00:00Z"
FIELDS = {"requests_per_target": "requests", "cpu": "cpu", "memory": "memory", "outstanding": "outstanding"}


def keep(metric: str = "requests_per_target", value: float = 100.0, **fields: Any) -> Policy:
    """Target tracking."""
    return Policy(follows=TargetTracking(metric=metric, value=value), **fields)


def steps(
    *bounds: tuple[float | None, float | None, int],
    metric: str = "custom:queue",
    threshold: float = 50.0,
    **fields: Any,
) -> Policy:
    """Step scaling: (lower, upper, by) each. Fields are the step's or the policy's."""
    mine = {name: fields.pop(name) for name in list(fields) if name in StepScaling.__dataclass_fields__}
    made = tuple(StepAdjustment(lower=lower, upper=upper, by=by) for lower, upper, by in bounds)
    return Policy(follows=StepScaling(metric=metric, threshold=threshold, steps=made, **mine), **fields)


def a_group_of(*policies: Policy, desired: int = 2, minimum: int = 1, maximum: int = 10, **fields: Any) -> Service:
    """A service with `scaling`."""
    scaling = Scaling(policies=policies, **fields)
    return replace(a_service(), minimum=minimum, desired=desired, maximum=maximum, scaling=scaling)


def names(count: int) -> frozenset[str]:
    return frozenset(f"web-{number}" for number in range(1, count + 1))


def a_scene(counted: int = 2, **fields: Any) -> Scene:
    return Scene(counted=names(counted), **fields)


def a_second(at: int, counted: int = 2, *, custom: Mapping[str, float] | None = None, **each: Any) -> ServiceSecond:
    """Every instance has done the same; without fields nothing is known of any."""
    instances = {name: InstanceSecond(**each) for name in names(counted)} if each else {}
    return ServiceSecond(at=at, instances=instances, custom=custom or {})


def a_history(service: Service, *values: float | None, counted: int = 2, first: int = 1000) -> History:
    """One second for each value: the same for every metric that the policies follow."""
    assert service.scaling is not None
    history = History(service.scaling)
    for at, value in enumerate(values, start=first):
        history.add(_second(service.scaling, at, value, counted), names(counted))
    return history


def _second(scaling: Scaling, at: int, value: float | None, counted: int) -> ServiceSecond:
    if value is None:
        return ServiceSecond(at=at)
    metrics = [policy.metric for policy in scaling.policies]
    fields = {FIELDS[metric]: value for metric in metrics if metric in FIELDS}
    custom = {metric.removeprefix("custom:"): value for metric in metrics if metric.startswith("custom:")}
    return a_second(at, counted, custom=custom, **fields)


def points(*values: float | None, counted: int = 2) -> list[Point]:
    return [Point(value, 0 if value is None else counted) for value in values]


def asked(
    service: Service,
    history: History,
    group: Group | None = None,
    *,
    scene: Scene | None = None,
    due: Sequence[DueAction] = (),
    now: float = 5000.0,
    boot: str = BOOT,
) -> Verdict:
    """The decision, everybody being well unless `scene` says otherwise."""
    counted = group.sizes.desired if group is not None else service.desired
    return decide(service, group, history, scene or a_scene(counted), due, now, boot, WALL)


def kept_at(service: Service, desired: int, **fields: Any) -> Group:
    """The group of `service`, at another size."""
    sizes = Sizes(minimum=service.minimum, desired=desired, maximum=service.maximum)
    return Group(**({"sizes": sizes, "declared": service.sizes, "boot": BOOT} | fields))


def an_action(name: str = "morning", *, late: float = 0.0, **sizes: int | None) -> DueAction:
    action = ScheduledAction(name=name, cron="0 8 * * *", **sizes)
    return DueAction(action=action, scheduled_for="2026-01-01T08:00:00Z", late=late)
