"""Targets that fairlead routes to and does not run: one for each address of the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.desired import StackRecord
from fairlead.core.differences import differences
from fairlead.core.explain import explain
from fairlead.core.model import Service, Targets
from fairlead.core.observed import Instance, Observed
from fairlead.core.plan import Action, Admit, Configure, Deregister, Drain, End, Enlist, Retire, Succeed
from fairlead.core.processes import Outcome
from fairlead.core.reconcile import decide

from .builders import (
    BOOT,
    REFUSED,
    a_deployment,
    a_record,
    a_revision,
    a_service,
    a_stack,
    a_target,
    a_wish,
    serving,
    starting,
)

ONE, OTHER = "10.0.0.1:9000", "10.0.0.2:9000"


def legacy(*addresses: str) -> Service:
    return a_service("legacy", instances=len(addresses), program=Targets(addresses=addresses))


def wanted(*addresses: str, **fields: Any) -> StackRecord:
    revision = a_revision(a_stack(legacy(*addresses)))
    return a_wish(replace(revision, releases={}), **fields)


def listed(number: int, address: str, **fields: Any) -> Instance:
    """In service and healthy."""
    record = a_record(number, service="legacy", address=address, runs=False, release=0, zone="", **fields)
    return Instance(record=record, process=None, target=a_target(number, service="legacy"))


def unproved(number: int, address: str, **fields: Any) -> Instance:
    """It has not passed a check yet."""
    record = replace(listed(number, address, **fields).record, state="pending", in_service_at=None)
    target = a_target(number, service="legacy", mode="initial", up=False, check=REFUSED)
    return Instance(record=record, process=None, target=target)


def plan_for(wish: StackRecord, *instances: Instance, now: float = 1.0) -> tuple[Action, ...]:
    numbers = (("legacy", 1 + max((one.record.number for one in instances), default=0)),)
    observed = Observed(instances=instances, next_numbers=numbers, boot=BOOT)
    configured = decide(wish, observed, now).actions[0]
    assert isinstance(configured, Configure)
    return decide(wish, replace(observed, routing=configured.routing), now).actions


def test_each_address_is_enlisted_once() -> None:
    found = plan_for(wanted(ONE, OTHER), listed(4, ONE))
    assert [(type(one), one.instance, one.address) for one in found if isinstance(one, Enlist)] == [
        (Enlist, "legacy-5", OTHER)
    ]
    assert plan_for(wanted(ONE), listed(4, ONE)) == ()


def test_it_has_no_process_and_is_never_taken_for_dead() -> None:
    assert plan_for(wanted(ONE), unproved(1, ONE, launched_at=0.0), now=500.0) == ()


def test_it_is_admitted_at_its_first_passed_check() -> None:
    one = unproved(1, ONE)
    passed = replace(one, target=a_target(1, service="legacy", mode="initial", up=False))
    assert [type(action) for action in plan_for(wanted(ONE), passed)] == [Admit]


def test_an_address_that_left_the_file_leaves_when_the_new_one_has_been_judged() -> None:
    before = listed(1, ONE)
    assert plan_for(wanted(OTHER), before, unproved(2, OTHER, launched_at=1.0), now=2.0) == ()
    judged = plan_for(wanted(OTHER), before, unproved(2, OTHER, launched_at=1.0), now=500.0)
    assert judged == (Retire(instance="legacy-1", reason=f"{ONE} is no longer in the file"),)
    assert plan_for(wanted(OTHER), before, listed(2, OTHER))[0] == judged[0]


@pytest.mark.parametrize("sessions", [0, 3])
def test_it_drains_and_then_nothing_is_told_to_stop(sessions: int) -> None:
    gone = replace(listed(1, ONE).record, state="terminating", terminating_at=1.0, why="it left the file")
    draining = Instance(
        record=gone, process=None, target=a_target(1, service="legacy", mode="draining", sessions=sessions)
    )
    assert [type(one) for one in plan_for(wanted(OTHER), draining, listed(2, OTHER))] == (
        [] if sessions else [Deregister]
    )
    serves = replace(draining, target=a_target(1, service="legacy"))
    assert [type(one) for one in plan_for(wanted(OTHER), serves, listed(2, OTHER))] == [Drain]
    let_go = replace(draining, record=replace(gone, deregistered_at=2.0), target=None)
    assert plan_for(wanted(OTHER), let_go, listed(2, OTHER)) == (
        End(instance="legacy-1", outcome=Outcome(), reason="it left the file"),
    )


def test_a_deployment_is_over_when_each_was_judged_whatever_the_verdict() -> None:
    deploying = wanted(ONE, deployment=a_deployment())
    assert plan_for(deploying, unproved(1, ONE, launched_at=0.0), now=1.0) == ()
    assert [type(one) for one in plan_for(deploying, unproved(1, ONE, launched_at=0.0), now=60.0)] == [Succeed]
    assert [type(one) for one in plan_for(deploying, listed(1, ONE), now=1.0)] == [Succeed]
    rebooted = unproved(1, ONE, launched_at=9000.0, boot="boot-0")
    assert [type(one) for one in plan_for(deploying, rebooted, now=1.0)] == [Succeed]


def test_a_service_that_ran_and_now_lists_addresses_lets_its_instances_go_last() -> None:
    ran = replace(serving(1, service="legacy"), record=a_record(1, service="legacy"))
    assert plan_for(wanted(ONE), ran, unproved(2, ONE, launched_at=1.0), now=2.0) == ()
    found = plan_for(wanted(ONE), ran, listed(2, ONE))
    assert [(type(one), getattr(one, "instance", "")) for one in found] == [(Retire, "legacy-1")]


def test_one_that_runs_instances_instead_lets_the_addresses_go_last() -> None:
    wish = a_wish(a_revision(a_stack(a_service("legacy", instances=1))))
    assert plan_for(wish, listed(1, ONE), starting(2, service="legacy")) == ()
    found = plan_for(wish, listed(1, ONE), serving(2, service="legacy"))
    assert [(type(one), getattr(one, "instance", "")) for one in found] == [(Retire, "legacy-1")]


def test_down_drains_it_like_any_other() -> None:
    found = plan_for(wanted(ONE, wanted="down"), listed(1, ONE))
    assert [(type(one), getattr(one, "instance", "")) for one in found] == [(Retire, "legacy-1")]


def test_what_an_up_would_change_is_told_by_addresses() -> None:
    old, new = wanted(ONE).desired, wanted(ONE, OTHER).desired
    assert list(map(str, differences(old, new))) == [f"legacy: targets {ONE} -> targets {ONE}, {OTHER}"]
    assert list(map(str, differences(None, new)))[1:] == ["legacy: is new, 2 targets"]


def test_why_it_is_as_it_is() -> None:
    observed = Observed(instances=(listed(1, ONE),), boot=BOOT)
    told = explain(wanted(ONE), observed, 60.0, "legacy")
    assert told.answer == "legacy has 1 of 1 healthy (targets that are not run here)."
    assert told.release.text == "none: fairlead routes to its targets, and does not run them"
    sick = explain(wanted(ONE), Observed(instances=(unproved(1, ONE),), boot=BOOT), 60.0, "legacy")
    assert sick.answer.startswith(f"legacy has 0 of 1 healthy: legacy-1 ({ONE}) has not passed a check yet: GET / ")
