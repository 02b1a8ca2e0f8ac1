"""What is shown of a stack: the contract of `status --json` (docs/reference/status.md), and the facts for `check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth
from fairlead.core.model import Listener
from fairlead.core.observed import Instance, Observed
from fairlead.core.reconcile import service_of

Healths = Mapping[str, tuple[TargetHealth, str]]


def stack_status(wanted: StackRecord, observed: Observed, healths: Healths, *, explain: bool) -> dict[str, Any]:
    """One entry of `stacks`. A service that left the file is shown until its last instance has ended."""
    stack = wanted.desired.stack
    names = [service.name for service in stack.services]
    names += sorted({instance.record.service for instance in observed.instances} - set(names))
    return {
        "name": wanted.name,
        "engine": stack.engine,
        "listeners": [_listener(listener, observed, explain=explain) for listener in stack.listeners],
        "services": [_service(name, wanted, observed, healths, explain=explain) for name in names],
        "resources": [],
    }


def _listener(listener: Listener, observed: Observed, *, explain: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"url": listener.url, "protocol": listener.protocol, "port": listener.port}
    if explain:
        place = (listener.address, listener.port)
        shown["explanation"] = next((one.why for one in observed.missing if (one.address, one.port) == place), "")
    return shown


def _service(name: str, wanted: StackRecord, observed: Observed, healths: Healths, *, explain: bool) -> dict[str, Any]:
    service = service_of(wanted, name)
    stays = wanted.wanted == "up" and name in wanted.desired.releases
    release = wanted.desired.releases[name].number if name in wanted.desired.releases else None
    instances = [instance for instance in observed.instances if instance.record.service == name]
    instances.sort(key=lambda instance: instance.record.number)
    return {
        "name": name,
        "release": release,
        "desired": service.desired if service and stays else 0,
        "min": service.minimum if service and stays else 0,
        "max": service.maximum if service and stays else 0,
        "instances": [_instance(instance, healths, explain=explain) for instance in instances],
    }


def _instance(instance: Instance, healths: Healths, *, explain: bool) -> dict[str, Any]:
    record = instance.record
    health, clause = healths[record.id]
    shown = {
        "id": record.id,
        "pid": instance.process.pid if instance.process else None,
        "address": record.address,
        "release": record.release,
        "state": record.state,
        "health": health.state,
        "reason": health.reason,
        "description": health.description,
        "started_at": record.started_at,
        "zone": record.zone,
    }
    if explain:
        shown["explanation"] = record.why if record.state == "terminating" else clause
    return shown


def check_facts(wanted: StackRecord, observed: Observed, requests: int | None) -> dict[str, Any]:
    """Everything `fairlead check` needs to ask each listener and judge the answers."""
    listeners = []
    for listener in wanted.desired.stack.listeners:
        service = wanted.desired.stack.service(listener.default)
        ready = [
            instance.record.id
            for instance in observed.instances
            if instance.record.service == service.name
            and instance.target is not None
            and instance.target.mode == "in_service"
            and instance.target.up
        ]
        listeners.append(
            {
                "url": listener.url,
                "service": service.name,
                "path": service.health_check.path,
                "host": service.health_check.host,
                "codes": service.health_check.matcher,
                "desired": service.desired,
                "instances": sorted(ready),
            }
        )
    return {"stack": wanted.name, "token": wanted.check_token, "requests": requests, "listeners": listeners}
