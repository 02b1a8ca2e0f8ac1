"""How one target is written as a server of HAProxy, in the file and in `add server` alike. Pure.

A target group `G` is three backends: `G` takes the safe methods over pooled connections, `G.w` the others over fresh
ones, `G.o` everything when no target of `G` passes its checks (fail-open, as on an ALB). Dynamic servers do not inherit
`default-server`, so every line carries all its options, and both kinds get them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.core.anomalies import FULL, LEAST
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
    ramps: bool = False
    """Its share of the requests grows over `slow_start` whenever it comes into rotation."""
    ramped: float = 0.0
    """How much of that is behind it (0 to 1); 0 when it is not on its way."""
    weight: int = FULL
    """Less than `FULL`: it answers with more errors than the others (`core.anomalies`)."""

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


def is_sticky(group: TargetGroup) -> bool:
    """Whether a client may name its target. A draining server would still get such a client's requests, so those of
    these groups are drained by maintenance (haproxy.md section 3.3)."""
    return group.attributes.stickiness is not None


def is_checked(group: TargetGroup, role: str) -> bool:
    """Whether HAProxy checks the servers of that backend, and takes them in and out by that."""
    return role in CHECKED and group.health_check.enabled


def is_weighted(group: TargetGroup, role: str) -> bool:
    """Whether its servers' weights tell anomalous targets from others."""
    return role in CHECKED and group.attributes.anomaly_mitigation and _is_random(group)


def has_opening(routing: Routing, group: TargetGroup) -> bool:
    """Whether one of its instances can be reached alone (`fairlead instance open`)."""
    return any(one.opening is not None and one.opening.service == group.name for one in routing.listeners)


def weight_of(group: TargetGroup, member: Member, role: str) -> int:
    """What its server has, or should have. Chosen at random, each place on HAProxy's ring is one target's: with the
    smallest weight the shares of four equal targets were 30, 18, 24 and 28 of 100."""
    if is_weighted(group, role):
        return member.weight
    return FULL if _is_random(group) else 1


def settings(group: TargetGroup, role: str) -> str:
    """The options that all servers of a backend share, without their weights."""
    speaks = " proto h2" if group.attributes.protocol != "HTTP1" else ""
    if not is_checked(group, role):
        return f"pool-purge-delay 5s{speaks}" if role in CHECKED else speaks.strip()
    check = group.health_check
    fast = words.milliseconds(min(FAST, check.interval), "health check interval")
    asks = " check-proto h2" if speaks and check.protocol != "TCP" else ""
    elsewhere = f" port {words.count(check.port, 'health check port', 1, 65535)}" if check.port is not None else ""
    return (
        f"check inter {words.milliseconds(check.interval, 'health check interval')}"
        f" fastinter {fast} downinter {fast}"
        f" rise {words.count(check.healthy_threshold, 'healthy threshold', most=1000)}"
        f" fall {words.count(check.unhealthy_threshold, 'unhealthy threshold', most=1000)}"
        f" observe layer4 error-limit 1 on-error fastinter pool-purge-delay 5s{elsewhere}{speaks}{asks}"
    )


def options(group: TargetGroup, member: Member, role: str) -> str:
    """Everything behind a server's address. The id is the instance's number: it keeps its place in the state file."""
    number = words.count(member.target.number, "instance number")
    weight = words.count(weight_of(group, member, role), "weight", most=256)
    return " ".join(filter(None, (f"id {number} weight {weight}", settings(group, role), _ramp(group, member, role))))


def file_line(group: TargetGroup, member: Member, role: str) -> str:
    """The `server` line of the file. Whoever HAProxy may not trust blindly starts `disabled`, and is afterwards
    deleted and added anew as one that joins (`membership.unwatched`)."""
    target = member.target
    address = words.word(words.target_address(target.address), "target address")
    line = f"    server {words.name(target.id, 'instance')} {address} {options(group, member, role)}"
    return line if member.trusted else line + " disabled"


def recalled(text: str) -> dict[Key, tuple[bool, int]]:
    """From a configuration that `file_line` wrote: of each target whether it ramps, and its weight. What a daemon that
    comes later knows of the one before."""
    found, backend = {}, ""
    for line in text.splitlines():
        if line.startswith("backend "):
            backend = line.removeprefix("backend ")
        elif line.startswith("    server ") and group_of(backend) == backend:
            given = line.rpartition("' ")[2].split(" ")
            weight = int(given[given.index("weight") + 1])
            found[backend, line.split(" ", 6)[5]] = "slowstart" in given, weight if weight >= LEAST else FULL
    return found


def _is_random(group: TargetGroup) -> bool:
    return group.attributes.algorithm == "weighted_random"


def _ramp(group: TargetGroup, member: Member, role: str) -> str:
    """HAProxy begins a ramp anew when it is reloaded: what is behind the target is taken off."""
    if not member.ramps or not group.attributes.slow_start or role not in CHECKED:
        return ""
    left = max(0.001, group.attributes.slow_start * (1 - member.ramped))
    return f"slowstart {words.milliseconds(left, 'slow start')}"


def is_in(member: Member, role: str) -> bool:
    """Whether the member has a server in that backend: fail-open never sends to one that has not passed a check."""
    return role in CHECKED or member.target.mode not in ("initial", "warm")
