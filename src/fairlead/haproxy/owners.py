"""Whose a request is, where several stacks share a port. Pure.

In: the listener of each stack on one endpoint. Out: rules that set txn.own to a stack's name, and the condition that a
request is a stack's. The law: the stack that names the host, else the one whose host pattern with `*` or `?` matches
(the longest first), else the one that has a default; `claims` sees to it that there is one at most.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from fairlead.core.model import Listener, LoadBalancerAttributes
from fairlead.core.traffic import Routing
from fairlead.haproxy import words
from fairlead.haproxy.claims import hosts_of
from fairlead.haproxy.patterns import comparisons, is_exact, listed

Part = tuple[Routing, Listener]
"""What one stack wants of an endpoint."""

Value = TypeVar("Value", bound=Hashable)

HOST = "var(txn.host)"
"""What hosts are compared with: the Host header without its port, in lower case."""

_OWNED = "{ var(txn.own) -m found }"
_OWNER = "var(txn.own) -m str --"


def when(action: str, *conditions: str) -> str:
    """`action`, taken if all conditions hold; an empty one always does."""
    held = " ".join(filter(None, conditions))
    return f"{action} if {held}" if held else action


def host(parts: Sequence[Part]) -> list[str]:
    """The rule that sets txn.host, where anybody asks for it."""
    asked = any(hosts_of(listener) for _, listener in parts)
    return ["set-var(txn.host) req.fhdr(host),host_only,lower"] if asked else []


def owner(parts: Sequence[Part]) -> list[str]:
    """The rules that set txn.own, where several stacks share the port; txn.host is set."""
    lines: list[str] = []
    if len(parts) == 1:
        return lines
    named = [(words.name(routing.stack, "stack"), hosts_of(listener)) for routing, listener in parts]
    for stack, hosts in named:
        exact = comparisons(HOST, filter(is_exact, hosts))
        lines += [when(f"set-var(txn.own) str({stack})", f"{{ {one} }}") for one in exact]
    wild = [(host, stack) for stack, hosts in named for host in hosts if not is_exact(host)]
    for host, stack in sorted(wild, key=lambda one: (-len(one[0]), one)):
        claimed = (f"{{ {one} }}" if one else "" for one in comparisons(HOST, [host]))
        lines += [when(f"set-var(txn.own) str({stack})", one, f"!{_OWNED}") for one in claimed]
    defaults = [routing.stack for routing, listener in parts if listener.default is not None]
    return lines + [when(f"set-var(txn.own) str({stack})", f"!{_OWNED}") for stack in defaults]


def of(routing: Routing, parts: Sequence[Part]) -> str:
    """The condition that a request is the stack's; "" when all are."""
    return f"{{ {_OWNER} {words.name(routing.stack, 'stack')} }}" if len(parts) > 1 else ""


def by_attribute(parts: Sequence[Part], asked: Callable[[LoadBalancerAttributes], Value]) -> list[tuple[Value, str]]:
    """What the stacks ask for, each once, with the condition that a request's owner does ("" when all agree)."""
    stacks: dict[Value, list[str]] = {}
    for routing, _ in parts:
        stacks.setdefault(asked(routing.attributes), []).append(words.name(routing.stack, "stack"))
    if len(stacks) == 1:
        return [(value, "") for value in stacks]
    # As many lines as it takes: HAProxy reads 64 words of one.
    return [(value, f"{{ {one} }}") for value, names in stacks.items() for one in listed(_OWNER, names)]
