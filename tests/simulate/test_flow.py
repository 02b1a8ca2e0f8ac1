"""The model of an instance, and what becomes of the requests of a second."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import percentile
from fairlead.errors import UsageError
from fairlead.simulate.app import CAPACITY, SERVICE_TIME, START_TIME, App, measured
from fairlead.simulate.flow import Flow

APP = App(capacity=100, service_time=0.05)


def a_flow(app: App = APP, *, reserved: float = 0.5, patience: float = 60, timed: bool = False) -> Flow:
    return Flow(app, reserved=reserved, patience=patience, timed=timed)


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
    st.floats(0.5, 500),
    st.floats(1, 30),
)
def test_nothing_vanishes_and_nobody_answers_more_than_there_is(
    seconds: list[tuple[float, int, int]], capacity: float, patience: float
) -> None:
    flow = a_flow(App(capacity=capacity), patience=patience)
    came = answered = lost = 0.0
    for arrivals, taking, finishing in seconds:
        ones = [f"web-{number}" for number in range(taking)]
        others = [f"web-{number}" for number in range(taking, taking + finishing)]
        passed = flow.second(arrivals, ones, others)
        came, answered = came + arrivals, answered + passed.served
        lost += passed.refused + passed.timed_out
        for one in (f"web-{number}" for number in range(taking + finishing, 10)):
            lost += flow.forget(one)
        waiting = sum(flow.waiting(one) for one in (*ones, *others))
        assert passed.served <= capacity * (taking + finishing) + 1e-6
        assert 0 <= passed.queued <= arrivals + 1e-6
        assert passed.waiting == pytest.approx(waiting, abs=1e-6)
        assert answered + lost + waiting == pytest.approx(came, rel=1e-9, abs=1e-6)
        assert set(passed.instances or {}) == set(ones)


def test_cpu_outstanding_and_requests_are_what_an_instance_would_be_measured_at() -> None:
    app = App(capacity=100, service_time=0.05, cpu_per_request=0.004, cpu_idle=0.01)
    seen = (a_flow(app).second(100, ["a", "b"]).instances or {})["a"]
    assert seen.requests == 50
    assert seen.cpu == pytest.approx(100 * (0.01 + 50 * 0.004) / 0.5)
    # Little's law: 50/s x 50 ms, and a little for those that wait.
    assert 2.5 < (seen.outstanding or 0) < 2.7
    assert seen.memory is None
    assert not seen.times


def test_a_full_instance_uses_all_its_cpu_unless_that_was_measured() -> None:
    passed = a_flow(App(capacity=40), reserved=2.0).second(80, ["a", "b"])
    assert passed.cpu == pytest.approx(100)


def test_what_is_above_capacity_waits_and_is_given_up_after_the_idle_timeout() -> None:
    flow = a_flow(patience=5)
    seconds = [flow.second(150, ["a"]) for _ in range(12)]
    assert [one.served for one in seconds] == [100] * 12
    assert [one.waiting for one in seconds[:3]] == [50, 100, 150]
    assert seconds[-1].waiting == 500
    assert sum(one.timed_out for one in seconds) == 12 * 50 - 500
    assert [one.queued for one in seconds[:3]] == [50, 100, 150]
    assert seconds[-1].p95 == pytest.approx(5.05, rel=0.2)


def test_new_instances_do_not_get_the_backlog_of_the_old() -> None:
    flow = a_flow()
    for _ in range(5):
        flow.second(200, ["a"])
    assert flow.waiting("a") == 500
    passed = flow.second(100, ["a", "b"])
    assert (flow.waiting("a"), flow.waiting("b")) == (450, 0)
    # Half of the answers come from the full one: the slowest twentieth is among them.
    assert (passed.p95 or 0) > 4
    assert flow.second(0, [], ["a"]).served == 100
    assert flow.forget("a") == 350


def test_nobody_there_refuses_all() -> None:
    passed = a_flow().second(30, [])
    assert (passed.refused, passed.served, passed.p95, passed.cpu) == (30, 0, None, None)


@given(st.floats(0.01, 99.9))
def test_the_histogram_agrees_with_the_formula(arrivals: float) -> None:
    passed = a_flow(timed=True).second(arrivals, ["a"])
    seen = (passed.instances or {})["a"]
    assert percentile(seen.times, 95) == pytest.approx(passed.p95, rel=0.2)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.001, 1.0))
def test_more_load_never_means_shorter_waits(one: float, other: float, service_time: float) -> None:
    app = App(capacity=100, service_time=service_time)
    few, many = sorted((one, other))
    assert app.queueing(few).average <= app.queueing(many).average + 1e-12
    assert app.queueing(few).percentile(95) <= app.queueing(many).percentile(95) + 1e-12


def test_a_single_worker_waits_as_in_the_textbook() -> None:
    # M/M/1 at 80 %: the mean wait is 0.8 / (mu - lambda).
    assert App(capacity=10, service_time=0.1).queueing(8).average == pytest.approx(0.8 / 2)


DRILLED: dict[str, Any] = {
    "stack": "shop", "service": "web", "capacity": 142.5, "service_time": 0.0121, "cpu_per_request": 0.0034,
    "cpu_idle": 0.002, "cpu_reserved": 0.5, "concurrency": 1.7, "start_time": 0.84, "steps": [],
}  # fmt: skip


def test_what_a_drill_measured_is_the_model() -> None:
    assert measured(DRILLED, "x") == App(
        capacity=142.5, service_time=0.0121, start_time=0.84, cpu_per_request=0.0034, cpu_idle=0.002
    )
    unknown = measured({"capacity": 10, "service_time": None, "start_time": None}, "x")
    assert unknown == App(capacity=10, service_time=SERVICE_TIME, start_time=START_TIME)
    assert App().capacity == CAPACITY


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "it has no `capacity`"),
        ({"capacity": None}, "it found none"),
        ({"capacity": 0}, "it found none"),
        ({"capacity": "100"}, "capacity is '100'"),
        ({"capacity": True}, "capacity is True"),
        ({"capacity": float("nan")}, "capacity is nan"),
        ({"capacity": 5, "service_time": -1}, "service_time is -1"),
        ({"capacity": 5, "start_time": []}, "start_time is []"),
    ],
)
def test_what_is_no_measurement_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"x is no measured capacity: {says}")):
        measured(fields, "x")
