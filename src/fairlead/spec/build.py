"""From a validated file that nothing is wrong with to the `Stack` that everything else works with."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from fairlead.core import model
from fairlead.core.interpolation import references
from fairlead.core.resources.model import Resource
from fairlead.spec import document
from fairlead.spec.document import dotted, walk
from fairlead.spec.resources import resources_of
from fairlead.spec.schema import File
from fairlead.spec.schema.load_balancer import Action, Listener, LoadBalancer, Redirect, Rule
from fairlead.spec.schema.operations import Alarm
from fairlead.spec.schema.services import Job, Service
from fairlead.spec.schema.target_group import HealthCheck, TargetGroup
from fairlead.spec.support import unenforced

DEFAULT_PORT = 8080
GRPC_CHECK = {"path": "/AWS.ALB/healthcheck", "matcher": "12"}
"""What a gRPC service is asked for, and the code that passes (UNIMPLEMENTED), unless the file says otherwise."""

ZONES = "abcdef"
"""The letter of each zone; the schema allows no more."""


def stack_of(file: File, root: document.Mapping, path: str) -> model.Stack:
    """`file`, which came from `path` (absolute) by way of the tree `root`. `support` has refused nothing of it."""
    resources = resources_of(file, root)
    folder = os.path.dirname(path)
    return model.Stack(
        name=file.name,
        path=path,
        engine="local",
        services=tuple(_service(id, service, folder, resources) for id, service in file.services.items()),
        listeners=_listeners(file, folder),
        attributes=_attributes(file.load_balancer or LoadBalancer()),
        jobs=tuple(_job(id, job) for id, job in file.jobs.items()),
        alarms=tuple(_alarm(alarm) for alarm in file.alarms),
        resources=resources,
        zones=_zones(file),
        unenforced=unenforced(root),
        places={dotted(where): str(node.place) for where, node in walk(root) if where},
    )


def absolute_path(path: str, folder: str) -> str:
    """`path` as the file writes it, absolute; relative ones begin at the file's folder."""
    return os.path.normpath(os.path.join(folder, path))


def _service(id: str, service: Service, folder: str, resources: tuple[Resource, ...]) -> model.Service:
    environment = {**service.environment, **{name: f"${{secrets.{name}}}" for name in service.secrets}}
    named = [parts for text in (*(service.command or ()), *environment.values()) for parts in references(text)]
    used = {parts[1] for parts in named if parts[0] != "secrets"}
    external = {one.id: one.url for one in resources if one.url is not None and one.id in used}
    size = len(service.targets) if service.targets else service.instances or 1
    group = service.scaling
    return model.Service(
        name=id,
        program=_program(service),
        source=absolute_path(service.source, folder),
        serves=service.port != "none",
        python=service.python,
        build=service.build,
        before_traffic=service.before_traffic,
        after=service.after,
        environment=environment,
        secrets=dict.fromkeys(_secrets(named, external), 0),
        external=external,
        minimum=group.min if group else size,
        desired=group.initial if group else size,
        maximum=group.max if group else size,
        health_check=_health_check(service.health_check, service.target_group.protocol),
        target_group=_target_group(service.target_group),
        stop_timeout=service.deploy.stop_timeout,
        min_healthy=round(service.deploy.min_healthy),
        max_healthy=round(service.deploy.max_healthy),
        cpu=(service.resources and service.resources.cpu) or 1.0,
        memory=service.resources.memory if service.resources else None,
        max_memory=service.max_memory,
        max_lifetime=service.max_lifetime,
        keep_releases=service.deploy.keep_releases,
        scaling=group.wanted() if group else None,
        custom_metrics=tuple(metric.wanted(name) for name, metric in service.custom_metrics.items()),
    )


def _secrets(named: Iterable[tuple[str, ...]], external: Mapping[str, str]) -> list[str]:
    """The names of those that a service refers to, itself or by the `url` of a resource."""
    behind = [parts for url in external.values() for parts in references(url)]
    return [parts[1] for parts in (*named, *behind) if parts[0] == "secrets"]


def _program(service: Service) -> model.App | model.Command | model.Targets:
    if service.targets:
        return model.Targets(addresses=service.targets)
    if service.app:
        return model.App(target=service.app, threads=service.threads)
    return model.Command(argv=service.command or ())


def _health_check(check: HealthCheck, protocol: str) -> model.HealthCheck:
    """protocol: what the targets speak. A gRPC service is asked for another path and other codes (aws-semantics B5)."""
    usual = GRPC_CHECK if protocol == "GRPC" else {}
    given = {name: getattr(check, name) for name in ("path", "matcher")}
    asked = {name: value if name in check.model_fields_set else usual.get(name, value) for name, value in given.items()}
    return model.HealthCheck(
        enabled=check.enabled,
        protocol="GRPC" if protocol == "GRPC" and check.protocol == "HTTP" else check.protocol,
        port=check.port if isinstance(check.port, int) else None,
        path=asked["path"],
        host=check.host,
        interval=check.interval,
        timeout=min(2.0, check.interval) if check.timeout is None else check.timeout,
        healthy_threshold=check.healthy_threshold,
        unhealthy_threshold=check.unhealthy_threshold,
        matcher=asked["matcher"],
        grace_period=check.grace_period,
        replace_unhealthy=check.replace_unhealthy,
    )


def _target_group(group: TargetGroup) -> model.TargetGroupAttributes:
    sticky = group.stickiness
    return model.TargetGroupAttributes(
        protocol=group.protocol,
        algorithm=group.algorithm,
        anomaly_mitigation=group.anomaly_mitigation,
        retry=group.retry,
        unsafe_methods=group.unsafe_methods,
        connect_timeout=group.connect_timeout,
        deregistration_delay=group.deregistration_delay,
        slow_start=group.slow_start,
        stickiness=model.Stickiness(cookie=sticky.cookie, duration=sticky.duration) if sticky else None,
    )


def _listeners(file: File, folder: str) -> tuple[model.Listener, ...]:
    """Those of the file; without any, one on port 8080 for the only service that takes requests, if there is one."""
    balancer = file.load_balancer or LoadBalancer()
    if balancer.listeners is None:
        takers = [id for id, service in file.services.items() if service.port != "none"]
        return tuple(
            model.Listener(port=DEFAULT_PORT, default=model.forward_to(id), address=balancer.address) for id in takers
        )
    return tuple(_listener(listener, balancer.address, folder) for listener in balancer.listeners)


def _listener(listener: Listener, address: str, folder: str) -> model.Listener:
    return model.Listener(
        port=listener.port,
        default=_action(listener.default) if listener.default else None,
        rules=tuple(_rule(rule) for rule in listener.rules),
        address=address,
        protocol=listener.protocol,
        certificates=_certificates(listener, folder),
    )


def _certificates(listener: Listener, folder: str) -> tuple[model.Certificate, ...] | Literal["local"] | None:
    """`support` takes no `acme`."""
    if not isinstance(listener.certificates, tuple):
        return "local" if listener.certificates else None
    return tuple(
        model.Certificate(file=absolute_path(one.file, folder), key=absolute_path(one.key, folder))
        for one in listener.certificates
    )


def _rule(rule: Rule) -> model.Rule:
    when = rule.when
    conditions = model.Conditions(
        paths=when.path or (),
        hosts=when.host or (),
        methods=when.method or (),
        headers=tuple((when.header or {}).items()),
        queries=tuple((when.query or {}).items()),
        source_ips=when.source_ip or (),
    )
    return model.Rule(when=conditions, then=_action(rule))


def _action(action: Action) -> model.Action:
    if action.redirect:
        return _redirect(action.redirect)
    if action.respond:
        answer = action.respond
        return model.Respond(status=answer.status, content_type=answer.content_type, body=answer.body)
    weights = action.forward or {}
    if len(weights) == 1:
        # What its weight is makes no difference, and so must not look like one.
        return model.forward_to(next(iter(weights)))
    return model.Forward(weights=tuple(weights.items()), stickiness=action.stickiness)


def _redirect(redirect: Redirect) -> model.Redirect:
    """A part that says what it would be without being written is left out."""
    changed: dict[str, Any] = redirect.changes()
    query = None if redirect.query == "#{query}" else redirect.query
    return model.Redirect(status=redirect.status, query=query, **changed)


def _attributes(balancer: LoadBalancer) -> model.LoadBalancerAttributes:
    return model.LoadBalancerAttributes(
        idle_timeout=balancer.idle_timeout,
        client_keep_alive=balancer.client_keep_alive,
        forwarded_for=balancer.forwarded_for,
        desync_mitigation=balancer.desync_mitigation,
        drop_invalid_headers=balancer.drop_invalid_headers,
        preserve_host=balancer.preserve_host,
        access_log=balancer.access_log,
    )


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
