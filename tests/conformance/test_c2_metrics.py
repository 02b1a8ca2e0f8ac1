"""C2: metrics, as they are told of traffic that a test sent itself.

Long because the metrics are one section, and all ask one stack.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from fairlead.core import latency
from fairlead.metrics.catalogue import BY_NAME, METRICS
from tests.conformance.access import Log
from tests.conformance.client import Client, Closed, request, tell, websocket
from tests.conformance.facts import fact
from tests.conformance.meters import Figures, Stretch
from tests.conformance.rehearsal import Rehearsal, Up
from tests.conformance.servers import Held, Received, after, hangs_up, ok, silence

pytestmark = pytest.mark.live

FILE = """\
name: measured
services:
  web: {targets: ["${env.web}"], target_group: {retry: off}, health_check: {interval: 60s}}
  pair: {targets: ["${env.one}", "${env.two}"], health_check: {interval: 200ms, timeout: 200ms}}
  empty: {targets: ["127.0.0.1:9"]}
  refuses: {targets: ["${env.refuses}"], health_check: {interval: 60s}, target_group: {retry: off}}
  two: {targets: ["127.0.0.1:9"], target_group: {protocol: HTTP2}}
load_balancer:
  idle_timeout: 1s
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /pair}, forward: pair}
        - {when: {path: /empty}, forward: empty}
        - {when: {path: /refuses}, forward: refuses}
        - {when: {path: /fixed}, respond: {status: 200, body: short}}
        - {when: {path: /teapot}, respond: {status: 418, body: short}}
        - {when: {path: /broken}, respond: {status: 500, body: short}}
        - {when: {path: /away}, redirect: {host: q.test, status: 301}}
        - {when: {path: /long}, redirect: {host: q.test, query: "#{query}&#{query}", status: 301}}
      default: {forward: web}
    - port: ${env.PORT_TLS}
      protocol: HTTPS
      certificates: local
      rules: [{when: {path: /two}, forward: two}]
      default: {forward: web}
"""


@pytest.fixture(scope="module")
def up(rehearsal: Rehearsal) -> Iterator[Up]:
    one = rehearsal.up(FILE, admit=False)
    one.admit(*(one.register(service, name) for service, name in
                (("web", "web"), ("pair", "one"), ("pair", "two"), ("refuses", "refuses"))))  # fmt: skip
    yield one
    one.down()


@pytest.fixture
def stretch(up: Up) -> Stretch:
    """Begun when nothing is open any more."""
    Stretch(up).until(lambda now: now.of("ActiveConnectionCount") == 0, "nothing open")
    return Stretch(up)


def counts(name: str, value: float, service: str = "") -> Callable[[Figures], bool]:
    return lambda now: now.of(name, service) == value


@contextmanager
def dead(up: Up, name: str) -> Iterator[None]:
    """Nobody listens there while the block runs."""
    up.rehearsal.run(up.servers[name].kill())
    try:
        yield
    finally:
        up.rehearsal.run(up.servers[name].listen())


@fact("C2", "RequestCount: requests for which a target was chosen, of the load balancer and of each target group", "real")  # fmt: skip
def test_c2_request_count(up: Up, stretch: Stretch) -> None:
    for path in ("/", "/", "/", "/pair", "/pair", "/empty", "/fixed", "/away"):
        up.ask(path)
    now = stretch.until(counts("HTTPCode_ELB_503_Count", 1))
    now = stretch.until(counts("RequestCount", 5))
    assert {service: now.of("RequestCount", service) for service in ("web", "pair", "empty")} == {
        "web": 3, "pair": 2, "empty": 0,
    }  # fmt: skip


@fact("C2", "RequestCount has those that got 502 or 504 from the load balancer as well", "real")
def test_c2_request_count_of_failures(up: Up, stretch: Stretch) -> None:
    with dead(up, "refuses"):
        assert up.ask("/refuses").status == 502
    with up.servers["web"].doing(silence()):
        assert up.ask("/").status == 504
    stretch.until(lambda now: (now.of("RequestCount"), now.of("HTTPCode_ELB_5XX_Count")) == (2, 2))


@fact("C2", "No datapoint while no requests come", "approximated",
      "a second without requests is 0 (of response times `null`); `null` is a second of which nothing is known")  # fmt: skip
def test_c2_no_requests(up: Up, stretch: Stretch) -> None:
    now = stretch.figures()
    assert now.of("RequestCount") == now.of("RequestCount", "web") == now.of("HTTPCode_ELB_5XX_Count") == 0
    assert now.of("TargetResponseTime", statistic="p95") is None
    assert now.of("TargetResponseTime", statistic="Average") is None


@fact("C2", "Metrics have a datapoint a minute", "beyond", "one a second for an hour, and one a minute for two weeks;"
      " `--period 60` shows minutes")  # fmt: skip
def test_c2_period(up: Up, stretch: Stretch) -> None:
    up.ask()
    # `Stretch` asks about one second, without a period.
    stretch.until(counts("RequestCount", 1))


@fact("C2", "Health checks do not count", "real")
def test_c2_health_checks(up: Up, stretch: Stretch) -> None:
    server = up.servers["one"]
    before = len(server.checks)
    up.rehearsal.until(lambda: len(server.checks) > before + 2, "some checks")
    now = stretch.figures()
    for name in ("RequestCount", "HTTPCode_Target_2XX_Count", "ProcessedBytes", "TargetConnectionErrorCount"):
        assert now.of(name, "pair") == now.of(name) == 0
    assert now.of("NewConnectionCount") == 0


@fact("C2", "Dimensions: LoadBalancer, TargetGroup and AvailabilityZone", "approximated",
      "stack, service and zone, and each target by itself; of the load balancer there are no zones")  # fmt: skip
def test_c2_dimensions(up: Up, stretch: Stretch) -> None:
    for _ in range(4):
        up.ask("/pair")
    now = stretch.until(counts("RequestCount", 4))
    assert [now.of("RequestCount", "pair", target) for target in ("pair-1", "pair-2")] == [2, 2]
    assert {level for metric in METRICS for level in metric.levels} == {"stack", "service", "zone", "target"}


@fact("C2", "RequestCountPerTarget: a group's requests divided by its healthy targets", "real")
def test_c2_request_count_per_target(up: Up, stretch: Stretch) -> None:
    for _ in range(5):
        up.ask("/pair")
    stretch.until(lambda now: now.of("RequestCountPerTarget", "pair") == 2.5)
    server, target = up.servers["one"], up.target("pair", "one")
    server.health = 503
    try:
        up.until_down(target)
        assert stretch.figures().of("RequestCountPerTarget", "pair") == 5
    finally:
        server.health = 200
        up.until_up(target)


@fact("C2", "RequestCountPerTarget: divided by all that are registered when none is healthy", "real")
def test_c2_request_count_per_target_of_none(up: Up, stretch: Stretch) -> None:
    with nobody_well(up):
        for _ in range(3):
            assert up.ask("/pair").status == 200
        now = stretch.until(counts("RequestCount", 3, "pair"))
    assert now.of("RequestCountPerTarget", "pair") == 1.5


@contextmanager
def nobody_well(up: Up) -> Iterator[None]:
    """Both targets of the pair are unhealthy while the block runs."""
    for name in ("one", "two"):
        up.servers[name].health = 503
    try:
        for name in ("one", "two"):
            up.until_down(up.target("pair", name))
        yield
    finally:
        for name in ("one", "two"):
            up.servers[name].health = 200
        for name in ("one", "two"):
            up.until_up(up.target("pair", name))


@fact("C2", "HealthyHostCount and UnHealthyHostCount", "real")
def test_c2_host_counts(up: Up, stretch: Stretch) -> None:
    def hosts() -> tuple[float | None, float | None]:
        now = stretch.figures()
        return now.of("HealthyHostCount", "pair"), now.of("UnHealthyHostCount", "pair")

    assert hosts() == (2, 0)
    server, target = up.servers["two"], up.target("pair", "two")
    server.health = 503
    try:
        up.until_down(target)
        assert hosts() == (1, 1)
    finally:
        server.health = 200
        up.until_up(target)
    assert hosts() == (2, 0)
    with nobody_well(up):
        assert hosts() == (0, 2)


@fact("C2", "TargetResponseTime: seconds until the answer's headers begin (field 7 of the log), average and percentiles",
      "approximated", "a percentile may be off by less than a tenth of itself; waiting, connecting and attempts that failed are"
      " included")  # fmt: skip
def test_c2_target_response_time(up: Up, stretch: Stretch) -> None:
    log, told = Log(up), []
    for _ in range(3):
        with up.servers["web"].doing(after(0.1, ok())), up.client() as client:
            client.ask()
            told += [float(line["target_processing_time"]) for line in log.of(client)]
    now = stretch.until(counts("RequestCount", 3))
    now = stretch.until(lambda now: now.of("TargetResponseTime", statistic="p50") is not None)
    for service in ("", "web"):
        for statistic, expected in (("Average", sum(told) / 3), ("p50", sorted(told)[1]), ("p99", max(told))):
            value = now.of("TargetResponseTime", service, statistic=statistic)
            # A line has milliseconds.
            assert value is not None
            assert abs(value - expected) <= latency.ERROR * expected + 0.001


@fact("C2", "HTTPCode_Target_2XX, 3XX, 4XX, 5XX_Count: answers that targets gave", "real")
def test_c2_target_codes(up: Up, stretch: Stretch) -> None:
    for status, times in ((204, 1), (301, 2), (404, 3), (503, 4)):
        with up.servers["web"].doing(ok(status=status)):
            assert {up.ask().status for _ in range(times)} == {status}
    now = stretch.until(counts("RequestCount", 10))
    now = stretch.until(counts("HTTPCode_Target_5XX_Count", 4))
    for service in ("", "web"):
        found = [now.of(f"HTTPCode_Target_{digit}XX_Count", service) for digit in (2, 3, 4, 5)]
        assert found == [1, 2, 3, 4]
    assert not [name for name in now.some() if name.startswith("HTTPCode_ELB")]


OWN = ("3XX", "4XX", "5XX", "500", "502", "503", "504")


def own(now: Figures) -> dict[str, float]:
    """What the balancer answered itself, where it did."""
    found = {code: now.of(f"HTTPCode_ELB_{code}_Count") for code in OWN}
    return {code: value for code, value in found.items() if value}


@fact("C2", "HTTPCode_ELB_3XX_Count and HTTP_Redirect_Count: redirects of rules", "real")
def test_c2_redirects(up: Up, stretch: Stretch) -> None:
    assert [up.ask("/away").status for _ in range(2)] == [301, 301]
    now = stretch.until(counts("HTTP_Redirect_Count", 2))
    assert own(now) == {"3XX": 2}
    assert (now.of("HTTP_Fixed_Response_Count"), now.of("RequestCount")) == (0, 0)


@fact("C2", "HTTP_Fixed_Response_Count: fixed responses of rules, whatever their status", "real")
def test_c2_fixed_responses(up: Up, stretch: Stretch) -> None:
    assert [up.ask(path).status for path in ("/fixed", "/teapot", "/broken")] == [200, 418, 500]
    now = stretch.until(counts("HTTP_Fixed_Response_Count", 3))
    assert (now.of("HTTP_Redirect_Count"), now.of("RequestCount")) == (0, 0)


@fact("C2", "HTTPCode_ELB_4XX, 5XX and 500_Count have fixed responses with such a status as well", "real")
def test_c2_codes_of_fixed_responses(up: Up, stretch: Stretch) -> None:
    assert [up.ask(path).status for path in ("/teapot", "/broken")] == [418, 500]
    assert own(stretch.until(counts("HTTP_Fixed_Response_Count", 2))) == {"4XX": 1, "5XX": 1, "500": 1}


@fact("C2", "HTTPCode_ELB_4XX_Count: requests that the load balancer refused or could not read", "real")
def test_c2_own_4xx(up: Up, stretch: Stretch, rehearsal: Rehearsal) -> None:
    assert tell(up.port(), b"nonsense\r\n\r\n").status == 400
    assert up.ask(host=None).status == 400
    assert up.ask(method="TRACE").status == 405
    assert up.ask("/", [("X-Forwarded-For", ", ".join(["10.0.0.1"] * 31))]).status == 463
    assert up.ask("/two", port="PORT_TLS", tls=rehearsal.trust()).status == 464
    with up.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Unfini")
        assert client.answer().status == 408
    assert own(stretch.until(counts("HTTPCode_ELB_4XX_Count", 6))) == {"4XX": 6}


@fact("C2", "HTTPCode_ELB_4XX_Count has clients that left before their answer (460)", "approximated",
      "as the access log (C1, field 9): what the target says to them counts, or 504; 4XX only when their connection was"
      " seen to be reset")  # fmt: skip
def test_c2_clients_that_left(up: Up, stretch: Stretch) -> None:
    web = up.servers["web"]
    late = Held(ok())
    with web.doing(late):
        with up.client() as client:
            client.send(request("/left"))
            up.rehearsal.until(lambda: web.heard and web.last.target == "/left", "the request at the target")
        up.rehearsal.run(late.let_go())
        now = stretch.until(counts("HTTPCode_Target_2XX_Count", 1))
    assert own(now) == {}


@fact("C2", "HTTPCode_ELB_502, 503, 504 and 5XX_Count: no target, or none that answers", "real")
def test_c2_own_5xx(up: Up, stretch: Stretch) -> None:
    assert up.ask("/empty").status == 503
    with up.servers["web"].doing(hangs_up()):
        assert [up.ask(method=method).status for method in ("GET", "POST")] == [502, 502]
    with up.servers["web"].doing(silence()):
        assert up.ask().status == 504
    with dead(up, "refuses"):
        assert up.ask("/refuses").status == 502
    now = stretch.until(counts("HTTPCode_ELB_5XX_Count", 5))
    assert own(now) == {"5XX": 5, "502": 3, "503": 1, "504": 1}
    assert now.of("HTTPCode_Target_5XX_Count") == 0


@fact("C2", "HTTPCode_ELB_5XX_Count is of a load balancer, not of a target group", "beyond",
      "also of a service: the answers given because none of its targets did; nothing turns it off")  # fmt: skip
def test_c2_own_5xx_of_a_service(up: Up, stretch: Stretch) -> None:
    assert up.ask("/empty").status == 503
    with up.servers["web"].doing(hangs_up()):
        assert up.ask().status == 502
    now = stretch.until(counts("HTTPCode_ELB_5XX_Count", 2))
    assert [now.of("HTTPCode_ELB_5XX_Count", name) for name in ("empty", "web", "pair")] == [1, 1, 0]


@fact("C2", "TargetConnectionErrorCount: connections to targets that failed", "real")
def test_c2_target_connection_errors(up: Up, stretch: Stretch) -> None:
    with dead(up, "refuses"):
        assert [up.ask("/refuses", method="POST").status for _ in range(2)] == [502, 502]
    now = stretch.until(counts("TargetConnectionErrorCount", 2))
    assert now.of("TargetConnectionErrorCount", "refuses") == now.of("TargetConnectionErrorCount", "refuses", "refuses-1") == 2  # fmt: skip
    with up.servers["web"].doing(hangs_up()):
        assert up.ask(method="POST").status == 502
    assert stretch.until(counts("HTTPCode_ELB_502_Count", 3)).of("TargetConnectionErrorCount") == 2


@fact("C2", "A request is sent once, so that no metric tells of a second attempt", "beyond",
      "RetriedRequestCount tells how often a GET was sent again, which RequestCount counts once; `retry: off`")  # fmt: skip
def test_c2_retried_requests(up: Up, stretch: Stretch) -> None:
    failed: list[Received] = []

    async def fails_once(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        failed.append(received)
        return await (hangs_up() if len(failed) == 1 else ok())(received, reader, writer)

    with up.servers["one"].doing(fails_once), up.servers["two"].doing(fails_once):
        assert up.ask("/pair").status == 200
    now = stretch.until(counts("RetriedRequestCount", 1))
    now = stretch.until(counts("HTTPCode_Target_2XX_Count", 1))
    assert (len(failed), now.of("RequestCount"), now.of("RequestCount", "pair")) == (2, 1, 1)
    assert own(now) == {}


@fact("C2", "NewConnectionCount: connections that clients opened, and those to targets", "real")
def test_c2_new_connections(up: Up, stretch: Stretch) -> None:
    web = up.servers["web"]
    before = web.connections
    for _ in range(3):
        with up.client() as client:
            client.ask()
            client.ask()
    with web.doing(hangs_up()):
        up.ask()
    up.ask()
    opened = web.connections - before
    assert opened >= 2, "what the target closed is opened anew"
    stretch.until(counts("NewConnectionCount", 5 + opened))


@fact("C2", "ActiveConnectionCount: connections that are open, to clients and to targets", "approximated",
      "how many at a moment, not a sum; those to targets that nobody uses just then are left out")  # fmt: skip
def test_c2_active_connections(up: Up, stretch: Stretch) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(up.client()) for _ in range(3)]
        for client in clients:
            assert websocket(client).status == 101
        idle: list[Client] = []

        def are_open(now: Figures) -> bool:
            # Not silent, since the idle timeout would end them.
            assert [client.send(b"x").read(1) for client in clients] == [b"x"] * 3
            assert [client.ask().status for client in idle] == [200] * len(idle)
            return now.of("ActiveConnectionCount") == 6 + len(idle)

        stretch.until(are_open)
        idle.append(opened.enter_context(up.client()))
        stretch.until(are_open)
    stretch.until(counts("ActiveConnectionCount", 0))


@fact("C2", "RejectedConnectionCount: connections refused because the load balancer was at its limit", "approximated",
      "they wait until others end, and count")  # fmt: skip
def test_c2_rejected_connections(up: Up, stretch: Stretch, rehearsal: Rehearsal) -> None:
    def limit(number: int) -> int:
        current = rehearsal.world.balancer._keeper.current
        assert current is not None
        said = rehearsal.run(current.runtime.ask("show info"))
        rehearsal.run(current.runtime.ask(f"set maxconn global {number}"))
        return int(next(line for line in said.splitlines() if line.startswith("Maxconn:")).split(":")[1])

    usual = limit(2)
    try:
        with ExitStack() as opened:
            clients = [opened.enter_context(up.client()) for _ in range(4)]
            for client in clients:
                client.send(request(headers=[("Connection", "close")]))
            assert [client.answer().status for client in clients] == [200] * 4
    finally:
        limit(usual)
    now = stretch.until(lambda now: now.of("RejectedConnectionCount"), "those that had to wait")
    assert now.of("RequestCount") == 4


@fact("C2", "ProcessedBytes: headers and bodies, in both directions", "approximated",
      "counted as in fields 11 and 12 of the log (C1); of a service: to and from its targets")  # fmt: skip
def test_c2_processed_bytes(up: Up, stretch: Stretch) -> None:
    logged, log = 0, Log(up)
    for target, body in (("/", b""), ("/", b"x" * 30_000), ("/pair", b""), ("/fixed", b"")):
        with up.servers["web"].doing(ok(b"y" * 50_000)), up.client() as client:
            client.ask(target, method="POST", body=body)
            logged += sum(int(line["received_bytes"]) + int(line["sent_bytes"]) for line in log.of(client))
    now = stretch.until(counts("ProcessedBytes", logged))
    web = now.of("ProcessedBytes", "web")
    assert web is not None
    assert 130_000 < web < 133_000
    assert now.of("ProcessedBytes", "empty") == 0


@fact("C2", "ProcessedBytes has what goes through WebSockets, while they last", "real")
def test_c2_processed_bytes_of_a_websocket(up: Up, stretch: Stretch) -> None:
    log = Log(up)
    with up.client() as client:
        websocket(client)
        for _ in range(10):
            assert len(client.send(b"x" * 1000).read(1000)) == 1000

        def is_counted(now: Figures) -> bool:
            # Not silent, since the idle timeout would end it.
            assert client.send(b"y").read(1) == b"y"
            return (now.of("ProcessedBytes") or 0) > 20_000

        stretch.until(is_counted)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ends()
        [line] = log.of(client)
    stretch.until(counts("ProcessedBytes", int(line["received_bytes"]) + int(line["sent_bytes"])))


@fact("C2", "WebSockets count once, as a request; 101 has no HTTPCode_Target metric", "real")
def test_c2_websockets(up: Up, stretch: Stretch) -> None:
    with up.client() as client:
        websocket(client)
        now = stretch.until(counts("RequestCount", 1))
        assert now.of("OutstandingRequestCount") == now.of("OutstandingRequestCount", "web") == 1
        assert not [name for name in now.some() if name.startswith("HTTPCode")]


LACKING = {
    "consumed capacity": ("ConsumedLCUs", "PeakLCUs", "ReservedLCUs", "CapacityUtilization"),
    "rules": ("RuleEvaluations", "HTTP_Redirect_Url_Limit_Exceeded_Count"),
    "TLS": ("TargetTLSNegotiationErrorCount", "ClientTLSNegotiationErrorCount"),
    "requests by kind": (
        "DesyncMitigationMode_NonCompliant_Request_Count", "DroppedInvalidHeaderRequestCount",
        "ForwardedInvalidHeaderRequestCount", "NonStickyRequestCount", "AppCookieNonStickinessCount",
        "IPv6ProcessedBytes", "IPv6RequestCount", "GrpcRequestCount", "UnhealthyRoutingRequestCount",
    ),
    "health by zone": (
        "HealthyStateDNS", "HealthyStateRouting", "UnhealthyStateDNS", "UnhealthyStateRouting",
        "AnomalousHostCount", "MitigatedHostCount",
    ),
    "what fairlead has not": (
        "LowReputationPacketsDropped", "LowReputationRequestsDenied", "ExcessiveLowReputationPackets", "LambdaUserError",
        "LambdaInternalError", "LambdaTargetProcessedBytes", "ELBAuthError", "ELBAuthFailure", "ELBAuthSuccess",
        "ELBAuthLatency", "ELBAuthRefreshTokenSuccess", "ELBAuthUserClaimsSizeExceeded",
    ),
}  # fmt: skip
"""Metrics of `AWS/ApplicationELB` that there are not here."""


def lacks(*kinds: str) -> None:
    assert not [name for kind in kinds for name in LACKING[kind] if name in BY_NAME]


@fact("C2", "ConsumedLCUs, PeakLCUs, ReservedLCUs, CapacityUtilization", "absent", "nothing is billed")  # fmt: skip
def test_c2_no_capacity_units() -> None:
    lacks("consumed capacity")


@fact("C2", "RuleEvaluations, HTTP_Redirect_Url_Limit_Exceeded_Count", "absent",
      "the log tells each request's rule, and 507 where a redirect's URL is too long")  # fmt: skip
def test_c2_no_rule_evaluations(up: Up, stretch: Stretch) -> None:
    lacks("rules")
    with up.client() as client:
        assert client.ask(f"/long?{'x' * 5000}").status == 507
        [line] = Log(up).of(client)
    assert (line["elb_status_code"], line["matched_rule_priority"]) == ("507", "8")
    assert stretch.until(counts("HTTPCode_ELB_5XX_Count", 1)).of("HTTP_Redirect_Count") == 0


@fact("C2", "ClientTLSNegotiationErrorCount, TargetTLSNegotiationErrorCount", "absent",
      "a handshake that fails is a new connection and nothing else")  # fmt: skip
def test_c2_no_handshakes(up: Up, stretch: Stretch) -> None:
    lacks("TLS")
    # Nor does a handshake that fails count as anything else but a connection.
    with up.client("PORT_TLS") as client, pytest.raises((Closed, ValueError, ssl.SSLError)):
        client.ask()
    now = stretch.until(counts("NewConnectionCount", 1))
    assert own(now) == {}


@fact("C2", "Counts of requests by kind: not compliant, dropped headers, not sticky, IPv6, gRPC, fail-open", "absent",
      "the access log tells class, address and type of each request")  # fmt: skip
def test_c2_no_kinds_of_requests() -> None:
    lacks("requests by kind")


@fact("C2", "HealthyStateDNS, HealthyStateRouting and their opposites; AnomalousHostCount, MitigatedHostCount",
      "absent", "`fairlead status` tells the health of each target")  # fmt: skip
def test_c2_no_health_of_zones() -> None:
    lacks("health by zone")


@fact("C2", "Metrics of Lambda targets, of authentication, of clients of low reputation", "absent",
      "fairlead has no such thing")  # fmt: skip
def test_c2_no_metrics_of_what_is_not_there() -> None:
    lacks("what fairlead has not")


@fact("C2", "Metrics of the namespace AWS/ApplicationELB keep their names", "real")
def test_c2_names() -> None:
    named = {metric.name for metric in METRICS if metric.origin == "ApplicationELB"}
    assert named == {
        "RequestCount", "RequestCountPerTarget", "TargetResponseTime", "HealthyHostCount", "UnHealthyHostCount",
        "TargetConnectionErrorCount", "ActiveConnectionCount", "NewConnectionCount", "RejectedConnectionCount",
        "ProcessedBytes", "HTTP_Fixed_Response_Count", "HTTP_Redirect_Count",
        *(f"HTTPCode_Target_{digit}XX_Count" for digit in (2, 3, 4, 5)), *(f"HTTPCode_ELB_{code}_Count" for code in OWN),
    }  # fmt: skip
