"""A6: the headers that targets get."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.client import Client, Headers, tell
from tests.conformance.facts import fact
from tests.conformance.rehearsal import Rehearsal, Up
from tests.conformance.servers import Received
from tests.needs import need

pytestmark = pytest.mark.live

FILE = """\
name: headers
services:
  web: {targets: ["${env.web}"]}
load_balancer:
  listeners: [{port: "${env.PORT}", default: {forward: web}}]
"""

ROOT = "1-67891233-abcdef012345678912345678"
FIELD = r"1-[0-9a-f]{8}-[0-9a-f]{24}"


def variant(name: str, line: str) -> str:
    return FILE.replace("name: headers", f"name: {name}").replace("load_balancer:\n", f"load_balancer:\n  {line}\n")


@pytest.fixture(scope="module")
def preserving(rehearsal: Rehearsal) -> Iterator[Up]:
    one = rehearsal.up(variant("preserving", "forwarded_for: preserve"))
    yield one
    one.down()


@pytest.fixture(scope="module")
def removing(rehearsal: Rehearsal) -> Iterator[Up]:
    one = rehearsal.up(variant("removing", "forwarded_for: remove"))
    yield one
    one.down()


@pytest.fixture(scope="module")
def normalising(rehearsal: Rehearsal) -> Iterator[Up]:
    one = rehearsal.up(variant("normalising", "preserve_host: false"))
    yield one
    one.down()


def may_have(address: str, port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((address, port))
        except OSError:
            return False
    return True


def seen(up: Up, headers: Headers = (), **more: Any) -> Received:
    """What the target got."""
    assert up.ask("/", headers, **more).status == 200
    return up.servers["web"].last


FORWARDED = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Port", "99")]
NAMES = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port")


@fact("A6", "X-Forwarded-For, mode append: the client's address", "real")
def test_a6_forwarded_for_is_the_client(up: Up) -> None:
    assert seen(up, source="127.0.0.9").one("x-forwarded-for") == "127.0.0.9"


@fact("A6", "X-Forwarded-For, mode append: what came, a comma, the client's address", "real")
def test_a6_forwarded_for_is_appended(up: Up) -> None:
    got = seen(up, [("X-Forwarded-For", "203.0.113.7, 198.51.100.2")], source="127.0.0.9")
    assert got.one("x-forwarded-for") == "203.0.113.7, 198.51.100.2, 127.0.0.9"


@fact("A6", "X-Forwarded-For in several headers: all of them, and the client's address last", "real")
def test_a6_several_forwarded_for_headers(up: Up) -> None:
    got = seen(up, [("X-Forwarded-For", "203.0.113.7"), ("x-forwarded-for", "198.51.100.2")])
    assert ", ".join(got.all("x-forwarded-for")) == "203.0.113.7, 198.51.100.2, 127.0.0.1"


@fact("A6", "X-Forwarded-For, mode preserve: as it came, and absent when it was", "real")
def test_a6_forwarded_for_is_preserved(preserving: Up) -> None:
    assert seen(preserving, FORWARDED).one("x-forwarded-for") == "203.0.113.7"
    assert seen(preserving).one("x-forwarded-for") is None


@fact("A6", "X-Forwarded-Proto and -Port, modes preserve and remove: as in mode append", "approximated",
      "`forwarded_for` holds for all three: they pass as they came, or are removed")  # fmt: skip
def test_a6_forwarded_proto_and_port_follow_the_mode(preserving: Up, removing: Up) -> None:
    got = seen(preserving, FORWARDED)
    assert [got.one(name) for name in NAMES] == ["203.0.113.7", "gopher", "99"]
    assert [seen(preserving).one(name) for name in NAMES] == [None] * 3
    assert [seen(removing, FORWARDED).one(name) for name in NAMES] == [None] * 3


@fact("A6", "X-Forwarded-For, mode remove: no target gets it", "real")
def test_a6_forwarded_for_is_removed(removing: Up) -> None:
    assert seen(removing, FORWARDED).one("x-forwarded-for") is None
    assert seen(removing).one("x-forwarded-for") is None


@fact("A6", "X-Forwarded-For of a client with an IPv6 address has no brackets", "real")
def test_a6_forwarded_for_of_ipv6(bring_up: Callable[..., Up]) -> None:
    up = bring_up(variant("six", 'address: "::1"'))
    with Client(up.port(), host="::1") as client:
        assert client.ask().status == 200
    assert up.servers["web"].last.one("x-forwarded-for") == "::1"


@fact("A6", "X-Forwarded-For with more than 30 addresses is answered with 463", "real")
def test_a6_more_than_30_forwarders_are_463(up: Up) -> None:
    def status(count: int, per_header: int) -> int:
        addresses = [f"10.0.0.{n}" for n in range(count)]
        parts = [addresses[n : n + per_header] for n in range(0, count, per_header)]
        return up.ask("/", [("X-Forwarded-For", ", ".join(part)) for part in parts]).status

    assert (status(30, 30), status(31, 31)) == (200, 463)
    assert (status(30, 7), status(31, 7)) == (200, 463)


@fact("A6", "X-Forwarded-Proto is that of the client's connection, whatever it sent", "real")
def test_a6_forwarded_proto_is_replaced(up: Up) -> None:
    assert seen(up, FORWARDED).one("x-forwarded-proto") == "http"


@fact("A6", "X-Forwarded-Port is the listener's, whatever the client sent", "real")
def test_a6_forwarded_port_is_replaced(up: Up) -> None:
    assert seen(up, FORWARDED).one("x-forwarded-port") == str(up.port())


def trace(up: Up, *values: str) -> str:
    got = seen(up, [("X-Amzn-Trace-Id", value) for value in values]).one("x-amzn-trace-id")
    assert got is not None
    return got


@fact("A6", "X-Amzn-Trace-Id: a request without one gets Root=1-TIME-ID", "real")
def test_a6_a_trace_begins(up: Up) -> None:
    match = re.fullmatch(r"Root=1-([0-9a-f]{8})-[0-9a-f]{24}", first := trace(up))
    assert match, first
    assert abs(int(match[1], 16) - time.time()) < 5
    assert trace(up) != first


@fact("A6", "X-Amzn-Trace-Id: one with Root gets Self before it, and Root stays", "real")
def test_a6_a_trace_goes_on(up: Up) -> None:
    assert re.fullmatch(f"Self={FIELD};Root={ROOT}", trace(up, f"Root={ROOT}"))


@fact("A6", "X-Amzn-Trace-Id: fields of others stay", "real")
def test_a6_other_fields_of_a_trace_stay(up: Up) -> None:
    assert re.fullmatch(f"Self={FIELD};Root={ROOT};CalledFrom=app", trace(up, f"Root={ROOT};CalledFrom=app"))


@fact("A6", "X-Amzn-Trace-Id: Self is replaced", "real")
def test_a6_self_of_a_trace_is_replaced(up: Up) -> None:
    old = "1-11111111-222222222222222222222222"
    got = trace(up, f"Self={old};Root={ROOT};CalledFrom=app")
    assert re.fullmatch(f"Self={FIELD};Root={ROOT};CalledFrom=app", got)
    assert old not in got
    behind = trace(up, f"Root={ROOT};Self={old}")
    assert old not in behind
    assert f"Root={ROOT}" in behind
    assert behind.count("Self=") == 1


@fact("A6", "X-Amzn-Trace-Id: fields without Root are kept behind a new Root", "approximated", "they are dropped")
def test_a6_a_trace_without_root_begins_anew(up: Up) -> None:
    assert re.fullmatch(f"Root={FIELD}", trace(up, "CalledFrom=app"))


@fact("A6", "X-Amzn-Trace-Id is set on requests, never added to a response", "real")
def test_a6_a_response_has_no_trace(up: Up) -> None:
    assert up.ask().one("x-amzn-trace-id") is None


@fact("A6", "X-Amzn-Trace-Id is rewritten to a new Root when the headers exceed 7 KB", "real")
def test_a6_a_trace_with_long_headers(up: Up) -> None:
    got = seen(up, [("X-Amzn-Trace-Id", f"Root={ROOT}"), ("X-Filler", "x" * 8000)]).one("x-amzn-trace-id")
    assert re.fullmatch(f"Root={FIELD}", got or "")


@fact("A6", "Host, preserved: untouched, with its case and its port", "real")
def test_a6_a_preserved_host_is_untouched(up: Up) -> None:
    for host in ("Example.COM", "example.com:80", "example.com:1234", "localhost"):
        assert seen(up, host=host).one("host") == host


@fact("A6", "Host, preserved: several are all kept", "approximated", "such a request is answered with 400")
def test_a6_several_hosts(up: Up) -> None:
    assert tell(up.port(), b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n").status == 400


@fact("A6", "Host, not preserved: lower case", "real")
def test_a6_a_normalised_host_is_lower_case(normalising: Up) -> None:
    assert (seen(normalising, host="Example.COM:1234").one("host") or "").startswith("example.com")


@fact(
    "A6", "Host, not preserved, listener on another port than 80 and 443: `:PORT` is appended if it is absent", "real"
)
def test_a6_a_normalised_host_gets_the_port(normalising: Up) -> None:
    port = normalising.port()
    assert seen(normalising, host="example.com").one("host") == f"example.com:{port}"
    assert seen(normalising, host="example.com:1234").one("host") == "example.com:1234"


@fact("A6", "Host, not preserved, listener on port 80 or 443: any port is cut", "real")
def test_a6_a_normalised_host_loses_its_port_on_80(bring_up: Callable[..., Up]) -> None:
    need(may_have("127.0.0.80", 80), "port 80 of 127.0.0.80 is taken, or not for this user")
    up = bring_up(variant("eighty", "preserve_host: false\n  address: 127.0.0.80"), env={"PORT": "80"})
    for sent in ("Example.com", "example.com:80", "example.com:1234"):
        with Client(80, host="127.0.0.80") as client:
            assert client.ask(host=sent).status == 200
        assert up.servers["web"].last.one("host") == "example.com"


@fact("A6", "Host: that of an absolute request URI wins, unless Host is preserved", "approximated",
      "when the two differ, the request is answered with 400")  # fmt: skip
def test_a6_an_absolute_uri(up: Up, normalising: Up) -> None:
    same = b"GET http://dns-name.test/index.html HTTP/1.1\r\nHost: dns-name.test\r\n\r\n"
    other = b"GET http://dns-name.test/index.html HTTP/1.1\r\nHost: example.com\r\n\r\n"
    for one in (up, normalising):
        assert tell(one.port(), same).status == 200
        assert (one.servers["web"].last.one("host") or "").startswith("dns-name.test")
        assert tell(one.port(), other).status == 400


@fact("A6", "HTTP/1.0 without Host gets the name of the load balancer", "approximated", "its address and port")
def test_a6_http_1_0_without_host(up: Up) -> None:
    assert tell(up.port(), b"GET /old HTTP/1.0\r\n\r\n").status == 200
    assert up.servers["web"].last.one("host") == f"127.0.0.1:{up.port()}"


@fact("A6", "Expect: 100-continue is answered with 100 at once, and not passed on", "approximated",
      "it is passed on, and the target decides: its 100 comes back, or its refusal before the body was sent")  # fmt: skip
def test_a6_expect_is_answered_by_the_target(up: Up) -> None:
    with up.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        client.send(b"body")
        assert client.answer().status == 200
    got = up.servers["web"].last
    assert (got.body, got.one("expect")) == (b"body", "100-continue")


@fact("A6", "Connection: close of a client closes its connection, and not the target's", "real")
def test_a6_the_clients_wish_for_its_connection(up: Up) -> None:
    with up.client() as client:
        assert client.ask("/", [("Connection", "close")]).one("connection") == "close"
        assert client.ends()
    mine = up.servers["web"].last
    assert "close" not in mine.all("connection")
    assert seen(up).connection == mine.connection


@fact(
    "A6",
    "A header over several lines is not supported",
    "approximated",
    "its lines are joined by blanks, and it passes",
)
def test_a6_a_folded_header(up: Up) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-Folded: one\r\n two\r\nX-Next: 3\r\n\r\n"
    assert tell(up.port(), raw).status == 200
    got = up.servers["web"].last
    assert re.fullmatch(r"one\s+two", got.one("x-folded") or "")
    assert got.one("x-next") == "3"


@fact(
    "A6", "The names of an HTTP/1.1 client's headers keep their case", "approximated", "targets get names in lower case"
)
def test_a6_case_of_header_names(up: Up) -> None:
    got = seen(up, [("X-MiXeD", "Value"), ("accept-LANGUAGE", "De")])
    assert {("x-mixed", "Value"), ("accept-language", "De")} <= set(got.headers)


@fact("A6", "Forwarded and Via are not added", "real")
def test_a6_no_forwarded_and_no_via(up: Up) -> None:
    got, answer = seen(up), up.ask()
    for name in ("forwarded", "via"):
        assert got.one(name) is None
        assert answer.one(name) is None


@fact("A6", "Every other header passes as it is", "real")
def test_a6_other_headers_pass(up: Up) -> None:
    sent = [
        ("Cookie", "a=1; b=2"),
        ("Range", "bytes=0-9"),
        ("If-None-Match", '"x"'),
        ("Authorization", "Basic eA=="),
        ("X-Empty", ""),
    ]
    got = seen(up, sent)
    assert {name: got.one(name) for name, _ in sent} == dict(sent)
