"""A8: the status codes that the balancer makes by itself, and their pages."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.client import Answer, Closed, request, tell
from tests.conformance.facts import fact
from tests.conformance.files import with_balancer
from tests.conformance.rehearsal import Rehearsal, Up, refusal_of
from tests.conformance.servers import Received, hangs_up, ok, resets, says, silence

pytestmark = pytest.mark.live

FILE = """\
name: statuses
services:
  web: {targets: ["${env.web}"], target_group: {retry: off}}
  empty: {targets: ["127.0.0.1:9"]}
  refuses: {targets: ["${env.refuses}"], health_check: {interval: 60s}, target_group: {retry: off}}
load_balancer:
  idle_timeout: 1s
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /empty}, forward: empty}
        - {when: {path: /refuses}, forward: refuses}
        - {when: {path: /long}, redirect: {host: q.test, query: "#{query}&#{query}", status: 301}}
      default: {forward: web}
"""


@pytest.fixture(scope="module")
def up(rehearsal: Rehearsal) -> Iterator[Up]:
    one = rehearsal.up(FILE, admit=False)
    for service in ("web", "refuses"):
        one.admit(one.register(service, service))
    yield one
    one.down()


@pytest.fixture(scope="module")
def timed_out(up: Up) -> dict[str, Answer]:
    """By method what a silent target makes of it."""
    with up.servers["web"].doing(silence()):
        return {method: up.ask(method=method) for method in ("GET", "POST")}


def page(status: int, title: str) -> str:
    """An ALB's page, to the byte."""
    shown = f"{status} {title}".rstrip()
    return (
        f"<html>\r\n<head><title>{shown}</title></head>\r\n<body>\r\n<center><h1>{shown}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )


def check_page(answer: Answer, status: int, title: str) -> None:
    assert answer.status == status
    assert answer.text == page(status, title)
    assert answer.one("content-type") == "text/html"
    assert answer.one("content-length") == str(len(answer.text))


@fact("A8", "400: a malformed request, and the connection is closed", "real")
def test_a8_400_malformed(up: Up) -> None:
    for raw in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ):
        with up.client() as client:
            assert client.send(raw).answer().status == 400
            assert client.ends()


@fact("A8", "400: HTTP/1.1 without Host", "real")
def test_a8_400_without_host(up: Up) -> None:
    check_page(up.ask(host=None), 400, "Bad Request")


@fact("A8", "400: header limits exceeded (the sheet's 413 for it is not used)", "real")
def test_a8_400_long_header(up: Up) -> None:
    assert up.ask("/", [("X-Long", "x" * 70_000)]).status == 400


@fact("A8", "400 of 122 bytes", "approximated",
      "90 bytes, HAProxy's own page, to what cannot be read as a request at all")  # fmt: skip
def test_a8_400_page(up: Up) -> None:
    assert up.ask(host=None).one("content-length") == "122"
    answer = tell(up.port(), b"nonsense\r\n\r\n")
    assert (answer.one("content-type"), answer.one("content-length")) == ("text/html", "90")


@fact("A8", "400: the client closed before its body was complete (only the log shows it)", "real")
def test_a8_400_client_left(up: Up) -> None:
    before = list(up.servers["web"].heard)
    with up.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart")
        client.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(Closed, match="closed after b''"):
            client.answer()
    assert up.servers["web"].heard == before
    assert up.ask().status == 200


@fact("A8", "405: TRACE", "real")
def test_a8_405_trace(up: Up) -> None:
    check_page(up.ask(method="TRACE"), 405, "Not Allowed")


@fact("A8", "CONNECT is not for a load balancer", "approximated", "405: a tunnel would lead past every rule")
def test_a8_405_connect(up: Up) -> None:
    check_page(up.ask("example.com:443", method="CONNECT", host="example.com:443"), 405, "Not Allowed")


@fact("A8", "408: a request of which the rest does not come before the idle timeout", "approximated",
      "the page is HAProxy's own; a head has 10 seconds, or the idle timeout when that is less")  # fmt: skip
def test_a8_408_unfinished_head(up: Up) -> None:
    with up.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Unfini")
        began = time.monotonic()
        assert client.answer().status == 408
        assert time.monotonic() - began < 30
        assert client.ends()


@fact("A8", "408: a body of which the rest does not come before the idle timeout", "approximated", "400")
def test_a8_408_unfinished_body(up: Up) -> None:
    with up.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart")
        check_page(client.answer(), 400, "Bad Request")


@fact("A8", "413: a body for a Lambda target above 1 MB", "refused", message="is not a key that fairlead knows here")
def test_a8_413_lambda(message: str) -> None:
    assert message in refusal_of('name: l\nservices: {web: {lambda: "arn:aws:lambda:x"}}\n')


@fact("A8", "414: URL or query too large", "approximated", "400, as for every head that is too large")
def test_a8_414_long_url(up: Up) -> None:
    assert up.ask("/" + "x" * 16_400).status == 400


@fact("A8", "431 is never made by the balancer; a target's passes", "real")
def test_a8_431_is_the_targets(up: Up) -> None:
    with up.servers["web"].doing(ok(b"mine", status=431)):
        answer = up.ask()
    assert (answer.status, answer.text) == (431, "mine")


@fact("A8", "460: the client closed while the target was still working (only the log shows it); the next one is served",
      "approximated", "the log has what the target says all the same (C1, field 9)")  # fmt: skip
def test_a8_460_client_left(up: Up) -> None:
    with up.servers["web"].doing(silence()), up.client() as client:
        client.send(request("/left"))
        up.rehearsal.until(lambda: up.servers["web"].heard and up.servers["web"].last.target == "/left", "the request")
    assert up.ask().status == 200


@fact("A8", "463: X-Forwarded-For with more than 30 addresses", "real")
def test_a8_463(up: Up) -> None:
    check_page(up.ask("/", [("X-Forwarded-For", ", ".join(["10.0.0.1"] * 31))]), 463, "")


@fact(
    "A8", "500: WAF error, identity provider out of reach", "refused", message="is not a key that fairlead knows here"
)
def test_a8_500_others(message: str) -> None:
    assert message in refusal_of(with_balancer("waf: {fail_open: false}"))


@fact("A8", "501: a Transfer-Encoding other than chunked and identity", "approximated",
      "422 when `chunked` comes last, else 400")  # fmt: skip
def test_a8_501_transfer_encoding(up: Up) -> None:
    for coding, status in (("gzip", 400), ("gzip, chunked", 422), ("unknown", 400)):
        raw = f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode()
        assert tell(up.port(), raw).status == status


@fact("A8", "502: the target refuses the connection", "real")
def test_a8_502_refused(up: Up) -> None:
    server = up.servers["refuses"]
    up.rehearsal.run(server.kill())
    try:
        check_page(up.ask("/refuses"), 502, "Bad Gateway")
    finally:
        up.rehearsal.run(server.listen())


@fact("A8", "502: the target closes or resets the connection with a request outstanding", "real")
def test_a8_502_closed(up: Up) -> None:
    for behaviour in (hangs_up(), resets()):
        with up.servers["web"].doing(behaviour):
            for method in ("GET", "POST"):
                check_page(up.ask(method=method, body=b"x" * (method == "POST")), 502, "Bad Gateway")


@fact("A8", "502: also when the connection to the target had been used before, and for GET and POST alike", "real")
def test_a8_502_closed_after_reuse(up: Up) -> None:
    with up.client() as client:
        for method in ("GET", "POST", "GET"):
            assert client.ask(method=method).status == 200
            with up.servers["web"].doing(hangs_up()):
                assert client.ask(method=method).status == 502


@fact("A8", "502: a malformed response or invalid headers", "real")
def test_a8_502_garbage(up: Up) -> None:
    garbage = (
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 0\r\n\r\n",
    )
    for raw in garbage:
        with up.servers["web"].doing(says(raw, closes=True)):
            check_page(up.ask(), 502, "Bad Gateway")


@fact("A8", "502 of 122 bytes", "real")
def test_a8_502_page(up: Up) -> None:
    with up.servers["web"].doing(hangs_up()):
        assert up.ask().one("content-length") == "122"


@fact("A8", "502: deregistration delay ran out with the request in flight", "real")
def test_a8_502_deregistered(bring_up: Callable[..., Up]) -> None:
    up = bring_up(
        FILE.replace("name: statuses", "name: leaving").replace("idle_timeout: 1s", "idle_timeout: 60s"), admit=False
    )
    target = up.register("web", "web")
    up.admit(target)
    with up.servers["web"].doing(silence()), up.client() as client:
        client.send(request("/", method="POST"))
        up.rehearsal.until(lambda: up.servers["web"].heard, "the request at the target")
        up.drain(target)
        up.deregister(target)
        assert client.answer().status == 502


@fact("A8", "503: the target group has no registered targets", "real")
def test_a8_503_no_targets(up: Up) -> None:
    for method in ("GET", "POST"):
        check_page(up.ask("/empty", method=method), 503, "Service Temporarily Unavailable")


@fact("A8", "503 of 162 bytes", "real")
def test_a8_503_page(up: Up) -> None:
    assert up.ask("/empty").one("content-length") == "162"


@fact("A8", "503 is not made because all targets are unhealthy (see B6)", "real")
def test_a8_503_of_a_target_passes(up: Up) -> None:
    with up.servers["web"].doing(ok(b"mine", status=503)):
        assert up.ask().text == "mine"


@fact("A8", "504: no answer before the idle timeout", "real")
def test_a8_504_silence(timed_out: dict[str, Answer]) -> None:
    for answer in timed_out.values():
        check_page(answer, 504, "Gateway Time-out")


@fact("A8", "504 of 132 bytes", "real")
def test_a8_504_page(timed_out: dict[str, Answer]) -> None:
    assert timed_out["GET"].one("content-length") == "132"


@fact("A8", "504: no connection to the target within 10 s", "approximated",
      "502, within `connect_timeout`, 100 ms unless told otherwise")  # fmt: skip
def test_a8_504_no_connection(bring_up: Callable[..., Up]) -> None:
    up = bring_up("""\
name: full
services:
  web: {targets: ["${env.web}"], target_group: {retry: off, connect_timeout: 200ms}, health_check: {interval: 60s}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
""")  # fmt: skip
    server = up.servers["web"]
    up.rehearsal.run(server.kill())
    host, _, port = server.address.rpartition(":")
    with socket.socket() as full:
        # A backlog that is full answers no SYN, as a host that drops them.
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((host, int(port)))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex((host, int(port)))
            time.sleep(0.1)
            began = time.monotonic()
            check_page(up.ask(), 502, "Bad Gateway")
            assert time.monotonic() - began < 30
        finally:
            for one in waiting:
                one.close()


@fact("A8", "504: a Content-Length larger than the body, until the idle timeout", "approximated",
      "the status line has gone by then; the answer is cut")  # fmt: skip
def test_a8_504_short_body(up: Up) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"

    async def lies(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await says(raw)(received, reader, writer)
        return await silence()(received, reader, writer)

    with up.servers["web"].doing(lies), pytest.raises(Closed):
        up.ask()


@fact("A8", "505: an unexpected version of HTTP", "real")
def test_a8_505_version(up: Up) -> None:
    for version in ("HTTP/2.0", "HTTP/1.2", "HTTP/3.0"):
        assert tell(up.port(), f"GET / {version}\r\nHost: a\r\n\r\n".encode()).status == 505


@fact("A8", "507: the URL of a redirect is too long", "real")
def test_a8_507(up: Up) -> None:
    check_page(up.ask(f"/long?{'x' * 5000}"), 507, "Insufficient Storage")


@fact("A8", "401, 561: authentication", "refused", message="is not a key that fairlead knows here")
def test_a8_401_and_561(message: str) -> None:
    assert message in refusal_of(with_balancer("authenticate: {}"))


@fact("A8", "403: a firewall blocked it", "refused", message="is not a key that fairlead knows here")
def test_a8_403(message: str) -> None:
    assert message in refusal_of(with_balancer("waf: {}"))


@fact("A8", "404 is never made but by a fixed response", "approximated",
      "a listener without a default answers 404 to hosts that no rule names")  # fmt: skip
def test_a8_404_without_default(bring_up: Callable[..., Up]) -> None:
    up = bring_up("""\
name: hosts
services: {web: {targets: ["${env.web}"]}}
load_balancer: {listeners: [{port: "${env.PORT}", rules: [{when: {host: a.test}, forward: web}]}]}
""")  # fmt: skip
    assert up.ask(host="a.test").text == "web"
    assert up.ask(host="b.test").status == 404


@fact("A8", "`Server: awselb/2.0` on what the balancer answers", "approximated",
      "`Server: fairlead`, and none on an answer to what cannot be read as a request")  # fmt: skip
def test_a8_server(up: Up) -> None:
    assert up.ask("/empty").one("server") == "fairlead"
    assert tell(up.port(), b"nonsense\r\n\r\n").one("server") is None
    assert up.ask("/long?a").one("server") == "fairlead"


@fact("A8", "`Date` on what the balancer answers", "approximated", "it has none")
def test_a8_date(up: Up) -> None:
    assert up.ask("/empty").one("date") is None


@fact("A8", "A target's own Server and Date pass", "real")
def test_a8_a_targets_server_passes(up: Up) -> None:
    with up.servers["web"].doing(ok(b"", "Server: gunicorn", "Date: Thu, 01 Jan 2026 00:00:00 GMT")):
        answer = up.ask()
    assert (answer.one("server"), answer.one("date")) == ("gunicorn", "Thu, 01 Jan 2026 00:00:00 GMT")


@fact("A8", "A connection survives every answer of the balancer but 400 and 408", "approximated",
      "405 and 505 close it as well")  # fmt: skip
def test_a8_the_connection_survives(up: Up) -> None:
    with up.client() as client:
        assert client.ask("/empty").status == 503
        assert client.ask("/long?a").status == 301
        assert client.ask("/", [("X-Forwarded-For", "10.0.0.1, " * 31)]).status == 463
        assert client.ask("/").status == 200
        assert client.ask("/", method="TRACE").status == 405
        assert client.ends()
