"""What is shown of a stack: the contract of `status --json` (docs/reference/status.md), and the facts for `check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fairlead.control.resources_view import shown_needs, shown_resources
from fairlead.core.desired import StackRecord
from fairlead.core.figures import Figures
from fairlead.core.health import TargetHealth
from fairlead.core.model import Listener, Service
from fairlead.core.observed import Instance, Observed
from fairlead.core.reconcile import service_of, waiting
from fairlead.core.resources.words import to_be_ready
from fairlead.core.routing import way_to
from fairlead.core.rules import Request
from fairlead.core.runs import live
from fairlead.core.scaling.shown import ScalingShown
from fairlead.core.traffic import CertificateReport
from fairlead.resources.base import Program

EVERY_CODE = "100-599"
"""What the answer to `fairlead check` may be where no health check says which answers are good."""

Healths = Mapping[str, tuple[TargetHealth, str]]

ScalingOf = Callable[[str], ScalingShown | None]
"""Of a service."""

FiguresOf = Callable[[str, str], Figures]
"""Of a service ("" as its instance), or of an instance of it."""


def stack_status(
    wanted: StackRecord,
    observed: Observed,
    healths: Healths,
    alarms: Sequence[Mapping[str, Any]],
    certificates: Sequence[CertificateReport],
    now: float,
    figures: FiguresOf,
    scaling: ScalingOf,
    programs: Mapping[str, Program],
    *,
    explain: bool,
) -> dict[str, Any]:
    """One entry of `stacks`, at `now` (monotonic seconds). programs: what serves each resource. alarms: as from
    `Alarms.shown`. certificates: those that its listeners show. figures: how a service, or an instance of it, did of
    late. scaling: what is shown of a service's auto scaling group. A service that left the file is shown until its last
    instance has ended."""
    stack = wanted.desired.stack
    names = [service.name for service in stack.services]
    names += sorted({instance.record.service for instance in observed.instances} - set(names))
    waits = waiting(wanted, observed, now) if explain else {}
    return {
        "name": wanted.name,
        "engine": stack.engine,
        "listeners": [_listener(listener, observed, certificates, explain=explain) for listener in stack.listeners],
        "services": [
            {
                **_service(name, wanted, observed, healths, waits, now, figures, explain=explain),
                "suspended": list(wanted.suspended.get(name, ())),
                "scaling": asdict(group) if (group := scaling(name)) else None,
                "needs": shown_needs(service_of(wanted, name), wanted, observed),
            }
            for name in names
        ],
        "resources": shown_resources(wanted, observed, programs),
        "jobs": len(stack.jobs),
        "alarms": list(alarms),
        "unenforced": list(stack.unenforced),
    }


def _listener(
    listener: Listener, observed: Observed, certificates: Sequence[CertificateReport], *, explain: bool
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "url": listener.url,
        "protocol": listener.protocol,
        "address": listener.address,
        "port": listener.port,
        "rules": len(listener.rules),
        "certificates": _certificates(listener, certificates),
    }
    if explain:
        place = (listener.address, listener.port)
        shown["explanation"] = next((one.why for one in observed.missing if (one.address, one.port) == place), "")
    return shown


def _certificates(listener: Listener, certificates: Sequence[CertificateReport]) -> list[dict[str, Any]]:
    return [
        {"names": list(one.names), "expires_at": one.expires_at, "file": one.file, "problem": one.problem}
        for one in certificates
        if (one.address, one.port) == (listener.address, listener.port)
    ]


def _service(
    name: str,
    wanted: StackRecord,
    observed: Observed,
    healths: Healths,
    waits: Mapping[str, tuple[str, ...]],
    now: float,
    figures: FiguresOf,
    *,
    explain: bool,
) -> dict[str, Any]:
    declared = service_of(wanted, name)
    stays = wanted.wanted == "up" and wanted.desired.stack.has(name)
    service = wanted.sized(declared) if declared else None
    release = wanted.desired.releases[name].number if name in wanted.desired.releases else None
    instances = [instance for instance in observed.instances if instance.record.service == name]
    instances.sort(key=lambda instance: instance.record.number)
    shown = {
        "name": name,
        "release": release,
        "serves": service.serves if service else True,
        "runs": service.runs if service else True,
        "desired": service.desired if service and stays else 0,
        "declared": declared.desired if declared and stays else 0,
        "min": service.minimum if service and stays else 0,
        "max": service.maximum if service and stays else 0,
        "resources": {"cpu": service.cpu, "memory": service.memory} if service and service.runs else None,
        "figures": asdict(figures(name, "")),
        "instances": [
            {
                **_instance(instance, observed, healths, now, explain=explain),
                "figures": asdict(figures(name, instance.record.id)),
            }
            for instance in instances
        ],
    }
    if explain:
        shown["explanation"] = _why_none(name, wanted, observed, waits)
    return shown


def _why_none(name: str, wanted: StackRecord, observed: Observed, waits: Mapping[str, tuple[str, ...]]) -> str:
    """What a service waits for before it is started, or ""."""
    if name in waits:
        return f"waits for {to_be_ready(waits[name], wanted)}"
    if any(run.record.kind == "before_traffic" and run.record.name == name for run in live(observed.runs)):
        return "before_traffic is running"
    return ""


def _instance(instance: Instance, observed: Observed, healths: Healths, now: float, *, explain: bool) -> dict[str, Any]:
    record = instance.record
    health, clause = healths[record.id]
    shown = {
        "id": record.id,
        "pid": instance.process.pid if instance.process else None,
        "address": record.address,
        "release": record.release if record.runs else None,
        "runs": record.runs,
        "state": record.state,
        "health": health.state,
        "reason": health.reason,
        "description": health.description,
        "started_at": record.started_at,
        "zone": record.zone,
        "drained": record.drained,
        "standby": record.standby,
        "pooled": record.pooled,
        "protected": record.protected,
        "condemned": record.condemned,
        "anomalous": instance.target.anomalous if instance.target else None,
        "opened": _opened(instance, observed, now),
    }
    if explain:
        shown["explanation"] = record.why if record.state == "terminating" else clause
    return shown


def _opened(instance: Instance, observed: Observed, now: float) -> dict[str, Any] | None:
    """Where it can be reached alone (never the token), while it can."""
    opened = instance.record.opened
    if opened is None or not opened.holds(observed.boot, now):
        return None
    return {"port": opened.port, "until": opened.until_at}


def check_facts(
    wanted: StackRecord, observed: Observed, requests: int | None, certificates: Sequence[CertificateReport] = ()
) -> dict[str, Any]:
    """Everything `fairlead check` needs to ask each service behind each listener, and judge the answers. certificates:
    what the stack's listeners show."""
    listeners = []
    for listener in wanted.desired.stack.listeners:
        for name in listener.services:
            service = wanted.sized(wanted.desired.stack.service(name))
            # The client speaks HTTP/1.1, to which a group of HTTP2 or GRPC answers 464.
            way = way_to(listener, service) if service.target_group.protocol == "HTTP1" else None
            if way is not None:
                shown = _certificates(listener, certificates)
                listeners.append({**_facts(listener, service, way, observed), "certificates": shown})
    return {"stack": wanted.name, "token": wanted.check_token, "requests": requests, "listeners": listeners}


def _facts(listener: Listener, service: Service, way: Request, observed: Observed) -> dict[str, Any]:
    check = service.health_check
    ready = [
        instance.record.id
        for instance in observed.instances
        if instance.record.service == service.name
        and instance.target is not None
        and instance.target.mode == "in_service"
        and instance.target.up
    ]
    return {
        "url": listener.url,
        "service": service.name,
        "path": f"{way.path}?{way.query}" if way.query else way.path,
        "host": way.host,
        "codes": check.matcher if check.enabled and check.protocol == "HTTP" else EVERY_CODE,
        "algorithm": service.target_group.algorithm,
        "slow_start": service.target_group.slow_start,
        "desired": service.desired,
        "instances": sorted(ready),
    }
