"""What the balancer is asked for and what it reports, as values. `haproxy` renders them; `control` derives them.

A *routing* is what one stack wants of the balancer: listeners and target groups. It changes by a checked, hitless
reload.
A *target* is one instance in a group. It comes and goes at run time, without a reload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fairlead.core.model import HealthCheck, Listener, LoadBalancerAttributes, TargetGroupAttributes

Mode = Literal["initial", "warm", "in_service", "draining"]
"""What the daemon wants of a target: `initial` gets no request until its first passed check; `warm` is checked and gets
none until it is admitted; `in_service` gets requests while its checks pass; `draining` gets no new request while the
running ones finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A service as the balancer knows it. Its full name is `STACK.SERVICE`."""

    name: str
    health_check: HealthCheck
    attributes: TargetGroupAttributes = field(default_factory=TargetGroupAttributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """One stack's part of the configuration. Actions of its listeners name services of this stack; a listener with an
    `opening` has neither default nor rules."""

    stack: str
    listeners: tuple[Listener, ...]
    groups: tuple[TargetGroup, ...]
    check_token: str
    """Requests whose `X-Fairlead-Check` header equals it get `X-Fairlead-Instance: ID` in the response."""
    attributes: LoadBalancerAttributes = field(default_factory=LoadBalancerAttributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One instance in a group. `id` is unique in its group and never reused; `number` is the N of `web-N`."""

    group: str
    id: str
    number: int
    address: str
    mode: Mode = "initial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """All that the balancer should be doing: what a restarted daemon hands to `Balancer.start`."""

    routings: tuple[Routing, ...] = ()
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The last finished health check of a target, in HAProxy's words (haproxy.md section 4)."""

    status: str
    """`L7OK`, `L7STS`, `L7TOUT`, `L4CON`, `L4TOUT`, `SOCKERR`, `L7RSP`, `INI` ..."""
    code: int | None = None
    """HTTP status of the answer, when there was one."""
    duration: float | None = None
    """Seconds."""
    text: str = ""
    """HAProxy's description, e.g. `Connection refused`."""

    @property
    def passed(self) -> bool:
        return self.status in ("L7OK", "L4OK", "L6OK")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """A target as the balancer saw it just now."""

    group: str
    id: str
    mode: Mode
    up: bool
    """Whether it is in rotation by its checks (also while one of `unhealthy_threshold` has failed); without checks:
    whether it is in rotation."""
    check: Check | None
    """None before the first check has finished."""
    sessions: int
    """Requests, WebSockets and streams running inside it, all methods together."""
    anomalous: bool | None = None
    """Whether it answers with more errors than the others, so that it gets fewer requests; None: nobody looks
    (`anomaly_mitigation` is off)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One HAProxy. `state` is `running`, `starting` (being brought back) or `stopped` (nothing to serve)."""

    pid: int | None
    version: str
    state: Literal["running", "starting", "stopped"]
    problem: str = ""
    """Why it could not be replaced by what is wanted (another program, another configuration); it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingListener:
    """A listener that is asked for and cannot be had for now; it is tried again every second."""

    stack: str
    address: str
    port: int
    why: str
    """In words, with who has the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReport:
    """A certificate that a listener of a stack shows."""

    stack: str
    address: str
    port: int
    names: tuple[str, ...]
    """Hosts that it is for."""
    expires_at: str
    """ISO 8601 UTC."""
    file: str
    """Where it came from; "" for one of the development CA."""
    problem: str = ""
    """Why what lies there now was not taken over (the one before it goes on), or what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerReport:
    """One snapshot. `known` is False while no node answers: then the targets are unknown, which is not 'none'."""

    known: bool
    nodes: tuple[NodeReport, ...] = ()
    targets: tuple[TargetReport, ...] = ()
    requests: int | None = None
    """Requests that came through all listeners since the node's start; checks do not count. None: unknown."""
    missing: tuple[MissingListener, ...] = ()
    certificates: tuple[CertificateReport, ...] = ()
