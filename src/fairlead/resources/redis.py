"""Caches: a Valkey or Redis of this machine for each.

Services are the user `default`, by TCP. The daemon is the user `fairlead`, by the Unix socket; its password is made
anew for each launch and lies beside the socket. Data that were kept are set aside when the file stops asking for it, so
that switching `persist` on never brings back what is of long ago. Kept data carry the name of the program that wrote
them, and `prepare` refuses one that cannot read them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shutil
import sys
from collections.abc import Callable

from fairlead.aiokit.trees import remove_tree
from fairlead.core.launch import SYSTEM_PATH
from fairlead.core.resources.addresses import HOST
from fairlead.core.resources.model import Cache, Resource
from fairlead.errors import ResourceError
from fairlead.resources import redis_data, redis_programs
from fairlead.resources.base import Program, Shell
from fairlead.resources.files import acting_as, make_folder, write_private
from fairlead.resources.recipe import Hindered, Place, Search, Start
from fairlead.resources.redis_admin import CONFIGURATION, KEY, SOCKET, key_in, release
from fairlead.resources.redis_config import ADMIN, configuration
from fairlead.resources.redis_shell import PASSWORD
from fairlead.resources.resp import Connection, Refusal
from fairlead.resources.trouble import as_resource_error

PATIENCE = 2.0
"""Seconds for an answer."""

CLIENTS = ("valkey-cli", "redis-cli")
"""Programs for people, the better one first; they take the password from the same variable as our own."""

WROTE = "program"
"""The file among the data that names the program which wrote them."""

FULL = "MISCONF"
"""What it answers while it cannot write down what it is to keep; it goes on answering reads."""

_CLAUSES = {
    "LOADING": "it is loading its data",
    "BUSY": "it is busy with a script that does not end",
    "WRONGPASS": "another server answers in its place",
}


class Redis:
    """The recipe for caches."""

    def __init__(self) -> None:
        self._restoring: set[str] = set()
        """The run folders of caches whose data this daemon is replacing."""

    async def find(self, resource: Resource, search: Search) -> Program:
        return await redis_programs.find(search)

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        assert isinstance(resource, Cache)
        try:
            await asyncio.to_thread(_prepare, program, resource, place)
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise ResourceError(f"the folder of the cache {resource.id} cannot be made", why) from problem

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        return Start(argv=(program.path, f"{place.run}/{CONFIGURATION}"))

    async def ask(self, resource: Resource, place: Place) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._asked(place)
        except TimeoutError:
            return f"it did not answer within {PATIENCE:g} s"
        except OSError as problem:
            refused = isinstance(problem, FileNotFoundError | ConnectionRefusedError)
            return "it does not accept connections yet" if refused else f"it cannot be asked: {problem}"

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        assert isinstance(resource, Cache)
        with as_resource_error(f"the backup of the cache {resource.id} failed"):
            await redis_data.backup(resource, place, file)

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        assert isinstance(resource, Cache)
        if place.run in self._restoring:
            raise ResourceError(f"the data of the cache {resource.id} are being replaced already")
        self._restoring.add(place.run)
        try:
            with as_resource_error(f"the restore of the cache {resource.id} failed"):
                await redis_data.restore(program, resource, place, file, progress)
        finally:
            self._restoring.discard(place.run)

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        path = f"{os.path.dirname(program.path)}:{SYSTEM_PATH}"
        client = next(filter(None, (shutil.which(name, path=path) for name in CLIENTS)), None)
        own = (sys.executable, "-P", "-m", "fairlead.resources.redis_shell", resource.id, str(place.port))
        return Shell(
            argv=(client, "-h", HOST, "-p", str(place.port)) if client else own,
            environment={PASSWORD: place.password},
            says="" if client else "redis-cli is not installed; this is fairlead's own client (HELP, QUIT)",
        )

    async def _asked(self, place: Place) -> str:
        key = key_in(place.run)
        async with await Connection.open(f"{place.run}/{SOCKET}") as connection:
            answers = await connection.ask_all(("AUTH", ADMIN, key), ("PING",), ("ROLE",))
            for answer in answers:
                if isinstance(answer, Refusal):
                    if answer.kind == FULL:
                        # It writes again by itself once it can; its end would lose what it could not keep yet.
                        return Hindered(f"it refuses writes: {answer.text.partition(' ')[2]}")
                    return _CLAUSES.get(answer.kind, f"it answers {answer.text!r}")
            role = answers[-1]
            if isinstance(role, list) and role[:1] == [b"slave"] and place.run not in self._restoring:
                # A daemon was killed while it replaced the data.
                await release(connection)
        return ""


def _prepare(program: Program, cache: Cache, place: Place) -> None:
    with acting_as(place.user):
        remove_tree(f"{place.data}.{redis_data.SCRATCH}")
        wrote = _wrote(place)
        if not cache.persist and wrote:
            # Nobody asked for its deletion, and it must not come back as if it were of today.
            os.rename(place.data, _unused(f"{place.data}.kept"))
        elif not cache.persist:
            remove_tree(place.data)
        elif wrote and not redis_programs.reads(program.name, program.version, wrote):
            raise ResourceError(
                f"{program} cannot read the data of the cache {cache.id}",
                f"they were written by {wrote}",
                f"install {wrote} or a later one, or begin anew: fairlead data delete {cache.id}",
            )
        make_folder(place.data, None)
        if cache.persist:
            write_private(f"{place.data}/{WROTE}", f"{program}\n", None)
        key, socket = secrets.token_urlsafe(32), f"{place.run}/{SOCKET}"
        write_private(f"{place.run}/{KEY}", key, None)
        text = configuration(cache, data=place.data, socket=socket, port=place.port, password=place.password, admin=key)
        write_private(f"{place.run}/{CONFIGURATION}", text, None)


def _unused(path: str) -> str:
    """`path-1`, or the first number that is not there yet."""
    return next(name for number in itertools.count(1) if not os.path.lexists(name := f"{path}-{number}"))


def _wrote(place: Place) -> str:
    """Who wrote the data, `valkey 9.1.2`; "" when there are none, or nobody can tell."""
    try:
        with open(f"{place.data}/{WROTE}", encoding="utf-8", errors="replace") as file:
            return file.read(100).strip()
    except FileNotFoundError:
        return ""
