"""What a stack wants of the balancer: derived from its record and from what still lives, never stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fairlead.core.desired import StackRecord
from fairlead.core.model import Forward, HealthCheck, Listener, Opening, Service, services_of
from fairlead.core.observed import InstanceRecord
from fairlead.core.rules import Request, action_for
from fairlead.core.traffic import MissingListener, Routing, TargetGroup


def routing_of(
    wanted: StackRecord, occupied: Collection[str], configured: Routing | None, openings: tuple[Listener, ...] = ()
) -> Routing | None:
    """The routing of `wanted`, or None when the stack is down and empty.

    occupied: the services that have instances which take requests. One of them may have left the file: its group stays,
    as configured, until its last instance is gone, so that requests inside it can finish.
    openings: listeners that reach one instance each."""
    if wanted.wanted == "down" and not occupied:
        return None
    stack = wanted.desired.stack
    groups = {service.name: group_of(service) for service in stack.services if service.serves}
    before = {group.name: group for group in configured.groups} if configured else {}
    for name in sorted(set(occupied) - set(groups)):
        groups[name] = before.get(name, TargetGroup(name=name, health_check=HealthCheck()))
    return Routing(
        stack=stack.name,
        listeners=(*stack.listeners, *openings),
        groups=tuple(groups.values()),
        check_token=wanted.check_token,
        attributes=stack.attributes,
    )


def openings_of(records: Iterable[InstanceRecord], boot: str, now: float) -> tuple[Listener, ...]:
    """A listener for each instance that can be reached alone at `now` (monotonic seconds of `boot`)."""
    return tuple(
        Listener(
            port=one.opened.port,
            default=None,
            opening=Opening(service=one.service, instance=one.id, digest=one.opened.digest),
        )
        for one in records
        if one.opened is not None and one.state != "ended" and one.opened.holds(boot, now)
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
    return TargetGroup(name=service.name, health_check=service.health_check, attributes=service.target_group)


def way_to(listener: Listener, service: Service) -> Request | None:
    """A GET that `listener` forwards to `service` and to no other, and that asks what its health check asks: for the
    check's own host, or one that a rule names. None: the rules let none through."""
    check = service.health_check
    path, _, query = check.path.partition("?")
    named = (host for rule in listener.rules if service.name in services_of(rule.then) for host in rule.when.hosts)
    for host in (check.host, *(host for host in named if not set(host) & set("*?"))):
        request = Request(host=host, path=path, query=query)
        action = action_for(listener, request)
        if isinstance(action, Forward) and action.only == service.name:
            return request
    return None
