"""The steps find what an instance bears, whatever it is, and end in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drill.capacity import Limits, Step, bracket, limit_for
from fairlead.drill.stepping import next_step, pace_of
from tests.drill.steps import LIMITS, a_step, served, too_much

PACE = pace_of(60)


def found_of(limits: Limits, seconds: float, *, workers: int, takes: float) -> tuple[list[Step], float]:
    """All steps of a drill of an instance like that, and the seconds that are left after them."""
    steps: list[Step] = []
    left = seconds
    while (following := next_step(steps, limits, pace_of(seconds), left)) is not None:
        step = served(*following, workers=workers, takes=takes)
        steps.append(step)
        left -= step.seconds
    return steps, left


@given(workers=st.integers(1, 16), takes=st.floats(0.005, 0.2))
def test_the_capacity_of_a_known_instance_is_found_within_its_tolerance(workers: int, takes: float) -> None:
    limits = Limits(latency=limit_for(takes), unloaded=takes, highest=5000.0)
    steps, left = found_of(limits, 60, workers=workers, takes=takes)
    rate, _ = bracket(steps, limits)
    # What is offered may be 3 % more than what is answered, and rates may be 3 % apart.
    assert rate == pytest.approx(workers / takes, rel=0.07)
    assert left >= 0


@given(workers=st.integers(1, 64), takes=st.floats(0.0005, 5.0), highest=st.floats(1, 3000), seconds=st.floats(2, 30))
def test_no_rate_is_beyond_the_highest_and_none_more_than_twice_what_was_borne(
    workers: int, takes: float, highest: float, seconds: float
) -> None:
    limits = Limits(latency=limit_for(takes), unloaded=takes, highest=highest)
    steps, left = found_of(limits, seconds, workers=workers, takes=takes)
    assert left >= 0
    for number, step in enumerate(steps):
        borne, _ = bracket(steps[:number], limits)
        assert step.rate <= max(highest, 2 * (borne or 0.0) + 1e-9, 0.5 / takes)
        assert step.rate <= highest
        if borne:
            assert step.rate <= 2 * borne * (1 + 1e-9)


def test_the_first_is_half_of_one_request_after_the_other() -> None:
    assert next_step([], LIMITS, PACE, 60) == (25.0, PACE.probe)


def test_rates_are_doubled_until_it_is_too_much_then_what_it_still_answered_is_tried() -> None:
    steps = [a_step(25, seconds=2.1), a_step(50, seconds=2.1)]
    assert next_step(steps, LIMITS, PACE, 60) == (100, PACE.probe)
    overloaded = too_much(100, seconds=2.1, in_time=round(80 * 2.08))
    following = next_step([*steps, overloaded], LIMITS, PACE, 60)
    assert following is not None
    assert following[0] == pytest.approx(0.97 * 80, rel=0.01)


def test_then_the_rate_between_both_until_they_are_near() -> None:
    steps = [a_step(100), too_much(121)]
    following = next_step(steps, LIMITS, PACE, 60)
    assert following is not None
    assert following == (pytest.approx(110), PACE.fine)


def test_at_last_the_rate_is_offered_for_longer_once() -> None:
    near = [a_step(100), too_much(102)]
    assert next_step(near, LIMITS, PACE, 60) == (100, PACE.confirm)
    assert next_step([*near, a_step(100, seconds=PACE.confirm)], LIMITS, PACE, 60) is None
    # It was luck before: a lower one is looked for.
    lower = next_step([a_step(80), *near, too_much(100, seconds=PACE.confirm)], LIMITS, PACE, 60)
    assert lower is not None
    assert 80 < lower[0] < 100


def test_one_that_bears_not_even_the_first_is_asked_less() -> None:
    assert next_step([too_much(25)], LIMITS, PACE, 60) == (12.5, PACE.probe)
    assert next_step([too_much(0.15)], LIMITS, PACE, 60) is None


def test_a_slow_app_gets_longer_steps_but_never_all_the_time() -> None:
    limits = Limits(latency=5.0, unloaded=1.0, highest=5000)
    assert next_step([], limits, PACE, 60) == (0.5, PACE.fine * 3)
    assert next_step([], Limits(latency=5.0, unloaded=0.1, highest=5000), PACE, 60) == (5.0, 4.0)


def test_a_step_that_does_not_fit_any_more_is_none() -> None:
    assert next_step([a_step(100), too_much(121)], LIMITS, PACE, PACE.fine - 0.1) is None
