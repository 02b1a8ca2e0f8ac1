"""What `status` and `explain` say of an auto scaling group."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.cli.explain_size import size_lines, size_of
from fairlead.cli.screen import when_changed
from fairlead.cli.status_table import View, next_useful, table
from fairlead.core.suspension import PROCESSES
from tests.cli.scripted import a_stack, an_instance, status_of, understood

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT = "2026-11-21T11:58:00.000Z"


def a_policy(**changes: Any) -> dict[str, Any]:
    return {
        "name": "requests_per_target at 100/s", "metric": "requests_per_target", "kind": "target",
        "level": 100.0, "value": 87.0, "state": "OK",
        "wants": "hold", "capacity": 3, "text": "requests_per_target 87/s, target 100/s", **changes,
    }  # fmt: skip


def a_scaling(**changes: Any) -> dict[str, Any]:
    return {
        "minimum": 2, "desired": 3, "maximum": 10, "declared": {"minimum": 2, "desired": 2, "maximum": 10},
        "by_hand": False, "reason": "", "at": "", "held": "", "policies": [a_policy()], "schedule": [],
        "warm_pool": {"size": 0, "ready": 0, "starting": 0}, **changes,
    }  # fmt: skip


def a_group(*more: dict[str, Any], suspended: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """A stack with one service of three instances, and `more`."""
    stack = a_stack("shop", (*(an_instance(f"web-{number}") for number in (1, 2, 3)), *more))
    scaling = a_scaling(**changes)
    stack["services"][0] |= {
        "desired": 3, "declared": 2, "min": 2, "max": 10, "scaling": scaling, "suspended": list(suspended)
    }  # fmt: skip
    return stack


def drawn(stack: dict[str, Any], width: int | None = None, *, colour: bool = False) -> list[str]:
    return table(status_of(stack), View(NOON, colour, width))


def below_the_service(stack: dict[str, Any]) -> list[str]:
    """The lines between a service's own and its instances."""
    lines = drawn(stack)
    return [
        line.removeprefix("    ") for line in lines[3 : next(n for n, line in enumerate(lines) if "INSTANCE" in line)]
    ]


def test_a_scaled_service_shows_its_bounds_and_its_policies() -> None:
    stack = a_group()
    assert drawn(stack)[2] == "  web  release 1, 3 of 3 healthy (2..10)"
    assert below_the_service(stack) == ["requests_per_target 87/s, target 100/s"]
    assert next_useful(status_of(stack), understood)[0] == "fairlead check"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"by_hand": True}, "2..10, 3 set by hand"),
        ({"maximum": 12}, "2..12, the file says 2..10"),
        ({"by_hand": True, "minimum": 1}, "1..10, 3 set by hand, the file says 2..10"),
        ({"declared": {"minimum": 2, "desired": 7, "maximum": 10}}, "2..10"),
    ],
)
def test_what_was_set_by_hand_is_told_beside_what_the_file_says(changes: dict[str, Any], said: str) -> None:
    assert drawn(a_group(**changes))[2] == f"  web  release 1, 3 of 3 healthy ({said})"


@pytest.mark.parametrize(
    ("policy", "wish"),
    [
        ({"wants": "out", "capacity": 5}, ": wants 5 instances"),
        ({"wants": "out", "capacity": 14}, ": wants 14 instances"),
        ({"wants": "in", "capacity": 0}, ": wants 2 instances"),
        ({"wants": "out", "capacity": 3}, ""),
        ({"wants": "out", "capacity": 2}, ""),
        ({"wants": "in", "capacity": 4}, ""),
        ({"wants": "hold", "capacity": 1}, ""),
        ({"wants": "unknown", "capacity": None}, ""),
    ],
)
def test_a_policy_that_asks_for_another_size_says_which(policy: dict[str, Any], wish: str) -> None:
    assert below_the_service(a_group(policies=[a_policy(**policy)])) == [
        f"requests_per_target 87/s, target 100/s{wish}"
    ]


def test_what_holds_a_change_the_pool_and_suspended_processes_have_a_line_each() -> None:
    stack = a_group(
        suspended=("Launch", "Terminate"),
        policies=[],
        held="the scale-in cool-down has 12 s left",
        warm_pool={"size": 2, "ready": 1, "starting": 1},
    )
    assert below_the_service(stack) == [
        "held: the scale-in cool-down has 12 s left",
        "warm pool: 1 of 2 warm, 1 starting",
        "suspended: Launch, Terminate",
    ]


@pytest.mark.parametrize(("wants", "told"), [("in", False), ("hold", False), ("unknown", False), ("out", True)])
def test_that_an_idle_group_is_at_its_minimum_is_no_news(wants: str, told: bool) -> None:
    stack = a_group(desired=2, policies=[a_policy(wants=wants, capacity=0)], held="it would be 0, and min is 2")
    assert ("held: it would be 0, and min is 2" in below_the_service(stack)) is told


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ((2, 2, 0), ["warm pool: 2 warm"]),
        ((1, 2, 0), ["warm pool: 2 warm"]),
        ((2, 0, 0), ["warm pool: 0 of 2 warm"]),
        ((9, 7, 0), ["warm pool: 7 warm"]),
        ((9, 3, 1), ["warm pool: 3 of 7 warm, 1 starting"]),
        ((0, 0, 0), []),
    ],
)
def test_a_pool_is_shown_where_there_is_one(pool: tuple[int, int, int], said: list[str]) -> None:
    size, ready, starting = pool
    group = a_group(policies=[], warm_pool={"size": size, "ready": ready, "starting": starting})
    assert below_the_service(group) == said


def test_a_pool_for_which_there_is_no_room_is_told_so() -> None:
    pool = {"size": 2, "ready": 0, "starting": 0}
    group = a_group(policies=[], maximum=3, declared={"minimum": 2, "desired": 2, "maximum": 3}, warm_pool=pool)
    assert below_the_service(group) == ["warm pool: empty, the group is at its maximum of 3"]


def test_a_fixed_size_has_its_suspended_processes_and_nothing_else() -> None:
    stack = a_stack("shop", (an_instance("web-1"), an_instance("web-2")))
    stack["services"][0] |= {"scaling": None, "suspended": list(PROCESSES)}
    assert drawn(stack)[2] == "  web  release 1, 2 of 2 healthy (min 2, max 2)"
    assert below_the_service(stack) == ["suspended: all processes"]


def test_what_is_suspended_can_be_resumed_next() -> None:
    stack = a_group(suspended=("Launch",))
    assert next_useful(status_of(stack), understood)[:2] == ("fairlead resume web --stack shop", "fairlead check")
    stack["services"][0]["desired"] = 4
    after = next_useful(status_of(stack), understood)
    assert after == ("fairlead resume web --stack shop", "fairlead events", "fairlead logs")


UNUSED = {"health": "unused", "reason": "Target.NotRegistered", "description": "Target is not registered"}


@pytest.mark.parametrize(
    ("instance", "state", "marks"),
    [
        ({"state": "warm", "pooled": True, **UNUSED}, "warm", []),
        ({"state": "pending", "pooled": True, "health": "initial"}, "pending", ["for the warm pool"]),
        (
            {"drained": True, "standby": "replaced", **UNUSED},
            "standby",
            ["put on standby by hand, another takes its place"],
        ),
        (
            {"drained": True, "standby": "decremented", "health": "draining", "reason": "Target.DeregistrationInProgress"},
            "standby",
            ["Target.DeregistrationInProgress", "put on standby by hand, none takes its place"],
        ),
        (
            {"drained": True, "standby": "replaced", "state": "terminating", **UNUSED},
            "terminating",
            ["put on standby by hand, another takes its place"],
        ),
    ],
)  # fmt: skip
def test_who_is_kept_from_requests_on_purpose_says_so_once(
    instance: dict[str, Any], state: str, marks: list[str]
) -> None:
    lines = drawn(a_group(an_instance("web-4", **instance)))
    assert lines[2] == "  web  release 1, 3 of 3 healthy (2..10)"
    row = next(number for number, line in enumerate(lines) if line.startswith("    web-4"))
    assert lines[row].split()[1] == state
    assert [line.strip() for line in lines[row + 1 : lines.index("")]] == marks


@pytest.mark.parametrize("width", [50, 79])
def test_on_a_narrow_terminal_long_lines_are_folded(width: int) -> None:
    suspended = tuple(PROCESSES)[:5]
    held = "the scale-out cool-down has 12 s left, and this is no larger than the one before"
    lines = drawn(a_group(suspended=suspended, held=held), width)
    assert all(len(line) <= width for line in lines)
    told = re.sub(r"\s+", " ", " ".join(lines))
    assert f"held: {held} suspended: {', '.join(suspended)} INSTANCE" in told


def test_what_somebody_must_know_is_yellow_on_a_terminal() -> None:
    lines = drawn(a_group(suspended=("Launch",), held="at its maximum"), 79, colour=True)
    assert "    \x1b[33mheld\x1b[0m: at its maximum" in lines
    assert "    \x1b[33msuspended\x1b[0m: Launch" in lines


def test_what_others_wrote_cannot_speak_to_the_terminal() -> None:
    evil = "x\x1b[2J\n\u202e"
    stack = a_group(
        suspended=(evil,),
        held=evil,
        policies=[a_policy(text=evil, wants=evil, capacity=evil)],
        warm_pool={"size": 1, "ready": 2, "starting": 0},
    )
    shown = "\n".join(drawn(stack, 79))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_watching_prints_nothing_while_only_metrics_move(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter(
        status_of(a_group(policies=[a_policy(value=value, text=f"{value}")], held=f"{value} s left", desired=desired))
        for value, desired in ((87.0, 3), (91.0, 3), (120.0, 4))
    )

    def look() -> dict[str, Any]:
        answer = next(looks, None)
        if answer is None:
            raise KeyboardInterrupt
        return answer

    with pytest.raises(KeyboardInterrupt):
        when_changed(look, lambda answer: answer["stacks"][0]["services"][0]["scaling"]["desired"], 0.0)
    assert capsys.readouterr().out.split() == ["3", "4"]


def test_explain_says_why_a_group_has_its_size_and_what_it_waits_for() -> None:
    schedule = [
        {"name": "morning", "next": "2026-11-22T08:00:00Z", "text": "min 4"},
        {"name": "never", "next": None, "text": "max 2"},
    ]
    scaling = a_scaling(
        reason="set by hand: desired 2 -> 3",
        at=AT,
        held="the scale-in cool-down has 12 s left",
        policies=[a_policy(), a_policy(text="cpu 20%, target 60%", wants="in", capacity=2)],
        schedule=schedule,
        warm_pool={"size": 1, "ready": 1, "starting": 0},
    )
    assert list(size_lines({"scaling": scaling, "suspended": ["AZRebalance"]})) == [
        f"since {AT}: set by hand: desired 2 -> 3",
        "requests_per_target 87/s, target 100/s",
        "cpu 20%, target 60%: wants 2 instances",
        "held: the scale-in cool-down has 12 s left",
        "scheduled action morning: min 4, next at 2026-11-22T08:00:00Z",
        "scheduled action never: max 2, it never comes",
        "warm pool: 1 warm",
        "suspended: AZRebalance",
    ]


@pytest.mark.parametrize("answer", [{}, {"scaling": None, "suspended": []}, {"scaling": a_scaling(policies=[])}])
def test_explain_says_nothing_more_of_a_size_that_is_as_the_file_says(answer: dict[str, Any]) -> None:
    assert list(size_lines(answer)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3, as the file says, within 2..10"),
        ({"reason": "cpu was 80%"}, "3, within 2..10"),
        ({"reason": "set by hand: desired 2 -> 3", "by_hand": True}, "3, set by hand, within 2..10"),
        ({"reason": "cpu was 80%", "minimum": 3}, "3, within 3..10, the file says 2..10"),
    ],
)
def test_explain_names_a_size_and_who_set_it(changes: dict[str, Any], said: str) -> None:
    assert size_of({"size": {"text": "another"}, "scaling": a_scaling(**changes)}) == said


def test_of_the_past_nothing_is_said_of_the_warm_pool_which_is_not_kept() -> None:
    scaling = a_scaling(policies=[], warm_pool={"size": 1, "ready": 0, "starting": 0})
    assert list(size_lines({"scaling": scaling, "decision": 7})) == []
    assert list(size_lines({"scaling": scaling, "decision": None})) == ["warm pool: 0 of 1 warm"]


def test_a_fixed_size_is_told_as_the_daemon_tells_it() -> None:
    assert size_of({"size": {"text": "2, as the file says"}, "scaling": None}) == "2, as the file says"
