"""Requests with which one makes two servers disagree where a request ends. `METHOD` stands for the method: each is sent
as POST and as GET, since safe and other methods go different ways (pooled and fresh connections).

served: how many requests the balancer takes the bytes for, when it does not block them; what follows those is refused,
or is no request. tier: how the guardian of an ALB classifies them (aws-semantics A9), as far as it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["compliant", "acceptable", "ambiguous", "severe"]

INNER = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"
"""What is smuggled."""

REST = b"GET /smuggled HTTP/1.1\r\nHost: test\r\nX-Rest: "
"""A smuggled beginning: the next request on the connection would become its header."""


@dataclass(frozen=True)
class Case:
    name: str
    raw: bytes
    served: int = 0
    tier: Tier = "severe"
    cut: bool = False
    """The head may reach a target before the rest is found to be wrong: that connection is closed."""
    either: bool = False
    """To refuse it is as good."""
    loose: bool = False
    """The client must say that it is done: the balancer waits for more, as it should."""


def _to(*lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"METHOD /case " + version, b"Host: test", *lines, b"", b""]) + body


def _te(value: bytes, *, served: int = 0, tier: Tier = "severe", name: str, length: bytes = b"5") -> Case:
    """A transfer coding written oddly, beside a length: chunks if one believes the coding, `0\\r\\n\\r\\n` as the body if
    one believes the length, and a request behind it."""
    raw = _to(b"Content-Length: " + length, value, body=b"0\r\n\r\n" + INNER)
    return Case(f"te-{name}", raw, served=served, tier=tier)


def _chunk(size: bytes, *, name: str, served: int = 0, tier: Tier = "severe", tail: bytes = b"0\r\n\r\n") -> Case:
    """A first chunk whose size line is `size`, with its line end."""
    raw = _to(b"Transfer-Encoding: chunked", body=size + b"hello\r\n" + tail)
    return Case(f"chunk-{name}", raw, served=served, cut=True, tier=tier)


def _line(line: bytes, *, name: str, served: int = 0, tier: Tier = "severe") -> Case:
    return Case(name, _to(line), served=served, tier=tier)


def _first(line: bytes, *, name: str, served: int = 0, tier: Tier = "severe", either: bool = False) -> Case:
    return Case(f"first-{name}", line + b"\r\nHost: test\r\n\r\n", served=served, tier=tier, either=either)


def _length(
    value: bytes, *, name: str, served: int = 0, tier: Tier = "severe", loose: bool = False, cut: bool = False
) -> Case:
    raw = _to(b"Content-Length:" + value, body=b"hello")
    return Case(f"length-{name}", raw, served=served, tier=tier, cut=cut, loose=loose)


_CHUNKED = b"Transfer-Encoding: chunked"

CASES: tuple[Case, ...] = (
    # two framings
    Case("cl-te", _to(b"Content-Length: 6", _CHUNKED, body=b"0\r\n\r\nG"), 1, "ambiguous"),
    Case("cl-te-whole-request", _to(b"Content-Length: 43", _CHUNKED, body=b"0\r\n\r\n" + INNER), 1, "ambiguous"),
    Case("cl-te-poisoned-prefix", _to(b"Content-Length: 53", _CHUNKED, body=b"0\r\n\r\n" + REST), 1, "ambiguous"),
    Case("te-cl", _to(_CHUNKED, b"Content-Length: 4", body=b"26\r\n" + INNER + b"\r\n0\r\n\r\n"), 1, "ambiguous"),
    Case("te-cl-zero", _to(_CHUNKED, b"Content-Length: 0", body=b"5\r\nhello\r\n0\r\n\r\n"), 1, "ambiguous"),
    Case("cl-te-cl", _to(b"Content-Length: 5", _CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"), 1, "ambiguous"),
    Case("cl-te-cl-unequal", _to(b"Content-Length: 5", _CHUNKED, b"Content-Length: 50", body=b"0\r\n\r\n")),
    # transfer codings
    _te(b"Transfer-Encoding: CHUNKED", name="upper-case", served=1, tier="ambiguous"),
    _te(b"transfer-encoding: chunked", name="lower-case-name", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding:chunked", name="no-blank", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding:\tchunked", name="tab", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding:   chunked", name="blanks-before", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding: chunked   ", name="blanks-after", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding: chunked\t", name="tab-after", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding: \x0bchunked", name="vertical-tab"),
    _te(b"Transfer-Encoding: chunked\x0b", name="vertical-tab-after"),
    _te(b"Transfer-Encoding: \x0cchunked", name="form-feed"),
    _te(b"Transfer-Encoding: \x00chunked", name="nul"),
    _te(b"Transfer-Encoding: \xa0chunked", name="hard-blank"),
    _te(b"Transfer-Encoding: \"chunked\"", name="quoted"),
    _te(b"Transfer-Encoding: 'chunked'", name="single-quoted"),
    _te(b"Transfer-Encoding: xchunked", name="x-before"),
    _te(b"Transfer-Encoding: chunkedx", name="x-after"),
    _te(b"Transfer-Encoding: chunke", name="short"),
    _te(b"Transfer-Encoding: chunked;q=1", name="parameter"),
    _te(b"Transfer-Encoding: chunked, identity", name="then-identity"),
    _te(b"Transfer-Encoding: identity, chunked", name="after-identity"),
    _te(b"Transfer-Encoding: identity", name="identity"),
    _te(b"Transfer-Encoding: gzip", name="gzip"),
    _te(b"Transfer-Encoding: gzip, chunked", name="gzip-chunked"),
    _te(b"Transfer-Encoding: chunked, gzip", name="chunked-gzip"),
    _te(b"Transfer-Encoding: chunked, chunked", name="twice"),
    _te(b"Transfer-Encoding: ,chunked", name="comma-before"),
    _te(b"Transfer-Encoding: chunked,", name="comma-after"),
    _te(b"Transfer-Encoding:", name="empty"),
    _te(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", name="two-lines"),
    _te(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", name="two-lines-identity"),
    _te(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", name="two-lines-identity-first"),
    _te(b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", name="two-lines-unknown-first"),
    _te(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", name="two-lines-unknown-last"),
    _te(b"Transfer-Encoding:\r\n chunked", name="folded", served=1, tier="ambiguous"),
    _te(b"Transfer-Encoding: chun\r\n ked", name="folded-inside"),
    _te(b"X: y\r\n Transfer-Encoding: chunked", name="in-a-fold", served=2, tier="ambiguous"),
    _te(b" Transfer-Encoding: chunked", name="blank-before-name"),
    _te(b"Transfer-Encoding : chunked", name="blank-before-colon"),
    _te(b"Transfer-Encoding\t: chunked", name="tab-before-colon"),
    _te(b"Transfer-Encoding\x0b: chunked", name="vertical-tab-in-name"),
    _te(b"Transfer\x00-Encoding: chunked", name="nul-in-name"),
    _te(b"Transfer-\xffEncoding: chunked", name="high-byte-in-name"),
    _te(b"Transfer Encoding: chunked", name="blank-in-name"),
    _te(b"Transfer_Encoding: chunked", name="underscore", served=2, tier="ambiguous"),
    _te(b"Transfer.Encoding: chunked", name="dot", served=2, tier="ambiguous"),
    _te(b"X-Transfer-Encoding: chunked", name="other-name", served=2, tier="compliant"),
    _te(b"Foo: bar\nTransfer-Encoding: chunked", name="behind-bare-lf", served=1, tier="ambiguous"),
    _te(b"Foo: bar\rTransfer-Encoding: chunked", name="behind-bare-cr"),
    _te(b"Foo: bar\r\r\nTransfer-Encoding: chunked", name="behind-cr-cr-lf"),
    _te(b"Transfer-Encoding: chunked\rX: y", name="before-bare-cr"),
    _te(b": chunked\r\nTransfer-Encoding: chunked", name="behind-empty-name"),
    Case("te-in-http-1-0", _to(_CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", version=b"HTTP/1.0"), 0, "ambiguous"),
    Case("te-and-cl-in-http-1-0", _to(_CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n" + INNER, version=b"HTTP/1.0"), 0, "ambiguous"),
    Case("te-in-http-1-0-keep-alive", _to(_CHUNKED, b"Connection: keep-alive", body=b"5\r\nhello\r\n0\r\n\r\n", version=b"HTTP/1.0"), 0, "ambiguous"),
    # lengths
    _length(b" 5\r\nContent-Length: 5", name="twice-equal", served=1, tier="ambiguous"),
    _length(b" 5\r\nContent-Length: 6", name="twice-unequal"),
    _length(b" 0\r\nContent-Length: 5", name="zero-then-five"),
    _length(b" 5\r\nContent-Length: 0", name="five-then-zero"),
    _length(b" 5, 5", name="list-equal", served=1, tier="ambiguous"),
    _length(b" 5, 6", name="list-unequal"),
    _length(b" 5,", name="list-open"),
    _length(b" ,5", name="list-empty-first"),
    _length(b" +5", name="plus"),
    _length(b" -5", name="negative"),
    _length(b" -0", name="negative-zero"),
    _length(b" 0x5", name="hexadecimal"),
    _length(b" 5.0", name="decimal-point"),
    _length(b" 5e0", name="exponent"),
    _length(b" 5_0", name="underscore"),
    _length(b" 5 5", name="two-numbers"),
    _length(b" 5;a", name="parameter"),
    _length(b' "5"', name="quoted"),
    _length(b" \xc2\xb2", name="superscript"),
    _length(b" \xd9\xa5", name="arabic-digit"),
    _length(b" five", name="word"),
    _length(b"", name="empty"),
    _length(b"   ", name="blank"),
    _length(b"     5", name="blanks-before", served=1, tier="compliant"),
    _length(b"\t5\t", name="tabs", served=1, tier="compliant"),
    _length(b" \x0b5", name="vertical-tab"),
    _length(b" 5\x00", name="nul"),
    _length(b" 5\r", name="cr"),
    _length(b"\r\n 5", name="folded", served=1, tier="ambiguous"),
    _length(b" 0005", name="leading-zeros", served=1, tier="compliant"),
    _length(b" 18446744073709551621", name="beyond-64-bits"),
    _length(b" 9223372036854775808", name="beyond-63-bits"),
    _length(b" 99999999999999999999999999999999", name="huge"),
    _length(b" 9007199254740993", name="beyond-53-bits", loose=True, cut=True, tier="compliant"),
    _length(b" 50", name="more-than-sent", loose=True, cut=True, tier="compliant"),
    Case("length-less-than-sent", _to(b"Content-Length: 5", body=b"hello" + INNER), 2, "compliant"),
    Case("length-zero-with-request", _to(b"Content-Length: 0", body=INNER), 2, "compliant"),
    Case("length-none-with-request", _to(body=INNER), 2, "compliant"),
    Case("length-underscore", _to(b"Content-Length: 0", b"Content_Length: 38", body=INNER), 2, "ambiguous"),
    Case("length-blank-before-colon", _to(b"Content-Length: 0", b"Content-Length : 38", body=INNER)),
    Case("length-blank-in-name", _to(b"Content-Length: 0", b"Content Length: 38", body=INNER)),
    Case("length-behind-bare-lf", _to(b"Foo: bar\nContent-Length: 38", body=INNER), 1, "acceptable"),
    Case("length-behind-bare-cr", _to(b"Foo: bar\rContent-Length: 38", body=INNER)),
    # chunks
    _chunk(b"5\r\n", name="good", served=1, tier="compliant"),
    _chunk(b"00000005\r\n", name="leading-zeros", served=1, tier="compliant"),
    _chunk(b"5;a=b\r\n", name="extension", served=1, tier="compliant"),
    _chunk(b"5;\r\n", name="empty-extension", served=1, tier="compliant"),
    _chunk(b"5;a=\"\r\n\"\r\n", name="line-end-in-extension"),
    _chunk(b"5;a=b\n", name="lf-behind-extension"),
    _chunk(b"5;a\nb\r\n", name="lf-in-extension"),
    _chunk(b"5;a\rb\r\n", name="cr-in-extension"),
    _chunk(b"5\n", name="lf"),
    _chunk(b"5\r", name="cr"),
    _chunk(b"5\r\r\n", name="cr-cr-lf"),
    _chunk(b"5 \r\n", name="blank-behind", served=1),
    _chunk(b"5\t\r\n", name="tab-behind", served=1),
    _chunk(b" 5\r\n", name="blank-before"),
    _chunk(b"+5\r\n", name="plus"),
    _chunk(b"-5\r\n", name="negative"),
    _chunk(b"0x5\r\n", name="hexadecimal-mark"),
    _chunk(b"5g\r\n", name="no-digit"),
    _chunk(b"5_\r\n", name="underscore"),
    _chunk(b"\r\n", name="empty"),
    _chunk(b";a\r\n", name="only-extension"),
    Case("chunk-beyond-32-bits", _to(_CHUNKED, body=b"100000005\r\nhello"), tier="compliant", cut=True, loose=True),
    _chunk(b"10000000000000005\r\n", name="beyond-64-bits"),
    _chunk(b"fffffffffffffff5\r\n", name="negative-in-64-bits"),
    _chunk(b"4\r\n", name="too-small"),
    _chunk(b"6\r\n", name="too-big"),
    _chunk(b"5\r\n", name="last-is-00", tail=b"00\r\n\r\n", served=1, tier="compliant"),
    _chunk(b"5\r\n", name="last-with-lf", tail=b"0\n\n"),
    _chunk(b"5\r\n", name="final-lf", served=1, tier="acceptable", tail=b"0\r\n\n"),
    _chunk(b"5\r\n", name="pipelined-behind", tail=b"0\r\n\r\n" + INNER, served=2, tier="compliant"),
    _chunk(b"5\r\n", name="trailer", tail=b"0\r\nX-Sum: 1\r\n\r\n", served=1, tier="compliant"),
    _chunk(b"5\r\n", name="trailer-length", tail=b"0\r\nContent-Length: 38\r\n\r\n" + INNER, served=2, tier="compliant"),
    _chunk(b"5\r\n", name="trailer-coding", tail=b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + INNER, served=2, tier="compliant"),
    _chunk(b"5\r\n", name="trailer-host", tail=b"0\r\nHost: other\r\n\r\n", served=1, tier="compliant"),
    _chunk(b"5\r\n", name="trailer-no-colon", tail=b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    _chunk(b"5\r\n", name="trailer-bare-lf", tail=b"0\r\nX: y\nGET /smuggled HTTP/1.1\r\n\r\n"),
    _chunk(b"5\r\n", name="trailer-folded", served=1, tier="ambiguous", tail=b"0\r\nX: y\r\n z\r\n\r\n"),
    Case("chunk-no-final-line-end", _to(_CHUNKED, body=b"5\r\nhello\r\n0\r\n"), cut=True, loose=True, tier="ambiguous"),
    Case("chunk-missing-line-end", _to(_CHUNKED, body=b"5\r\nhello0\r\n\r\n"), cut=True),
    Case("chunk-line-end-lf", _to(_CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"), cut=True),
    Case("chunk-line-end-two-bytes", _to(_CHUNKED, body=b"5\r\nhelloXX0\r\n\r\n"), cut=True),
    Case("chunk-funky-size-line", _to(_CHUNKED, body=b"2\r\nxx\r\n26;\n" + INNER + b"\r\n0\r\n\r\n"), cut=True),
    # first lines
    _first(b"METHOD /case HTTP/0.9", name="http-0-9"),
    _first(b"METHOD /case HTTP/1.2", name="http-1-2", either=True, served=1, tier="acceptable"),
    _first(b"METHOD /case HTTP/2.0", name="http-2-0", either=True, served=1, tier="acceptable"),
    _first(b"METHOD /case HTTP/3.0", name="http-3-0", either=True, served=1, tier="acceptable"),
    _first(b"METHOD /case http/1.1", name="lower-case-version"),
    _first(b"METHOD /case HTTP/1.10", name="long-minor"),
    _first(b"METHOD /case HTTP/01.1", name="long-major"),
    _first(b"METHOD /case HTTP/1,1", name="comma"),
    _first(b"METHOD /case HTTP/1.", name="no-minor"),
    _first(b"METHOD /case HTTP/1.1x", name="version-tail"),
    _first(b"METHOD /case HTTP/1.1 ", name="blank-behind"),
    _first(b"METHOD /case FTP/1.1", name="other-protocol"),
    _first(b"METHOD /case", name="simple"),
    _first(b"METHOD", name="no-target"),
    _first(b"METHOD  /case HTTP/1.1", name="two-blanks", served=1, tier="acceptable"),
    _first(b"METHOD /case  HTTP/1.1", name="two-blanks-behind", served=1, tier="acceptable"),
    _first(b"METHOD\t/case\tHTTP/1.1", name="tabs", served=1, tier="acceptable"),
    _first(b" METHOD /case HTTP/1.1", name="blank-before"),
    _first(b"\r\nMETHOD /case HTTP/1.1", name="empty-line-before", served=1, tier="compliant"),
    _first(b"\r\n\r\n\r\nMETHOD /case HTTP/1.1", name="empty-lines-before", served=1, tier="acceptable"),
    _first(b"\nMETHOD /case HTTP/1.1", name="lf-before", served=1, tier="acceptable"),
    _first(b"\x00METHOD /case HTTP/1.1", name="nul-before"),
    _first(b"METHOD /ca se HTTP/1.1", name="blank-in-target", tier="acceptable"),
    _first(b"METHOD /ca\x00se HTTP/1.1", name="nul-in-target"),
    _first(b"METHOD /ca\x01se HTTP/1.1", name="control-in-target", tier="ambiguous"),
    _first(b"METHOD /ca\rse HTTP/1.1", name="cr-in-target"),
    _first(b"METHOD /ca\x7fse HTTP/1.1", name="delete-in-target", tier="ambiguous"),
    _first(b"METHOD /ca\xffse HTTP/1.1", name="high-byte-in-target"),
    _first(b"METHOD /case#part HTTP/1.1", name="fragment"),
    _first(b"METHOD case HTTP/1.1", name="no-slash"),
    _first(b"METHOD * HTTP/1.1", name="asterisk"),
    _first(b"METHOD http://test/case HTTP/1.1", name="absolute", served=1, tier="compliant"),
    _first(b"METHOD http://other/case HTTP/1.1", name="absolute-other-host"),
    _first(b"METHOD http://test@other/case HTTP/1.1", name="absolute-user"),
    _first(b"METHOD http:///case HTTP/1.1", name="absolute-no-host", served=1),
    _first(b"METHOD ftp://test/case HTTP/1.1", name="absolute-ftp", served=1),
    _first(b"METHOD(x) /case HTTP/1.1", name="bracket-in-method"),
    _first(b"METHOD\x00 /case HTTP/1.1", name="nul-in-method"),
    _first(b"MET\xffHOD /case HTTP/1.1", name="high-byte-in-method"),
    Case("first-http-1-0-without-host", b"METHOD /case HTTP/1.0\r\n\r\n", 1, "compliant"),
    Case("first-http-1-0-keep-alive", _to(b"Connection: keep-alive", body=INNER, version=b"HTTP/1.0"), 2, "compliant"),
    Case("first-preface-h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    # line ends
    Case("lf-everywhere", _to(b"Content-Length: 5", body=b"hello").replace(b"\r\n", b"\n"), 1, "acceptable"),
    Case("lf-behind-first-line", _to(b"X: y").replace(b"\r\n", b"\n", 1), 1, "acceptable"),
    Case("lf-behind-a-header", _to(b"X: y\nY: z"), 1, "acceptable"),
    Case("lf-as-empty-line", _to(b"X: y")[:-2] + b"\n", 1, "acceptable"),
    Case("lf-lf-in-header", _to(b"X: y\n\nGET /smuggled HTTP/1.1\r\nHost: test"), 2, "acceptable"),
    Case("cr-everywhere", _to(b"X: y").replace(b"\r\n", b"\r") + b"\n"),
    Case("cr-behind-first-line", _to(b"X: y").replace(b"\r\n", b"\r", 1)),
    Case("cr-in-value", _to(b"X: y\rz")),
    Case("cr-cr-lf", _to(b"X: y\r")),
    Case("cr-as-empty-line", _to(b"X: y")[:-2] + b"\r" + INNER),
    Case("lf-cr-in-header", _to(b"X: y\n\rGET /smuggled HTTP/1.1\r\nHost: test")),
    # headers
    _line(b"X: a\r\n b", name="fold", served=1, tier="ambiguous"),
    _line(b"X: a\r\n\tb", name="fold-tab", served=1, tier="ambiguous"),
    _line(b"X: a\r\n ", name="fold-empty", served=1, tier="ambiguous"),
    _line(b" X: a", name="fold-behind-host", tier="ambiguous"),
    Case("fold-first", b"METHOD /case HTTP/1.1\r\n X: a\r\nHost: test\r\n\r\n", 0, "ambiguous"),
    _line(b"X: a\r\n Content-Length: 5", name="fold-of-a-length", served=1, tier="ambiguous"),
    _line(b"X\r\n : a", name="fold-in-name"),
    _line(b"X: a\x00b", name="nul-in-value"),
    _line(b"X\x00: a", name="nul-in-header-name"),
    _line(b"X: a\x01b", name="control-in-value", served=1, tier="acceptable"),
    _line(b"X: a\x7fb", name="delete-in-value", served=1, tier="acceptable"),
    _line(b"X: \xc3\xa9", name="high-bytes-in-value", served=1, tier="acceptable"),
    _line(b"X\xc3: a", name="high-byte-in-header-name", tier="acceptable"),
    _line(b"X : a", name="blank-before-colon"),
    _line(b"X Y: a", name="blank-in-header-name"),
    _line(b"X(Y): a", name="bracket-in-header-name"),
    _line(b"NoColon", name="no-colon", tier="ambiguous"),
    _line(b": a", name="empty-header-name", tier="ambiguous"),
    _line(b"X:", name="empty-value", served=1, tier="compliant"),
    _line(b"   ", name="blank-line", served=1, tier="ambiguous"),
    # hosts
    _line(b"Host: other", name="host-twice"),
    _line(b"Host: test", name="host-twice-equal", served=1, tier="compliant"),
    Case("host-none", b"METHOD /case HTTP/1.1\r\n\r\n"),
    Case("host-empty", b"METHOD /case HTTP/1.1\r\nHost:\r\n\r\n", 1, "compliant"),
    Case("host-cr", b"METHOD /case HTTP/1.1\r\nHost: te\rst\r\n\r\n"),
    Case("host-lf", b"METHOD /case HTTP/1.1\r\nHost: te\nst\r\n\r\n"),
    Case("host-at", b"METHOD /case HTTP/1.1\r\nHost: a@test\r\n\r\n"),
    Case("host-blank", b"METHOD /case HTTP/1.1\r\nHost: te st\r\n\r\n"),
    Case("host-slash", b"METHOD /case HTTP/1.1\r\nHost: test/x\r\n\r\n"),
    Case("host-comma", b"METHOD /case HTTP/1.1\r\nHost: test, other\r\n\r\n"),
    Case("host-port-word", b"METHOD /case HTTP/1.1\r\nHost: test:port\r\n\r\n", 1),
    Case("host-port-huge", b"METHOD /case HTTP/1.1\r\nHost: test:99999\r\n\r\n", 1),
    Case("host-port-empty", b"METHOD /case HTTP/1.1\r\nHost: test:\r\n\r\n", 1),
    Case("host-nul", b"METHOD /case HTTP/1.1\r\nHost: te\x00st\r\n\r\n"),
    Case("host-blank-before-colon", b"METHOD /case HTTP/1.1\r\nHost : test\r\n\r\n"),
    # hop by hop, and other ways
    Case("connection-content-length", _to(b"Connection: content-length", b"Content-Length: 5", body=b"hello"), 1, "compliant"),
    Case("connection-transfer-encoding", _to(b"Connection: transfer-encoding", _CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"), 1, "compliant"),
    Case("connection-host", _to(b"Connection: host, x-forwarded-for"), 1, "compliant"),
    Case("connection-close-then-request", _to(b"Connection: close", body=INNER), 1, "compliant"),
    Case("connection-close-and-keep-alive", _to(b"Connection: close, keep-alive", body=INNER), 1, "compliant"),
    Case("http-1-0-then-request", _to(body=INNER, version=b"HTTP/1.0"), 1, "compliant"),
    Case("expect-continue", _to(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello" + INNER), 2, "compliant"),
    Case("expect-continue-no-body", _to(b"Expect: 100-continue", body=INNER), 2, "compliant"),
    Case("expect-twice", _to(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), 1, "compliant"),
    Case("expect-odd", _to(b"Expect: y 100-continue", b"Content-Length: 5", body=b"hello" + INNER), 2, "compliant"),
    Case("expect-upper-case", _to(b"Expect: 100-CONTINUE", b"Content-Length: 5", body=b"hello" + INNER), 2, "compliant"),
    Case("expect-and-chunks", _to(b"Expect: 100-continue", _CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n" + INNER), 2, "compliant"),
    Case("upgrade-h2c", _to(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", body=INNER), 2, "compliant"),
    Case("upgrade-h2c-only", _to(b"Connection: Upgrade", b"Upgrade: h2c", body=INNER), 2, "compliant"),
    Case("upgrade-websocket-refused", _to(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 777", body=INNER), 0, "compliant"),
    Case("upgrade-with-body", _to(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5", body=b"hello" + INNER), 0, "compliant"),
    Case("connect", b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n" + INNER),
    Case("trace", b"TRACE /case HTTP/1.1\r\nHost: test\r\n\r\n" + INNER, 1, "compliant", either=True),
    Case("pipelined", _to(b"Content-Length: 5", body=b"hello") + _to() + _to(), 3, "compliant"),
    Case("pipelined-then-garbage", _to() + b"garbage\r\n\r\n", 1),
    Case("pipelined-then-begun", _to() + REST, 1, "compliant"),
)  # fmt: skip
