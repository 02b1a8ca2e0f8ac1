"""Short ways to say what a test is about; everything else gets a sensible value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fairlead.core.desired import Deployment, Revision, StackRecord
from fairlead.core.model import (
    Command,
    HealthCheck,
    Listener,
    Release,
    Service,
    Stack,
    TargetGroupAttributes,
    forward_to,
)
from fairlead.core.observed import Instance, InstanceRecord, Observed, StartHistory
from fairlead.core.processes import Outcome, Process
from fairlead.core.routing import routing_of
from fairlead.core.scaling.policies import Scaling
from fairlead.core.traffic import Check, TargetReport

BOOT = "boot-1"
PASSED = Check(status="L7OK", code=200, duration=0.003)
REFUSED = Check(status="L4CON", duration=0.0, text="Connection refused")
SAYS_503 = Check(status="L7STS", code=503, duration=0.004)
SILENT = Check(status="L7TOUT", duration=2.0)


def a_service(name: str = "web", *, instances: int = 2, **fields: Any) -> Service:
    """Fields of the service, its health check or its target group's attributes."""
    check = {key: fields.pop(key) for key in list(fields) if key in HealthCheck.__dataclass_fields__}
    group = {key: fields.pop(key) for key in list(fields) if key in TargetGroupAttributes.__dataclass_fields__}
    return Service(
        name=name,
        program=fields.pop("program", Command(argv=("serve", "${instance.port}"))),
        source="/src",
        minimum=instances,
        desired=instances,
        maximum=instances,
        health_check=HealthCheck(**check),
        target_group=TargetGroupAttributes(**group),
        **fields,
    )


def a_group(name: str = "web", *, minimum: int = 1, desired: int = 2, maximum: int = 4, **fields: Any) -> Service:
    """A service with an auto scaling group; fields of its `scaling` or of the service."""
    scaling = {key: fields.pop(key) for key in list(fields) if key in Scaling.__dataclass_fields__}
    service = a_service(name, **fields)
    return replace(service, minimum=minimum, desired=desired, maximum=maximum, scaling=Scaling(**scaling))


def a_release(service: str = "web", number: int = 1, **fields: Any) -> Release:
    return Release(
        service=service,
        number=number,
        fingerprint=f"{service}-{number}",
        source=f"/releases/{service}/{number}",
        environment_folder=None,
        argv=("serve", "${instance.port}"),
        address="tcp",
        **fields,
    )


def a_stack(*services: Service, name: str = "shop", **fields: Any) -> Stack:
    services = services or (a_service(),)
    return Stack(
        name=name,
        path="/src/fairlead.yaml",
        services=services,
        listeners=fields.pop("listeners", (Listener(port=8080, default=forward_to(services[0].name)),)),
        **fields,
    )


def a_revision(stack: Stack | None = None, **numbers: int) -> Revision:
    stack = stack or a_stack()
    releases = {service.name: a_release(service.name, numbers.get(service.name, 1)) for service in stack.services}
    return Revision(stack=stack, releases=releases)


def a_deployment(number: int = 1, **fields: Any) -> Deployment:
    return replace(
        Deployment(number=number, status="in_progress", boot=BOOT, began_at=0.0, started_at="2026-01-01T00:00:00Z"),
        **fields,
    )


def a_wish(desired: Revision | None = None, **fields: Any) -> StackRecord:
    desired = desired or a_revision()
    return StackRecord(
        name=desired.stack.name,
        wanted=fields.pop("wanted", "up"),
        desired=desired,
        previous=fields.pop("previous", None),
        deployment=fields.pop("deployment", None),
        check_token="t",
        **fields,
    )


def a_record(number: int = 1, *, service: str = "web", **fields: Any) -> InstanceRecord:
    values: dict[str, Any] = {
        "stack": "shop",
        "service": service,
        "id": f"{service}-{number}",
        "number": number,
        "release": 1,
        "zone": "a",
        "address": f"127.0.0.1:{20000 + number}",
        "state": "in_service",
        "boot": BOOT,
        "launched_at": 0.0,
        "started_at": "2026-01-01T00:00:00Z",
        "cause": "a test",
        "in_service_at": 1.0 if fields.get("state", "in_service") != "pending" else None,
    }
    return InstanceRecord(**(values | fields))


def a_target(number: int = 1, *, service: str = "web", **fields: Any) -> TargetReport:
    values: dict[str, Any] = {"mode": "in_service", "up": True, "check": PASSED, "sessions": 0}
    return TargetReport(group=f"shop.{service}", id=f"{service}-{number}", **(values | fields))


def serving(number: int = 1, *, service: str = "web", **fields: Any) -> Instance:
    """In service and healthy."""
    return Instance(
        record=a_record(number, service=service, **fields),
        process=Process(alive=True, pid=1000 + number),
        target=a_target(number, service=service),
    )


def starting(number: int = 1, *, service: str = "web", check: Check | None = REFUSED, **fields: Any) -> Instance:
    """Launched, registered, no check passed yet."""
    return Instance(
        record=a_record(number, service=service, state="pending", **fields),
        process=Process(alive=True, pid=1000 + number),
        target=a_target(number, service=service, mode="initial", up=False, check=check),
    )


def warm(number: int = 1, *, service: str = "web", check: Check | None = PASSED, **fields: Any) -> Instance:
    """In the warm pool, and well."""
    return Instance(
        record=a_record(number, service=service, **({"state": "warm", "pooled": True, "in_service_at": None} | fields)),
        process=Process(alive=True, pid=1000 + number),
        target=a_target(number, service=service, mode="warm", up=False, check=check),
    )


def unhealthy(number: int = 1, *, since: float = 0.0, check: Check = SAYS_503, **fields: Any) -> Instance:
    """Was in service; its checks fail."""
    frozen = fields.pop("frozen", False)
    return Instance(
        record=a_record(number, **fields),
        process=Process(alive=True, pid=1000 + number, frozen=frozen),
        target=a_target(number, up=False, check=check),
        unhealthy_at=since,
    )


def gone(instance: Instance, outcome: Outcome | None = None) -> Instance:
    """The same, its process ended."""
    return replace(instance, process=Process(alive=False, outcome=outcome or Outcome(signal=9)))


def terminating(number: int = 1, *, sessions: int = 0, mode: str = "draining", **fields: Any) -> Instance:
    """Retired; draining unless `fields` say that it got further."""
    record = a_record(number, **({"state": "terminating", "terminating_at": 0.0, "why": "a test"} | fields))
    left = record.deregistered_at is not None
    return Instance(
        record=record,
        process=Process(alive=True, pid=1000 + number),
        target=None if left else a_target(number, mode=mode, sessions=sessions),
    )


def seen(
    wanted: StackRecord, *instances: Instance, histories: tuple[StartHistory, ...] = (), **fields: Any
) -> Observed:
    """A snapshot in which the balancer is configured as wanted."""
    occupied = {instance.record.service for instance in instances if instance.record.serves}
    numbers: Mapping[str, int] = {
        service.name: 1
        + max((seen.record.number for seen in instances if seen.record.service == service.name), default=0)
        for service in wanted.desired.stack.services
    }
    return Observed(
        instances=instances,
        routing=fields.pop("routing", routing_of(wanted, occupied, None)),
        starts=histories,
        next_numbers=tuple(numbers.items()),
        **fields,
    )
