"""Names and figures of policies; what is kept of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fairlead.core.desired import StackRecord
from fairlead.core.scaling.policies import (
    Policy,
    Scaling,
    ScheduledAction,
    StepAdjustment,
    StepScaling,
    TargetTracking,
    amount,
    figure,
)
from fairlead.store import records

from ..builders import a_revision, a_stack, a_wish
from .builders import a_group_of, keep, steps


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("cpu", 60, "60%"),
        ("memory", 12.345, "12.3%"),
        ("requests_per_target", 143.4, "143/s"),
        ("outstanding", 4.5, "4.5"),
        ("latency_p95", 0.25, "250 ms"),
        ("latency_p50", 0.0123, "12.3 ms"),
        ("custom:queue", 300, "300"),
        ("custom:queue", 0.25, "0.25"),
        ("custom:queue", 0.0001, "0"),
        ("custom:queue", -2.5, "-2.5"),
        ("custom:queue", 123456.7, "123457"),
    ],
)
def test_amounts(metric: str, value: float, expected: str) -> None:
    assert amount(metric, value) == expected
    assert figure(metric, value) == expected.removesuffix(" ms").removesuffix("%").removesuffix("/s")


def test_names() -> None:
    assert keep("cpu", 60.0).name == "cpu at 60%"
    assert keep("latency_p99", 0.5).name == "latency_p99 at 500 ms"
    assert steps((0, None, 1), threshold=300.0).name == "custom:queue above 300"
    assert steps((None, 0, 1), comparison="below").name == "custom:queue below 50"


numbers = st.floats(allow_nan=False, allow_infinity=False)
adjustments = st.builds(StepAdjustment, lower=st.none() | numbers, upper=st.none() | numbers, by=st.integers(-99, 99))
follows = st.one_of(
    st.builds(TargetTracking, metric=st.text(), value=numbers),
    st.builds(
        StepScaling,
        metric=st.text(), threshold=numbers, comparison=st.sampled_from(["above", "below"]),
        adjustment=st.sampled_from(["change_in_capacity", "percent_change_in_capacity", "exact_capacity"]),
        min_adjustment=st.none() | st.integers(1, 9), cooldown=numbers, steps=st.lists(adjustments, max_size=3).map(tuple),
    ),
)  # fmt: skip
policies = st.builds(
    Policy,
    follows=follows, period=st.integers(1, 60), scale_out_after=st.integers(1, 60), scale_in_after=st.integers(1, 60),
    scale_in=st.booleans(),
)  # fmt: skip


@given(policies)
def test_a_policy_is_kept_as_it_is(policy: Policy) -> None:
    adapter = TypeAdapter(Policy)
    assert adapter.validate_python(adapter.dump_python(policy, mode="json")) == policy
    action = ScheduledAction(name="morning", cron="0 8 * * *", minimum=2)
    service = a_group_of(policy, schedule=(action,), warm_pool=2)
    wish = a_wish(a_revision(a_stack(service)))
    found = records.read(StackRecord, records.text(wish))
    assert found.desired.stack.service("web").scaling == Scaling(policies=(policy,), schedule=(action,), warm_pool=2)
