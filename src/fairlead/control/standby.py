"""Standby: an instance is taken aside by hand, and is no part of its group's capacity until it is returned.

Beside `Operations`, which records what these functions say. Another instance takes its place, or desired capacity
becomes one less (EnterStandby with ShouldDecrementDesiredCapacity, aws-semantics D10). The record and the size change
in the same moment, so that a request that is sent again finds its work done.
"""

from __future__ import annotations

from dataclasses import replace

from fairlead.control.clock import Clock
from fairlead.control.sizing import resized
from fairlead.core.census import serving
from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import InstanceRecord, Observed
from fairlead.errors import UsageError


def taken_aside(
    record: StackRecord, service: Service, found: InstanceRecord, clock: Clock, *, decrement: bool
) -> tuple[StackRecord, InstanceRecord, str]:
    """The stack and the instance as they are to be recorded, and the event's text. service: as declared. UsageError:
    it is not in service, or there would be fewer than the minimum."""
    refuse_unless_in_service(found, "put on standby")
    if found.condemned:
        raise UsageError(f"{found.id} cannot be put on standby", f"it is to be replaced: {found.condemned}")
    aside = replace(
        found,
        drained=True,
        drained_at=found.drained_at if found.drained else clock.now(),
        standby="decremented" if decrement else "replaced",
    )
    if not decrement:
        return record, aside, f"{found.id} on standby: another one takes its place"
    now = record.sized(service)
    if now.desired <= now.minimum and service.scaling is not None:
        raise UsageError(
            f"{found.id} cannot be put on standby with its place",
            f"{service.name} would have {now.desired - 1} instances, and its minimum is {now.minimum}",
            f"fairlead scale {service.name} --min {max(0, now.minimum - 1)}",
        )
    smaller = resized(record, service, clock, desired=max(0, now.desired - 1))
    return smaller, aside, f"{found.id} on standby: desired {now.desired} -> {smaller.sized(service).desired}"


def taken_back(
    record: StackRecord, service: Service, found: InstanceRecord, clock: Clock
) -> tuple[StackRecord, InstanceRecord, str]:
    """The opposite. Where another one took its place the group is then one over desired, and its termination policy
    chooses who goes. UsageError: there would be more than the maximum."""
    back = replace(found, drained=False, drained_at=None, standby="")
    if found.standby != "decremented":
        return record, back, f"{found.id} returned from standby"
    before = record.sized(service).desired
    larger = resized(record, service, clock, desired=before + 1)
    return larger, back, f"{found.id} returned from standby: desired {before} -> {before + 1}"


def refuse_unless_in_service(found: InstanceRecord, done: str) -> None:
    """UsageError for what cannot be taken out of the load balancer, because it is not in it."""
    if not found.serves:
        raise UsageError(f"{found.id} takes no requests", f"{found.service} is a worker (`port: none`)")
    if found.state != "in_service":
        raise UsageError(f"{found.id} cannot be {done}", f"it is {found.state}, not in service")


def others_that_serve(observed: Observed, found: InstanceRecord) -> list[str]:
    """Who answers the requests of its service when it does not."""
    return [
        seen.record.id
        for seen in observed.instances
        if seen.record.service == found.service
        and seen.record.id != found.id
        and seen.record.state == "in_service"
        and not seen.record.drained  # perhaps a moment ago, and the balancer does not know yet
        and serving(seen)
    ]
