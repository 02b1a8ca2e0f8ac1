"""B2: the attributes of a target group, their bounds and defaults. What they do is in B3 to B7."""

from __future__ import annotations

from fairlead.core.model import TargetGroupAttributes
from tests.conformance.facts import fact
from tests.conformance.files import with_group, with_service
from tests.conformance.rehearsal import refusal_of, stack_of

NO_KEY = "is not a key that fairlead knows here"


def attributes(keys: str) -> TargetGroupAttributes:
    return stack_of(with_group(keys)).service("web").target_group


PLAIN = "algorithm: round_robin"


@fact(
    "B2",
    "deregistration_delay: 0 to 3600 seconds, 300 unless told otherwise",
    "approximated",
    "30 unless told otherwise",
)
def test_b2_bounds_of_deregistration_delay() -> None:
    assert attributes("deregistration_delay: 0s").deregistration_delay == 0
    assert attributes("deregistration_delay: 3600s").deregistration_delay == 3600
    assert attributes(PLAIN).deregistration_delay == 30
    assert refusal_of(with_group("deregistration_delay: 3601s"))


@fact("B2", "slow_start: off, or 30 to 900 seconds", "approximated", "any duration up to a day")
def test_b2_bounds_of_slow_start() -> None:
    assert attributes(PLAIN).slow_start == 0
    assert attributes("slow_start: 2s").slow_start == 2
    assert attributes("slow_start: 15m").slow_start == 900


@fact("B2", "Algorithms: round_robin (the default), least_outstanding_requests, weighted_random", "real")
def test_b2_algorithms() -> None:
    assert attributes("retry: off").algorithm == "round_robin"
    for name in ("least_outstanding_requests", "weighted_random"):
        assert attributes(f"algorithm: {name}").algorithm == name


@fact(
    "B2",
    "anomaly_mitigation goes only with weighted_random",
    "real",
    message="goes only with `algorithm: weighted_random`",
)
def test_b2_anomaly_mitigation(message: str) -> None:
    assert attributes("algorithm: weighted_random, anomaly_mitigation: true").anomaly_mitigation
    assert message in refusal_of(with_group("anomaly_mitigation: true"))


@fact("B2", "Stickiness is off unless told otherwise; its type is lb_cookie or app_cookie", "real")
def test_b2_types_of_stickiness() -> None:
    assert attributes(PLAIN).stickiness is None
    sticky = attributes("stickiness: {type: lb_cookie}").stickiness
    assert sticky is not None
    assert (sticky.cookie, sticky.duration) == (None, 86400)
    sticky = attributes("stickiness: {type: app_cookie, cookie: SID}").stickiness
    assert sticky is not None
    assert sticky.cookie == "SID"
    assert refusal_of(with_group("stickiness: {type: source_ip}"))


@fact("B2", "Duration of stickiness: 1 second to 7 days, a day unless told otherwise", "real")
def test_b2_bounds_of_stickiness() -> None:
    for good in ("1s", "7d"):
        assert attributes(f"stickiness: {{type: lb_cookie, duration: {good}}}").stickiness
    for bad in ("0s", "604801s"):
        assert refusal_of(with_group(f"stickiness: {{type: lb_cookie, duration: {bad}}}"))


@fact(
    "B2",
    "The app's cookie may not begin with AWSALB",
    "real",
    message="begins with AWSALB, as the load balancer's own cookies do",
)
def test_b2_names_of_cookies(message: str) -> None:
    for name in ("AWSALB", "AWSALBAPP-1", "AWSALBTG"):
        assert message in refusal_of(with_group(f"stickiness: {{type: app_cookie, cookie: {name}}}"))


@fact("B2", "app_cookie needs the name of the cookie", "real", message="names no cookie of the app")
def test_b2_app_cookie_needs_a_name(message: str) -> None:
    assert message in refusal_of(with_group("stickiness: {type: app_cookie}"))


@fact("B2", "cross_zone of a group", "refused", message=NO_KEY)
def test_b2_cross_zone(message: str) -> None:
    assert message in refusal_of(with_group("cross_zone: false"))


@fact("B2", "target_group_health: thresholds for DNS failover and for routing failover", "refused", message=NO_KEY)
def test_b2_target_group_health(message: str) -> None:
    assert message in refusal_of(with_group("target_group_health: {minimum_healthy_targets: 2}"))


@fact("B2", "lambda.multi_value_headers", "refused", message=NO_KEY)
def test_b2_multi_value_headers(message: str) -> None:
    assert message in refusal_of(with_group("multi_value_headers: true"))


@fact("B2", "A group's protocol version is HTTP1 (the default), HTTP2 or GRPC", "real")
def test_b2_protocol_versions() -> None:
    assert attributes(PLAIN).protocol == "HTTP1"
    https = """\
load_balancer: {listeners: [{port: 8443, protocol: HTTPS, certificates: local, default: {forward: web}}]}
"""
    for name in ("HTTP2", "GRPC"):
        assert (
            stack_of(with_service(f"target_group: {{protocol: {name}}}") + https).service("web").target_group.protocol
            == name
        )
