"""Auto scaling groups for sections D and E: their files, and a shop that has one, in virtual time.

The shop is real control over a fake engine and a fake balancer (`tests/control/town.py`), with a load that its meter
shares among whoever serves.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from fairlead.control.supervisor import Supervisor
from fairlead.core.observed import InstanceRecord
from tests.control.town import Town
from tests.control.traffic import Traffic, silent

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "{version}"}}
    target_group: {{deregistration_delay: 5s}}
    health_check: {{grace_period: {grace}}}
    scaling: {{{scaling}}}
network: {{zones: {zones}}}
load_balancer:
  listeners: [{{port: 8080, default: {{forward: web}}}}]
"""

QUICK = "warm_up: 2s, scale_in_cooldown: 5s"
PER_TARGET = "policies: [{target: {metric: requests_per_target, value: 100}}]"


def group_file(scaling: str, *, version: int = 1, zones: int = 1, grace: str = "30s") -> str:
    """The file of a stack with one group."""
    return FILE.format(scaling=scaling, version=version, zones=zones, grace=grace)


def with_policy(policy: str) -> str:
    """The file of a group with this policy."""
    return group_file(f"max: 4, policies: [{policy}]")


class Shop:
    """A stack with the group `web`."""

    def __init__(self, town: Town) -> None:
        self.town = town
        town.meter = self.traffic = Traffic(town)
        self.daemon: Supervisor

    async def open(self, scaling: str, **more: Any) -> None:
        """Start a daemon, and bring the group up."""
        self.daemon = await self.town.daemon()
        await self.up(scaling, **more)

    async def up(self, scaling: str, **more: Any) -> None:
        """`fairlead up` of this file."""
        self.town.say(group_file(scaling, **more))
        await self.town.up(self.daemon)

    async def scale(self, desired: int | None = None, **bounds: int) -> dict[str, Any]:
        return await self.daemon.scale("shop", "web", desired, silent, **bounds)

    async def suspend(self, *processes: str, on: bool = True) -> list[str]:
        """The processes that are suspended then."""
        answer = await self.daemon.suspend("shop", "web", list(processes), on=on)
        return list(answer["suspended"])

    async def serves(self, count: int, within: float = 60.0) -> float:
        """Wait until so many serve; how long that took."""
        return await self.town.until(f"{count} to serve", lambda: len(self.town.serving()) == count, within)

    async def is_left(self, count: int, within: float = 60.0) -> float:
        """Wait until so many live; how long that took."""
        return await self.town.until(f"{count} to be left", lambda: len(self.town.living()) == count, within)

    async def shown(self) -> dict[str, Any]:
        """The service, as `fairlead status --json` has it."""
        found: dict[str, Any] = (await self.daemon.status("shop"))["stacks"][0]["services"][0]
        return found

    def record(self, instance: str) -> InstanceRecord:
        return next(one for one in self.town.store.instances("shop") if one.id == instance)

    def states(self) -> dict[str, str]:
        """Of each instance that has not ended."""
        return {one.id: one.state for one in self.town.store.instances("shop") if one.state != "ended"}

    def zones(self) -> dict[str, int]:
        """How many serve in each."""
        return dict(Counter(self.record(one).zone for one in self.town.serving()))

    def told(self, kind: str) -> list[str]:
        """The events of a kind, oldest first."""
        return [event["text"] for event in self.town.store.events("shop", 1000) if event["kind"] == kind]
