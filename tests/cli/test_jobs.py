"""`fairlead jobs` and `jobs run` against a scripted daemon."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.cli import jobs as module
from fairlead.cli.jobs import table
from fairlead.core.layout import Layout
from fairlead.errors import DaemonUnavailable, NotFound, UsageError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Request, a_stack, serving, status_of
from tests.cli.test_main import ROOT


def a_run(**changes: Any) -> dict[str, Any]:
    return {
        "id": "nightly.job-17",
        "kind": "job",
        "service": "web",
        "release": 3,
        "scheduled_for": "2026-11-21T03:00:00Z",
        "started_at": "2026-11-21T03:00:00.412Z",
        "ended_at": "2026-11-21T03:00:04.012Z",
        "took": 3.6,
        "succeeded": True,
        "exit_status": 0,
        "signal": None,
        "outcome": "succeeded",
        **changes,
    }


def running(**changes: Any) -> dict[str, Any]:
    return a_run(
        **{"ended_at": None, "took": None, "succeeded": None, "exit_status": None, "outcome": "running"} | changes
    )


FAILED = a_run(succeeded=False, exit_status=3, outcome="exited with status 3")


def a_job(**changes: Any) -> dict[str, Any]:
    return {
        "stack": "shop",
        "job": "nightly",
        "service": "web",
        "cron": "0 3 * * *",
        "timezone": "UTC",
        "schedule": "At 03:00 every day (UTC)",
        "timeout": 600.0,
        "next": "2026-11-22T03:00:00Z",
        "running": None,
        "last": a_run(),
        **changes,
    }


UP = {"GET /status": status_of(a_stack("shop"))}


class TestTable:
    def test_it_shows_schedule_last_run_outcome_and_the_next_time(self, fairlead: Fairlead, home: Layout) -> None:
        never = a_job(job="weekly", last=None, next=None)
        with serving(home, {"GET /jobs": {"jobs": [a_job(), never]}}) as daemon:
            shown = fairlead("jobs")
        lines = shown.out.splitlines()
        assert lines[0] == "shop"
        assert lines[2].split(maxsplit=2)[:2] == ["nightly", "web"]
        assert "At 03:00 every day (UTC)  2026-11-21 03:00:00Z  3.6s  succeeded  2026-11-22 03:00:00Z" in lines[2]
        assert lines[3].rstrip().endswith("never                 -     -          never")
        assert all(line[lines[1].index("NEXT RUN") - 1] == " " for line in lines[2:])
        assert daemon.asked[-1].query == {}
        assert "next: fairlead jobs run nightly" in shown.err

    def test_one_that_runs_now_has_a_line_of_its_own(self) -> None:
        now = datetime(2026, 11, 21, 3, 2, 0, tzinfo=UTC)
        lines = table([a_job(running=running(id="nightly.job-18"))], now, colour=False)
        assert lines[-1] == "    nightly.job-18 is running for 1m59s"

    def test_a_failure_is_red_where_there_is_colour(self) -> None:
        lines = table([a_job(last=FAILED)], datetime.now(UTC), colour=True)
        assert lines[-1].startswith("\x1b[31m")
        assert "exited with status 3" in lines[-1]

    def test_each_stack_has_its_name_above_its_jobs(self) -> None:
        lines = table([a_job(), a_job(stack="bank")], datetime.now(UTC), colour=False)
        assert [line for line in lines if not line.startswith(" ")] == ["shop", "bank"]

    def test_json_is_the_daemons_answer(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, {"GET /jobs": {"jobs": [a_job()]}}) as daemon:
            shown = fairlead("jobs", "--stack", "shop", "--json")
        assert json.loads(shown.out) == {"jobs": [a_job()]}
        assert daemon.asked[-1].query == {"stack": "shop"}

    def test_without_jobs_and_without_a_daemon_it_says_so(self, fairlead: Fairlead, home: Layout) -> None:
        assert fairlead("jobs").err.startswith("no jobs")
        assert json.loads(fairlead("jobs", "--json").out) == {"jobs": []}
        assert fairlead("jobs", "--stack", "shop").status == 2
        with serving(home, {"GET /jobs": {"jobs": []}}):
            shown = fairlead("jobs")
        assert (shown.status, shown.out) == (0, "")

    def test_what_others_wrote_cannot_speak_to_the_terminal(self, fairlead: Fairlead, home: Layout) -> None:
        evil = "x\x1b[2J\n\ty\u202e"
        job = a_job(job=evil, service=evil, stack=evil, schedule=evil, last=a_run(outcome=evil, started_at=evil))
        with serving(home, {"GET /jobs": {"jobs": [job]}}):
            shown = fairlead("jobs")
        assert "\x1b" not in shown.out + shown.err
        assert "\u202e" not in shown.out

    def test_the_documented_keys_are_those_of_the_answer(self) -> None:
        with open(f"{ROOT}/docs/reference/jobs.md", encoding="utf-8") as file:
            page = file.read()
        for key in (*a_job(), *a_run()):
            assert f"`{key}`" in page, f"{key} is not explained"


def answers(*ends: Any, **changes: Any) -> dict[str, Any]:
    """A daemon that starts the job, and says of its run one thing after the other."""
    said = iter(ends)
    start = {"stack": "shop", "job": "nightly", "run": running(scheduled_for=None)}
    return {
        **UP,
        "POST /stacks/shop/jobs/nightly": start,
        "GET /stacks/shop/runs/nightly.job-17": lambda request: next(said),
        **changes,
    }


class TestRun:
    def test_it_waits_for_the_end_and_shows_it(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, answers(running(), running(), a_run(log="done"))) as daemon:
            shown = fairlead("jobs", "run", "nightly")
        assert (shown.status, shown.out) == (0, "")
        assert "nightly.job-17 succeeded after 3.6s" in shown.err
        assert daemon.paths_asked().count("POST /stacks/shop/jobs/nightly") == 1

    def test_a_failure_is_exit_1_with_the_last_lines_of_its_log(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, answers({**FAILED, "log": "Traceback\nValueError: no\x1b[2J"})):
            shown = fairlead("jobs", "run", "nightly", "--stack", "shop")
        assert shown.status == 1
        assert "nightly.job-17 failed after 3.6s: exited with status 3\n  Traceback\n  ValueError: no" in shown.err
        assert "\x1b" not in shown.err

    def test_json_is_the_run(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, answers(a_run(log=""))):
            shown = fairlead("jobs", "run", "nightly", "--json")
        assert json.loads(shown.out) == a_run(log="")

    def test_detached_it_does_not_wait(self, fairlead: Fairlead, home: Layout) -> None:
        with serving(home, answers()) as daemon:
            shown = fairlead("jobs", "run", "nightly", "--detach", "--json")
        assert shown.status == 0
        assert json.loads(shown.out)["id"] == "nightly.job-17"
        assert "GET /stacks/shop/runs/nightly.job-17" not in daemon.paths_asked()

    def test_a_daemon_that_goes_away_is_asked_again_and_nothing_is_started_twice(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def run(request: Request) -> Any:
            asked.append(request)
            if len(asked) < 3:
                return Refuse(DaemonUnavailable("the daemon went away", "a test"), 500)
            return a_run(log="")

        changed = {"GET /stacks/shop/runs/nightly.job-17": run}
        with serving(home, answers(**changed)) as daemon:
            shown = fairlead("jobs", "run", "nightly")
        assert shown.status == 0
        assert "the daemon went away; connecting to it again" in shown.err
        assert daemon.paths_asked().count("POST /stacks/shop/jobs/nightly") == 1

    def test_ctrl_c_ends_the_waiting_and_says_that_the_job_goes_on(
        self, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(module.time, "sleep", interrupted)
        with serving(home, answers(running())):
            shown = fairlead("jobs", "run", "nightly")
        assert shown.status == 130
        assert "nightly.job-17 goes on" in shown.err

    @pytest.mark.parametrize(
        ("refusal", "status"),
        [
            (Refuse(UsageError("nightly is running already", "a job never runs twice at once"), 400), 2),
            (Refuse(NotFound("there is no job 'nightly' in shop", "its file declares none"), 404), 2),
        ],
    )
    def test_a_refusal_is_exit_2(self, fairlead: Fairlead, home: Layout, refusal: Refuse, status: int) -> None:
        with serving(home, answers(**{"POST /stacks/shop/jobs/nightly": refusal})):
            shown = fairlead("jobs", "run", "nightly")
        assert shown.status == status
        assert shown.err.startswith("error: ")
