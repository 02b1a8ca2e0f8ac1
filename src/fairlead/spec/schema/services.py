"""`services`: programs with their size, health check, target group and deployment rules; and `jobs`.

Defaults and ranges are those of the annotated file; where AWS has the key, those of aws-semantics B4 and B5, made
for seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WrapValidator, model_validator

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Kind, fail, holding
from fairlead.spec.schema.numbers import Duration, Number, Percent, PortOr, Size, Whole
from fairlead.spec.schema.scaling import MOST_INSTANCES, CustomMetric, Scaling, read_cron
from fairlead.spec.schema.texts import AppTarget, Line, Matcher, Name, Text, VariableName, Words

Id = Annotated[str, Name()]
Program = Annotated[tuple[str, ...], Words()]
_HEALTH_PATH = Line(r"/[\x21-\x7e]*", "a path that begins with / and holds no blanks, percent-encoded", 1024)
_HOST = Line(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", "a host name", 255)
_TARGET = Line(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "an address with its port, as in 127.0.0.1:9000", 260)


class Commands(Kind):
    """One command, or a list of them, each as `Words`."""

    def read(self, value: Any) -> tuple[tuple[str, ...], ...]:
        return tuple(Words().read(each) for each in (value if isinstance(value, tuple) else (value,)))

    def json_schema(self) -> dict[str, Any]:
        return Words().json_schema()


def _none_or(value: Any, handler: Any) -> Any:
    return None if value == "none" else handler(value)


class HealthCheck(Part):
    """How a target is asked whether it is well."""

    enabled: bool = True
    """False: requests go to every target, whatever its state."""
    path: Annotated[str, _HEALTH_PATH] = "/"
    host: Annotated[str, _HOST] = "localhost"
    """Host header of the check."""
    protocol: Literal["HTTP", "TCP"] = "HTTP"
    port: Annotated[int | str, PortOr("traffic")] = "traffic"
    interval: Annotated[float, Duration(0.2, 300)] = 5.0
    """Seconds between checks of a target in service; any other is checked every 0.2 s."""
    timeout: Annotated[float, Duration(0.001, 300)] | None = None
    """Seconds; default 2, or `interval` when that is less. At most `interval`."""
    healthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Successes that bring an unhealthy target back; a new one needs a single one."""
    unhealthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Failures in a row that take a target out."""
    matcher: Annotated[str, Matcher()] = "200"
    """HTTP codes that pass."""
    grace_period: Annotated[float, Duration(0, 7200)] = 30.0
    """Seconds after a launch during which unhealthy does not yet mean replace."""
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
    cookie: Annotated[str, Line(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a cookie", 128)] | None = None
    duration: Annotated[float, Duration(1, 7 * 86400)] = 86400.0

    def conflicts(self) -> Iterator[Conflict]:
        if self.type == "app_cookie" and self.cookie is None:
            yield Conflict(("", "cookie", "type"), "names no cookie of the app", "add `cookie`")
        elif self.type == "lb_cookie" and self.cookie is not None:
            yield Conflict(("cookie", "type"), "goes only with `type: app_cookie`")


class TargetGroup(Part):
    """The service as the load balancer knows it."""

    protocol: Literal["HTTP1", "HTTP2", "GRPC"] = "HTTP1"
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = "round_robin"
    anomaly_mitigation: bool = False
    """With weighted_random."""
    retry: Literal["safe_methods", "off"] = "safe_methods"
    """Whether GET, HEAD and OPTIONS go to another target when theirs fails before it answers."""
    unsafe_methods: Literal["fresh_connection", "pooled"] = "fresh_connection"
    connect_timeout: Annotated[float, Duration(0.001, 60)] = 0.1
    deregistration_delay: Annotated[float, Duration(0, 3600)] = 30.0
    """Seconds that a draining target may take to finish its requests."""
    slow_start: Annotated[float, Duration(0, 86400)] = 0.0
    stickiness: Annotated[Stickiness | None, WrapValidator(_none_or)] = None

    def conflicts(self) -> Iterator[Conflict]:
        if self.anomaly_mitigation and self.algorithm != "weighted_random":
            yield Conflict(("anomaly_mitigation", "algorithm"), "goes only with `algorithm: weighted_random`")


class Canary(Part):
    """A share of the requests goes to the new release first."""

    weight: Annotated[float, Percent(0.1, 99)] = 10.0
    bake: Annotated[float, Duration(0, 86400)] = 30.0


class RollbackOn(Part):
    """What makes a deployment go back."""

    error_rate: Annotated[float, Percent(0, 100)] | None = None
    latency_p95: Annotated[float, Duration(0.001, 3600)] | None = None
    failed_instances: Annotated[int, Whole(1, 100)] = 3
    """Instances of the release that ended before their first passed check."""


class Deploy(Part):
    """How a service moves to a new release."""

    strategy: Literal["rolling", "blue_green", "canary"] = "rolling"
    canary: Canary | None = None
    min_healthy: Annotated[float, Percent(0, 100)] = 100.0
    """Of desired, rounded up."""
    max_healthy: Annotated[float, Percent(100, 200)] = 200.0
    """Of desired, rounded down."""
    bake: Annotated[float, Duration(0, 86400)] = 5.0
    """Seconds to watch the new release after the last step."""
    rollback_on: RollbackOn = RollbackOn()
    stop_timeout: Annotated[float, Duration(0, 3600)] = 30.0
    """Seconds from SIGTERM to SIGKILL."""
    keep_releases: Annotated[int, Whole(1, 100)] = 5

    def conflicts(self) -> Iterator[Conflict]:
        if self.canary is not None and self.strategy != "canary":
            yield Conflict(("canary", "strategy"), "goes only with `strategy: canary`")
        if self.min_healthy == 100 and self.max_healthy == 100:
            reason = "leaves no room to replace an instance while `min_healthy` is 100%"
            yield Conflict(("max_healthy", "min_healthy"), reason, "write more than 100%, or a lower `min_healthy`")


class Resources(Part):
    """What an instance is given: the base of the cpu and memory metrics."""

    cpu: Annotated[float, Number(0.01, 1024)] | None = None
    """Cores."""
    memory: Annotated[int, Size(1_000_000)] | None = None
    """Bytes."""


class Service(Part):
    """A program that fairlead runs, or targets that it only routes to."""

    app: Annotated[str, AppTarget()] | None = None
    """An ASGI or WSGI object, or a factory, served by fairlead's server."""
    command: Annotated[tuple[str, ...], Words(none=True)] | None = None
    """Any program; `none` -> () boots an instance without one."""
    targets: Annotated[tuple[Annotated[str, _TARGET], ...], holding(1, 1000)] | None = None
    image: Annotated[str, Line(r"[a-z0-9][A-Za-z0-9._/:@-]*", "the name of an image", 512)] | None = None
    dockerfile: Annotated[str, Line()] | None = None
    source: Annotated[str, Line(most=4096)] = "."
    """The folder that is copied into each release, relative to the file."""
    threads: Annotated[int, Whole(1, 1000)] = 16
    """WSGI: requests that an instance works on at once."""
    python: Annotated[str, Line(r"3\.[0-9]{1,2}(\.[0-9]{1,3})?", 'a version of Python such as "3.12"')] | None = None
    build: Annotated[tuple[tuple[str, ...], ...], Commands()] = ()
    before_traffic: Program | None = None
    environment: dict[Annotated[str, VariableName()], Annotated[str, Text()]] = Field(default_factory=dict)
    secrets: tuple[Annotated[str, VariableName()], ...] = ()
    resources: Resources | None = None
    max_memory: Annotated[int, Size(1_000_000)] | None = None
    max_lifetime: Annotated[float, Duration(60)] | None = None
    scaling: Scaling | None = None
    instances: Annotated[int, Whole(1, MOST_INSTANCES)] | None = None
    """A fixed size, 1 to 100; default 1."""
    custom_metrics: dict[Id, CustomMetric] = Field(default_factory=dict)
    health_check: HealthCheck = HealthCheck()
    target_group: TargetGroup = TargetGroup()
    deploy: Deploy = Deploy()
    port: Annotated[int | str, PortOr("none")] = 8000
    """The port inside a VPC or a container; `none` for a program that serves no requests."""
    user_data: Annotated[str, Text(16_384)] | None = None
    """A script that an instance runs as it boots. 16 KB, as on EC2."""
    after: tuple[Id, ...] = ()
    """Services that must be healthy before this one is started."""

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


class Job(Part):
    """A command that runs on a schedule in a service's current release."""

    service: Id
    command: Program
    cron: Annotated[str, BeforeValidator(read_cron)]
    timezone: Annotated[str, Line(r"[A-Za-z]\w*([/+-]\w+)*", "a time zone such as Europe/Berlin", 64)] = "UTC"
    timeout: Annotated[float, Duration(1, 7 * 86400)] | None = None
