"""Which action a listener takes for a request: the matching of an Application Load Balancer (aws-semantics A2, A3).

In: a listener, and what of a request its conditions look at. Out: the action, or None when nobody claims it. This is
the law that the balancer's configuration is held to (tests compare the two over many rules and requests).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.model import Action, Conditions, Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What conditions look at."""

    method: str = "GET"
    host: str = ""
    """Without the port."""
    path: str = "/"
    """Without the query."""
    query: str = ""
    """Without its `?`, as sent."""
    headers: tuple[tuple[str, str], ...] = ()
    """(name, value) as sent, a name as often as it occurs."""
    source: str = "127.0.0.1"
    """The address that the connection came from."""


def action_for(listener: Listener, request: Request) -> Action | None:
    """That of the first rule whose conditions all hold, else the default."""
    return next((rule.then for rule in listener.rules if holds(rule.when, request)), listener.default)


def holds(when: Conditions, request: Request) -> bool:
    """Whether every condition holds."""
    return (
        (not when.paths or _any(when.paths, [request.path], case=True))
        and (not when.hosts or _any(when.hosts, [request.host]))
        and (not when.methods or request.method in when.methods)
        and all(_any(values, _named(request.headers, name)) for name, values in when.headers)
        and all(_asks(key, values, request.query) for key, values in when.queries)
        and (not when.source_ips or _comes_from(when.source_ips, request.source))
    )


def matches(pattern: str, text: str, *, case: bool = False, escapes: bool = False) -> bool:
    """Whether `pattern` matches the whole of `text`: `*` is any characters, `?` one. escapes: `\\*` and `\\?` are
    literal."""
    return expression(pattern, case=case, escapes=escapes).match(text) is not None


def expression(pattern: str, *, case: bool = False, escapes: bool = False) -> re.Pattern[str]:
    """The same as a regular expression, of a whole text, for who asks often."""
    tokens = re.findall(r"\\[*?]|.", pattern, re.DOTALL) if escapes else list(pattern)
    runs = [""]
    for one in tokens:
        if one == "*":
            runs.append("")
        else:
            runs[-1] += "." if one == "?" else re.escape(one[-1])
    first, *others = runs
    # What stands between two * is where it comes first, and nowhere else: other places would be tried for ever.
    between, last = "".join(f"(?>.*?{one})" for one in others[:-1]), "".join(f".*{one}" for one in others[-1:])
    return re.compile(f"{first}{between}{last}\\Z", re.DOTALL | (0 if case else re.IGNORECASE | re.ASCII))


def _any(patterns: Sequence[str], texts: Sequence[str], *, case: bool = False) -> bool:
    return any(matches(pattern, text, case=case) for pattern in patterns for text in texts)


def _named(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for other, value in headers if other.lower() == name.lower()]


def _asks(key: str, values: Sequence[str], query: str) -> bool:
    pairs = [part.partition("=") for part in query.split("&") if part]
    return any(
        matches(key or "*", name, escapes=True) and matches(pattern, value, escapes=True)
        for name, _, value in pairs
        for pattern in values
    )


def _comes_from(networks: Sequence[str], source: str) -> bool:
    address = ipaddress.ip_address(source)
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
