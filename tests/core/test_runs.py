"""Runs: started once for a time, ended when they must be, recorded when they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Job
from fairlead.core.observed import Observed
from fairlead.core.plan import EndRun, KillRun, LaunchRun, SkipJob, StartRun, StopRun
from fairlead.core.processes import Outcome, Process
from fairlead.core.running import decide, serving_revision
from fairlead.core.runs import Due, Run, RunRecord, latest, live, preparation

from .builders import BOOT, a_deployment, a_revision, a_service, a_stack, a_wish

NIGHTLY = Job(name="nightly", service="web", argv=("clean",), cron="0 3 * * *", timeout=600.0)
AT = "2026-01-02T03:00:00Z"
ALIVE = Process(alive=True, pid=7)
DONE = Outcome(exit_status=0)


def a_job_stack(**fields: Any) -> StackRecord:
    return a_wish(a_revision(a_stack(a_service(stop_timeout=10.0), jobs=(NIGHTLY,))), **fields)


def a_run(number: int = 1, process: Process | None = ALIVE, *, kind: Any = "job", **fields: Any) -> Run:
    name = "nightly" if kind == "job" else "web"
    values: dict[str, Any] = {
        "stack": "shop",
        "id": f"{name}.{'job' if kind == 'job' else 'before'}-{number}",
        "number": number,
        "kind": kind,
        "name": name,
        "service": "web",
        "release": 1,
        "argv": ("clean",),
        "boot": BOOT,
        "began_at": 100.0,
        "started_at": "2026-01-02T03:00:00Z",
        "timeout": 600.0 if kind == "job" else None,
    }
    return Run(record=RunRecord(**(values | fields)), process=process)


def ended(number: int, outcome: Outcome | None, **fields: Any) -> Run:
    return a_run(number, None, ended_at=AT, outcome=outcome, **fields)


def due(late: float = 0.5, **fields: Any) -> Due:
    return Due(job="nightly", scheduled_for=AT, late=late, **fields)


def seen(*runs: Run, due: tuple[Due, ...] = ()) -> Observed:
    return Observed(runs=runs, due=due, boot=BOOT)


class TestDue:
    def test_a_job_whose_time_has_come_is_started_in_the_release_that_serves(self) -> None:
        actions, wakes = decide(a_job_stack(), seen(due=(due(),)), 100.0)
        start = StartRun(
            kind="job", name="nightly", service="web", release=1, argv=("clean",), timeout=600.0, scheduled_for=AT,
            reason=f"it was due at {AT}",
        )  # fmt: skip
        assert (actions, wakes) == ([start], [])

    def test_while_a_deployment_runs_the_release_before_it_is_used(self) -> None:
        wanted = a_job_stack()
        newer = Revision(stack=wanted.desired.stack, releases=a_revision(wanted.desired.stack, web=2).releases)
        deploying = replace(wanted, desired=newer, previous=wanted.desired, deployment=a_deployment())
        (start,), _ = decide(deploying, seen(due=(due(),)), 100.0)
        assert isinstance(start, StartRun)
        assert start.release == 1
        (start,), _ = decide(replace(deploying, previous=None, deployment=None), seen(due=(due(),)), 100.0)
        assert isinstance(start, StartRun)
        assert start.release == 2

    def test_before_anything_has_served_and_while_the_stack_goes_down_there_are_no_jobs(self) -> None:
        first = a_job_stack(deployment=a_deployment())
        assert serving_revision(first) is None
        assert decide(first, seen(due=(due(),)), 100.0) == ([], [])
        assert serving_revision(a_job_stack(wanted="down")) is None
        assert decide(a_job_stack(wanted="down"), seen(due=(due(),)), 100.0) == ([], [])

    def test_never_two_at_once(self) -> None:
        (skip,), _ = decide(a_job_stack(), seen(a_run(), due=(due(),)), 110.0)
        assert isinstance(skip, SkipJob)
        assert skip.reason == f"nightly.job-1, which began at {AT}, is still running"

    def test_one_that_has_ended_in_this_very_moment_is_no_obstacle(self) -> None:
        actions, _ = decide(a_job_stack(), seen(a_run(process=Process(alive=False, outcome=DONE)), due=(due(),)), 110.0)
        assert [type(action) for action in actions] == [EndRun, StartRun]

    @pytest.mark.parametrize(("late", "kind"), [(0.0, StartRun), (60.0, StartRun), (60.1, SkipJob), (9e4, SkipJob)])
    def test_a_time_is_missed_after_a_minute(self, late: float, kind: type) -> None:
        (action,), _ = decide(a_job_stack(), seen(due=(due(late),)), 100.0)
        assert isinstance(action, kind)

    def test_what_was_missed_is_told_once_and_the_last_time_is_kept(self) -> None:
        (told, start), _ = decide(a_job_stack(), seen(due=(due(missed_since="2026-01-01T03:00:00Z"),)), 100.0)
        assert isinstance(told, SkipJob)
        assert told.reason.startswith("it was due from 2026-01-01T03:00:00Z on, and the daemon was not there")
        assert isinstance(start, StartRun)
        (told,), _ = decide(a_job_stack(), seen(due=(due(7200.0, missed_since="2026-01-01T03:00:00Z"),)), 100.0)
        assert isinstance(told, SkipJob)
        assert told.scheduled_for == AT

    def test_a_service_without_a_release_is_said(self) -> None:
        wanted = a_job_stack()
        bare = replace(wanted, desired=Revision(stack=wanted.desired.stack, releases={}))
        (skip,), _ = decide(bare, seen(due=(due(),)), 100.0)
        assert isinstance(skip, SkipJob)
        assert skip.reason == "its service web has no release"

    def test_a_job_that_has_left_the_file_meanwhile_is_passed_over(self) -> None:
        assert decide(a_wish(), seen(due=(due(),)), 100.0) == ([], [])


class TestEnd:
    @pytest.mark.parametrize("outcome", [DONE, Outcome(exit_status=3), Outcome(signal=9), None])
    def test_one_whose_process_is_gone_is_ended_with_its_outcome(self, outcome: Outcome | None) -> None:
        (action,), _ = decide(a_job_stack(), seen(a_run(process=Process(alive=False, outcome=outcome))), 110.0)
        assert action == EndRun(run="nightly.job-1", outcome=outcome or Outcome(), reason=str(outcome or Outcome()))

    def test_one_of_another_boot_ended_with_it(self) -> None:
        (action,), _ = decide(a_job_stack(), seen(a_run(process=None, boot="boot-0")), 110.0)
        assert action == EndRun(run="nightly.job-1", outcome=Outcome(), reason="ended with the machine's last boot")

    def test_an_end_that_was_recorded_and_not_cleared_is_done_again_with_the_same_outcome(self) -> None:
        (action,), _ = decide(a_job_stack(), seen(a_run(process=None, outcome=Outcome(exit_status=3))), 110.0)
        assert isinstance(action, EndRun)
        assert action.outcome == Outcome(exit_status=3)

    def test_a_run_that_lives_is_left_alone_until_its_time_is_over(self) -> None:
        assert decide(a_job_stack(), seen(a_run()), 110.0) == ([], [700.0])
        assert decide(a_job_stack(), seen(a_run(timeout=None)), 1e6) == ([], [])
        (action,), _ = decide(a_job_stack(), seen(a_run()), 700.0)
        assert action == StopRun(run="nightly.job-1", reason="ended because it took longer than its timeout of 10 min")

    def test_sigterm_is_sent_once_and_sigkill_after_the_services_stop_timeout(self) -> None:
        told = a_run(killed_for="its time", stopping_at=700.0)
        assert decide(a_job_stack(), seen(told), 701.0) == ([], [710.0])
        (action,), _ = decide(a_job_stack(), seen(told), 710.0)
        assert action == KillRun(run="nightly.job-1", reason="its time")
        (again,), _ = decide(a_job_stack(), seen(told), 720.0)
        assert again == action, "a kill that failed is tried again"

    def test_of_a_service_that_is_gone_the_default_stop_timeout_holds(self) -> None:
        other = a_wish(a_revision(a_stack(a_service("docs"))))
        assert decide(other, seen(a_run(killed_for="x", stopping_at=700.0)), 701.0) == ([], [730.0])

    def test_when_the_stack_goes_down_every_run_is_ended(self) -> None:
        actions, _ = decide(a_job_stack(wanted="down"), seen(a_run(), a_run(2, kind="before_traffic")), 110.0)
        assert {(type(action), action.reason) for action in actions} == {  # type: ignore[union-attr]
            (StopRun, "ended because the stack goes down")
        }

    def test_a_preparation_that_nobody_needs_any_more_is_ended(self) -> None:
        preparing = a_run(kind="before_traffic")
        assert decide(a_job_stack(), seen(preparing), 110.0) == ([], [])
        (action,), _ = decide(a_wish(a_revision(web=2)), seen(preparing), 110.0)
        assert isinstance(action, StopRun)
        assert action.reason == "ended because release 1 of web is no longer being deployed"

    def test_a_job_goes_on_over_a_deployment(self) -> None:
        assert decide(a_wish(a_revision(web=2)), seen(a_run()), 110.0) == ([], [700.0])

    def test_what_has_ended_needs_nothing(self) -> None:
        assert decide(a_job_stack(), seen(ended(1, DONE)), 110.0) == ([], [])


class TestNeverStarted:
    def test_one_that_was_recorded_a_moment_ago_is_launched(self) -> None:
        (action,), _ = decide(a_job_stack(), seen(a_run(process=None)), 102.0)
        assert isinstance(action, LaunchRun)

    @pytest.mark.parametrize(("wanted", "now"), [("up", 161.0), ("down", 102.0)])
    def test_one_that_was_recorded_long_ago_or_is_not_wanted_is_ended(self, wanted: str, now: float) -> None:
        (action,), _ = decide(a_job_stack(wanted=wanted), seen(a_run(process=None)), now)
        assert action == EndRun(run="nightly.job-1", outcome=Outcome(), reason="it was recorded, and never started")


class TestPreparation:
    def of(self, *runs: Run) -> str:
        return preparation("web", 1, runs, BOOT)

    def test_it_is_needed_until_one_has_run(self) -> None:
        assert self.of() == "needed"
        assert self.of(ended(1, DONE, kind="before_traffic", release=2)) == "needed"
        assert self.of(ended(1, DONE)) == "needed", "a job is no preparation"

    def test_it_runs_and_is_done_or_has_failed(self) -> None:
        assert self.of(a_run(kind="before_traffic")) == "running"
        assert self.of(ended(1, DONE, kind="before_traffic")) == "done"
        assert self.of(ended(1, Outcome(exit_status=1), kind="before_traffic")) == "failed"
        assert self.of(ended(1, DONE, kind="before_traffic", killed_for="its time")) == "failed"
        assert self.of(ended(1, None, kind="before_traffic", error="could not be started: no")) == "failed"

    def test_the_last_one_counts(self) -> None:
        bad, good = ended(1, Outcome(exit_status=1), kind="before_traffic"), ended(2, DONE, kind="before_traffic")
        assert self.of(good, bad) == self.of(bad, good) == "done"

    def test_one_of_another_boot_counts_only_if_it_succeeded(self) -> None:
        assert self.of(ended(1, DONE, kind="before_traffic", boot="boot-0")) == "done"
        assert self.of(ended(1, Outcome(exit_status=1), kind="before_traffic", boot="boot-0")) == "needed"

    def test_one_of_which_nobody_knows_the_end_is_run_again(self) -> None:
        assert self.of(ended(1, Outcome(), kind="before_traffic")) == "needed"


def test_how_a_run_ended_is_said_in_words() -> None:
    assert ended(1, DONE).record.how == "succeeded"
    assert ended(1, Outcome(exit_status=3)).record.how == "exited with status 3"
    assert (
        ended(1, Outcome(signal=15), killed_for="ended because it was late").record.how == "ended because it was late"
    )
    assert ended(1, None, error="could not be started: no").record.how == "could not be started: no"
    assert a_run().record.how == ""


def test_the_latest_is_the_one_with_the_highest_number() -> None:
    runs = (ended(9, DONE), ended(10, DONE), a_run(11, kind="before_traffic"))
    found = latest(runs, "job", "nightly")
    assert found is not None
    assert found.record.number == 10
    assert latest(runs, "job", "nightly", release=2) is None
    assert live(runs) == runs[2:]
