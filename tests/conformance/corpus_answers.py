"""Answers of which two readers disagree where they end. What follows the answer, as one of them reads it, is POISON:
an answer that the next client on the connection must never get."""

from __future__ import annotations

from dataclasses import dataclass

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
CLOSED = -1
"""In place of a status: the client's connection ends before the answer does."""


@dataclass(frozen=True)
class Case:
    name: str
    raw: bytes
    """What the target writes, at once."""
    status: int = 502
    """What the client gets."""
    body: bytes = b"ok"
    """Where the status is the target's."""
    method: str = "GET"
    ends: bool = False
    """The target closes the connection behind it."""
    closes: bool = False
    """So does the balancer, toward the client."""


def _ok(*lines: bytes, body: bytes = b"ok" + POISON, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""]) + body


def _length(value: bytes) -> bytes:
    return _ok(b"Content-Length:" + value)


def _coded(*lines: bytes, body: bytes = b"2\r\nok\r\n0\r\n\r\n" + POISON) -> bytes:
    return _ok(*lines, body=body)


_CHUNKED = b"Transfer-Encoding: chunked"

CASES: tuple[Case, ...] = (
    # more than was said
    Case("extra-answer", _length(b" 2"), 200),
    Case("extra-bytes", _ok(b"Content-Length: 2", body=b"ok" + b"poison" * 10), 200),
    Case("extra-line-end", _ok(b"Content-Length: 2", body=b"ok\r\n" + POISON), 200),
    Case("extra-behind-nothing", _ok(b"Content-Length: 0", body=POISON), 200, b""),
    Case("extra-behind-chunks", _coded(_CHUNKED), 200),
    Case("extra-behind-close", _ok(b"Content-Length: 2", b"Connection: close"), 200),
    Case("extra-behind-204", _ok(first=b"HTTP/1.1 204 No Content", body=POISON), 204, b""),
    Case("extra-behind-304", _ok(first=b"HTTP/1.1 304 Not Modified", body=POISON), 304, b""),
    Case("body-in-204", _ok(b"Content-Length: 49", first=b"HTTP/1.1 204 No Content", body=POISON), 204, b""),
    Case("chunks-in-204", _coded(_CHUNKED).replace(b"200 OK", b"204 No Content"), 204, b""),
    Case("body-in-304", _ok(b"Content-Length: 49", first=b"HTTP/1.1 304 Not Modified", body=POISON), 304, b""),
    Case("body-in-205", _ok(b"Content-Length: 0", first=b"HTTP/1.1 205 Reset Content", body=POISON), 205, b""),
    Case("body-for-head", _ok(b"Content-Length: 49", body=POISON), 200, b"", method="HEAD"),
    Case("chunks-for-head", _coded(_CHUNKED), 200, b"", method="HEAD"),
    # two framings
    Case("lengths-unequal", _ok(b"Content-Length: 2", b"Content-Length: 51")),
    Case("lengths-unequal-other-order", _ok(b"Content-Length: 51", b"Content-Length: 2")),
    Case("lengths-equal", _ok(b"Content-Length: 2", b"Content-Length: 2"), 200),
    Case("lengths-list", _length(b" 2, 2"), 200),
    Case("lengths-list-unequal", _length(b" 2, 51")),
    Case("chunks-and-length", _coded(_CHUNKED, b"Content-Length: 2"), 200),
    Case("length-and-chunks", _coded(b"Content-Length: 61", _CHUNKED), 200),
    Case("chunks-in-http-1-0", _coded(_CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 200, closes=True),
    # codings
    Case("coding-upper-case", _coded(b"Transfer-Encoding: CHUNKED"), 200),
    Case("coding-twice", _coded(_CHUNKED, _CHUNKED)),
    Case("coding-list-twice", _coded(b"Transfer-Encoding: chunked, chunked")),
    Case("coding-unknown", _coded(b"Transfer-Encoding: xchunked", b"Content-Length: 2")),
    Case("coding-then-identity", _coded(b"Transfer-Encoding: chunked, identity", b"Content-Length: 2")),
    Case("coding-quoted", _coded(b'Transfer-Encoding: "chunked"', b"Content-Length: 2")),
    Case("coding-vertical-tab", _coded(b"Transfer-Encoding: \x0bchunked", b"Content-Length: 2")),
    Case("coding-blank-before-colon", _coded(b"Transfer-Encoding : chunked", b"Content-Length: 2")),
    Case("coding-folded", _coded(b"Transfer-Encoding:\r\n chunked"), 200),
    # lengths
    Case("length-plus", _length(b" +2")),
    Case("length-negative", _length(b" -2")),
    Case("length-hexadecimal", _length(b" 0x2")),
    Case("length-empty", _length(b"")),
    Case("length-word", _length(b" two")),
    Case("length-huge", _length(b" 99999999999999999999999")),
    Case("length-two-numbers", _length(b" 2 2")),
    Case("length-too-long", _ok(b"Content-Length: 500", body=b"ok"), CLOSED, ends=True),
    # chunks
    Case("chunk-size-word", _coded(_CHUNKED, body=b"two\r\nok\r\n0\r\n\r\n")),
    Case("chunk-size-negative", _coded(_CHUNKED, body=b"-2\r\nok\r\n0\r\n\r\n")),
    Case("chunk-size-huge", _coded(_CHUNKED, body=b"10000000000000002\r\nok\r\n0\r\n\r\n")),
    Case("chunk-lf", _coded(_CHUNKED, body=b"2\nok\n0\n\n")),
    Case("chunk-too-small", _coded(_CHUNKED, body=b"1\r\nok\r\n0\r\n\r\n")),
    Case("chunk-cut", _coded(_CHUNKED, body=b"2\r\nok\r\n"), CLOSED, ends=True),
    Case("chunk-trailer-length", _coded(_CHUNKED, body=b"2\r\nok\r\n0\r\nContent-Length: 49\r\n\r\n" + POISON), 200),
    # heads
    Case("no-answer", b"", 502, ends=True),
    Case("garbage", b"poison\r\n\r\n"),
    Case("http-0-9", b"poison", 502, ends=True),
    Case("version-2", _ok(b"Content-Length: 2", first=b"HTTP/2.0 200 OK"), 200),
    Case("version-odd", _ok(b"Content-Length: 2", first=b"HTTP/x 200 OK")),
    Case("status-long", _ok(b"Content-Length: 2", first=b"HTTP/1.1 2000 OK")),
    Case("status-short", _ok(b"Content-Length: 2", first=b"HTTP/1.1 20 OK")),
    Case("status-600", _ok(b"Content-Length: 2", first=b"HTTP/1.1 600 OK"), 600),
    Case("status-word", _ok(b"Content-Length: 2", first=b"HTTP/1.1 two OK")),
    Case("no-colon", _ok(b"Content-Length: 2", b"poison")),
    Case("blank-before-colon", _ok(b"Content-Length : 2")),
    Case("nul-in-value", _ok(b"Content-Length: 2", b"X: a\x00b")),
    Case("cr-in-value", _ok(b"Content-Length: 2", b"X: a\rb")),
    Case("lf-line-ends", _length(b" 2").replace(b"\r\n", b"\n", 3), 200),
    Case("fold", _ok(b"Content-Length: 2", b"X: a\r\n b"), 200),
    Case("head-too-long", _ok(b"Content-Length: 2", b"X: " + b"poison" * 6000)),
    Case("headers-too-many", _ok(b"Content-Length: 2", *(b"X: poison" for _ in range(300)))),
    # interim answers
    Case("early-hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + _length(b" 2"), 200),
    Case("continue-unasked", b"HTTP/1.1 100 Continue\r\n\r\n" + _length(b" 2"), 200),
    Case("flood-of-100", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + _length(b" 2"), 200),
    Case("flood-of-103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2000 + _length(b" 2"), 200),
    Case("interim-with-length", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 49\r\n\r\n" + _length(b" 2"), 200),
    Case("only-interim", b"HTTP/1.1 103 Early Hints\r\n\r\n", 502, ends=True),
    Case("switch-unasked", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + POISON),
)
