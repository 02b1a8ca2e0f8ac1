"""From a validated file that nothing is wrong with to the `Stack` that everything else works with."""

from __future__ import annotations

import os.path

from fairlead.core import model
from fairlead.spec.document import Mapping, dotted, walk
from fairlead.spec.schema import File
from fairlead.spec.schema.load_balancer import LoadBalancer
from fairlead.spec.schema.services import HealthCheck, Service

DEFAULT_PORT = 8080


def stack_of(file: File, root: Mapping, path: str) -> model.Stack:
    """`file`, which came from `path` (absolute) by way of the tree `root`. `support` has refused nothing of it."""
    return model.Stack(
        name=file.name,
        path=path,
        engine="local",
        services=tuple(_service(id, service, os.path.dirname(path)) for id, service in file.services.items()),
        listeners=_listeners(file),
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
        python=service.python,
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
    """Those of the file; without any, one on port 8080 that forwards to the only service."""
    balancer = file.load_balancer or LoadBalancer()
    if balancer.listeners is None:
        return (model.Listener(port=DEFAULT_PORT, default=next(iter(file.services)), address=balancer.address),)
    return tuple(
        model.Listener(port=listener.port, default=next(iter(listener.default.forward)), address=balancer.address)
        for listener in balancer.listeners
        if listener.default.forward
    )
