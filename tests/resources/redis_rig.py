"""A cache by hand: a rig with a real server, filled and read by redis-py."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fairlead.core.resources.addresses import addresses_here
from fairlead.core.resources.model import Cache
from fairlead.resources.recipe import Search
from fairlead.resources.redis import Redis
from tests.resources.rig import SOON, Rig, a_folder

PATH = "/usr/sbin:/usr/bin"
BLOB = bytes(range(256)) + random.Random(8).randbytes(3_000_000)


@contextlib.contextmanager
def a_cache(copies: str, *, recipe: Redis | None = None, **settings: Any) -> Iterator[Rig]:
    with a_folder() as folder:
        search = Search(path=PATH, copies=copies)
        cache = Cache(id="sessions", **settings)
        rig = Rig(recipe=recipe or Redis(), resource=cache, folder=folder, search=search)
        try:
            yield rig
        finally:
            rig.end()


def connect(rig: Rig, **changes: Any) -> Any:
    url = addresses_here(rig.resource, rig.port, rig.password)["url"]
    return redis.Redis.from_url(url, socket_timeout=SOON, retry=Retry(NoBackoff(), 0), **changes)


async def backed_up(rig: Rig, name: str = "backup") -> str:
    file = str(rig.folder / name)
    await rig.recipe.backup(await rig.program(), rig.resource, rig.place, file, lambda text: None)
    return file


async def restored(rig: Rig, file: str) -> list[str]:
    told: list[str] = []
    await rig.recipe.restore(await rig.program(), rig.resource, rig.place, file, told.append)
    return told


def fill(rig: Rig) -> dict[str, Any]:
    """Something of each kind; what it was, for `contents`."""
    with connect(rig) as client:
        client.set("text", "Grüße, 世界, 🦀")
        client.set("blob", BLOB)
        client.set("counter", 41, ex=3600)
        client.rpush("list", *range(500))
        client.hset("hash", mapping={str(number): number for number in range(500)})
        client.sadd("set", "a", "b")
        client.zadd("sorted", {"a": 1.5, "b": 2})
        client.xadd("stream", {"what": "ever"})
        client.function_load("#!lua name=mine\nredis.register_function('twice', function(k, a) return 2 * a[1] end)")
        with connect(rig, db=9) as other:
            other.set("elsewhere", "yes")
        return contents(rig)


def contents(rig: Rig) -> dict[str, Any]:
    with connect(rig) as client, connect(rig, db=9) as other:
        return {
            "keys": sorted(client.keys()),
            "blob": client.get("blob") == BLOB,
            "text": (client.get("text") or b"").decode(),
            "expires": client.ttl("counter") > 0,
            "list": client.lrange("list", 0, -1),
            "hash": client.hgetall("hash"),
            "stream": client.xrange("stream"),
            "functions": [one[1] for one in client.function_list()],
            "elsewhere": other.get("elsewhere"),
        }
