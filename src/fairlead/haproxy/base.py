"""The port to the balancer: what control asks of it. Every verb is idempotent.

The law: a target gets its first request only after its first passed check (or a fail-open among targets that have
passed one), and no new request from the moment `drain` returns. A balancer that dies while a daemon lives comes back
by itself with the same routings and targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fairlead.core.model import Listener
from fairlead.core.pem import Pem as Pem
from fairlead.core.readings import Reading
from fairlead.core.traffic import BalancerReport, Routing, Target, Traffic


class Certificates(Protocol):
    """Where the balancer gets the certificates of HTTPS listeners from."""

    def of(self, listener: Listener) -> tuple[Pem, ...]:
        """Those of `listener`, as they are now, the first the default: read again when their files have changed, issued
        again when one of the development CA is about to expire; cheap when nothing has. CertificateError says which
        file is wrong, and how."""
        ...


class Balancer(Protocol):
    """One balancer, of one or more nodes."""

    async def start(self, traffic: Traffic) -> None:
        """Adopt what runs, or start it, so that exactly `traffic` holds. Called once, before any other verb. With no
        listener in `traffic` no node runs until `configure` brings one. What cannot be had now (a port that somebody
        else has taken meanwhile, a node that does not start) does not fail it: the rest is served, `observe` tells what
        is missing, and it is tried again every second."""
        ...

    async def reserve(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        """Bind the ports that nobody here has yet (without accepting). PortInUse says who has one, or who claims
        the same of it (a default, a host: stacks may share a port that hosts tell apart); CertificateError which
        certificate cannot be used. Then nothing new is held. Called before anything is built; `configure` takes over,
        or gives back what it leaves out."""
        ...

    async def vet(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        """What `reserve` would refuse, and nothing is held; a port that another program has shows only there."""
        ...

    async def configure(self, stack: str, routing: Routing | None) -> None:
        """Make `routing` the stack's part of the configuration (None: it has none), by a checked, hitless reload; its
        targets stay, those of groups that are gone leave. BalancerError: refused, and nothing has changed."""
        ...

    async def register(self, target: Target) -> None:
        """Add it in its mode. One that is there already is left as it is."""
        ...

    async def admit(self, group: str, target: str) -> None:
        """It passed its first check: `initial` or `warm` becomes `in_service`, with requests from now on."""
        ...

    async def mark_down(self, group: str, target: str) -> None:
        """Its process is gone: no new request from now on. (The next passed check would bring it back.)"""
        ...

    async def drain(self, group: str, target: str) -> None:
        """No new request from now on; running ones go on. A balancer that is dead and cannot be brought back has
        drained everything; the same for `mark_down` and `deregister`."""
        ...

    async def restore(self, group: str, target: str) -> None:
        """The opposite of `drain`: a draining target gets requests again as soon as its checks pass, without having to
        be admitted again. One that does not drain is left as it is."""
        ...

    async def sever(self, group: str, target: str) -> None:
        """End what still runs inside a draining target, which stays. A GET whose answer has not begun goes to another
        one."""
        ...

    async def deregister(self, group: str, target: str) -> None:
        """Remove it, ending what still runs inside. One that is not there is well removed."""
        ...

    async def observe(self) -> BalancerReport:
        """One snapshot, in a few milliseconds."""
        ...

    async def measure(self) -> Reading | None:
        """What is counted, for metrics, once a second; None while no node answers. Totals go on across reloads and
        deaths of nodes; what a node that was killed had counted last is lost, which `Reading.losses` tells."""
        ...

    async def tend(self) -> None:
        """Housekeeping, called every few seconds: seals and removes access logs. Raises nothing; a second call while
        one works does nothing."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back, from the loop, when a node died or came back."""
        ...

    async def stop(self) -> None:
        """End every node and close every listener: `down --all`."""
        ...

    async def close(self) -> None:
        """The daemon leaves; the nodes go on."""
        ...
