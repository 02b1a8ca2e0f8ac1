"""The host's story as a plain user, told without pytest: run by a plain interpreter as another user.

Prints "all of it holds" and exits 0, or fails with a traceback.
"""

from __future__ import annotations

import asyncio
import os
import signal

from fairlead.core.processes import Outcome, Process
from tests.resources.host_world import HostWorld
from tests.resources.worlds import STACK, Behaviour, answers, is_gone


def outcome(process: Process | None) -> Outcome | None:
    assert process is not None
    return process.outcome


async def story(world: HostWorld) -> None:
    daemon = world.daemon()
    wanted: tuple[tuple[str, Behaviour | str], ...] = (
        ("one", "serves"), ("two", "leaves a child"), ("three", "ignores its signal")
    )  # fmt: skip
    for id, behaviour in wanted:
        daemon.start(world.order(id, 1, behaviour))
    before = {id: await answers(daemon, id) for id, _ in wanted}
    first = before["one"].process
    assert first is not None
    assert os.stat(f"/proc/{first.pid}").st_uid == os.getuid() != 0
    for path in (world.folder("one"), str(world.data("one")), world.layout.resource_run(STACK, "one")):
        assert os.stat(path).st_mode & 0o7777 == 0o700, path
    world.write("one", "precious")

    # The daemon dies, and one of the servers while nobody looks.
    await daemon.close()
    os.kill(world.record("two", "shim"), signal.SIGKILL)
    again = world.daemon()
    assert outcome((await is_gone(again, "two")).process) == Outcome()
    assert (await answers(again, "one")).process == first
    again.start(world.order("two", 2))
    assert (await answers(again, "two")).launch == 2

    await again.stop(STACK, "one")
    assert outcome((await is_gone(again, "one")).process) == Outcome(exit_status=0)
    await again.clear(STACK, "one")
    assert world.read("one") == "precious"
    await again.stop(STACK, "three")
    assert (await answers(again, "three")).process
    await again.kill(STACK, "three")
    await again.clear(STACK, "three")
    await again.delete(STACK, "three")
    assert not os.path.exists(world.folder("three"))
    assert world.living("three") == 0


async def main() -> None:
    world = HostWorld(None)
    try:
        await story(world)
    finally:
        await world.end()
    print("all of it holds")


if __name__ == "__main__":
    asyncio.run(main())
