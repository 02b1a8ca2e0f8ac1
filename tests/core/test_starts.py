"""How services start: workers without a port, one after another, prepared before their first instance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.desired import Scaled
from fairlead.core.health import target_health
from fairlead.core.model import HealthCheck, Release
from fairlead.core.observed import Instance, Observed, StartHistory
from fairlead.core.plan import Action, Admit, Deregister, GiveUp, Launch, Retire, StartRun, Succeed
from fairlead.core.processes import Outcome, Process
from fairlead.core.reconcile import WORKER_START, decide, waiting
from fairlead.core.routing import routing_of
from fairlead.core.runs import Run, RunRecord

from .builders import (
    BOOT,
    a_deployment,
    a_record,
    a_revision,
    a_service,
    a_stack,
    a_wish,
    gone,
    seen,
    serving,
    starting,
)

LATER = 100.0


def launched(actions: tuple[Action, ...]) -> list[str]:
    return [action.instance for action in actions if isinstance(action, Launch)]


# Workers


WORKER = a_service("queue", instances=1, serves=False)


def a_worker(state: str = "in_service", *, launched_at: float = 0.0) -> Instance:
    record = a_record(1, service="queue", address="", state=state, launched_at=launched_at)
    return Instance(record=record, process=Process(alive=True, pid=7), target=None)


def test_a_worker_is_started_when_it_has_run_for_a_moment_and_needs_no_balancer() -> None:
    wish = a_wish(a_revision(a_stack(WORKER, listeners=())))
    young = a_worker("pending", launched_at=LATER)
    plan = decide(wish, seen(wish, young), LATER)
    assert plan.actions == ()
    assert plan.wake_at == LATER + WORKER_START
    plan = decide(wish, seen(wish, young), LATER + WORKER_START)
    assert [type(action) for action in plan.actions] == [Admit]


def test_a_worker_that_ends_in_its_first_moment_has_failed_to_start_and_later_it_has_not() -> None:
    wish = a_wish(a_revision(a_stack(WORKER, listeners=())))
    for state, failed in (("pending", True), ("in_service", False)):
        plan = decide(wish, seen(wish, gone(a_worker(state))), LATER)
        assert [action.failed_start for action in plan.actions if isinstance(action, Retire)] == [failed]
        assert not any(type(action).__name__ == "MarkDown" for action in plan.actions)


def test_a_worker_leaves_without_draining() -> None:
    wish = a_wish(a_revision(a_stack(WORKER, listeners=())), wanted="down")
    leaving = replace(a_worker(), record=replace(a_worker().record, state="terminating", terminating_at=LATER))
    plan = decide(wish, seen(wish, leaving), LATER)
    assert [type(action) for action in plan.actions if type(action).__name__ != "Configure"] == [Deregister]


def test_a_worker_has_no_target_group_and_is_healthy_when_it_runs() -> None:
    stack = a_stack(a_service(), WORKER)
    routing = routing_of(a_wish(a_revision(stack)), {"web"}, None)
    assert routing is not None
    assert [group.name for group in routing.groups] == ["web"]
    assert target_health(a_worker(), HealthCheck(), LATER).state == "healthy"
    assert target_health(a_worker("pending"), HealthCheck(), LATER).state == "initial"


def test_a_stack_of_workers_deploys_and_ends() -> None:
    wish = a_wish(a_revision(a_stack(WORKER, listeners=())), deployment=a_deployment())
    assert launched(decide(wish, seen(wish), LATER).actions) == ["queue-1"]
    plan = decide(wish, seen(wish, a_worker()), LATER)
    assert [type(action) for action in plan.actions] == [Succeed]
    down = replace(wish, wanted="down", deployment=None)
    assert [type(a).__name__ for a in decide(down, seen(down, routing=None), LATER).actions] == ["Remove"]


# One after another


CHAIN = a_stack(a_service("web", after=("api",)), a_service("api", instances=1))


def test_a_service_waits_until_the_ones_it_comes_after_are_healthy() -> None:
    wish = a_wish(a_revision(CHAIN), deployment=a_deployment())
    nothing = seen(wish)
    assert launched(decide(wish, nothing, LATER).actions) == ["api-1"]
    assert waiting(wish, nothing, LATER) == {"web": ("api",)}
    half = seen(wish, starting(1, service="api", launched_at=LATER))
    assert launched(decide(wish, half, LATER).actions) == []
    ready = seen(wish, serving(1, service="api"))
    assert launched(decide(wish, ready, LATER).actions) == ["web-1", "web-2"]
    assert waiting(wish, ready, LATER) == {}


def test_after_a_restart_of_the_machine_the_order_holds_too() -> None:
    wish = a_wish(a_revision(CHAIN))
    assert launched(decide(wish, seen(wish), LATER).actions) == ["api-1"]


def test_a_lost_instance_is_replaced_whatever_the_others_do() -> None:
    wish = a_wish(a_revision(CHAIN))
    world = seen(wish, serving(1), gone(serving(2)), gone(serving(1, service="api")))
    assert set(launched(decide(wish, world, LATER).actions)) == {"web-3", "api-2"}


def test_one_that_was_drained_by_hand_keeps_nobody_waiting() -> None:
    wish = a_wish(a_revision(CHAIN, web=2), previous=a_revision(CHAIN), deployment=a_deployment())
    api = serving(1, service="api")
    assert api.target is not None
    drained = replace(api, record=replace(api.record, drained=True), target=replace(api.target, mode="draining"))
    assert launched(decide(wish, seen(wish, drained, serving(1), serving(2)), LATER).actions) == ["web-3", "web-4"]


def test_while_a_release_may_not_start_yet_lost_instances_of_the_old_one_are_replaced() -> None:
    waits = a_wish(a_revision(CHAIN, web=2, api=2), previous=a_revision(CHAIN), deployment=a_deployment())
    world = seen(waits, gone(serving(1)), serving(2), starting(2, service="api", release=2, launched_at=LATER))
    plan = decide(waits, world, LATER)
    assert [(one.instance, one.release) for one in plan.actions if isinstance(one, Launch)] == [("web-3", 1)]
    preparing = replace(observed(a_run()), instances=(gone(serving(1)), serving(2)))
    plan = decide(WISH, preparing, LATER)
    assert [(one.instance, one.release) for one in plan.actions if isinstance(one, Launch)] == [("web-3", 1)]


def test_while_a_release_is_prepared_the_old_one_is_looked_after_as_ever() -> None:
    condemned = replace(serving(1), record=replace(serving(1).record, condemned="terminated by hand", at_once=True))
    plan = decide(WISH, replace(observed(a_run()), instances=(condemned, serving(2))), LATER)
    assert [(type(one).__name__, getattr(one, "instance", "")) for one in plan.actions] == [
        ("Launch", "web-3"),
        ("Retire", "web-1"),
    ]
    fewer = replace(WISH, scaled={"web": Scaled(desired=1, declared=2)})
    plan = decide(fewer, observed(a_run()), LATER)
    assert [type(one).__name__ for one in plan.actions] == ["Retire"]


def test_while_a_release_is_prepared_the_old_one_is_started_again_with_back_off() -> None:
    failed = StartHistory(service="web", release=1, failures=4, last_failed_at=LATER - 1.0)
    plan = decide(WISH, replace(observed(a_run()), instances=(serving(1),), starts=(failed,)), LATER)
    assert plan.actions == ()
    assert plan.wake_at == LATER + 7.0


def test_a_deployment_is_not_over_while_a_service_waits() -> None:
    wish = a_wish(a_revision(CHAIN), deployment=a_deployment())
    sick = seen(wish, starting(1, service="api", launched_at=LATER))
    assert not any(isinstance(action, Succeed) for action in decide(wish, sick, LATER).actions)


# Prepared


def a_prepared_release(number: int = 2) -> Release:
    release = a_revision(web=number).releases["web"]
    return replace(release, before_traffic=("migrate",))


def a_run(number: int = 1, *, release: int = 2, began_at: float = 50.0, outcome: Outcome | None = None) -> Run:
    record = RunRecord(
        stack="shop",
        id=f"web.before-{number}",
        number=number,
        kind="before_traffic",
        name="web",
        service="web",
        release=release,
        argv=("migrate",),
        boot=BOOT,
        began_at=began_at,
        started_at="2026-01-01T00:00:00Z",
        ended_at="2026-01-01T00:00:09Z" if outcome else "",
        outcome=outcome,
    )
    return Run(record=record, process=None if outcome else Process(alive=True, pid=5))


WISH = a_wish(
    replace(a_revision(web=2), releases={"web": a_prepared_release()}),
    previous=a_revision(),
    deployment=a_deployment(2, began_at=40.0),
)


def observed(*runs: Run) -> Observed:
    return replace(seen(WISH, serving(1), serving(2), boot=BOOT), runs=runs)


def test_a_release_is_prepared_before_its_first_instance() -> None:
    plan = decide(WISH, observed(), LATER)
    assert plan.actions == (
        StartRun(
            kind="before_traffic",
            name="web",
            service="web",
            release=2,
            argv=("migrate",),
            reason="release 2 is to be prepared before its first instance",
        ),
    )
    assert decide(WISH, observed(a_run()), LATER).actions == ()
    assert launched(decide(WISH, observed(a_run(outcome=Outcome(exit_status=0))), LATER).actions) == ["web-3", "web-4"]


def test_a_preparation_that_fails_gives_the_deployment_up_and_shows_its_log() -> None:
    plan = decide(WISH, observed(a_run(outcome=Outcome(exit_status=1))), LATER)
    assert plan.actions == (
        GiveUp(service="web", instance="web.before-1", reason="before_traffic of web exited with status 1"),
    )


def test_the_next_up_tries_again_what_failed_and_does_not_repeat_what_succeeded() -> None:
    again = replace(WISH, deployment=a_deployment(3, began_at=90.0))
    failed = decide(again, observed(a_run(outcome=Outcome(exit_status=1))), LATER)
    assert [type(action) for action in failed.actions] == [StartRun]
    done = decide(again, observed(a_run(outcome=Outcome(exit_status=0))), LATER)
    assert launched(done.actions) == ["web-3", "web-4"]


def test_a_preparation_that_still_runs_is_waited_for_though_an_earlier_deployment_began_it() -> None:
    again = replace(WISH, deployment=a_deployment(3, began_at=90.0))
    assert decide(again, observed(a_run()), LATER).actions == ()


def test_without_a_deployment_nothing_is_prepared_again() -> None:
    quiet = replace(WISH, deployment=None, previous=None)
    plan = decide(quiet, seen(quiet, gone(serving(1, release=2)), serving(2, release=2)), LATER)
    assert not any(isinstance(action, StartRun) for action in plan.actions)
    assert launched(plan.actions) == ["web-3"]


# Limits


@pytest.mark.parametrize("limit", ["age", "memory"])
def test_instances_beyond_a_limit_are_replaced_one_at_a_time(limit: str) -> None:
    service = a_service(max_lifetime=60.0) if limit == "age" else a_service(max_memory=1_000_000)
    wish = a_wish(a_revision(a_stack(service)))
    over = [replace(serving(number), oversize_at=0.0 if limit == "memory" else None) for number in (1, 2)]
    plan = decide(wish, seen(wish, *over), LATER)
    assert [(type(action).__name__, getattr(action, "instance", "")) for action in plan.actions] == [
        ("Condemn", "web-1")
    ]
    being = replace(over[0], record=replace(over[0].record, condemned="it is old"))
    plan = decide(wish, seen(wish, being, over[1]), LATER)
    assert [type(action).__name__ for action in plan.actions] == ["Launch"]


def test_a_limit_that_is_not_reached_yet_wakes_the_loop_when_it_will_be() -> None:
    wish = a_wish(a_revision(a_stack(a_service(max_lifetime=3600.0))))
    plan = decide(wish, seen(wish, serving(1), serving(2, launched_at=30.0)), LATER)
    assert plan.actions == ()
    assert plan.wake_at == 3600.0
