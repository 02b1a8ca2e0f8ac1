"""The access log of a real HAProxy under load, while it is put away: every request is found once."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from fairlead.core.accesslog import file_name, generation_of, parse, segment_of
from fairlead.core.model import LoadBalancerAttributes
from fairlead.core.traffic import Traffic
from fairlead.haproxy import access_logs, sealing
from fairlead.haproxy.sealing import Limits
from tests.haproxy.access_lines import read
from tests.haproxy.apps import WEBSOCKET_KEY, ask
from tests.haproxy.builders import a_group, a_guest, a_routing, a_target
from tests.haproxy.worlds import RealWorld, admit
from tests.needs import need

pytestmark = pytest.mark.live

LIVE = 16_384
"""Bytes that a live file may have: some fifty requests."""


@pytest_asyncio.fixture
async def logged(programs: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RealWorld]:
    """A world whose access logs are put away at every look."""
    monkeypatch.setattr(access_logs, "Limits", lambda: Limits(live=LIVE))
    world = RealWorld(programs)
    await world.open()
    await world.balancer.configure("shop", a_routing(world.port))
    await admit(world, await world.target(1), await world.target(2))
    yield world
    await world.close()


def folder_of(world: RealWorld, stack: str = "shop") -> Path:
    return Path(world.home, "stacks", stack, "logs/access")


def alive_in(folder: Path) -> set[int]:
    """The generations that write there, or whose file was not put away yet."""
    return {found for path in folder.iterdir() if (found := generation_of(path.name)) is not None}


async def put_away(world: RealWorld, folder: Path, left: int = 1) -> None:
    """Look until as many write there as should: HAProxies take their time to leave, and wait until we let go."""
    async with asyncio.timeout(60):
        while len(alive_in(folder)) > left:
            await world.balancer.observe()
            await world.balancer.tend()
            await asyncio.sleep(0.02)


class Numbered:
    """Requests for `/1`, `/2` ... while the block runs, several at once; which were answered."""

    def __init__(self, port: int, host: str = "test", clients: int = 8) -> None:
        self._port, self._host, self._clients = port, host, clients
        self._numbers: Iterator[int] = iter(range(1, 1_000_000))
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.answered: list[int] = []
        self.lost: list[int] = []

    async def __aenter__(self) -> Numbered:
        self._tasks = [asyncio.create_task(self._go_on(), name="client") for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def some(self, count: int = 150) -> None:
        """Return when so many more were answered."""
        until = len(self.answered) + count
        async with asyncio.timeout(60):
            while len(self.answered) < until:
                await asyncio.sleep(0.01)

    async def _go_on(self) -> None:
        while not self._over:
            number = next(self._numbers)
            try:
                answer = await ask(self._port, path=f"/{number}", headers={"Host": self._host})
                (self.answered if answer.status == 200 else self.lost).append(number)
            except (OSError, EOFError):
                self.lost.append(number)


async def found_in(*folders: Path, count: int) -> list[int]:
    """What a reader finds, once it is so much: HAProxy writes a line after the answer is on its way."""
    found: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while len(found := read(*folders)) < count:
                await asyncio.sleep(0.02)
    return found


async def test_every_request_is_found_once_over_looks_and_reloads(logged: RealWorld) -> None:
    folder = folder_of(logged)
    async with Numbered(logged.port) as load:
        for delay in range(1, 5):
            for _ in range(3):
                await load.some(80)
                await logged.balancer.tend()
            attributes = a_group(deregistration_delay=float(delay))
            await logged.balancer.configure("shop", a_routing(logged.port, groups=(attributes,)))
    assert load.lost == []
    found = await found_in(folder, count=len(load.answered))
    assert sorted(found) == sorted(load.answered)
    await put_away(logged, folder)
    assert sorted(read(folder)) == sorted(load.answered)
    segments = [one for path in folder.iterdir() if (one := segment_of(path.name))]
    assert len(segments) >= 12
    assert len({one.generation for one in segments}) >= 4
    (last,) = alive_in(folder)
    assert (folder / file_name(last)).stat().st_blocks * 512 <= LIVE + 2 * 4096


async def test_a_haproxy_killed_loses_only_the_lines_of_what_was_inside(logged: RealWorld) -> None:
    folder = folder_of(logged)
    async with Numbered(logged.port) as load:
        for _ in range(3):
            await load.some()
            before = logged.pid
            await logged.kill_node()
            await logged.until(lambda report, before=before: report.known and report.nodes[0].pid != before, "another")
            await logged.balancer.tend()
    assert load.answered
    found = Counter(await found_in(folder, count=len(load.answered)))
    assert set(found.values()) == {1}
    missing = set(load.answered) - found.keys()
    assert len(missing) <= 3 * 8, "as many as there were clients, at each death"
    await put_away(logged, folder)
    assert alive_in(folder) == {4}


async def test_a_daemon_that_was_away_goes_on_where_the_log_is(logged: RealWorld) -> None:
    folder = folder_of(logged)
    routing = a_routing(logged.port)
    targets = tuple(
        a_target(number, address=logged.apps[f"web-{number}"].address, mode="in_service") for number in (1, 2)
    )
    async with Numbered(logged.port) as load:
        await load.some()
        await logged.balancer.tend()
        await logged.balancer.close()
        await load.some()
        logged.balancer = logged.node()
        await logged.balancer.tend()
        assert len(alive_in(folder)) == 1, "nobody knows yet who lives"
        members = Traffic(routings=(routing,), targets=targets)
        await logged.balancer.start(members)
        await logged.balancer.tend()
        await load.some()
    found = await found_in(folder, count=len(load.answered))
    assert sorted(found) == sorted(load.answered)
    assert load.lost == []


async def test_a_websocket_that_outlives_a_reload_is_in_the_log_of_the_one_that_left(logged: RealWorld) -> None:
    folder = folder_of(logged)
    reader, writer = await asyncio.open_connection("127.0.0.1", logged.port)
    writer.write(
        b"GET /7 HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + WEBSOCKET_KEY + b"\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    await logged.balancer.configure("shop", a_routing(logged.port, groups=(a_group(deregistration_delay=7),)))
    await ask(logged.port, path="/8")
    for _ in range(3):
        await logged.balancer.tend()
    assert alive_in(folder) == {1, 2}
    assert await found_in(folder, count=1) == [8]
    writer.close()
    assert sorted(await found_in(folder, count=2)) == [7, 8]
    await put_away(logged, folder)
    assert sorted(read(folder)) == [7, 8]


async def test_on_a_shared_port_the_log_is_shared_and_says_whose_a_request_is(logged: RealWorld) -> None:
    quiet = LoadBalancerAttributes(access_log=False)
    await logged.balancer.configure("blog", a_guest(logged.port, "blog.test"))
    await logged.balancer.configure("quiet", a_guest(logged.port, "quiet.test", stack="quiet", attributes=quiet))
    shared = Path(logged.home, "logs/access")
    for number, host in enumerate(("test", "blog.test", "quiet.test", "test")):
        await ask(logged.port, path=f"/{number}", headers={"Host": host})
    assert sorted(await found_in(shared, count=3)) == [0, 1, 3]
    text = b"".join(path.read_bytes() for path in shared.iterdir())
    stacks = {request.path: request.stack for line in text.splitlines() if (request := parse(line))}
    assert stacks == {"/0": "shop", "/1": "blog", "/3": "shop"}
    assert read(folder_of(logged)) == []
    await logged.balancer.configure("blog", None)
    await logged.balancer.configure("quiet", None)
    await ask(logged.port, path="/9")
    assert await found_in(folder_of(logged), count=1) == [9]


async def test_a_stack_that_wants_no_log_has_none(logged: RealWorld) -> None:
    quiet = LoadBalancerAttributes(access_log=False)
    await logged.balancer.configure("shop", a_routing(logged.port, attributes=quiet))
    await logged.send(3)
    await put_away(logged, folder_of(logged), left=0)
    assert read(folder_of(logged)) == []
    assert not Path(logged.home, "logs/access").exists()


async def test_a_log_that_cannot_be_opened_keeps_nobody_from_serving(logged: RealWorld) -> None:
    folder = folder_of(logged)
    await logged.send(1)
    (generation,) = alive_in(folder)
    for ahead in range(1, 4):
        os.mkdir(folder / file_name(generation + ahead))
    await logged.balancer.configure("shop", a_routing(logged.port, groups=(a_group(deregistration_delay=7),)))
    assert len(await logged.send(4)) == 4


async def test_where_the_file_system_cannot_punch_another_haproxy_takes_over(
    logged: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "talent", lambda folder: "none")
    monkeypatch.setattr(sealing, "UNPUNCHED", 1)
    folder, before = folder_of(logged), logged.pid
    async with Numbered(logged.port) as load:
        await load.some()
        await logged.balancer.tend()
        await logged.until(lambda report: report.nodes[0].pid != before, "the next generation")
        await load.some(20)
    await put_away(logged, folder)
    assert load.lost == []
    found = await found_in(folder, count=len(load.answered))
    assert sorted(found) == sorted(load.answered)
    assert [path for path in folder.iterdir() if segment_of(path.name)]


async def test_a_haproxy_of_another_user_writes_into_folders_that_are_closed_to_it(programs: str) -> None:
    need(os.geteuid() == 0, "only root can start HAProxy as somebody else")
    world = RealWorld(programs, user=(65534, 65534))
    await world.open()
    try:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        await ask(world.port, path="/7")
        folder = folder_of(world)
        assert 7 in await found_in(folder, count=1)
        assert {oct(path.stat().st_mode)[-3:] for path in (folder, folder.parent)} == {"700"}
        assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {0}
    finally:
        await world.close()
