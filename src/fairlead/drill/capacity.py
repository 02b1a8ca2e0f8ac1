"""How many requests a second does one instance bear? Steps of load judged, and what they come to. Pure.

In: steps, each a rate that was offered for some seconds and what became of it. Out: which of them the instance bore,
and its capacity: the highest rate at which 95 of 100 answers came within the limit, less than 1 in 100 failed, and the
answers kept up with the requests.

The law: a step is the instance's fault only when the generator was on time; one that was late says nothing about the
instance, neither that it bears the rate nor that it does not. `stepping` chooses the steps, `measuring` takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FAILED = 0.01
"""The share of requests that may fail."""

SHORTFALL = 0.03
"""The share by which the answers may stay behind what is offered."""

LATE = 0.2
"""The share of the latency limit by which the generator may be late (p95) before its steps say nothing."""

FAR = 1.1
"""How many times capacity a rate that is not borne may be for both to be near each other."""

FORGIVEN = 5.0
"""A latency limit that nobody gave is the unloaded p95 times this, and at least `LEAST_LIMIT`."""

LEAST_LIMIT = 0.05
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an instance has to keep. latency: seconds that the p95 may have. unloaded: seconds that an answer takes
    (p50) when there is one request at a time. highest: requests a second that are offered at most."""

    latency: float
    unloaded: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`rate` requests a second, offered evenly for `seconds`, and what became of them. Latencies: seconds from the
    moment a request was due, of those that were answered; None when none was."""

    rate: float
    seconds: float
    sent: int
    answered: int
    """Requests that got an answer of 200 to 399, if only after the step."""
    in_time: int
    """Of these, those that got it while the step lasted."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """The others, by kind: `status 503`, `no answer in time`. Those that a cut left under way are not among them."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    lag: float = 0.0
    """Seconds that the generator was late itself (p95)."""
    cut: bool = False
    """It was ended before its time, because the requests under way were far too many, or by the user."""
    generator: float = 0.0
    """Processors that the generator was busy on: 0.4 is two fifths of one."""
    machine: float | None = None
    """The share of all processors that were busy, 0 to 1."""
    at: float = 0.0
    """When it began, in seconds since 1970."""
    cpu: float | None = None
    """Processors that the instance was busy on, as far as whole seconds of the metrics lie within the step."""

    @property
    def failed(self) -> float:
        """The share of what ended that failed."""
        ended = self.answered + sum(self.errors.values())
        return sum(self.errors.values()) / ended if ended else 0.0

    def achieved(self, limits: Limits) -> float:
        """Answers a second, from the moment at which the first could be there."""
        lag = min(limits.unloaded, self.seconds / 2)
        return self.in_time / (self.seconds - lag) if self.seconds > 0 else 0.0

    def to_json(self, limits: Limits) -> dict[str, Any]:
        """One of `steps`."""
        return {
            "rate": _figure(self.rate),
            "seconds": round(self.seconds, 2),
            "achieved": _figure(self.achieved(limits)),
            "sent": self.sent,
            "answered": self.answered,
            "errors": dict(self.errors),
            "p50": _seconds(self.p50),
            "p95": _seconds(self.p95),
            "p99": _seconds(self.p99),
            "cpu": None if self.cpu is None else round(self.cpu, 4),
            "generator_cpu": round(self.generator, 4),
            "generator_late": _seconds(self.lag),
            "machine_busy": None if self.machine is None else round(self.machine, 3),
            "holds": holds(self, limits),
            "reasons": list(faults(self, limits)),
        }


def faults(step: Step, limits: Limits) -> tuple[str, ...]:
    """Why the instance does not bear that rate; empty when it does."""
    found = []
    if step.failed >= FAILED:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(step.errors.items()))
        found.append(f"{step.failed * 100:.1f} % failed ({kinds})")
    if step.p95 is None:
        found.append("nothing was answered")
    elif step.p95 > limits.latency:
        found.append(f"p95 above {limits.latency * 1000:.0f} ms")
    # A request more or less at either end of a short step is no shortfall.
    if step.in_time + 1 < (1 - SHORTFALL) * step.rate * (step.seconds - min(limits.unloaded, step.seconds / 2)):
        found.append(f"only {step.achieved(limits):.4g}/s were answered")
    return tuple(found)


def late(step: Step, limits: Limits) -> bool:
    """Whether the generator was too late itself for the step to say what the instance does not bear."""
    return step.lag > LATE * limits.latency


def holds(step: Step, limits: Limits) -> bool | None:
    """Whether the instance bears that rate; None: it failed, and the generator may be why."""
    if not faults(step, limits):
        return True
    return None if late(step, limits) else False


def bracket(steps: Sequence[Step], limits: Limits) -> tuple[float | None, float | None]:
    """The highest rate that is borne, and the lowest above it that is not (or that the generator cannot give).

    Steps may contradict each other, as a machine does other things too: the rate is the one that most of them agree
    with, those borne at it or below and those not borne above; of equals the lowest."""
    judged = [(step.rate, holds(step, limits)) for step in steps]
    borne = sorted({rate for rate, held in judged if held})

    def agreeing(rate: float) -> int:
        return sum(1 for other, held in judged if held is not None and held == (other <= rate))

    # 0: none is borne at all, however many of them looked as if they were.
    best = max([0.0, *borne], key=lambda rate: (agreeing(rate), -rate))
    above = [rate for rate, held in judged if rate > best and not held]
    return best or None, min(above, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What was found of one instance. None is unknown."""

    stack: str
    service: str
    instance: str
    path: str
    limits: Limits
    unloaded_p95: float
    steps: tuple[Step, ...] = ()
    cpu_reserved: float | None = None
    cpu_per_request: float | None = None
    """Processor seconds that a request costs, by how cpu rose with the rate."""
    cpu_idle: float = 0.0
    """Processors that it is busy on without a request."""
    start_time: float | None = None
    """Seconds from its launch to its first passed check."""
    others: float | None = None
    """Requests a second of others that the service had meanwhile."""
    cores: int = 1
    """Processors of the machine."""
    notes: tuple[str, ...] = ()
    """What happened on the way that the figures may suffer from."""
    measured_at: str = ""
    cpu_targets: tuple[float, ...] = ()
    """Shares of what is reserved that the service's policies keep."""

    @property
    def rate(self) -> float | None:
        return bracket(self.steps, self.limits)[0]

    @property
    def above(self) -> Step | None:
        """The step behind the lowest rate above capacity that was not borne."""
        rate = bracket(self.steps, self.limits)[1]
        steps = [step for step in self.steps if step.rate == rate and not holds(step, self.limits)]
        return steps[-1] if steps else None

    @property
    def at_capacity(self) -> Step | None:
        """The longest step that was borne at capacity."""
        steps = [step for step in self.steps if step.rate == self.rate and holds(step, self.limits)]
        return max(steps, key=lambda step: step.seconds, default=None)

    @property
    def bound(self) -> str:
        """What ended the search upward: `instance`, `generator` or `max_rate`; `time` when nothing did, or something
        that is far above."""
        if self.above is not None:
            far = self.rate is not None and self.above.rate > FAR * self.rate
            return "generator" if holds(self.above, self.limits) is None else "time" if far else "instance"
        return "max_rate" if self.rate is not None and self.rate >= self.limits.highest else "time"

    @property
    def concurrency(self) -> float | None:
        """Requests that it works on at once at capacity, by Little's law."""
        return None if self.rate is None else self.rate * self.limits.unloaded

    def rate_at(self, cpu: float) -> float | None:
        """Requests a second at which its processor time is that share of what is reserved."""
        if not self.cpu_reserved or not self.cpu_per_request:
            return None
        return max(0.0, (cpu * self.cpu_reserved - self.cpu_idle) / self.cpu_per_request)

    def to_json(self) -> dict[str, Any]:
        """The document that `fairlead drill capacity --json` prints and `fairlead simulate --capacity` reads."""
        return {
            "stack": self.stack,
            "service": self.service,
            "instance": self.instance,
            "path": self.path,
            "capacity": _figure(self.rate),
            "bound": self.bound,
            "latency_limit": _seconds(self.limits.latency),
            "service_time": _seconds(self.limits.unloaded),
            "service_time_p95": _seconds(self.unloaded_p95),
            "cpu_per_request": None if self.cpu_per_request is None else round(self.cpu_per_request, 9),
            "cpu_idle": round(self.cpu_idle, 4),
            "cpu_reserved": self.cpu_reserved,
            "concurrency": _figure(self.concurrency),
            "start_time": self.start_time,
            "other_requests": _figure(self.others),
            "cores": self.cores,
            "notes": list(self.notes),
            "steps": [step.to_json(self.limits) for step in self.steps],
            "measured_at": self.measured_at,
        }


def limit_for(unloaded_p95: float) -> float:
    """The latency limit, in seconds, where none was given."""
    return max(LEAST_LIMIT, FORGIVEN * unloaded_p95)


def _figure(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
