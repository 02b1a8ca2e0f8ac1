"""Snapshots and the sentences that explain them; and that no snapshot is beyond explanation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.desired import Scaled, StackRecord
from fairlead.core.explain import Explanation, Since, explain
from fairlead.core.observed import Instance, Observed, StartHistory
from fairlead.core.plan import Launch, Remove, Retire
from fairlead.core.processes import Outcome, Process
from fairlead.core.reconcile import decide
from fairlead.core.running import Run, RunRecord
from fairlead.core.steps import Step, steps_of
from fairlead.core.traffic import MissingListener

from .builders import (
    BOOT,
    SAYS_503,
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
    terminating,
    unhealthy,
)
from .test_laws import a_running_world, befall, fates

NOW = 1000.0
KILLED = "replaces: web-4 killed by SIGKILL"


def a_wish_for(instances: int, **fields: Any) -> StackRecord:
    return a_wish(a_revision(a_stack(a_service(instances=instances))), **fields)


def told(wanted: StackRecord, *instances: Instance, now: float = NOW, **fields: Any) -> Explanation:
    observed = seen(wanted, *instances, histories=fields.pop("histories", ()), **fields.pop("seen", {"boot": BOOT}))
    return explain(wanted, observed, now, fields.pop("service", "web"), **fields)


def a_step(instance: str, action: str = "Retire", ago: float = 12.0) -> Step:
    return Step(decision=7, at="2026-01-01T00:00:00Z", ago=ago, action=action, instance=instance, reason="", text="")


class TestTheAnswer:
    def test_all_is_well(self) -> None:
        answer = told(a_wish_for(2), serving(1), serving(2)).answer
        assert answer == "web has 2 of 2 healthy, on release 1."

    def test_one_was_killed_and_its_replacement_starts(self) -> None:
        answer = told(
            a_wish_for(3), serving(5), serving(6), starting(7, launched_at=NOW - 11, cause=KILLED),
            earlier=(a_step("web-4"),),
        ).answer  # fmt: skip
        assert (
            answer == "web has 2 of 3 healthy: web-4 was killed by SIGKILL 12 s ago and web-7 is starting in its place."
        )

    def test_the_moment_of_the_death_itself(self) -> None:
        wanted = a_wish_for(2)
        observed = seen(wanted, serving(1), gone(serving(2)), boot=BOOT)
        plan = decide(wanted, observed, NOW)
        answer = explain(wanted, observed, NOW, "web", decided=plan.actions).answer
        assert (
            answer == "web has 1 of 2 healthy: web-2 was killed by SIGKILL just now and web-3 is launched in its place."
        )

    def test_what_it_died_of_is_known_when_nobody_could_record_it(self) -> None:
        cause = "replaces: web-4 ended, nobody could record how (killed together with its launcher)"
        answer = told(
            a_wish_for(1), starting(5, launched_at=NOW - 3, cause=cause), earlier=(a_step("web-4", ago=4.0),)
        ).answer
        assert "web-4 ended, nobody could record how (killed together with its launcher) 4 s ago and web-5 is" in answer

    def test_after_a_restart_of_the_machine(self) -> None:
        wanted = a_wish_for(1)
        lost = replace(serving(1, boot="boot-0"), process=Process(alive=False), target=None)
        observed = seen(wanted, lost, boot=BOOT)
        answer = explain(wanted, observed, 5.0, "web", decided=decide(wanted, observed, 5.0).actions).answer
        assert answer == (
            "web has 0 of 1 healthy: web-1 ended with the machine's last boot just now and web-2 is launched in its place."
        )

    def test_a_loss_that_is_over_is_still_what_the_reader_may_be_here_for(self) -> None:
        wanted, lost = a_wish_for(2), (a_step("web-4", ago=40.0),)
        instances = (serving(1), serving(5, cause=KILLED, in_service_at=NOW - 39))
        answer = told(wanted, *instances, earlier=lost).answer
        assert (
            answer == "web has 2 of 2 healthy: web-4 was killed by SIGKILL 40 s ago and web-5 took its place 39 s ago."
        )
        assert told(wanted, *instances, earlier=lost, now=NOW + 3600).answer == "web has 2 of 2 healthy, on release 1."

    def test_an_unhealthy_one_is_told_with_its_last_check(self) -> None:
        answer = told(a_wish_for(2), serving(1), unhealthy(2, since=NOW - 8)).answer
        assert answer == (
            "web has 1 of 2 healthy: web-2 has been unhealthy for 8 s: GET / answered 503 in 4 ms, not 200."
        )

    def test_an_unhealthy_one_is_told_together_with_its_replacement(self) -> None:
        cause = "replaces: web-2 is unhealthy"
        answer = told(
            a_wish_for(2), serving(1), unhealthy(2, since=NOW - 8), starting(3, launched_at=NOW - 1, cause=cause)
        ).answer
        assert answer == (
            "web has 1 of 2 healthy: web-2 has been unhealthy for 8 s and web-3 is starting in its place."
        )

    def test_a_frozen_one(self) -> None:
        answer = told(a_wish_for(1), unhealthy(1, since=NOW - 8, frozen=True)).answer
        assert "web-1 is frozen (SIGSTOP or a debugger) and has been unhealthy for 8 s" in answer

    def test_a_frozen_one_whose_checks_have_not_failed_yet(self) -> None:
        frozen = replace(serving(1), process=Process(alive=True, pid=7, frozen=True))
        answer = told(a_wish_for(1), frozen).answer
        assert answer == (
            "web has 1 of 1 healthy: web-1 is frozen (SIGSTOP or a debugger), and its checks have not failed yet."
        )

    def test_one_that_does_not_come_up_is_told_with_what_it_answers(self) -> None:
        answer = told(a_wish_for(1), starting(1, launched_at=NOW - 20, check=SAYS_503)).answer
        assert (
            answer == "web has 0 of 1 healthy: web-1 has been starting for 20 s: GET / answered 503 in 4 ms, not 200."
        )

    def test_a_program_that_cannot_start(self) -> None:
        history = StartHistory(
            service="web", release=1, failures=3, last_failed_at=NOW - 1, last_outcome="exited with status 1",
            last_instance="web-3",
        )  # fmt: skip
        explanation = told(a_wish_for(2), histories=(history,))
        assert explanation.answer == (
            "web has 0 of 2 healthy: it waits for the next start, in 3 s: 3 starts of release 1 failed in a row; web-3"
            " exited with status 1."
        )

    def test_a_deployment_under_way(self) -> None:
        wanted = a_wish_for(2)
        moving = replace(
            wanted, previous=wanted.desired, desired=a_revision(wanted.desired.stack, web=2),
            deployment=a_deployment(7, began_at=NOW - 5),
        )  # fmt: skip
        explanation = told(
            moving, serving(1), serving(2), serving(3, release=2), starting(4, release=2, launched_at=NOW - 1)
        )
        assert explanation.answer == (
            "web has 3 healthy, 1 more than the 2 desired: deployment 7 moves it from release 1 to 2, 1 of 2 done;"
            " web-4 has been starting for 1 s."
        )
        assert explanation.release.text == "2; it goes back to release 1 if the deployment fails"
        assert explanation.deployment is not None
        assert explanation.deployment.text == "7, under way for 5 s"

    def test_a_restart_under_way(self) -> None:
        wanted = a_wish_for(1)
        wanted = replace(
            wanted, previous=wanted.desired, desired=replace(wanted.desired, replaced_below={"web": 2}),
            deployment=a_deployment(8, began_at=NOW),
        )  # fmt: skip
        assert "deployment 8 replaces every instance, 0 of 1 done" in told(wanted, serving(1)).answer

    def test_a_deployment_that_failed_is_not_forgotten(self) -> None:
        failed = a_deployment(7, status="failed", reason="web-3 passed no health check", place="fairlead.yaml:4:5")
        explanation = told(a_wish_for(1, deployment=failed), serving(1))
        assert explanation.answer == (
            "web has 1 of 1 healthy, on release 1. The last deployment, 7, failed: web-3 passed no health check."
        )
        assert explanation.deployment is not None
        assert explanation.deployment.text.endswith("failed: web-3 passed no health check (fairlead.yaml:4:5)")

    def test_an_instance_drained_by_hand(self) -> None:
        drained = replace(serving(1), record=a_record(1, drained=True))
        drained = replace(drained, target=replace(drained.target, mode="draining"))
        explanation = told(a_wish_for(2), drained, serving(2))
        assert explanation.answer == "web has 1 of 2 healthy: web-1 was drained by hand."
        assert explanation.waits == ("you: web-1 was drained by hand, until `fairlead instance return web-1`",)

    def test_one_that_is_to_be_replaced_names_why(self) -> None:
        answer = told(a_wish_for(1), serving(1, condemned="it is older than max_lifetime, 60 s")).answer
        assert answer == "web has 1 of 1 healthy: web-1 is to be replaced: it is older than max_lifetime, 60 s."

    def test_a_silent_balancer(self) -> None:
        instance = replace(serving(1), target=None)
        answer = told(a_wish_for(1), instance, seen={"boot": BOOT, "balancer_known": False}).answer
        assert (
            answer == "web has 0 of 1 healthy: the balancer does not answer, so nobody knows which targets are healthy."
        )

    def test_only_the_first_reasons_are_in_the_answer(self) -> None:
        instances = [unhealthy(number, since=NOW - 8) for number in range(1, 6)]
        assert told(a_wish_for(5), *instances).answer.endswith("; and 2 more, below.")

    def test_a_stack_on_its_way_down(self) -> None:
        answer = told(a_wish_for(2, wanted="down"), terminating(1)).answer
        assert answer == "web is being taken away, because its stack goes down: 1 instance of it is still to end."

    def test_a_stack_that_is_down(self) -> None:
        wanted = a_wish_for(2, wanted="down")
        explanation = explain(
            wanted, Observed(boot=BOOT), NOW, "web", decided=(Remove(reason="nothing runs any more"),)
        )
        assert explanation.answer == "web has no instances: shop is down."
        assert explanation.release.number is None

    def test_a_service_that_left_the_file(self) -> None:
        left = replace(terminating(3), record=a_record(3, service="old", state="terminating", terminating_at=NOW - 2))
        answer = told(a_wish_for(1), serving(1), left, service="old").answer
        assert (
            answer == "old is being taken away, because it is no longer in the file: 1 instance of it is still to end."
        )

    def test_a_service_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(KeyError):
            told(a_wish_for(1), serving(1), service="wbe")


class TestTheDetails:
    def test_the_size_names_who_set_it(self) -> None:
        wanted = a_wish_for(2)
        assert told(wanted).size.text == "2, as the file says"
        size = told(replace(wanted, scaled={"web": Scaled(desired=4, declared=2)})).size
        assert (size.text, size.desired, size.declared, size.by_hand) == ("4, set by hand; the file says 2", 4, 2, True)
        assert not told(replace(wanted, scaled={"web": Scaled(desired=4, declared=3)})).size.by_hand

    @pytest.mark.parametrize(
        ("since", "says"),
        [(Since(deployment=3, at_the_latest=False), "1, wanted since deployment 3"),
         (Since(deployment=3, at_the_latest=True), "1, wanted since deployment 3 or earlier")],
    )  # fmt: skip
    def test_the_release_names_the_deployment_that_brought_it(self, since: Since, says: str) -> None:
        assert told(a_wish_for(1), since=since).release.text == says

    def test_an_instance_says_since_when_and_why(self) -> None:
        shown = told(a_wish_for(1), serving(1, in_service_at=NOW - 60, protected=True, cause="a test")).instances[0]
        assert shown.text == "in_service for 1 min, healthy"
        assert shown.clauses == ("launched because: a test", "protected from scale-in")

    def test_one_that_leaves_says_how_far_it_is(self) -> None:
        leaving = terminating(
            1, terminating_at=NOW - 6, deregistered_at=NOW - 4, stopping_at=NOW - 4, why="desired is 1"
        )
        explanation = told(a_wish_for(1), leaving, serving(2))
        assert explanation.instances[0].text == "terminating for 6 s, unused (Target.NotRegistered)"
        assert explanation.instances[0].clauses[1:] == (
            "terminating because: desired is 1", "let go by the balancer 4 s ago", "SIGTERM sent 4 s ago",
        )  # fmt: skip
        assert explanation.waits == ("web-1 to end after SIGTERM; SIGKILL follows in 26 s (stop_timeout)",)

    def test_instances_are_in_the_order_of_their_numbers(self) -> None:
        shown = told(a_wish_for(3), serving(10), serving(9), serving(2)).instances
        assert [one.id for one in shown] == ["web-2", "web-9", "web-10"]


class TestWhatItWaitsFor:
    def test_the_grace_period_of_one_that_starts(self) -> None:
        waits = told(a_wish_for(1), starting(1, launched_at=NOW - 12)).waits
        assert waits == (
            "the first passed health check of web-1 (GET / could not connect: Connection refused); it has 18 s left of its"
            " grace period of 30 s",
        )

    def test_the_deregistration_delay_of_one_with_requests_inside(self) -> None:
        waits = told(a_wish_for(1), serving(2), terminating(1, terminating_at=NOW - 10, sessions=3)).waits
        assert waits == ("3 requests inside web-1 to finish; its deregistration delay of 30 s ends in 20 s",)

    def test_an_unhealthy_one_that_is_never_replaced(self) -> None:
        wanted = a_wish(a_revision(a_stack(a_service(instances=1, replace_unhealthy=False))))
        assert "replace_unhealthy is off" in told(wanted, unhealthy(1, since=NOW - 50)).waits[0]

    def test_services_that_must_be_healthy_first(self) -> None:
        wanted = a_wish(a_revision(a_stack(a_service("web", instances=1, after=("db",)), a_service("db", instances=1))))
        wanted = replace(wanted, deployment=a_deployment(began_at=NOW))
        assert told(wanted).waits == ("db, which must be healthy before web is started (after)",)

    def test_before_traffic(self) -> None:
        wanted = a_wish_for(1, deployment=a_deployment(began_at=NOW - 5))
        record = RunRecord(
            stack="shop", id="web.before-1", number=1, kind="before_traffic", name="web", service="web", release=1,
            argv=("migrate",), boot=BOOT, began_at=NOW - 4, started_at="",
        )  # fmt: skip
        runs = (Run(record=record, process=Process(alive=True, pid=7)),)
        waits = told(wanted, seen={"boot": BOOT, "runs": runs}).waits
        assert waits == (
            "before_traffic of release 1 (web.before-1, running for 4 s): no instance is launched before it ends",
        )

    def test_a_port_that_somebody_else_has(self) -> None:
        missing = (MissingListener(stack="shop", address="127.0.0.1", port=8080, why="nginx (pid 9) has it"),)
        assert told(a_wish_for(1), serving(1), seen={"boot": BOOT, "missing": missing}).waits == (
            "its port 8080: nginx (pid 9) has it",
        )

    def test_a_worker_that_has_just_begun(self) -> None:
        wanted = a_wish(a_revision(a_stack(a_service(instances=1, serves=False), listeners=())))
        worker = replace(starting(1, launched_at=NOW - 0.5, address=""), target=None)
        assert told(wanted, worker).waits == ("web-1 to have run for 1 s",)


def test_a_step_is_of_the_service_that_its_instance_belongs_to() -> None:
    actions = (
        Launch(service="web", instance="web-7", number=7, release=5, zone="a", reason="a test"),
        Retire(instance="web-2-1", reason="of service web-2"),
        Retire(instance="web-4", reason=str(Outcome(signal=9))),
    )
    found = steps_of(actions, "web")
    assert [step.text for step in found] == ["launch web-7 of release 5: a test", "take out web-4: killed by SIGKILL"]
    assert [step.instance for step in found] == ["web-7", "web-4"]


@given(st.integers(1, 4), fates, st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_every_snapshot_of_every_history_explains_in_one_line(instances: int, history: list, cycles: int) -> None:
    world = a_running_world(instances)
    steps: tuple[Step, ...] = ()

    def look() -> None:
        nonlocal steps
        observed = world.observe()
        plan = decide(world.wanted, observed, world.now)
        explanation = explain(world.wanted, observed, world.now, "web", decided=plan.actions, earlier=steps)
        assert explanation.answer.startswith("web ")
        assert explanation.answer.endswith(".")
        assert "\n" not in explanation.answer
        healthy = sum(one.health == "healthy" for one in explanation.instances)
        if world.wanted.wanted == "up" and healthy < explanation.size.desired:
            # Never only the bad news: a deficit is always explained.
            assert "healthy:" in explanation.answer, explanation
        steps = (*steps, *steps_of(plan.actions, "web"))[-20:]

    for fate, value in history:
        befall(world, fate, value)
        look()
        world.cycle()
    for _ in range(cycles):
        look()
        world.cycle()
        world.now += 0.1
