"""What one node was asked for, remembered: routings and members. Pure; the node changes it, the upkeep reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fairlead.core.model import Listener
from fairlead.core.traffic import MissingListener, Routing, TargetGroup
from fairlead.haproxy.claims import Endpoint, endpoint_of
from fairlead.haproxy.render import Place, render
from fairlead.haproxy.servers import SAFE, Key, Member, groups_of, is_weighted, recalled
from fairlead.haproxy.tls import lists_folder

Wish = tuple[str, Endpoint]
"""A stack, and where it wants to listen."""


@dataclass(slots=True)
class Wanted:
    """Routings by stack, members by (group, id)."""

    routings: dict[str, Routing] = field(default_factory=dict)
    members: dict[Key, Member] = field(default_factory=dict)
    absent: dict[Wish, str] = field(default_factory=dict)
    """What cannot be had for now, and why."""

    @property
    def groups(self) -> dict[str, TargetGroup]:
        return groups_of(tuple(self.routings.values()))

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where to listen, each once. None: nothing is to be served, and no HAProxy runs."""
        return list(dict.fromkeys(endpoint for _, endpoint in self.wishes))

    @property
    def wishes(self) -> list[Wish]:
        """What each stack wants."""
        return [(stack, endpoint_of(listener)) for stack, listener in self._listeners()]

    @property
    def present(self) -> list[Endpoint]:
        """Where one can listen: at least one stack's wish is not absent there."""
        return list(dict.fromkeys(wish[1] for wish in self.wishes if wish not in self.absent))

    @property
    def missing(self) -> tuple[MissingListener, ...]:
        """What is absent, by stack."""
        return tuple(
            MissingListener(stack=stack, address=listener.address, port=listener.port, why=self.absent[wish])
            for stack, listener in self._listeners()
            if (wish := (stack, endpoint_of(listener))) in self.absent
        )

    @property
    def heard(self) -> list[Routing]:
        """The routings without the listeners that are absent."""
        return [
            replace(
                routing,
                listeners=tuple(
                    one for one in routing.listeners if (routing.stack, endpoint_of(one)) not in self.absent
                ),
            )
            for routing in self.routings.values()
        ]

    def render(self, place: Place) -> str:
        """The configuration; BalancerError names a value that cannot be written. place: its `tls_folder` is the folder
        of all certificates."""
        heard = self.heard
        here = replace(place, tls_folder=lists_folder(place.tls_folder, heard))
        return render(heard, self.members.values(), here)

    def _listeners(self) -> list[tuple[str, Listener]]:
        return [(routing.stack, one) for routing in self.routings.values() for one in routing.listeners]

    @property
    def weighted(self) -> list[str]:
        """The groups in which targets that answer with errors get fewer requests."""
        return [name for name, group in self.groups.items() if is_weighted(group, SAFE)]

    def recall(self, text: str) -> None:
        """What the daemon before knew of the targets, and only the configuration that it wrote still tells."""
        for key, (ramps, weight) in recalled(text).items():
            if key in self.members:
                self.members[key] = replace(self.members[key], ramps=ramps, weight=weight)

    def keep(self, members: Iterable[Member]) -> list[Member]:
        """Make the members those of `members` whose group exists, and return the others."""
        groups = self.groups
        given = list(members)
        self.members = {member.key: member for member in given if member.target.group in groups}
        return [member for member in given if member.key not in self.members]
