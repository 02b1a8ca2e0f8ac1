"""`suspend`, `resume`, `scale --min --max` and `instance standby`: what they send, what they say, what they refuse."""

from __future__ import annotations

import json

import pytest

from fairlead.core.layout import Layout
from fairlead.core.suspension import PROCESSES
from fairlead.errors import NotFound, UsageError
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, Stream, a_stack, serving, status_of

UP = {"GET /status": status_of(a_stack("shop"))}
ANSWER = {
    "stack": "shop",
    "service": "web",
    "suspended": ["Launch", "Terminate"],
    "text": "web: Launch and Terminate are suspended",
}
NEXT = {
    "suspend": "next: fairlead resume web  |  fairlead status",
    "resume": "next: fairlead status  |  fairlead explain web",
}


@pytest.mark.parametrize("name", NEXT)
@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ((), []),
        (("Terminate", "launch"), ["Launch", "Terminate"]),
        (("replace-unhealthy", "AZREBALANCE", "alarm_notification"), ["ReplaceUnhealthy", "AlarmNotification", "AZRebalance"]),
        (("launch", "Launch"), ["Launch"]),
    ],
)  # fmt: skip
def test_processes_are_sent_by_their_names_and_none_means_all(
    fairlead: Fairlead, home: Layout, name: str, words: tuple[str, ...], sent: list[str]
) -> None:
    with serving(home, {**UP, f"POST /stacks/shop/{name}": ANSWER}) as daemon:
        shown = fairlead(name, "web", *words)
    assert daemon.asked[-1].body == {"service": "web", "processes": sent}
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.splitlines() == [
        "web: suspended until `fairlead resume`",
        "  Launch              no instance is started",
        "  Terminate           no instance is ended while it lives",
        NEXT[name],
    ]


def test_when_nothing_is_suspended_any_more_it_says_so(fairlead: Fairlead, home: Layout) -> None:
    none = {**ANSWER, "suspended": [], "text": "nothing of web is suspended"}
    with serving(home, {**UP, "POST /stacks/shop/resume": none}):
        assert fairlead("resume", "web").err.splitlines() == ["nothing of web is suspended", NEXT["resume"]]


@pytest.mark.parametrize("name", NEXT)
def test_as_json_it_is_the_answer(fairlead: Fairlead, home: Layout, name: str) -> None:
    with serving(home, {**UP, f"POST /stacks/shop/{name}": ANSWER}):
        assert json.loads(fairlead(name, "web", "--json", "--stack", "shop").out) == ANSWER


@pytest.mark.parametrize("name", NEXT)
@pytest.mark.parametrize(
    ("word", "hint"),
    [("lanch", "; did you mean Launch?"), ("Schedule-Actions", "; did you mean ScheduledActions?"), ("x\x1b[2J", "")],
)
def test_a_word_that_is_no_process_is_refused_before_anybody_is_asked(
    fairlead: Fairlead, name: str, word: str, hint: str
) -> None:
    shown = fairlead(name, "web", "launch", word)
    assert (shown.status, shown.out) == (2, "")
    assert f" is no process{hint}\n" in shown.err
    assert f"next: The processes are {', '.join(PROCESSES)}.\n" in shown.err
    assert "\x1b" not in shown.err


@pytest.mark.parametrize("name", NEXT)
def test_the_help_says_what_each_process_means(fairlead: Fairlead, name: str) -> None:
    shown = fairlead(name, "--help").out
    for process, meaning in PROCESSES.items():
        assert f"    {process:<20}{meaning}\n" in shown


@pytest.mark.parametrize("name", NEXT)
def test_a_service_that_is_not_there_is_exit_2(fairlead: Fairlead, home: Layout, name: str) -> None:
    refusal = Refuse(NotFound("there is no service 'wbe' in shop", "it has web", "fairlead status"), 404)
    with serving(home, {**UP, f"POST /stacks/shop/{name}": refusal}):
        assert fairlead(name, "wbe").status == 2


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("4",), {"desired": 4, "minimum": None, "maximum": None}),
        (("--min", "3", "--max", "12"), {"desired": None, "minimum": 3, "maximum": 12}),
        (("4", "--max", "4"), {"desired": 4, "minimum": None, "maximum": 4}),
    ],
)
def test_scale_sends_the_sizes_that_were_given(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...], body: dict[str, int | None]
) -> None:
    sizes = {"desired": 4, "declared": 2, "minimum": 3, "maximum": 12}
    result = {"stack": "shop", "service": "web", **sizes, "text": "web has 4 instances"}
    with serving(home, {**UP, "POST /stacks/shop/scale": Stream([{"type": "result", **result}])}) as daemon:
        shown = fairlead("scale", "web", *words, "--json")
    assert daemon.asked[-1].body == {"service": "web", **body}
    assert json.loads(shown.out) == result


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "error: no size was given\nnext: fairlead scale web N\n"),
        (("--min", "4", "--max", "3"), "error: --min is above --max: 4 is more than 3\n"),
        (("--min", "-1"), "error: Invalid value for '--min'"),
        (("--max", "many"), "error: Invalid value for '--max'"),
    ],
)
def test_scale_to_sizes_that_make_no_sense_is_refused_before_anybody_is_asked(
    fairlead: Fairlead, words: tuple[str, ...], said: str
) -> None:
    shown = fairlead("scale", "web", *words)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(said)


def test_an_instance_that_may_not_go_on_standby_is_refused_with_the_way_to_allow_it(
    fairlead: Fairlead, home: Layout
) -> None:
    error = UsageError("web cannot have 1 instance", "its min is 2", "fairlead scale web --min 1")
    with serving(home, {**UP, "POST /stacks/shop/instances/web-1/standby": Refuse(error)}) as daemon:
        shown = fairlead("instance", "standby", "web-1", "--decrement")
    assert daemon.asked[-1].body == {"decrement": True}
    assert (shown.status, shown.err) == (
        2,
        "error: web cannot have 1 instance: its min is 2\nnext: fairlead scale web --min 1\n",
    )
