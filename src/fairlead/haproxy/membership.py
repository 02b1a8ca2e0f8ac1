"""From what the balancer was asked for and what a HAProxy has: the commands that make the second like the first. Pure.

Called after every change, after every start and reload, and when a restarted daemon adopts a HAProxy. The law: a second
call on the result gives nothing; a server that joins gets no request before its first passed check (drain, health down,
ready: haproxy.md section 3.1), unless its target passed one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.core.traffic import TargetGroup
from fairlead.haproxy import words
from fairlead.haproxy.commands import Command, ServerState, command
from fairlead.haproxy.servers import CHECKED, OPEN, Key, Member, group_of, options

States = Mapping[tuple[str, str], ServerState]
"""(backend, server) -> its state."""


def differences(groups: Mapping[str, TargetGroup], members: Iterable[Member], states: States) -> list[Command]:
    """What to send so that every member is there in its mode. Servers that nobody wants are `strangers`."""
    commands: list[Command] = []
    for member in members:
        group = groups[member.target.group]
        for role in CHECKED:
            commands += _checked(group, member, role, states.get((member.target.group + role, member.target.id)))
        commands += _open(group, member, states.get((member.target.group + OPEN, member.target.id)))
    return commands


def strangers(wanted: Iterable[Key], states: States) -> list[tuple[str, str]]:
    """(backend, server) of each server that belongs to no wanted target."""
    known = set(wanted)
    return [(backend, server) for backend, server in states if (group_of(backend), server) not in known]


def admission(member: Member) -> list[Command]:
    """One success is enough for a target's first time (ALB user guide, target health status)."""
    return [command("health up", member.target.group + role, member.target.id) for role in CHECKED]


def mark_down(member: Member) -> list[Command]:
    """Out of rotation at once; the next passed check would bring it back."""
    return [command("health down", member.target.group + role, member.target.id) for role in CHECKED]


def level(backend: str, servers: Iterable[str]) -> list[Command]:
    """Weight 2, then 1, on one server after the other: round robin is then exact again after any change of the set.

    One by one, not all to 2 and then all to 1: that is not always exact when requests came in before."""
    return [command("weight", backend, name, weight=weight) for name in sorted(servers) for weight in ("2", "1")]


def _checked(group: TargetGroup, member: Member, role: str, state: ServerState | None) -> list[Command]:
    backend, server = member.target.group + role, member.target.id
    commands = [] if state else [_add(group, member, role)]
    if state and not state.closed:
        return [command("drain", backend, server)] if member.target.mode == "draining" else []
    if member.target.mode == "draining":
        # Its checks go on, so that they can tell when it is given back.
        steps = [] if state and state.drained else ["enable health", "drain", "health down"]
        return commands + [command(step, backend, server) for step in steps]
    if state and state.drained and member.trusted:
        return [command("ready", backend, server)]
    # `health down` does nothing in maintenance, so the way to ready leads through drain.
    steps = ["enable health", "drain", "health down", "ready"] + (["health up"] if member.trusted else [])
    return commands + [command(step, backend, server) for step in steps]


def _open(group: TargetGroup, member: Member, state: ServerState | None) -> list[Command]:
    backend, server = member.target.group + OPEN, member.target.id
    if not member.trusted:
        return [command("drain", backend, server)] if state and not state.closed else []
    commands = [] if state else [_add(group, member, OPEN)]
    return commands if state and not state.closed else [*commands, command("ready", backend, server)]


def _add(group: TargetGroup, member: Member, role: str) -> Command:
    target = member.target
    return command(
        "add",
        target.group + role,
        target.id,
        address=words.target_address(target.address),
        options=options(group, target, role),
    )
