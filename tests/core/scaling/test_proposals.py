"""What each policy asks for: target tracking (aws-semantics E2) and step scaling (E3)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.scaling.history import Point
from fairlead.core.scaling.policies import Policy, StepScaling
from fairlead.core.scaling.proposals import LOW, adjusted, chosen_step, propose, rounded

from .builders import keep, points, steps


def track(
    *values: float | None, counted: int = 2, desired: int | None = None, **policy: float | bool
) -> tuple[str, int | None]:
    found = propose(keep(**policy), points(*values, counted=counted), desired or counted, counted)
    return found.wants, found.capacity


def step_of(policy: Policy) -> StepScaling:
    assert isinstance(policy.follows, StepScaling)
    return policy.follows


@pytest.mark.parametrize(
    ("values", "counted", "expected"),
    [
        ([80, 80, 80], 4, ("out", 7)),  # the sheet's worked example: ceil(4 x 80 / 50)
        ([50.1, 50.1, 50.1], 4, ("out", 5)),
        ([50, 50, 50], 4, ("hold", 5)),  # at the target is not above it; with room to spare it would be 5
        ([80, 80], 4, ("hold", 8)),  # too few datapoints
        ([80, 80, 40], 4, ("hold", 8)),
        ([40, 80, 80, 80], 4, ("out", 7)),
        ([60, 80, 400], 4, ("out", 7)),  # the median: one outlier does not size the group
        ([80, 60, 70], 4, ("out", 6)),
        ([80, None, 80, 80], 4, ("out", 7)),
        ([80, None, 80], 4, ("out", 7)),  # old enough, and nothing contradicts
        ([None, None, 80], 4, ("hold", 8)),
        ([80, 80, 80, None], 4, ("unknown", None)),
        ([], 4, ("unknown", None)),
        ([None] * 20, 4, ("unknown", None)),
        ([100, 100, 100], 10, ("out", 20)),  # 3 x 100 / 50 and no more, whatever floats make of it
        ([1e300, 1e300, 1e300], 4, ("out", 1_000_000)),
    ],
)
def test_scale_out_of_target_tracking(
    values: list[float | None], counted: int, expected: tuple[str, int | None]
) -> None:
    assert track(*values, counted=counted, value=50.0) == expected


@pytest.mark.parametrize(
    ("values", "counted", "expected"),
    [
        ([30] * 15, 7, ("in", 5)),  # the sheet's: 4.2 needed, 5 left
        ([30] * 14, 7, ("hold", 5)),
        ([44.9] * 15, 7, ("in", 7)),  # removing one would lift it above the band
        ([45] * 15, 7, ("hold", 7)),
        ([0] * 15, 7, ("in", 0)),
        ([-3] * 15, 7, ("in", 0)),
        ([10] * 14 + [44], 7, ("in", 7)),  # the heaviest of them has to fit
        ([44] + [10] * 14, 7, ("in", 7)),
        ([44] + [10] * 15, 7, ("in", 2)),
        ([10] * 8 + [60] + [10] * 6, 7, ("hold", 10)),
        ([10] + [None] * 13 + [10], 7, ("in", 2)),  # E1: old enough, and all that is known is low
        ([None] * 14 + [10], 7, ("hold", 2)),
        ([10] * 15 + [None], 7, ("unknown", None)),
    ],
)
def test_scale_in_of_target_tracking(
    values: list[float | None], counted: int, expected: tuple[str, int | None]
) -> None:
    assert track(*values, counted=counted, value=50.0) == expected


def test_a_policy_without_scale_in_only_says_what_it_needs() -> None:
    assert track(*[10.0] * 20, counted=7, value=50.0, scale_in=False) == ("hold", 2)


def test_datapoints_to_alarm_are_the_policy_s() -> None:
    assert track(80, counted=4, value=50.0, scale_out_after=1) == ("out", 7)
    assert track(*[30] * 5, counted=7, value=50.0, scale_in_after=5) == ("in", 5)


def test_the_load_is_what_counts_while_the_number_of_instances_changes() -> None:
    halved = [Point(400.0, 2), Point(400.0, 2), Point(200.0, 4)]
    found = propose(keep(), halved, 4, 4)
    assert (found.capacity, found.formula) == (8, "ceil(2 x 400 / 100)")


def test_points_beyond_those_looked_at_do_not_count() -> None:
    old = [10.0] * 30 + [None, None, 80.0, None, 80.0]
    assert track(*old, counted=4, value=50.0, scale_in_after=60) == ("out", 7)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 0], ("hold", 0)),
        ([1, 0, 0], ("out", 1)),  # one request is enough
        ([0, 1, 0], ("hold", None)),  # but not at once: how much is there?
        ([0, 0, 1], ("hold", None)),
        ([5, 30, 250], ("out", 3)),
        ([1, None, None], ("unknown", None)),
        ([0, 1, 0, 0, 0], ("hold", 0)),  # that was its turn, three seconds ago
        ([0, 1, None, None, 0], ("out", 1)),  # a gap does not hide it
        ([1, 0, 0, 0, 0, 0], ("hold", 0)),
    ],
)
def test_nobody_is_woken_by_any_load(values: list[float | None], expected: tuple[str, int | None]) -> None:
    found = propose(keep(), points(*values, counted=0), 0, 0)
    assert (found.wants, found.capacity) == expected


@given(
    st.lists(st.floats(0, 1e6), min_size=15, max_size=30), st.integers(1, 100), st.floats(0.01, 1e4), st.integers(0, 20)
)
def test_what_target_tracking_leaves_fits(values: list[float], counted: int, target: float, more: int) -> None:
    found = propose(keep(value=target), points(*values, counted=counted), counted + more, counted)
    assert found.capacity is not None
    newest = values[-15:]
    if found.wants == "in":
        assert all(value < LOW * target for value in newest)
        assert all(value * counted <= LOW * target * found.capacity * (1 + 1e-6) + 1e-6 for value in newest)
    if found.wants == "out":
        assert all(value > target for value in values[-3:])
        assert found.capacity > counted or found.capacity == math.ceil(counted - 1e-9)


WORKED_OUT = steps((0, 10, 0), (10, 20, 10), (20, None, 30), adjustment="percent_change_in_capacity")
WORKED_IN = steps(
    (-10, 0, 0), (-20, -10, -10), (None, -20, -30), adjustment="percent_change_in_capacity", comparison="below"
)


@pytest.mark.parametrize(
    ("policy", "value", "desired", "base", "expected"),
    [
        (WORKED_OUT, 59, 10, 10, ("hold", None)),
        (WORKED_OUT, 60, 10, 10, ("out", 11)),
        (WORKED_OUT, 70, 11, 11, ("out", 14)),  # 3.3 is 3
        (WORKED_OUT, 70, 11, 10, ("out", 13)),  # one is warming: 30 % of 10 is 3, of which one is on its way
        (WORKED_OUT, 60, 11, 10, ("hold", None)),  # it is on its way already
        (WORKED_OUT, 49, 10, 10, ("hold", None)),
        (WORKED_IN, 40, 14, 14, ("in", 13)),  # 1.4 is 1
        (WORKED_IN, 30, 13, 13, ("in", 10)),  # 3.9 is 3
        (WORKED_IN, 41, 14, 14, ("hold", None)),
        (WORKED_IN, 51, 14, 14, ("hold", None)),
    ],
)
def test_the_worked_example_of_step_scaling(
    policy: Policy, value: float, desired: int, base: int, expected: tuple[str, int | None]
) -> None:
    found = propose(policy, points(*[value] * 20), desired, base)
    assert (found.wants, found.capacity) == expected


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        ("above", 50, 1),  # lower inclusive
        ("above", 59.9, 1),
        ("above", 60, 2),  # upper exclusive
        ("above", 1e9, 2),
        ("above", 49.9, None),
        ("below", 50, 3),  # upper inclusive
        ("below", 40.1, 3),
        ("below", 40, 4),  # lower exclusive
        ("below", -1e9, 4),
        ("below", 50.1, None),
    ],
)
def test_bounds_of_steps(comparison: str, value: float, expected: int | None) -> None:
    above, below = ((0, 10, 1), (10, None, 2)), ((-10, 0, 3), (None, -10, 4))
    policy = steps(*(above if comparison == "above" else below), comparison=comparison)
    found = chosen_step(step_of(policy), value)
    assert (found.by if found else None) == expected


@pytest.mark.parametrize(
    ("adjustment", "by", "least", "capacity", "expected", "formula"),
    [
        ("change_in_capacity", 3, None, 4, 7, "4 +3"),
        ("change_in_capacity", -3, None, 4, 1, "4 -3"),
        ("exact_capacity", 6, None, 4, 6, "exactly 6"),
        ("exact_capacity", 0, None, 4, 0, "exactly 0"),
        ("percent_change_in_capacity", 25, None, 4, 5, "4 +25%"),
        ("percent_change_in_capacity", 10, None, 4, 5, "4 +10%"),  # 0.4 is 1
        ("percent_change_in_capacity", -10, None, 4, 3, "4 -10%"),
        ("percent_change_in_capacity", 0, None, 4, 4, "4 +0%"),
        ("percent_change_in_capacity", 0, 2, 4, 4, "4 +0%"),  # no step is no step
        ("percent_change_in_capacity", 25, 3, 4, 7, "4 +25%, at least 3"),
        ("percent_change_in_capacity", -25, 3, 4, 1, "4 -25%, at least 3"),
        ("percent_change_in_capacity", 100, 3, 4, 8, "4 +100%"),
        ("percent_change_in_capacity", 50, None, 0, 0, "0 +50%"),
        ("percent_change_in_capacity", 50, 1, 0, 1, "0 +50%, at least 1"),
    ],
)
def test_adjustment_types(
    adjustment: str, by: int, least: int | None, capacity: int, expected: int, formula: str
) -> None:
    step = step_of(steps((0, None, by), adjustment=adjustment, min_adjustment=least))
    assert adjusted(step, by, capacity) == (expected, formula)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(12.7, 12), (1.0, 1), (1.9, 1), (0.3, 1), (0.0, 0), (-0.3, -1), (-1.0, -1), (-6.67, -6)],
)
def test_percentages_are_rounded_toward_zero_but_to_one_at_least(change: float, expected: int) -> None:
    assert rounded(change) == expected


def test_a_step_waits_for_its_datapoints() -> None:
    out, down = steps((0, None, 2)), steps((None, 0, -2), comparison="below")
    assert propose(out, points(70, 70), 4, 4).wants == "hold"
    assert propose(out, points(70, 70, 70), 4, 4).capacity == 6
    assert propose(down, points(*[9] * 14), 4, 4).wants == "hold"
    assert propose(down, points(*[9] * 15), 4, 4).capacity == 2
    assert propose(out, points(70, 70, 70, None), 4, 4).wants == "unknown"


def test_a_step_without_scale_in_only_scales_out() -> None:
    down = steps((None, 0, -2), comparison="below", scale_in=False)
    assert propose(down, points(*[9] * 15), 4, 4).wants == "hold"


def test_a_metric_between_the_steps_asks_for_nothing() -> None:
    policy = steps((10, None, 1))
    assert propose(policy, points(55, 55, 55), 4, 4).wants == "hold"


@given(st.integers(0, 100), st.integers(-100, 100))
def test_a_percentage_changes_something_but_never_more_than_it_says(capacity: int, by: int) -> None:
    change = rounded(capacity * by / 100)
    assert abs(change) <= max(1.0, abs(capacity * by / 100))
    assert (change == 0) == (capacity * by == 0)
    assert change * by >= 0
