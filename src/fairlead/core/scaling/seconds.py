"""One second of a service as scaling sees it: what each of its instances did, and what is known of them. Values.

`metrics` makes them of what was measured, `simulate` invents them. Unknown is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSecond:
    """requests: sent to it in that second; outstanding: inside it at its end; cpu, memory: percent of what it reserves;
    times: how many answers began after how long (buckets of `core.latency`)."""

    requests: float | None = None
    outstanding: float | None = None
    cpu: float | None = None
    memory: float | None = None
    times: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSecond:
    """at: where it begins, seconds since 1970. refused: requests that found no target (answers of 5xx that the balancer
    gave for the service), which is all that tells of load while nobody serves. custom: by name."""

    at: int
    instances: Mapping[str, InstanceSecond] = field(default_factory=dict)
    refused: float | None = None
    custom: Mapping[str, float] = field(default_factory=dict)
    read: Mapping[str, float] = field(default_factory=dict)
    """When each of these was read, as monotonic seconds: what has the same moment as before is the same reading, seen
    once more. What is not in it was read just now."""
