"""Who counts: in service, getting requests, past the warm-up; and what keeps a scale-in waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.observed import Instance, StartHistory
from fairlead.core.scaling.scene import Scene, scene_of

from ..builders import (
    BOOT,
    a_deployment,
    a_revision,
    a_service,
    a_stack,
    a_wish,
    gone,
    seen,
    serving,
    starting,
    terminating,
    unhealthy,
)
from .builders import a_group_of, keep


def scene(*instances: Instance, now: float = 1000.0, warm_up: float = 10.0, known: bool = True, **fields: Any) -> Scene:
    service = a_group_of(keep(), warm_up=warm_up)
    wanted = a_wish(a_revision(a_stack(service, a_service("docs"))), **fields)
    return scene_of(wanted, seen(wanted, *instances, boot=BOOT, balancer_known=known), "web", now)


def test_those_that_serve_count() -> None:
    assert scene(serving(1), serving(2)) == Scene(counted=frozenset({"web-1", "web-2"}))


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (starting(2), {"warming": 1}),
        (serving(2, in_service_at=995.0), {"warming": 1, "ready_at": 1005.0}),
        (unhealthy(2), {"ailing": 1}),
        (gone(serving(2)), {"ailing": 1}),
        (replace(serving(2), process=None), {"ailing": 1}),
        (replace(serving(2), target=None), {"ailing": 1}),
        (serving(2, drained=True), {"drained": 1}),
        (serving(2, drained=True, standby="replaced"), {"coming": 1}),
        (serving(2, drained=True, standby="decremented"), {"coming": 1}),
        (serving(2, state="warm", pooled=True), {"coming": 1}),
        (starting(2, pooled=True), {"coming": 1}),
        (terminating(2), {"coming": 1}),
        (serving(2, state="ended"), {"coming": 1}),
        (serving(2, service="docs"), {"coming": 1}),
        (serving(2, boot="before"), {"coming": 1}),
    ],
)
def test_others_do_not(instance: Instance, expected: dict[str, Any]) -> None:
    assert scene(serving(1), instance) == Scene(counted=frozenset({"web-1"}), **expected)


def test_those_that_a_larger_size_asks_for_are_coming_unless_nobody_will_be_launched() -> None:
    assert scene().coming == 2
    assert scene(suspended={"web": ("Launch",)}).coming == 0
    wanted = a_wish(a_revision(a_stack(a_group_of(keep()))))
    fails = (StartHistory(service="web", release=1, failures=1, last_failed_at=999.0),)
    assert scene_of(wanted, seen(wanted, boot=BOOT, histories=fails), "web", 1000.0).coming == 0


def test_the_last_of_those_that_warm_up_is_waited_for() -> None:
    found = scene(serving(1, in_service_at=991.0), serving(2, in_service_at=996.0), serving(3, in_service_at=993.0))
    assert (found.warming, found.ready_at) == (3, 1006.0)


@pytest.mark.parametrize(
    ("warm_up", "age", "counts"), [(10, 10, True), (10, 9.9, False), (0, 1, True), (0, 0.9, False)]
)
def test_a_part_of_a_second_counts_for_nothing(warm_up: float, age: float, counts: bool) -> None:
    found = scene(serving(1, in_service_at=1000.0 - age), warm_up=warm_up)
    assert found.counted == (frozenset({"web-1"}) if counts else frozenset())


def test_empty_is_where_nobody_could_serve() -> None:
    assert scene().empty
    assert scene(terminating(1)).empty
    assert not scene(known=False).empty
    for one in (serving(1), starting(1), unhealthy(1)):
        assert not scene(one).empty


def test_what_a_stack_is_doing() -> None:
    assert scene(deployment=a_deployment()).deploying
    assert not scene(deployment=a_deployment(status="succeeded")).deploying
    assert not scene(known=False).known
    suspended = {"web": ("Launch", "AlarmNotification", "ScheduledActions"), "docs": ("AZRebalance",)}
    assert scene(suspended=suspended).suspended == {"AlarmNotification", "ScheduledActions"}
    assert scene(suspended={"docs": ("AlarmNotification",)}).suspended == frozenset()


def test_a_service_of_a_fixed_size_has_a_scene_too() -> None:
    wanted = a_wish(a_revision(a_stack(a_service())))
    found = scene_of(wanted, seen(wanted, serving(1), serving(2, in_service_at=999.5), boot=BOOT), "web", 1000.0)
    assert (found.counted, found.warming) == (frozenset({"web-1"}), 1)
