"""A load on the service `web` of a town, and what is looked at while it grows and shrinks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fairlead.control.supervisor import Supervisor
from fairlead.core.observed import InstanceRecord
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond

from .town import FakeMeter, Town


class Traffic(FakeMeter):
    """A meter of a service that gets `load` requests a second, shared by whoever serves; None: nobody knows."""

    def __init__(self, town: Town) -> None:
        super().__init__()
        self._town = town
        self.load: float | None = 0.0

    def seconds(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        at = int(self.samples[-1].wall + 0.5) - 1
        if at <= after:
            return ()
        serving = self._town.serving()
        share = None if self.load is None or not serving else self.load / len(serving)
        instances = {one: InstanceSecond(requests=share) for one in serving}
        refused = None if self.load is None else 0.0 if serving else self.load
        return (ServiceSecond(at=at, instances=instances, refused=refused),)


def silent(event: dict[str, Any]) -> None:
    pass


async def shown(daemon: Supervisor) -> dict[str, Any]:
    service: dict[str, Any] = (await daemon.status("shop"))["stacks"][0]["services"][0]
    return service


def causes(town: Town, kind: str = "scaled") -> list[str]:
    return [event["text"] for event in town.store.events("shop", 1000) if event["kind"] == kind]


@contextlib.asynccontextmanager
async def never_more_than(town: Town, most: int) -> AsyncIterator[None]:
    """Of those that are not on their way out."""
    save, broken = town.store.save_instance, list[str]()

    def watch(record: InstanceRecord) -> None:
        save(record)
        alive = {instance for _, instance in town.engine.living()}
        mine = [one for one in town.store.instances("shop") if one.state != "terminating"]
        there = [one.id for one in mine if one.id in alive or one.state == "pending"]
        if len(there) > most:
            broken.append(f"{there} after {record.id} {record.state}")

    town.store.save_instance = watch  # type: ignore[method-assign]
    yield
    town.store.save_instance = save  # type: ignore[method-assign]
    assert broken == []
