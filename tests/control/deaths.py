"""A daemon that is killed at a call to the outside, wherever that is, in the middle of something it is asked for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

from fairlead.control.supervisor import Supervisor
from fairlead.errors import FairleadError

from .town import Died, Town

PACE = 0.1
"""Virtual seconds between two looks at a story that is played hundreds of times."""

Act = Callable[[Town, Supervisor], Awaitable[None]]


async def at_every_call(
    folder: Path, play: Callable[[Path, int], Awaitable[bool]], *, every: int = 1, least: int = 20
) -> None:
    """Play a story in a world of its own (a folder) with a daemon that dies at its first call, then again at each
    `every` later one, until `play` says that it outlived the story; which has more than `least` calls."""
    # A killed daemon's tasks end with Died, which nobody asks for.
    asyncio.get_running_loop().set_exception_handler(lambda *ignored: None)
    for dies_at in itertools.count(1, every):
        try:
            if not await play(folder / str(dies_at), dies_at):
                break
        except BaseException as error:
            raise AssertionError(f"died at call {dies_at}") from error
    assert dies_at > least, "the story has that many moments at least"


async def die_in_the_middle(town: Town, act: Act, dies_at: int) -> None:
    """Run `act` until it is done, or the daemon has died and nothing of it moves any more."""
    daemon = None
    try:
        daemon = await town.daemon(dies_at)
        acting = asyncio.ensure_future(act(town, daemon))
        while not acting.done() and town.fuse.burnt < dies_at:
            await asyncio.sleep(town.pace)
        if acting.done():
            acting.result()
        acting.cancel()
        await asyncio.wait({acting})
    except (Died, FairleadError):
        pass
    await town.bury(town.daemons[-1])
