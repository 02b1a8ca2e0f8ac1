"""What an app is told of the client, the scheme and the server: the balancer's own headers, whatever the client sent."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.releases.runner import UNKNOWN, asgi_forwarded, forwarded, wsgi_forwarded

ADDRESSES = [
    ("", (UNKNOWN, 0)),
    ("203.0.113.9", ("203.0.113.9", 0)),
    ("6.6.6.6, 203.0.113.9", ("203.0.113.9", 0)),
    ("6.6.6.6,2001:db8::1", ("2001:db8::1", 0)),
    ("203.0.113.9:4711", ("203.0.113.9", 4711)),
    ("[2001:db8::1]:4711", ("2001:db8::1", 4711)),
    ("[2001:db8::1]", ("2001:db8::1", 0)),
    ("[2001:db8::1", ("2001:db8::1", 0)),
    ("203.0.113.9:http", ("203.0.113.9", 0)),
    ("203.0.113.9:99999", ("203.0.113.9", 0)),
    ("203.0.113.9,", (UNKNOWN, 0)),
    ("unknown", (UNKNOWN, 0)),
    ("_hidden, for=1.2.3.4", (UNKNOWN, 0)),
    ("fe80::1%<script>", (UNKNOWN, 0)),
    ("1.2.3.4\x00", (UNKNOWN, 0)),
    ("\ud800\u00b2", (UNKNOWN, 0)),
    ("1" * 10_000, (UNKNOWN, 0)),
    ("1.2.3.4, " * 1_000 + "203.0.113.9", ("203.0.113.9", 0)),
]


@pytest.mark.parametrize(("header", "client"), ADDRESSES, ids=lambda value: str(value)[:24].encode("ascii", "replace"))
def test_the_client_is_the_rightmost_entry_when_that_is_an_address(header: str, client: tuple[str, int]) -> None:
    assert forwarded(header, "", "", "")[0] == client


@pytest.mark.parametrize(
    ("header", "scheme"),
    [
        ("https", "https"),
        ("http", "http"),
        ("https, http", "http"),
        ("http,https", "https"),
        ("HTTPS", "https"),
        ("wss", "https"),
        ("ws", "http"),
        ("", "http"),
        ("gopher", "http"),
        ("https,", "http"),
        ("https://", "http"),
        ("https" * 2_000, "http"),
    ],
)
def test_the_scheme_is_http_unless_the_rightmost_entry_says_https(header: str, scheme: str) -> None:
    assert forwarded("", header, "", "")[1] == scheme


@pytest.mark.parametrize(
    ("proto", "port", "host", "server"),
    [
        ("http", "8080", "shop.test:8080", ("shop.test", 8080)),
        ("https", "8443", "shop.test", ("shop.test", 8443)),
        # The port that was asked, not the one that something before the balancer was reached by.
        ("http", "8080", "shop.test:80", ("shop.test", 8080)),
        ("http", "99, 8080", "shop.test", ("shop.test", 8080)),
        ("http", "", "shop.test:81", ("shop.test", 81)),
        ("http", "", "shop.test", ("shop.test", 80)),
        ("https", "", "shop.test", ("shop.test", 443)),
        ("https", "0", "shop.test:", ("shop.test", 443)),
        ("http", "\u00b2", "[2001:db8::1]:81", ("2001:db8::1", 81)),
        ("http", "70000", "a.test:70000", ("a.test", 80)),
        ("http", "1" * 10_000, "a.test", ("a.test", 80)),
        ("http", "", "", ("localhost", 80)),
        ("http", "", "a.test, b.test", ("localhost", 80)),
        ("http", "", "a.test/x?y", ("localhost", 80)),
        ("http", "", "[::1", ("localhost", 80)),
        ("http", "", "[:::]", ("localhost", 80)),
        ("http", "", "a.test\n", ("localhost", 80)),
        ("http", "", "a" * 10_000, ("localhost", 80)),
    ],
)
def test_the_server_has_the_name_of_host_and_the_port_of_the_listener(
    proto: str, port: str, host: str, server: tuple[str, int]
) -> None:
    assert forwarded("", proto, port, host)[2] == server


PIECES = ["https", "http", "ws", "1.2.3.4", "::1", "[", "]", ":", ",", " ", "8080", "\0", "\u00b2", "%", "a.test", "\n"]
HOSTILE = st.text() | st.lists(st.sampled_from(PIECES)).map("".join)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_whatever_is_sent_an_address_a_scheme_and_ports_come_out(client: str, proto: str, port: str, host: str) -> None:
    (address, its_port), scheme, (name, own_port) = forwarded(client, proto, port, host)
    ipaddress.ip_address(address)
    assert scheme == ("https" if proto.rpartition(",")[2].strip().lower() in ("https", "wss") else "http")
    assert (0 <= its_port < 65536, 0 < own_port < 65536) == (True, True)
    assert name in ("localhost", host) or host.lstrip("[").startswith(name)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), HOSTILE)
def test_nothing_before_the_balancers_own_entry_counts(address: Any, claimed: str) -> None:
    assert forwarded(f"{claimed}, {address}", "", "", "")[0] == (str(address), 0)


# --- the three interfaces ---------------------------------------------------------------------------------------------

SENT = {"X-Forwarded-For": "6.6.6.6, 2001:db8::9", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"}
"""With Host [::1]:8443."""


def test_wsgi_gets_them_in_its_environ() -> None:
    environ = {"REMOTE_ADDR": "", "wsgi.url_scheme": "http", "SERVER_NAME": "/http.sock", "SERVER_PORT": "0"}
    environ["HTTP_HOST"] = "[::1]:8443"
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in SENT.items()}
    wsgi_forwarded(lambda environ, start_response: [])(environ, None)
    told = [environ[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT")]
    assert told == ["2001:db8::9", "https", "[::1]", "8443"]


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss")])
def test_asgi_gets_them_in_its_scope(kind: str, scheme: str) -> None:
    scope: dict[str, Any] = {"type": kind, "client": ("", "0"), "scheme": "http", "server": ("/http.sock", "0")}
    scope["headers"] = [(b"host", b"[::1]:8443"), *((key.lower().encode(), SENT[key].encode()) for key in SENT)]
    asgi_forwarded(lambda scope, receive, send: None)(scope, None, None)
    assert (scope["client"], scope["scheme"], scope["server"]) == (("2001:db8::9", 0), scheme, ("::1", 8443))


def test_of_several_header_lines_the_last_one_counts() -> None:
    first, last = "6.6.6.6, https, 1", "203.0.113.9, http, 8080"
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port")
    lines = [
        (name, value.encode()) for line in (first, last) for name, value in zip(names, line.split(", "), strict=True)
    ]
    scope: dict[str, Any] = {"type": "http", "headers": lines}
    asgi_forwarded(lambda scope, receive, send: None)(scope, None, None)
    assert (scope["client"], scope["scheme"], scope["server"]) == (("203.0.113.9", 0), "http", ("localhost", 8080))


def test_bytes_that_are_no_text_are_a_client_that_is_not_known() -> None:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"x-forwarded-for", b"\xff\xfe"), (b"host", b"\x80")]}
    asgi_forwarded(lambda scope, receive, send: None)(scope, None, None)
    assert (scope["client"], scope["server"]) == ((UNKNOWN, 0), ("localhost", 80))


def test_lifespan_passes_untouched() -> None:
    seen: list[Any] = []
    asgi_forwarded(lambda scope, receive, send: seen.append(scope))({"type": "lifespan"}, None, None)
    assert seen == [{"type": "lifespan"}]
