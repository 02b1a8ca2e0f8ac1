"""`services`: programs with their size, health check, target group and deployment rules; and `jobs`.

Defaults and ranges are those of the annotated file; where AWS has the key, those of aws-semantics B4 and B5, made
for seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Holding, Kind, Short, fail
from fairlead.spec.schema.numbers import Duration, Number, Percent, PortOr, Size, Whole
from fairlead.spec.schema.scaling import MOST_INSTANCES, CustomMetric, Scaling
from fairlead.spec.schema.texts import AppTarget, HealthPath, Line, Matcher, Name, Text, VariableName, Words
from fairlead.spec.schema.times import Cron, Zone

Id = Annotated[str, Name()]
Program = Annotated[tuple[str, ...], Words()]
_HOST = Line(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", "a host name", 255)
_TARGET = Line(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "an address with its port, as in 127.0.0.1:9000", 260)


class Commands(Kind):
    """One command, or a list of them, each as `Words`."""

    def read(self, value: Any) -> tuple[tuple[str, ...], ...]:
        return tuple(Words().read(each) for each in (value if isinstance(value, tuple) else (value,)))

    def form(self) -> str:
        return "command, or a list of commands"

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": Words().json_schema()}]}


def _nothing_for_none(value: Any) -> Any:
    return None if value == "none" else value


_OR_NONE = Short(_nothing_for_none, "keys, see below, or `none`", (("const", "none"),))


class HealthCheck(Part):
    """How a target is asked whether it is well."""

    enabled: bool = True
    """False: requests go to every target, whatever its state."""
    path: Annotated[str, HealthPath()] = "/"
    """What is asked for."""
    host: Annotated[str, _HOST] = "localhost"
    """The Host header of the check."""
    protocol: Literal["HTTP", "TCP"] = "HTTP"
    """TCP: a connection that is accepted is enough."""
    port: Annotated[int | str, PortOr("traffic")] = "traffic"
    """Where to ask; `traffic` is where requests go."""
    interval: Annotated[float, Duration(0.2, 300)] = 5.0
    """Time between checks of a target in service; any other is checked every 200 ms."""
    timeout: Annotated[float, Duration(0.001, 300)] | None = None
    """How long an answer may take; at most `interval`. Default: 2s, or `interval` when that is less."""
    healthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Successes that bring an unhealthy target back; a new one needs a single one."""
    unhealthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Failures in a row that take a target out."""
    matcher: Annotated[str, Matcher()] = "200"
    """HTTP codes that pass."""
    grace_period: Annotated[float, Duration(0, 7200)] = 30.0
    """After a launch, how long unhealthy does not yet mean replace."""
    replace_unhealthy: bool = True
    """False: route round an unhealthy target but leave it running."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.timeout is not None and self.timeout > self.interval:
            interval = Duration().show(self.interval)
            reason = f"is longer than `interval` ({interval}), so that one check would run into the next"
            yield Conflict(("timeout", "interval"), reason, f"write {interval} or less, or a longer `interval`")


class Stickiness(Part):
    """A client's requests go to the same target."""

    type: Literal["lb_cookie", "app_cookie"]
    """Whose cookie tells clients apart: the load balancer's, or the app's."""
    cookie: Annotated[str, Line(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a cookie", 128)] | None = None
    """The name of the app's cookie."""
    duration: Annotated[float, Duration(1, 7 * 86400)] = 86400.0
    """How long a client stays with its target."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.type == "app_cookie" and self.cookie is None:
            yield Conflict(("", "cookie", "type"), "names no cookie of the app", "add `cookie`")
        elif self.type == "lb_cookie" and self.cookie is not None:
            yield Conflict(("cookie", "type"), "goes only with `type: app_cookie`")


class TargetGroup(Part):
    """The service as the load balancer knows it."""

    protocol: Literal["HTTP1", "HTTP2", "GRPC"] = "HTTP1"
    """What targets speak; HTTP2 is h2c."""
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = "round_robin"
    """How the target of a request is chosen."""
    anomaly_mitigation: bool = False
    """With weighted_random: targets that answer with errors get fewer requests."""
    retry: Literal["safe_methods", "off"] = "safe_methods"
    """Whether GET, HEAD and OPTIONS go to another target when theirs fails before it answers."""
    unsafe_methods: Literal["fresh_connection", "pooled"] = "fresh_connection"
    """What requests of other methods travel on: a connection of their own, or one that is kept (faster, less safe)."""
    connect_timeout: Annotated[float, Duration(0.001, 60)] = 0.1
    """How long a connection to a target may take; also the longest pause before a retry."""
    deregistration_delay: Annotated[float, Duration(0, 3600)] = 30.0
    """How long a draining target may finish its requests."""
    slow_start: Annotated[float, Duration(0, 86400)] = 0.0
    """How long a new target's share of the requests grows."""
    stickiness: Annotated[Stickiness | None, _OR_NONE] = None
    """Whether a client's requests go to the same target."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.anomaly_mitigation and self.algorithm != "weighted_random":
            yield Conflict(("anomaly_mitigation", "algorithm"), "goes only with `algorithm: weighted_random`")


class Canary(Part):
    """A share of the requests goes to the new release first."""

    weight: Annotated[float, Percent(0.1, 99)] = 10.0
    """The share."""
    bake: Annotated[float, Duration(0, 86400)] = 30.0
    """How long the new release is watched with that share."""


class RollbackOn(Part):
    """What makes a deployment go back."""

    error_rate: Annotated[float, Percent(0, 100)] | None = None
    """More 5xx answers of the new release than this."""
    latency_p95: Annotated[float, Duration(0.001, 3600)] | None = None
    """A 95th percentile of the new release's response time above this."""
    failed_instances: Annotated[int, Whole(1, 100)] = 3
    """Instances of the release that ended before their first passed check."""


class Deploy(Part):
    """How a service moves to a new release."""

    strategy: Literal["rolling", "blue_green", "canary"] = "rolling"
    """One by one; all new beside all old and then at once; or a share of the requests first."""
    canary: Canary | None = None
    """With `strategy: canary`."""
    min_healthy: Annotated[float, Percent(0, 100, whole=True)] = 100.0
    """The share of the desired instances that serve throughout, rounded up."""
    max_healthy: Annotated[float, Percent(100, 200, whole=True)] = 200.0
    """The share of the desired instances that may run at once, rounded down."""
    bake: Annotated[float, Duration(0, 86400)] = 5.0
    """How long the new release is watched after the last step."""
    rollback_on: RollbackOn = RollbackOn()
    """What makes a deployment go back to the release before."""
    stop_timeout: Annotated[float, Duration(0, 3600)] = 30.0
    """Time from SIGTERM to SIGKILL."""
    keep_releases: Annotated[int, Whole(1, 100)] = 5
    """Releases that stay on the disk, beside those that instances still run."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.canary is not None and self.strategy != "canary":
            yield Conflict(("canary", "strategy"), "goes only with `strategy: canary`")
        if self.min_healthy == 100 and self.max_healthy == 100:
            reason = "leaves no room to replace an instance while `min_healthy` is 100%"
            yield Conflict(("max_healthy", "min_healthy"), reason, "write more than 100%, or a lower `min_healthy`")


class Resources(Part):
    """What an instance is given: the base of the cpu and memory metrics."""

    cpu: Annotated[float, Number(0.01, 1024)] | None = None
    """Cores. Default: 1."""
    memory: Annotated[int, Size(1_000_000)] | None = None
    """Memory. Default: that of the host, divided by the most instances."""


class Service(Part):
    """A program that fairlead runs, or targets that it only routes to."""

    app: Annotated[str, AppTarget()] | None = None
    """An ASGI or WSGI object, or a factory, served by fairlead's server."""
    command: Annotated[tuple[str, ...], Words(none=True)] | None = None
    """Any program, without a shell. It listens on $PORT, or on $SOCKET when the command names ${instance.socket}.
    `none` (engine vpc) boots an instance without one."""
    targets: Annotated[tuple[Annotated[str, _TARGET], ...], Holding(1, 1000)] | None = None
    """Addresses that fairlead routes to and checks but does not run."""
    image: Annotated[str, Line(r"[a-z0-9][A-Za-z0-9._/:@-]*", "the name of an image", 512)] | None = None
    """A container image that exists: what swarm and aws run."""
    dockerfile: Annotated[str, Line()] | None = None
    """What to build a container image from. Default: one that fairlead makes of the release."""
    source: Annotated[str, Line(most=4096)] = "."
    """The folder that is copied into each release, relative to the file; .gitignore is honoured."""
    threads: Annotated[int, Whole(1, 1000)] = 16
    """WSGI: requests that an instance works on at once."""
    python: Annotated[str, Line(r"3\.[0-9]{1,2}(\.[0-9]{1,3})?", 'a version of Python such as "3.12"')] | None = None
    """The interpreter of the release. Default: the one that fairlead runs on."""
    build: Annotated[tuple[tuple[str, ...], ...], Commands()] = ()
    """Commands that are run once, one after the other, in the release's folder when a release is made; no shell."""
    before_traffic: Program | None = None
    """A command that is run once per release, before its first instance takes traffic; no shell."""
    environment: dict[Annotated[str, VariableName()], Annotated[str, Text()]] = Field(default_factory=dict)
    """Variables of the instances, beside PATH, HOME, LANG, TZ and what fairlead sets."""
    secrets: tuple[Annotated[str, VariableName()], ...] = ()
    """Secrets that are passed as variables of these names."""
    resources: Resources | None = None
    """What an instance is given: the base of the cpu and memory metrics."""
    max_memory: Annotated[int, Size(1_000_000)] | None = None
    """An instance that uses more for a minute is replaced, one at a time. Default: never."""
    max_lifetime: Annotated[float, Duration(60)] | None = None
    """An older instance is replaced, one at a time. Default: never."""
    scaling: Scaling | None = None
    """An auto scaling group, instead of `instances`."""
    instances: Annotated[int, Whole(1, MOST_INSTANCES)] | None = None
    """A fixed number of instances. Default: 1."""
    custom_metrics: dict[Id, CustomMetric] = Field(default_factory=dict)
    """Numbers of the user's own, for policies to follow."""
    health_check: HealthCheck = HealthCheck()
    """How a target is asked whether it is well."""
    target_group: TargetGroup = TargetGroup()
    """The service as the load balancer knows it."""
    deploy: Deploy = Deploy()
    """How the service moves to a new release."""
    port: Annotated[int | str, PortOr("none")] = 8000
    """The port inside a VPC or a container; `none` for a worker, a program that serves no requests: it has no target
    group, and healthy means running."""
    user_data: Annotated[str, Text(16_384)] | None = None
    """A script that an instance runs once as it boots, before the program. At most 16 KB, as on EC2."""
    after: tuple[Id, ...] = ()
    """Services that must be healthy before this one is started. Default: all are started at once."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_a_word(cls, value: Any) -> Any:
        advice = "write {app: {value}} or {command: {value}}"
        return fail("must say what kind of program it is", advice) if isinstance(value, str) else value

    def conflicts(self) -> Iterator[Conflict]:
        yield from self._what_to_run()
        if self.instances is not None and self.scaling is not None:
            reason = "stands beside `scaling`, and only one of them can set the size"
            yield Conflict(("instances", "scaling"), reason, "keep `scaling: {min, max}` or `instances`")
        if "threads" in self.model_fields_set and self.app is None:
            yield Conflict(
                ("threads", "app"), "goes only with `app`", "remove it: the command says itself how it works"
            )
        if self.port == "none":
            yield from self._of_a_worker()
        yield from self._room_to_replace()

    def _what_to_run(self) -> Iterator[Conflict]:
        names = ("app", "command", "targets")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            reason = f"stands beside `{given[0]}`, and a service has only one of them"
            yield Conflict((given[1], given[0]), reason, "keep one, or make two services")
        if not given and self.image is None and self.dockerfile is None:
            suggestion = 'add `app: "app:app"` (a Python web app) or `command: ...` (any program that listens on $PORT)'
            yield Conflict(("", *names, "image", "dockerfile"), "says nothing of what to run", suggestion)
        if self.image is not None and self.dockerfile is not None:
            yield Conflict(("dockerfile", "image"), "stands beside `image`, and only one of them can hold", "keep one")

    def _of_a_worker(self) -> Iterator[Conflict]:
        """What makes no sense where no request arrives."""
        for name in ("app", "targets"):
            if getattr(self, name) is not None:
                reason = f"goes only with `command`: `{name}` is there for requests"
                yield Conflict(("port", name), reason, "remove it, or write the `command` of a worker")
        for name in ("health_check", "target_group"):
            if getattr(self, name).model_fields_set:
                reason = "says nothing of a service with `port: none`: it gets no requests and no checks"
                yield Conflict((name, "port"), reason, "remove it; a worker is healthy while it runs")

    def _room_to_replace(self) -> Iterator[Conflict]:
        """A deployment adds before it removes, or removes before it adds; with room for neither it would never end."""
        desired, least, most = self.instances or 1, self.deploy.min_healthy, self.deploy.max_healthy
        kept, allowed = -(-desired * round(least) // 100), desired * round(most) // 100
        if self.scaling is None and kept >= allowed:
            reason = (
                f"leaves no room to replace an instance: of {desired}, `min_healthy` keeps {kept} ({least:g}%, rounded "
                f"up) and `max_healthy` allows {allowed} ({most:g}%, rounded down)"
            )
            keys = ("deploy.max_healthy", "deploy.min_healthy", "instances")
            yield Conflict(keys, reason, "write `max_healthy: 200%`, or a lower `min_healthy`")


class Job(Part):
    """A command that runs on a schedule in a service's current release."""

    service: Id
    """In whose current release and environment it runs."""
    command: Program
    """What runs, without a shell."""
    cron: Annotated[str, Cron()]
    """When, as in crontab(5)."""
    timezone: Annotated[str, Zone()] = "UTC"
    """The zone in which `cron` is read; summer time is followed."""
    timeout: Annotated[float, Duration(1, 7 * 86400)] | None = None
    """After this time it is ended. Default: never."""
