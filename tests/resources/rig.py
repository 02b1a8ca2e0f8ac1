"""A server of one recipe, run by hand: prepared, started and asked as the host does, without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.model import Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Program
from fairlead.resources.files import make_folder
from fairlead.resources.recipe import Place, Recipe, Search

Answer = TypeVar("Answer")

SOON = 60.0
"""Seconds that a start or an end may take on a busy machine."""

NOBODY = (65534, 65534)


def a_free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def whom() -> tuple[int, int] | None:
    """Root runs the servers as somebody else; anybody else as themselves."""
    return NOBODY if os.getuid() == 0 else None


@dataclass(kw_only=True)
class Rig:
    """One resource of one recipe in a folder of its own."""

    recipe: Recipe
    resource: Resource
    folder: Path
    password: str = "correct-horse-battery-staple-0001"
    search: Search
    process: subprocess.Popen[bytes] | None = None
    port: int = field(default_factory=a_free_port)

    @property
    def place(self) -> Place:
        user = whom()
        make_folder(str(self.folder / "r"), user)
        make_folder(str(self.folder / "k"), user)
        return Place(
            data=str(self.folder / "r" / "data"),
            run=str(self.folder / "k"),
            port=self.port,
            password=self.password,
            user=user,
        )

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def program(self) -> Program:
        return await self.recipe.find(self.resource, self.search)

    async def prepare(self) -> None:
        place = self.place
        shutil.rmtree(place.run)
        await self.recipe.prepare(await self.program(), self.resource, self.place)

    async def launch(self) -> None:
        """Start what was prepared."""
        place = self.place
        start = self.recipe.start(await self.program(), self.resource, place)
        identity = {"user": place.user[0], "group": place.user[1], "extra_groups": ()} if place.user else {}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                start.argv, env=dict(start.environment), cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, umask=0o077, **identity,
            )  # fmt: skip
        self.stop_signal = start.stop_signal

    async def answering(self) -> None:
        """Wait until it answers."""

        async def asked() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log[-4000:]}")
            return await self.recipe.ask(self.resource, self.place) == ""

        await wait_until(asked, SOON, "an answer", seen=lambda: self.log[-4000:], error=ResourceError)

    async def start(self) -> None:
        await self.prepare()
        await self.launch()
        await self.answering()

    def stop(self) -> int:
        """End it as it wants to be ended; its exit status."""
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        return self.process.wait(SOON)

    def kill(self) -> None:
        """SIGKILL to it alone: what it started may go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(SOON)

    def end(self) -> None:
        """Leave nothing of it."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SOON)


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """A short path whose parents everybody may pass; the rig's."""
    folder = Path(tempfile.mkdtemp(prefix="fl-rig-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """For fixtures that outlive one test's loop, and for tests in the middle of theirs, which stands still."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def command_lines() -> str:
    """What `ps` shows of all processes of this machine."""
    shown = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                shown.append(Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(shown)


def listening(pid: int) -> set[tuple[str, int]]:
    """Where a process listens by IPv4 and IPv6."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(entry))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    address, port = fields[1].split(":")
                    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                    found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


def environments(session: int) -> str:
    """The environments of the processes of a session."""
    shown = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry)) == session:
                    shown.append(Path(f"/proc/{entry}/environ").read_bytes().decode(errors="replace"))
    return "\n".join(shown)
