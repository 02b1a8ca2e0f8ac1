"""Stored decisions explained: of now, of the past, of a stack that is down, and of an earlier fairlead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairlead.control.explain import explain_past
from fairlead.errors import NotFound, StoreError, UsageError

from .town import Town

# As the first version wrote it, but for what a migration changes: none of the fields that came later.
CHECK = {
    "path": "/", "host": "localhost", "interval": 5.0, "timeout": 2.0, "healthy_threshold": 2, "unhealthy_threshold": 2,
    "matcher": "200", "grace_period": 30.0, "replace_unhealthy": True,
}  # fmt: skip
SERVICE = {
    "name": "web", "program": {"argv": ["serve"]}, "source": "/src", "python": None, "environment": {}, "minimum": 1,
    "desired": 1, "maximum": 1, "health_check": CHECK, "target_group": {"deregistration_delay": 30.0, "retry": "safe_methods"},
    "stop_timeout": 30.0, "min_healthy": 100, "max_healthy": 200,
}  # fmt: skip
STACK = {
    "name": "shop", "path": "/src/fairlead.yaml", "engine": "local", "services": [SERVICE], "zones": ["a"], "places": {},
    "listeners": [{"port": 8080, "default": {"kind": "forward", "weights": [["web", 1]]}, "address": "127.0.0.1", "protocol": "HTTP"}],
}  # fmt: skip
RELEASE = {
    "service": "web", "number": 1, "fingerprint": "f", "source": "/r/1", "environment_folder": None, "argv": ["serve"],
    "address": "tcp", "environment": {}, "interface": None, "created_at": "", "ignored": [],
}  # fmt: skip
RECORD = {
    "stack": "shop", "service": "web", "id": "web-1", "number": 1, "release": 1, "zone": "a",
    "address": "127.0.0.1:20001", "state": "in_service", "boot": "b", "launched_at": 1.0, "started_at": "",
    "cause": "a test", "in_service_at": 2.0, "terminating_at": None, "why": "", "deregistered_at": None,
    "stopping_at": None, "ended_at": None, "outcome": None, "failed_start": False,
}  # fmt: skip
PROCESS = {"alive": False, "pid": None, "frozen": False, "outcome": {"exit_status": None, "signal": 9}}
OLD_SNAPSHOT = {
    "now": 60.0,
    "wanted": {
        "name": "shop", "wanted": "up", "desired": {"stack": STACK, "releases": {"web": RELEASE}}, "previous": None,
        "deployment": None, "check_token": "t",
    },
    "observed": {
        "instances": [{"record": RECORD, "process": PROCESS, "target": None, "unhealthy_at": None}], "strangers": [],
        "balancer_known": True, "routing": None, "starts": [], "next_numbers": [["web", 2]], "boot": "b", "missing": [],
    },
}  # fmt: skip
LAUNCH = {
    "action": "Launch", "service": "web", "instance": "web-2", "number": 2, "release": 1, "zone": "a",
    "reason": "replaces: web-1 killed by SIGKILL",
}  # fmt: skip


class Journal:
    """Decisions as a test wrote them."""

    def __init__(self, *rows: tuple[str, Any, Any]) -> None:
        self.rows = [
            {"id": number, "at": at, "stack": "shop", "snapshot": json.dumps(snapshot), "plan": json.dumps(plan)}
            for number, (at, snapshot, plan) in enumerate(rows, 1)
        ]

    def decisions(self, stack: str | None, limit: int, until: str | None = None) -> list[dict[str, Any]]:
        found = [row for row in self.rows if row["stack"] == stack and (until is None or row["at"] <= until)]
        return found[-limit:]

    def first_decision(self, stack: str) -> str | None:
        return next((row["at"] for row in self.rows if row["stack"] == stack), None)


AT = "2026-01-01T10:00:00.000Z"


def test_a_decision_of_an_earlier_fairlead_is_still_explained() -> None:
    answer = explain_past(Journal((AT, OLD_SNAPSHOT, [LAUNCH])), "shop", "web", None)
    assert answer["answer"] == (
        "web has 0 of 1 healthy: web-1 was killed by SIGKILL just now and web-2 is launched in its place."
    )
    assert (answer["decision"], answer["at"], answer["kept_since"]) == (1, AT, AT)


def test_what_a_later_fairlead_added_is_passed_over() -> None:
    later = {**OLD_SNAPSHOT, "weather": "fine", "wanted": {**OLD_SNAPSHOT["wanted"], "mood": "good"}}
    plan = [{"action": "Teleport", "instance": "web-1"}, {**LAUNCH, "speed": 9}, {"action": "Stop"}, "nonsense"]
    answer = explain_past(Journal((AT, later, plan)), "shop", "web", None)
    assert [step["action"] for step in answer["decided"]] == ["Launch"]


@pytest.mark.parametrize("snapshot", [{}, {"now": 1.0}, [], {**OLD_SNAPSHOT, "wanted": {"name": "shop"}}])
def test_a_decision_that_cannot_be_read_is_said(snapshot: Any) -> None:
    with pytest.raises(StoreError, match="decision 1 cannot be read"):
        explain_past(Journal((AT, snapshot, [])), "shop", "web", None)


def test_a_damaged_earlier_decision_does_not_hide_a_sound_one() -> None:
    answer = explain_past(Journal((AT, {}, [LAUNCH]), (AT, OLD_SNAPSHOT, [])), "shop", "web", None)
    assert [(step["instance"], step["ago"]) for step in answer["earlier"]] == [("web-2", None)]


def test_a_moment_before_everything_that_is_kept_says_from_when_on_there_is_something() -> None:
    with pytest.raises(NotFound, match=r"from before 2026-01-01T09:00:00\.000Z is kept") as caught:
        explain_past(Journal((AT, OLD_SNAPSHOT, [])), "shop", "web", "2026-01-01T10:00:00+01:00")
    assert AT in caught.value.why
    assert AT in caught.value.next_step


def test_a_stack_that_never_was_is_said() -> None:
    with pytest.raises(NotFound, match="no decision of a stack 'shpo' is kept"):
        explain_past(Journal((AT, OLD_SNAPSHOT, [])), "shpo", "web", None)


def test_a_mistyped_service_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(NotFound, match="did you mean 'web'"):
        explain_past(Journal((AT, OLD_SNAPSHOT, [])), "shop", "wbe", None)


@pytest.mark.parametrize("at", ["yesterday", "10:02", "2026-01-01T10:00:00", "9999-12-31T23:59:59-23:00", ""])
def test_what_is_no_moment_with_a_zone_is_refused(at: str) -> None:
    with pytest.raises(UsageError, match="is no moment"):
        explain_past(Journal((AT, OLD_SNAPSHOT, [])), "shop", "web", at)


def test_the_trail_of_a_release_ends_at_the_deployment_that_brought_it() -> None:
    def snapshot(release: int, deployment: int) -> dict[str, Any]:
        fields = {"number": deployment, "status": "successful", "boot": "b", "began_at": 1.0, "started_at": ""}
        desired = {"stack": STACK, "releases": {"web": {**RELEASE, "number": release}}}
        return {**OLD_SNAPSHOT, "wanted": {**OLD_SNAPSHOT["wanted"], "desired": desired, "deployment": fields}}

    first = explain_past(Journal((AT, snapshot(1, 1), [])), "shop", "web", None)
    assert first["release"]["text"] == "1, wanted since deployment 1"
    down = {**snapshot(1, 9), "wanted": {**snapshot(1, 9)["wanted"], "wanted": "down"}}
    again = explain_past(
        Journal((AT, snapshot(1, 8), []), (AT, down, []), (AT, snapshot(1, 2), [])), "shop", "web", None
    )
    assert again["release"]["text"] == "1, wanted since deployment 2"
    rows = [(AT, snapshot(1, 1), []), (AT, snapshot(2, 2), []), (AT, snapshot(2, 3), [])]
    answer = explain_past(Journal(*rows), "shop", "web", None)
    assert answer["release"]["text"] == "2, wanted since deployment 2"
    answer = explain_past(Journal(*rows[1:]), "shop", "web", None)
    assert answer["release"]["text"] == "2, wanted since deployment 2 or earlier"


async def test_the_present_is_explained_with_what_was_lost_before(town: Town) -> None:
    supervisor = await town.daemon()
    await town.up(supervisor)
    town.engine.end("shop", "web-1")
    await town.until("the replacement to start", lambda: "web-3" in town.living())
    answer = await supervisor.explain("shop", "web")
    assert answer["decision"] is None
    assert answer["answer"].startswith("web has 1 of 2 healthy: web-1 ")
    assert answer["answer"].endswith("and web-3 is starting in its place.")
    assert [one["id"] for one in answer["instances"]][-1] == "web-3"
    assert "Retire" in [step["action"] for step in answer["earlier"]]
    assert answer["release"]["text"].startswith("1, wanted since deployment 1")
    assert json.loads(json.dumps(answer))["stack"] == "shop"


async def test_a_stack_that_is_down_is_explained_from_its_last_decision(town: Town) -> None:
    supervisor = await town.daemon()
    await town.up(supervisor)
    up = supervisor.events("shop", 1000, 0)[-1]["at"]
    await supervisor.down("shop", lambda event: None)
    answer = await supervisor.explain("shop", "web")
    assert answer["answer"] == "web has no instances: shop is down."
    assert answer["decision"] is not None
    past = await supervisor.explain("shop", "web", up)
    assert past["answer"].startswith("web has ")
    assert past["at"] <= up


async def test_an_unknown_service_of_a_living_stack_is_refused(town: Town) -> None:
    supervisor = await town.daemon()
    await town.up(supervisor)
    with pytest.raises(NotFound, match="did you mean 'web'"):
        await supervisor.explain("shop", "webb")
