"""From a validated file that nothing is wrong with to the `Stack` that everything else works with."""

from __future__ import annotations

import os.path
from typing import Literal, cast

from fairlead.core import model
from fairlead.spec.document import Mapping, dotted, walk
from fairlead.spec.schema import File
from fairlead.spec.schema.load_balancer import Action, Listener, LoadBalancer, Rule
from fairlead.spec.schema.operations import Alarm
from fairlead.spec.schema.services import HealthCheck, Job, Service
from fairlead.spec.support import unenforced

DEFAULT_PORT = 8080
ZONES = "abcdef"
"""The letter of each zone; the schema allows no more."""


def stack_of(file: File, root: Mapping, path: str) -> model.Stack:
    """`file`, which came from `path` (absolute) by way of the tree `root`. `support` has refused nothing of it."""
    return model.Stack(
        name=file.name,
        path=path,
        engine="local",
        services=tuple(_service(id, service, os.path.dirname(path)) for id, service in file.services.items()),
        listeners=_listeners(file),
        jobs=tuple(_job(id, job) for id, job in file.jobs.items()),
        alarms=tuple(_alarm(alarm) for alarm in file.alarms),
        zones=_zones(file),
        unenforced=unenforced(root),
        places={dotted(where): str(node.place) for where, node in walk(root) if where},
    )


def source_folder(source: str, folder: str) -> str:
    """`source` of a service, absolute; relative ones begin at the file's folder."""
    return os.path.normpath(os.path.join(folder, source))


def _service(id: str, service: Service, folder: str) -> model.Service:
    size = service.instances or 1
    program = model.App(target=service.app, threads=service.threads) if service.app else None
    return model.Service(
        name=id,
        program=program or model.Command(argv=service.command or ()),
        source=source_folder(service.source, folder),
        serves=service.port != "none",
        python=service.python,
        build=service.build,
        before_traffic=service.before_traffic,
        after=service.after,
        environment=dict(service.environment),
        minimum=size,
        desired=size,
        maximum=size,
        health_check=_health_check(service.health_check),
        deregistration_delay=service.target_group.deregistration_delay,
        retry=service.target_group.retry,
        stop_timeout=service.deploy.stop_timeout,
        min_healthy=round(service.deploy.min_healthy),
        max_healthy=round(service.deploy.max_healthy),
        max_memory=service.max_memory,
        max_lifetime=service.max_lifetime,
        keep_releases=service.deploy.keep_releases,
    )


def _health_check(check: HealthCheck) -> model.HealthCheck:
    return model.HealthCheck(
        path=check.path,
        host=check.host,
        interval=check.interval,
        timeout=min(2.0, check.interval) if check.timeout is None else check.timeout,
        healthy_threshold=check.healthy_threshold,
        unhealthy_threshold=check.unhealthy_threshold,
        matcher=check.matcher,
        grace_period=check.grace_period,
        replace_unhealthy=check.replace_unhealthy,
    )


def _listeners(file: File) -> tuple[model.Listener, ...]:
    """Those of the file; without any, one on port 8080 for the only service that takes requests, if there is one."""
    balancer = file.load_balancer or LoadBalancer()
    if balancer.listeners is None:
        takers = [id for id, service in file.services.items() if service.port != "none"]
        return tuple(model.Listener(port=DEFAULT_PORT, default=id, address=balancer.address) for id in takers)
    return tuple(_listener(listener, balancer.address) for listener in balancer.listeners)


def _listener(listener: Listener, address: str) -> model.Listener:
    return model.Listener(
        port=listener.port,
        default=_only_service(listener.default) if listener.default else None,
        rules=tuple(_rule(rule) for rule in listener.rules),
        address=address,
    )


def _rule(rule: Rule) -> model.Rule:
    return model.Rule(forward=_only_service(rule), paths=rule.when.path or (), hosts=rule.when.host or ())


def _only_service(action: Action) -> str:
    """`support` takes only actions that forward to one."""
    return next(iter(action.forward or {}))


def _job(id: str, job: Job) -> model.Job:
    return model.Job(
        name=id,
        service=job.service,
        argv=job.command,
        cron=job.cron,
        timezone=job.timezone,
        timeout=job.timeout,
    )


def _alarm(alarm: Alarm) -> model.Alarm:
    comparison: Literal["above", "below"] = "below" if alarm.above is None else "above"
    _, level = alarm.above or alarm.below or ("", 0.0)
    return model.Alarm(
        metric=cast(Literal["unhealthy_targets", "healthy_targets"], alarm.when),
        comparison=comparison,
        level=level,
        lasting=alarm.for_,
        webhook=alarm.webhook,
        command=alarm.command,
    )


def _zones(file: File) -> tuple[str, ...]:
    """On engine local there is one zone unless the file says how many: its instances are spread over nothing else."""
    network = file.network
    count = network.zones if network and "zones" in network.model_fields_set else 1
    return tuple(ZONES[:count])
