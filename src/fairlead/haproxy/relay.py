"""What a HAProxy that leaves does with the requests that still come in: it passes them on to the one that serves. Pure.

After a reload a client may still send a request on a connection that it opened before: one that was idle, or opened in
advance. The old process knows only the targets and rules of then, and can be told of no others (its servers take no
command any more). So it sends such a request to its own port, where the next process listens, with the client's address
in a header that only the two of them can write; it says nothing of its own to it, and closes the client's connection
behind the answer. The law: whatever a client sends in that header counts only with the secret, and no target sees it.
"""

from __future__ import annotations

from fairlead.haproxy import words
from fairlead.haproxy.claims import Endpoint
from fairlead.haproxy.timing import SERVED

HEADER = "X-Fairlead-Relay"
PREFIX = "_n."
LEAVING = "{ stopping }"

_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def handed_over(secret: str, source: str) -> list[str]:
    """The first `http-request` rules of a frontend: leave alone what is passed on, or take what was. source: the rule
    that remembers the client's address (`headers.source`)."""
    # By way of a variable: nearly all requests have no such header, and are looked through once.
    said = "var(txn.relay)"
    told = f"{{ {said},field(1,' ') -m str -- {words.token(secret)} }}"
    return [
        f"allow if {LEAVING}",
        f"set-var(txn.relay) req.fhdr({HEADER})",
        f"set-src {said},field(2,' ') if {told}",
        f"set-src-port {said},field(3,' ') if {told}",
        f"{source} if {told}",
        f"del-header {HEADER} if {{ {said} -m found }}",
    ]


def ways(endpoint: Endpoint, secure: bool) -> list[str]:
    """The first `use_backend` lines."""
    name = _name(endpoint)
    both = [f"use_backend {name}.2 if {LEAVING} {{ fc_http_major 2 }}"] if secure else []
    return [*both, f"use_backend {name} if {LEAVING}"]


def backends(endpoint: Endpoint, secure: bool, idle: str, secret: str) -> list[str]:
    """Those that they name. idle: milliseconds."""
    lines = []
    for suffix, speaks in (("", "http/1.1"), (".2", "h2")) if secure else (("", ""),):
        address = words.endpoint(_HERE.get(endpoint[0], endpoint[0]), endpoint[1])
        kind = f" ssl verify none sni ssl_fc_sni alpn {speaks}" if secure else ""
        lines += [
            "",
            f"backend {_name(endpoint)}{suffix}",
            f"    timeout server {idle}",
            f"    timeout tunnel {idle}",
            "    option http-server-close",
            # Of letters that mean nothing in a format, as `token` has made sure.
            f'    http-request set-header {HEADER} "{secret} %[src] %[src_port]"',
            # The other process logs it and counts it.
            "    http-request set-log-level silent",
            f"    http-response set-var({SERVED}) int(1)",
            f"    server next {address}{kind}",
        ]
    return lines


def _name(endpoint: Endpoint) -> str:
    return f"{PREFIX}{words.endpoint(*endpoint)}".replace("[", "").replace("]", "")
