"""What a listener adds, changes, refuses and closes, asked of a real HAProxy. One runs for all of these tests."""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h2.events
import pytest

from fairlead.core.model import Listener, LoadBalancerAttributes, Opening, forward_to
from fairlead.haproxy.pages import page
from tests.conformance.http2 import Http2Client, http2_context
from tests.haproxy.apps import free_port
from tests.haproxy.builders import TOKEN, a_group, a_routing, a_rule
from tests.haproxy.configurations import certificate
from tests.haproxy.ground import PATIENCE, Client, Reply, serving, told, wire

pytestmark = pytest.mark.live

SECRET = "token-of-the-opening"

STACKS: dict[str, dict[str, Any]] = {
    "usual": {},
    "kept": {"forwarded_for": "preserve"},
    "removed": {"forwarded_for": "remove"},
    "strict": {"desync_mitigation": "strictest", "drop_invalid_headers": True},
    "lenient": {"desync_mitigation": "monitor"},
    "normal": {"preserve_host": False},
    "aged": {"client_keep_alive": 2.0},
    "silent": {"idle_timeout": 0.3},
}
"""One stack with a port of its own for each; the first four share another, too, by host."""

SHARING = ("usual", "kept", "removed", "strict", "normal")


@dataclass(frozen=True)
class House:
    """Where everything listens."""

    ports: dict[str, int]

    def client(self, name: str = "usual") -> Client:
        tls = None
        if name == "https":
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        return Client(self.ports[name], tls=tls)

    def ask(self, name: str, *args: Any, **fields: Any) -> Reply:
        with self.client(name) as client:
            return client.ask(wire(*args, **fields))

    def seen(self, name: str, *headers: tuple[str, str], **fields: Any) -> dict[str, list[str]]:
        """The headers that the target got."""
        return told(self.ask(name, headers=[("Host", "test"), *headers], **fields))[2]


@pytest.fixture(scope="module")
def house(haproxy: str) -> Iterator[House]:
    ports = {name: free_port() for name in (*STACKS, "shared", "https", "https strict", "opening")}
    routings = []
    for name, changes in STACKS.items():
        listeners = [Listener(port=ports[name], default=forward_to("web"))]
        if name in SHARING:
            rules = (a_rule("web", hosts=(f"{name}.test",)),)
            listeners.append(Listener(port=ports["shared"], default=None, rules=rules))
        if name == "usual":
            opening = Opening(service="web", instance="web-1", digest=hashlib.sha256(SECRET.encode()).hexdigest())
            listeners.append(Listener(port=ports["https"], default=forward_to("web"), protocol="HTTPS"))
            listeners.append(Listener(port=ports["opening"], default=None, opening=opening))
        if name == "strict":
            listeners.append(Listener(port=ports["https strict"], default=forward_to("web"), protocol="HTTPS"))
        routings.append(a_routing(stack=name, listeners=tuple(listeners), attributes=LoadBalancerAttributes(**changes)))
    with serving(haproxy, routings, certificate=certificate()):
        yield House(ports)


FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port")


@pytest.mark.parametrize(
    ("mode", "sent", "expected"),
    [
        ("usual", (), (["127.0.0.1"], ["http"], "port")),
        ("usual", (("X-Forwarded-For", "1.1.1.1"),), (["1.1.1.1, 127.0.0.1"], ["http"], "port")),
        ("usual", (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2")), (["1.1.1.1", "2.2.2.2", "127.0.0.1"], ["http"], "port")),
        ("usual", (("X-Forwarded-Proto", "ftp"), ("X-Forwarded-Port", "1")), (["127.0.0.1"], ["http"], "port")),
        ("kept", (), (None, None, None)),
        ("kept", (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "ftp")), (["1.1.1.1"], ["ftp"], None)),
        ("removed", (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "ftp"), ("X-Forwarded-Port", "1")), (None, None, None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shared", [False, True])
def test_where_a_request_came_from_is_told_as_its_stack_wants_it(
    house: House, mode: str, sent: tuple[tuple[str, str], ...], expected: tuple[Any, ...], shared: bool
) -> None:
    port = "shared" if shared else mode
    headers = told(house.ask(port, headers=[("Host", f"{mode}.test"), *sent]))[2]
    wanted = [[str(house.ports[port])] if one == "port" else one for one in expected]
    assert [headers.get(name) for name in FORWARDED] == wanted


def test_behind_https_the_scheme_is_https(house: House) -> None:
    headers = house.seen("https")
    assert [headers[name] for name in FORWARDED] == [["127.0.0.1"], ["https"], [str(house.ports["https"])]]


ROOT = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}"
SELF = r"Self=1-[0-9a-f]{8}-[0-9a-f]{24}"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((), ROOT),
        (("Root=1-2-3",), f"{SELF};Root=1-2-3"),
        (("Root=1-2-3;CalledFrom=app",), f"{SELF};Root=1-2-3;CalledFrom=app"),
        (("Self=1-9-9;Root=1-2-3;CalledFrom=app",), f"{SELF};Root=1-2-3;CalledFrom=app"),
        (("Root=1-2-3; Self=1-9-9",), f"{SELF};Root=1-2-3"),
        (("Root=1-2-3;MySelf=1",), f"{SELF};Root=1-2-3;MySelf=1"),
        (("CalledFrom=app",), ROOT),
        (("NoRoot=1",), ROOT),
    ],
)
def test_a_trace_that_came_is_continued_and_any_other_request_begins_one(
    house: House, sent: tuple[str, ...], expected: str
) -> None:
    headers = house.seen("usual", *(("X-Amzn-Trace-Id", one) for one in sent))
    (trace,) = headers["x-amzn-trace-id"]
    assert re.fullmatch(expected, trace)


def test_no_two_requests_get_the_same_trace(house: House) -> None:
    with house.client() as client:
        traces = {told(client.ask(wire()))[2]["x-amzn-trace-id"][0].rpartition("-")[2] for _ in range(50)}
    assert len(traces) == 50
    assert len({trace[at : at + 8] for trace in traces for at in (0, 8, 16)}) > 140, "of three parts each is drawn anew"


def test_a_trace_among_more_than_7_kilobytes_of_headers_begins_anew(house: House) -> None:
    (trace,) = house.seen("usual", ("X-Amzn-Trace-Id", "Root=1-2-3"), ("X-Big", "b" * 7200))["x-amzn-trace-id"]
    assert re.fullmatch(ROOT, trace)


@pytest.mark.parametrize(
    ("mode", "host", "expected"),
    [("usual", "H.Test", "H.Test"), ("usual", "H.Test:99", "H.Test:99"), ("normal", "H.Test", "h.test:PORT"),
     ("normal", "H.Test:99", "h.test:99"), ("normal", "[::1]", "[::1]:PORT")],
)  # fmt: skip
def test_the_host_is_sent_as_it_came_or_normalised(house: House, mode: str, host: str, expected: str) -> None:
    headers = told(house.ask(mode, headers=[("Host", host)]))[2]
    assert headers["host"] == [expected.replace("PORT", str(house.ports[mode]))]


def test_a_client_of_http_1_0_without_a_host_asks_for_the_address(house: House) -> None:
    answer = house.ask("usual", headers=[], version="HTTP/1.0")
    assert told(answer)[2]["host"] == [f"127.0.0.1:{house.ports['usual']}"]


def test_header_names_that_are_not_alphanumeric_reach_the_target_unless_dropped(house: House) -> None:
    sent = (("X_A", "1"), ("X.B", "2"), ("X-C", "3"), ("X!", "4"))
    assert set(house.seen("usual", *sent)) >= {"x_a", "x.b", "x-c", "x!"}
    assert set(house.seen("strict", *sent)) & {"x_a", "x.b", "x-c", "x!"} == {"x-c"}


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (405, wire("TRACE")),
        (405, wire("CONNECT", "test:443")),
        (400, wire(target="case")),
        (400, wire("OPTIONS", "case")),
        (400, wire("OPTIONS", "@evil.test/a")),
        (400, wire("OPTIONS", "*/a")),
        (400, wire("POST", headers=[("Host", "a"), ("Transfer-Encoding", "chunked")], version="HTTP/1.0")),
        (400, wire(headers=[])),
        (463, wire(headers=[("Host", "a"), ("X-Forwarded-For", ", ".join(["1.1.1.1"] * 31))])),
        (505, wire(version="HTTP/1.2")),
        (505, wire(version="HTTP/2.0")),
    ],
)
def test_what_no_target_may_see_is_answered_with_an_alb_s_page(house: House, status: int, request_: bytes) -> None:
    with house.client() as client:
        answer = client.ask(request_)
        assert answer.status == status
        assert answer.body.decode() == page(status)
        assert (answer.header("server"), answer.header("content-type")) == ("fairlead", "text/html")
        if status != 463:
            assert client.ends()
        else:
            assert client.ask(wire()).status == 200


def test_a_client_cannot_say_who_it_is_by_a_name_that_a_program_takes_for_another(house: House) -> None:
    forged = [("X_Forwarded_For", "6.6.6.6"), ("X-Forwarded_Proto", "https"), ("x_forwarded-port", "1")]
    for mode in ("usual", "strict", "kept", "removed"):
        assert not {name for name in house.seen(mode, *forged) if "_" in name}


def test_a_client_cannot_have_the_balancers_headers_dropped_by_who_reads_them_next(house: House) -> None:
    for mode, sent in (
        ("usual", "close, X-Forwarded-For"),
        ("lenient", "x-amzn-trace-id"),
        ("usual", "upgrade,X-FORWARDED-PROTO"),
    ):
        headers = house.seen(mode, ("Connection", sent))
        assert "x-" not in str(headers.get("connection")).lower()
        assert headers["x-forwarded-for"] == ["127.0.0.1"]
    assert house.seen("usual", ("Connection", "Keep-Alive, Te"), ("TE", "trailers"))["connection"] == ["Te"]


@pytest.mark.parametrize("target", ["*", "http://test"])
def test_options_of_the_whole_server_pass(house: House, target: str) -> None:
    assert told(house.ask("usual", "OPTIONS", target))[1] == f"OPTIONS {target} HTTP/1.1"


def test_thirty_addresses_are_not_too_many(house: House) -> None:
    thirty = ", ".join(["1.1.1.1"] * 30)
    assert house.seen("usual", ("X-Forwarded-For", thirty))["x-forwarded-for"] == [f"{thirty}, 127.0.0.1"]


AMBIGUOUS = {
    "a length on GET": [("Content-Length", "1")],
    "a coding on GET": [("Transfer-Encoding", "chunked")],
    "a name like Content-Length": [("Content_Length", "1")],
    "a name like Transfer-Encoding": [("Transfer_Encoding", "chunked")],
}
ACCEPTABLE = {"a length of zero on GET": [("Content-Length", "0")], "bytes beyond ASCII": [("X-A", "\xe4")],
              "a control character": [("X-A", "a\x01b")]}  # fmt: skip
BODY = {"Content-Length": b"x", "Transfer-Encoding": b"0\r\n\r\n"}


@pytest.mark.parametrize("case", [*AMBIGUOUS, *ACCEPTABLE])
@pytest.mark.parametrize("mode", ["usual", "lenient", "strict"])
def test_what_two_programs_may_read_differently(house: House, mode: str, case: str) -> None:
    """aws-semantics A9: allowed; allowed, and both connections closed; blocked."""
    headers = {**AMBIGUOUS, **ACCEPTABLE}[case]
    body = BODY.get(headers[0][0], b"") if headers[0][1] != "0" else b""
    with house.client(mode) as client:
        answer = client.ask(wire(headers=[("Host", "a"), *headers]) + body)
        if mode == "strict":
            assert (answer.status, answer.body.decode()) == (400, page(400))
        else:
            assert answer.status == 200
            told_to_close = told(answer)[2].get("connection") == ["close"]
            assert told_to_close is (mode == "usual" and case in AMBIGUOUS)
        if mode == "strict" or (mode == "usual" and case in AMBIGUOUS):
            assert answer.header("connection") == "close"
            assert client.ends()
        else:
            assert client.ask(wire()).status == 200


def http2(house: House, port: str = "https") -> Http2Client:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return Http2Client(house.ports[port], http2_context(tls))


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
def test_a_body_that_http_2_does_not_announce_ends_the_targets_connection(house: House, waits: bool) -> None:
    """Else a target that takes none on a GET would read it as the next client's request."""
    for port in ("https", "https strict"):
        with http2(house, port) as client:
            assert b"connection: close" not in client.ask("/").body
            stream = client.wire.get_next_available_stream_id()
            pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/")]
            client.wire.send_headers(stream, pseudo)
            if not waits:
                client.wire.send_data(stream, b"abc", end_stream=True)
            client.client.send(client.wire.data_to_send())
            status, body = early_answer(client, stream)
            assert status == (400 if port == "https strict" else 200)
            assert (b"connection: close" in body) is (port == "https")


def early_answer(client: Http2Client, stream: int) -> tuple[int, bytes]:
    """Also one that comes before its request is complete; then the stream is reset behind it."""
    with suppress(EOFError):
        return (answer := client.finish(stream)).status, answer.body
    events = client._events[stream]
    (head,) = (dict(one.headers) for one in events if isinstance(one, h2.events.ResponseReceived))
    return int(head[b":status"]), b"".join(one.data for one in events if isinstance(one, h2.events.DataReceived))


@pytest.mark.parametrize(
    "headers",
    [
        [(":path", "admin")], [(":path", "")], [(":path", "/a b")], [(":path", "/a\0")], [(":path", "/a#b")], [(":path", "http://h/")],
        [(":authority", "a@h")], [(":authority", "h/x")], [("X-Upper", "1")], [("connection", "close")], [("keep-alive", "1")],
        [("transfer-encoding", "chunked")], [("te", "gzip")], [("upgrade", "websocket")], [("proxy-connection", "1")],
        [("content-length", "5")], [("content-length", "0"), ("content-length", "1")], [("a:b", "1")], [("a b", "1")], [(":odd", "1")],
    ],
    ids=str,
)  # fmt: skip
def test_what_http_2_does_not_allow_reaches_no_target(house: House, headers: list[tuple[str, str]]) -> None:
    pseudo = {":method": "GET", ":scheme": "https", ":authority": "h", ":path": "/"}
    pseudo |= {name: value for name, value in headers if name in pseudo}
    rest = [(name, value) for name, value in headers if name not in pseudo]
    with http2(house) as client:
        stream = client.wire.get_next_available_stream_id()
        client.wire.send_headers(stream, [*pseudo.items(), *rest], end_stream=True)
        client.client.send(client.wire.data_to_send())
        with pytest.raises(EOFError):
            client.finish(stream)


def test_a_host_beside_the_authority_of_http_2_counts_for_nobody(house: House) -> None:
    with http2(house) as client:
        seen = client.ask("/", [("host", "other.test")], authority="shown.test").body
    assert b"\r\nhost: shown.test\r\n" in seen
    assert b"other.test" not in seen


def test_a_connection_that_is_old_ends_with_its_next_response(house: House) -> None:
    with house.client("aged") as client:
        assert client.ask(wire()).header("connection") == ""
        deadline = time.monotonic() + PATIENCE
        while (said := client.ask(wire()).header("connection")) == "" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert said == "close"
        assert client.ends()


def test_a_client_that_is_silent_is_let_go_after_the_idle_time(house: House) -> None:
    with house.client("silent") as client:
        assert client.ask(wire()).status == 200
        assert client.ends()


def test_the_token_opens_the_way_to_one_instance_and_stays_at_the_door(house: House) -> None:
    name = f"FAIRLEAD_OPEN_{house.ports['opening']}"
    for headers in ([], [("X-Fairlead-Open", "wrong")], [("Cookie", f"{name}=wrong")]):
        refused = house.ask("opening", headers=[("Host", "h"), *headers])
        assert (refused.status, refused.body.decode()) == (403, page(403))
    assert house.ask("opening", target="/?fairlead-open=wrong").status == 403
    for target, rest in (
        (f"/a?fairlead-open={SECRET}", "/a"),
        (f"/a?x=1&fairlead-open={SECRET}", "/a?x=1"),
        (f"/a?fairlead-open={SECRET}&y=2", "/a?y=2"),
        (f"/a?x=1&fairlead-open={SECRET}&y=2", "/a?x=1&y=2"),
        (f"//evil.test/?fairlead-open={SECRET}", "//evil.test/"),
    ):
        answer = house.ask("opening", target=target, headers=[("Host", "h:1")])
        assert (answer.status, answer.header("location")) == (302, f"http://h:1{rest}")
        assert answer.header("set-cookie") == f"{name}={SECRET}; HttpOnly; SameSite=Strict; Path=/"
    for shown, left in (
        (("X-Fairlead-Open", SECRET), None),
        (("Cookie", f"{name}={SECRET}"), None),
        (("Cookie", f"a=1; {name}={SECRET}"), ["a=1"]),
        (("Cookie", f"{name}={SECRET}; b=2"), ["b=2"]),
        (("Cookie", f"a=1; {name}={SECRET}; b=2"), ["a=1; b=2"]),
    ):
        for method in ("GET", "POST"):
            got = house.ask("opening", method, headers=[("Host", "h"), shown])
            group, _, headers_seen = told(got)
            assert (group, headers_seen.get("cookie")) == ("usual.web", left)
            assert SECRET not in got.body.decode()


TOKENS = f"FAIRLEAD_OPEN_8080={SECRET}"
OTHERS = f"FAIRLEAD_OPEN_8081={SECRET}2"


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ([TOKENS], None),
        ([f"{TOKENS}; {OTHERS}; {TOKENS}"], None),
        ([f"a=1; {TOKENS}; {OTHERS};b=2"], ["a=1;b=2"]),
        ([f"{OTHERS}; a=1"], ["a=1"]),
        (["a=1", "", "b=2"], ["a=1", "", "b=2"]),
        # Nothing that a browser writes, and nothing of it gets through.
        (["a=1", TOKENS], None),
        ([f"a=1,{TOKENS}"], None),
        ([TOKENS.replace("=", " = ")], None),
        ([f"a=1; x{TOKENS}"], None),
    ],
)
@pytest.mark.parametrize("port", ["usual", "shared", "https", "opening"])
def test_no_program_at_any_port_gets_the_token_of_an_opening(
    house: House, port: str, sent: list[str], left: list[str] | None
) -> None:
    """A browser sends a cookie to every port of an address."""
    host = "usual.test" if port == "shared" else "h"
    shown = [("X-Fairlead-Open", SECRET), *(("Cookie", one) for one in sent)]
    answer = house.ask(port, headers=[("Host", host), *shown])
    assert told(answer)[2].get("cookie") == left
    assert SECRET not in answer.body.decode()


def test_the_cookie_of_an_opening_is_the_token_that_was_judged(house: House) -> None:
    both = f"/?fairlead-open=wrong&fairlead-open={SECRET}"
    assert house.ask("opening", target=both).status == 403
    turned = house.ask("opening", target=f"/?fairlead-open={SECRET}&fairlead-open=wrong")
    assert (turned.status, turned.header("set-cookie").split(";")[0].partition("=")[2]) == (302, SECRET)


def test_only_the_owners_token_tells_who_answered(house: House) -> None:
    for token, expected in ((TOKEN, "web-1"), ("other", "")):
        answer = house.ask("usual", headers=[("Host", "h"), ("X-Fairlead-Check", token)])
        assert answer.header("x-fairlead-instance") == expected
        assert "x-fairlead-check" not in told(answer)[2]


def test_a_protocol_that_a_group_does_not_speak_is_answered_464(haproxy: str) -> None:
    port = free_port()
    groups = (a_group(protocol="HTTP2"),)
    with serving(haproxy, [a_routing(port, groups=groups)]), Client(port) as client:
        answer = client.ask(wire())
        assert (answer.status, answer.body.decode()) == (464, page(464))


def test_a_listener_for_both_families_tells_plain_ipv4_addresses(haproxy: str) -> None:
    port = free_port()
    listener = Listener(port=port, default=forward_to("web"), address="::")
    with serving(haproxy, [a_routing(listeners=(listener,))]):
        for address in ("127.0.0.1", "::1"):
            with Client(port, address) as client:
                assert told(client.ask(wire()))[2]["x-forwarded-for"] == [address]


def test_a_group_without_targets_is_answered_with_an_alb_s_page(haproxy: str) -> None:
    port = free_port()
    with serving(haproxy, [a_routing(port, groups=(a_group(),))], targets=False), Client(port) as client:
        answer = client.ask(wire())
        assert (answer.status, answer.body.decode()) == (503, page(503))
        assert (answer.header("server"), answer.header("content-length")) == ("fairlead", "162")
