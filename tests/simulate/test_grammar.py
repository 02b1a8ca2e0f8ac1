"""`--load` as people write it."""

from __future__ import annotations

import re

import pytest

from fairlead.errors import UsageError
from fairlead.simulate.grammar import load_of, number_of, seconds_of
from fairlead.simulate.load import SHAPES, Load, Recording

from .builders import no_file


def rates(text: str, seed: int = 1) -> list[float]:
    found = list(load_of(text, no_file).rates(seed))
    assert all(rate is not None for rate in found)
    return [rate for rate in found if rate is not None]


@pytest.mark.parametrize(
    ("text", "seconds", "first", "last", "total"),
    [
        ("constant:100/10m", 600, 100, 100, 60_000),
        ("constant:1.5k/2s", 2, 1500, 1500, 3000),
        ("ramp:0-500/5m", 300, 0.8333, 499.1667, 75_000),
        ("ramp:500-0/5m", 300, 499.1667, 0.8333, 75_000),
        ("step:50-500/10m", 600, 50, 500, 165_000),
        ("step:50-500/10m@2m", 600, 50, 500, 246_000),
        ("spike:50-800/10m", 600, 50, 50, 75_000),
        ("spike:50-800/10m@9m30s", 600, 50, 800, 52_500),
        ("sine:20-200/24h", 86400, 20, 20, 9_504_000),
        ("sine:20-200/2h@1h", 7200, 20, 20, 792_000),
        ("constant:1M/1h", 3600, 1e6, 1e6, 3.6e9),
        ("constant:10/1m30s", 90, 10, 10, 900),
        ("constant:10/1.5m", 90, 10, 10, 900),
        ("constant:10/2500ms", 2, 10, 10, 20),
        ("constant:10/1m,ramp:10-20/1m", 120, 10, 19.9167, 1500),
        (" constant:10/1m , constant:0/1m ", 120, 10, 0, 600),
    ],
)
def test_a_shape_is_so_many_requests_over_so_long(
    text: str, seconds: int, first: float, last: float, total: float
) -> None:
    found = rates(text)
    assert len(found) == seconds
    assert (found[0], found[-1]) == pytest.approx((first, last), rel=1e-3)
    assert sum(found) == pytest.approx(total, rel=1e-3)


def test_a_spike_is_a_tenth_of_its_time_in_the_middle() -> None:
    high = [second for second, rate in enumerate(rates("spike:50-800/10m")) if rate == 800]
    assert high == list(range(270, 330))
    assert rates("spike:1-9/3s") == [1, 9, 1]


def test_a_sine_begins_low_and_is_high_in_the_middle() -> None:
    found = rates("sine:20-200/1h")
    assert max(found) == pytest.approx(200, rel=1e-4)
    assert found.index(max(found)) in (1799, 1800)


def test_jitter_is_chance_that_can_be_repeated() -> None:
    text = "constant:100/1h+jitter:5%"
    found = rates(text)
    assert found == rates(text) != rates(text, seed=2)
    assert 95 <= min(found) < 96 < 104 < max(found) <= 105
    assert sum(found) == pytest.approx(360_000, rel=0.01)
    assert rates("constant:100/2s+jitter:0%") == [100, 100]


def test_jitter_belongs_to_its_own_part() -> None:
    found = rates("constant:100/10s,constant:100/10s+jitter:50%")
    assert set(found[:10]) == {100}
    assert len(set(found[10:])) == 10


@pytest.mark.parametrize("text", ["traffic.csv", "./traffic.csv", "/tmp/x/traffic", "traffic.csv+jitter:5%"])
def test_a_file_is_read_by_who_can_read(text: str) -> None:
    asked: list[str] = []

    def read(path: str) -> Load:
        asked.append(path)
        return Load(pieces=(Recording(values=(1.0, None, 3.0)),), began="2026-11-21T10:00:00Z")

    load = load_of(f"{text},constant:5/1s", read)
    assert asked == [text.removesuffix("+jitter:5%")]
    assert load.began == "2026-11-21T10:00:00Z"
    assert [rate is None for rate in load.rates()] == [False, True, False, False]
    assert load_of(f"constant:5/1s,{text}", read).began == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rmap:0-500/5m", "there is no shape 'rmap': did you mean ramp?"),
        ("flat:5/5m", "there are constant, ramp, step, spike, sine, and a file that ends in .csv"),
        ("", "there is no shape ''"),
        ("constant:5/5m,", "there is no shape ''"),
        ("100", "there is no shape '100'"),
        ("ramp", "it does not say how long (/10m)"),
        ("ramp:0-500", "it does not say how long (/10m)"),
        ("ramp:0-500/5", "'5' is no length of time"),
        ("ramp:0-500/", "it does not say how long (/10m)"),
        ("constant:5/5m@", "it cannot be read"),
        ("ramp:0-500/5min", "'5min' is no length of time"),
        ("ramp:a-500/5m", "'a' is no number of requests per second"),
        ("ramp:0-5OO/5m", "'5OO' is no number of requests per second"),
        ("ramp:-5/5m", "'-5' is no number of requests per second"),
        ("ramp:500/5m", "a ramp is of two numbers"),
        ("constant:1-2/5m", "a constant is of one number"),
        ("constant:1e9/5m", "'1e9' is no number of requests per second"),
        ("constant:9999M/5m", "more than 1000000000 requests per second are not simulated"),
        ("constant:5/500ms", "it may last from 1s to 31d"),
        ("constant:5/32d", "it may last from 1s to 31d"),
        ("constant:5/20d,constant:5/20d", "--load is too long: it is of 40 days, and 31 are the most"),
        ("ramp:0-500/5m@1m", "@ says nothing of a ramp"),
        ("step:0-500/5m@6m", "6m is not within its 5m"),
        ("step:0-500/5m@x", "'x' is no length of time"),
        ("step:0-500/5m+jitter", "'jitter' is no jitter of 0% to 100%"),
        ("step:0-500/5m+jitter:5", "'jitter:5' is no jitter of 0% to 100%"),
        ("step:0-500/5m+jitter:101%", "'jitter:101%' is no jitter of 0% to 100%"),
        ("step:0-500/5m+jitter:1%+jitter:1%", "it has two jitters"),
    ],
)
def test_nonsense_is_answered_with_what_was_meant_and_an_example(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as refused:
        load_of(text, no_file)
    error = refused.value
    assert "too long" in error.what or re.search(r"Write it like \w+:\d", error.next_step)


def test_every_example_can_be_read() -> None:
    for name, shape in SHAPES.items():
        assert load_of(shape.example, no_file).seconds >= 300
        assert shape.example.startswith(name)


def test_numbers_and_lengths_of_time() -> None:
    assert [number_of(text) for text in ("0", "1.5", "2k", "1.2M")] == [0, 1.5, 2000, 1.2e6]
    assert [seconds_of(text) for text in ("50ms", "2s", "1m30s", "1d")] == [0.05, 2, 90, 86400]
    for text in ("", "k", "-1", "1g", "1e3", "inf", "nan", "1_0"):
        with pytest.raises(ValueError):  # noqa: PT011
            number_of(text)
    for text in ("", "5", "5min", "-5s", "s"):
        with pytest.raises(ValueError):  # noqa: PT011
            seconds_of(text)
