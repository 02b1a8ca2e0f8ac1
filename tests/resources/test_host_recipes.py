"""The host with each real recipe: one story, from nothing to nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pymysql
import pytest
import redis
from botocore.client import Config

from fairlead.core.processes import Outcome
from fairlead.core.resources.addresses import addresses_here
from fairlead.core.resources.model import Engine
from fairlead.errors import ResourceError
from fairlead.resources.base import ResourceOrder
from fairlead.resources.host import ResourceHost
from fairlead.resources.recipes import all_recipes
from tests.needs import need
from tests.resources.host_world import PASSWORD, HostWorld
from tests.resources.rig import whom
from tests.resources.victim import RESOURCES
from tests.resources.worlds import STACK, answers, is_gone

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent


def in_redis(told: dict[str, str], text: str | None) -> str:
    with redis.Redis.from_url(told["url"], decode_responses=True, socket_timeout=30) as client:
        if text is not None:
            client.set("text", text)
        return str(client.get("text") or "")


def in_a_table(connection: Any, text: str | None) -> str:
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (text varchar(100))")
        if text is not None:
            cursor.execute("DELETE FROM kept")
            cursor.execute("INSERT INTO kept VALUES (%s)", (text,))
            connection.commit()
        cursor.execute("SELECT text FROM kept")
        row = cursor.fetchone()
        return str(row[0]) if row else ""


def in_postgres(told: dict[str, str], text: str | None) -> str:
    return in_a_table(psycopg.connect(told["url"], connect_timeout=30), text)


def in_mysql(told: dict[str, str], text: str | None) -> str:
    connection = pymysql.connect(
        host=told["host"], port=int(told["port"]), user=told["user"], password=told["password"],
        database=told["name"], connect_timeout=30,
    )  # fmt: skip
    return in_a_table(connection, text)


def in_s3(told: dict[str, str], text: str | None) -> str:
    client = boto3.client(
        "s3", endpoint_url=told["endpoint"], region_name=told["region"], aws_access_key_id=told["user"],
        aws_secret_access_key=told["password"], config=Config(response_checksum_validation="when_required"),
    )  # fmt: skip
    try:
        if text is not None:
            client.put_object(Bucket=told["name"], Key="text", Body=text.encode())
        if client.list_objects_v2(Bucket=told["name"]).get("KeyCount"):
            return str(client.get_object(Bucket=told["name"], Key="text")["Body"].read().decode())
        return ""
    finally:
        client.close()


KEEPERS: dict[Engine, Callable[[dict[str, str], str | None], str]] = {
    "redis": in_redis, "postgres": in_postgres, "mysql": in_mysql, "s3": in_s3
}  # fmt: skip
"""By engine: with a text, keeps it; tells what is kept."""


class RecipeWorld(HostWorld):
    """One resource of one engine."""

    search_path = "/usr/sbin:/usr/bin:/sbin:/bin"

    def __init__(self, user: tuple[int, int] | None, engine: Engine) -> None:
        super().__init__(user)
        self.resource = RESOURCES[engine]
        self.recipes = all_recipes()
        self.port = 0

    def daemon(self) -> ResourceHost:
        host = ResourceHost(self.layout, self.user, self.search_path, self.recipes, lambda stack, id: PASSWORD)
        self.hosts.append(host)
        self.port = self.port or host.reserve(STACK, "data", frozenset())
        return host

    def launch_of(self, number: int) -> ResourceOrder:
        return ResourceOrder(stack=STACK, resource=self.resource, launch=number, port=self.port, password=PASSWORD)

    def kept(self, text: str | None = None) -> str:
        told = addresses_here(self.resource, self.port, PASSWORD)
        return KEEPERS[self.resource.engine](told, text)


@pytest.fixture(params=list(RESOURCES))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[RecipeWorld]:
    world = RecipeWorld(whom(), request.param)
    try:
        await world.daemon().find(world.resource)
    except ResourceError as error:
        need(False, error.sentence)
    yield world
    await world.end()


async def test_a_resource_from_nothing_to_nothing(world: RecipeWorld) -> None:
    daemon, told = world.daemon(), []
    daemon.start(world.launch_of(1))
    first = await answers(daemon, "data")
    assert first.program is not None
    assert first.program.version
    assert first.program.package
    assert first.program.built
    assert world.kept() == ""
    assert world.kept("precious") == "precious"
    assert await daemon.size(STACK, "data") > 0

    # A new daemon finds it as it is.
    await daemon.close()
    daemon = world.daemon()
    assert await answers(daemon, "data") == first

    # Killed, with all that it was doing; the next one has the data.
    await world.murder("data")
    await is_gone(daemon, "data")
    await daemon.clear(STACK, "data")
    daemon.start(world.launch_of(2))
    await answers(daemon, "data")
    assert world.kept() == "precious"

    # A backup, a loss, and the way back.
    file = world.file("all")
    await daemon.backup(world.launch_of(2), file, told.append)
    assert os.stat(file).st_mode & 0o777 == 0o600
    world.kept("spoilt")
    await daemon.restore(world.launch_of(2), file, told.append)
    assert world.kept() == "precious"
    wrong = world.file("wrong")
    with open(wrong, "wb") as garbage:
        garbage.write(os.urandom(5000))
    with pytest.raises(ResourceError):
        await daemon.restore(world.launch_of(2), wrong, told.append)
    await answers(daemon, "data")
    assert world.kept() == "precious"
    shell = await daemon.shell(world.launch_of(2))
    assert PASSWORD not in " ".join(shell.argv)
    assert not any(PASSWORD in text for text in told)

    # Told to end, it ends by itself, and says so.
    await daemon.stop(STACK, "data")
    gone = await is_gone(daemon, "data")
    assert gone.process is not None
    assert gone.process.outcome in (Outcome(exit_status=0), Outcome(exit_status=143), Outcome(signal=15))
    await daemon.clear(STACK, "data")
    daemon.start(world.launch_of(3))
    await answers(daemon, "data")
    assert world.kept() == "precious"

    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    await daemon.delete(STACK, "data")
    daemon.start(world.launch_of(1))
    await answers(daemon, "data")
    assert world.kept() == ""


async def test_a_preparation_that_is_cut_short_anywhere_is_done_again(world: RecipeWorld) -> None:
    daemon = world.daemon()
    for launch in range(1, 6):
        daemon.start(world.launch_of(launch))
        # Whatever it does by then.
        await answers(daemon, "data") if launch == 5 else await _some_steps(launch)
        await daemon.close()
        daemon = world.daemon()
    assert (await answers(daemon, "data")).error == ""
    assert world.kept("precious") == "precious"


async def _some_steps(launch: int) -> None:
    await asyncio.sleep((0.0, 0.05, 0.2, 0.6)[launch - 1])


async def test_a_daemon_that_is_killed_while_it_starts_one_loses_nothing(world: RecipeWorld) -> None:
    world.daemon()
    words = [world.home, world.resource.engine, str(world.port)]
    user = [str(word) for word in world.user or ()]
    for launch, seconds in enumerate((0.0, 0.05, 0.15, 0.3, 0.6), 1):
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.resources.victim", *words, str(launch), *user],
            stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert victim.stdout is not None
        with victim.stdout as said:
            assert await asyncio.to_thread(said.readline) == b"started\n"
        await asyncio.sleep(seconds)
        victim.kill()
        victim.wait()
    daemon = world.daemon()
    daemon.start(world.launch_of(6))
    sighting = await answers(daemon, "data")
    assert sighting.error == ""
    assert world.kept("precious") == "precious"
    await daemon.stop(STACK, "data")
    await is_gone(daemon, "data")
    await daemon.clear(STACK, "data")
    assert world.living("data") == 0
