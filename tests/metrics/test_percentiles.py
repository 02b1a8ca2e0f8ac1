"""Percentiles of what was counted in buckets, against those of the times themselves."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core import latency
from fairlead.core.latency import average, percentiles
from fairlead.metrics.catalogue import PERCENTILES

DISTRIBUTIONS: Mapping[str, Callable[[random.Random], float]] = {
    "uniform": lambda dice: dice.uniform(0.001, 0.5),
    "bimodal": lambda dice: dice.gauss(0.008, 0.0005) if dice.random() < 0.93 else dice.gauss(0.9, 0.05),
    "two modes at a percentile": lambda dice: 0.002 if dice.random() < 0.95 else 2.0,
    "heavy tail": lambda dice: 0.004 * dice.paretovariate(1.1),
    "log-normal": lambda dice: dice.lognormvariate(math.log(0.03), 1.2),
    "constant": lambda dice: 0.042,
}


def exact(times: Sequence[float], percent: float) -> float:
    """The least time that so many percent did not exceed."""
    return sorted(times)[max(0, math.ceil(len(times) * percent / 100) - 1)]


def counted(times: Sequence[float]) -> dict[int, int]:
    histogram: dict[int, int] = {}
    for time in times:
        bucket = latency.bucket_of(round(time * 1e6))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    return histogram


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("requests", [7, 1000, 20_000])
def test_percentiles_are_within_the_stated_error(name: str, requests: int) -> None:
    dice = random.Random(f"{name} {requests}")
    times = [max(0.0002, DISTRIBUTIONS[name](dice)) for _ in range(requests)]
    for percent, found in zip(PERCENTILES, percentiles(counted(times), PERCENTILES), strict=True):
        assert found == pytest.approx(exact(times, percent), rel=latency.ERROR), percent


@given(
    st.dictionaries(st.integers(0, latency.BUCKETS - 1), st.integers(0, 1000), max_size=30),
    st.lists(st.floats(0, 100), max_size=5).map(sorted),
)
def test_many_at_once_are_what_each_would_be(histogram: dict[int, int], percents: list[float]) -> None:
    assert percentiles(histogram, percents) == [latency.percentile(histogram, percent) for percent in percents]
    assert average(histogram) == pytest.approx(latency.average(histogram))


def test_without_a_request_they_are_unknown() -> None:
    assert percentiles({}, (50, 99)) == [None, None]
