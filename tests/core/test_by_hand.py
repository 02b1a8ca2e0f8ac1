"""What an operator sets by hand: a size, a drained, protected or condemned instance, a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.desired import Scaled
from fairlead.core.health import target_health
from fairlead.core.model import HealthCheck
from fairlead.core.observed import Instance
from fairlead.core.plan import Action, Drain, Launch, Restore, Retire, Sever, Succeed
from fairlead.core.reconcile import decide

from .builders import a_deployment, a_revision, a_service, a_stack, a_wish, seen, serving, starting
from .world import World

LATER = 100.0


def kinds(actions: tuple[Action, ...]) -> list[str]:
    return [type(action).__name__ for action in actions]


def marked(instance: Instance, **fields: object) -> Instance:
    return replace(instance, record=replace(instance.record, **fields))  # type: ignore[arg-type]


def drained(number: int, *, mode: str = "draining", sessions: int = 0) -> Instance:
    instance = marked(serving(number), drained=True)
    assert instance.target is not None
    return replace(instance, target=replace(instance.target, mode=mode, up=False, sessions=sessions))


# A size set by hand


def test_a_size_set_by_hand_holds_against_the_files() -> None:
    wish = a_wish(scaled={"web": Scaled(desired=4, declared=2)})
    launched = decide(wish, seen(wish, serving(1), serving(2)), LATER).actions
    assert [action.instance for action in launched if isinstance(action, Launch)] == ["web-3", "web-4"]


def test_it_ends_when_the_file_says_another_size() -> None:
    wish = a_wish(scaled={"web": Scaled(desired=4, declared=3)})  # the file now says 2
    assert decide(wish, seen(wish, serving(1), serving(2)), LATER).actions == ()


def test_a_service_scaled_to_nothing_has_no_instance_and_starts_none() -> None:
    world = World(a_wish(scaled={"web": Scaled(desired=0, declared=2)}))
    world.settle()
    assert world.serving() == []
    world.wanted = replace(world.wanted, scaled={})
    world.settle()
    assert len(world.serving()) == 2
    world.wanted = replace(world.wanted, scaled={"web": Scaled(desired=0, declared=2)})
    world.settle()
    assert world.serving() == []


def test_a_size_by_hand_for_which_the_percentages_leave_no_room_can_still_be_deployed() -> None:
    service = a_service(instances=4, max_healthy=125)
    wish = a_wish(
        a_revision(a_stack(service), web=2),
        previous=a_revision(a_stack(service)),
        deployment=a_deployment(),
        scaled={"web": Scaled(desired=2, declared=4)},
    )
    assert kinds(decide(wish, seen(wish, serving(1), serving(2)), LATER).actions) == ["Launch"]


# Drained and returned


def test_a_drained_instance_leaves_the_rotation_and_is_not_replaced() -> None:
    wish = a_wish()
    first = marked(serving(1), drained=True)
    assert decide(wish, seen(wish, first, serving(2)), LATER).actions == (
        Drain(instance="web-1", reason="it was drained by hand, and still gets requests"),
    )
    assert decide(wish, seen(wish, drained(1), serving(2)), LATER).actions == ()


def test_a_returned_instance_gets_requests_again() -> None:
    wish = a_wish()
    returned = marked(drained(1), drained=False)
    assert decide(wish, seen(wish, returned, serving(2)), LATER).actions == (
        Restore(instance="web-1", reason="it was returned to the load balancer"),
    )


@pytest.mark.parametrize(("sessions", "state"), [(3, "draining"), (0, "unused")])
def test_the_health_of_a_drained_instance_is_that_of_a_deregistered_target(sessions: int, state: str) -> None:
    assert target_health(drained(1, sessions=sessions), HealthCheck(), LATER).state == state


def test_what_runs_inside_a_drained_instance_has_the_deregistration_delay_to_finish() -> None:
    wish = a_wish(a_revision(a_stack(a_service(deregistration_delay=30.0))))
    first = marked(drained(1, sessions=2), drained_at=LATER)
    waiting = decide(wish, seen(wish, first, serving(2)), LATER + 29.0)
    assert (waiting.actions, waiting.wake_at) == ((), LATER + 30.0)
    over = decide(wish, seen(wish, first, serving(2)), LATER + 30.0).actions
    assert over == (Sever(instance="web-1", reason="its deregistration delay of 30 s is over"),)
    empty = marked(drained(1, sessions=0), drained_at=LATER)
    assert decide(wish, seen(wish, empty, serving(2)), LATER + 60.0).actions == ()


def test_a_drained_instance_does_not_hold_up_a_deployment() -> None:
    wish = a_wish(deployment=a_deployment(), previous=a_revision())
    plan = decide(wish, seen(wish, drained(1), serving(2)), LATER)
    assert [type(action) for action in plan.actions] == [Succeed]


# Protected


def test_scale_in_does_not_choose_a_protected_instance() -> None:
    wish = a_wish(scaled={"web": Scaled(desired=1, declared=2)})
    kept = marked(serving(2), protected=True)
    retired = decide(wish, seen(wish, serving(1), kept), LATER).actions
    assert [action.instance for action in retired if isinstance(action, Retire)] == ["web-1"]
    both = decide(wish, seen(wish, marked(serving(1), protected=True), kept), LATER)
    assert both.actions == ()


def test_a_deployment_to_a_smaller_size_ends_although_protected_instances_stay() -> None:
    wish = a_wish(deployment=a_deployment(), previous=a_revision(a_stack(a_service(instances=3))))
    kept = [marked(serving(number), protected=True) for number in (1, 2, 3)]
    assert [type(action) for action in decide(wish, seen(wish, *kept), LATER).actions] == [Succeed]


def test_a_deployment_replaces_a_protected_instance_all_the_same() -> None:
    wish = a_wish(a_revision(web=2), deployment=a_deployment(), previous=a_revision())
    old = marked(serving(1), protected=True)
    plan = decide(wish, seen(wish, old, serving(2), serving(3, release=2), serving(4, release=2)), LATER)
    assert {action.instance for action in plan.actions if isinstance(action, Retire)} == {"web-1", "web-2"}


# Condemned


def test_a_condemned_instance_serves_until_another_serves_in_its_place() -> None:
    wish = a_wish()
    condemned = marked(serving(1), condemned="terminated by hand")
    first = decide(wish, seen(wish, condemned, serving(2)), LATER).actions
    assert kinds(first) == ["Launch"]
    assert isinstance(first[0], Launch)
    assert first[0].reason == "replaces: web-1: terminated by hand"
    assert decide(wish, seen(wish, condemned, serving(2), starting(3, launched_at=LATER)), LATER).actions == ()
    then = decide(wish, seen(wish, condemned, serving(2), serving(3)), LATER).actions
    assert then == (Retire(instance="web-1", reason="terminated by hand"),)


def test_one_that_is_to_go_at_once_does_not_wait_for_its_replacement() -> None:
    wish = a_wish()
    condemned = marked(serving(1), condemned="terminated by hand", at_once=True)
    assert kinds(decide(wish, seen(wish, condemned, serving(2)), LATER).actions) == ["Launch", "Retire"]


def test_nor_does_it_while_a_deployment_replaces_it() -> None:
    wish = a_wish(a_revision(web=2), deployment=a_deployment(), previous=a_revision())
    condemned = marked(serving(1), condemned="terminated by hand", at_once=True)
    world = seen(wish, condemned, serving(2), starting(3, release=2, launched_at=LATER))
    assert Retire(instance="web-1", reason="terminated by hand") in decide(wish, world, LATER).actions


def test_one_that_goes_with_its_place_is_not_replaced() -> None:
    wish = a_wish(scaled={"web": Scaled(desired=1, declared=2)})
    condemned = marked(serving(1), condemned="terminated by hand")
    assert kinds(decide(wish, seen(wish, condemned, serving(2)), LATER).actions) == ["Retire"]


def test_where_no_extra_instance_may_run_the_condemned_one_makes_room() -> None:
    service = a_service(max_healthy=100, min_healthy=50)
    wish = a_wish(a_revision(a_stack(service)))
    condemned = marked(serving(1), condemned="terminated by hand")
    assert kinds(decide(wish, seen(wish, condemned, serving(2)), LATER).actions) == ["Retire"]


# Restart


def test_a_restart_replaces_every_instance_launched_before_it_and_loses_none_that_serves() -> None:
    world = World(a_wish())
    world.settle()
    assert world.serving() == ["web-1", "web-2"]
    again = replace(world.wanted.desired, replaced_below={"web": 3})
    world.wanted = replace(world.wanted, desired=again, previous=world.wanted.desired, deployment=a_deployment(2))
    fewest = 2
    for _ in range(200):
        world.cycle()
        fewest = min(fewest, len(world.serving()))
        world.now += 0.1
    assert world.serving() == ["web-3", "web-4"]
    assert fewest == 2
    assert isinstance(world.verdicts[-1], Succeed)
    assert world.records["web-3"].cause == "restart: takes over from web-1"


def test_a_restart_that_fails_goes_back_to_the_instances_there_were() -> None:
    world = World(a_wish())
    world.settle()
    again = replace(world.wanted.desired, replaced_below={"web": 3})
    world.wanted = replace(world.wanted, desired=again, previous=world.wanted.desired, deployment=a_deployment(2))
    world.bad_releases = frozenset({1})
    world.settle()
    assert world.serving() == ["web-1", "web-2"]
