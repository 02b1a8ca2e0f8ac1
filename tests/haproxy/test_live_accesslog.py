"""The access log's line, field by field, as a real HAProxy writes it. One runs for nearly all of these tests."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.core.model import Conditions as When
from fairlead.core.model import Listener, LoadBalancerAttributes, Opening, Redirect, Respond, Rule, forward_to
from fairlead.core.traffic import Routing, Target
from fairlead.haproxy.accessline import group_arn, id_of
from fairlead.haproxy.servers import Member
from tests.conformance.http2 import Http2Client, http2_context
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_check, a_group, a_routing, a_rule
from tests.haproxy.configurations import certificate
from tests.haproxy.ground import PATIENCE, Client, Mirror, serving, wire
from tests.haproxy.test_live_relay import Connection
from tests.haproxy.worlds import RealWorld, admit

pytestmark = pytest.mark.live

SECRET = "token-of-the-opening"

FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')

NAMES = [
    "type",
    "time",
    "elb",
    "client",
    "target",
    "request_time",
    "target_time",
    "response_time",
    "status",
    "target_status",
    "received",
    "sent",
    "request",
    "agent",
    "cipher",
    "protocol",
    "group",
    "trace",
    "domain",
    "certificate",
    "rule",
    "created",
    "actions",
    "redirect",
    "error",
    "targets",
    "statuses",
    "class",
    "reason",
    "connection",
    "host",
    "uri",
    "transform",
    "instance",
    "retries",
    "ended",
]

MICROSECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
TRACE = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}"


def trusting() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


@dataclass
class House:
    """Where everything listens, and what is logged."""

    folder: str
    ports: dict[str, int]
    mirrors: dict[str, Mirror]
    seen: dict[str, int] = field(default_factory=dict)

    def client(self, name: str, address: str = "127.0.0.1") -> Client:
        return Client(self.ports[name], address, tls=trusting() if name == "https" else None)

    def lines(self, log: str, count: int = 1) -> list[str]:
        """What was logged since this was asked before: as many lines, and no more."""
        path, deadline = Path(self.folder, log), time.monotonic() + PATIENCE
        while True:
            text = path.read_bytes()[self.seen.get(log, 0) :].decode("latin-1")
            if text.count("\n") >= count and text.endswith("\n"):
                break
            assert time.monotonic() < deadline, f"{log} has only {text!r}"
            time.sleep(0.01)
        self.seen[log] = self.seen.get(log, 0) + len(text)
        found = text.removesuffix("\n").split("\n")
        assert len(found) == count, found
        return found

    def line(self, log: str = "shop") -> dict[str, str]:
        """The one line, by field; each has all of them."""
        [line] = self.lines(log)
        parts = [quoted or bare for quoted, bare in FIELD.findall(line)]
        assert len(parts) == len(NAMES), line
        return dict(zip(NAMES, parts, strict=True))

    def ask(self, name: str, request: bytes, log: str = "shop", address: str = "127.0.0.1") -> dict[str, str]:
        with self.client(name, address) as client:
            client.ask(request)
        return self.line(log)


UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n"
)


def upgrading(path: str = "/socket") -> bytes:
    headers = (("Host", "test"), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="))  # fmt: skip
    return wire(target=path, headers=headers)


def routings_of(ports: dict[str, int]) -> list[Routing]:
    quick = LoadBalancerAttributes(idle_timeout=1.0)
    opening = Opening(service="web", instance="web-1", digest=hashlib.sha256(SECRET.encode()).hexdigest())
    rules = (
        Rule(when=When(paths=("/fixed",)), then=Respond(status=418, body="short")),
        Rule(when=When(paths=("/away",)), then=Redirect(status=301, host="x.test", query='a="b')),
        *(a_rule(name, paths=(f"/{name}",)) for name in ("gone", "closing", "silent", "unix", "empty")),
    )
    return [
        a_routing(
            attributes=quick,
            listeners=(
                Listener(port=ports["plain"], default=forward_to("web")),
                Listener(port=ports["six"], default=forward_to("web"), address="::1"),
                Listener(port=ports["both"], default=forward_to("web"), address="::"),
                Listener(port=ports["https"], default=forward_to("web"), protocol="HTTPS"),
                Listener(port=ports["opening"], default=None, opening=opening),
            ),
        ),
        a_routing(
            stack="multi", attributes=quick,
            listeners=(Listener(port=ports["multi"], default=None, rules=(*rules, a_rule("unix", hosts=("named.test",)))),),
            # Unasked, so that a target is still there when it has been tried in vain.
            groups=tuple(
                a_group(name=name, health_check=a_check(enabled=False))
                for name in ("gone", "closing", "silent", "unix", "empty")
            ),
        ),
        *(
            a_routing(
                stack=name, attributes=LoadBalancerAttributes(access_log=name != "quiet"),
                listeners=(Listener(port=ports["shared"], default=None, rules=(a_rule("web", hosts=(f"{name}.test",)),)),),
            )
            for name in ("loud", "quiet")
        ),
        a_routing(
            stack="off", attributes=LoadBalancerAttributes(access_log=False),
            listeners=(Listener(port=ports["off"], default=forward_to("web")),),
        ),
    ]  # fmt: skip


class Socket(Mirror):
    """The same on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("unix")
        self.close()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()


@pytest.fixture(scope="module")
def house(haproxy: str) -> Iterator[House]:
    names = ("plain", "six", "both", "https", "opening", "multi", "shared", "off")
    ports = {name: free_port() for name in names}
    mirrors: dict[str, Mirror] = {}
    with tempfile.TemporaryDirectory(prefix="fl-a-") as folder:
        socketed = Socket(f"{folder}/u")
        at_socket = Target(group="multi.unix", id="unix-7", number=7, address=f"unix:{folder}/u", mode="in_service")
        logs = f"{folder}/logs"
        os.mkdir(logs)
        with serving(
            haproxy, routings_of(ports), certificate=certificate(), mirrors=mirrors, logs=logs,
            members=[Member(target=at_socket)], without=("multi.unix", "multi.empty"),
        ):  # fmt: skip
            mirrors["multi.gone"].close()
            mirrors["multi.closing"].answer = b"nonsense\r\n\r\n"
            mirrors["multi.silent"].answer = b"HTTP/1.1 "
            yield House(logs, ports, mirrors)
        socketed.close()


def test_a_request_that_a_target_answered(house: House) -> None:
    before = datetime.now(UTC)
    with house.client("plain") as client:
        client.ask(wire(target="/some/path?q=1", headers=(("Host", "Shop.test"), ("User-Agent", "curl/8.0"))))
        found = house.line()
    address = house.mirrors["shop.web"].address
    changing = {name: found.pop(name) for name in ("time", "created", "client", "received", "sent", "request_time", "target_time", "response_time", "trace", "connection")}  # fmt: skip
    assert found == {
        "type": "http", "elb": f"app/shop/{id_of('shop')}", "target": address, "status": "200", "target_status": "200",
        "request": f"GET http://shop.test:{house.ports['plain']}/some/path?q=1 HTTP/1.1", "agent": "curl/8.0",
        "cipher": "-", "protocol": "-", "group": f"targetgroup/web/{id_of('shop.web')}", "domain": "-",
        "certificate": "-", "rule": "0", "actions": "forward", "redirect": "-", "error": "-", "targets": address,
        "statuses": "200", "class": "-", "reason": "-", "host": "-", "uri": "-", "transform": "-",
        "instance": "web-1", "retries": "0", "ended": "----",
    }  # fmt: skip
    assert re.fullmatch(r"127\.0\.0\.1:\d+", changing["client"])
    assert re.fullmatch(TRACE, changing["trace"])
    assert re.fullmatch("TID_[0-9a-f]{16}", changing["connection"])
    assert all(re.fullmatch(r"\d\.\d{3}", changing[f"{what}_time"]) for what in ("request", "target", "response"))
    assert int(changing["received"]) > 0
    assert int(changing["sent"]) > 0
    times = [datetime.fromisoformat(changing[name]) for name in ("created", "time")]
    assert all(re.fullmatch(MICROSECONDS, changing[name]) for name in ("created", "time"))
    slack = timedelta(seconds=0.1)  # HAProxy's own clock is corrected in steps
    assert before - slack <= times[0] <= times[1] <= datetime.now(UTC) + slack


def test_how_long_a_target_took_is_told_in_seconds_with_three_decimals(house: House) -> None:
    mirror = house.mirrors["loud.web"]
    for delay in (0.0, 0.05, 1.1):
        mirror.delay = delay
        began = time.monotonic()
        try:
            found = house.ask("shared", wire(headers=(("Host", "loud.test"),)), "shared")
        finally:
            mirror.delay = 0.0
        took = time.monotonic() - began
        assert found["status"] == "200"
        assert all(re.fullmatch(r"\d\.\d{3}", found[name]) for name in ("request_time", "target_time", "response_time"))
        assert delay - 0.002 <= float(found["target_time"]) <= took + 0.001


def test_a_client_is_told_apart_by_its_address_whatever_its_family(house: House) -> None:
    assert re.fullmatch(r"::1:\d+", house.ask("six", wire(), address="::1")["client"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", house.ask("both", wire())["client"])
    assert re.fullmatch(r"::1:\d+", house.ask("both", wire(), address="::1")["client"])


NOT_SENT = {"target": "-", "request_time": "-1", "target_time": "-1", "response_time": "-1", "target_status": "-", "targets": "-", "statuses": "-", "instance": "-"}  # fmt: skip


def told(found: dict[str, str], expected: dict[str, str]) -> None:
    assert {name: found[name] for name in expected} == expected


def test_a_fixed_response(house: House) -> None:
    found = house.ask("multi", wire(target="/fixed"), "multi")
    told(found, NOT_SENT | {"status": "418", "rule": "1", "actions": "fixed-response", "group": "-", "redirect": "-"})


def test_a_redirect(house: House) -> None:
    found = house.ask("multi", wire(target="/away"), "multi")
    where = f'http://x.test:{house.ports["multi"]}/away?a=\\"b'
    told(found, NOT_SENT | {"status": "301", "rule": "2", "actions": "redirect", "group": "-", "redirect": where})


@pytest.mark.parametrize(
    ("name", "status", "rule"), [("gone", "502", "3"), ("closing", "502", "4"), ("silent", "504", "5")]
)
def test_a_target_that_does_not_answer(house: House, name: str, status: str, rule: str) -> None:
    found = house.ask("multi", wire("POST", target=f"/{name}"), "multi")
    address = house.mirrors[f"multi.{name}"].address
    attempted = {"target": address, "targets": address, "instance": f"{name}-1", "status": status, "rule": rule}
    told(found, NOT_SENT | attempted | {"actions": "forward", "group": group_arn(f"multi.{name}")})


def test_no_target(house: House) -> None:
    found = house.ask("multi", wire(target="/empty"), "multi")
    told(found, NOT_SENT | {"status": "503", "rule": "7", "actions": "forward", "group": group_arn("multi.empty")})


def test_a_target_on_a_unix_socket_is_told_by_its_name(house: House) -> None:
    found = house.ask("multi", wire(target="/unix"), "multi")
    told(found, {"target": "unix-7:0", "targets": "unix-7:0", "instance": "unix-7", "status": "200", "statuses": "200"})


def test_what_nobody_claims_and_what_is_refused(house: House) -> None:
    found = house.ask("multi", wire(target="/unclaimed"), "multi")
    told(found, NOT_SENT | {"status": "404", "rule": "-", "actions": "-", "group": "-"})
    assert re.fullmatch(MICROSECONDS, found["created"])
    for name, log in (("plain", "shop"), ("multi", "multi")):
        found = house.ask(name, wire("TRACE"), log)
        told(found, NOT_SENT | {"status": "405", "rule": "-", "actions": "-", "group": "-"})


def test_what_is_no_request(house: House) -> None:
    port = house.ports["plain"]
    found = house.ask("plain", b"garbage\r\n\r\n")
    nothing = {
        "request": f"- http://-:{port}- -",
        "agent": "-",
        "trace": "-",
        "rule": "-",
        "group": "-",
        "actions": "-",
    }
    told(found, NOT_SENT | nothing | {"status": "400", "elb": f"app/shop/{id_of('shop')}"})
    with house.client("plain") as client:
        client.say(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert client.hear().status == 408
    told(house.line(), NOT_SENT | nothing | {"status": "408"})


def test_a_connection_that_says_nothing_is_not_logged(house: House) -> None:
    socket.create_connection(("127.0.0.1", house.ports["plain"])).close()
    idle = socket.create_connection(("127.0.0.1", house.ports["plain"]), timeout=PATIENCE)
    assert idle.recv(1) == b"", "closed after the idle timeout, without a word"
    idle.close()
    told(house.ask("plain", wire(target="/after")), {"status": "200"})


def test_a_request_that_two_programs_may_see_differently(house: House) -> None:
    found = house.ask("plain", wire(body="x"))
    told(found, {"class": "Ambiguous", "reason": "UndefinedContentLengthSemantics", "status": "200"})


def test_a_websocket_is_logged_when_it_closes(house: House) -> None:
    mirror = house.mirrors["shop.web"]
    for name, kind in (("plain", "ws"), ("https", "wss")):
        mirror.answer = UPGRADED
        try:
            with house.client(name) as client:
                assert client.ask(upgrading()).status == 101
                size = Path(house.folder, "shop").stat().st_size
                assert size == house.seen.get("shop", 0), "nothing yet"
        finally:
            mirror.answer = b""
        told(house.line(), {"type": kind, "status": "101", "target_status": "101"})


def test_https_tells_its_cipher_and_the_name_that_was_asked_for(house: House) -> None:
    found = house.ask("https", wire())
    told(found, {"type": "https", "protocol": "TLSv1.3", "domain": "localhost"})
    assert re.fullmatch("[A-Z0-9_-]{8,}", found["cipher"])
    assert found["request"] == f"GET https://test:{house.ports['https']}/ HTTP/1.1"


def test_a_name_that_is_none_does_not_break_the_line_of_a_handshake(house: House) -> None:
    name = 'a"\\]\nhttp \x1b[31m'
    with (
        socket.create_connection(("127.0.0.1", house.ports["https"]), PATIENCE) as plain,
        trusting().wrap_socket(plain, server_hostname=name) as client,
    ):
        client.sendall(wire())
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        told(house.line(), {"type": "https", "domain": "a%22%5C%5D%0Ahttp%20%1B%5B31m", "status": "200"})


def test_http2(house: House) -> None:
    port = house.ports["https"]
    with Http2Client(port, http2_context(trusting())) as client:
        assert client.ask("/two?x=1").status == 200
        found = house.line()
        told(found, {"type": "h2", "request": f"GET https://test:{port}/two?x=1 HTTP/2.0", "status": "200"})
        grpc = (("content-type", "application/grpc"),)
        assert client.ask("/call", grpc, method="POST", body=b"x").status == 464
        told(house.line(), {"type": "grpcs", "status": "464", "target_status": "-", "actions": "forward"})


def test_a_handshake_that_fails_is_no_request(house: House) -> None:
    with Client(house.ports["https"]) as client, suppress(EOFError, ConnectionError):
        client.ask(b"GET / HTTP/1.1\r\n\r\n")
    with house.client("https") as client:
        client.ask(wire(target="/after"))
    # Whatever stands there for the handshake, no reader takes it for a request.
    deadline = time.monotonic() + PATIENCE
    while b"/after" not in (text := Path(house.folder, "shop").read_bytes()[house.seen.get("shop", 0) :]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    house.seen["shop"] = house.seen.get("shop", 0) + len(text)
    found = text.decode("latin-1").splitlines()
    assert [line.split(" ")[0] for line in found if not line.startswith("- ")] == ["https"]


HOSTILE = ('we"ird', 'a\\"', "]", "\\", "x\ty", "ü\x80\xff", "\x01\x1b[31m", '" 200 200 "GET', "a" * 9000)


@pytest.mark.parametrize("value", HOSTILE)
def test_what_a_client_sends_stays_within_its_field(house: House, value: str) -> None:
    headers = (("Host", "test"), ("User-Agent", value), ("X-Amzn-Trace-Id", f"Root=1;{value[:1000]}"))
    found = house.ask("plain", wire(headers=headers))
    kept = re.sub(r"\\(.)", r"\1", found["agent"])
    assert kept == value.strip()[:8192].strip()
    told(found, {"status": "200", "target_status": "200", "actions": "forward", "instance": "web-1"})


@pytest.mark.parametrize("target", ['/a"b', "/a]b", "/a\\b", "/" + 9000 * "a", "/%0a%00", "http://test/a"])
def test_a_url_stays_within_its_field(house: House, target: str) -> None:
    found = house.ask("plain", wire(target=target))
    path = target.removeprefix("http://test")
    kept = re.sub(r"\\(.)", r"\1", found["request"])
    assert kept == f"GET http://test:{house.ports['plain']}{path} HTTP/1.1"


@pytest.mark.parametrize("raw", [b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"])  # fmt: skip
def test_bytes_that_belong_in_no_request_make_one_whole_line(house: House, raw: bytes) -> None:
    found = house.ask("plain", raw)
    assert found["status"] in ("200", "400")


def test_a_trace_that_came_is_logged_as_the_target_saw_it(house: House) -> None:
    with house.client("plain") as client:
        reply = client.ask(wire(headers=(("Host", "test"), ("X-Amzn-Trace-Id", "Root=1-2-3;a=b"))))
    [seen] = [line for line in reply.body.decode().split("\r\n") if line.startswith("x-amzn-trace-id:")]
    assert house.line()["trace"] == seen.partition(": ")[2]


def test_a_connection_has_one_name(house: House) -> None:
    with house.client("plain") as client:
        found = []
        for _ in range(2):
            client.ask(wire())
            found.append(house.line()["connection"])
    assert len(set(found)) == 1
    assert house.ask("plain", wire())["connection"] not in found


def test_requests_on_a_shared_port_are_their_owners_and_silent_when_it_wants_no_log(house: House) -> None:
    for host in ("quiet.test", "loud.test", "other.test"):
        with house.client("shared") as client:
            client.ask(wire(headers=(("Host", host),)))
    whose = [line.split(" ")[2] for line in house.lines("shared", 2)]
    assert whose == [f"app/loud/{id_of('loud')}", "app/-/-"]


def test_a_stack_that_wants_no_log_has_none(house: House) -> None:
    with house.client("off") as client:
        assert client.ask(wire()).status == 200
    assert sorted(os.listdir(house.folder)) == ["multi", "shared", "shop"]


def test_the_token_of_an_opening_is_never_logged(house: House) -> None:
    shown = wire(target=f"/?fairlead-open={SECRET}&x=1")
    told(house.ask("opening", shown), {"status": "302"})
    cookie = f"FAIRLEAD_OPEN_{house.ports['opening']}={SECRET}"
    told(house.ask("opening", wire(headers=(("Host", "test"), ("Cookie", cookie)))), {"status": "200", "rule": "0"})
    told(house.ask("opening", wire(headers=(("Host", "test"), ("X-Fairlead-Open", SECRET)))), {"status": "200"})
    told(house.ask("opening", wire()), {"status": "403", "rule": "-", "group": "-"})
    assert SECRET not in Path(house.folder, "shop").read_text(encoding="latin-1")


def test_a_client_that_leaves_is_logged_once(house: House) -> None:
    client = socket.create_connection(("127.0.0.1", house.ports["plain"]))
    client.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nabc")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.5)  # until it is on its way: nothing tells when
    client.close()
    told(house.line(), {"status": "400", "target_status": "-", "target_time": "-1"})


def test_what_a_target_says_cannot_be_taken_for_fairleads(house: House) -> None:
    mirror = house.mirrors["shop.web"]
    mirror.answer = b"HTTP/1.1 503 Bad\r\nContent-Length: 0\r\n\r\n"
    try:
        told(house.ask("plain", wire()), {"status": "503", "target_status": "503", "statuses": "503"})
        mirror.answer = b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"
        told(house.ask("plain", wire("POST")), {"status": "502", "target_status": "-", "target_time": "-1"})
    finally:
        mirror.answer = b""


async def test_what_a_leaving_haproxy_passes_on_is_logged_once_with_the_clients_address(real: RealWorld) -> None:
    listener = Listener(port=real.port, default=forward_to("web"))
    await real.balancer.configure("shop", a_routing(listeners=(listener,)))
    target = await real.target(1)
    await admit(real, target)
    client = await Connection.open(listener, "127.0.0.7")
    assert (await client.ask())[0] == "200"
    again = a_routing(listeners=(listener,), attributes=LoadBalancerAttributes(idle_timeout=61.0))
    await real.balancer.configure("shop", again)
    assert (await client.ask())[0] == "200"
    port = client.writer.get_extra_info("sockname")[1]
    client.close()
    lines: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while len(lines) < 2:
        assert time.monotonic() < deadline, lines
        files = sorted(Path(real.home).glob("stacks/shop/logs/access/access.*.log"))
        lines = [line for path in files for line in path.read_text().splitlines() if line.startswith("http ")]
        await asyncio.sleep(0.01)
    assert [line.split(" ")[3] for line in lines] == [f"127.0.0.7:{port}"] * 2
    secret = real.files.secret()
    assert not any(secret in path.read_text() for path in Path(real.home).glob("**/access.*.log"))
