"""Faults while a group scales: daemons and HAProxys that are killed, programs that never start, deployments under a load
that rises and falls, nobody there at all. As root; who runs it matters to none of them."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from fairlead.drill.load import Load

from .house import House
from .pace import at_risk
from .test_scaling import PER_TARGET, QUICK, a_group, a_house_left_as_found, events, quiet_for, service, serving
from .websockets import WebSocket

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

GROUP = f"min: 1, max: 4, {QUICK}, policies: {PER_TARGET}"


@pytest.fixture
def house(root_house: House) -> Iterator[House]:
    yield from a_house_left_as_found(root_house)


BREAKS = """
import os
if os.path.exists(os.path.join(os.environ["FAIRLEAD_HOME"], "broken")):
    raise SystemExit("I cannot find my database")
"""


def desired(house: House, name: str) -> int:
    return int(service(house, name)["desired"])


def running(house: House, stack: str) -> set[str]:
    """The instances of which a process lives, as the kernel tells."""
    found = set()
    for pid in house.processes():
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        variables = dict(word.decode(errors="replace").partition("=")[::2] for word in words)
        if f"/{stack}/" in variables.get("FAIRLEAD_RUN", "") and "FAIRLEAD_INSTANCE" in variables:
            found.add(variables["FAIRLEAD_INSTANCE"])
    return found


@asynccontextmanager
async def never_more_than(house: House, stack: str, most: int) -> AsyncIterator[None]:
    """Looked at all the time: a process that lives now and is still not on its way out a moment later counts."""
    broken: list[set[str]] = []
    looks = 0

    async def watch() -> None:
        nonlocal looks
        while True:
            alive = await asyncio.to_thread(running, house, stack)
            shown = await asyncio.to_thread(house.instances, stack)
            there = alive & {one["id"] for one in shown if one["state"] != "terminating"}
            looks += bool(there)
            if len(there) > most:
                broken.append(there)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert not broken, broken
    assert looks > 3, "nobody looked"


def kill(house: House, *kinds: str) -> None:
    for pid, words in house.processes().items():
        if any(kind in words for kind in kinds):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_a_program_that_breaks_costs_only_the_growth(house: House) -> None:
    folder = a_group(house, "breaks", GROUP)
    text = (folder / "app.py").read_text()
    flag = folder / "broken"
    house.write(
        folder / "app.py", BREAKS.replace('os.path.join(os.environ["FAIRLEAD_HOME"], "broken")', repr(str(flag))) + text
    )
    await house.do("up", str(folder))
    house.write(flag, "")
    began = time.monotonic()
    async with Load(house.url("breaks"), rate=130, connections="keep_alive") as load:
        await house.until("three to be wanted", lambda: desired(house, "breaks") == 3)
        await quiet_for(house, load, load.report().sent + 130 * 6)
        launched = len(events(house, "breaks", "launched"))
        # Two at a time, after 1 s, 2 s, 4 s ...: seven in six seconds.
        rounds = 1 + math.floor(math.log2(time.monotonic() - began + 1))
        assert launched <= 1 + 2 * rounds, house.evidence()
        assert [one["id"] for one in house.healthy("breaks")] == ["web-1"]
        told = house.run("explain", "web", "--stack", "breaks").stdout
        assert "I cannot find my database" in told or "exited with status 1" in told, told
        flag.unlink()
        await house.until("three to serve", lambda: serving(house, "breaks") == 3)
        assert load.report().lost == 0, f"{load.report()}\n{house.evidence()}"
    house.run("down", "breaks")


async def test_daemon_and_haproxy_are_killed_while_it_grows_and_shrinks(house: House) -> None:
    folder = a_group(house, "killed", GROUP)
    await house.do("up", str(folder))
    async with never_more_than(house, "killed", 4), Load(house.url("killed"), rate=10, connections="new") as quiet:
        async with Load(house.url("killed"), rate=130, connections="new") as load:
            await house.until("the decision", lambda: desired(house, "killed") == 3)
            kill(house, "fairlead daemon")
            await house.until("three to serve", lambda: serving(house, "killed") == 3)
            await quiet_for(house, load, load.report().sent + 130)
            kill(house, "/haproxy -D")
            inside = at_risk(load) + at_risk(quiet)
            await quiet_for(house, load, load.report().sent + 130)
        await house.until("the scale-in", lambda: desired(house, "killed") < 3)
        kill(house, "fairlead daemon")
        await house.until("one to be left", lambda: len(house.instances("killed")) == 1)
    refused = {kind for one in (load, quiet) for kind in one.report().errors if "refused" in kind}
    assert not refused, house.evidence()
    # What was inside HAProxy when it was killed, and nothing else.
    assert load.report().lost + quiet.report().lost <= max(15, inside), (
        f"{load.report()}\n{quiet.report()}\n{house.evidence()}"
    )
    house.run("down", "killed")


async def test_a_deployment_under_a_load_that_rises_and_falls_keeps_the_maximum(house: House) -> None:
    folder = a_group(house, "moves", GROUP.replace("max: 4", "max: 3"))
    await house.do("up", str(folder))
    async with never_more_than(house, "moves", 3), Load(house.url("moves"), rate=20, connections="keep_alive") as quiet:
        async with Load(house.url("moves"), rate=200, connections="keep_alive") as load:
            await house.until("three to serve", lambda: serving(house, "moves") == 3)
            house.edit(folder, '"http.response.start"', '"http.response.start" ', "app.py")
            up = asyncio.create_task(house.do("up", str(folder)))
            await quiet_for(house, load, load.report().sent + 100)
        await up
        await house.until("one to be left", lambda: len(house.instances("moves")) == 1)
    assert load.report().lost == quiet.report().lost == 0, f"{load.report()}\n{quiet.report()}\n{house.evidence()}"
    house.run("down", "moves")


async def test_a_group_of_nobody_answers_503_and_is_back_in_seconds(house: House) -> None:
    folder = a_group(house, "nobody", f"min: 0, max: 2, desired: 1, {QUICK}, policies: {PER_TARGET}")
    await house.do("up", str(folder))
    await house.until("nobody", lambda: not house.instances("nobody"))
    async with Load(house.url("nobody"), rate=5) as load:
        await house.until("somebody", lambda: serving(house, "nobody") == 1)
        await quiet_for(house, load, load.report().sent + 5)
    report = load.report()
    assert not report.errors, report
    assert set(report.statuses) == {200, 503}, report
    print(f"503 for {report.lost / 5:.1f} s")
    assert report.lost / 5 < 20, f"{report}\n{house.evidence()}"
    house.run("down", "nobody")


async def test_a_scale_in_gives_websockets_and_long_requests_their_time_and_no_more(house: House) -> None:
    folder = a_group(
        house, "long", f"min: 1, max: 3, desired: 3, {QUICK}", more="target_group: {deregistration_delay: 4s}"
    )
    app = (folder / "app.py").read_text().replace(
        "    if scope", '    if scope["type"] == "websocket":\n        return await echo(receive, send)\n    if scope', 1
    )  # fmt: skip
    house.write(folder / "app.py", app + ECHO)
    await house.do("up", str(folder))
    sockets = [await WebSocket.open(house.port("long")) for _ in range(6)]
    async with Load(house.url("long", "/slow"), rate=20, max_open=100) as load:
        await quiet_for(house, load, 20)
        shrinking = asyncio.create_task(house.do("scale", "web", "1", "--stack", "long"))
        leaving = lambda: [one for one in house.instances("long") if one["state"] == "terminating"]  # noqa: E731
        await house.until("two to leave", lambda: len(leaving()) == 2)
        assert all([await one.echoes("still here") for one in sockets]), "they have the deregistration delay"
        await shrinking
        await house.until("one to be left", lambda: len(house.instances("long")) == 1)
    assert load.report().lost == 0, f"{load.report()}\n{house.evidence()}"
    assert sum([await one.echoes("and now") for one in sockets]) == 2, "those of the one that stayed"
    for one in sockets:
        one.close()
    house.run("down", "long")


ECHO = """
async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
"""
