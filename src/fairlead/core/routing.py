"""What a stack wants of the balancer: derived from its record and from what still lives, never stored."""

from __future__ import annotations

from collections.abc import Collection

from fairlead.core.desired import StackRecord
from fairlead.core.model import HealthCheck, Service
from fairlead.core.traffic import Routing, TargetGroup


def routing_of(wanted: StackRecord, occupied: Collection[str], configured: Routing | None) -> Routing | None:
    """The routing of `wanted`, or None when the stack is down and empty.

    occupied: the services that have instances. One of them may have left the file: its group stays, as configured,
    until its last instance is gone, so that requests inside it can finish."""
    if wanted.wanted == "down" and not occupied:
        return None
    stack = wanted.desired.stack
    groups = {service.name: group_of(service) for service in stack.services}
    before = {group.name: group for group in configured.groups} if configured else {}
    for name in sorted(set(occupied) - set(groups)):
        groups[name] = before.get(name, TargetGroup(name=name, health_check=HealthCheck()))
    return Routing(
        stack=stack.name, listeners=stack.listeners, groups=tuple(groups.values()), check_token=wanted.check_token
    )


def group_of(service: Service) -> TargetGroup:
    """The service as the balancer needs to know it."""
    return TargetGroup(
        name=service.name,
        health_check=service.health_check,
        retry=service.retry,
        deregistration_delay=service.deregistration_delay,
    )
