"""The warm pool of a group: who comes into it, who is let in, who goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core import pool
from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import Instance, StartHistory
from fairlead.core.plan import Action, Admit, Drain, Launch, Plan, Pool, Register, Retire, Sever, Warm
from fairlead.core.processes import Process
from fairlead.core.reconcile import decide

from .builders import (
    PASSED,
    REFUSED,
    SAYS_503,
    a_deployment,
    a_group,
    a_revision,
    a_stack,
    a_target,
    a_wish,
    gone,
    seen,
    serving,
    starting,
    unhealthy,
    warm,
)

NOW = 500.0


def a_pool(**fields: Any) -> Service:
    return a_group(**({"desired": 2, "maximum": 4, "warm_pool": 1} | fields))


def wish(group: Service | None = None, zones: tuple[str, ...] = ("a",), **fields: Any) -> StackRecord:
    return a_wish(a_revision(a_stack(group or a_pool(), zones=zones)), **fields)


def plan_for(wanted: StackRecord, *instances: Instance, **fields: Any) -> Plan:
    return decide(wanted, seen(wanted, *instances, **fields), NOW)


def acts(plan: Plan) -> list[tuple[type[Action], str]]:
    return [(type(action), getattr(action, "instance", "")) for action in plan.actions]


def on_the_way(number: int, **fields: Any) -> Instance:
    instance = starting(number, **({"pooled": True, "launched_at": NOW - 1} | fields))
    return replace(instance, target=a_target(number, mode="warm", up=False, check=instance.target.check))  # type: ignore[union-attr]


PASSING = on_the_way(3, check=PASSED)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1),
        ({"warm_pool": 3}, 2),
        ({"desired": 4}, 0),
        ({"warm_pool": 0}, 0),
        ({"serves": False}, 0),
        ({"desired": 0, "minimum": 0, "warm_pool": 9}, 4),
    ],
)
def test_it_is_as_large_as_asked_for_or_as_the_maximum_leaves_room(fields: dict[str, Any], expected: int) -> None:
    assert pool.size(a_pool(**fields)) == expected


def test_a_fixed_size_has_none() -> None:
    assert pool.size(replace(a_pool(), scaling=None)) == 0


# Filling


def test_a_whole_group_fills_it_in_the_emptiest_zone() -> None:
    both = serving(1, zone="a"), serving(2, zone="b")
    (first, second) = plan_for(wish(a_pool(warm_pool=2), ("a", "b")), *both).actions
    assert isinstance(first, Launch)
    assert isinstance(second, Launch)
    assert (first.pooled, first.zone, second.zone) == (True, "a", "b")
    assert [first.reason, second.reason] == ["the warm pool holds 0 of 2", "the warm pool holds 1 of 2"]


@pytest.mark.parametrize(
    "others",
    [
        (serving(1),),
        (serving(1), starting(2, launched_at=NOW - 1)),
        (serving(1), unhealthy(2, since=1.0)),
        (serving(1), serving(2, condemned="a test")),
    ],
)
def test_it_is_not_filled_while_the_group_is_not_whole(others: tuple[Instance, ...]) -> None:
    launched = [one for one in plan_for(wish(), *others).actions if isinstance(one, Launch)]
    assert not any(one.pooled for one in launched)


def test_nor_while_a_deployment_runs_nor_while_launch_is_suspended() -> None:
    deploying = wish(a_pool(), previous=a_revision(a_stack(a_pool())), deployment=a_deployment())
    assert not [one for one in plan_for(deploying, serving(1), serving(2)).actions if isinstance(one, Launch)]
    assert plan_for(wish(suspended={"web": ("Launch",)}), serving(1), serving(2)).actions == ()


def test_one_that_never_comes_up_counts_for_the_back_off() -> None:
    failed = StartHistory(service="web", release=1, failures=2, last_failed_at=NOW - 1)
    plan = plan_for(wish(a_pool(warm_pool=2)), serving(1), serving(2), histories=(failed,))
    assert (plan.actions, plan.wake_at) == ((), NOW + 1)
    hopeless = on_the_way(3, launched_at=NOW - 31)
    (retired,) = [one for one in plan_for(wish(), serving(1), serving(2), hopeless).actions if isinstance(one, Retire)]
    assert (retired.instance, retired.failed_start) == ("web-3", True)
    dead = plan_for(wish(), serving(1), serving(2), gone(on_the_way(3)))
    assert [one.failed_start for one in dead.actions if isinstance(one, Retire)] == [True]


# Ready


def test_its_first_passed_check_makes_it_warm() -> None:
    assert acts(plan_for(wish(), serving(1), serving(2), PASSING)) == [(Warm, "web-3")]
    assert plan_for(wish(), serving(1), serving(2), on_the_way(3)).actions == ()


def test_one_that_nothing_checks_is_warm_when_it_has_run_a_second() -> None:
    group = a_pool(enabled=False)
    young = replace(on_the_way(3, check=None), target=a_target(3, mode="warm", up=False, check=None))
    early = plan_for(wish(group), serving(1), serving(2), replace(young, record=replace(young.record, launched_at=NOW)))
    assert (early.actions, early.wake_at) == ((), NOW + 1)
    assert acts(plan_for(wish(group), serving(1), serving(2), young)) == [(Warm, "web-3")]


# Needed


def test_what_is_missing_comes_from_it_before_anything_is_started() -> None:
    plan = plan_for(wish(a_pool(desired=3)), serving(1), serving(2), warm(3))
    (admitted,) = plan.actions
    assert isinstance(admitted, Admit)
    assert admitted.reason == (
        "from the warm pool; a difference between desired and actual capacity: from 2 to 3, desired 3"
    )


def test_what_the_pool_does_not_have_is_started() -> None:
    plan = plan_for(wish(a_pool(desired=4)), serving(1), serving(2), warm(3))
    assert acts(plan) == [(Admit, "web-3"), (Launch, "web-4")]
    assert not plan.actions[1].pooled  # type: ignore[union-attr]


def test_the_place_of_one_that_died_is_taken_at_once() -> None:
    plan = plan_for(wish(), gone(serving(1)), serving(2), warm(3))
    (admitted,) = [one for one in plan.actions if isinstance(one, Admit)]
    assert admitted.reason == "from the warm pool; replaces: web-1 killed by SIGKILL"
    assert not [one for one in plan.actions if isinstance(one, Launch)]


def test_one_on_its_way_there_is_waited_for_and_let_in_at_its_first_passed_check() -> None:
    group = wish(a_pool(desired=3))
    assert plan_for(group, serving(1), serving(2), on_the_way(3)).actions == ()
    assert acts(plan_for(group, serving(1), serving(2), PASSING)) == [(Admit, "web-3")]


def test_the_one_in_the_emptiest_zone_is_let_in() -> None:
    group = wish(a_pool(desired=3, maximum=5, warm_pool=2), ("a", "b"))
    plan = plan_for(group, serving(1, zone="a"), serving(2, zone="a"), warm(3, zone="a"), warm(4, zone="b"))
    assert acts(plan) == [(Admit, "web-4")]


@pytest.mark.parametrize(
    "unfit",
    [
        warm(3, check=SAYS_503),
        warm(3, release=7),
        warm(3, condemned="a test"),
        replace(warm(3), process=Process(alive=True, pid=3, frozen=True)),
        replace(warm(3), target=None),
    ],
)
def test_one_that_would_not_answer_is_not_let_in(unfit: Instance) -> None:
    plan = plan_for(wish(a_pool(desired=3)), serving(1), serving(2), unfit)
    assert not [one for one in plan.actions if isinstance(one, Admit)]
    assert [one.instance for one in plan.actions if isinstance(one, Launch)] == ["web-4"]


def test_at_the_maximum_one_that_would_not_answer_makes_room() -> None:
    full = wish(a_pool(desired=4))
    lacking = serving(1), serving(2), serving(3), warm(4, check=SAYS_503)
    assert acts(plan_for(full, *lacking)) == [(Retire, "web-4")]
    assert plan_for(replace(full, suspended={"web": ("Launch",)}), *lacking).actions == ()


def test_while_launch_is_suspended_it_is_kept_for_what_is_missing() -> None:
    suspended = wish(a_pool(desired=4), suspended={"web": ("Launch",)})
    assert plan_for(suspended, serving(1), serving(2), serving(3), warm(4)).actions == ()


# Returning


def test_a_scale_in_returns_what_serves_as_far_as_there_is_room() -> None:
    group = wish(a_pool(desired=1, reuse_on_scale_in=True, warm_pool=2))
    plan = plan_for(group, serving(1), serving(2), serving(3), warm(4))
    assert acts(plan) == [(Pool, "web-3"), (Retire, "web-2")]


def test_what_served_takes_the_place_of_what_still_starts() -> None:
    group = wish(a_pool(desired=1, reuse_on_scale_in=True))
    assert acts(plan_for(group, serving(1), serving(2), on_the_way(3))) == [(Pool, "web-2")]
    after = plan_for(group, serving(1), warm(2, in_service_at=1.0), on_the_way(3))
    assert acts(after) == [(Retire, "web-3")]


def test_one_that_serves_nobody_is_ended_and_not_kept() -> None:
    group = wish(a_pool(desired=1, reuse_on_scale_in=True))
    plan = plan_for(group, serving(1), unhealthy(2, since=NOW, launched_at=NOW - 5))
    assert acts(plan) == [(Retire, "web-2")]


def test_without_reuse_they_are_ended() -> None:
    assert acts(plan_for(wish(a_pool(desired=1)), serving(1), serving(2), warm(3))) == [(Retire, "web-2")]


def returned(number: int, *, sessions: int, warm_at: float) -> Instance:
    instance = warm(number, in_service_at=1.0, warm_at=warm_at)
    return replace(instance, target=a_target(number, mode="draining", up=False, sessions=sessions))


def test_what_is_inside_it_then_has_the_deregistration_delay() -> None:
    group = wish(a_pool(deregistration_delay=20.0))
    before = plan_for(group, serving(1), serving(2), returned(3, sessions=2, warm_at=NOW - 19))
    assert (before.actions, before.wake_at) == ((), NOW + 1)
    assert acts(plan_for(group, serving(1), serving(2), returned(3, sessions=2, warm_at=NOW - 20))) == [
        (Sever, "web-3")
    ]
    assert plan_for(group, serving(1), serving(2), returned(3, sessions=0, warm_at=NOW - 20)).actions == ()


def test_a_return_that_the_balancer_was_not_told_is_told_again_unless_it_is_needed() -> None:
    untold = replace(warm(3, in_service_at=1.0), target=a_target(3))
    assert acts(plan_for(wish(), serving(1), serving(2), untold)) == [(Drain, "web-3")]
    assert acts(plan_for(wish(a_pool(desired=3)), serving(1), serving(2), untold)) == [(Admit, "web-3")]


def test_one_that_was_let_in_and_the_balancer_was_not_told_is_told_again() -> None:
    untold = replace(serving(2), target=a_target(2, mode="warm", up=False))
    assert acts(plan_for(wish(a_pool(warm_pool=0)), serving(1), untold)) == [(Admit, "web-2")]


def test_one_that_the_balancer_lacks_is_registered() -> None:
    lost = replace(warm(3), target=None)
    assert acts(plan_for(wish(), serving(1), serving(2), lost)) == [(Register, "web-3")]


# Leaving


def test_of_another_release_or_beyond_its_size_it_goes_at_once() -> None:
    assert acts(plan_for(wish(), serving(1), serving(2), warm(3, release=7))) == [(Launch, "web-4"), (Retire, "web-3")]
    assert acts(plan_for(wish(), serving(1), serving(2), warm(3), warm(4))) == [(Retire, "web-4")]
    fixed = replace(a_pool(), scaling=None, minimum=2, maximum=2)
    assert acts(plan_for(wish(fixed), serving(1), serving(2), warm(3))) == [(Retire, "web-3")]


def test_one_that_falls_ill_has_the_time_that_a_new_target_has() -> None:
    group = wish(a_pool(interval=5.0, unhealthy_threshold=2))
    ill = replace(warm(3, check=REFUSED), unhealthy_at=NOW - 9)
    waits = plan_for(group, serving(1), serving(2), ill)
    assert (waits.actions, waits.wake_at) == ((), NOW + 1)
    over = replace(ill, unhealthy_at=NOW - 10)
    assert (Retire, "web-3") in acts(plan_for(group, serving(1), serving(2), over))
    kept = wish(a_pool(interval=5.0, unhealthy_threshold=2, replace_unhealthy=False))
    assert plan_for(kept, serving(1), serving(2), over).actions == ()


def test_it_goes_with_its_stack_and_with_its_service() -> None:
    down = wish(wanted="down")
    assert acts(plan_for(down, warm(3)))[-1] == (Retire, "web-3")
    other = a_wish(a_revision(a_stack(a_group("api", desired=1, maximum=1))))
    assert (Retire, "web-3") in acts(plan_for(other, serving(1, service="api"), warm(3)))


def test_while_a_release_is_prepared_the_pool_of_the_one_that_serves_helps_out() -> None:
    before = a_revision(a_stack(a_pool()))
    after = a_revision(a_stack(a_pool()), web=2)
    prepared = replace(after.releases["web"], before_traffic=("migrate",))
    wanted = a_wish(replace(after, releases={"web": prepared}), previous=before, deployment=a_deployment())
    plan = plan_for(wanted, gone(serving(1)), serving(2), warm(3))
    assert (Admit, "web-3") in acts(plan)
    assert not [one for one in plan.actions if isinstance(one, Launch)]
