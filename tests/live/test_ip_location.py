"""The reference system with a cache, whole: five instances in two zones behind the load balancer, a real Valkey, and an
HTTP server that plays ipstack and counts its calls."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.drill.load import Load

from ..examples.ipstack import KEY, place
from ..examples.ipstack import Ipstack as Server
from ..examples.valkey import Valkey
from .askers import Askers
from .house import House
from .pace import RATE, nothing_lost, settle

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "ip-location"
STACK = "ip-location"
IP = "134.201.250.155"
PATIENT = "      CACHE_TIMEOUT: 10s\n      UPSTREAM_TIMEOUT: 60s\n"
OPEN = 500
"""Connections at once: each is three open files of this machine."""


@pytest.fixture
def one_house(request: pytest.FixtureRequest) -> House:
    """Whoever runs it: who that is matters to most of this."""
    found = request.getfixturevalue("root_house" if os.getuid() == 0 else "plain_house")
    assert isinstance(found, House)
    return found


@asynccontextmanager
async def up(house: House, server: Server, **settings: str) -> AsyncIterator[Path]:
    """The example, as anybody starts it; its folder. Down, with its data, at the end."""
    folder = a_copy_of_the_example(house)
    variables = {"PORT": str(house.port(STACK)), "IPSTACK_KEY": KEY, "IPSTACK_URL": server.url, **settings}
    await asyncio.to_thread(house.run, "up", str(folder), **variables)  # type: ignore[arg-type]
    try:
        yield folder
    finally:
        await house.do("down", STACK, "--delete-data", "--yes", check=False)
        shutil.rmtree(folder)


def a_copy_of_the_example(house: House) -> Path:
    """In the house's folder: `up` must need nothing of the clone. What the example has only fractions of a second for has
    time enough here: a busy machine is no dead one."""
    folder = house.folder / EXAMPLE.name
    for source in EXAMPLE.rglob("*"):
        if source.is_file() and source.suffix != ".png" and "__pycache__" not in source.parts:
            copy = folder / source.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            house.write(copy, source.read_text())
    house.edit(folder, "    environment:\n", f"    environment:\n{PATIENT}")
    house.edit(folder, "    health_check:\n", "    health_check:\n      grace_period: 10s\n")
    return folder


async def test_a_thousand_look_ups_of_one_address_are_one_call(house: House) -> None:
    async with Server() as server, up(house, server):
        server.says(IP, place(IP).after(2))
        instances = house.healthy(STACK)
        assert len(instances) == 5
        assert sorted(Counter(one["zone"] for one in instances).values()) == [2, 3]

        room = asyncio.Semaphore(OPEN)
        answers = await asyncio.gather(*(api(house, IP, room) for _ in range(1000)))
        assert {answer["place"]["city"] for answer in answers} == {"Los Angeles"}
        by = Counter(answer["instance"] for answer in answers)
        assert set(by) == {one["id"] for one in instances}
        assert server.calls == [IP]
        assert {answer["cache"]["state"] for answer in answers} == {"reachable"}

        again = await asyncio.gather(*(api(house, IP, room) for _ in range(20)))
        assert {answer["answered_from"] for answer in again} == {"cache"}
        for special in ("10.0.0.1", "127.0.0.1", "fe80::1", "not-an-address", "010.8.8.8", "8.8.8.8/32"):
            assert (await api(house, special))["place"] is None
        assert server.calls == [IP]
        status = await told(house, "/status")
        assert (status["upstream"]["calls"], status["cache"]) == (1, "reachable")
        assert (await told(house, "/api"))["ip"] == "127.0.0.1", "whoever asks, as the load balancer says"
        assert KEY not in house.run("logs", "--stack", STACK).stdout


async def test_an_instance_that_is_killed_loses_no_look_up(one_house: House) -> None:
    house = one_house
    async with Server() as server, up(house, server):
        await api(house, IP)
        victim = house.healthy(STACK)[0]
        async with Load(house.url(STACK, f"/api/{IP}"), rate=RATE, connections="keep_alive") as load:
            await settle(load)
            os.kill(victim["pid"], signal.SIGKILL)
            await house.until("another in its place", lambda: five_without(house, victim["pid"]))
            await settle(load)
        nothing_lost(load, house)
        assert server.calls == [IP]


async def test_an_instance_that_is_broken_is_shown_with_the_reason_while_the_others_serve(one_house: House) -> None:
    """Its socket is removed while it runs: what an instance has of its own here, since the files of a release are all
    instances'."""
    house = one_house
    async with Server() as server, up(house, server):
        await api(house, IP)
        victim = house.healthy(STACK)[1]
        seen: list[dict[str, Any]] = []

        def shown() -> bool:
            seen[:] = [one for one in house.instances(STACK) if one["id"] == victim["id"]]
            return bool(seen and seen[0]["health"] == "unhealthy")

        async with Askers(house.port(STACK), lambda _: f"/api/{IP}") as askers:
            await askers.settle()
            Path(victim["address"].removeprefix("unix:")).unlink()
            await house.until("it is unhealthy", shown)
            assert seen[0]["reason"] == "Target.FailedHealthChecks"
            assert seen[0]["description"]
            moment = len(askers.asked)
            await askers.settle()
            others = Counter(json.loads(one.text)["instance"] for one in askers.asked[moment + 50 :] if one.text)
            assert victim["id"] not in others
            assert len(others) >= 4
            await house.until("a new one in its place", lambda: five_without(house, victim["pid"]))
            await askers.settle()
        assert not askers.lost(), askers.lost()[:3]
        assert server.calls == [IP]


async def test_the_cache_stops_and_starts_and_dies_and_the_site_goes_on(one_house: House) -> None:
    house = one_house
    async with Server() as server, up(house, server):
        everywhere = [await api(house, IP) for _ in range(10)]
        assert len({answer["instance"] for answer in everywhere}) == 5, "each has it in memory now"

        async with Load(house.url(STACK, f"/api/{IP}"), rate=RATE, connections="keep_alive") as load:
            await settle(load)
            await house.do("data", "stop", "lookups")
            await until(
                house, "all say so", lambda answers: {one["cache"]["state"] for one in answers} == {"unreachable"}
            )
            assert "The cache cannot be reached." in await page(house, f"/?ip={IP}")
            other = await api(house, "8.8.8.8")
            assert (other["answered_from"], other["cache"]["state"]) == ("provider", "unreachable")
            assert len(house.healthy(STACK)) == 5, "no reason to replace anything"
            await settle(load)

            await house.do("data", "start", "lookups")
            await until(
                house, "all find it again", lambda answers: {one["answered_from"] for one in answers} == {"cache"}
            )
            assert "The cache cannot be reached." not in await page(house, f"/?ip={IP}")
            await settle(load)

            old = cache(house)["pid"]
            os.kill(old, signal.SIGKILL)
            await house.until("another Valkey", lambda: cache(house)["pid"] not in (None, old))
            await until(
                house, "all find it again", lambda answers: {one["answered_from"] for one in answers} == {"cache"}
            )
            await settle(load)
        nothing_lost(load, house)
        assert server.calls == [IP, "8.8.8.8"], "what was kept is there after both"
        assert (await told(house, "/status"))["upstream"]["calls"] == 2, "and so is the count"


async def test_a_cache_that_exists_already_is_used_and_left_alone(one_house: House, tmp_path: Path) -> None:
    house, valkey = one_house, Valkey(tmp_path, password="of-the-team")
    valkey.start()
    try:
        async with Server() as server:
            folder = a_copy_of_the_example(house)
            text = (folder / "fairlead.yaml").read_text()
            before, _, after = text.partition("caches:\n")
            after = after[after.index("network:") :]
            house.write(folder / "fairlead.yaml", f'{before}caches:\n  lookups: {{url: "{valkey.url}"}}\n\n{after}')
            variables = {"PORT": str(house.port(STACK)), "IPSTACK_KEY": KEY, "IPSTACK_URL": server.url}
            await asyncio.to_thread(house.run, "up", str(folder), **variables)  # type: ignore[arg-type]
            answers = [await api(house, IP) for _ in range(10)]
            assert len({answer["instance"] for answer in answers}) == 5
            assert [answer["answered_from"] for answer in answers] == ["provider"] + ["cache"] * 9
            assert server.calls == [IP]
            assert valkey.do("EXISTS", f"ip-location:ipstack:{IP}") == b":1\r\n"
            refused = house.run("data", "stop", "lookups", check=False)
            assert refused.returncode != 0
            await house.do("down", STACK, "--delete-data", "--yes")
            assert valkey.do("EXISTS", f"ip-location:ipstack:{IP}") == b":1\r\n"
            assert valkey.password not in refused.stderr + house.evidence()
            shutil.rmtree(folder)
    finally:
        valkey.stop()


async def test_without_a_key_the_bundled_table_answers(one_house: House) -> None:
    house = one_house
    async with Server() as server, up(house, server, IPSTACK_KEY=""):
        answer = await api(house, "193.0.14.129")
        assert (answer["provider"], answer["place"]["city"]) == ("bundled", "Amsterdam")
        assert "From the bundled table." in await page(house, "/")
        assert server.calls == []


# Asking


async def api(house: House, ip: str, room: asyncio.Semaphore | None = None) -> dict[str, Any]:
    """On a connection of its own; AssertionError when it is neither an answer nor a refusal of what was asked."""
    async with room or asyncio.Semaphore():
        return await told(house, f"/api/{ip}")


async def told(house: House, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await page(house, path))
    return found


async def page(house: House, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port(STACK))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(60):
            raw = await reader.read()
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"200", b"400"), raw[:500]
    assert b"transfer-encoding: chunked" not in head.lower()
    return body.decode()


async def until(house: House, what: str, holds: Any) -> None:
    """Ten answers, two of each instance, asked again until it holds for all of them."""
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        answers = [await api(house, IP) for _ in range(10)]
        if holds(answers):
            return
        assert asyncio.get_running_loop().time() < deadline, f"waited for {what}: {answers[-1]}\n{house.evidence()}"
        await asyncio.sleep(0.05)


def five_without(house: House, pid: int) -> bool:
    """Whether five are healthy, none of them that process."""
    pids = [one["pid"] for one in house.healthy(STACK)]
    return len(pids) == 5 and pid not in pids


def cache(house: House) -> dict[str, Any]:
    """Its process, found by what it is; pid None: there is none."""
    found = [pid for pid, words in house.processes().items() if "valkey-server" in words or "redis-server" in words]
    return {"pid": found[0] if found else None}
