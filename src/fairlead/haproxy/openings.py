"""The way to one instance alone: a port for whoever shows the token, whatever the instance's health. Pure.

In: a listener with an `opening`. Out: `http-request` rules. A browser shows the token once, as the query parameter
`fairlead-open`, and gets it back as a cookie of that port; a program may send the header `X-Fairlead-Open`. Neither the
configuration nor any program ever sees the token: the one knows its sha256, from the others it is kept, also from
those behind other ports, to which a browser sends the cookie as well. txn.open is the instance's name; the group's
backends send such a request there and nowhere else.
"""

from __future__ import annotations

from fairlead.core.model import Listener, Opening
from fairlead.core.traffic import Routing
from fairlead.haproxy import words
from fairlead.haproxy.actions import group
from fairlead.haproxy.owners import when
from fairlead.haproxy.pages import answer
from fairlead.haproxy.servers import UNSAFE

PARAMETER, HEADER, COOKIE = "fairlead-open", "X-Fairlead-Open", "FAIRLEAD_OPEN_"


def cookie(port: int) -> str:
    """Cookies do not tell ports apart, so their names do."""
    return f"{COOKIE}{port}"


def entered(listener: Listener, opening: Opening) -> list[str]:
    """Let through who shows the token, and take it away."""
    scheme, port = ("https" if listener.protocol == "HTTPS" else "http"), listener.port
    name, shown = cookie(port), "{ var(txn.open) -m found }"
    query = f"""'query,regsub("(^|&){PARAMETER}=[^&]*","",g),regsub("^&","")'"""
    back = f"Location {scheme}://%[req.fhdr(host)]%[path]"
    keep = f'Set-Cookie "{name}=%[var(txn.asked)]; HttpOnly; SameSite=Strict; Path=/"'
    by_parameter = _holds("var(txn.asked)", opening)
    return [
        # By way of a variable: of several parameters a condition would look at all, and the cookie be of the first.
        f"set-var(txn.asked) url_param({PARAMETER})",
        when(f"set-var(txn.rest) {query}", by_parameter),
        when(answer(302, (f"{back}?%[var(txn.rest)]", keep)), by_parameter, "{ var(txn.rest) -m len gt 0 }"),
        when(answer(302, (back, keep)), by_parameter),
        *(
            when(f"set-var(txn.open) str({words.name(opening.instance, 'instance')})", _holds(fetch, opening))
            for fetch in (f"req.cook({name})", f"req.fhdr({HEADER})")
        ),
        when(answer(403), f"!{shown}"),
    ]


def hidden() -> list[str]:
    """Take the tokens of all openings away, at every port: a browser sends a cookie to all ports of an address, so that
    any program there would learn it, and could reach what it opens."""
    found = f"{{ req.fhdr(cookie) -m sub {COOKIE} }}"
    one = "{ req.fhdr_cnt(cookie) eq 1 }"
    rest = f"""'%[req.fhdr(cookie),regsub("(^|; *){COOKIE}[0-9]+ *=[^;]*","",g),regsub("^; *","")]'"""
    return [
        f"del-header {HEADER}",
        when(f"set-header Cookie {rest}", found, one),
        when("del-header Cookie", "{ req.fhdr(cookie) -m len 0 }", one),
        # What is left was not written by a browser, which sends one line, its cookies apart by `; `.
        when("del-header Cookie", found),
    ]


def way(routing: Routing, opening: Opening) -> list[str]:
    """The group's backend with fresh connections: on a pooled one a request whose instance dies ends in silence. The
    fail-open one may not know the instance."""
    return [f"set-var(txn.be) str({group(routing, opening.service)}{UNSAFE})"]


def _holds(fetch: str, opening: Opening) -> str:
    return f"{{ {fetch},sha2(256),hex,lower -m str {words.digest(opening.digest)} }}"
