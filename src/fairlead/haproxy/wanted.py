"""What one node was asked for, remembered: routings and members. Pure; the node changes it, the upkeep reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fairlead.core.traffic import Routing, TargetGroup
from fairlead.haproxy.render import Place, render
from fairlead.haproxy.servers import Key, Member, groups_of
from fairlead.haproxy.sockets import Endpoint, endpoint_of


@dataclass(slots=True)
class Wanted:
    """Routings by stack, members by (group, id)."""

    routings: dict[str, Routing] = field(default_factory=dict)
    members: dict[Key, Member] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, TargetGroup]:
        return groups_of(tuple(self.routings.values()))

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where to listen. None: nothing is to be served, and no HAProxy runs."""
        return [endpoint_of(listener) for routing in self.routings.values() for listener in routing.listeners]

    def render(self, place: Place) -> str:
        """The configuration; BalancerError names a value that cannot be written."""
        return render(self.routings.values(), self.members.values(), place)

    def keep(self, members: Iterable[Member]) -> list[Member]:
        """Make the members those of `members` whose group exists, and return the others."""
        groups = self.groups
        given = list(members)
        self.members = {member.key: member for member in given if member.target.group in groups}
        return [member for member in given if member.key not in self.members]
