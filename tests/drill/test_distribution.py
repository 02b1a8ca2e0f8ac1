"""The judging of `fairlead check`: exact when quiet, by the spread of chance when not, and every fault in words."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drill.distribution import (
    Answer,
    accepts,
    allowed,
    ask,
    changed_between,
    check,
    judge,
    others_between,
)


def a_listener(*instances: str, **changes: Any) -> dict[str, Any]:
    fields = {"url": "http://127.0.0.1:8080", "service": "web", "path": "/health", "host": "", "codes": "200"}
    return {**fields, "desired": len(instances), "instances": list(instances), **changes}


def test_fewer_instances_than_desired_do_not_hold_however_evenly_they_share() -> None:
    answers = [Answer(instance="web-1", code=200)] * 4
    judged = judge(a_listener("web-1", desired=2), answers, 0)
    assert judged.reasons == ("1 of the 2 desired instances of web is not in service",)
    judged = judge(a_listener("web-1", desired=3), answers, 0)
    assert judged.reasons == ("2 of the 3 desired instances of web are not in service",)


def facts(requests: int | None, *listeners: dict[str, Any]) -> dict[str, Any]:
    return {"stack": "shop", "token": "t", "requests": requests, "listeners": list(listeners)}


def answers(**counts: int) -> list[Answer]:
    return [Answer(instance=name.replace("_", "-"), code=200) for name, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("codes", "code", "taken"),
    [
        ("200", 200, True),
        ("200", 201, False),
        ("200,302", 302, True),
        ("200-299", 299, True),
        ("200-299", 300, False),
        ("200, 204-206", 205, True),
        ("", 200, False),
    ],
)
def test_a_matcher_takes_codes_lists_and_ranges(codes: str, code: int, taken: bool) -> None:
    assert accepts(codes, code) is taken


@pytest.mark.parametrize(
    ("counts", "others", "how", "holds"),
    [
        ({"web_1": 50, "web_2": 50}, 0, "exact", True),
        ({"web_1": 51, "web_2": 49}, 0, "exact", False),
        ({"web_1": 51, "web_2": 50}, 0, "exact", True),
        ({"web_1": 100, "web_2": 0}, 0, "exact", False),
        ({"web_1": 51, "web_2": 49}, 40, "spread", True),
        ({"web_1": 51, "web_2": 49}, None, "spread", True),
        ({"web_1": 50, "web_2": 50}, 40, "exact", True),
        ({"web_1": 80, "web_2": 20}, 40, "spread", False),
        ({"web_1": 1}, 0, "reached", True),
    ],
)
def test_shares_are_judged_exactly_or_by_chance(
    counts: dict[str, int], others: int | None, how: str, holds: bool
) -> None:
    seen = judge(a_listener("web-1", "web-2"), answers(**counts), others)
    assert (seen.how, not seen.reasons) == (how, holds)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(instance="web-1", code=500), "web-1 answered 500 to /health, not 200 (1 of 3 requests)"),
        (Answer(code=503), "answered 503 without naming an instance: the balancer answered by itself"),
        (Answer(instance="web-9", code=200), "web-9 answered, which was not in service when the check began"),
        (Answer(failure="no answer: Connection refused"), "no answer: Connection refused (1 of 3 requests)"),
    ],
)
def test_a_wrong_answer_is_a_reason_and_not_also_an_uneven_share(answer: Answer, reason: str) -> None:
    seen = judge(a_listener("web-1", "web-2"), [*answers(web_1=1, web_2=1), answer], 0)
    assert len(seen.reasons) == 1
    assert reason in seen.reasons[0]


def test_what_is_chosen_by_chance_is_judged_by_chance() -> None:
    listener = a_listener("web-1", "web-2", algorithm="weighted_random")
    judged = judge(listener, answers(web_1=45, web_2=55), 0)
    assert (judged.how, judged.reasons) == ("spread", ())
    assert judge(listener, answers(web_1=20, web_2=80), 0).reasons == (
        "web-1 answered 20 of 100 requests, not 30 to 70",
        "web-2 answered 80 of 100 requests, not 30 to 70",
    )
    taking_turns = {**listener, "algorithm": "round_robin"}
    assert judge(taking_turns, answers(web_1=45, web_2=55), 0).reasons


def test_a_slow_start_is_named_where_shares_are_uneven() -> None:
    listener = a_listener("web-1", "web-2", slow_start=30.0)
    assert judge(listener, answers(web_1=50, web_2=50), 0).reasons == ()
    told = judge(listener, answers(web_1=90, web_2=10), 0).reasons
    assert told[-1] == "web has a slow start: a new instance gets fewer for 30 s"


def test_a_service_without_a_healthy_instance_does_not_hold() -> None:
    seen = judge(a_listener(), [Answer(code=503)], 0)
    assert seen.reasons == ("no instance of web is in service and healthy",)


@given(st.integers(1, 20), st.integers(1, 5000))
def test_round_robin_always_holds_on_a_quiet_stack(instances: int, requests: int) -> None:
    names = [f"web-{number}" for number in range(instances)]
    given_out = [Answer(instance=names[number % instances], code=200) for number in range(requests)]
    assert judge(a_listener(*names), given_out, 0).reasons == ()


@given(st.integers(1, 20), st.integers(1, 5000), st.booleans())
def test_what_is_allowed_surrounds_the_share(instances: int, requests: int, quiet: bool) -> None:
    least, most = allowed(requests, instances, quiet)
    assert 0 <= least <= requests / instances <= most <= requests
    assert not quiet or most - least <= 1


def test_a_fair_balancer_under_other_traffic_is_hardly_ever_blamed() -> None:
    chance = random.Random(7)
    names = ["web-1", "web-2", "web-3"]
    blamed = sum(
        bool(
            judge(a_listener(*names), [Answer(instance=chance.choice(names), code=200) for _ in range(99)], 50).reasons
        )
        for _ in range(1000)
    )
    assert blamed <= 2


@pytest.mark.parametrize(
    ("before", "after", "ours", "others"),
    [(5, 105, 100, 0), (5, 110, 100, 5), (None, 105, 100, None), (5, None, 100, None), (500, 100, 100, None)],
)
def test_requests_of_others_are_what_the_balancer_counted_beside_ours(
    before: int | None, after: int | None, ours: int, others: int | None
) -> None:
    assert others_between(facts(before), facts(after), ours) == others


def test_instances_that_change_during_the_check_are_named() -> None:
    before = facts(0, a_listener("web-1", "web-2"), a_listener("web-1", "web-2", url="http://127.0.0.1:81"))
    after = facts(0, a_listener("web-1", "web-3"))
    assert changed_between(before, after) == [
        "the instances of web changed during the check, from web-1, web-2 to web-1, web-3",
        "http://127.0.0.1:81 was closed during the check",
    ]
    assert changed_between(before, before) == []


def test_every_listener_is_asked_and_each_service_is_counted_once() -> None:
    listeners = [
        a_listener("web-1"),
        a_listener("web-1", url="http://127.0.0.1:8081"),
        a_listener("api-1", url="http://127.0.0.1:8082", service="api"),
    ]
    counter = {"requests": 0}
    asked: list[str] = []

    def answer(listener: Any, token: str) -> Answer:
        asked.append(listener["url"])
        counter["requests"] += 1
        return Answer(instance=listener["instances"][0], code=200)

    verdict = check(lambda: facts(counter["requests"], *listeners), 10, ask=answer)
    assert [(listener.requests, listener.how) for listener in verdict.listeners] == [
        (10, "exact"),
        (1, "reached"),
        (10, "exact"),
    ]
    assert (verdict.holds, verdict.others, len(asked)) == (True, 0, 21)
    assert verdict.to_json()["holds"] is True


def test_a_listener_that_does_not_answer_is_asked_only_once() -> None:
    listener = a_listener("web-1")
    verdict = check(lambda: facts(0, listener), 100, ask=lambda *_: Answer(failure="no answer: Connection refused"))
    assert verdict.listeners[0].requests == 1
    assert not verdict.holds


def test_a_stack_without_listeners_does_not_hold() -> None:
    verdict = check(lambda: facts(0), 100, ask=lambda *_: Answer())
    assert (verdict.holds, verdict.reasons) == (False, ("the stack has no listener",))


def a_status(*services: dict[str, Any], urls: tuple[str, ...] = ()) -> dict[str, Any]:
    """The part of the status contract that the check looks at."""
    return {"listeners": [{"url": url, "certificates": []} for url in urls], "services": list(services)}


def a_shown(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "serves": True, "desired": 1, **changes}


def test_a_listener_that_only_redirects_has_to_answer() -> None:
    """It has no service whose share could be judged: a stack of such listeners is not one without any."""
    shown = a_status(urls=("http://127.0.0.1:80",))
    asked: list[tuple[str, str]] = []

    def redirects(listener: Any, token: str) -> Answer:
        asked.append((listener["url"], listener["path"]))
        return Answer(code=301)

    verdict = check(lambda: facts(0), 100, ask=redirects, shown=shown)
    assert (verdict.holds, verdict.reasons, asked) == (True, (), [("http://127.0.0.1:80", "/")])
    told = verdict.to_json()["listeners"][0]
    assert (told["service"], told["answered"], told["requests"], told["judged"]) == (None, 301, 1, "reached")

    dead = check(lambda: facts(0), 100, ask=lambda *_: Answer(failure="no answer: Connection refused"), shown=shown)
    assert not dead.holds
    assert dead.listeners[0].reasons == ("no answer: Connection refused",)


def test_what_redirects_is_asked_after_the_counting_so_that_it_is_not_taken_for_a_request_of_others() -> None:
    counter = {"requests": 0}

    def answer(listener: Any, token: str) -> Answer:
        counter["requests"] += 1
        return Answer(instance="web-1", code=200) if listener.get("service") else Answer(code=301)

    shown = a_status(a_shown("web"), urls=("http://127.0.0.1:8080", "http://127.0.0.1:80"))
    verdict = check(lambda: facts(counter["requests"], a_listener("web-1")), 10, ask=answer, shown=shown)
    assert (verdict.holds, verdict.others, counter["requests"], verdict.not_asked) == (True, 0, 11, ())


def test_services_that_no_request_reaches_alone_are_named() -> None:
    shown = a_status(
        a_shown("web"), a_shown("api"), a_shown("worker", serves=False), a_shown("left", desired=0),
        urls=("http://127.0.0.1:8080",),
    )  # fmt: skip
    answer = Answer(instance="web-1", code=200)
    verdict = check(lambda: facts(None, a_listener("web-1")), 10, ask=lambda *_: answer, shown=shown)
    assert (verdict.holds, verdict.not_asked) == (True, ("api",))
    assert verdict.to_json()["not_asked"] == ["api"]


@pytest.mark.live
def test_a_refused_connection_is_an_answer_too() -> None:
    assert ask(a_listener("web-1", url="http://127.0.0.1:1"), "t").failure == "no answer: Connection refused"
