"""The host keeps the contract with a real Valkey or Redis, too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from fairlead.core.resources.model import Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Program, ResourceOrder
from fairlead.resources.recipe import Place, Search, Start
from fairlead.resources.redis import Redis
from tests.needs import need
from tests.resources.contract import ResourcesContract
from tests.resources.host_world import PASSWORD, HostWorld
from tests.resources.test_host import AS
from tests.resources.worlds import STACK, Behaviour, World, answers, is_gone

pytestmark = pytest.mark.live

INSTEAD: dict[str, tuple[str, ...]] = {
    "fails with 3": ("/bin/sh", "-c", "exit 3"),
    "never answers": ("/bin/sh", "-c", "exec sleep 300"),
}
BEFORE: dict[str, tuple[str, ...]] = {
    # The signal goes to the program alone, and here that is the shell.
    "ignores its signal": ("/bin/sh", "-c", 'trap "" TERM; "$0" "$@"; :'),
    "writes escapes": ("/bin/sh", "-c", 'printf "first\\nsecond \\033]0;title\\007\\n"; exec "$0" "$@"'),
}


class Acting(Redis):
    """The real recipe, which behaves as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.behaviours: dict[str, str] = {}

    async def find(self, resource: Resource, search: Search) -> Program:
        if self.behaviours.get(resource.id) == "cannot be found":
            raise ResourceError("there is no program", "scripted")
        return await super().find(resource, search)

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        if self.behaviours[resource.id] == "prepares for long":
            await asyncio.sleep(1.0)
        if self.behaviours[resource.id] == "cannot be prepared":
            raise ResourceError("the data cannot be made", "scripted")
        await super().prepare(program, resource, place)

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        start, behaviour = super().start(program, resource, place), self.behaviours[resource.id]
        return replace(start, argv=INSTEAD.get(behaviour, (*BEFORE.get(behaviour, ()), *start.argv)))


class RedisWorld(HostWorld):
    def __init__(self, user: tuple[int, int] | None) -> None:
        super().__init__(user)
        self.ports: dict[str, int] = {}

    def a_recipe(self) -> Any:
        return Acting()

    def order(self, id: str, launch: int = 1, behaviour: Behaviour | str = "serves") -> ResourceOrder:
        order = super().order(id, launch, behaviour)
        if id not in self.ports:
            self.ports[id] = self.hosts[-1].reserve(STACK, id, frozenset(self.ports.values()))
        return replace(order, port=self.ports[id])

    def client(self, id: str) -> redis.Redis:
        return redis.Redis(port=self.ports[id], password=PASSWORD, decode_responses=True, socket_timeout=30)

    def write(self, id: str, text: str) -> None:
        with self.client(id) as client:
            client.set("text", text)

    def read(self, id: str) -> str:
        with self.client(id) as client:
            return str(client.get("text") or "")


@pytest.fixture(params=AS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[RedisWorld]:
    need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
    world = RedisWorld(request.param)
    yield world
    await world.end()


class TestContract(ResourcesContract):
    @pytest.fixture(params=AS)
    async def world(self, request: pytest.FixtureRequest) -> AsyncIterator[World]:
        need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
        world = RedisWorld(request.param)
        # Orders name ports that a host gives.
        world.daemon()
        yield world
        await world.end()

    async def test_a_log_shows_its_last_lines_without_what_a_terminal_obeys(self, world: World) -> None:
        daemon = world.daemon()
        daemon.start(world.order("data", 1, "writes escapes"))
        await answers(daemon, "data")
        await daemon.tend()
        lines = daemon.log_tail(STACK, "data", 100).splitlines()
        assert lines[:2] == ["first", "second \\x1b]0;title\\x07"]
        assert any("Ready to accept connections" in line for line in lines)


async def test_what_was_acknowledged_is_there_after_the_server_was_killed(world: RedisWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data", 1))
    await answers(daemon, "data")
    with world.client("data") as client:
        for number in range(1000):
            client.set(f"key-{number}", "x" * 100)
        # The append-only file is written before the answer, and a killed process loses nothing that it wrote.
        await world.murder("data")
    await is_gone(daemon, "data")
    await daemon.clear(STACK, "data")
    daemon.start(world.order("data", 2))
    await answers(daemon, "data")
    with world.client("data") as client:
        assert client.dbsize() == 1000
