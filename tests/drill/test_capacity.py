"""Steps are judged by what was promised, and contradictions do not make a capacity out of luck."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drill.capacity import Step, bracket, faults, holds, limit_for
from tests.drill.steps import LIMITS, a_capacity, a_step, too_much

RATES = st.floats(1, 1000).map(lambda rate: round(rate, 1))


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (a_step(), ()),
        (a_step(p95=0.1), ()),
        (a_step(p95=0.101), ("p95 above 100 ms",)),
        (a_step(p99=5.0), ()),
        (a_step(answered=397, errors={"status 503": 3}), ()),
        (a_step(answered=396, errors={"status 503": 4}), ("1.0 % failed (status 503: 4)",)),
        (
            a_step(answered=350, errors={"status 503": 40, "no answer in time": 10}),
            ("12.5 % failed (no answer in time: 10, status 503: 40)",),
        ),
        (a_step(answered=0, in_time=0, p50=None, p95=None, p99=None, errors={"refused": 400}),
         ("100.0 % failed (refused: 400)", "nothing was answered", "only 0/s were answered")),
        (a_step(in_time=386), ()),
        (a_step(in_time=384), ("only 96.48/s were answered",)),
        (a_step(rate=2, seconds=4.0, in_time=7), ()),
        (a_step(rate=2, seconds=4.0, in_time=6), ("only 1.508/s were answered",)),
    ],
    ids=[
        "good", "just within the latency", "beyond it", "a slow one in a hundred is borne", "a few failures are borne",
        "one in a hundred is not", "every kind is told", "nothing works", "a few percent behind", "more than that",
        "one behind in a short step is none", "two are",
    ],
)  # fmt: skip
def test_what_an_instance_has_to_keep(step: Step, wrong: tuple[str, ...]) -> None:
    assert faults(step, LIMITS) == wrong
    assert holds(step, LIMITS) is (not wrong)


def test_what_a_late_generator_sent_says_nothing_against_the_instance() -> None:
    assert holds(too_much(100, lag=0.05), LIMITS) is None
    assert holds(a_step(100, lag=0.05), LIMITS) is True
    assert holds(too_much(100, lag=0.019), LIMITS) is False


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], (None, None)),
        ([a_step(100)], (100, None)),
        ([a_step(100), too_much(200)], (100, 200)),
        ([a_step(100), too_much(200), too_much(150), a_step(130)], (130, 150)),
        ([too_much(100), too_much(50)], (None, 50)),
        ([a_step(100), too_much(100)], (None, 100)),
        ([a_step(50), a_step(100), too_much(100)], (50, 100)),
        ([a_step(50), a_step(100), too_much(100), a_step(100)], (100, None)),
        ([a_step(50), too_much(20), a_step(100), a_step(150), too_much(200)], (150, 200)),
        ([a_step(100), too_much(120), too_much(130), a_step(140)], (100, 120)),
        ([a_step(100), too_much(200, lag=0.1)], (100, 200)),
    ],
    ids=[
        "nothing is known", "it bears all", "between two", "nearer", "it bears none", "half for, half against: not borne",
        "then the one below", "a hiccup is outvoted", "so is one at a low rate", "and a lucky step above",
        "a late generator ends the search, too",
    ],
)  # fmt: skip
def test_the_rate_is_the_one_that_most_steps_agree_with(
    steps: list[Step], found: tuple[float | None, float | None]
) -> None:
    assert bracket(steps, LIMITS) == found


@given(borne=st.sets(RATES, min_size=1), beyond=st.sets(RATES, min_size=1))
def test_where_nothing_contradicts_the_highest_that_was_borne_is_it(borne: set[float], beyond: set[float]) -> None:
    above = {rate + max(borne) for rate in beyond}
    steps = [*(a_step(rate) for rate in borne), *(too_much(rate) for rate in above)]
    assert bracket(steps, LIMITS) == (max(borne), min(above))


@given(st.lists(st.tuples(RATES, st.booleans())))
def test_the_rate_is_one_that_was_borne_and_what_is_above_it_was_not(judged: list[tuple[float, bool]]) -> None:
    steps = [a_step(rate) if held else too_much(rate) for rate, held in judged]
    rate, above = bracket(steps, LIMITS)
    assert rate is None or (rate, True) in judged
    assert above is None or ((above, False) in judged and above > (rate or 0.0))


@pytest.mark.parametrize(("p95", "limit"), [(0.001, 0.05), (0.01, 0.05), (0.02, 0.1), (1.0, 5.0)])
def test_the_limit_that_nobody_gave_is_five_times_what_a_request_alone_takes(p95: float, limit: float) -> None:
    assert limit_for(p95) == pytest.approx(limit)


def test_what_bounded_it_is_told_apart() -> None:
    assert a_capacity([a_step(100), too_much(110)]).bound == "instance"
    assert a_capacity([a_step(100), too_much(110, lag=0.1)]).bound == "generator"
    assert a_capacity([a_step(5000)]).bound == "max_rate"
    assert a_capacity([a_step(100)]).bound == "time"
    assert a_capacity([a_step(100), too_much(120)]).bound == "time"
    assert a_capacity([too_much(100)]).bound == "instance"
    assert a_capacity([]).bound == "time"


def test_cpu_and_concurrency_follow_from_the_figures() -> None:
    found = a_capacity([a_step(200), too_much(210)], cpu_idle=0.05)
    assert found.concurrency == pytest.approx(4.0)
    assert found.rate_at(0.8) == pytest.approx((0.8 * 0.5 - 0.05) / 0.001)
    assert found.rate_at(0.01) == 0.0
    assert replace(found, cpu_per_request=None).rate_at(0.8) is None
    assert replace(found, cpu_reserved=None).rate_at(0.8) is None


def test_the_document_has_what_simulate_reads() -> None:
    document = a_capacity([a_step(100), a_step(200, seconds=8.0, cpu=0.2), too_much(210, machine=0.5)]).to_json()
    assert {name: value for name, value in document.items() if name != "steps"} == {
        "stack": "shop", "service": "web", "instance": "web-1", "path": "/", "capacity": 200, "bound": "instance",
        "latency_limit": 0.1, "service_time": 0.02, "service_time_p95": 0.022, "cpu_per_request": 0.001,
        "cpu_idle": 0.0, "cpu_reserved": 0.5, "concurrency": 4.0, "start_time": 1.2, "other_requests": 0.0, "cores": 4,
        "notes": [], "measured_at": "2026-11-21T10:00:00Z",
    }  # fmt: skip
    assert [step["holds"] for step in document["steps"]] == [True, True, False]
    assert document["steps"][2]["reasons"] == ["p95 above 100 ms"]
    assert a_capacity([]).to_json()["capacity"] is None
