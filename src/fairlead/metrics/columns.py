"""Which number stands where in a row of metrics, at each level. Pure.

A row has its counts first and its levels behind; durations are kept beside it, as a histogram. What a row of an older
fairlead holds is told by the columns it was written with (`Columns`), which are stored with it: a metric that did not
exist then is unknown, one that no longer exists is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from fairlead.core.latency import bounds
from fairlead.metrics.catalogue import Level

BASE = (
    "RequestCount",
    "HTTPCode_Target_2XX_Count",
    "HTTPCode_Target_3XX_Count",
    "HTTPCode_Target_4XX_Count",
    "HTTPCode_Target_5XX_Count",
    "TargetConnectionErrorCount",
    "RetriedRequestCount",
    "ProcessedBytes",
    "BrokenRequestCount",
    "TargetConnectionCount",
)
"""Counts that exist at every level. The last two are no metrics: error rates and NewConnectionCount need them."""

OWN = {
    "3XX": "HTTPCode_ELB_3XX_Count",
    "4XX": "HTTPCode_ELB_4XX_Count",
    "5XX": "HTTPCode_ELB_5XX_Count",
    "500": "HTTPCode_ELB_500_Count",
    "502": "HTTPCode_ELB_502_Count",
    "503": "HTTPCode_ELB_503_Count",
    "504": "HTTPCode_ELB_504_Count",
    "fixed_response": "HTTP_Fixed_Response_Count",
    "redirect": "HTTP_Redirect_Count",
}
"""Keys of `ListenersReading.own`, and the metrics they are."""

COUNTS: Mapping[Level, tuple[str, ...]] = {
    "stack": (*BASE, *OWN.values(), "NewConnectionCount", "RejectedConnectionCount"),
    "service": (*BASE, "HTTPCode_ELB_5XX_Count", "RequestCountPerTarget"),
    "zone": (*BASE, "RequestCountPerTarget"),
    "target": BASE,
    "custom": (),
}

GROUPED = ("OutstandingRequestCount", "HealthyHostCount", "UnHealthyHostCount", "CPUUtilization", "MemoryUtilization")

LEVELS: Mapping[Level, tuple[str, ...]] = {
    "stack": ("OutstandingRequestCount", "ActiveConnectionCount"),
    "service": (*GROUPED, "GroupDesiredCapacity", "GroupInServiceInstances"),
    "zone": GROUPED,
    "target": GROUPED,
    "custom": ("Value",),
}

COUNT_AT: Mapping[Level, Mapping[str, int]] = {
    level: {name: place for place, name in enumerate(names)} for level, names in COUNTS.items()
}
LEVEL_AT: Mapping[Level, Mapping[str, int]] = {
    level: {name: place for place, name in enumerate(names)} for level, names in LEVELS.items()
}
"""Where a metric stands among the counts, or the levels."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What rows were written with. buckets: how the numbers of buckets map to times, so that numbers which meant other
    times are not read as today's."""

    counts: Mapping[Level, tuple[str, ...]]
    levels: Mapping[Level, tuple[str, ...]]
    buckets: str

    def text(self) -> str:
        """To store; the same columns give the same text."""
        return json.dumps({"counts": self.counts, "levels": self.levels, "buckets": self.buckets}, sort_keys=True)

    @staticmethod
    def read(text: str) -> Columns:
        """What `text` wrote. ValueError, KeyError: it is something else. A level that did not exist then has none."""
        found = json.loads(text)
        kinds: tuple[Level, ...] = get_args(Level)
        return Columns(
            {level: tuple(found["counts"].get(level, ())) for level in kinds},
            {level: tuple(found["levels"].get(level, ())) for level in kinds},
            str(found["buckets"]),
        )


def _bucket_probe() -> str:
    """A few buckets' bounds: another way of numbering them changes at least one."""
    return " ".join(f"{bucket}:{bounds(bucket)[0]:g}-{bounds(bucket)[1]:g}" for bucket in (1, 60, 120, 240, 300, 400))


TODAY = Columns(COUNTS, LEVELS, _bucket_probe())
