"""A group's rules, one by one: its maximum, its zones, standby, protection, suspended processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.awaited import awaited
from fairlead.core.capacity import Bounds, bounds_of
from fairlead.core.desired import StackRecord
from fairlead.core.health import fails, target_health
from fairlead.core.model import Service
from fairlead.core.observed import Instance
from fairlead.core.plan import Action, Admit, Condemn, End, Launch, MarkDown, Plan, Pool, Resize, Retire, Succeed, Warm
from fairlead.core.reconcile import decide
from fairlead.core.steps import steps_of
from fairlead.core.suspension import AZ_REBALANCE, LAUNCH, REPLACE_UNHEALTHY, TERMINATE
from fairlead.core.traffic import TargetReport

from .builders import (
    SAYS_503,
    a_deployment,
    a_group,
    a_revision,
    a_service,
    a_stack,
    a_target,
    a_wish,
    gone,
    seen,
    serving,
    starting,
    terminating,
    unhealthy,
    warm,
)

NOW = 500.0


def wish(group: Service | None = None, zones: tuple[str, ...] = ("a",), **fields: Any) -> StackRecord:
    return a_wish(a_revision(a_stack(group or a_group(), zones=zones)), **fields)


def deploying(group: Service | None = None, **fields: Any) -> StackRecord:
    stack = a_stack(group or a_group())
    return a_wish(a_revision(stack, web=2), previous=a_revision(stack), deployment=a_deployment(), **fields)


def plan_for(wanted: StackRecord, *instances: Instance, **fields: Any) -> Plan:
    return decide(wanted, seen(wanted, *instances, **fields), NOW)


def acts(plan: Plan) -> list[tuple[type[Action], str]]:
    return [(type(action), getattr(action, "instance", "")) for action in plan.actions]


def waits_of(wanted: StackRecord, *instances: Instance) -> str:
    service = wanted.sized(wanted.desired.stack.services[0])
    return "\n".join(awaited(wanted, seen(wanted, *instances), NOW, service, instances))


# The maximum


@pytest.mark.parametrize(
    ("sizes", "percents", "expected"),
    [
        ((2, 4), (100, 200), Bounds(least=2, most=4, stand_ins=2)),
        ((3, 4), (100, 200), Bounds(least=3, most=4, stand_ins=3)),
        ((4, 4), (100, 200), Bounds(least=3, most=4, stand_ins=3)),
        ((4, 4), (50, 150), Bounds(least=2, most=4, stand_ins=2)),
        ((2, 2), (100, 200), Bounds(least=1, most=2, stand_ins=1)),
        ((1, 1), (100, 200), Bounds(least=1, most=2, stand_ins=1)),
        ((1, 1), (0, 100), Bounds(least=0, most=1, stand_ins=0)),
        ((0, 4), (100, 200), Bounds(least=0, most=0, stand_ins=0)),
        ((2, 9), (100, 100), Bounds(least=2, most=3, stand_ins=2)),
    ],
)
def test_a_group_is_replaced_within_its_maximum(
    sizes: tuple[int, int], percents: tuple[int, int], expected: Bounds
) -> None:
    group = a_group(minimum=0, desired=sizes[0], maximum=sizes[1], min_healthy=percents[0], max_healthy=percents[1])
    assert bounds_of(group) == expected


def test_a_fixed_size_is_replaced_beside_itself() -> None:
    assert bounds_of(a_service(instances=4)) == Bounds(least=4, most=8, stand_ins=4)


def test_while_nobody_may_be_launched_nobody_makes_room() -> None:
    assert bounds_of(a_group(desired=4, maximum=4), launching=False).stand_ins == 4


def test_at_the_maximum_one_is_taken_out_before_the_next_is_started() -> None:
    wanted = deploying(a_group(desired=2, maximum=2))
    assert acts(plan_for(wanted, serving(1), serving(2))) == [(Retire, "web-2")]
    assert acts(plan_for(wanted, serving(1), terminating(2, sessions=1))) == [(Launch, "web-3")]
    assert plan_for(wanted, serving(1), starting(3, release=2, launched_at=NOW - 1)).actions == ()
    assert acts(plan_for(wanted, serving(1), serving(3, release=2))) == [(Retire, "web-1")]


def test_below_the_maximum_one_is_added_first() -> None:
    wanted = deploying(a_group(desired=2, maximum=3))
    assert acts(plan_for(wanted, serving(1), serving(2))) == [(Launch, "web-3")]
    assert acts(plan_for(wanted, serving(1), serving(2), serving(3, release=2))) == [(Retire, "web-2")]


def test_the_only_one_is_replaced_beside_itself() -> None:
    wanted = deploying(a_group(desired=1, maximum=1))
    assert acts(plan_for(wanted, serving(1))) == [(Launch, "web-2")]


def test_at_the_maximum_an_unhealthy_one_and_a_condemned_one_make_room() -> None:
    wanted = wish(a_group(desired=2, maximum=2))
    assert acts(plan_for(wanted, serving(1), unhealthy(2))) == [(Retire, "web-2")]
    assert acts(plan_for(wanted, serving(1), serving(2, condemned="a test"))) == [(Retire, "web-2")]
    both = serving(1, condemned="a test"), serving(2, condemned="a test")
    assert acts(plan_for(wanted, *both)) == [(Retire, "web-2")], "one at a time"


# Zones


def test_a_zone_that_has_two_more_gives_one() -> None:
    three = serving(1, zone="a"), serving(2, zone="a"), serving(3, zone="a")
    (condemned,) = plan_for(wish(a_group(desired=4, maximum=5), ("a", "b")), *three, serving(4, zone="b")).actions
    assert condemned == Condemn(instance="web-3", reason="zone a has 3 instances and zone b 1: rebalanced")


def test_its_replacement_comes_up_in_the_emptiest_zone_first() -> None:
    wanted = wish(a_group(desired=4, maximum=5), ("a", "b"))
    others = serving(1, zone="a"), serving(2, zone="a"), serving(4, zone="b")
    leaving = serving(3, zone="a", condemned="zone a has 3 instances and zone b 1: rebalanced")
    (launched,) = plan_for(wanted, *others, leaving).actions
    assert isinstance(launched, Launch)
    assert launched.zone == "b"
    assert launched.reason == "replaces: web-3: zone a has 3 instances and zone b 1: rebalanced"
    assert acts(plan_for(wanted, *others, leaving, serving(5, zone="b"))) == [(Retire, "web-3")]


UNEVEN = serving(1, zone="a"), serving(2, zone="a"), serving(3, zone="a"), serving(4, zone="b")


@pytest.mark.parametrize(
    "wanted",
    [
        wish(a_group(desired=4, maximum=4), ("a", "b")),
        wish(a_group(desired=4, maximum=5), ("a", "b"), suspended={"web": (AZ_REBALANCE,)}),
        wish(a_group(desired=4, maximum=5), ("a", "b"), suspended={"web": (LAUNCH,)}),
        wish(a_group(desired=4, maximum=5), ("a", "b"), suspended={"web": (TERMINATE,)}),
        wish(a_group(desired=4, maximum=5)),
    ],
)
def test_zones_stay_as_they_are(wanted: StackRecord) -> None:
    assert plan_for(wanted, *UNEVEN).actions == ()


def test_zones_stay_as_they_are_while_the_group_is_not_whole_or_all_are_protected() -> None:
    wanted = wish(a_group(desired=4, maximum=5), ("a", "b"))
    ill = replace(UNEVEN[3], target=a_target(4, up=False), unhealthy_at=NOW)
    assert not [one for one in plan_for(wanted, *UNEVEN[:3], ill).actions if isinstance(one, Condemn)]
    held = [replace(one, record=replace(one.record, protected=True)) for one in UNEVEN]
    assert plan_for(wanted, *held).actions == ()


def test_a_warm_one_of_the_fuller_zone_mends_nothing() -> None:
    wanted = wish(a_group(desired=4, maximum=5, warm_pool=1), ("a", "b"))
    assert plan_for(wanted, *UNEVEN, warm(5, zone="a")).actions == ()
    assert acts(plan_for(wanted, *UNEVEN, warm(5, zone="b"))) == [(Condemn, "web-3")]


def test_the_policy_chooses_who_moves_and_who_goes() -> None:
    group = a_group(desired=4, maximum=5, termination_policy="oldest_instance")
    assert acts(plan_for(wish(group, ("a", "b")), *UNEVEN)) == [(Condemn, "web-1")]
    assert acts(plan_for(wish(replace(group, desired=3)), *UNEVEN)) == [(Retire, "web-1")]


# Standby and protection


def aside(number: int, standby: str = "replaced", **fields: Any) -> Instance:
    instance = serving(number, drained=True, drained_at=1.0, standby=standby, **fields)
    return replace(instance, target=a_target(number, mode="draining", up=False))


def test_one_on_standby_is_no_capacity_and_is_left_alone() -> None:
    assert acts(plan_for(wish(), serving(1), aside(2))) == [(Launch, "web-3")]
    assert plan_for(wish(), serving(1), serving(3), aside(2)).actions == ()
    assert plan_for(wish(a_group(max_lifetime=10.0)), aside(2)).actions != ()
    ill = replace(aside(2, release=7), unhealthy_at=1.0)
    assert plan_for(wish(), serving(1), serving(3), ill).actions == ()


def test_a_deployment_ends_beside_one_on_standby() -> None:
    wanted = deploying()
    assert [type(one) for one in plan_for(wanted, serving(3, release=2), serving(4, release=2), aside(1)).actions] == [
        Succeed
    ]


def test_it_goes_when_it_dies_when_it_is_terminated_and_when_its_stack_does() -> None:
    both = serving(1), serving(3)
    assert acts(plan_for(wish(), *both, gone(aside(2)))) == [(MarkDown, "web-2"), (Retire, "web-2")]
    assert acts(plan_for(wish(), *both, aside(2, condemned="terminated by hand"))) == [(Retire, "web-2")]
    assert (Retire, "web-2") in acts(plan_for(wish(wanted="down"), aside(2)))


def test_where_all_are_protected_the_size_stays_and_says_so() -> None:
    both = serving(1, protected=True), serving(2, protected=True)
    wanted = wish(a_group(desired=1))
    assert plan_for(wanted, *both).actions == ()
    assert "could not scale to desired capacity because all remaining instances are protected" in waits_of(
        wanted, *both
    )
    assert acts(plan_for(wanted, both[0], serving(2))) == [(Retire, "web-2")]


# Suspended processes


def held(*processes: str, group: Service | None = None) -> StackRecord:
    return wish(group, suspended={"web": processes})


def test_launch_suspended_starts_nobody_and_takes_nobody_out_first() -> None:
    assert plan_for(held(LAUNCH), serving(1)).actions == ()
    assert plan_for(held(LAUNCH), serving(1), unhealthy(2)).actions == ()
    assert plan_for(held(LAUNCH), serving(1), unhealthy(2, frozen=True)).actions == ()
    assert plan_for(held(LAUNCH), serving(1), serving(2, condemned="a test")).actions == ()
    full = a_group(desired=2, maximum=2)
    assert plan_for(held(LAUNCH, group=full), serving(1), unhealthy(2)).actions == ()
    assert plan_for(deploying(full, suspended={"web": (LAUNCH,)}), serving(1), serving(2)).actions == ()
    assert "there are 2 instances fewer" in waits_of(
        deploying(full, suspended={"web": (LAUNCH,)}), serving(1), serving(2)
    )
    assert acts(plan_for(held(LAUNCH), serving(1), serving(2), serving(3))) == [(Retire, "web-3")]
    assert "Launch is suspended, until `fairlead resume web Launch`: there is 1 instance fewer" in waits_of(
        held(LAUNCH), serving(1)
    )


def test_terminate_suspended_ends_nobody_who_lives() -> None:
    assert plan_for(held(TERMINATE), serving(1), serving(2), serving(3)).actions == ()
    assert plan_for(held(TERMINATE), serving(1), serving(2), unhealthy(3)).actions == ()
    assert plan_for(held(TERMINATE), serving(1), serving(2), warm(3)).actions == ()
    reusing = a_group(desired=1, warm_pool=2, reuse_on_scale_in=True)
    assert not [one for one in plan_for(held(TERMINATE, group=reusing), serving(1), serving(2)).actions
                if isinstance(one, Pool)]  # fmt: skip
    dead = plan_for(held(TERMINATE), serving(1), gone(serving(2)))
    assert acts(dead) == [(MarkDown, "web-2"), (Launch, "web-3"), (Retire, "web-2")]
    asked = serving(3, condemned="terminated by hand", at_once=True)
    assert acts(plan_for(held(TERMINATE), serving(1), serving(2), asked)) == [(Retire, "web-3")]
    assert "Terminate is suspended" in waits_of(held(TERMINATE), serving(1), serving(2), serving(3))


def test_those_that_were_ending_already_end() -> None:
    left = replace(terminating(3, deregistered_at=1.0, stopping_at=1.0), process=None)
    assert [type(one) for one in plan_for(held(TERMINATE), serving(1), serving(2), left).actions] == [End]


def test_replace_unhealthy_suspended_leaves_the_ill_and_keeps_the_places_of_the_gone() -> None:
    wanted = held(REPLACE_UNHEALTHY)
    assert plan_for(wanted, serving(1), unhealthy(2)).actions == ()
    died = gone(serving(2))
    assert acts(plan_for(wanted, serving(1), died)) == [(MarkDown, "web-2")]
    told = replace(died, target=a_target(2, up=False))
    assert plan_for(wanted, serving(1), told).actions == ()
    assert "ReplaceUnhealthy is suspended" in waits_of(wanted, serving(1), told)


def test_what_never_came_up_or_went_with_the_machine_or_by_hand_is_replaced_all_the_same() -> None:
    wanted = held(REPLACE_UNHEALTHY)
    assert (Retire, "web-2") in acts(plan_for(wanted, serving(1), gone(starting(2))))
    rebooted = plan_for(wanted, serving(1), gone(serving(2, boot="boot-0")), boot="boot-1")
    assert (Launch, "web-3") in acts(rebooted)
    assert (Retire, "web-2") in acts(plan_for(wanted, serving(1), gone(serving(2, condemned="a test"))))
    later = deploying(suspended={"web": (REPLACE_UNHEALTHY,)})
    assert (Retire, "web-2") in acts(plan_for(later, serving(1), gone(serving(2))))


def test_to_go_down_nothing_is_suspended() -> None:
    wanted = wish(wanted="down", suspended={"web": (LAUNCH, TERMINATE, REPLACE_UNHEALTHY)})
    assert (Retire, "web-1") in acts(plan_for(wanted, serving(1), warm(2)))
    other = a_wish(a_revision(a_stack(a_group("api", desired=1))), suspended={"web": (TERMINATE,)})
    assert (Retire, "web-1") in acts(plan_for(other, serving(1), serving(1, service="api")))


# What is told


def test_who_waits_for_a_hand_says_so() -> None:
    assert "you: web-2 is on standby, until `fairlead instance return web-2`" in waits_of(wish(), serving(1), aside(2))
    ill = waits_of(held(REPLACE_UNHEALTHY), serving(1), unhealthy(2))
    assert "web-2 to pass its checks again, or you: ReplaceUnhealthy is suspended" in ill
    assert "the first passed health check of web-3, which is for the warm pool" in waits_of(
        wish(), starting(3, pooled=True, launched_at=NOW)
    )


def test_a_resize_is_a_step_of_its_service() -> None:
    resize = Resize(service="web", before=2, desired=3, reason="cpu was 90%")
    (step,) = steps_of([resize], "web")
    assert step.text == "change desired capacity from 2 to 3: cpu was 90%"
    assert steps_of([resize], "api") == ()
    told = steps_of([Warm(instance="web-3", reason="ready"), Pool(instance="web-3", reason="enough")], "web")
    assert [one.text for one in told] == ["keep warm web-3: ready", "return to the warm pool web-3: enough"]


# Target health


@pytest.mark.parametrize(
    ("target", "expected"),
    [(None, False), (a_target(check=None), False), (a_target(), False), (a_target(check=SAYS_503), True)],
)
def test_a_check_that_failed_tells_of_one_out_of_rotation(target: TargetReport | None, expected: bool) -> None:
    assert fails(target) == expected


def test_a_warm_one_is_no_target() -> None:
    check = a_group().health_check
    for one in (warm(3), replace(warm(3), target=None), starting(3, pooled=True)):
        found = target_health(one, check, NOW)
        assert (found.state, found.reason) == ("unused", "Target.NotRegistered")
    busy = replace(warm(3), target=a_target(3, mode="draining", up=False, sessions=1))
    assert target_health(busy, check, NOW).state == "draining"


def test_who_is_let_in_comes_before_who_is_started() -> None:
    plan = plan_for(wish(a_group(desired=4, warm_pool=1)), serving(1), serving(2), warm(3))
    assert [type(one) for one in plan.actions] == [Admit, Launch]
