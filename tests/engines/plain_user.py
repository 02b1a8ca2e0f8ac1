"""The local engine's story as a plain user, told without pytest: run by a plain interpreter as another user.

Prints "all of it holds" and exits 0, or fails with a traceback.
"""

from __future__ import annotations

import asyncio
import os
import signal

from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome
from tests.engines.local_world import LocalWorld
from tests.engines.worlds import STACK, is_gone, runs, seen


async def story(world: LocalWorld) -> None:
    engine = world.engine()
    for instance, behaviour in (("web-1", "serves"), ("web-2", "leaves a daemon"), ("web-3", "ignores SIGTERM")):
        await engine.launch(world.order(instance, behaviour))
    for instance in ("web-2", "web-3"):
        await world.ready(instance)
    await engine.launch(world.order("web-4", "fails with 3"))
    first = await runs(engine, "web-1")
    assert first.pid is not None
    assert os.stat(f"/proc/{first.pid}").st_uid == os.getuid() != 0
    assert os.stat(world.run("web-1")).st_mode & 0o7777 == 0o700

    # The daemon dies; two of its instances end while nobody looks.
    await engine.close()
    os.kill(world.record("web-2", "shim"), signal.SIGKILL)
    again = world.engine()
    assert (await is_gone(again, "web-2")).outcome == Outcome()
    assert (await is_gone(again, "web-4")).outcome == Outcome(exit_status=3)
    assert await runs(again, "web-1") == first

    await again.clear(STACK, "web-2")
    assert world.living("web-2") == 0
    await again.stop(STACK, "web-1")
    assert (await is_gone(again, "web-1")).outcome == Outcome(signal=15)
    await again.stop(STACK, "web-3")
    assert (await runs(again, "web-3")).alive
    await again.kill(STACK, "web-3")
    assert world.living("web-3") == 0

    # A pid file that names a process of somebody else's, even of the same user, is not believed.
    await again.launch(world.order("web-5"))
    await runs(again, "web-5")
    with open(f"{world.folder('web-5')}/pid", "w") as file:
        file.write(f"{os.getpid()}\n")
    other = world.engine()
    process = await seen(other, "web-5")
    assert process is not None
    assert process.alive
    assert process.pid is None
    await other.kill(STACK, "web-5")
    await wait_until(lambda: world.living("web-5") == 0, 60.0, "the end of web-5")


async def main() -> None:
    world = LocalWorld(None)
    try:
        await story(world)
    finally:
        await world.end()
    print("all of it holds")


if __name__ == "__main__":
    asyncio.run(main())
