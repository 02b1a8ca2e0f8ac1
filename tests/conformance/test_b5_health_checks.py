"""B5: how targets are checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fairlead.core.health import TargetHealth, failed_check, target_health
from fairlead.core.model import HealthCheck
from fairlead.core.observed import Instance
from fairlead.core.processes import Process
from fairlead.core.traffic import Target
from tests.conformance.facts import fact
from tests.conformance.files import with_check, with_service
from tests.conformance.rehearsal import Rehearsal, Up, refusal_of, stack_of
from tests.conformance.servers import Behaviour, Received, Server, hangs_up, ok, says
from tests.core.builders import a_record

pytestmark = pytest.mark.live

FILE = """\
name: checks
services:
  web:
    targets: ["${env.a}", "${env.b}"]
    health_check: {path: "/health?deep=1", host: shop.test, interval: 200ms, timeout: 200ms, healthy_threshold: 3, unhealthy_threshold: 3}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""

ONE = """\
name: check-NAME
services:
  web:
    targets: ["${env.a}"]
    health_check: {KEYS}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""


def one(name: str, keys: str) -> str:
    return ONE.replace("NAME", name).replace("KEYS", keys)


def check_of(keys: str) -> HealthCheck:
    return stack_of(with_check(keys)).service("web").health_check


@fact("B5", "A check is GET PATH HTTP/1.1, the path with its query", "real")
def test_b5_a_check_on_the_wire(up: Up) -> None:
    assert up.servers["a"].checks[-1].line == "GET /health?deep=1 HTTP/1.1"


@fact("B5", "A check's Host is the target's address, with its port unless it is the usual one", "approximated",
      "`localhost`, or what `host` says: HAProxy has one for all targets of a group")  # fmt: skip
def test_b5_host_of_a_check(up: Up) -> None:
    assert up.servers["a"].checks[-1].one("host") == "shop.test"
    assert check_of("path: /").host == "localhost"


@fact("B5", "A check's User-Agent is ELB-HealthChecker/2.0", "real")
def test_b5_user_agent_of_a_check(up: Up) -> None:
    assert up.servers["a"].checks[-1].one("user-agent") == "ELB-HealthChecker/2.0"


@fact("B5", "A check closes its connection", "real")
def test_b5_a_check_closes_its_connection(up: Up) -> None:
    server = up.servers["a"]
    up.rehearsal.until(lambda: len(server.checks) >= 5, "five checks")
    assert server.checks[-1].one("connection") == "close"
    assert len({check.connection for check in server.checks[-5:]}) == 5


@fact("B5", "A check says Accept-Encoding: gzip, compressed", "approximated", "it says nothing of encodings")
def test_b5_a_check_has_no_accept_encoding(up: Up) -> None:
    assert up.servers["a"].checks[-1].one("accept-encoding") is None


@fact("B5", "Checks come at fixed intervals from each node of the balancer", "approximated",
      "from one node, but twice an interval: the rings of B3 are checked each")  # fmt: skip
def test_b5_pace_of_checks(up: Up) -> None:
    server = up.servers["a"]
    before, began = len(server.checks), time.monotonic()
    time.sleep(2)
    assert 5 <= (len(server.checks) - before) / (time.monotonic() - began) <= 15


@fact("B5", "Checks are not counted as requests", "real")
def test_b5_checks_are_not_counted(up: Up) -> None:
    report = up.rehearsal.report
    assert report is not None
    count = report.requests
    before = len(up.servers["a"].checks)
    up.rehearsal.until(lambda: len(up.servers["a"].checks) > before + 4, "some checks")
    up.ask()
    assert count is not None
    up.rehearsal.until(lambda: up.rehearsal.report and up.rehearsal.report.requests == count + 1, "one request more")


@fact("B5", "A new target is healthy after one success, whatever the threshold", "real")
def test_b5_one_success_is_enough_at_first(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("first", "interval: 60s, timeout: 1s, healthy_threshold: 10"), admit=False)
    target = up.register("web", "a")
    began = time.monotonic()
    up.admit(target)
    assert time.monotonic() - began < 50, "not after an interval"
    assert up.ask().text == "a"


@fact("B5", "A new target gets no request before its first success", "real")
def test_b5_an_initial_target_gets_no_request(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("initial", "interval: 200ms, timeout: 200ms"), admit=False)
    up.servers["a"].health = 503
    target = up.register("web", "a")
    up.rehearsal.until(lambda: (report := up.report(target)) and report.check, "a finished check")
    assert up.ask().status == 503
    assert up.servers["a"].heard == []
    up.servers["a"].health = 200
    up.admit(target)
    assert up.ask().text == "a"


@fact("B5", "A healthy target is unhealthy after the threshold of failures in a row, not before", "real")
def test_b5_unhealthy_after_the_threshold(up: Up) -> None:
    server, target = up.servers["b"], up.target("web", "b")
    start = len(server.checks)
    server.health = 503
    up.until_down(target)
    assert len(server.checks) - start >= 3
    server.health = 200
    up.until_up(target)
    # Two failures, and then a success: it stays.
    server.check_answer = _fails(2)
    before = len(server.checks)
    up.rehearsal.until(lambda: len(server.checks) > before + 8 or not _up(up, target), "some checks")
    assert _up(up, target)
    server.check_answer = None


def _up(up: Up, target: Target) -> bool:
    report = up.report(target)
    return report is not None and report.up


def _fails(times: int) -> Behaviour:
    """So many failures, then successes."""
    left = [times]

    async def answer(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        left[0] -= 1
        return await ok(status=503 if left[0] >= 0 else 200)(received, reader, writer)

    return answer


@fact("B5", "An unhealthy target is healthy after the threshold of successes in a row", "real")
def test_b5_healthy_after_the_threshold(up: Up) -> None:
    server, target = up.servers["b"], up.target("web", "b")
    server.health = 503
    up.until_down(target)
    start = len(server.checks)
    server.health = 200
    up.until_up(target)
    assert len(server.checks) - start >= 3


@fact("B5", "An unhealthy target gets no request while another is healthy", "approximated",
      "each of the two rings (B3) follows its own checks: GET, HEAD and OPTIONS may be a check ahead of the others or behind")  # fmt: skip
def test_b5_an_unhealthy_target_gets_no_request(up: Up) -> None:
    server, target = up.servers["b"], up.target("web", "b")
    server.health = 503
    up.until_down(target)
    up.until_posts_go("a")
    assert {up.ask(method=method).text for method in ("GET", "POST") for _ in range(4)} == {"a"}
    server.health = 200
    up.until_up(target)


REASONS = """\
name: reasons
services:
  web:
    targets: ["${env.well}", "${env.busy}", "${env.moved}", "${env.silent}", "${env.closing}", "${env.refusing}", "${env.odd}", "${env.babbling}"]
    health_check: {path: "/health", interval: 300ms, timeout: 300ms, unhealthy_threshold: 2}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""


@pytest.fixture(scope="module")
def ill(rehearsal: Rehearsal) -> Iterator[Up]:
    """Targets that were well, each of which now has an illness of its own."""
    up = rehearsal.up(REASONS)
    servers = up.servers
    servers["busy"].health, servers["moved"].health, servers["silent"].health = 503, 302, None
    servers["moved"].check_answer = ok(b"", "Location: /elsewhere", status=302)
    servers["closing"].check_answer = hangs_up()
    servers["odd"].check_answer = says(b"nonsense\r\n\r\n", closes=True)
    servers["babbling"].check_answer = says(b"nonsense\r\n\r\n")
    rehearsal.run(servers["refusing"].kill())
    for name in servers:
        if name != "well":
            up.until_down(up.target("web", name))
    yield up
    up.down()


def _reason(ill: Up, name: str, reason: str, description: str) -> None:
    def said() -> bool:
        report = ill.report(ill.target("web", name))
        assert report is not None
        health = failed_check(report.check)
        return (health.state, health.reason, health.description) == ("unhealthy", reason, description)

    ill.rehearsal.until(said, reason)


@fact("B5", "Target.ResponseCodeMismatch: `Health checks failed with these codes: [503]`", "real")
def test_b5_reason_response_code_mismatch(ill: Up) -> None:
    _reason(ill, "busy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")


@fact("B5", "Target.Timeout: `Request timed out`", "real")
def test_b5_reason_timeout(ill: Up) -> None:
    _reason(ill, "silent", "Target.Timeout", "Request timed out")


@fact("B5", "Target.FailedHealthChecks: `Health checks failed`, when the target closes without an answer", "real")
def test_b5_reason_failed_health_checks(ill: Up) -> None:
    _reason(ill, "closing", "Target.FailedHealthChecks", "Health checks failed")


@fact("B5", "Target.FailedHealthChecks: when the target refuses the connection", "real")
def test_b5_reason_refused(ill: Up) -> None:
    _reason(ill, "refusing", "Target.FailedHealthChecks", "Health checks failed")


@fact("B5", "Target.FailedHealthChecks: when the answer is malformed", "approximated",
      "Target.Timeout: what HAProxy cannot read is no answer to it, and it waits for one")  # fmt: skip
def test_b5_reason_malformed(ill: Up) -> None:
    for name in ("odd", "babbling"):
        _reason(ill, name, "Target.Timeout", "Request timed out")


@fact("B5", "Redirects are not followed: a 302 is a code like any other", "real")
def test_b5_redirects_are_not_followed(ill: Up) -> None:
    _reason(ill, "moved", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [302]")
    assert {check.target for check in ill.servers["moved"].checks} == {"/health"}


@fact("B5", "A target without illness stays healthy beside them", "real")
def test_b5_each_target_is_judged_by_itself(ill: Up) -> None:
    assert {ill.ask().text for _ in range(6)} == {"well"}


def health_of(up: Up, target: Target, now: float = 1.0, **record: Any) -> TargetHealth:
    """What `status` says of it: the balancer's report, with what is recorded of the instance."""
    instance = Instance(
        record=a_record(**{"state": "pending", **record}), process=Process(alive=True, pid=1), target=up.report(target)
    )  # fmt: skip
    return target_health(instance, up.stack.service("web").health_check, now)


@fact("B5", "initial, Elb.RegistrationInProgress: `Target registration is in progress`", "real")
def test_b5_state_registration(up: Up) -> None:
    unknown = Target(group="checks.web", id="web-99", number=99, address="127.0.0.1:9")
    health = health_of(up, unknown)
    assert (health.state, health.reason) == ("initial", "Elb.RegistrationInProgress")
    assert health.description == "Target registration is in progress"


@fact("B5", "initial, Elb.InitialHealthChecking: `Initial health checks in progress`", "approximated",
      "until `unhealthy_threshold` intervals have gone by without a success, though checks come faster")  # fmt: skip
def test_b5_state_initial(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("states", "interval: 5s, unhealthy_threshold: 2"), admit=False)
    up.servers["a"].health = 503
    target = up.register("web", "a")
    up.rehearsal.until(lambda: (report := up.report(target)) and report.check, "a finished check")
    early, late = health_of(up, target, now=9), health_of(up, target, now=11)
    assert (early.state, early.reason) == ("initial", "Elb.InitialHealthChecking")
    assert early.description == "Initial health checks in progress"
    assert (late.state, late.reason) == ("unhealthy", "Target.ResponseCodeMismatch")


@fact("B5", "healthy has neither reason nor description", "real")
def test_b5_state_healthy(up: Up) -> None:
    assert health_of(up, up.target("web", "a"), state="in_service") == TargetHealth(state="healthy")


@fact("B5", "draining, Target.DeregistrationInProgress: `Target deregistration is in progress`", "real")
def test_b5_state_draining(up: Up) -> None:
    health = health_of(up, up.target("web", "a"), state="terminating", terminating_at=0.5)
    assert (health.state, health.reason) == ("draining", "Target.DeregistrationInProgress")
    assert health.description == "Target deregistration is in progress"


@fact("B5", "unused, Target.NotRegistered: `Target is not registered to the target group`", "real")
def test_b5_state_unused(up: Up) -> None:
    health = health_of(up, up.target("web", "a"), state="terminating", terminating_at=0.5, deregistered_at=0.8)
    assert (health.state, health.reason) == ("unused", "Target.NotRegistered")
    assert health.description == "Target is not registered to the target group"


@fact("B5", "unused, Target.NotInUse: only groups that a listener names are checked", "refused",
      message="no listener forwards to this service, so no request could reach it")  # fmt: skip
def test_b5_state_not_in_use(message: str) -> None:
    assert message in refusal_of("""\
name: unused
services: {web: {targets: ["127.0.0.1:9"]}, other: {targets: ["127.0.0.1:9"]}}
load_balancer: {listeners: [{port: 8080, default: {forward: web}}]}
""")


@fact("B5", "A matcher lists codes, a range, or both: 200,202 and 200-299 and 200,204-206", "real")
def test_b5_matchers(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("matcher", 'matcher: "200,204-206", interval: 200ms, timeout: 200ms'))
    target, server = up.target("web", "a"), up.servers["a"]
    for code, passes in ((204, True), (203, False), (206, True), (207, False), (200, True)):
        server.health = code
        up.until_up(target) if passes else up.until_down(target)


@fact("B5", "A matcher holds codes from 200 to 499; 200 unless told otherwise", "real")
def test_b5_bounds_of_a_matcher() -> None:
    assert check_of("path: /").matcher == "200"
    assert check_of('matcher: "200-499"').matcher == "200-499"
    for bad in ('"199"', '"500"', '"299-200"', '"2xx"', '"200;201"'):
        assert refusal_of(with_check(f"matcher: {bad}"))


GRPC = """\
load_balancer: {listeners: [{port: 8443, protocol: HTTPS, certificates: local, default: {forward: web}}]}
"""


@fact(
    "B5", "Of gRPC a matcher holds codes from 0 to 99; 12 unless told otherwise, asked of /AWS.ALB/healthcheck", "real"
)
def test_b5_grpc_matchers() -> None:
    plain = with_service("target_group: {protocol: GRPC}") + GRPC
    check = stack_of(plain).service("web").health_check
    assert (check.matcher, check.path) == ("12", "/AWS.ALB/healthcheck")
    told = with_service('target_group: {protocol: GRPC}\n    health_check: {matcher: "0,5-99"}') + GRPC
    assert stack_of(told).service("web").health_check.matcher == "0,5-99"
    assert refusal_of(told.replace("0,5-99", "100"))


@fact("B5", "A path has 1 to 1024 characters and may hold a query; / unless told otherwise", "real")
def test_b5_bounds_of_a_path() -> None:
    assert check_of("interval: 5s").path == "/"
    assert check_of(f"path: '/{'x' * 1021}?a'").path.endswith("?a")
    assert refusal_of(with_check(f"path: /{'x' * 1024}"))
    assert refusal_of(with_check("path: health"))


@fact(
    "B5",
    "Interval: 5 to 300 seconds, 30 unless told otherwise",
    "approximated",
    "0.2 to 300 seconds, 5 unless told otherwise",
)
def test_b5_bounds_of_the_interval() -> None:
    assert check_of("path: /").interval == 5
    assert (check_of("interval: 200ms").interval, check_of("interval: 300s").interval) == (0.2, 300)
    for bad in ("100ms", "301s"):
        assert refusal_of(with_check(f"interval: {bad}"))


@fact("B5", "Timeout: 2 to 120 seconds and less than the interval, 5 unless told otherwise", "approximated",
      "1 ms up to the interval, 2 seconds unless told otherwise")  # fmt: skip
def test_b5_bounds_of_the_timeout() -> None:
    assert check_of("path: /").timeout == 2
    assert check_of("interval: 5s, timeout: 5s").timeout == 5
    assert "is longer than `interval`" in refusal_of(with_check("interval: 5s, timeout: 6s"))


@fact("B5", "Thresholds: 2 to 10; healthy 5 and unhealthy 2 unless told otherwise", "approximated",
      "1 to 10; 2 and 2 unless told otherwise")  # fmt: skip
def test_b5_bounds_of_thresholds() -> None:
    assert (check_of("path: /").healthy_threshold, check_of("path: /").unhealthy_threshold) == (2, 2)
    assert check_of("healthy_threshold: 1, unhealthy_threshold: 10").unhealthy_threshold == 10
    for bad in ("healthy_threshold: 0", "unhealthy_threshold: 11"):
        assert refusal_of(with_check(bad))


@fact("B5", "The port of a check: that of the traffic, or another", "real")
def test_b5_port_of_a_check(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("port", 'port: "${env.PORT_CHECKS}", interval: 200ms, timeout: 200ms'), admit=False)
    server = up.rehearsal.run(_listening_on(up.port("PORT_CHECKS")))
    try:
        up.admit(up.register("web", "a"))
        assert up.ask().text == "a"
        assert server.checks
        assert not up.servers["a"].checks
    finally:
        up.rehearsal.run(server.kill())


async def _listening_on(port: int) -> Server:
    return await Server("checks", address=f"127.0.0.1:{port}").listen()


@fact(
    "B5", "A check's protocol is HTTP or HTTPS", "approximated", "HTTP, or TCP: a connection that is accepted is enough"
)
def test_b5_tcp_checks(bring_up: Callable[..., Up]) -> None:
    up = bring_up(one("tcp", "protocol: TCP, interval: 200ms, timeout: 200ms"), admit=False)
    server = up.servers["a"]
    server.health = 503
    target = up.register("web", "a")
    up.admit(target)
    assert up.ask().text == "a"
    assert server.checks == []
    up.rehearsal.run(server.kill())
    up.until_down(target)
    up.rehearsal.run(server.listen())
    up.until_up(target)
    assert "HTTPS" in refusal_of(with_check("protocol: HTTPS"))


@fact("B5", "Checks cannot be switched off", "beyond",
      "`enabled: false`: requests go to every instance that runs, whatever it answers")  # fmt: skip
def test_b5_checks_switched_off(bring_up: Callable[..., Up]) -> None:
    up = bring_up("""\
name: unchecked
services: {web: {targets: ["${env.a}", "${env.b}"], health_check: {enabled: false}, target_group: {retry: off}}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
""")  # fmt: skip
    up.servers["a"].health = None
    health = health_of(up, up.target("web", "a"), state="in_service")
    assert (health.state, health.reason) == ("unavailable", "Target.HealthCheckDisabled")
    assert {up.ask().text for _ in range(6)} == {"a", "b"}
    assert up.servers["a"].checks == []
    up.rehearsal.run(up.servers["b"].kill())
    assert sorted(up.ask().status for _ in range(8)) == [200] * 4 + [502] * 4
