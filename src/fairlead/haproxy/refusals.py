"""What the balancer refuses, and whose connections it closes afterwards. Pure.

In: the listeners on an endpoint. Out: `http-request` rules (aws-semantics A6 to A9). Desync mitigation is for what
HAProxy's parser lets pass and still shows. Severe requests it answers with 400 itself, in every mode. Two ambiguous
ones it makes harmless without showing them: of Content-Length beside Transfer-Encoding the first is dropped and the
client's connection closed, of equal lengths one is kept; a folded line is joined, a bare LF taken for CR LF.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.haproxy.owners import Part, by_attribute, when
from fairlead.haproxy.pages import answer

MOST_ADDRESSES = 30
"""In X-Forwarded-For."""

CLOSE = "{ var(txn.close) -m found }"
"""Both connections are closed behind the response; txn.close says why."""

_CODED = "{ req.fhdr(transfer-encoding) -m found }"
_BODILESS = "{ method GET HEAD }"
_PATHLESS = "!{ path -m beg / }"

AMBIGUOUS = (
    ("Ambiguous/UndefinedTransferEncodingSemantics", f"{_CODED} {_BODILESS}"),
    ("Ambiguous/UndefinedContentLengthSemantics", f"{{ req.hdr_val(content-length) gt 0 }} {_BODILESS}"),
    ("Ambiguous/SuspiciousHeader", "{ req.fhdr(content_length) -m found }"),
    ("Ambiguous/SuspiciousHeader", "{ req.fhdr(transfer_encoding) -m found }"),
)
"""What an ALB calls such a request and why, and the condition."""

UNANNOUNCED = tuple(
    (
        "Ambiguous/UndefinedContentLengthSemantics",
        f"{{ fc_http_major 2 }} {_BODILESS} !{{ req.fhdr(upgrade) -m found }} {more}",
    )
    for more in ("{ req.body_len gt 0 }", "!{ internal.htx.has_eom }")
)
"""Of HTTP/2, where a body needs no header: HAProxy sends it on as chunked. A target that takes no body for what it is
would read it as the next request, somebody else's perhaps. What is there already, or still to come; but for WebSockets
(a CONNECT there, here a GET with Upgrade)."""

ACCEPTABLE = (
    ("Acceptable/GetHeadZeroContentLength", f"{{ req.hdr_val(content-length) eq 0 }} {_BODILESS}"),
    ("Acceptable/NonCompliantHeader", r"{ req.hdrs -m reg -- '[^\t\r\n -~]' }"),
)


def refusals(parts: Sequence[Part]) -> list[str]:
    """What no stack takes."""
    # On TLS the version is HTTP/2's own as well.
    first_version = "{ fc_http_major 1 }" if parts[0][1].protocol == "HTTPS" else ""
    return [
        # A tunnel to a target would lead past every rule.
        when(answer(405, ("Connection close",)), "{ method TRACE CONNECT }"),
        when(answer(400, ("Connection close",)), "!{ req.hdr(host) -m found }", "HTTP_1.1"),
        # HAProxy would send it on as it is, and what HTTP/1.0 says of it is read in two ways.
        when(answer(400, ("Connection close",)), "HTTP_1.0", _CODED),
        when(answer(463), f"{{ req.hdr_cnt(x-forwarded-for) gt {MOST_ADDRESSES} }}"),
        # What names no path is no rule's; only OPTIONS of `*`, or of an address alone, means something to a server.
        when(answer(400, ("Connection close",)), _PATHLESS, "!METH_OPTIONS"),
        when(answer(400, ("Connection close",)), _PATHLESS, r"!{ url -m reg -- '^(?:\*$|[A-Za-z]+://)' }"),
        when(answer(505, ("Connection close",)), "!{ req.ver 1.1 1.0 }", first_version),
    ]


def desync(parts: Sequence[Part]) -> list[str]:
    """What each stack's mode says of a request whose extent two programs may see differently."""
    lines = []
    unannounced = UNANNOUNCED if parts[0][1].protocol == "HTTPS" else ()
    for mode, own in by_attribute(parts, lambda wanted: wanted.desync_mitigation):
        if mode == "monitor":
            continue
        seen = (*AMBIGUOUS, *unannounced, *(ACCEPTABLE if mode == "strictest" else ()))
        lines += [when(f"set-var(txn.close) str({why})", one, own) for why, one in seen]
        if mode == "strictest":
            lines.append(when(answer(400), CLOSE, own))
        else:
            lines.append(when("set-header Connection close", CLOSE, own))
    return lines


def closing(parts: Sequence[Part]) -> list[str]:
    """`http-after-response` rules: which client connections end with their response. One of HTTP/2 does not: HAProxy
    2.8 tells its clients nothing then. A WebSocket's opening says what becomes of its connection itself."""
    age = max(routing.attributes.client_keep_alive for routing, _ in parts)
    last, grown = "set-header Connection close", f"{{ date,sub(sess.began) ge {max(1, round(age))} }}"
    lines = [when(last, grown, "!{ status 101 }")]
    if any(routing.attributes.desync_mitigation != "monitor" for routing, _ in parts):
        lines.append(when(last, CLOSE, "!{ status 101 }"))
    return lines
