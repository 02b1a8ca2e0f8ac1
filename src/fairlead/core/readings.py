"""What is read off the balancer and the engine once a second, as values; `metrics` makes series of them.

All counts are totals since some moment: they never fall while their key is there, whatever reloads and deaths of
HAProxy happen. What a total was at the first reading says nothing; only differences between two readings do. Unknown is
None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]
"""(full name of the group `STACK.SERVICE`, id of the target); of an engine's: (stack, instance)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCounts:
    """One target, in all rings of its group together."""

    requests: int = 0
    """Sent to it; one that was tried again counts at each target that it was sent to."""
    responses: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """Its answers by class: 1xx, 2xx, 3xx, 4xx, 5xx."""
    connection_errors: int = 0
    """Connections to it that failed."""
    broken: int = 0
    """Requests that it took and did not answer: it closed, or was silent for too long, or answered nonsense."""
    retried: int = 0
    """Attempts at it that failed and were made again, there or at another target."""
    connections: int = 0
    """Opened to it."""
    bytes_in: int = 0
    bytes_out: int = 0
    """To it and from it, headers included."""
    times: Mapping[int, int] = field(default_factory=dict)
    """How many answers began after how long: buckets of `core.latency`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReading:
    counts: TargetCounts
    outstanding: int
    """Requests, WebSockets and streams that run inside it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReading:
    """A target group. `gone` holds what targets did that are no longer there, so that sums over a group never fall."""

    requests: int = 0
    """For which a target was chosen, each once, however often it was tried again."""
    elb_5xx: int = 0
    """Answers of 5xx that the balancer gave for this group: no target, none that answers, too late."""
    queued: int = 0
    """Requests that wait for a target now."""
    gone: TargetCounts = field(default_factory=TargetCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenersReading:
    """What a stack's listeners did. Of a port that several stacks share, connections count for each of them."""

    connections: int = 0
    """Accepted from clients."""
    active: int = 0
    """Open now, to clients and to targets."""
    rejected: int = 0
    """Refused or left waiting because the balancer was at its limit."""
    bytes: int = 0
    """Received from clients and sent to them, headers included."""
    own: Mapping[str, int] = field(default_factory=dict)
    """Answers that the balancer gave itself: `3XX`, `4XX`, `5XX`, `500`, `502`, `503`, `504`, and of them
    `fixed_response` and `redirect`, which rules asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The balancer at one moment. losses: grows whenever counts may be missing (a HAProxy ended before it was read)."""

    losses: int = 0
    targets: Mapping[Key, TargetReading] = field(default_factory=dict)
    groups: Mapping[str, GroupReading] = field(default_factory=dict)
    """By full name."""
    listeners: Mapping[str, ListenersReading] = field(default_factory=dict)
    """By stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an instance's processes use, all together, those included that have ended."""

    cpu: float
    """Seconds of processor time since its start; never falls."""
    memory: int | None
    """Bytes held now, shared pages by share; None: not known yet."""
    at: float
    """Monotonic seconds at which `cpu` was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceScene:
    """An instance as control sees it. health: of its target health (`healthy`, `unhealthy`, `initial`, ...)."""

    id: str
    zone: str
    health: str
    in_service: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceScene:
    """A service as control sees it. cpu (cores) and memory (bytes) are what each instance reserves: 100 percent."""

    stack: str
    name: str
    serves: bool
    desired: int
    cpu: float
    memory: int
    instances: tuple[InstanceScene, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Everything that one second's metrics are made of. now: monotonic seconds; wall: seconds since 1970. balancer:
    None while it does not answer; usage: by (stack, instance)."""

    now: float
    wall: float
    balancer: Reading | None
    usage: Mapping[Key, Usage]
    services: tuple[ServiceScene, ...]
    stacks: tuple[str, ...]
    custom: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    """Metrics of the user's own, by (stack, service) and name; those that are known."""
    custom_read: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    """When each of these was read (monotonic seconds): the same value is there until the next reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """How a metric of the user's own is read: what `argv` prints, or what `url` answers."""

    stack: str
    service: str
    metric: str
    argv: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """All of it."""
    folder: str = "/"
    """Where `argv` runs."""
    user: tuple[int, int] | None = None
    """(uid, gid) that `argv` runs as; None: as the daemon."""
    url: str | None = None
    hides_host: bool = False
    """Not even the host of `url` may be shown: it comes from a secret."""
    field: str | None = None
    """The value in a JSON answer: a dotted path."""
    series: str | None = None
    """The value in an answer of Prometheus text: a name, perhaps with labels."""
    every: float = 5.0
