"""From what the balancer was asked for and what a HAProxy has: the commands that make the second like the first. Pure.

Called after every change, after every start and reload, and when a restarted daemon adopts a HAProxy. The law: a second
call on the result gives nothing; a server that joins gets no request before its first passed check (drain, health down,
ready: haproxy.md section 3.1), unless its target passed one before; where nothing is checked, before it is admitted.

Who is to get no new request drains, so that its checks go on and tell when it may be given back. In a group with
stickiness that would not keep its clients away: there it goes into maintenance. One that is warm never had a client, so
it drains in every group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fairlead.core.traffic import Target, TargetGroup
from fairlead.haproxy import words
from fairlead.haproxy.commands import Command, ServerState, command
from fairlead.haproxy.servers import (
    CHECKED,
    OPEN,
    SAFE,
    UNSAFE,
    Key,
    Member,
    group_of,
    is_checked,
    is_sticky,
    is_weighted,
    options,
    weight_of,
)

States = Mapping[tuple[str, str], ServerState]
"""(backend, server) -> its state."""


def differences(groups: Mapping[str, TargetGroup], members: Iterable[Member], states: States) -> list[Command]:
    """What to send so that every member is there in its mode. Servers that nobody wants are `strangers`."""
    commands: list[Command] = []
    for member in members:
        group = groups[member.target.group]
        for role in (SAFE, UNSAFE, OPEN):
            state = states.get((member.target.group + role, member.target.id))
            by_state = _checked if is_checked(group, role) else _taken_as_it_is
            commands += by_state(group, member, role, state)
            if state and is_weighted(group, role) and state.weight != member.weight:
                commands.append(weigh(group, member, role))
    return commands


def strangers(wanted: Iterable[Key], states: States) -> list[tuple[str, str]]:
    """(backend, server) of each server that belongs to no wanted target."""
    known = set(wanted)
    return [(backend, server) for backend, server in states if (group_of(backend), server) not in known]


def unwatched(groups: Mapping[str, TargetGroup], members: Iterable[Member], states: States) -> list[tuple[str, str]]:
    """(backend, server) of each one in maintenance that is to be checked from now on. When a check falls due in
    maintenance HAProxy puts it off by a whole interval, and those of its file it begins to check one after the other
    over an interval. So such a server is deleted and added anew: then it is checked like any that joins."""
    found = []
    for member in members:
        group = groups[member.target.group]
        if member.target.mode == "draining" and is_sticky(group):
            continue  # it stays in maintenance
        for role in CHECKED:
            state = states.get(_server(member, role))
            if is_checked(group, role) and state is not None and state.closed and not state.drained:
                found.append(_server(member, role))
    return found


def newcomer(group: TargetGroup, target: Target, full: Iterable[Key]) -> Member:
    """A target that was not there. full: who has its full share already. Its own is to grow slowly when another of its
    group has (aws-semantics B3): the first would only keep each other from requests that somebody must answer."""
    beside = any(key[0] == target.group for key in full)
    ramps = group.attributes.slow_start > 0 and target.mode == "initial" and beside
    return Member(target=target, ramps=ramps)


def given_back(group: TargetGroup, member: Member, passed: bool) -> Member:
    """One that drained, in service again. It waits for a passed check when its process was gone, when its last check
    failed (not passed), and when it was in maintenance, where nobody checked it."""
    doubtful = group.health_check.enabled and (is_sticky(group) or not passed)
    return replace(member, target=replace(member.target, mode="in_service"), down=member.down or doubtful)


def admission(group: TargetGroup, member: Member) -> list[Command]:
    """One success is enough for a target's first time (ALB user guide, target health status)."""
    return [command("health up", *_server(member, role)) for role in CHECKED if is_checked(group, role)]


def mark_down(group: TargetGroup, member: Member) -> list[Command]:
    """Out of rotation at once; the next passed check would bring it back. Without checks its servers are closed."""
    return [command("health down", *_server(member, role)) for role in CHECKED if is_checked(group, role)]


def weigh(group: TargetGroup, member: Member, role: str) -> Command:
    """Give its server the weight that it should have."""
    return command("weight", *_server(member, role), weight=str(weight_of(group, member, role)))


def level(backend: str, servers: Iterable[str]) -> list[Command]:
    """Weight 2, then 1, on one server after the other: round robin is then exact again after any change of the set.

    One by one, not all to 2 and then all to 1: that is not always exact when requests came in before."""
    return [command("weight", backend, name, weight=weight) for name in sorted(servers) for weight in ("2", "1")]


def _checked(group: TargetGroup, member: Member, role: str, state: ServerState | None) -> list[Command]:
    steps: list[str] = []
    if member.target.mode == "warm":
        steps = [] if state and state.drained else ["enable health", "drain", "health down"]
    elif member.target.mode == "draining":
        steps = _closing(group, state)
        if not steps and not is_sticky(group) and not (state and state.drained):
            # Its checks go on, so that they can tell when it is given back.
            steps = ["enable health", "drain", "health down"]
    elif state and state.drained and member.trusted and not is_sticky(group):
        steps = ["ready"]
    elif state is None or state.closed:
        # `health down` does nothing in maintenance, so the way to ready leads through drain.
        steps = ["enable health", "drain", "health down", "ready"] + (["health up"] if member.trusted else [])
    return _after_adding(group, member, role, state, steps)


def _taken_as_it_is(group: TargetGroup, member: Member, role: str, state: ServerState | None) -> list[Command]:
    """A server without checks is in rotation when it is ready."""
    if role == OPEN and state is None and not member.trusted:
        return []
    steps = _closing(group, state)
    if member.trusted:
        steps = ["ready"] if state is None or state.closed else []
    return _after_adding(group, member, role, state, steps)


def _closing(group: TargetGroup, state: ServerState | None) -> list[str]:
    """What keeps new requests away; a server that was just added is in maintenance."""
    if state is None:
        return []
    if is_sticky(group):
        return ["maint"] if state.drained or not state.closed else []
    return [] if state.closed else ["drain"]


def _after_adding(
    group: TargetGroup, member: Member, role: str, state: ServerState | None, steps: list[str]
) -> list[Command]:
    added = [] if state else [_add(group, member, role)]
    return added + [command(step, *_server(member, role)) for step in steps]


def _server(member: Member, role: str) -> tuple[str, str]:
    return member.target.group + role, member.target.id


def _add(group: TargetGroup, member: Member, role: str) -> Command:
    address = words.target_address(member.target.address)
    return command("add", *_server(member, role), address=address, options=options(group, member, role))
