"""One snapshot, one plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.model import Listener, forward_to
from fairlead.core.observed import Instance, Observed, Opened, StartHistory
from fairlead.core.plan import Admit, Configure, GiveUp, Launch, MarkDown, Plan, Remove, Retire
from fairlead.core.processes import Outcome
from fairlead.core.reconcile import WORKER_START, decide

from .builders import (
    BOOT,
    PASSED,
    REFUSED,
    a_deployment,
    a_record,
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
)

NOW = 1000.0


def told(plan: Plan) -> list[str]:
    """The plan in short: `Launch web-3`."""
    return [f"{type(action).__name__} {getattr(action, 'instance', '')}".strip() for action in plan.actions]


def test_a_stack_as_wanted_needs_nothing() -> None:
    wanted = a_wish()
    assert decide(wanted, seen(wanted, serving(1), serving(2)), NOW) == Plan()


def test_an_empty_stack_gets_its_desired_capacity() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted), NOW)
    assert told(plan) == ["Launch web-1", "Launch web-2"]
    assert [action.reason for action in plan.actions] == [
        "a difference between desired and actual capacity: from 0 to 1, desired 2",
        "a difference between desired and actual capacity: from 1 to 2, desired 2",
    ]


def test_the_balancer_is_configured_before_anything_is_launched() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, routing=None), NOW)
    assert told(plan) == ["Configure", "Launch web-1", "Launch web-2"]


def test_a_target_is_admitted_at_its_first_passed_check() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), starting(2, check=PASSED)), NOW)
    assert told(plan) == ["Admit web-2"]


def test_a_target_the_balancer_let_in_by_itself_is_admitted_too() -> None:
    wanted = a_wish()
    alone = replace(starting(2), target=a_target(2, mode="initial", up=True, check=None))
    assert told(decide(wanted, seen(wanted, serving(1), alone), NOW)) == ["Admit web-2"]


def test_without_checks_a_target_is_admitted_a_second_after_its_launch() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=1, enabled=False))))
    young = starting(1, check=None, launched_at=NOW)
    plan = decide(wanted, seen(wanted, young), NOW)
    assert (told(plan), plan.wake_at) == ([], NOW + WORKER_START)
    (admitted,) = decide(wanted, seen(wanted, young), NOW + WORKER_START).actions
    assert admitted == Admit(instance="web-1", reason="its service has no health checks")


def test_an_opening_is_a_listener_of_its_own_until_its_time_is_over() -> None:
    wanted = a_wish()
    opened = serving(1, opened=Opened(port=9001, digest="d" * 64, boot=BOOT, until=NOW + 60))
    plan = decide(wanted, seen(wanted, opened, serving(2), boot=BOOT), NOW)
    (configured,) = plan.actions
    assert isinstance(configured, Configure)
    assert configured.routing is not None
    assert [one.port for one in configured.routing.listeners if one.opening] == [9001]
    assert plan.wake_at == NOW + 60
    listening = seen(wanted, opened, serving(2), routing=configured.routing, boot=BOOT)
    then = decide(wanted, listening, NOW + 59)
    assert (told(then), then.wake_at) == ([], NOW + 60)
    over = decide(wanted, listening, NOW + 60)
    assert (told(over), over.wake_at) == (["Configure"], None)


def test_a_launch_that_was_recorded_and_did_not_happen_happens_now() -> None:
    wanted = a_wish()
    intent = Instance(record=a_record(2, state="pending"), process=None, target=None)
    assert told(decide(wanted, seen(wanted, serving(1), intent), NOW)) == ["Start web-2"]


def test_an_instance_that_the_balancer_lacks_is_registered() -> None:
    wanted = a_wish()
    lost = replace(serving(2), target=None)
    assert told(decide(wanted, seen(wanted, serving(1), lost), NOW)) == ["Register web-2"]


def test_one_that_died_is_marked_down_first_and_replaced_at_once() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), gone(serving(2))), NOW)
    assert told(plan) == ["MarkDown web-2", "Launch web-3", "Retire web-2"]
    assert plan.actions[1] == Launch(
        service="web",
        instance="web-3",
        number=3,
        release=1,
        zone="a",
        reason="replaces: web-2 killed by SIGKILL",
    )


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(exit_status=3), "exited with status 3"),
        (Outcome(signal=11), "killed by SIGSEGV"),
        (Outcome(signal=40), "killed by signal 40"),
        (Outcome(), "ended, nobody could record how (killed together with its launcher)"),
    ],
)
def test_the_reason_says_how_it_ended(outcome: Outcome, words: str) -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), gone(serving(2), outcome)), NOW)
    assert plan.actions[0] == MarkDown(instance="web-2", reason=words)


def test_one_that_never_came_up_waits_out_its_back_off() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=1))))
    history = StartHistory(service="web", release=1, failures=3, last_failed_at=NOW - 1)
    plan = decide(wanted, seen(wanted, histories=(history,)), NOW)
    assert plan == Plan(wake_at=NOW + 3), "the third failure waits 4 s"
    assert told(decide(wanted, seen(wanted, histories=(history,)), NOW + 3)) == ["Launch web-1"]


def test_a_failed_start_is_tried_again_alone_and_says_after_what() -> None:
    wanted = a_wish()
    history = StartHistory(
        service="web",
        release=1,
        failures=2,
        last_failed_at=NOW - 9,
        last_outcome="exited with status 1",
        last_instance="web-2",
    )
    plan = decide(wanted, seen(wanted, histories=(history,)), NOW)
    assert told(plan) == ["Launch web-1"]
    assert plan.actions[0].reason == "tried again: web-2 exited with status 1"


@pytest.mark.parametrize(("failures", "pause"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (200, 60)])
def test_the_back_off_doubles_up_to_a_minute(failures: int, pause: float) -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=1))))
    history = StartHistory(service="web", release=1, failures=failures, last_failed_at=NOW)
    assert decide(wanted, seen(wanted, histories=(history,)), NOW).wake_at == NOW + pause


def test_the_very_first_failed_start_waits_a_second() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=1))))
    plan = decide(wanted, seen(wanted, gone(starting(1), Outcome(exit_status=1))), NOW)
    assert told(plan) == ["MarkDown web-1", "Retire web-1"]
    assert plan.wake_at == NOW + 1
    assert plan.actions[1] == Retire(instance="web-1", reason="exited with status 1", failed_start=True)


def test_one_that_had_passed_a_check_is_no_failed_start() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=1))))
    plan = decide(wanted, seen(wanted, gone(serving(1))), NOW)
    assert Retire(instance="web-1", reason="killed by SIGKILL", failed_start=False) in plan.actions
    assert "Launch web-2" in told(plan)


def test_an_unhealthy_one_goes_after_its_replacement_serves() -> None:
    wanted = a_wish()
    ill = unhealthy(2)
    assert told(decide(wanted, seen(wanted, serving(1), ill), NOW)) == ["Launch web-3"]
    assert told(decide(wanted, seen(wanted, serving(1), ill, starting(3, launched_at=NOW)), NOW)) == []
    assert told(decide(wanted, seen(wanted, serving(1), ill, serving(3)), NOW)) == ["Retire web-2"]


def test_within_its_grace_period_unhealthy_does_not_mean_replace() -> None:
    wanted = a_wish()
    young = unhealthy(2, launched_at=NOW - 29)
    plan = decide(wanted, seen(wanted, serving(1), young), NOW)
    assert plan == Plan(wake_at=NOW + 1)


def test_replace_unhealthy_off_leaves_it_running() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(replace_unhealthy=False))))
    assert decide(wanted, seen(wanted, serving(1), unhealthy(2)), NOW) == Plan()
    assert decide(wanted, seen(wanted, serving(1), starting(2)), NOW) == Plan()


def test_a_frozen_one_goes_at_once() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), unhealthy(2, frozen=True)), NOW)
    assert told(plan) == ["Launch web-3", "Retire web-2"]


def test_one_that_passes_no_check_in_its_grace_period_is_given_up() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), starting(2)), NOW)
    why = "passed no health check within its grace period of 30 s"
    assert plan.actions[-1] == Retire(instance="web-2", reason=why, failed_start=True)


def test_scale_in_takes_the_newest_first_and_drains_them() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, *(serving(number) for number in (1, 2, 3, 4))), NOW)
    assert told(plan) == ["Retire web-4", "Retire web-3"]


def test_scale_in_prefers_one_without_traffic() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, starting(1, launched_at=NOW), serving(2), serving(3)), NOW)
    assert told(plan) == ["Retire web-1"]


def test_a_new_release_starts_all_at_once_and_leaves_the_old_alone() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    plan = decide(wanted, seen(wanted, serving(1), serving(2)), NOW)
    assert told(plan) == ["Launch web-3", "Launch web-4"]
    assert plan.actions[0].reason == "release 2 takes over from release 1"


def test_one_old_instance_goes_for_each_new_one_that_serves() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    new = [serving(3, release=2), starting(4, release=2, launched_at=NOW)]
    assert told(decide(wanted, seen(wanted, serving(1), serving(2), *new), NOW)) == ["Retire web-2"]


def test_max_healthy_bounds_how_many_start_at_once() -> None:
    service = a_service(instances=4, max_healthy=150)
    wanted = a_wish(a_revision(a_stack(service), web=2), previous=a_revision(), deployment=a_deployment())
    plan = decide(wanted, seen(wanted, *(serving(number) for number in (1, 2, 3, 4))), NOW)
    assert told(plan) == ["Launch web-5", "Launch web-6"]


def test_a_deployment_succeeds_when_only_the_new_release_serves() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    new = [serving(3, release=2), serving(4, release=2)]
    assert told(decide(wanted, seen(wanted, *new, terminating(1, sessions=3, terminating_at=NOW)), NOW)) == ["Succeed"]


def test_a_deployment_is_given_up_after_three_failed_starts() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    history = StartHistory(
        service="web",
        release=2,
        failures=3,
        last_failed_at=NOW,
        last_outcome="exited with status 1",
        last_instance="web-5",
    )
    plan = decide(wanted, seen(wanted, serving(1), serving(2), histories=(history,)), NOW)
    assert plan.actions == (
        GiveUp(
            service="web",
            instance="web-5",
            reason="3 instances of release 2 ended before their first passed health check; the last one exited with"
            " status 1",
        ),
    )


def test_a_deployment_is_given_up_when_a_grace_period_ends_without_a_pass() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    plan = decide(wanted, seen(wanted, serving(1), serving(2), starting(3, release=2, launched_at=NOW - 30)), NOW)
    assert [type(action) for action in plan.actions] == [GiveUp]


def test_going_back_retires_the_failed_release_and_keeps_the_old() -> None:
    wanted = a_wish(a_revision(web=1))
    failed = starting(3, release=2, launched_at=NOW)
    assert told(decide(wanted, seen(wanted, serving(1), serving(2), failed), NOW)) == ["Retire web-3"]


def test_a_service_that_left_the_file_is_retired_and_keeps_its_group_while_it_drains() -> None:
    wanted = a_wish(deployment=a_deployment())
    docs = serving(1, service="docs")
    observed = seen(wanted, serving(1), serving(2), docs)
    assert told(decide(wanted, observed, NOW)) == ["Retire docs-1"]
    assert observed.routing is not None
    assert [group.name for group in observed.routing.groups] == ["web", "docs"]


def test_a_stack_that_goes_down_retires_everyone_and_is_then_removed() -> None:
    wanted = a_wish(wanted="down")
    assert told(decide(wanted, seen(wanted, serving(1), starting(2)), NOW)) == ["Retire web-1", "Retire web-2"]
    empty = decide(wanted, Observed(routing=seen(wanted, serving(1)).routing), NOW)
    assert empty.actions == (
        Configure(routing=None, reason="the stack is down and empty"),
        Remove(reason="nothing of it runs any more"),
    )


def test_a_changed_listener_is_configured() -> None:
    wanted = a_wish(a_revision(a_stack(listeners=(Listener(port=9090, default=forward_to("web")),))))
    before = seen(a_wish(), serving(1)).routing
    plan = decide(wanted, seen(wanted, serving(1), serving(2), routing=before), NOW)
    assert told(plan) == ["Configure"]


def test_while_the_balancer_is_silent_nothing_is_decided_about_targets() -> None:
    wanted = a_wish()
    silent = [replace(instance, target=None) for instance in (serving(1), unhealthy(2), serving(3))]
    assert decide(wanted, seen(wanted, *silent, balancer_known=False), NOW) == Plan()


def test_while_the_balancer_is_silent_a_death_is_still_recorded() -> None:
    wanted = a_wish()
    dead = replace(gone(serving(2)), target=None)
    assert told(decide(wanted, seen(wanted, serving(1), dead, balancer_known=False), NOW)) == ["Retire web-2"]


def test_a_stranger_is_ended() -> None:
    wanted = a_wish()
    plan = decide(wanted, seen(wanted, serving(1), serving(2), strangers=("web-9",)), NOW)
    assert told(plan) == ["EndStranger web-9"]


def test_an_intent_of_a_stack_that_goes_down_is_not_started() -> None:
    wanted = a_wish(wanted="down")
    intent = Instance(record=a_record(1, state="pending"), process=None, target=None)
    assert told(decide(wanted, seen(wanted, intent), NOW)) == ["Retire web-1"]


def test_zones_are_filled_evenly() -> None:
    wanted = a_wish(a_revision(a_stack(a_service(instances=4), zones=("a", "b"))))
    plan = decide(wanted, seen(wanted, serving(1, zone="a")), NOW)
    assert [action.zone for action in plan.actions if isinstance(action, Launch)] == ["b", "a", "b"]


def test_the_same_snapshot_gives_the_same_plan() -> None:
    wanted = a_wish(a_revision(web=2), deployment=a_deployment())
    observed = seen(wanted, serving(1), gone(serving(2)), unhealthy(3), starting(4, release=2, check=REFUSED))
    assert decide(wanted, observed, NOW) == decide(wanted, observed, NOW)


def test_to_go_down_nobody_waits_for_a_silent_balancer() -> None:
    wanted = a_wish(wanted="down")
    unknown = [replace(serving(number), target=None) for number in (1, 2)]
    plan = decide(wanted, seen(wanted, *unknown, balancer_known=False), NOW)
    assert told(plan) == ["Retire web-1", "Retire web-2"]


def test_an_old_one_that_lacks_the_new_health_check_path_stays_until_a_newer_one_stands_in() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    lacking = [unhealthy(1, since=NOW), serving(2)]
    coming = [starting(3, release=2, launched_at=NOW), starting(4, release=2, launched_at=NOW)]
    assert told(decide(wanted, seen(wanted, *lacking, *coming), NOW)) == []
    one_serves = [*lacking, serving(3, release=2), coming[1]]
    assert told(decide(wanted, seen(wanted, *one_serves), NOW)) == ["Retire web-1"], "the unhealthy one first"


def test_when_all_old_ones_lack_the_new_path_one_goes_for_each_new_one_that_serves() -> None:
    wanted = a_wish(a_revision(web=2), previous=a_revision(), deployment=a_deployment())
    old = [unhealthy(1, since=NOW), unhealthy(2, since=NOW)]
    coming = starting(4, release=2, launched_at=NOW)
    assert told(decide(wanted, seen(wanted, *old, serving(3, release=2), coming), NOW)) == ["Retire web-2"]
    both = [serving(3, release=2), serving(4, release=2)]
    assert told(decide(wanted, seen(wanted, *old, *both), NOW)) == ["Retire web-2", "Retire web-1"]


def test_what_the_restart_of_the_machine_ended_is_no_failed_start() -> None:
    wanted = a_wish(deployment=a_deployment())
    caught = [gone(starting(number, boot="boot-0"), Outcome()) for number in (1, 2)]
    plan = decide(wanted, seen(wanted, *caught, boot="boot-1"), NOW)
    assert [action.failed_start for action in plan.actions if isinstance(action, Retire)] == [False, False]
    assert [action.reason for action in plan.actions if isinstance(action, Launch)] == [
        "replaces: web-1 ended with the machine's last boot",
        "replaces: web-2 ended with the machine's last boot",
    ]
