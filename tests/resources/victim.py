"""A daemon that starts one resource and is killed while it does: run as a program, told who, where and what.

Words: home, engine, port, launch, and perhaps uid and gid of the servers.
"""

from __future__ import annotations

import asyncio
import os
import sys

from fairlead.core.layout import layout_of
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from fairlead.resources.base import ResourceOrder
from fairlead.resources.host import ResourceHost
from fairlead.resources.recipes import all_recipes
from tests.resources.host_world import PASSWORD
from tests.resources.worlds import STACK

RESOURCES: dict[str, Resource] = {
    "redis": Cache(id="data", persist=True),
    "postgres": Database(id="data", engine="postgres", name="shop", user="web"),
    "mysql": Database(id="data", engine="mysql", name="shop", user="web"),
    "s3": Bucket(id="data", name="photos"),
}


async def main(home: str, engine: str, port: int, launch: int, *user: int) -> None:
    search_path = "/usr/sbin:/usr/bin:/sbin:/bin"
    whom = (user[0], user[1]) if user else None
    host = ResourceHost(layout_of(home, os.getuid()), whom, search_path, all_recipes(), lambda stack, id: PASSWORD)
    await host.observe()
    resource = RESOURCES[engine]
    host.start(ResourceOrder(stack=STACK, resource=resource, launch=launch, port=port, password=PASSWORD))
    print("started", flush=True)
    await asyncio.sleep(300)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
