"""What a stack wants of the balancer: derived from its record and from what still lives, never stored."""

from __future__ import annotations

import re
from collections.abc import Collection

from fairlead.core.desired import StackRecord
from fairlead.core.model import HealthCheck, Listener, Rule, Service
from fairlead.core.traffic import MissingListener, Routing, TargetGroup


def routing_of(wanted: StackRecord, occupied: Collection[str], configured: Routing | None) -> Routing | None:
    """The routing of `wanted`, or None when the stack is down and empty.

    occupied: the services that have instances which take requests. One of them may have left the file: its group stays,
    as configured, until its last instance is gone, so that requests inside it can finish."""
    if wanted.wanted == "down" and not occupied:
        return None
    stack = wanted.desired.stack
    groups = {service.name: group_of(service) for service in stack.services if service.serves}
    before = {group.name: group for group in configured.groups} if configured else {}
    for name in sorted(set(occupied) - set(groups)):
        groups[name] = before.get(name, TargetGroup(name=name, health_check=HealthCheck()))
    return Routing(
        stack=stack.name, listeners=stack.listeners, groups=tuple(groups.values()), check_token=wanted.check_token
    )


def way_back(wanted: StackRecord) -> tuple[Listener, ...]:
    """The listeners that a deployment under way would go back to; () when they are those that it has."""
    if wanted.under_way is None or wanted.previous is None:
        return ()
    before = wanted.previous.stack.listeners
    return before if before != wanted.desired.stack.listeners else ()


def unheard(wanted: StackRecord, configured: Routing | None, refused: str) -> tuple[MissingListener, ...]:
    """The listeners that the balancer was asked for and refused: what a deployment goes back to may be taken by then.
    refused: why, or ""."""
    if not refused or wanted.wanted == "down":
        return ()
    heard = {(one.address, one.port) for one in configured.listeners} if configured else set()
    return tuple(
        MissingListener(stack=wanted.name, address=one.address, port=one.port, why=refused)
        for one in wanted.desired.stack.listeners
        if (one.address, one.port) not in heard
    )


def group_of(service: Service) -> TargetGroup:
    """The service as the balancer needs to know it."""
    return TargetGroup(
        name=service.name,
        health_check=service.health_check,
        retry=service.retry,
        deregistration_delay=service.deregistration_delay,
    )


def service_for(listener: Listener, host: str, path: str) -> str | None:
    """Who gets a request for `host` (without a port) and `path` (without a query); None: nobody."""
    for rule in listener.rules:
        if _claims(rule, host, path):
            return rule.forward
    return listener.default


def way_to(listener: Listener, service: Service) -> tuple[str, str] | None:
    """(host, path) of a request that `listener` forwards to `service` and that asks what its health check asks: the
    check's own host, or one that a rule names. None: the rules let none through."""
    check = service.health_check
    named = (host for rule in listener.rules if rule.forward == service.name for host in rule.hosts)
    for host in (check.host, *(host for host in named if not set(host) & set("*?"))):
        if service_for(listener, host, check.path.partition("?")[0]) == service.name:
            return host, check.path
    return None


def _claims(rule: Rule, host: str, path: str) -> bool:
    if rule.hosts:
        return any(_matches(pattern.lower(), host.lower()) for pattern in rule.hosts)
    return any(_matches(pattern, path) for pattern in rule.paths)


def _matches(pattern: str, text: str) -> bool:
    """`*`: any characters, `?`: one, as on an ALB."""
    parts = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
