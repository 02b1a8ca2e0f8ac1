"""The headers that the balancer adds, changes and takes away, as each stack's attributes say. Pure.

In: the listeners on an endpoint. Out: `http-request` rules (aws-semantics A5, A6). They stand behind the rules' choice:
conditions look at a request as the client sent it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.haproxy.claims import Endpoint
from fairlead.haproxy.owners import Part, by_attribute, when

TRACE, TRACED = "var(txn.trace)", "var(txn.traced)"

TRACE_FORMAT = f"%[var(txn.part,Root)]=1-%[date,hex,bytes(8,8),lower]-{'%[rand,hex,bytes(8,8),lower]' * 3}"
"""Of the `unique-id`. Cheaper than the digits of a uuid: every request gets one."""

FORWARDED = "x-forwarded-for"

ALIKE = ("x_forwarded", "x-forwarded_")
"""How names begin that a program may take for those of X-Forwarded-For, -Proto and -Port."""

LONGEST_TRACED = 7168
"""Bytes of all headers beyond which the client's trace is forgotten."""

USUAL_PORTS = (80, 443)
"""Those that a normalised Host leaves out, whatever the protocol."""


def named(endpoint: Endpoint) -> list[str]:
    """A client of HTTP/1.0 that names no host gets the address that it asked (an ALB puts its own name in)."""
    address = "[%[dst]]" if ":" in endpoint[0] else "%[dst]"
    return [when(f"set-header Host {address}:%[dst_port]", "!{ req.hdr(host) -m found }")]


def kept() -> list[str]:
    """A client that calls a header one of its connection's (`Connection: close, X-Forwarded-For`) asks whoever reads
    them next to drop it (RFC 9110, 7.6.1): none of those that the balancer sets."""
    return [when("del-header Connection", "{ req.hdr(connection) -m beg -i x-forwarded- x-amzn- }")]


def traced() -> list[str]:
    """X-Amzn-Trace-Id: a root that came is kept, with ours as Self in front; else it is ours. The unique-id
    (`TRACE_FORMAT`) is the first part, txn.traced what follows it."""
    root = f"{{ {TRACE} -m reg -- '(^|;) *Root=' }}"
    without_self = f"""'{TRACE},regsub("(^|;) *Self=[^;]*","",g),regsub("^;","")'"""
    return [
        # Looked up once: a variable costs a third of a header.
        "set-var(txn.trace) req.fhdr(x-amzn-trace-id)",
        when("unset-var(txn.trace)", f"{{ {TRACE} -m found }}", f"{{ req.hdrs,length gt {LONGEST_TRACED} }}"),
        when(f"set-var(txn.trace) {without_self}", f"{{ {TRACE} -m sub Self= }}"),
        when("set-var(txn.part) str(Self)", root),
        when("set-var(txn.traced) str(;),concat(,txn.trace)", "{ var(txn.part) -m found }"),
        f'set-header X-Amzn-Trace-Id "%[unique-id]%[{TRACED}]"',
    ]


def attributes(endpoint: Endpoint, parts: Sequence[Part]) -> list[str]:
    """What the stacks' attributes ask for, each for its own requests."""
    scheme = "https" if parts[0][1].protocol == "HTTPS" else "http"
    # WSGI and CGI give these the names of the real ones, and the last one counts: a client could say for itself who it
    # is, also where what a proxy in front says is preserved.
    lines = [f"del-header {name} -m beg" for name in ALIKE]
    for drop, own in by_attribute(parts, lambda wanted: wanted.drop_invalid_headers):
        # A name is invalid when it holds anything but these (aws-semantics A5).
        lines += [when("del-header [^-A-Za-z0-9] -m reg", own)] if drop else []
    for mode, own in by_attribute(parts, lambda wanted: wanted.forwarded_for):
        lines += {"append": _appended(endpoint[1], scheme, own), "remove": _removed(own), "preserve": []}[mode]
    for preserve, own in by_attribute(parts, lambda wanted: wanted.preserve_host):
        lines += [] if preserve else _normalised(endpoint[1], own)
    return lines


def source(endpoint: Endpoint) -> str:
    """The rule (`tcp-request connection`) for what X-Forwarded-For says: once for all requests of a connection."""
    # On a socket of both families IPv4 shows as a part of IPv6. (Any conversion of text makes it text.)
    return f"set-var(sess.source) src,{'regsub(^::ffff:,,)' if endpoint[0] == '::' else 'lower'}"


def _appended(port: int, scheme: str, own: str) -> list[str]:
    address = "%[var(sess.source)]"
    single = "{ var(txn.hops) -m int 1 }"
    return [
        when(f"set-var(txn.hops) req.fhdr_cnt({FORWARDED})", own),
        when(f'set-header X-Forwarded-For "%[req.fhdr({FORWARDED})], {address}"', single, own),
        # Of several lines each is kept: one more means the same as one that is longer.
        when(f"add-header X-Forwarded-For {address}", f"!{single}", own),
        when(f"set-header X-Forwarded-Proto {scheme}", own),
        when(f"set-header X-Forwarded-Port {port}", own),
    ]


def _removed(own: str) -> list[str]:
    return [when(f"del-header X-Forwarded-{what}", own) for what in ("For", "Proto", "Port")]


def _normalised(port: int, own: str) -> list[str]:
    if port in USUAL_PORTS:
        return [when("set-header Host %[req.fhdr(host),host_only,lower]", own)]
    return [
        when("set-header Host %[req.fhdr(host),lower]", own),
        when(f"set-header Host %[req.fhdr(host)]:{port}", "{ req.fhdr(host),port_only eq 0 }", own),
    ]
