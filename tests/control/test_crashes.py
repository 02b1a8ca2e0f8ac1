"""The daemon is killed at every single call to the outside, before it takes effect and after; another takes over.

Each story is played again and again, the daemon dying one call later each time, until it outlives the story. The next
daemon gets the same request again, as the command line sends it, and the end must be the same: nothing doubled, nothing
orphaned.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.control.supervisor import Supervisor

from .deaths import PACE, Act, at_every_call, die_in_the_middle
from .town import Town


async def first_up(town: Town, daemon: Supervisor) -> None:
    await town.up(daemon)


async def new_release(town: Town, daemon: Supervisor) -> None:
    town.write(version=2)
    await town.up(daemon)
    await town.until("the old ones to go", lambda: len(town.store.instances("shop")) == 2)


async def scale_in(town: Town, daemon: Supervisor) -> None:
    town.write(instances=1)
    await town.up(daemon)
    await town.until("the other to go", lambda: len(town.store.instances("shop")) == 1)


async def other_port(town: Town, daemon: Supervisor) -> None:
    town.write(port=9090)
    await town.up(daemon)


async def a_death(town: Town, daemon: Supervisor) -> None:
    if "web-1" in town.living():
        town.engine.end("shop", "web-1")
    await town.until("a replacement", lambda: "web-3" in town.serving())
    await town.until("the dead one to go", lambda: len(town.store.instances("shop")) == 2)


async def size_by_hand(town: Town, daemon: Supervisor) -> None:
    await daemon.scale("shop", "web", 3, lambda event: None)


async def a_restart(town: Town, daemon: Supervisor) -> None:
    await daemon.restart("shop", None, lambda event: None)
    await town.until("the old ones to go", lambda: len(town.store.instances("shop")) == 2)


async def a_termination(town: Town, daemon: Supervisor) -> None:
    first = town.store.instances("shop")[0].id
    await daemon.terminate("shop", first, progress=lambda event: None)


async def a_drained_one(town: Town, daemon: Supervisor) -> None:
    await daemon.drain("shop", "web-1")
    await town.until("it to be out", lambda: town.serving() == ["web-2"])
    await daemon.give_back("shop", "web-1")
    await town.until("it to be back", lambda: len(town.serving()) == 2)


async def an_open_one(town: Town, daemon: Supervisor) -> None:
    await daemon.open_instance("shop", "web-2", 600)
    await daemon.close_instance("shop", "web-2")
    await town.until("the port to be given back", lambda: set(town.balancer.ports) == {("127.0.0.1", 8080)})


async def targets_come_and_go(town: Town, daemon: Supervisor) -> None:
    """A service that only lists addresses comes into the file, and leaves it again."""
    town.foreign.add("127.0.0.1:9001")
    town.write(instances=1)
    text = (town.folder / "fairlead.yaml").read_text()
    town.say(text.replace("\nload_balancer:\n  listeners: [", LEGACY))
    await town.up(daemon)
    assert town.balancer.ask(8081).startswith("legacy-")
    town.write(instances=1)
    await town.up(daemon)
    await town.until("it to leave", lambda: len(town.store.instances("shop")) == 1)


LEGACY = """
  legacy: {targets: ["127.0.0.1:9001"]}
load_balancer:
  listeners: [{port: 8081, default: {forward: legacy}}, """
"""What stands in the file instead of where its listeners begin."""


STORIES: dict[str, tuple[bool, Act, int]] = {
    "first up": (False, first_up, 2),
    "new release": (True, new_release, 2),
    "scale in": (True, scale_in, 1),
    "another port": (True, other_port, 2),
    "a death": (True, a_death, 2),
    "a size by hand": (True, size_by_hand, 3),
    "a restart": (True, a_restart, 2),
    "a termination": (True, a_termination, 2),
    "drained and returned": (True, a_drained_one, 2),
    "opened and closed": (True, an_open_one, 2),
    "targets come and go": (False, targets_come_and_go, 1),
}
"""Whether the stack is up before; what is done; how many instances there are in the end."""


async def play(folder: Path, name: str, dies_at: int) -> bool:
    """Play a story with a daemon that dies at that call; False when the story was over before."""
    is_up, act, instances = STORIES[name]
    folder.mkdir()
    town = Town(folder, PACE)
    try:
        if is_up:
            before = await town.daemon()
            await town.up(before)
            await before.close()
        await die_in_the_middle(town, act, dies_at)
        died = town.fuse.burnt >= dies_at
        daemon = await town.daemon()
        await act(town, daemon)
        await town.until("the right number", lambda: len(town.serving()) == instances == len(town.living()))
        await town.becomes(*town.living())
    finally:
        await town.close()
    return died


@pytest.mark.looptime
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", STORIES)
async def test_a_daemon_that_dies_anywhere_leaves_a_world_that_leads_on(tmp_path: Path, name: str) -> None:
    await at_every_call(tmp_path, lambda folder, dies_at: play(folder, name, dies_at))
