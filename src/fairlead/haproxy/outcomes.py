"""What came of targets' requests over the last seconds, out of counters that only grow. No I/O, no clock.

In: the counters of one process, again and again, with the time. Out: every `PACE` seconds, for each target what came of
its requests within `WINDOW`. A process that has just begun has no past: then it is too early to judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from fairlead.core.anomalies import PACE, WINDOW, Tally
from fairlead.haproxy.servers import Key

STEP = 1.0
"""Seconds between two samples that are kept."""


class Outcomes:
    """See the module. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[Key, Tally]]] = deque()
        self._judged_at = 0.0

    def begin(self, now: float) -> None:
        """Another process has taken over: its counters start from nothing."""
        self._samples.clear()
        self._judged_at = now

    def note(self, now: float, tallies: Mapping[Key, Tally]) -> bool:
        """Keep a sample; True when it is time to judge."""
        if not self._samples or now - self._samples[-1][0] >= STEP:
            self._samples.append((now, tallies))
        while len(self._samples) > 1 and now - self._samples[1][0] >= WINDOW:
            self._samples.popleft()
        due = now - self._judged_at >= PACE and now - self._samples[0][0] >= PACE
        self._judged_at = now if due else self._judged_at
        return due

    def recent(self, keys: Iterable[Key]) -> dict[Key, Tally]:
        """What came of the requests of each within the window."""
        if not self._samples:
            return {}
        first, last = self._samples[0][1], self._samples[-1][1]
        return {key: _between(first.get(key, Tally()), last.get(key, Tally())) for key in keys}


def _between(first: Tally, last: Tally) -> Tally:
    # The server of a target that comes back from maintenance is another one, which counts from nothing.
    return last.since(first) if last.requests >= first.requests and last.errors >= first.errors else last
