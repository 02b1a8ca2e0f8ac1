"""E3: step scaling."""

from __future__ import annotations

import pytest

from fairlead.core.scaling.policies import StepScaling
from fairlead.core.scaling.proposals import adjusted, chosen_step, propose, rounded
from tests.conformance.facts import fact
from tests.conformance.groups import with_policy
from tests.conformance.rehearsal import refusal_of
from tests.core.scaling.builders import a_group_of, a_history, a_scene, asked, kept_at, points, steps

OUT = steps((0, 10, 0), (10, 20, 10), (20, None, 30), adjustment="percent_change_in_capacity")
IN = steps((-10, 0, 0), (-20, -10, -10), (None, -20, -30), adjustment="percent_change_in_capacity", comparison="below")
"""AWS's worked example, with a threshold of 50."""


def step_policy(text: str) -> str:
    return with_policy(f"{{step: {{metric: outstanding, threshold: 50, {text}}}}}")


def by(follows: object, value: float) -> int | None:
    """How much the step says in which `value` lies."""
    assert isinstance(follows, StepScaling)
    found = chosen_step(follows, value)
    return None if found is None else found.by


@fact(
    "E3",
    "Bounds are relative to the threshold; above it the lower one belongs to the step, below it the upper one",
    "real",
)
def test_e3_bounds() -> None:
    assert [by(OUT.follows, value) for value in (49, 50, 59.9, 60, 69.9, 70, 1e9)] == [None, 0, 0, 10, 10, 30, 30]
    assert [by(IN.follows, value) for value in (51, 50, 40.1, 40, 30.1, 30, 0)] == [None, 0, 0, -10, -10, -30, -30]


@fact("E3", "Steps do not overlap", "real", message="steps: overlap")
def test_e3_overlap(message: str) -> None:
    assert message in refusal_of(step_policy("steps: [{from: 0, to: 20, by: 1}, {from: 10, by: 2}]"))


@fact("E3", "Steps leave no gap", "real", message="steps: leave a gap")
def test_e3_gap(message: str) -> None:
    assert message in refusal_of(step_policy("steps: [{from: 0, to: 10, by: 1}, {from: 20, by: 2}]"))


@fact(
    "E3",
    "A positive upper bound needs a step without one",
    "real",
    message="steps: say nothing of what is more than 10 above",
)
def test_e3_open_end(message: str) -> None:
    assert message in refusal_of(step_policy("steps: [{from: 0, to: 10, by: 1}]"))


@fact("E3", "ChangeInCapacity, ExactCapacity, PercentChangeInCapacity", "real")
def test_e3_adjustments() -> None:
    for adjustment, change, expected in (
        ("change_in_capacity", 3, 13),
        ("exact_capacity", 3, 3),
        ("percent_change_in_capacity", 30, 13),
    ):
        follows = steps((0, None, change), adjustment=adjustment).follows
        assert isinstance(follows, StepScaling)
        assert adjusted(follows, change, 10)[0] == expected


@fact("E3", "Percentages are rounded toward 0, but to 1 at least", "real")
def test_e3_rounding() -> None:
    assert [rounded(change) for change in (12.7, 0.3, -0.3, -6.67, 0.0)] == [12, 1, -1, -6, 0]


@fact("E3", "MinAdjustmentMagnitude, with percentages only", "real", message="min_adjustment: goes only with")
def test_e3_min_adjustment(message: str) -> None:
    assert message in refusal_of(step_policy("min_adjustment: 2, steps: [{from: 0, by: 1}]"))
    follows = steps((0, None, 10), adjustment="percent_change_in_capacity", min_adjustment=2).follows
    assert isinstance(follows, StepScaling)
    assert adjusted(follows, 10, 10)[0] == 12


@fact("E3", "AWS's worked example: 10, at 60 to 11, at 70 to 14, at 40 to 13, at 30 to 10", "real")
def test_e3_worked_example() -> None:
    size = 10
    for policy, value, expected in ((OUT, 60, 11), (OUT, 70, 14), (IN, 40, 13), (IN, 30, 10)):
        found = propose(policy, points(*[value] * 15, counted=size), size, size)
        assert found.capacity == expected
        size = expected


@fact("E3", "Warming instances count as added: the same step adds nothing more, a larger one the difference", "real")
def test_e3_warming() -> None:
    service = a_group_of(OUT, desired=10, maximum=20)
    ten = a_history(service, 60, 60, 60, counted=10)
    eleven = kept_at(service, 11)
    assert asked(service, ten, eleven, scene=a_scene(10, warming=1)).desired == 11
    larger = a_history(service, 70, 70, 70, counted=10)
    assert asked(service, larger, eleven, scene=a_scene(10, warming=1)).desired == 13, (
        "30 % of 10, of which one is there"
    )


@fact(
    "E3", "MetricAggregationType: Average, Minimum, Maximum", "refused", message="metric_aggregation_type: is not a key"
)
def test_e3_aggregation(message: str) -> None:
    assert message in refusal_of(step_policy("metric_aggregation_type: max, steps: [{from: 0, by: 1}]"))


@fact("E3", "The newest datapoints choose the step", "approximated", "the median of those in breach")
def test_e3_median() -> None:
    found = propose(OUT, points(60, 61, 95, counted=10), 10, 10)
    assert found.capacity == 11


@fact("E3", "A policy has no cool-down; it acts each minute while the alarm stays", "approximated",
      "with each datapoint, those that are on their way counted; `cooldown` makes it wait")  # fmt: skip
def test_e3_each_datapoint() -> None:
    policy = steps((0, None, 1), cooldown=30.0)
    service = a_group_of(policy, desired=2)
    first = asked(service, a_history(service, 60, 60, 60))
    assert first.desired == 3
    assert first.group is not None
    more = a_history(service, 60, 60, 60, counted=3)
    held = asked(service, more, first.group, now=5010.0)
    assert (held.desired, "waits for its cool-down" in held.reasons[-1]) == (3, True)
    assert asked(service, more, first.group, now=5030.0).desired == 4


@pytest.mark.parametrize("warming", [1, 3])
@fact("E3", "Scale-in waits while instances warm up", "real")
def test_e3_no_scale_in_while_warming(warming: int) -> None:
    service = a_group_of(IN, desired=10, maximum=20)
    quiet = a_history(service, *[30.0] * 20, counted=10 - warming)
    assert asked(service, quiet, kept_at(service, 10), scene=a_scene(10 - warming, warming=warming)).desired == 10
    assert asked(service, a_history(service, *[30.0] * 20, counted=10), kept_at(service, 10)).desired == 7
