"""How one target is written as a server of HAProxy, in the file and in `add server` alike. Pure.

A target group `G` is three backends: `G` takes the safe methods over pooled connections, `G.w` the others over fresh
ones, `G.o` everything when no target of `G` passes its checks (fail-open, as on an ALB). Dynamic servers do not inherit
`default-server`, so every line carries all its options, and both kinds get them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.core.traffic import Routing, Target, TargetGroup
from fairlead.haproxy import words

SAFE, UNSAFE, OPEN = "", ".w", ".o"
"""Suffixes of a group's three backends."""

CHECKED = (SAFE, UNSAFE)
"""The two whose servers HAProxy checks; those of `.o` it takes as they are."""

FAST = 0.2
"""Seconds between checks of a target that is not in service, and after a check or a connection failed."""

Key = tuple[str, str]
"""(full name of the group, id of the target)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A target as the balancer was asked for it. `down`: its process is gone, and it has not passed a check since."""

    target: Target
    down: bool = False

    @property
    def key(self) -> Key:
        return self.target.group, self.target.id

    @property
    def trusted(self) -> bool:
        """Whether a HAProxy that knows nothing of it may send it requests at once."""
        return self.target.mode == "in_service" and not self.down


def full_name(stack: str, group: TargetGroup) -> str:
    """`STACK.SERVICE`, the name of the group's first backend."""
    return f"{words.name(stack, 'stack')}.{words.name(group.name, 'service')}"


def group_of(backend: str) -> str:
    """`stack.web.w` -> `stack.web`: names hold no dot, so the third part is always a role."""
    return ".".join(backend.split(".")[:2])


def groups_of(routings: tuple[Routing, ...]) -> dict[str, TargetGroup]:
    """Every target group by its full name."""
    return {full_name(routing.stack, group): group for routing in routings for group in routing.groups}


def settings(group: TargetGroup, role: str) -> str:
    """The options that all servers of a backend share."""
    if role not in CHECKED:
        return "weight 1"
    check = group.health_check
    fast = words.milliseconds(min(FAST, check.interval), "health check interval")
    return (
        f"weight 1 check inter {words.milliseconds(check.interval, 'health check interval')}"
        f" fastinter {fast} downinter {fast}"
        f" rise {words.count(check.healthy_threshold, 'healthy threshold', most=1000)}"
        f" fall {words.count(check.unhealthy_threshold, 'unhealthy threshold', most=1000)}"
        " observe layer4 error-limit 1 on-error fastinter pool-purge-delay 5s"
    )


def options(group: TargetGroup, target: Target, role: str) -> str:
    """Everything behind a server's address. The id is the instance's number: it keeps its place in the state file."""
    return f"id {words.count(target.number, 'instance number')} {settings(group, role)}"


def file_line(group: TargetGroup, member: Member, role: str) -> str:
    """The `server` line of the file. Whoever HAProxy may not trust blindly starts `disabled`, and is joined afterwards
    by drain, health down, ready (haproxy.md section 3.6)."""
    target = member.target
    address = words.word(words.target_address(target.address), "target address")
    line = f"    server {words.name(target.id, 'instance')} {address} {options(group, target, role)}"
    return line if member.trusted else line + " disabled"


def is_in(member: Member, role: str) -> bool:
    """Whether the member has a server in that backend: fail-open never sends to one that has not passed a check."""
    return role in CHECKED or member.target.mode != "initial"
