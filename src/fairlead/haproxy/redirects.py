"""Where a redirect leads: its Location, as HAProxy builds it and as it is. Pure.

In: a redirect, and the listener's protocol and port. Out: `location`, the words that make it for any request, and
`location_of`, what it must be for one. As on an ALB (aws-semantics A4): absolute, the port spelt out; `#{path}` is the
path without its first slash, `#{host}` the host in lower case and without its port; no `?` without a query behind it;
nothing is encoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.core.model import Redirect
from fairlead.core.rules import Request
from fairlead.haproxy import words

LONGEST = 8192
"""Bytes of a Location; a longer one is answered with 507."""

_KEYWORD = re.compile(r"(#\{(?:protocol|host|port|path|query)\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Two words for HAProxy, both formats: what stands before the `?`, and behind it ("": nothing ever does)."""

    base: str
    query: str


def location(redirect: Redirect, scheme: str, port: int) -> Location:
    """For requests that come by `scheme` to `port`."""
    held = {
        "#{protocol}": scheme,
        "#{host}": "%[req.fhdr(host),host_only]",
        "#{port}": str(port),
        "/#{path}": "%[path]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    protocol, host, to_port, path, query = _parts(redirect)
    # Neutral parts first: the path as it came has its slash.
    leading = held["/#{path}"] if path.startswith("/#{path}") else ""
    behind = path.removeprefix("/#{path}") if leading else path
    base = (
        f"{_filled(protocol, held, 'protocol')}://{_filled(host, held, 'host')}:{_filled(to_port, held, 'port')}"
        f"{leading}{_filled(behind, held, 'path')}"
    )
    return Location(base=_quoted(base), query=_quoted(_filled(query, held, "query")) if query else "")


def location_of(redirect: Redirect, scheme: str, port: int, request: Request) -> str:
    """The Location for one request."""
    held = {
        "#{protocol}": scheme,
        "#{host}": request.host.lower(),
        "#{port}": str(port),
        "#{path}": request.path.removeprefix("/"),
        "#{query}": request.query,
    }
    protocol, host, to_port, path, query = (
        "".join(held.get(piece, piece) for piece in _KEYWORD.split(part)) for part in _parts(redirect)
    )
    return f"{protocol.lower()}://{host}:{to_port}{path}" + (f"?{query}" if query else "")


def _parts(redirect: Redirect) -> tuple[str, str, str, str, str]:
    """Protocol, host, port, path and query, what is not given as the placeholder that leaves it as it is."""
    given = (redirect.protocol, redirect.host, redirect.port, redirect.path, redirect.query)
    neutral = ("#{protocol}", "#{host}", "#{port}", "/#{path}", "#{query}")
    protocol, host, port, path, query = (
        usual if one is None else str(one) for one, usual in zip(given, neutral, strict=True)
    )
    return protocol if protocol == "#{protocol}" else protocol.lower(), host, port, path, query


def _filled(part: str, held: Mapping[str, str], what: str) -> str:
    return "".join(held.get(piece) or words.redirect_part(piece, what) for piece in _KEYWORD.split(part))


def _quoted(format_: str) -> str:
    # Each piece was checked; together they may be longer than a word.
    return words.word(format_, "redirect", 8 * words.LONGEST_WORD)
