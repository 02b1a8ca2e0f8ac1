"""A home on disk with real processes for the local engine, and an eye on them that is not the engine's."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

from fairlead.aiokit.polling import wait_until
from fairlead.core.layout import Layout, layout_of
from fairlead.engines.base import LaunchOrder
from fairlead.engines.local import LocalEngine
from tests.engines.worlds import STACK, Behaviour

PYTHON = "/usr/bin/python3"
"""An interpreter that every user may execute."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

PROGRAMS: dict[Behaviour, tuple[str, ...]] = {
    "serves": ("sleep", "300"),
    "fails with 3": ("/bin/sh", "-c", "exit 3"),
    "ignores SIGTERM": ("/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 300; done"),
    "leaves a child": ("/bin/sh", "-c", "sleep 300 & echo up; exec sleep 300"),
    "leaves a daemon": ("/bin/sh", "-c", "setsid sleep 300 & echo up; exec sleep 300"),
    "is refused": ("\0",),
    "writes escapes": ("printf", r"first\nsecond \033]0;title\007\n\033[1mthird\033[0m\n"),
    "works": ("/bin/sh", "-c", "echo up; while :; do :; done"),
}


class LocalWorld:
    """user: as LocalEngine takes it."""

    def __init__(self, user: tuple[int, int, int] | None) -> None:
        self.user = user
        self.home = tempfile.mkdtemp(prefix="fl-")
        os.chmod(self.home, 0o711)
        self.source = f"{self.home}/source"
        os.mkdir(self.source)
        os.chmod(self.source, 0o755)
        self.layout: Layout = layout_of(self.home, os.getuid())
        self.engines: list[LocalEngine] = []

    def engine(self) -> LocalEngine:
        engine = LocalEngine(self.layout, self.user)
        self.engines.append(engine)
        return engine

    def order(self, instance: str, behaviour: Behaviour = "serves") -> LaunchOrder:
        return self.order_of(instance, PROGRAMS[behaviour])

    def order_of(
        self, instance: str, argv: tuple[str, ...], environment: dict[str, str] | None = None, address: str = ""
    ) -> LaunchOrder:
        return LaunchOrder(
            stack=STACK,
            id=instance,
            argv=argv,
            environment={"PATH": SYSTEM_PATH, "HOME": self.run(instance), **(environment or {})},
            working_folder=self.source,
            address=address or f"unix:{self.layout.instance_socket(STACK, instance)}",
        )

    def folder(self, instance: str) -> str:
        return self.layout.instance(STACK, instance)

    def run(self, instance: str) -> str:
        return self.layout.instance_run(STACK, instance)

    def record(self, instance: str, name: str) -> int:
        """The pid that a file of the instance's folder begins with."""
        with open(f"{self.folder(instance)}/{name}") as file:
            return int(file.read().split()[0])

    def output(self, instance: str) -> str:
        with open(f"{self.folder(instance)}/log") as file:
            return file.read()

    async def ready(self, instance: str) -> None:
        """Its program has written its first line."""
        await wait_until(lambda: self.output(instance), 60.0, f"the first line of {instance}")

    async def murder(self, instance: str) -> None:
        os.kill(self.record(instance, "pid"), signal.SIGKILL)

    async def freeze(self, instance: str) -> None:
        os.kill(self.record(instance, "pid"), signal.SIGSTOP)

    def living(self, instance: str) -> int:
        return len(self.pids(instance))

    def pids(self, instance: str) -> list[int]:
        """The processes that were started with the instance's folder in their environment, zombies excluded."""
        return carriers(f"FAIRLEAD_RUN={self.folder(instance)}")

    async def end(self) -> None:
        """Leave nothing of this world."""
        for engine in self.engines:
            await engine.close()
        last = LocalEngine(self.layout, self.user)
        await last.forget(STACK)
        await last.close()
        shutil.rmtree(self.home)
        shutil.rmtree(self.layout.run, ignore_errors=True)
        assert carriers(f"FAIRLEAD_RUN={self.home}/", prefix=True) == []


def carriers(entry: str, *, prefix: bool = False) -> list[int]:
    """Pids of living processes with `entry` in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                words = [word.decode(errors="surrogateescape") for word in file.read().split(b"\0")]
            with open(f"/proc/{pid}/stat", "rb") as file:
                state = file.read().rpartition(b") ")[2][:1]
        except OSError:
            continue
        if state not in b"ZX" and any(word.startswith(entry) if prefix else word == entry for word in words):
            found.append(int(pid))
    return found
