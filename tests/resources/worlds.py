"""A `World` is a place where resources run and outlive the objects that look after them; servers behave by name.

Nothing here needs pytest, so that a story can also be told by a plain interpreter of another user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.model import Cache
from fairlead.resources.base import ResourceOrder, Resources, Sighting

Behaviour = Literal[
    "serves", "prepares for long", "cannot be found", "cannot be prepared", "fails with 3", "ignores its signal",
    "never answers", "writes escapes",
]  # fmt: skip

STACK = "shop"
LONG = 60.0
"""Seconds to wait for what a busy machine may do late."""


class World(Protocol):
    """A place for resources, and what can be done to them behind the port's back."""

    def daemon(self) -> Resources:
        """A new object, as a restarted daemon makes it. The one before must be closed or dead."""
        ...

    def order(self, id: str, launch: int = 1, behaviour: Behaviour = "serves") -> ResourceOrder: ...

    async def murder(self, id: str) -> None:
        """SIGKILL to the server alone."""
        ...

    def living(self, id: str) -> int:
        """How many processes of the resource live, as the world itself counts them."""
        ...

    def write(self, id: str, text: str) -> None:
        """Into its data."""
        ...

    def read(self, id: str) -> str: ...

    def file(self, name: str) -> str:
        """A path for a backup."""
        ...

    def exists(self, file: str) -> bool: ...


async def seen(resources: Resources, id: str) -> Sighting | None:
    """What is seen of one resource."""
    for sighting in await resources.observe():
        if (sighting.stack, sighting.id) == (STACK, id):
            return sighting
    return None


async def until(resources: Resources, id: str, holds: Callable[[Sighting], object], what: str) -> Sighting:
    """Look until `holds`, and return what was seen then."""
    last: list[Sighting | None] = [None]

    async def look() -> Sighting | None:
        last[0] = await seen(resources, id)
        return last[0] if last[0] is not None and holds(last[0]) else None

    found = await wait_until(look, LONG, f"{id} {what}", seen=lambda: last[0])
    assert found is not None
    return found


async def answers(resources: Resources, id: str) -> Sighting:
    return await until(resources, id, lambda sighting: sighting.answers, "answering")


async def runs(resources: Resources, id: str) -> Sighting:
    return await until(
        resources, id, lambda one: one.process is not None and one.process.alive and one.process.pid, "running"
    )


async def is_gone(resources: Resources, id: str) -> Sighting:
    return await until(resources, id, lambda one: one.process is not None and not one.process.alive, "gone")


async def failed(resources: Resources, id: str) -> Sighting:
    return await until(resources, id, lambda one: one.error and not one.preparing, "failed")


def a_cache(id: str) -> Cache:
    return Cache(id=id, memory=100_000_000, persist=True)
