"""A7: connections, limits, protocols."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from tests.conformance.client import Client, ask, request, tell, websocket
from tests.conformance.facts import fact
from tests.conformance.http2 import GRPC, Http2Client, Http2Server, answers_before_goaway, http2_context
from tests.conformance.rehearsal import Rehearsal, Up, refusal_of, stack_of
from tests.conformance.servers import hangs_up, ok, says

pytestmark = pytest.mark.live

FILE = """\
name: connections
services:
  web: {targets: ["${env.web}"]}
  pair: {targets: ["${env.one}", "${env.two}"]}
  alone: {targets: ["${env.three}", "${env.four}"], target_group: {retry: off}}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /pair}, forward: pair}
        - {when: {path: /alone}, forward: alone}
      default: {forward: web}
    - {port: "${env.PORT_TLS}", protocol: HTTPS, certificates: local, default: {forward: web}}
"""

MATRIX = """\
name: matrix
services:
  web: {targets: ["${env.plain}"]}
  two: {targets: ["${env.two}"], target_group: {protocol: HTTP2}}
  call: {targets: ["${env.call}"], target_group: {protocol: GRPC}, health_check: {matcher: "0"}}
load_balancer:
  listeners:
    - port: ${env.PORT}
      protocol: HTTPS
      certificates: local
      rules:
        - {when: {path: "/two*"}, forward: two}
        - {when: {path: "/call*"}, forward: call}
      default: {forward: web}
"""

BIG = 5_000_000


@pytest.fixture(scope="module")
def tls(rehearsal: Rehearsal) -> ssl.SSLContext:
    return http2_context(rehearsal.trust())


@pytest.fixture(scope="module")
def matrix(rehearsal: Rehearsal) -> Iterator[tuple[Up, dict[str, Http2Server]]]:
    """Targets that speak HTTP/1.1, HTTP/2 and gRPC behind one listener."""
    servers = {name: rehearsal.run(Http2Server(name).listen()) for name in ("two", "call")}
    up = rehearsal.up(MATRIX, env={name: server.address for name, server in servers.items()})
    yield up, servers
    up.down()
    for server in servers.values():
        rehearsal.run(server.kill())


def path_of(length: int) -> str:
    return "/" + "x" * (length - 1)


@fact("A7", "The request line may have 16 K, a header 16 K, all headers 64 K", "approximated",
      "15 K for line and headers together (HAProxy's buffer of 16 K, less 1 K that it keeps free)")  # fmt: skip
def test_a7_limits_of_a_request_head(up: Up) -> None:
    assert up.ask(path_of(14_500)).status == 200
    assert up.ask("/", [("X-Long", "x" * 14_500)]).status == 200
    assert up.ask("/", [(f"X-{n}", "x" * 100) for n in range(120)]).status == 200
    for refused in (request(path_of(16_400)), request("/", [("X-Long", "x" * 16_400)])):
        assert tell(up.port(), refused).status == 400


@fact("A7", "A request may have any number of header lines within 64 K", "approximated", "about 250 of them")
def test_a7_number_of_header_lines(up: Up) -> None:
    assert up.ask("/", [(f"X-{n}", "") for n in range(240)]).status == 200
    assert up.ask("/", [(f"X-{n}", "") for n in range(260)]).status == 400


@fact("A7", "All headers of a response may have 32 K", "approximated", "15 K; more is a 502")
def test_a7_limit_of_response_headers(up: Up) -> None:
    with up.servers["web"].doing(ok(b"fits", f"X-Long: {'x' * 14_000}")):
        assert up.ask().text == "fits"
    with up.servers["web"].doing(ok(b"does not", f"X-Long: {'x' * 33_000}")):
        assert up.ask().status == 502


@fact("A7", "Bodies of requests and responses have no limit", "real")
def test_a7_bodies_have_no_limit(up: Up) -> None:
    body = bytes(range(256)) * (BIG // 256)
    with up.servers["web"].doing(ok(body)):
        assert up.ask(method="POST", body=body).body == body
    assert up.servers["web"].last.body == body


@fact("A7", "Clients may speak HTTP/1.0 and HTTP/1.1", "real")
def test_a7_http_1_0_and_1_1(up: Up) -> None:
    with up.client() as client:
        assert client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").answer().text == "web"
        assert client.ends()
    with up.client() as client:
        assert client.ask().text == "web"
        assert client.ask().text == "web"


@fact("A7", "Clients may speak HTTP/0.9", "approximated", "it is answered with 400")
def test_a7_http_0_9(up: Up) -> None:
    assert tell(up.port(), b"GET /\r\n\r\n").status == 400


@fact("A7", "HTTP/2 is spoken on HTTPS listeners only: in the clear its preface is refused", "real")
def test_a7_no_http2_in_the_clear(up: Up) -> None:
    assert tell(up.port(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").status in (400, 505)
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    assert up.ask("/", upgrade).status == 200


@fact("A7", "HTTPS listeners speak HTTP/2 and HTTP/1.1, as the client asks for (ALPN)", "real")
def test_a7_http2_on_tls(rehearsal: Rehearsal, up: Up, tls: ssl.SSLContext) -> None:
    with Http2Client(up.port("PORT_TLS"), tls) as client:
        assert client.alpn == "h2"
        assert client.ask("/a").body == b"web"
    assert up.servers["web"].last.line == "GET /a HTTP/1.1"
    assert ask(up.port("PORT_TLS"), "/b", tls=rehearsal.trust()).text == "web"


@fact("A7", "HTTPS listeners take TLS 1.2 and 1.3, nothing older", "real")
def test_a7_versions_of_tls(rehearsal: Rehearsal, up: Up) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = rehearsal.trust()
        context.minimum_version = context.maximum_version = version
        assert ask(up.port("PORT_TLS"), tls=context).text == "web"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(up.port("PORT_TLS"), tls=old)


@fact("A7", "X-Forwarded-Proto and -Port behind an HTTPS listener: https and its port", "real")
def test_a7_forwarded_headers_behind_tls(rehearsal: Rehearsal, up: Up) -> None:
    ask(up.port("PORT_TLS"), tls=rehearsal.trust())
    got = up.servers["web"].last
    assert got.one("x-forwarded-proto") == "https"
    assert got.one("x-forwarded-port") == str(up.port("PORT_TLS"))


@fact("A7", "An HTTP/2 connection may have 128 streams at once", "real")
def test_a7_128_streams(up: Up, tls: ssl.SSLContext) -> None:
    with Http2Client(up.port("PORT_TLS"), tls) as client:
        client.ask()
        assert client.settings[0x3] == 128


@fact("A7", "HTTP/2: requests on one connection run side by side, each an HTTP/1.1 request of its own", "real")
def test_a7_streams_run_side_by_side(up: Up, tls: ssl.SSLContext) -> None:
    with Http2Client(up.port("PORT_TLS"), tls) as client:
        streams = [client.start(f"/stream/{n}") for n in range(20)]
        assert [client.finish(stream).body for stream in reversed(streams)] == [b"web"] * 20
    assert {f"/stream/{n}" for n in range(20)} == {one.target for one in up.servers["web"].heard[-20:]}


@fact("A7", "HTTP/2: after 10,000 requests a connection is ended (GOAWAY)", "real")
def test_a7_many_requests_on_an_http2_connection(up: Up, tls: ssl.SSLContext) -> None:
    with Client(up.port("PORT_TLS"), tls=tls, sni="localhost") as client:
        assert 9_900 <= answers_before_goaway(client, pace=100) <= 10_200


@fact("A7", "Pipelining is accepted from clients, and never used toward targets", "real")
def test_a7_pipelining(up: Up) -> None:
    before = len(up.servers["web"].heard)
    with up.client() as client:
        client.send(b"".join(request(f"/{n}") for n in range(5)))
        assert [client.answer().text for _ in range(5)] == ["web"] * 5
    assert [one.target for one in up.servers["web"].heard[before:]] == [f"/{n}" for n in range(5)]


@fact("A7", "Connections to targets are kept, and shared by clients", "approximated",
      "for GET, HEAD and OPTIONS; other methods get a connection of their own, so that none is lost or sent twice "
      "(`unsafe_methods: pooled` shares all)")  # fmt: skip
def test_a7_connections_to_targets_are_shared(up: Up) -> None:
    server = up.servers["web"]
    assert up.ask().status == 200
    before = server.connections
    for _ in range(5):
        assert up.ask().status == 200
        assert server.last.connection <= before
    posts = set()
    for _ in range(3):
        assert up.ask(method="POST", body=b"x").status == 200
        posts.add(server.last.connection)
    assert len(posts) == 3


@fact("A7", "A target ends the reuse of its connection with Connection: close", "real")
def test_a7_a_target_may_close_its_connection(up: Up) -> None:
    with (
        up.servers["web"].doing(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye", closes=True)
        ),
        up.client() as client,
    ):
        assert client.ask().text == "bye"
        first = up.servers["web"].last.connection
        assert client.ask().text == "bye"
    assert up.servers["web"].last.connection != first


@fact("A7", "A target's answer without a length ends with its connection", "real")
def test_a7_an_answer_until_the_connection_ends(up: Up) -> None:
    with up.servers["web"].doing(says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", closes=True)):
        assert up.ask().body == b"until the end"


@fact("A7", "A response that a target streams passes as it comes", "real")
def test_a7_a_stream_passes_as_it_comes(up: Up) -> None:
    server = up.servers["web"]
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.doing(says(begun + b"9\r\ndata: 1\n\n\r\n")), up.client() as client:
        client.send(request("/events"))
        head = client.until(b"\r\n\r\n")  # the answer is not complete: nothing ends it
        assert b"text/event-stream" in head
        assert client.until(b"data: 1\n\n") == b"9\r\n"
    with up.client() as client:
        assert client.ask().status == 200


@fact("A7", "A failed attempt is not tried on another target", "beyond",
      "GET, HEAD and OPTIONS whose answer has not begun go to another target; `retry: off` turns it off")  # fmt: skip
def test_a7_a_get_is_tried_on_another_target(up: Up) -> None:
    with up.servers["one"].doing(hangs_up()):
        assert {up.ask("/pair").text for _ in range(6)} == {"two"}
    with up.servers["three"].doing(hangs_up()):
        statuses = [up.ask("/alone").status for _ in range(6)]
    assert sorted(statuses) == [200, 200, 200, 502, 502, 502]


@fact("A7", "A request of another method is never tried on another target", "real")
def test_a7_a_post_is_never_sent_twice(up: Up) -> None:
    one, two = up.servers["one"], up.servers["two"]
    before = len(one.heard) + len(two.heard)
    with one.doing(hangs_up()), two.doing(hangs_up()):
        assert [up.ask("/pair", method="POST", body=b"pay").status for _ in range(4)] == [502] * 4
    assert len(one.heard) + len(two.heard) == before + 4


@fact("A7", "WebSockets work by HTTP/1.1 Upgrade on HTTP and HTTPS listeners", "real")
def test_a7_websockets(rehearsal: Rehearsal, up: Up) -> None:
    for port, context in (("PORT", None), ("PORT_TLS", rehearsal.trust())):
        with Client(up.port(port), tls=context) as client:
            answer = websocket(client)
            assert (answer.status, answer.one("sec-websocket-accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            assert client.send(b"to and fro").read(10) == b"to and fro"


@fact("A7", "A WebSocket belongs to the target that answered 101", "real")
def test_a7_a_websocket_has_one_target(up: Up) -> None:
    with up.client() as first, up.client() as second:
        assert [websocket(one, "/pair").status for one in (first, second)] == [101, 101]
        for _ in range(5):
            assert first.send(b"1").read(1) == b"1"
            assert second.send(b"2").read(1) == b"2"


@fact("A7", "A target may refuse a WebSocket with any other status", "real")
def test_a7_a_refused_websocket(up: Up) -> None:
    with up.servers["web"].doing(ok(b"no", status=403)), up.client() as client:
        assert websocket(client).status == 403
        assert client.ask().status == 403


@fact("A7", "HTTP/1.1 to a target group of HTTP/1.1", "real")
def test_a7_matrix_http1_to_http1(matrix: tuple[Up, dict[str, Http2Server]], rehearsal: Rehearsal) -> None:
    assert matrix[0].ask("/", tls=rehearsal.trust()).text == "plain"


@fact("A7", "HTTP/1.1 to a target group of HTTP/2 or gRPC: 464", "real")
def test_a7_matrix_http1_to_http2(matrix: tuple[Up, dict[str, Http2Server]], rehearsal: Rehearsal) -> None:
    for path in ("/two", "/call"):
        assert matrix[0].ask(path, method="POST", tls=rehearsal.trust()).status == 464


@fact("A7", "HTTP/2 to a target group of HTTP/1.1", "real")
def test_a7_matrix_http2_to_http1(matrix: tuple[Up, dict[str, Http2Server]], tls: ssl.SSLContext) -> None:
    with Http2Client(matrix[0].port(), tls) as client:
        assert client.ask("/").body == b"plain"


@fact("A7", "HTTP/2 to a target group of HTTP/2", "real")
def test_a7_matrix_http2_to_http2(matrix: tuple[Up, dict[str, Http2Server]], tls: ssl.SSLContext) -> None:
    up, servers = matrix
    with Http2Client(up.port(), tls) as client:
        assert client.ask("/two?x").body == b"two"
        assert client.ask("/two", method="POST", body=b"x" * 16_000).body == b"two"
    assert servers["two"].heard[-2][":path"] == "/two?x"


@fact("A7", "HTTP/2 to a target group of gRPC: POST only, else 464", "real")
def test_a7_matrix_http2_to_grpc(matrix: tuple[Up, dict[str, Http2Server]], tls: ssl.SSLContext) -> None:
    with Http2Client(matrix[0].port(), tls) as client:
        assert client.ask("/call").status == 464
        assert client.ask("/call", method="POST", body=b"x").status == 200


@fact("A7", "gRPC to a target group of HTTP/1.1: 464", "real")
def test_a7_matrix_grpc_to_http1(matrix: tuple[Up, dict[str, Http2Server]], tls: ssl.SSLContext) -> None:
    call = [("content-type", GRPC), ("te", "trailers")]
    with Http2Client(matrix[0].port(), tls) as client:
        assert client.ask("/", call, method="POST", body=b"\0\0\0\0\0").status == 464


@fact("A7", "gRPC to a target group of HTTP/2 or gRPC, with its trailers", "real")
def test_a7_matrix_grpc_to_grpc(matrix: tuple[Up, dict[str, Http2Server]], tls: ssl.SSLContext) -> None:
    call = [("content-type", "application/grpc+proto"), ("te", "trailers")]
    with Http2Client(matrix[0].port(), tls) as client:
        for path in ("/two", "/call"):
            answer = client.ask(path, call, method="POST", body=b"\0\0\0\0\0")
            assert (answer.status, answer.body, answer.one("grpc-status")) == (200, b"\0\0\0\0\2hi", "0")


@fact("A7", "Target groups of HTTP/2 and gRPC need an HTTPS listener", "real",
      message="which is reached from HTTPS only")  # fmt: skip
def test_a7_http2_groups_need_https(message: str) -> None:
    for protocol in ("HTTP2", "GRPC"):
        file = f"""\
name: plain
services: {{web: {{targets: ["127.0.0.1:9"], target_group: {{protocol: {protocol}}}}}}}
load_balancer: {{listeners: [{{port: 8080, default: {{forward: web}}}}]}}
"""
        assert message in refusal_of(file)
        stack_of(file.replace("port: 8080,", "port: 8443, protocol: HTTPS, certificates: local,"))
