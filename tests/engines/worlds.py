"""A `World` is a place where instances run and outlive the engine objects that look after them; programs behave by name.

Nothing here needs pytest, so that a story can also be told by a plain interpreter of another user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Process
from fairlead.engines.base import Engine, LaunchOrder

Behaviour = Literal[
    "serves", "fails with 3", "ignores SIGTERM", "leaves a child", "leaves a daemon", "is refused", "writes escapes",
    "works"
]  # fmt: skip

STACK = "shop"


class World(Protocol):
    """A place for instances, and what can be done to them behind an engine's back."""

    def engine(self) -> Engine:
        """A new engine object, as a restarted daemon makes it."""
        ...

    def order(self, instance: str, behaviour: Behaviour = "serves") -> LaunchOrder: ...

    async def ready(self, instance: str) -> None:
        """Wait until its program has come so far that it does what its behaviour says."""
        ...

    async def murder(self, instance: str) -> None:
        """SIGKILL to the program alone."""
        ...

    async def freeze(self, instance: str) -> None: ...

    def living(self, instance: str) -> int:
        """How many processes of the instance live, as the world itself counts them."""
        ...


async def seen(engine: Engine, instance: str) -> Process | None:
    """What the engine says of one instance."""
    for sighting in await engine.observe():
        if (sighting.stack, sighting.id) == (STACK, instance):
            return sighting.process
    return None


async def until(engine: Engine, instance: str, holds: Callable[[Process], object], what: str) -> Process:
    """Look until `holds`, and return what was seen then."""
    last: list[Process | None] = [None]

    async def look() -> Process | None:
        last[0] = await seen(engine, instance)
        return last[0] if last[0] is not None and holds(last[0]) else None

    found = await wait_until(look, 60.0, f"{instance} {what}", seen=lambda: last[0])
    assert found is not None
    return found


async def runs(engine: Engine, instance: str) -> Process:
    return await until(engine, instance, lambda process: process.alive and process.pid, "running with a pid")


async def is_gone(engine: Engine, instance: str) -> Process:
    return await until(engine, instance, lambda process: not process.alive, "gone")
