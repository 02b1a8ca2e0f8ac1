"""Buckets of response times: every time has one, and percentiles that are read from them are as near as is said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import ERROR, average, bounds, bucket_of, merged, percentile

TIMES = st.integers(0, 10**9)


@given(TIMES)
def test_a_time_lies_within_its_bucket(microseconds: int) -> None:
    low, high = bounds(bucket_of(microseconds))
    assert low <= microseconds / 1e6 + 1e-12 < high + 1e-9


@given(st.integers(100, 10**9))
def test_no_bucket_is_wider_than_is_said(microseconds: int) -> None:
    low, high = bounds(bucket_of(microseconds))
    assert (high - low) / low <= ERROR + 1e-9


@given(TIMES, TIMES)
def test_a_longer_time_is_in_no_earlier_bucket(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert bucket_of(shorter) <= bucket_of(longer)


def histogram(times: list[float]) -> dict[int, float]:
    return merged({bucket_of(round(time * 1e6)): 1} for time in times)


DISTRIBUTIONS = {
    "bimodal": lambda die: die.gauss(0.005, 0.0005) if die.random() < 0.9 else die.gauss(0.4, 0.02),
    "heavy tail": lambda die: 0.004 * die.paretovariate(1.3),
    "uniform": lambda die: die.uniform(0.001, 0.2),
    "log-normal": lambda die: die.lognormvariate(-4, 1),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_are_as_near_as_is_said(name: str) -> None:
    die = random.Random(name)
    times = sorted(max(0.0001, DISTRIBUTIONS[name](die)) for _ in range(20_000))
    counted = histogram(times)
    for percent in (50, 90, 95, 99, 99.9):
        exact = times[min(len(times) - 1, int(len(times) * percent / 100))]
        assert percentile(counted, percent) == pytest.approx(exact, rel=ERROR)
    assert average(counted) == pytest.approx(sum(times) / len(times), rel=ERROR / 2)


def test_a_histogram_of_nothing_has_no_percentile() -> None:
    assert percentile({}, 95) is None
    assert percentile({bucket_of(1000): 0}, 95) is None
    assert average({}) is None


@given(st.lists(st.floats(0.0001, 100), min_size=1, max_size=200), st.integers(1, 10))
def test_counting_apart_and_adding_up_is_counting_together(times: list[float], parts: int) -> None:
    apart = merged(histogram(times[at::parts]) for at in range(parts))
    assert apart == histogram(times)
