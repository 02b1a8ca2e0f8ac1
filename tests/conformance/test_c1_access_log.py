"""C1: the line of the access log, field by field, as a reader finds it who knows an ALB's lines and nothing else.

Long because each of 33 fields is a fact or two of one section, and all ask the same requests.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.access import OWN, Line, Log
from tests.conformance.client import Answer, Client, request, websocket
from tests.conformance.facts import fact
from tests.conformance.http2 import GRPC, Http2Client, Http2Server, http2_context
from tests.conformance.rehearsal import Rehearsal, Up
from tests.conformance.servers import Held, Received, after, hangs_up, ok, says, silence

pytestmark = pytest.mark.live

FILE = """\
name: logged
services:
  web: {targets: ["${env.web}"], target_group: {retry: off}}
  empty: {targets: ["127.0.0.1:9"]}
  refuses: {targets: ["${env.refuses}"], health_check: {interval: 60s}, target_group: {retry: off}}
  call: {targets: ["${env.call}"], target_group: {protocol: GRPC}, health_check: {matcher: "0"}}
load_balancer:
  idle_timeout: 1s
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /empty}, forward: empty}
        - {when: {path: /refuses}, forward: refuses}
        - {when: {path: /fixed}, respond: {status: 418, body: short}}
        - {when: {path: /away}, redirect: {host: q.test, path: "/to/#{path}", query: "a=b&#{query}", status: 301}}
        - {when: {path: "/web*"}, forward: web}
      default: {forward: web}
    - port: ${env.PORT_TLS}
      protocol: HTTPS
      certificates: local
      rules: [{when: {path: "/call*"}, forward: call}]
      default: {forward: web}
"""

OTHER = """\
name: logged-NAME
services: {web: {targets: ["${env.web}"]}}
load_balancer:
  KEY
  listeners: [{port: "${env.PORT}", default: {forward: web}}]
"""

SLACK = timedelta(seconds=0.05)
"""HAProxy looks at the clock once in each turn of its loop."""


@dataclass
class Told:
    """Requests, each with the answer that its client got and the line that was written of it."""

    up: Up
    log: Log
    trust: ssl.SSLContext
    lines: dict[str, Line] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    """The port that each client came from."""

    def __getitem__(self, case: str) -> Line:
        return self.lines[case]

    def say(self, case: str, raw: bytes, *, port: str = "PORT") -> None:
        """These bytes, on a connection of their own."""
        with self.up.client(port, tls=self.trust if port == "PORT_TLS" else None) as client:
            self.answers[case] = client.send(raw).answer()
            self.keep(case, client)

    def ask(self, case: str, target: str = "/", *, port: str = "PORT", method: str = "GET", body: bytes = b"") -> None:
        headers = [("User-Agent", "curl/8.5"), ("Accept", "*/*")]
        self.say(case, request(target, headers, method=method, body=body), port=port)

    def keep(self, case: str, client: Client) -> None:
        """The line of a connection that has but one."""
        [self.lines[case]] = self.log.of(client)
        self.sources[case] = client.socket.getsockname()[1]

    def having(self, column: str) -> dict[str, str]:
        """What a column says, by case, where it says something."""
        return {case: line[column] for case, line in self.lines.items() if column not in line.missing}


@pytest.fixture(scope="module")
def told(rehearsal: Rehearsal) -> Iterator[Told]:
    call = rehearsal.run(Http2Server("call").listen())
    up = rehearsal.up(FILE, admit=False, env={"call": call.address})
    up.admit(up.register("web", "web"), up.register("refuses", "refuses"), up.register("call", call.address))
    told = Told(up, Log(up), rehearsal.trust())
    try:
        _ask_all(told)
        yield told
    finally:
        up.down()
        rehearsal.run(call.kill())


def _ask_all(told: Told) -> None:
    """One of each kind."""
    up, web = told.up, told.up.servers["web"]
    told.ask("forward", "/some/path?q=1")
    told.ask("rule", "/web")
    told.ask("post", method="POST", body=b"x" * 5000)
    with web.doing(ok(b"y" * 20_000, status=404)):
        told.ask("large")
    with web.doing(after(0.2, ok(b"late"))):
        told.ask("late")
    for case in ("fixed", "away", "empty"):
        told.ask(case, f"/{case}?x=1")
    up.rehearsal.run(up.servers["refuses"].kill())
    told.ask("refuses", "/refuses")
    with web.doing(silence()):
        told.ask("silent")
    with web.doing(hangs_up()):
        told.ask("closed")
    told.say("nonsense", b"nonsense\r\n\r\n")
    told.say("no host", request(host=None))
    told.say("463", request(headers=[("X-Forwarded-For", ", ".join(["10.0.0.1"] * 31))]))
    told.say("trace", request(method="TRACE"))
    told.say("ambiguous", request(headers=[("X-Amzn-Trace-Id", "Root=1-2-3;a=b")], body=b"abc"))
    told.ask("https", "/secure", port="PORT_TLS")
    told.ask("464", "/call", port="PORT_TLS", method="POST")
    for case, port, context in (("ws", "PORT", None), ("wss", "PORT_TLS", told.trust)):
        with up.client(port, tls=context) as client:
            assert websocket(client).status == 101
            assert client.send(b"x" * 1000).read(1000) == b"x" * 1000
            if context is None:
                client.socket.shutdown(socket.SHUT_WR)
            assert client.ends()
            told.keep(case, client)
    tls = http2_context(up.rehearsal.trust())
    with Http2Client(up.port("PORT_TLS"), tls) as two:
        told.answers["h2"] = two.ask("/two?x=1")
        told.keep("h2", two.client)
    with Http2Client(up.port("PORT_TLS"), tls) as two:
        told.answers["grpcs"] = two.ask("/call/me", [("content-type", GRPC), ("te", "trailers")], method="POST", body=b"\0" * 5)  # fmt: skip
        told.keep("grpcs", two.client)


NOT_SENT = {"refuses", "silent", "closed"}
"""Given to a target that did not answer."""
NO_TARGET = {"fixed", "away", "empty", "nonsense", "no host", "463", "464", "trace"}
"""Given to none."""
OWN_ANSWER = NOT_SENT | NO_TARGET


@fact("C1", "33 fields apart by blanks, what clients can shape in double quotes; `-` is what there is not", "real")
def test_c1_every_line_has_all_fields(told: Told) -> None:
    # `Log` reads each line by a pattern of an ALB's and by fairlead's own reader, which must agree.
    assert told.lines.keys() == told.answers.keys() | {"ws", "wss"}
    assert all(len(line.columns) == 33 + 4 for line in told.lines.values()), (
        "of the addresses and the request its parts"
    )
    forwarded = told["forward"]
    assert forwarded.missing == {
        "ssl_cipher", "ssl_protocol", "domain_name", "chosen_cert_arn", "redirect_url", "error_reason", "classification",
        "classification_reason", "transformed_host", "transformed_uri", "request_transform_status",
    }  # fmt: skip
    assert '"" ' not in "".join(line.text for line in told.lines.values())


@fact("C1", "Lines of the access log are only ever made longer; readers pass over fields that they do not know", "beyond",
      "three stand behind an ALB's: the instance in quotes, how often it was sent again, and how HAProxy says that it"
      " ended; nothing turns them off")  # fmt: skip
def test_c1_fields_behind(told: Told) -> None:
    behind = [line.text.split(" ")[-len(OWN) :] for line in told.lines.values()]
    assert all(re.fullmatch(r'"[a-z0-9-]+" \d+ [A-Za-z-]{4}', " ".join(three)) for three in behind)
    assert told["forward"].text.endswith(' "-" "web-1" 0 ----')
    assert told["empty"].text.split(" ")[-3:-1] == ['"-"', "0"]


@fact("C1", "Nothing that a client sends ends its field", "approximated",
      "`\\` stands before `\"`, `\\` and `]`")  # fmt: skip
def test_c1_quotes(told: Told) -> None:
    with told.up.client() as client:
        assert client.ask('/a"b\\', [("User-Agent", '" 200 200 "GET]\\')]).status == 200
        [line] = told.log.of(client)
    assert line["user_agent"] == r"\" 200 200 \"GET\]\\"
    assert line["request_url"].endswith(r"/a\"b\\")
    assert line.request.user_agent == '" 200 200 "GET]\\'


@fact("C1", "The access log is off by default", "beyond", "it is on; `access_log: false` turns it off")
def test_c1_access_log_false(bring_up: Callable[..., Up]) -> None:
    ups = {name: bring_up(OTHER.replace("NAME", name).replace("KEY", key)) for name, key in
           (("off", "access_log: false"), ("plain", "idle_timeout: 60s"))}  # fmt: skip
    for up in ups.values():
        with up.client() as client:
            assert client.ask().status == 200
            if up is ups["plain"]:
                assert Log(up).of(client)[0]["elb"].startswith("app/logged-plain/")
    assert Log(ups["off"]).all() == []


@fact("C1", "A gzip file of each node every 5 minutes in S3, at best effort, lines may be doubled", "approximated",
      "a file of the stack's own, every line once, written when its request ends and compressed later;"
      " `fairlead logs --access` reads all of them")  # fmt: skip
def test_c1_every_line_once(told: Told) -> None:
    with told.up.client() as client:
        for number in range(5):
            client.ask(f"/{number}")
        lines = told.log.of(client, 5)
    assert [line["request_url"].rpartition("/")[2] for line in lines] == ["0", "1", "2", "3", "4"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (told.log.folder, *told.log.folder.iterdir()))


@fact("C1", "Health checks are never logged", "real")
def test_c1_health_checks(told: Told) -> None:
    web = told.up.servers["web"]
    before = len(web.checks)
    told.up.rehearsal.until(lambda: len(web.checks) > before, "another check", patience=30)
    with told.up.client() as client:
        client.ask()
        told.log.of(client)
    assert not [line for line in told.log.all() if "ELB-HealthChecker" in line]


@fact("C1", "1 type: `http`, `https`, `h2`, `grpcs`, `ws`, `wss`", "real")
def test_c1_type(told: Told) -> None:
    kinds = {case: line["type"] for case, line in told.lines.items()}
    special = {"https": "https", "464": "https", "h2": "h2", "grpcs": "grpcs", "ws": "ws", "wss": "wss"}
    assert kinds == {case: special.get(case, "http") for case in kinds}


SLOW = 0.3


async def slow_body(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """An answer of which the second half comes later."""
    await says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")(received, reader, writer)
    return await after(SLOW, says(b"later"))(received, reader, writer)


@fact("C1", "2 time: when the answer was made, in UTC with microseconds", "approximated", "when all of it had gone out")
def test_c1_time(told: Told) -> None:
    for behaviour in (ok(), after(0.15, ok()), slow_body):
        with told.up.servers["web"].doing(behaviour), told.up.client() as client:
            client.send(request())
            begun = datetime.now(UTC)
            client.answer()
            ended = datetime.now(UTC)
            [line] = told.log.of(client)
        written, created = (datetime.fromisoformat(line[name]) for name in ("time", "request_creation_time"))
        assert begun - SLACK <= created <= written <= ended + SLACK
        assert written.utcoffset() == timedelta()
    assert (written - created).total_seconds() >= SLOW - 0.01
    assert float(line["target_processing_time"]) < SLOW - 0.05, "the headers came first"


@fact("C1", "2 time: of a WebSocket when it was closed, and only then is it logged", "real")
def test_c1_time_of_a_websocket(told: Told) -> None:
    with told.up.client() as client:
        websocket(client)
        opened = datetime.now(UTC)
        assert client.send(b"to").read(2) == b"to"
        mine = f":{client.socket.getsockname()[1]} "
        assert not [line for line in told.log.all() if mine in line]
        told.up.rehearsal.until(lambda: datetime.now(UTC) > opened + 4 * SLACK, "a while")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.ends()
        [line] = told.log.of(client)
    created, closed = (datetime.fromisoformat(line[name]) for name in ("request_creation_time", "time"))
    assert created < opened + SLACK
    assert closed - opened > 3 * SLACK
    assert (line["type"], line["elb_status_code"], line["target_status_code"]) == ("ws", "101", "101")


@fact("C1", "3 elb: `app/NAME/ID`", "approximated", "the stack's name, and an ID made of it")
def test_c1_elb(told: Told) -> None:
    assert len({line["elb"] for line in told.lines.values()}) == 1
    assert re.fullmatch("app/logged/[0-9a-f]{16}", told["forward"]["elb"])


@fact("C1", "4 client:port: the peer's address, whatever X-Forwarded-For says", "real")
def test_c1_client(told: Told) -> None:
    found = {case: (line["client_ip"], int(line["client_port"])) for case, line in told.lines.items()}
    assert found == {case: ("127.0.0.1", port) for case, port in told.sources.items()}
    with told.up.client(source="127.0.0.7") as client:
        client.ask("/", [("X-Forwarded-For", "10.1.2.3")])
        [line] = told.log.of(client)
    assert line["client_ip"] == "127.0.0.7"


@fact("C1", "4 client:port of IPv6: the port is behind the last colon", "real")
def test_c1_client_of_ipv6(bring_up: Callable[..., Up]) -> None:
    up = bring_up(OTHER.replace("NAME", "six").replace("KEY", 'address: "::1"'))
    with up.client(host="::1") as client:
        assert client.ask().status == 200
        [line] = Log(up).of(client)
        assert (line["client_ip"], line["client_port"]) == ("::1", str(client.socket.getsockname()[1]))


@fact("C1", "5 target:port, also of a target that refused, was silent or closed; `-` when none was chosen", "real")
def test_c1_target(told: Told) -> None:
    servers = told.up.servers
    for case, line in told.lines.items():
        given = f"{line['target_ip']}:{line['target_port']}" if case not in NO_TARGET else line["target_port"]
        target = {"refuses": servers["refuses"].address, "grpcs": told.up.env["call"]}.get(case, servers["web"].address)
        assert given == ("-" if case in NO_TARGET else target), case


@fact("C1", "6 to 8 times: seconds with three decimals; `-1` each where no target answered", "real")
def test_c1_times(told: Told) -> None:
    for case, line in told.lines.items():
        times = [line[f"{what}_processing_time"] for what in ("request", "target", "response")]
        if case in OWN_ANSWER:
            assert times == ["-1", "-1", "-1"], case
        else:
            assert all(re.fullmatch(r"\d+\.\d{3}", time) for time in times), case


@fact("C1", "6 request_processing_time: from when it was received until it was sent to the target", "approximated",
      "0.000: waiting for a target and connecting to it are within field 7")  # fmt: skip
def test_c1_request_time(told: Told) -> None:
    assert {line["request_processing_time"] for line in told.lines.values()} == {"0.000", "-1"}


@fact("C1", "7 target_processing_time: until the target's headers began", "real")
def test_c1_target_time(told: Told) -> None:
    assert 0.198 <= float(told["late"]["target_processing_time"]) < 0.9
    assert float(told["forward"]["target_processing_time"]) < 0.198


@fact("C1", "8 response_processing_time: from the target's headers until the answer began", "approximated",
      "0.000: HAProxy passes headers on in the same turn")  # fmt: skip
def test_c1_response_time(told: Told) -> None:
    assert {line["response_processing_time"] for line in told.lines.values()} == {"0.000", "-1"}


@fact("C1", "9 elb_status_code: what the client got", "real")
def test_c1_status(told: Told) -> None:
    assert {case: int(told[case]["elb_status_code"]) for case in told.answers} == {
        case: answer.status for case, answer in told.answers.items()
    }
    own = {case: int(told[case]["elb_status_code"]) for case in OWN_ANSWER}
    assert own == {
        "fixed": 418, "away": 301, "empty": 503, "refuses": 502, "silent": 504, "closed": 502, "nonsense": 400,
        "no host": 400, "463": 463, "464": 464, "trace": 405,
    }  # fmt: skip


@fact("C1", "9 elb_status_code 460: the client closed before the answer", "approximated",
      "what the target says to it all the same, or 504; 400 when its connection was seen to be reset")  # fmt: skip
def test_c1_status_of_a_client_that_left(told: Told) -> None:
    web = told.up.servers["web"]
    late = Held(ok())
    with web.doing(late):
        with told.up.client() as client:
            client.send(request("/left"))
            told.up.rehearsal.until(lambda: web.last.target == "/left", "the request at the target")
            name = f":{client.socket.getsockname()[1]} "
        told.up.rehearsal.run(late.let_go())
        found = told.up.rehearsal.until(lambda: [one for one in told.log.all() if name in one], "its line")
    assert [one.split(" ")[8:10] for one in found] == [["200", "200"]]


@fact("C1", "9 elb_status_code 400: the client closed before its body was complete", "real")
def test_c1_status_of_an_incomplete_body(told: Told) -> None:
    with told.up.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart")
        client.socket.shutdown(socket.SHUT_WR)
        [line] = told.log.of(client)
    assert (line["elb_status_code"], line["target_status_code"]) == ("400", "-")


@fact("C1", "10 target_status_code: the target's; `-` when it gave none", "real")
def test_c1_target_status(told: Told) -> None:
    for case, line in told.lines.items():
        assert line["target_status_code"] == ("-" if case in OWN_ANSWER else line["elb_status_code"]), case
    with told.up.servers["web"].doing(ok(b"mine", status=503)), told.up.client() as client:
        client.ask()
        [line] = told.log.of(client)
    assert (line["elb_status_code"], line["target_status_code"]) == ("503", "503")


HEAD = 16
"""Bytes that HAProxy counts too many of a whole head; of each header it leaves out the four of `: ` and the line's
end."""


def is_size_of(counted: str, raw: bytes) -> bool:
    headers = raw.partition(b"\r\n\r\n")[0].count(b"\r\n")
    return len(raw) - 4 * headers <= int(counted) <= len(raw) - 4 * headers + HEAD


@fact("C1", "11 received_bytes: all bytes of the request, headers included", "approximated",
      "each header counts four bytes less and a head up to 16 more; frames of chunks do not count, nor does what cannot be"
      " read as a request")  # fmt: skip
def test_c1_received_bytes(told: Told) -> None:
    for count in (0, 10):
        for body in (b"", b"b" * 700):
            raw = request("/", [("X-Padding", "p" * 300)] * count, method="POST", body=body)
            with told.up.client() as client:
                client.send(raw).answer()
                assert is_size_of(told.log.of(client)[0]["received_bytes"], raw)
    chunked = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    counted = []
    for chunks in (1, 100):
        with told.up.client() as client:
            client.send(chunked + chunks * b"5\r\nhello\r\n" + b"0\r\n\r\n").answer()
            counted += [int(line["received_bytes"]) for line in told.log.of(client)]
    assert counted[1] - counted[0] == 99 * len("hello")
    assert told["nonsense"]["received_bytes"] == "0"


@fact("C1", "12 sent_bytes: all bytes of the answer, headers included", "approximated", "counted as field 11")
def test_c1_sent_bytes(told: Told) -> None:
    for count in (0, 10):
        for body in (b"", b"b" * 20_000):
            headers = count * f"X-Padding: {300 * 'a'}\r\n"
            raw = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
            with told.up.servers["web"].doing(says(raw)), told.up.client() as client:
                head = client.send(request()).until(b"\r\n\r\n") + b"\r\n\r\n"
                got = head + client.read(len(body))
                assert is_size_of(told.log.of(client)[0]["sent_bytes"], got)
    assert told["nonsense"]["sent_bytes"] == "0"


@fact("C1", "11 and 12 of a WebSocket: what went through it in both directions, too", "real")
def test_c1_bytes_of_a_websocket(told: Told) -> None:
    for case in ("ws", "wss"):
        assert 1000 < int(told[case]["received_bytes"]) < 1300
        assert 1000 < int(told[case]["sent_bytes"]) < 1300


@fact("C1", "13 request: `METHOD PROTOCOL://HOST:PORT/URI HTTP/VERSION`, the URL as sent", "real")
def test_c1_request(told: Told) -> None:
    plain, secure = told.up.port(), told.up.port("PORT_TLS")
    asked = {case: told[case].request.request for case in ("forward", "post", "https", "h2", "away")}
    assert asked == {
        "forward": f"GET http://test:{plain}/some/path?q=1 HTTP/1.1",
        "post": f"POST http://test:{plain}/ HTTP/1.1",
        "https": f"GET https://test:{secure}/secure HTTP/1.1",
        "h2": f"GET https://test:{secure}/two?x=1 HTTP/2.0",
        "away": f"GET http://test:{plain}/away?x=1 HTTP/1.1",
    }
    with told.up.client() as client:
        client.ask("/%61%2F..//x")
        assert told.log.of(client)[0]["request_url"] == f"http://test:{plain}/%61%2F..//x"


@fact("C1", "13 request of what could not be read as one: `- PROTOCOL://HOST:PORT- -`", "approximated",
      "without the host")  # fmt: skip
def test_c1_request_that_is_none(told: Told) -> None:
    assert told["nonsense"].request.request == f"- http://-:{told.up.port()}- -"


@fact("C1", "14 user_agent, cut at 8 KB", "real")
def test_c1_user_agent(told: Told) -> None:
    assert told["forward"]["user_agent"] == "curl/8.5"
    assert told["463"]["user_agent"] == "-"
    with told.up.client() as client:
        client.ask("/", [("User-Agent", "u" * 9000)])
        assert told.log.of(client)[0]["user_agent"] == "u" * 8192


@fact("C1", "15 and 16 ssl_cipher and ssl_protocol; `-` without TLS", "real")
def test_c1_tls(told: Told) -> None:
    assert told.having("ssl_cipher").keys() == told.having("ssl_protocol").keys() == {"https", "464", "wss", "h2", "grpcs"}  # fmt: skip
    context = told.up.rehearsal.trust()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with told.up.client("PORT_TLS", tls=context) as client:
        client.ask()
        [line] = told.log.of(client)
        assert isinstance(client.socket, ssl.SSLSocket)
        assert (line["ssl_cipher"], line["ssl_protocol"]) == (client.socket.cipher() or ("",))[:2]
    assert told["https"]["ssl_protocol"] == "TLSv1.3"


@fact("C1", "17 target_group_arn; `-` when no group was chosen", "approximated",
      "`targetgroup/SERVICE/ID`, not a whole ARN")  # fmt: skip
def test_c1_target_group(told: Told) -> None:
    names = {case: arn.split("/")[1] for case, arn in told.having("target_group_arn").items()}
    special = {"empty": "empty", "refuses": "refuses", "464": "call", "grpcs": "call"}
    none = {"fixed", "away", "nonsense", "no host", "463", "trace"}
    assert names == {case: special.get(case, "web") for case in told.lines if case not in none}
    assert re.fullmatch("targetgroup/web/[0-9a-f]{16}", told["forward"]["target_group_arn"])


@fact("C1", "18 trace_id: X-Amzn-Trace-Id as the target saw it", "real")
def test_c1_trace_id(told: Told) -> None:
    assert told.having("trace_id").keys() == told.lines.keys() - {"nonsense"}
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", told["forward"]["trace_id"])
    for headers in ([], [("X-Amzn-Trace-Id", "Root=1-2-3;a=b")]):
        with told.up.client() as client:
            client.ask("/", headers)
            assert told.log.of(client)[0]["trace_id"] == told.up.servers["web"].last.one("x-amzn-trace-id")


@fact("C1", "19 domain_name: the name that the client asked for in its TLS greeting", "real")
def test_c1_domain_name(told: Told) -> None:
    cases = ("https", "464", "wss", "h2", "grpcs")
    assert told.having("domain_name") == dict.fromkeys(cases, "localhost")
    silent = told.up.rehearsal.trust()
    silent.check_hostname = False
    with socket.create_connection(("127.0.0.1", told.up.port("PORT_TLS"))) as raw, silent.wrap_socket(raw) as tls:
        tls.sendall(request())
        assert tls.recv(12) == b"HTTP/1.1 200"
        mine = f":{raw.getsockname()[1] if raw.fileno() >= 0 else tls.getsockname()[1]} "
        [line] = told.up.rehearsal.until(lambda: [one for one in told.log.all() if mine in one], "its line")
    assert ' "-" "-" 0 ' in line


@fact("C1", "20 chosen_cert_arn", "absent", "always `-`; field 19 tells which name the certificate was chosen by")
def test_c1_certificate(told: Told) -> None:
    assert told.having("chosen_cert_arn") == {}


@fact("C1", "21 matched_rule_priority: 1 and up; 0 the default rule; `-` when an error came before", "approximated",
      "the place of the rule in the file; `-1` (an error in a rule) does not happen")  # fmt: skip
def test_c1_rule(told: Told) -> None:
    rules = told.having("matched_rule_priority")
    named = {"empty": "1", "refuses": "2", "fixed": "3", "away": "4", "rule": "5", "464": "1", "grpcs": "1"}
    before = {"nonsense", "no host", "463", "trace"}
    assert rules == {case: named.get(case, "0") for case in told.lines if case not in before}


@fact("C1", "22 request_creation_time: when it came, in UTC with microseconds", "real")
def test_c1_creation_time(told: Told) -> None:
    for case, line in told.lines.items():
        created, written = (datetime.fromisoformat(line[name]) for name in ("request_creation_time", "time"))
        # Of an answer of the balancer's own both may be of the same turn of its loop.
        least = {"late": 0.198, "silent": 0.9}.get(case, 0.0)
        assert least <= (written - created).total_seconds() < 5.0, case


@fact("C1", "23 actions_executed: `forward`, `fixed-response`, `redirect`, `-`", "real")
def test_c1_actions(told: Told) -> None:
    before = {"nonsense", "no host", "463", "trace"}
    special = {"fixed": "fixed-response", "away": "redirect"}
    assert told.having("actions_executed") == {
        case: special.get(case, "forward") for case in told.lines if case not in before
    }


@fact("C1", "23 actions_executed: `authenticate`, `waf`, `waf-failed`; 25 error_reason of those and of Lambda", "absent",
      "there are no such actions and targets; field 25 is always `-`")  # fmt: skip
def test_c1_error_reason(told: Told) -> None:
    assert told.having("error_reason") == {}


@fact("C1", "24 redirect_url: where a redirect leads", "real")
def test_c1_redirect_url(told: Told) -> None:
    assert told.having("redirect_url") == {"away": told.answers["away"].one("location")}
    assert told["away"]["redirect_url"] == f"http://q.test:{told.up.port()}/to/away?a=b&x=1"


@fact("C1", "26 and 27: a list of targets and one of their codes, at present of one each", "real")
def test_c1_lists(told: Told) -> None:
    for case, line in told.lines.items():
        assert line["target_list"] == line.request.target, case
        assert line["target_status_code_list"] == line["target_status_code"], case


@fact("C1", "28 and 29: the class of a request that two programs may see differently, and why", "real")
def test_c1_classification(told: Told) -> None:
    assert told.having("classification") == {"ambiguous": "Ambiguous"}
    assert told.having("classification_reason") == {"ambiguous": "UndefinedContentLengthSemantics"}


@fact("C1", "28 and 29 of a request that was blocked", "approximated",
      "told of those that are Ambiguous, in `strictest`; what is Severe cannot be read as a request, and has `-`")  # fmt: skip
def test_c1_classification_of_a_blocked_one(bring_up: Callable[..., Up]) -> None:
    up = bring_up(OTHER.replace("NAME", "strictest").replace("KEY", "desync_mitigation: strictest"))
    severe = request("/", [("Content-Length", "1"), ("Content-Length", "2")], method="POST")
    found = []
    for raw in (request(body=b"abc"), severe):
        with up.client() as client:
            assert client.send(raw).answer().status == 400
            [line] = Log(up).of(client)
        found.append((line["elb_status_code"], line["classification"], line["classification_reason"]))
    assert found == [("400", "Ambiguous", "UndefinedContentLengthSemantics"), ("400", "-", "-")]


@fact("C1", "30 conn_trace_id: `TID_` and digits, one for each connection", "real")
def test_c1_connection(told: Told) -> None:
    assert len(set(told.having("conn_trace_id").values())) == len(told.lines)
    with told.up.client() as client:
        client.ask("/1"), client.ask("/2")
        first, second = told.log.of(client, 2)
    assert first["conn_trace_id"] == second["conn_trace_id"]


@fact("C1", "31 to 33: what rewriting made of host and URL", "absent", "always `-`: nothing is rewritten (A4)")
def test_c1_transforms(told: Told) -> None:
    for column in ("transformed_host", "transformed_uri", "request_transform_status"):
        assert told.having(column) == {}
