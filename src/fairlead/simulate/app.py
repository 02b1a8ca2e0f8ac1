"""What one instance of the app can do: the model that a simulation stands on, and where each of its numbers is from.

An instance answers at most `capacity` requests per second; a request alone takes `service_time`; a new instance passes
its first check `start_time` after its launch; a request costs `cpu_per_request` seconds of one core. What waits, waits
inside the instances, each of which gets the same share of what arrives. That is all:

- requests are alike, and targets are sent equal shares whatever the algorithm; there is no slow start;
- an instance neither slows down when it is crowded nor dies of it; memory is not modelled;
- instances do not compete: a machine with too few cores for all of them is not seen here.

Response times are those of a queue with random arrivals (M/M/c in Sakasegawa's approximation, so for times that vary
much too favourable), plus what the backlog of an overload costs, which is exact for this model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.errors import UsageError

CAPACITY, SERVICE_TIME, START_TIME = 100.0, 0.05, 2.0
"""What is assumed where nothing was measured or said: requests per second, seconds, seconds."""

FULLEST = 0.95
"""Share of its capacity at which the random queue of an instance is taken to be, when it is fuller: beyond, what waits
is the backlog's, second by second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """capacity: requests per second that an instance answers at most. service_time, start_time: seconds.
    cpu_per_request: seconds of a core; None: at full capacity it uses all that is reserved. cpu_idle: cores that it
    uses without a request."""

    capacity: float = CAPACITY
    service_time: float = SERVICE_TIME
    start_time: float = START_TIME
    cpu_per_request: float | None = None
    cpu_idle: float = 0.0

    @property
    def concurrency(self) -> float:
        """How many requests it works on at once when it is full: by Little's law, one at least."""
        return max(1.0, self.capacity * self.service_time)

    def cpu(self, served: float, reserved: float) -> float:
        """Percent of the reserved cores that so many requests per second use."""
        each = reserved / self.capacity if self.cpu_per_request is None else self.cpu_per_request
        return 100 * (self.cpu_idle + served * each) / reserved

    def queueing(self, served: float) -> Queueing:
        """How long requests wait at so many per second, the backlog apart."""
        load = min(served / self.capacity, FULLEST)
        waits = load ** (math.sqrt(2 * (self.concurrency + 1)) - 1) if load > 0 else 0.0
        return Queueing(waits, 1 / (self.capacity * (1 - load)))


RAREST = 1e-9
"""The share of requests beyond which no wait is told: an exponential one has no longest."""


@dataclass(frozen=True, slots=True)
class Queueing:
    """share: of requests that find every worker busy; those wait exponentially long, `mean` seconds on average."""

    share: float
    mean: float

    @property
    def average(self) -> float:
        return self.share * self.mean

    def percentile(self, percent: float) -> float:
        """Seconds that so many percent of the requests wait at most."""
        longer = max(1 - percent / 100, RAREST)
        return self.mean * math.log(self.share / longer) if self.share > longer else 0.0


def measured(fields: Mapping[str, Any], source: str) -> App:
    """The app as `fairlead drill capacity --json` found it; what it does not know is assumed. UsageError: these are not
    its words."""

    def number(name: str, otherwise: float | None) -> float | None:
        value = fields.get(name)
        if value is None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise _unreadable(source, f"{name} is {value!r:.40}")
        return float(value)

    capacity = number("capacity", None)
    if not capacity:
        raise _unreadable(source, "it found none" if "capacity" in fields else "it has no `capacity`")
    return App(
        capacity=capacity,
        service_time=number("service_time", SERVICE_TIME) or SERVICE_TIME,
        start_time=number("start_time", START_TIME) or 0.0,
        cpu_per_request=number("cpu_per_request", None),
        cpu_idle=number("cpu_idle", 0.0) or 0.0,
    )


def known_of(fields: Mapping[str, Any]) -> frozenset[str]:
    """The names of what `measured` took from `fields`, and did not have to assume."""
    names = ("capacity", "service_time", "start_time", "cpu_per_request")
    found = {name for name in names if fields.get(name) is not None}
    return frozenset(found if fields.get("service_time") else found - {"service_time"})


def _unreadable(source: str, why: str) -> UsageError:
    advice = "Give --capacity a number of requests per second, or what `fairlead drill capacity --json` printed."
    return UsageError(f"{source} is no measured capacity", why, advice)
