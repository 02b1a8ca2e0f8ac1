"""A home on disk with real processes for the host of resources: a tiny server, its recipe, and an eye of our own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairlead.core.layout import Layout, layout_of
from fairlead.core.resources.model import Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Program, ResourceOrder, Shell
from fairlead.resources.files import make_folder, write_private
from fairlead.resources.host import ResourceHost
from fairlead.resources.recipe import Place, Search, Start, User
from tests.engines.local_world import carriers
from tests.resources.worlds import STACK, Behaviour, a_cache

PYTHON = "/usr/bin/python3"
"""An interpreter that every user may execute."""

PASSWORD = "correct-horse-battery"

SERVER = r"""
import fcntl, os, signal, socket, sys
behaviour, run, data = sys.argv[1:]
lock = open(data + "/lock", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(data + "/two at once", "w").close()
if behaviour == "fails with 3":
    sys.exit(3)
if behaviour == "leaves a child" and os.fork() == 0:
    # It holds the lock, and is in nobody's session.
    os.setsid()
    signal.pause()
signal.signal(signal.SIGINT, signal.SIG_IGN if behaviour == "ignores its signal" else lambda *_: os._exit(0))
if behaviour == "writes escapes":
    sys.stderr.write("first\nsecond \033]0;title\007\nthird\n")
if behaviour == "writes much":
    sys.stderr.write(("x" * 99 + "\n") * 200000)
sys.stderr.flush()
if behaviour == "never answers":
    while True:
        signal.pause()
server = socket.socket(socket.AF_UNIX)
server.bind(run + "/ask.sock")
server.listen()
while True:
    caller = server.accept()[0]
    caller.send(b"yes")
    caller.close()
"""


class Tiny:
    """The recipe of a server that keeps one text."""

    def __init__(self) -> None:
        self.behaviours: dict[str, str] = {}
        self.searched: list[Search] = []
        self.says: str | None = None
        """What it answers instead, whatever it is."""

    async def find(self, resource: Resource, search: Search) -> Program:
        self.searched.append(search)
        if self.behaviours.get(resource.id) == "cannot be found":
            raise ResourceError("there is no program", "scripted", "install it")
        return Program(name="tiny", path=PYTHON, version="1.0", source="system", built="2026-11-01")

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        if self.behaviours[resource.id] == "prepares for long":
            await asyncio.sleep(1.0)
        if self.behaviours[resource.id] == "cannot be prepared":
            raise ResourceError("the data cannot be made", "scripted", detail="tiny: out of luck\n")
        make_folder(place.data, place.user)
        if not os.path.exists(f"{place.data}/text"):
            write_private(f"{place.data}/text", "", place.user)

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        return Start(
            argv=(program.path, "-I", "-S", "-c", SERVER, self.behaviours[resource.id], place.run, place.data),
            environment={"LC_ALL": "C.UTF-8"},
            stop_signal=signal.SIGINT,
        )

    async def ask(self, resource: Resource, place: Place) -> str:
        assert place.password == PASSWORD
        if self.says is not None:
            return self.says
        try:
            reader, writer = await asyncio.open_unix_connection(f"{place.run}/ask.sock")
        except OSError:
            return "it does not accept connections yet"
        try:
            return "" if await reader.read() == b"yes" else "it says something else"
        finally:
            writer.close()

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        with open(file, "x") as backup:
            backup.write(Path(place.data, "text").read_text())
        progress(f"{file} is written")

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        write_private(f"{place.data}/text", Path(file).read_text(), place.user)

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        return Shell(argv=("tiny-shell", place.run), environment={"PASSWORD": place.password})


class HostWorld:
    """user: as ResourceHost takes it."""

    search_path = "/usr/bin:/bin"

    def __init__(self, user: User | None) -> None:
        self.user = user
        self.home = tempfile.mkdtemp(prefix="fl-")
        os.chmod(self.home, 0o711)
        self.layout: Layout = layout_of(self.home, os.getuid())
        os.mkdir(f"{self.home}/backups")
        self.recipe = self.a_recipe()
        self.hosts: list[ResourceHost] = []
        self.last_port = 17000

    def a_recipe(self) -> Any:
        return Tiny()

    def daemon(self) -> ResourceHost:
        recipes = {"redis": self.recipe}
        host = ResourceHost(self.layout, self.user, self.search_path, recipes, lambda stack, id: PASSWORD)
        self.hosts.append(host)
        return host

    def order(self, id: str, launch: int = 1, behaviour: Behaviour | str = "serves") -> ResourceOrder:
        self.recipe.behaviours[id] = behaviour if launch == 1 or behaviour != "serves" else "serves"
        self.last_port += 1
        return ResourceOrder(stack=STACK, resource=a_cache(id), launch=launch, port=self.last_port, password=PASSWORD)

    def folder(self, id: str) -> str:
        return self.layout.resource(STACK, id)

    def launch(self, id: str) -> str:
        """The folder of its last launch."""
        launches = f"{self.folder(id)}/launches"
        return f"{launches}/{max(int(name) for name in os.listdir(launches))}"

    def record(self, id: str, name: str) -> int:
        """The pid that a file of its last launch begins with."""
        return int(Path(self.launch(id), name).read_text().split()[0])

    async def murder(self, id: str) -> None:
        os.kill(self.record(id, "pid"), signal.SIGKILL)

    def living(self, id: str) -> int:
        return len(carriers(f"FAIRLEAD_RESOURCE={self.folder(id)}/", prefix=True))

    def data(self, id: str) -> Path:
        return Path(self.folder(id), "data", "redis")

    def write(self, id: str, text: str) -> None:
        (self.data(id) / "text").write_text(text)

    def read(self, id: str) -> str:
        return (self.data(id) / "text").read_text()

    def file(self, name: str) -> str:
        return f"{self.home}/backups/{name}"

    def exists(self, file: str) -> bool:
        return os.path.exists(file)

    async def end(self) -> None:
        """Leave nothing of this world."""
        for host in self.hosts:
            await host.close()
        last = self.daemon()
        for sighting in await last.observe():
            await last.kill(sighting.stack, sighting.id)
        await last.close()
        two = [str(path) for path in Path(self.home).rglob("two at once")]
        shutil.rmtree(self.home)
        shutil.rmtree(self.layout.run, ignore_errors=True)
        assert carriers(f"FAIRLEAD_RESOURCE={self.home}/", prefix=True) == []
        assert two == []
