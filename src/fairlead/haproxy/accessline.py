"""One request as a line of the access log: an ALB's fields, written by HAProxy itself (aws-semantics C1). Pure.

In: the listeners on an endpoint. Out: the lines of its frontend that make the line. The law: each line has the 33
fields of an ALB's, each missing one as an ALB writes it, and three of fairlead's own behind them: `"INSTANCE"`, how
often it was tried again (`+` in front: at another target), and HAProxy's four letters for how it ended. Whatever a
client sends stays within its field: what would end the field is escaped by a backslash (and so is `]`), what would end
the line is no request.

What is written costs every request, so nothing is made twice: what is the same for all is text, and what is another
when the balancer answered itself is a variable that only such answers set. An address is written once: HAProxy does it
with printf, which takes as long as five other fields. What cannot be read as a request has no variables, and a line of
its own (`error-log-format`), as have failed handshakes, which are no requests: theirs begins with `-`, and readers pass
over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fairlead.haproxy import words
from fairlead.haproxy.access import log_of, variable
from fairlead.haproxy.claims import Endpoint
from fairlead.haproxy.headers import TRACED
from fairlead.haproxy.owners import Part, by_attribute, when

LONGEST = 65_535
"""Bytes of a line: more than 16 kB of headers take when all of it is escaped, so that none is cut."""

LONGEST_HOST, LONGEST_AGENT = 1024, 8192
"""Bytes of these headers that are written; an ALB cuts the second one, too."""

SECONDS = "%Y-%m-%dT%H:%M:%S"
FAILED = "-1 -1 -1"
"""Fields 6 to 8 where no target answered."""

TEXT = "rtrim(-)"
"""Makes text of a number, so that `bytes` means its digits: the cheapest converter that wants text and changes none."""

TARGET = "%[var(txn.target,-)]%{-M}sp"
"""Fields 5 and 26; the port of a Unix socket is 0, and without a target there is none."""

SNI = '"%[ssl_fc_sni,url_enc]"'
"""Field 19: HAProxy takes any bytes for a name, line ends too. A name that is one is the same encoded."""

_REFUSED = "!{ var(txn.sent) -m found }"
"""By a rule of the frontend: nothing was sent on."""


def id_of(name: str) -> str:
    """The last part of an ARN, as stable as the name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def group_arn(full: str) -> str:
    """Field 17 of a group: `targetgroup/SERVICE/ID`."""
    return f"targetgroup/{full.partition('.')[2]}/{id_of(full)}"


def is_logged(parts: Sequence[Part]) -> bool:
    """Whether any request that comes in there is."""
    return bool(log_of(routing for routing, _ in parts))


def where(endpoint: Endpoint, parts: Sequence[Part], single: str | None) -> list[str]:
    """What a frontend says of its log; the rules below belong to it. single: the group of all requests, when there is
    one."""
    [log] = log_of(routing for routing, _ in parts)
    return [
        # In this order. They are taken in passing, while a rule for each would look through all headers.
        f"capture request header Host len {LONGEST_HOST}",
        f"capture request header User-Agent len {LONGEST_AGENT}",
        f'log "fd@${{{variable(log)}-2}}" len {LONGEST} format raw local0',
        f"log-format '{_line(endpoint, parts, single)}'",
        f"error-log-format '{_unread(endpoint, parts)}'",
    ]


def connected() -> str:
    """A `tcp-request connection` rule: what field 30 says, the same for all requests of a connection."""
    half = "%[rand,hex,bytes(8,8),lower]"
    return f'set-var-fmt(sess.tid) "TID_{half}{half}"'


def came(parts: Sequence[Part]) -> list[str]:
    """The first `http-request` rules: what field 1 says of HTTP/2."""
    if parts[0][1].protocol != "HTTPS":
        return []
    second, called = "{ fc_http_major 2 }", "{ req.fhdr(content-type) -m beg -i application/grpc }"
    return [when("set-var(txn.type) str(h2)", second), when("set-var(txn.type) str(grpcs)", second, called)]


def silenced(parts: Sequence[Part]) -> list[str]:
    """`http-request` rules behind those that find the owner: some stacks of a port want no log."""
    return [
        when("set-log-level silent", own)
        for wanted, own in by_attribute(parts, lambda attributes: attributes.access_log)
        if not wanted
    ]


def answered(parts: Sequence[Part]) -> list[str]:
    """`http-response` rules: what a target's answer makes of fields 1, 5, 7, 10, 26 and 27."""
    upgraded = "wss" if parts[0][1].protocol == "HTTPS" else "ws"
    return [
        *_target(),
        when('set-var-fmt(txn.times) "0.000 %[var(txn.took),div(1000000)]."', "{ var(txn.took) -m int ge 1000000 }"),
        "set-var(txn.status) status",
        when(f"set-var(txn.type) str({upgraded})", "{ status 101 }"),
    ]


def refused(single: str | None) -> list[str]:
    """`http-after-response` rules for what no target answered: what differs then."""
    lines = [*_target(), f'set-var-fmt(txn.times) "{FAILED}"', when("set-var(txn.action) str(-)", _REFUSED)]
    if single is not None:
        lines += [when(f"set-var(txn.{name}) str(-)", _REFUSED) for name in ("rule", "arn")]
    # The last: it is what tells them.
    return [*lines, when("set-var(txn.sent) date(0,us)", _REFUSED)]


def asked_for() -> list[str]:
    """Those of the backend that answers because a rule says so."""
    location = "{ res.hdr(location) -m found }"
    return [
        "set-var(txn.action) str(fixed-response)",
        when("set-var(txn.action) str(redirect)", "{ var(txn.to) -m found }"),
        when("set-var(txn.location) res.hdr(location)", location),
    ]


def belongs(full: str) -> str:
    """The `http-request` rule of a group's backends where requests choose among groups."""
    return f"set-var(txn.arn) str({group_arn(full)})"


def _target() -> list[str]:
    """`127.0.0.1:`, `::1:`, or of one on a Unix socket `web-1:`, as `PORT` goes on. What is not there sets nothing."""
    other = "!{ var(txn.target) -m found }"
    return [
        # Only IPv4 has that mask: its four numbers are joined without printf.
        "set-var(txn.target) bc_dst,ipmask(32),be2dec(.,1),concat(:)",
        when("set-var(txn.target) bc_dst,concat(:)", other),
        when("set-var(txn.target) srv_name,concat(:)", other),
    ]


def _times() -> str:
    """Fields 6 to 8: what txn.times says, alone where no target answered, else with the milliseconds behind it."""
    # Of ten digits three are those; a 1 in front keeps zeros.
    return f"%[var(txn.times,0.000 0.)]%{{-M}}[var(txn.took),add(10000000000),{TEXT},bytes(5,3),concat( 0.000)]"


def _line(endpoint: Endpoint, parts: Sequence[Part], single: str | None) -> str:
    listener = parts[0][1]
    secure = listener.protocol == "HTTPS"
    scheme = "https" if secure else "http"
    # An opening's token may stand in the query.
    uri = "capture.req.uri" if listener.opening is None else "capture.req.uri,field(1,?)"
    fields = [
        f"%[var(txn.type,{scheme})]",
        _time("date", "date(0,us)"),
        _balancer(parts),
        "%[var(sess.source)]:%cp",
        TARGET,
        _times(),
        "%ST",
        "%[var(txn.status,-)]",
        "%U",
        "%B",
        f'"%{{+E}}HM {scheme}://%{{+E}}[capture.req.hdr(0),host_only]:{endpoint[1]}%{{+E}}[{uri}] %HV"',
        '"%{+E}[capture.req.hdr(1)]"',
        "%sslc %sslv" if secure else "- -",
        "%[var(txn.arn)]" if single is None else f"%[var(txn.arn,{group_arn(single)})]",
        f'"%ID%{{-M,+E}}[{TRACED}]"',
        f'{SNI} "-"' if secure else '"-" "-"',
        "%[var(txn.rule),field(1,/)]" if single is None else "%[var(txn.rule,0)]",
        _time("var(txn.sent),div(1000000)", "var(txn.sent)"),
        '"%[var(txn.action,forward)]"',
        '"%{+E}[var(txn.location)]"' if single is None else '"-"',
        '"-"',
        f'"{TARGET}" "%[var(txn.status,-)]"',
        '"%[var(txn.close),field(1,/)]" "%[var(txn.close),field(2,/)]"',
        "%[var(sess.tid)]",
        '"-" "-" "-"',
        '"%[srv_name]" %rc %tsc',
    ]
    return " ".join(fields)


def _unread(endpoint: Endpoint, parts: Sequence[Part]) -> str:
    """What could not be read as a request, or did not come whole in time."""
    secure = parts[0][1].protocol == "HTTPS"
    scheme = "https" if secure else "http"
    fields = [
        f"%[fc_err,iif(-,{scheme})]",
        _time("date", "date(0,us)"),
        _balancer(parts, known=False),
        f"%[var(sess.source)]:%cp - {FAILED} %ST - %U %B",
        f'"- {scheme}://-:{endpoint[1]}- -" "-"',
        "%sslc %sslv" if secure else "- -",
        '- "-"',
        f'{SNI} "-"' if secure else '"-" "-"',
        "-",
        _time("date", "date(0,us)"),
        '"-" "-" "-" "-" "-" "-" "-" %[var(sess.tid)] "-" "-" "-" "-" 0 %tsc',
    ]
    return " ".join(fields)


def _time(seconds: str, microseconds: str) -> str:
    return f"%[{seconds},utime({SECONDS})].%[{microseconds},{TEXT},bytes(10,6)]Z"


def _balancer(parts: Sequence[Part], *, known: bool = True) -> str:
    """`app/STACK/ID`; on a port that several stacks share it is the owner's."""
    if len(parts) == 1:
        stack = words.name(parts[0][0].stack, "stack")
        return f"app/{stack}/{id_of(stack)}"
    return "app/%[var(txn.own)]/%[var(txn.own),sha2(256),hex,bytes(0,16),lower]" if known else "app/-/-"
