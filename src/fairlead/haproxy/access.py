"""Whose requests which access log gets, and by which variable HAProxy is told its descriptor. Pure.

The law: what comes in at a port of one stack is in that stack's log, and what comes in at a port that several stacks
share is in the shared one, whose lines say the stack (field 3). A stack that wants no log has none.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.core.traffic import Routing
from fairlead.haproxy.claims import Endpoint, endpoint_of

Log = str | None
"""A stack's own log, by its name; None: the one of the ports that several share."""


def variable(stack: Log) -> str:
    """The environment variable with the number of the descriptor of a stack's log; None: of the log of the ports that
    several stacks share."""
    return "FAIRLEAD_ACCESS" if stack is None else "FAIRLEAD_ACCESS_" + stack.replace("-", "_")


def log_of(routings: Iterable[Routing]) -> tuple[Log, ...]:
    """The log of a port that these stacks have; () when none of them wants one."""
    there = list(routings)
    if not any(routing.attributes.access_log for routing in there):
        return ()
    return (there[0].stack,) if len({routing.stack for routing in there}) == 1 else (None,)


def logs(routings: Iterable[Routing]) -> tuple[Log, ...]:
    """Every log that a HAProxy with these routings writes to, each once."""
    at: dict[Endpoint, list[Routing]] = {}
    for routing in routings:
        for listener in routing.listeners:
            at.setdefault(endpoint_of(listener), []).append(routing)
    return tuple(dict.fromkeys(log for there in at.values() for log in log_of(there)))
