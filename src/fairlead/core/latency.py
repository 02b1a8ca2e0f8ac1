"""Response times as counts in buckets: what the balancer counts without a look at single requests. Pure.

A bucket is the set of times whose *pace*, 2**36 - 1 divided by 16 microseconds more than the time, agrees in its first
five binary digits: HAProxy finds that with one division and one look into a table (`haproxy.timing`), whatever the
time. So its width is at most a sixteenth of its value. At the `LIMITS` buckets end, too: how many times were no longer
than one of them is exact. A percentile that is read from buckets is off by `ERROR` at most, usually by much less, since
times are taken to be spread evenly within a bucket. Histograms of targets, seconds and nodes merge by adding: nothing
is lost by keeping them apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

ERROR = 0.0725
"""A percentile is at most this share of itself away from the true one: the width of the widest bucket from 0.1 ms on
(below, it is a microsecond and a sixteenth)."""

LIMITS = (1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 10**6, 2_500_000, 5 * 10**6, 10**7)
"""Microseconds at which a bucket ends."""

SCALE, HEAD_START = 2**36 - 1, 16
"""A pace is `SCALE // (microseconds + HEAD_START)`: 32 bits, and five of them that count for everything up to
`LONGEST`."""

LONGEST = SCALE // 16 - HEAD_START
"""Microseconds that have a bucket, 71 minutes; longer ones are counted in the last."""

PACES = tuple(
    sorted(
        {first << more for first in range(16, 32) for more in range(28)}
        | {SCALE // (one + HEAD_START) for one in LIMITS}
    )
)
"""The least pace of each bucket, the last bucket first."""

BUCKETS = len(PACES)


def bucket_of(microseconds: int) -> int:
    """The number of the bucket: 0 has the shortest times."""
    pace = SCALE // (min(max(microseconds, 0), LONGEST) + HEAD_START)
    return BUCKETS - bisect_right(PACES, pace)


def _ends() -> tuple[float, ...]:
    exact = {SCALE // (one + HEAD_START): one for one in LIMITS}
    return tuple(exact.get(pace, SCALE / pace - HEAD_START) / 1e6 for pace in reversed(PACES))


_ENDS = _ends()
"""Seconds at which each bucket ends, by its number."""


def bounds(bucket: int) -> tuple[float, float]:
    """Behind which time a bucket begins and with which it ends, in seconds."""
    number = min(max(bucket, 0), BUCKETS - 1)
    return _ENDS[number - 1] if number else 0.0, _ENDS[number]


def merged(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """All of them in one."""
    total: dict[int, int] = {}
    get = total.get
    for histogram in histograms:
        for bucket, count in histogram.items():
            total[bucket] = get(bucket, 0) + count
    return total


def percentiles(histogram: Mapping[int, int], percents: Sequence[float]) -> list[float | None]:
    """The times in seconds that so many percent (0 to 100, rising) of the requests did not exceed; None without a
    request."""
    total = sum(histogram.values())
    if total <= 0:
        return [None] * len(percents)
    found: list[float | None] = []
    wanted = [total * percent / 100 for percent in percents]
    seen = 0
    for bucket in sorted(histogram):
        count = histogram[bucket]
        while len(found) < len(wanted) and count > 0 and seen + count >= wanted[len(found)]:
            low, high = bounds(bucket)
            found.append(low + (high - low) * max(0.0, wanted[len(found)] - seen) / count)
        seen += count
    return found


def percentile(histogram: Mapping[int, int], percent: float) -> float | None:
    """One of them."""
    return percentiles(histogram, (percent,))[0]


def average(histogram: Mapping[int, int]) -> float | None:
    """The mean time in seconds; None without a request."""
    total = sum(histogram.values())
    return sum([sum(bounds(bucket)) / 2 * count for bucket, count in histogram.items()]) / total if total > 0 else None
