"""Whether a running deployment has reached its goal, or has to be given up.

Reached: every service has its desired number of serving instances of the wanted release, and none of another release
takes new requests. Given up: three instances of a wanted release ended before their first passed check, or one passed
none within its grace period.
"""

from __future__ import annotations

from fairlead.core.census import Census, in_place
from fairlead.core.model import Service
from fairlead.core.observed import StartHistory
from fairlead.core.plan import GiveUp

FAILED_STARTS = 3


def reached(service: Service, census: Census) -> bool:
    """Whether this service's part of the deployment is done."""
    up = sum(1 for instance in census.current if in_place(instance))
    # Those that are protected from scale-in stay beyond the size.
    sized = [instance for instance in census.current if not instance.record.protected]
    fits = census.filled == service.desired or (census.filled > service.desired and not sized)
    return up + len(census.vacant) >= service.desired and fits and not (census.old or census.sick or census.hopeless)


def verdict(service: Service, release: int, census: Census, history: StartHistory) -> GiveUp | None:
    """Why to give up on this service, or None."""
    if history.failures >= FAILED_STARTS:
        last = f"; the last one {history.last_outcome}" if history.last_outcome else ""
        return GiveUp(
            service=service.name,
            instance=history.last_instance,
            reason=f"{history.failures} instances of release {release} ended before their first passed health check"
            f"{last}",
        )
    if census.hopeless:
        first = census.hopeless[0].record
        return GiveUp(
            service=service.name,
            instance=first.id,
            reason=f"{first.id} passed no health check within its grace period of"
            f" {service.health_check.grace_period:g} s",
        )
    return None
