"""Datapoints: what is measured each second, in periods; unknown is missing, not zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import bucket_of, percentile
from fairlead.core.scaling.history import MISSING, History, Point
from fairlead.core.scaling.policies import Policy, Scaling
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond

from .builders import a_second, keep, names

TWO = names(2)


def values(history: History, policy: Policy) -> list[float | None]:
    return [point.value for point in history.points(policy)]


def fed(policy: Policy, seconds: list[ServiceSecond], counted: int = 2, **more: bool) -> list[Point]:
    history = History(Scaling(policies=(policy,)))
    for second in seconds:
        history.add(second, names(counted), **more)
    return list(history.points(policy))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("cpu", 30.0), ("memory", 5.0), ("outstanding", 2.0), ("requests_per_target", 150.0)],
)
def test_means_over_the_counted_instances(metric: str, expected: float) -> None:
    instances = {
        "web-1": InstanceSecond(cpu=20, memory=4, outstanding=1, requests=100),
        "web-2": InstanceSecond(cpu=40, memory=6, outstanding=3, requests=200),
        "web-3": InstanceSecond(cpu=99, memory=99, outstanding=99, requests=999),
    }
    assert fed(keep(metric), [ServiceSecond(at=1, instances=instances)]) == [Point(expected, 2)]


def test_one_that_is_not_known_is_taken_to_be_like_the_others() -> None:
    second = ServiceSecond(at=1, instances={"web-1": InstanceSecond(cpu=20), "web-2": InstanceSecond()})
    assert fed(keep("cpu"), [second]) == [Point(20.0, 2)]


@pytest.mark.parametrize(
    "metric", ["cpu", "memory", "outstanding", "requests_per_target", "latency_p95", "custom:queue"]
)
def test_unknown_is_missing(metric: str) -> None:
    assert [point.value for point in fed(keep(metric), [a_second(1), ServiceSecond(at=2)])] == [None, None]


def test_latency_is_the_percentile_of_all_answers_together() -> None:
    fast, slow = {bucket_of(10_000): 96}, {bucket_of(10_000): 94, bucket_of(2_000_000): 10}
    second = ServiceSecond(at=1, instances={"web-1": InstanceSecond(times=fast), "web-2": InstanceSecond(times=slow)})
    together = {bucket_of(10_000): 190, bucket_of(2_000_000): 10}
    for metric, percent in (("latency_p50", 50), ("latency_p95", 95), ("latency_p99", 99)):
        assert fed(keep(metric), [second]) == [Point(percentile(together, percent), 2)]


def test_nobody_waited_while_nobody_asked() -> None:
    assert fed(keep("latency_p95"), [a_second(1, requests=0.0)]) == [Point(0.0, 2)]
    assert fed(keep("latency_p95"), [a_second(1, requests=1.0)]) == [MISSING]  # asked, and not yet answered


def test_the_latency_of_a_period_is_of_all_its_answers() -> None:
    fast, slow = {bucket_of(10_000): 1}, {bucket_of(2_000_000): 1}
    seconds = [a_second(at, 1, requests=1.0, times=slow if at == 4 else fast) for at in range(20)]
    seconds[7] = a_second(7, 1, requests=0.0)
    found = fed(keep("latency_p95", period=20), seconds, counted=1)
    assert found[0].value == percentile({bucket_of(10_000): 18, bucket_of(2_000_000): 1}, 95)
    assert found[0].value > 0.1  # the mean of the seconds' percentiles would hide it


def test_a_custom_metric_is_what_it_says() -> None:
    assert fed(keep("custom:queue"), [a_second(1, custom={"queue": 7.0})]) == [Point(7.0, 2)]
    assert fed(keep("custom:queue"), [a_second(1, custom={"queue": 7.0})], counted=0, empty=True) == [Point(7.0, 0)]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_custom_metric_that_is_no_number_is_missing(value: float) -> None:
    assert fed(keep("custom:queue"), [a_second(1, custom={"queue": value})]) == [MISSING]


@pytest.mark.parametrize(
    ("metric", "expected"), [("requests_per_target", 30.0), ("outstanding", 30.0), ("cpu", None), ("latency_p95", None)]
)
def test_where_nobody_serves_the_refused_tell_of_load(metric: str, expected: float | None) -> None:
    second = ServiceSecond(at=1, refused=30.0)
    assert [point.value for point in fed(keep(metric), [second], counted=0, empty=True)] == [expected]
    assert [point.value for point in fed(keep(metric), [second], counted=0)] == [None]


def test_a_point_is_the_mean_over_its_period() -> None:
    policy = keep("cpu", period=5)
    found = fed(policy, [a_second(at, cpu=float(at)) for at in range(10, 22)])
    assert found == [Point(12.0, 2), Point(17.0, 2)]  # the third is not over


def test_a_period_keeps_the_load_when_the_number_of_instances_changes() -> None:
    policy = keep(period=4)
    history = History(Scaling(policies=(policy,)))
    for at in range(4):
        counted = 2 if at < 2 else 4
        history.add(a_second(at, counted, requests=400 / counted), names(counted))
    assert list(history.points(policy)) == [Point(100.0, 4)]


def test_what_was_measured_while_others_warmed_up_is_told_and_left_out_when_they_count() -> None:
    policy = keep(period=4)
    history = History(Scaling(policies=(policy,)))
    for at in range(8):
        history.add(a_second(at, 2, requests=50.0), names(2), settled=at >= 6)
    history.add(a_second(8, 2, requests=100.0), names(2))
    assert list(history.points(policy)) == [Point(50.0, 2, settled=False), Point(50.0, 2)]
    late = History(Scaling(policies=(policy,)))
    for at in range(4):
        late.add(a_second(at, 2, requests=50.0 if at < 2 else 80.0), names(2), settled=at >= 2)
    assert list(late.points(policy)) == [Point(80.0, 2)]


def test_what_was_read_is_of_the_instances_that_counted_then() -> None:
    policy = keep("custom:queue", 10.0)
    history = History(Scaling(policies=(policy,)))

    def second(at: int, value: float, read: float | None, counted: int, *, settled: bool = True) -> None:
        moments = {} if read is None else {"queue": read}
        history.add(ServiceSecond(at=at, custom={"queue": value}, read=moments), names(counted), settled=settled)

    second(0, 25.0, 5000.0, 1)
    second(1, 25.0, 5000.0, 3)  # two more, and the number is still the one that was read before them
    second(2, 25.0, 5060.0, 3)  # the same number again, but read anew
    second(3, 9.0, 5120.0, 3, settled=False)
    second(4, 9.0, 5120.0, 5)  # read while others warmed up, whatever they do now
    second(5, 9.0, None, 5)
    assert list(history.points(policy))[-6:] == [
        Point(25.0, 1), Point(25.0, 1), Point(25.0, 3), Point(9.0, 3, settled=False), Point(9.0, 3, settled=False),
        Point(9.0, 5),
    ]  # fmt: skip


def test_a_period_is_of_what_is_known_of_it() -> None:
    policy = keep("cpu", period=4)
    seconds = [a_second(0, cpu=10.0), a_second(1), a_second(3, cpu=30.0), a_second(4), a_second(5), a_second(7)]
    assert fed(policy, seconds) == [Point(20.0, 2), MISSING]


def test_seconds_that_never_came_are_missing_points() -> None:
    policy = keep("cpu")
    found = fed(policy, [a_second(1, cpu=1.0), a_second(5, cpu=5.0)])
    assert [point.value for point in found] == [1.0, None, None, None, 5.0]
    policy = keep("cpu", period=3)
    found = fed(policy, [a_second(0, cpu=1.0), a_second(10, cpu=5.0), a_second(11, cpu=5.0)])
    assert [point.value for point in found] == [1.0, None, None, 5.0]


def test_a_clock_that_jumps_forward_leaves_a_gap_and_not_more_points_than_are_kept() -> None:
    policy = keep("cpu")
    found = fed(policy, [a_second(1, cpu=1.0), a_second(100_000, cpu=5.0)])
    assert [point.value for point in found] == [None] * 16 + [5.0]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    policy, wide = keep("cpu"), keep("cpu", period=2)
    history = History(Scaling(policies=(policy, wide)))
    for at in (10, 11, 12, 5, 6):
        history.add(a_second(at, cpu=float(at)), TWO)
    assert values(history, policy) == [5.0, 6.0]
    assert values(history, wide) == [5.0]


def test_a_second_counts_once() -> None:
    policy = keep("cpu")
    assert [point.value for point in fed(policy, [a_second(1, cpu=1.0), a_second(1, cpu=9.0)])] == [1.0]


def test_policies_on_one_metric_share_its_points_and_get_as_many_as_the_longest_needs() -> None:
    short, long = keep("cpu", scale_in_after=2, scale_out_after=1), keep("cpu", 70.0, scale_in_after=30)
    for policies in ((short, long), (long, short)):
        history = History(Scaling(policies=policies))
        for at in range(100):
            history.add(a_second(at, cpu=float(at)), TWO)
        assert values(history, short) == values(history, long) == [float(at) for at in range(68, 100)]


def test_without_a_second_there_is_no_point() -> None:
    history = History(Scaling(policies=(keep(),)))
    assert (list(history.points(keep())), history.last) == ([], None)


@given(st.lists(st.tuples(st.integers(-5, 40), st.none() | st.floats(0, 100)), max_size=60), st.integers(1, 7))
def test_whatever_the_clock_does_points_are_of_what_was_seen(seconds: list, period: int) -> None:
    policy = keep("cpu", period=period)
    history = History(Scaling(policies=(policy,)))
    at = 1000
    for step, value in seconds:
        at += step
        history.add(a_second(at, cpu=value) if value is not None else a_second(at), TWO)
        assert len(history.points(policy)) <= 17
    seen = [value for _, value in seconds if value is not None]
    for point in history.points(policy):
        assert point.value is None or min(seen) - 1e-6 <= point.value <= max(seen) + 1e-6
