"""`fairlead explain`: what is asked of the daemon, what is read from the store, and what the operator reads."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from fairlead.core.desired import StackRecord
from fairlead.core.explain import DeploymentShown, explain
from fairlead.core.layout import Layout
from fairlead.core.model import Service, Targets
from fairlead.core.observed import Observed
from fairlead.core.steps import Step
from fairlead.errors import NotFound
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, a_stack, serving, status_of
from tests.cli.test_status_scaling import a_scaling
from tests.control.test_explain import AT, LAUNCH, OLD_SNAPSHOT
from tests.store.builders import a_stack_record

ANSWER = "web has 0 of 1 healthy: web-1 was killed by SIGKILL just now and web-2 is launched in its place."


def an_explanation(**changes: Any) -> dict[str, Any]:
    """As the daemon answers about the present."""
    wanted = TypeAdapter(StackRecord).validate_python(OLD_SNAPSHOT["wanted"])
    observed = TypeAdapter(Observed).validate_python(OLD_SNAPSHOT["observed"])
    plain = json.loads(TypeAdapter(Any).dump_json(explain(wanted, observed, 60.0, "web")))
    return {"at": AT, "asked": None, "decision": None, "kept_since": AT, **plain, **changes}


def keep_a_decision(home: Layout, *, stack: str = "shop", at: str = AT) -> None:
    store = Store.open(home.database)
    store.add_decision(at, stack, json.dumps(OLD_SNAPSHOT), json.dumps([LAUNCH]))
    store.close()


def test_the_first_line_is_the_answer(fairlead: Fairlead, home: Layout) -> None:
    answers = {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": an_explanation()}
    with serving(home, answers) as daemon:
        shown = fairlead("explain", "web")
    assert daemon.asked[-1].query == {"service": "web"}
    lines = shown.out.splitlines()
    assert (shown.status, lines[0]) == (0, "web has 0 of 1 healthy: web-1 was killed by SIGKILL just now.")
    assert lines[1].startswith("shop, now, 2026-01-01 ")
    assert "size        1, as the file says" in lines
    assert any(line.startswith("web-1       in_service for 58 s, but its process killed by SIGKILL") for line in lines)
    assert "next: fairlead status" in shown.err


def test_a_target_that_is_not_run_has_neither_release_nor_zone(fairlead: Fairlead, home: Layout) -> None:
    said = an_explanation()
    said["instances"][0] |= {"id": "api-1", "release": 0, "zone": "", "text": "in_service, healthy"}
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": said}):
        shown = fairlead("explain", "api")
    assert "api-1       in_service, healthy\n" in shown.out


def test_logs_are_named_next_only_of_what_has_some(fairlead: Fairlead, home: Layout) -> None:
    record = a_stack_record("shop")
    api = Service(name="api", program=Targets(addresses=("10.0.0.7:9000",)), source="")
    stack = replace(record.desired.stack, services=(*record.desired.stack.services, api))
    store = Store.open(home.database)
    store.save_stack(replace(record, desired=replace(record.desired, stack=stack)))
    store.close()
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": an_explanation()}):
        assert "next: fairlead status  |  fairlead events\n" in fairlead("explain", "api").err
        assert "next: fairlead status  |  fairlead logs web  |  fairlead events\n" in fairlead("explain", "web").err


def test_what_the_service_had_to_do_is_a_line_below_its_deployment(fairlead: Fairlead, home: Layout) -> None:
    figures = {"requests_per_second": 34.2, "error_rate": 0.008, "p50": 0.0119, "p95": 0.038, "outstanding": 0.6}
    answers = {"GET /status": status_of(a_stack("shop"))}
    with serving(home, {**answers, "GET /stacks/shop/explain": an_explanation(figures=figures)}):
        lines = fairlead("explain", "web").out.splitlines()
    load = "load        34 requests/s, 0.8% errors, p95 38 ms, p50 11.9 ms, 0.6 outstanding (over 10 s)"
    assert lines[lines.index(load) - 1].startswith(("deployment  ", "release     "))
    before_the_upgrade = an_explanation()
    del before_the_upgrade["figures"]
    with serving(home, {**answers, "GET /stacks/shop/explain": before_the_upgrade}):
        assert "\nload " not in fairlead("explain", "web").out


def test_a_groups_size_is_told_with_its_reason_and_what_would_change_it_in_local_time(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    would = ["cpu is 80%: above 60% for 3 s scales out"]
    schedule = [{"name": "morning", "next": "2026-01-02T08:00:00Z", "text": "min 4"}]
    scaling = a_scaling(reason="cpu was 80%", at="2026-01-01T09:59:00.000Z", schedule=schedule, would=would)
    said = an_explanation(scaling=scaling, suspended=["Launch"])
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": said}):
        lines = fairlead("explain", "web").out.splitlines()
    monkeypatch.undo()
    time.tzset()
    first = lines.index("size        3, within 2..10")
    assert [line.strip() for line in lines[first + 1 : first + 5]] == [
        "since 2026-01-01 10:59:00 CET: cpu was 80%",
        "requests_per_target 87/s, target 100/s",
        "scheduled action morning: min 4, next at 2026-01-02 09:00:00 CET",
        "suspended: Launch",
    ]
    assert lines[lines.index("would change its size") + 1] == f"  {would[0]}"


def test_json_is_what_the_daemon_said_and_ascii(fairlead: Fairlead, home: Layout) -> None:
    said = an_explanation(answer="web has \u2014 \x1b[2J")
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": said}):
        shown = fairlead("explain", "web", "--json")
    assert shown.out.isascii()
    assert json.loads(shown.out) == said


def test_terminal_escapes_of_others_are_shown_as_text(fairlead: Fairlead, home: Layout) -> None:
    said = an_explanation(answer="a\x1b[2J", waits=["b\x07"])
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": said}):
        shown = fairlead("explain", "web")
    assert "\x1b" not in shown.out
    assert "\x07" not in shown.out


def test_every_key_of_the_answer_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/explain.md").read_text(encoding="utf-8")
    said = an_explanation(earlier=[])
    instance = said["instances"][0]
    step = set(Step.__dataclass_fields__)
    for key in {*said, *said["size"], *said["release"], *instance, *step, *DeploymentShown.__dataclass_fields__}:
        assert f"`{key}`" in page, key


def test_a_moment_is_sent_in_utc(fairlead: Fairlead, home: Layout) -> None:
    answers = {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": an_explanation()}
    with serving(home, answers) as daemon:
        fairlead("explain", "web", "--stack", "shop", "--at", "2026-01-01T11:00:00+01:00")
    assert daemon.asked[-1].query == {"service": "web", "at": "2026-01-01T10:00:00.000Z"}


@pytest.mark.parametrize("at", ["soon", "9999-01-01T00:00:00Z"])
def test_what_is_no_past_moment_is_refused_before_anybody_is_asked(fairlead: Fairlead, home: Layout, at: str) -> None:
    shown = fairlead("explain", "web", "--at", at)
    assert (shown.status, shown.out) == (2, "")
    assert at in shown.err


def test_minutes_ago_may_begin_with_a_minus(fairlead: Fairlead, home: Layout) -> None:
    keep_a_decision(home)
    assert ANSWER in fairlead("explain", "web", "--at", "-10m").out


def test_a_stack_that_is_down_is_explained_without_a_daemon(fairlead: Fairlead, home: Layout) -> None:
    keep_a_decision(home)
    before = sorted(os.listdir(home.home))
    shown = fairlead("explain", "web")
    assert (shown.status, shown.out.splitlines()[0]) == (0, ANSWER)
    assert "shop, as decision 1 saw it at 2026-01-01 " in shown.out
    assert "it decided to\n  launch web-2 of release 1: replaces: web-1 killed by SIGKILL" in shown.out
    assert sorted(os.listdir(home.home)) == before


def test_a_stack_that_is_down_is_explained_beside_one_that_is_up_when_it_is_named(
    fairlead: Fairlead, home: Layout
) -> None:
    keep_a_decision(home)
    answers = {"GET /status": status_of(a_stack("other")), "GET /stacks/shop/explain": an_explanation()}
    with serving(home, answers) as daemon:
        assert fairlead("explain", "web", "--stack", "shop").status == 0
        assert fairlead("explain", "web").status == 1  # means the one that is up, of which nothing is scripted
    assert daemon.paths_asked()[1::2] == ["GET /stacks/shop/explain", "GET /stacks/other/explain"]


def test_nothing_kept_and_nothing_up_is_said(fairlead: Fairlead, home: Layout) -> None:
    shown = fairlead("explain", "web")
    assert (shown.status, shown.out) == (2, "")
    assert "there is no stack" in shown.err


def test_a_moment_of_which_nothing_is_kept_says_from_when_on_there_is(fairlead: Fairlead, home: Layout) -> None:
    keep_a_decision(home)
    shown = fairlead("explain", "web", "--at", "2025-01-01T00:00:00Z")
    assert shown.status == 2
    assert f"the oldest one is of {AT}" in shown.err


def test_an_unknown_service_is_answered_with_the_one_that_was_meant(fairlead: Fairlead, home: Layout) -> None:
    keep_a_decision(home)
    shown = fairlead("explain", "wbe")
    assert shown.status == 2
    assert "did you mean 'web'?" in shown.err
    refusal = Refuse(NotFound("there is no service 'wbe' in shop", "it has web"), 404)
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/explain": refusal}):
        assert fairlead("explain", "wbe").status == 2


def test_a_store_that_cannot_be_read_is_named(fairlead: Fairlead, home: Layout) -> None:
    keep_a_decision(home)
    store = Store.open(home.database)
    store._db.execute("UPDATE decisions SET snapshot = 'torn'")
    store.close()
    shown = fairlead("explain", "web")
    assert (shown.status, shown.out) == (1, "")
    assert "decision 1 cannot be read" in shown.err
