"""`health_check` and `target_group` of a service: how the load balancer asks its targets, and how it chooses among
them.

Defaults and ranges are those of the annotated file; where AWS has the key, those of aws-semantics B2 to B5, made for
seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Short
from fairlead.spec.schema.numbers import Duration, PortOr, Whole
from fairlead.spec.schema.requests import CookieName
from fairlead.spec.schema.texts import HealthPath, Line, Matcher

_HOST = Line(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", "a host name", 255)


def _nothing_for_none(value: Any) -> Any:
    return None if value == "none" else value


_OR_NONE = Short(_nothing_for_none, "keys, see below, or `none`", (("const", "none"),))


class HealthCheck(Part):
    """How a target is asked whether it is well."""

    enabled: bool = True
    """False: no target is asked, and requests go to every one whose program runs, whatever it answers; the other keys
    then mean nothing. On an ALB checks cannot be turned off."""
    path: Annotated[str, HealthPath()] = "/"
    """What is asked for. Of a service with `target_group.protocol: GRPC` the default is `/AWS.ALB/healthcheck`."""
    host: Annotated[str, _HOST] = "localhost"
    """The Host header of the check. An ALB sends the target's address."""
    protocol: Literal["HTTP", "TCP"] = "HTTP"
    """TCP: a connection that is accepted is enough; `path`, `host` and `matcher` then have no place. An ALB has no such
    check."""
    port: Annotated[int | str, PortOr("traffic")] = "traffic"
    """Where to ask; `traffic` is where requests go. Another port is asked at the address of each target, which on this
    machine is one and the same for all instances. Not for targets on a Unix socket, which have no port."""
    interval: Annotated[float, Duration(0.2, 300)] = 5.0
    """Time between checks of a target in service; any other is checked every 200 ms. An ALB takes 5s to 5m, 30s by
    default."""
    timeout: Annotated[float, Duration(0.001, 300)] | None = None
    """How long an answer may take; at most `interval`. Default: 2s, or `interval` when that is less."""
    healthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Successes that bring an unhealthy target back; a new one needs a single one."""
    unhealthy_threshold: Annotated[int, Whole(1, 10)] = 2
    """Failures in a row that take a target out."""
    matcher: Annotated[str, Matcher()] = "200"
    """HTTP codes that pass, 200 to 499. Of a service with `target_group.protocol: GRPC` they are gRPC's, 0 to 99, and
    the default is 12."""
    grace_period: Annotated[float, Duration(0, 7200)] = 30.0
    """After a launch, how long unhealthy does not yet mean replace."""
    replace_unhealthy: bool = True
    """False: route round an unhealthy target but leave it running."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.timeout is not None and self.timeout > self.interval:
            interval = Duration().show(self.interval)
            reason = f"is longer than `interval` ({interval}), so that one check would run into the next"
            yield Conflict(("timeout", "interval"), reason, f"write {interval} or less, or a longer `interval`")
        for name in ("path", "host", "matcher"):
            if self.protocol == "TCP" and name in self.model_fields_set:
                reason = "goes only with `protocol: HTTP`: with TCP nothing is asked and nothing answered"
                yield Conflict((name, "protocol"), reason, f"remove `{name}` or `protocol`")


class Stickiness(Part):
    """A client's requests go to the same target, while it is healthy."""

    type: Literal["lb_cookie", "app_cookie"]
    """Whose cookie begins it: the load balancer's own (AWSALB, in every response), or the app's (a client then sticks
    from the response that sets it, by the cookie AWSALBAPP-0)."""
    cookie: Annotated[str, CookieName()] | None = None
    """With `type: app_cookie`: the name of the app's cookie."""
    duration: Annotated[float, Duration(1, 7 * 86400)] = 86400.0
    """How long a client stays with its target; each response begins it anew."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.type == "app_cookie" and self.cookie is None:
            yield Conflict(("", "cookie", "type"), "names no cookie of the app", "add `cookie`")
        elif self.type == "lb_cookie" and self.cookie is not None:
            yield Conflict(("cookie", "type"), "goes only with `type: app_cookie`")


class TargetGroup(Part):
    """The service as the load balancer knows it."""

    protocol: Literal["HTTP1", "HTTP2", "GRPC"] = "HTTP1"
    """What targets speak; HTTP2 is h2c. HTTP2 and GRPC need listeners of HTTPS, as on an ALB. GRPC needs a `command` or
    `targets`: fairlead's server of `app` sends no trailers."""
    algorithm: Literal["round_robin", "least_outstanding_requests", "weighted_random"] = "round_robin"
    """How the target of a request is chosen: in turn, the one with the fewest requests under way, or by chance."""
    anomaly_mitigation: bool = False
    """With weighted_random: targets that answer with errors more often than the others get fewer requests, from three
    healthy targets on."""
    retry: Literal["safe_methods", "off"] = "safe_methods"
    """Whether GET, HEAD and OPTIONS go to another target when theirs fails before it answers. An ALB never tries again:
    `off`."""
    unsafe_methods: Literal["fresh_connection", "pooled"] = "fresh_connection"
    """What requests of other methods travel on: a connection of their own, or one that is kept (faster, less safe)."""
    connect_timeout: Annotated[float, Duration(0.001, 60)] = 0.1
    """How long a connection to a target may take; also the longest pause before a retry. An ALB waits 10s."""
    deregistration_delay: Annotated[float, Duration(0, 3600)] = 30.0
    """How long a draining target may finish its requests; what is still under way then is closed. An ALB waits 300s by
    default."""
    slow_start: Annotated[float, Duration(0, 86400)] = 0.0
    """How long a new target's share of the requests grows, when others are in service; 0s: it has all of it at once.
    Only with round_robin, as on an ALB, which takes 30s to 15m."""
    stickiness: Annotated[Stickiness | None, _OR_NONE] = None
    """Whether a client's requests go to the same target. Not with weighted_random, as on an ALB."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.anomaly_mitigation and self.algorithm != "weighted_random":
            yield Conflict(("anomaly_mitigation", "algorithm"), "goes only with `algorithm: weighted_random`")
        if self.slow_start and self.algorithm != "round_robin":
            reason = f"does not go with `algorithm: {self.algorithm}`, on an ALB neither"
            yield Conflict(
                ("slow_start", "algorithm"), reason, "write `algorithm: round_robin`, or remove one of the two"
            )
        if self.stickiness and self.algorithm == "weighted_random":
            reason = "does not go with `algorithm: weighted_random`, on an ALB neither"
            yield Conflict(("stickiness", "algorithm"), reason, "choose another `algorithm`, or remove one of the two")
