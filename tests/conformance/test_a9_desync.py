"""A9: requests that two programs could read in two ways, in each mode of desync mitigation.

What an ALB does by tier: Acceptable passes in monitor and defensive and is blocked in strictest; Ambiguous passes in
both, in defensive with both connections closed behind it, and is blocked in strictest; Severe passes in monitor only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from tests.conformance.client import Client, Closed, tell
from tests.conformance.facts import fact
from tests.conformance.files import with_balancer
from tests.conformance.rehearsal import Rehearsal, Up, stack_of

pytestmark = pytest.mark.live

FILE = """\
name: desync-MODE
services: {web: {targets: ["${env.web}"]}}
load_balancer:
  desync_mitigation: MODE
  listeners: [{port: "${env.PORT}", default: {forward: web}}]
"""

MODES = ("monitor", "defensive", "strictest")
Outcome = Literal["passes", "closes", "blocked"]
"""`closes`: it passes, and the connections of client and target are closed behind it."""

COMPLIANT: tuple[Outcome, ...] = ("passes", "passes", "passes")
ACCEPTABLE: tuple[Outcome, ...] = ("passes", "passes", "blocked")
AMBIGUOUS: tuple[Outcome, ...] = ("passes", "closes", "blocked")
SEVERE: tuple[Outcome, ...] = ("passes", "blocked", "blocked")
BLOCKED: tuple[Outcome, ...] = ("blocked", "blocked", "blocked")
PASSES = COMPLIANT


@pytest.fixture(scope="module")
def modes(rehearsal: Rehearsal) -> Iterator[dict[str, Up]]:
    ups = {mode: rehearsal.up(FILE.replace("MODE", mode)) for mode in MODES}
    yield ups
    for up in ups.values():
        up.down()


def outcome(up: Up, raw: bytes) -> Outcome:
    """What becomes of the bytes of one request; the target must see one request or none."""
    server = up.servers["web"]
    before = len(server.heard)
    with up.client() as client:
        try:
            answer = client.send(raw).answer(head=raw.startswith(b"HEAD"))
        except Closed:
            assert len(server.heard) == before
            return "blocked"
        if answer.status == 400:
            assert len(server.heard) == before
            assert client.ends()
            return "blocked"
        assert answer.status == 200
        assert len(server.heard) == before + 1
        if answer.one("connection") == "close":
            assert client.ends()
            assert "close" in server.last.all("connection") or _gone(up, server.last.connection)
            return "closes"
        assert client.ask().status == 200
        return "passes"


def _gone(up: Up, connection: int) -> bool:
    """Whether requests no longer come on that connection to the target."""
    return all(up.ask().status == 200 and up.servers["web"].last.connection != connection for _ in range(2))


def outcomes(modes: dict[str, Up], raw: bytes) -> tuple[Outcome, ...]:
    return tuple(outcome(modes[mode], raw) for mode in MODES)


def head(*lines: bytes, first: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((first, b"Host: a", *lines)) + b"\r\n\r\n" + body


POST = b"POST / HTTP/1.1"


@fact("A9", "Three modes: monitor, defensive (the default), strictest", "real")
def test_a9_modes() -> None:
    assert stack_of(with_balancer("address: 127.0.0.1")).attributes.desync_mitigation == "defensive"
    for mode in MODES:
        assert stack_of(with_balancer(f"desync_mitigation: {mode}")).attributes.desync_mitigation == mode


@fact("A9", "Compliant requests pass in every mode", "real")
def test_a9_compliant(modes: dict[str, Up]) -> None:
    for raw in (
        head(b"X: 1"),
        head(b"Content-Length: 3", first=POST, body=b"abc"),
        head(b"Transfer-Encoding: chunked", first=POST, body=b"3\r\nabc\r\n0\r\n\r\n"),
        head(first=b"DELETE /a%20b?c=%00 HTTP/1.1"),
    ):
        assert outcomes(modes, raw) == COMPLIANT


@fact("A9", "AmbiguousUri (control characters in the URI): Ambiguous", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_ambiguous_uri(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(first=b"GET /a\x01b HTTP/1.1")) == BLOCKED


@fact("A9", "BadContentLength (unparsable): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_content_length(modes: dict[str, Up]) -> None:
    for length in (b"x", b"+3", b"3,3 x", b"", b"-1", b"0x3", b"99999999999999999999"):
        assert outcomes(modes, head(b"Content-Length: " + length, first=POST, body=b"abc")) == BLOCKED


@fact("A9", "BadHeader (NUL or CR in a header): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_header(modes: dict[str, Up]) -> None:
    for value in (b"a\0b", b"a\rb"):
        assert outcomes(modes, head(b"X: " + value)) == BLOCKED


@fact("A9", "BadTransferEncoding: Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_transfer_encoding(modes: dict[str, Up]) -> None:
    for coding in (b"nonsense", b"chunked, nonsense", b"xchunked", b""):
        raw = head(b"Transfer-Encoding: " + coding, first=POST, body=b"0\r\n\r\n")
        assert outcomes(modes, raw) == BLOCKED


@fact("A9", "BadUri (NUL or CR in the URI): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_uri(modes: dict[str, Up]) -> None:
    for uri in (b"/a\0b", b"/a\rb"):
        assert outcomes(modes, head(first=b"GET " + uri + b" HTTP/1.1")) == BLOCKED


@fact("A9", "BadMethod (malformed): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_method(modes: dict[str, Up]) -> None:
    for method in (b"GE(T", b"G\0T", b"{GET}", b""):
        assert outcomes(modes, head(first=method + b" / HTTP/1.1")) == BLOCKED


@fact("A9", "BadVersion (malformed): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_bad_version(modes: dict[str, Up]) -> None:
    for version in (b"HTTP/x.y", b"HTTQ/1.1", b"HTTP/1.1 x", b"HTTP/"):
        assert outcomes(modes, head(first=b"GET / " + version)) == BLOCKED


@fact("A9", "BothTeClPresent: Ambiguous", "approximated",
      "the connections are closed in every mode; Transfer-Encoding holds, and Content-Length is removed")  # fmt: skip
def test_a9_both_te_and_cl(modes: dict[str, Up]) -> None:
    raw = head(b"Content-Length: 6", b"Transfer-Encoding: chunked", first=POST, body=b"1\r\nx\r\n0\r\n\r\n")
    assert outcomes(modes, raw) == ("closes", "closes", "closes")
    for up in modes.values():
        if up.servers["web"].heard and up.servers["web"].last.method == "POST":
            assert up.servers["web"].last.body == b"x"


@fact("A9", "DuplicateContentLength (equal): Ambiguous", "approximated",
      "it passes in every mode, as one header: HAProxy joins them before anything can look")  # fmt: skip
def test_a9_duplicate_content_length(modes: dict[str, Up]) -> None:
    for lines in ((b"Content-Length: 3", b"Content-Length: 3"), (b"Content-Length: 3, 3",)):
        assert outcomes(modes, head(*lines, first=POST, body=b"abc")) == PASSES


@fact("A9", "EmptyHeader (no name, or a line of blanks): Ambiguous", "approximated",
      "no name: blocked in every mode; a line of blanks continues the header before it and passes in every mode")  # fmt: skip
def test_a9_empty_header(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b": value")) == BLOCKED
    assert outcomes(modes, head(b"   ")) == PASSES


@fact("A9", "GetHeadZeroContentLength: Acceptable", "real")
def test_a9_get_with_length_0(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"Content-Length: 0")) == ACCEPTABLE
    assert outcomes(modes, head(b"Content-Length: 0", first=b"HEAD / HTTP/1.1")) == ACCEPTABLE


@fact("A9", "MultipleContentLength (different): Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_multiple_content_length(modes: dict[str, Up]) -> None:
    for lines in ((b"Content-Length: 3", b"Content-Length: 4"), (b"Content-Length: 3, 4",)):
        assert outcomes(modes, head(*lines, first=POST, body=b"abcd")) == BLOCKED


@fact("A9", "MultipleTransferEncodingChunked: Severe", "approximated",
      "blocked in every mode, monitor as well: HAProxy refuses to read it")  # fmt: skip
def test_a9_multiple_transfer_encoding(modes: dict[str, Up]) -> None:
    for lines in (
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked, chunked",),
    ):
        assert outcomes(modes, head(*lines, first=POST, body=b"0\r\n\r\n")) == BLOCKED


@fact("A9", "NonCompliantHeader (not ASCII, or a control character): Acceptable", "real")
def test_a9_non_compliant_header(modes: dict[str, Up]) -> None:
    for value in (b"\xff\xe4", b"a\x01b", b"a\x7fb"):
        assert outcomes(modes, head(b"X: " + value)) == ACCEPTABLE


@fact("A9", "NonCompliantVersion (odd): Acceptable", "approximated",
      "505 in every mode")  # fmt: skip
def test_a9_non_compliant_version(modes: dict[str, Up]) -> None:
    for version in (b"HTTP/1.2", b"HTTP/2.0"):
        for up in modes.values():
            assert tell(up.port(), head(first=b"GET / " + version)).status == 505


@fact("A9", "SpaceInUri: Acceptable", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_space_in_uri(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(first=b"GET /a b HTTP/1.1")) == BLOCKED


@fact("A9", "SuspiciousHeader (like Transfer-Encoding or Content-Length): Ambiguous", "approximated",
      "as far as `_` stands for `-`; with other characters it passes")  # fmt: skip
def test_a9_suspicious_header(modes: dict[str, Up]) -> None:
    for line in (b"Transfer_Encoding: chunked", b"Content_Length: 3"):
        assert outcomes(modes, head(line)) == AMBIGUOUS
    assert outcomes(modes, head(b"Content.Length: 3")) == PASSES


@fact("A9", "A blank between a header's name and its colon: Ambiguous", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_blank_before_colon(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"Transfer-Encoding : chunked", first=POST, body=b"0\r\n\r\n")) == BLOCKED


@fact("A9", "UndefinedContentLengthSemantics (a GET or HEAD with a body by Content-Length): Ambiguous", "real")
def test_a9_get_with_length(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"Content-Length: 3", body=b"abc")) == AMBIGUOUS
    assert outcomes(modes, head(b"Content-Length: 3", first=b"HEAD / HTTP/1.1", body=b"abc")) == AMBIGUOUS


@fact("A9", "UndefinedTransferEncodingSemantics (a GET or HEAD with Transfer-Encoding): Ambiguous", "real")
def test_a9_get_with_transfer_encoding(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")) == AMBIGUOUS


@fact("A9", "Lines that end with LF alone: Acceptable", "approximated",
      "it passes in every mode, and targets get CR LF")  # fmt: skip
def test_a9_bare_lf(modes: dict[str, Up]) -> None:
    assert outcomes(modes, b"GET / HTTP/1.1\nHost: a\nX: 1\n\n") == PASSES


@fact("A9", "A header over several lines: Ambiguous", "approximated",
      "it passes in every mode, its lines joined by blanks")  # fmt: skip
def test_a9_folded_header(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"X: one\r\n two")) == PASSES


@fact("A9", "A header without colon: Ambiguous", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_missing_colon(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(b"X")) == BLOCKED


@fact("A9", "No URI: Ambiguous", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_missing_uri(modes: dict[str, Up]) -> None:
    assert outcomes(modes, head(first=b"GET HTTP/1.1")) == BLOCKED


@fact("A9", "HTTP/0.9: Acceptable at best", "approximated",
      "blocked in every mode: HAProxy refuses to read it")  # fmt: skip
def test_a9_http_0_9(modes: dict[str, Up]) -> None:
    assert outcomes(modes, b"GET /\r\n\r\n") == BLOCKED


@fact("A9", "HTTP/1.0 with Transfer-Encoding: Ambiguous", "approximated",
      "blocked in every mode")  # fmt: skip
def test_a9_http_1_0_with_transfer_encoding(modes: dict[str, Up]) -> None:
    raw = head(b"Transfer-Encoding: chunked", b"Connection: keep-alive", first=b"POST / HTTP/1.0", body=b"0\r\n\r\n")
    assert outcomes(modes, raw) == BLOCKED


@fact("A9", "A blocked request is answered with 400, and the client's connection is closed", "real")
def test_a9_a_block_is_400(modes: dict[str, Up]) -> None:
    for up in modes.values():
        with Client(up.port()) as client:
            client.send(head(b"Content-Length: 3", b"Content-Length: 4", first=POST, body=b"abcd"))
            assert client.answer().status == 400
            assert client.ends()


@fact("A9", "Nothing of a blocked request reaches a target", "real")
def test_a9_nothing_blocked_reaches_a_target(modes: dict[str, Up]) -> None:
    for up in modes.values():
        before = len(up.servers["web"].heard)
        with Client(up.port()) as client:
            smuggled = b"abcdGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            client.send(head(b"Content-Length: 3", b"Content-Length: 4", first=POST, body=smuggled))
            assert client.answer().status == 400
            assert client.ends()
        assert up.ask("/after").status == 200
        assert [one.target for one in up.servers["web"].heard[before:]] == ["/after"]
