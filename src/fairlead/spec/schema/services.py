"""`services`: programs with their size, health check, target group and deployment rules; and `jobs`.

Defaults and ranges are those of the annotated file. How requests reach a service is in `target_group`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fairlead.core.secrets import SHELLS_OWN
from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Holding, Kind, fail
from fairlead.spec.schema.measures import OF_REQUESTS
from fairlead.spec.schema.numbers import Duration, Number, Percent, PortOr, Size, Whole
from fairlead.spec.schema.policies import MOST_INSTANCES
from fairlead.spec.schema.requests import TargetAddress
from fairlead.spec.schema.scaling import CustomMetric, Scaling
from fairlead.spec.schema.target_group import HealthCheck, TargetGroup
from fairlead.spec.schema.texts import CODES, AppTarget, Line, Name, Text, VariableName, Words, ranges
from fairlead.spec.schema.times import Cron, Zone

Id = Annotated[str, Name()]
Program = Annotated[tuple[str, ...], Words()]

NOT_BESIDE_TARGETS = (
    "image", "dockerfile", "source", "python", "build", "before_traffic", "environment", "secrets", "resources",
    "max_memory", "max_lifetime", "scaling", "instances", "custom_metrics", "deploy", "user_data", "after",
)  # fmt: skip
"""Keys that say how instances are made and run, and of which a service with `targets` has none."""

MOST_TARGETS = 1000
"""Of one service, as on an ALB."""


class Commands(Kind):
    """One command, or a list of them, each as `Words`."""

    def read(self, value: Any) -> tuple[tuple[str, ...], ...]:
        return tuple(Words().read(each) for each in (value if isinstance(value, tuple) else (value,)))

    def form(self) -> str:
        return "command, or a list of commands"

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": Words().json_schema()}]}


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
    """What an instance reserves: 100 percent of the cpu and memory metrics."""

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
    targets: Annotated[tuple[Annotated[str, TargetAddress()], ...], Holding(1, MOST_TARGETS)] | None = None
    """Addresses that fairlead routes to, checks and drains but does not run: an ALB's IP targets (which must be
    private addresses there). Their number is the size of the service. No names but localhost: a name would be looked
    up once."""
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
    """Secrets that are passed as variables of these names: `[KEY]` is short for `KEY: ${secrets.KEY}` in
    `environment`."""
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
        if self.scaling is not None and self.scaling.never_wakes:
            reason = (
                "must not be 0: no policy could ever start the first instance, since with none cpu, memory and latency "
                "are unknown"
            )
            others = "a custom metric" if self.port == "none" else "requests_per_target, outstanding or a custom metric"
            keys = ("scaling.min", "scaling.policies", "scaling.schedule")
            yield Conflict(keys, reason, f"write `min: 1`, or follow {others} too")
        if self.port == "none":
            yield from self._of_a_worker()
        if self.targets is not None:
            yield from self._of_targets()
        yield from self._of_the_protocol()
        yield from self._room_to_replace()
        yield from self._of_secrets()

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
        if self.scaling is not None and self.scaling.warm_pool:
            reason = "says nothing of a service with `port: none`: there is no load balancer to be kept out of"
            yield Conflict(("scaling.warm_pool", "port"), reason, "remove it, or write a higher `min`")
        for number, policy in enumerate(self.scaling.policies if self.scaling else ()):
            kind, follows = ("target", policy.target) if policy.target else ("step", policy.step)
            if follows and follows.metric in OF_REQUESTS:
                reason = f"{follows.metric} is never known of a service with `port: none`: it gets no requests"
                advice = "follow cpu, memory or a custom metric, such as the length of its queue"
                yield Conflict((f"scaling.policies.{number}.{kind}.metric", "port"), reason, advice)

    def _of_targets(self) -> Iterator[Conflict]:
        """What makes no sense where fairlead runs nothing."""
        for name in NOT_BESIDE_TARGETS:
            if name in self.model_fields_set:
                size = (
                    "the size is the number of addresses"
                    if name in ("instances", "scaling")
                    else "nothing is built or run"
                )
                reason = f"does not go with `targets`: fairlead does not run them, and {size}"
                yield Conflict((name, "targets"), reason, f"remove `{name}`, or write a `command` instead of `targets`")
        if "port" in self.model_fields_set and self.port != "none":
            yield Conflict(
                ("port", "targets"), "does not go with `targets`: each has its port behind its address", "remove it"
            )
        for name in ("grace_period", "replace_unhealthy"):
            if name in self.health_check.model_fields_set:
                reason = "says nothing of `targets`: fairlead does not run them, so it never replaces one"
                yield Conflict((f"health_check.{name}", "targets"), reason, "remove it")

    def _of_the_protocol(self) -> Iterator[Conflict]:
        """What goes with the protocol of the targets, and with what they listen on."""
        protocol = self.target_group.protocol
        if protocol == "GRPC" and self.app is not None:
            reason = "GRPC does not go with `app`: fairlead's server sends no trailers, which gRPC needs"
            advice = "remove it, or write the `command` of a gRPC server"
            yield Conflict(("target_group.protocol", "app"), reason, advice)
        kind = "gRPC" if protocol == "GRPC" else "HTTP"
        least, most = CODES[kind]
        if "matcher" in self.health_check.model_fields_set and not all(
            least <= first <= last <= most for first, last in ranges(self.health_check.matcher)
        ):
            reason = f"must hold codes of {kind}, {least} to {most}, since `target_group.protocol` is {protocol}"
            yield Conflict(("health_check.matcher", "target_group.protocol"), reason)
        on_socket = self.app is not None or any("${instance.socket}" in word for word in self.command or ())
        if on_socket and self.health_check.port != "traffic":
            reason = "must be `traffic`: instances of this service listen on a Unix socket and have no port"
            yield Conflict(("health_check.port", "app", "command"), reason, "remove it")

    def _of_secrets(self) -> Iterator[Conflict]:
        for number, name in enumerate(self.secrets):
            if name in self.secrets[:number]:
                yield Conflict((f"secrets.{number}",), f"{name} stands there twice", "name each once")
            elif name in SHELLS_OWN:
                reason = f"{name} cannot be kept secret: shells have a variable of that name"
                yield Conflict((f"secrets.{number}",), reason, "rename it")
            elif name in self.environment:
                reason = f"{name} is a variable of `environment` too, and only one of them can hold"
                yield Conflict((f"secrets.{number}", f"environment.{name}"), reason, "keep one of the two")

    def _room_to_replace(self) -> Iterator[Conflict]:
        """A deployment adds before it removes, or removes before it adds; with room for neither it would never end.

        A group at its `max` always makes room by taking one out, so only its smaller sizes matter."""
        least, most = round(self.deploy.min_healthy), round(self.deploy.max_healthy)
        group = self.scaling
        sizes = range(max(1, group.min), group.max) if group else [self.instances or 1]
        for size in sizes:
            kept, allowed = -(-size * least // 100), size * most // 100
            if kept >= allowed:
                reason = (
                    f"leaves no room to replace an instance: of {size}, `min_healthy` keeps {kept} ({least}%, rounded "
                    f"up) and `max_healthy` allows {allowed} ({most}%, rounded down)"
                )
                keys = ("deploy.max_healthy", "deploy.min_healthy", "scaling" if group else "instances")
                yield Conflict(keys, reason, "write `max_healthy: 200%`, or a lower `min_healthy`")
                return


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
