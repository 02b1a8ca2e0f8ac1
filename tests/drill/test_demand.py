"""What the daemon measured becomes the cost of a request, and the requests of others; what is unknown stays unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drill.demand import cost, others, series, with_cpu
from tests.drill.steps import LIMITS, a_step, too_much

AT = 1_764_000_000


def a_series(target: str | None, zone: str | None = None, **metrics: list[float | None]) -> dict[str, Any]:
    return {
        "service": "web", "zone": zone, "target": target,
        "metrics": [
            {"name": name, "statistic": "Sum" if name == "RequestCount" else "Average", "values": values}
            for name, values in metrics.items()
        ],
    }  # fmt: skip


def test_a_metric_is_read_by_its_seconds_and_its_owner() -> None:
    answer = {
        "start": "2025-11-24T16:00:00Z", "period": 1,
        "series": [
            a_series(None, zone="a", RequestCount=[9, 9]), a_series(None, RequestCount=[5, None, 7]),
            a_series("web-1", zone="a", CPUUtilization=[None, 12.5]),
        ],
    }  # fmt: skip
    assert series(answer, "RequestCount", None) == {AT: 5, AT + 2: 7}
    assert series(answer, "CPUUtilization", "web-1") == {AT + 1: 12.5}
    assert series(answer, "CPUUtilization", "web-2") == {}
    assert series(answer, "CPUUtilization", None) == {}


def test_a_step_has_the_cpu_of_the_seconds_that_lie_within_it() -> None:
    percents = {AT: 90.0, AT + 1: 20.0, AT + 2: 40.0, AT + 3: 90.0}
    [step] = with_cpu([a_step(seconds=2.6, at=AT + 0.5)], percents, 0.5)
    assert step.cpu == pytest.approx(0.15)
    [short] = with_cpu([a_step(seconds=1.2, at=AT + 0.5)], percents, 0.5)
    assert short.cpu is None
    [unreserved] = with_cpu([a_step(seconds=2.6, at=AT + 0.5)], percents, None)
    assert unreserved.cpu is None


@given(each=st.floats(1e-5, 0.1), idle=st.floats(0, 0.5), rates=st.lists(st.floats(1, 5000), min_size=2, max_size=8))
def test_the_cost_of_a_request_is_the_rise_of_cpu_with_the_rate(each: float, idle: float, rates: list[float]) -> None:
    spread = [*rates, 2 * max(rates)]
    per_request, found = cost([a_step(rate, seconds=4.0, cpu=idle + each * rate) for rate in spread], LIMITS)
    assert per_request == pytest.approx(each, rel=1e-3)
    assert found == pytest.approx(idle, abs=1e-3 + 1e-3 * each * max(spread))


def test_steps_that_were_not_borne_or_not_measured_say_nothing_of_the_cost() -> None:
    steps = [a_step(100, cpu=0.1), a_step(200, cpu=0.2), too_much(400, cpu=0.9), a_step(300)]
    assert cost(steps, LIMITS) == (pytest.approx(0.001), pytest.approx(0.0))
    assert cost([a_step(100)], LIMITS) == (None, 0.0)
    assert cost([too_much(100, cpu=1.0)], LIMITS) == (None, 0.0)


def test_without_a_spread_or_with_a_line_that_is_none_all_cpu_is_the_requests() -> None:
    assert cost([a_step(100, cpu=0.1), a_step(110, cpu=0.13)], LIMITS)[0] == pytest.approx(0.0011, rel=0.02)
    per_request, idle = cost([a_step(100, cpu=0.01), a_step(200, cpu=0.2)], LIMITS)
    assert per_request == pytest.approx(0.00082)
    assert idle == 0.0
    assert cost([a_step(100, cpu=0.0)], LIMITS) == (None, 0.0)


def test_requests_of_others_are_what_is_left_of_all() -> None:
    seconds = {AT + at: 100.0 for at in range(10)}
    assert others(seconds, 800, AT + 0.0, AT + 9.9) == pytest.approx(200 / 9.9)
    assert others(seconds, 1000, AT + 0.0, AT + 9.9) == 0.0
    # What was counted before, or after, is not counted.
    assert others({AT - 5: 900.0, **seconds, AT + 20: 900.0}, 1000, AT + 0.0, AT + 9.9) == 0.0


def test_too_little_of_the_time_is_no_answer() -> None:
    assert others({}, 10, AT, AT + 10) is None
    assert others({AT + 1: 5.0, AT + 2: 5.0}, 10, AT, AT + 10) is None


def test_the_step_itself_is_left_as_it_is() -> None:
    step = a_step(at=AT, seconds=2.0)
    assert with_cpu([step], {AT: 50.0}, 1.0) == (replace(step, cpu=0.5),)
