"""The port to an engine: what control asks of the place where instances run.

Every verb is idempotent and takes the world as it finds it: the daemon may have died after any of them. An engine keeps
no state that matters in memory; what it needs after a restart lies in the instance's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fairlead.core.processes import Process
from fairlead.core.readings import Key, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """All that is needed to start one instance. `argv` and `environment` are final: nothing is interpolated now."""

    stack: str
    id: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """The whole environment of the program, FAIRLEAD_RUN included."""
    working_folder: str
    address: str
    """`unix:/path` or `127.0.0.1:PORT`, as `reserve` gave it; "" for a program that serves no requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One instance that the engine knows of, wanted or not."""

    stack: str
    id: str
    process: Process


class Engine(Protocol):
    """A place where instances run."""

    name: str

    def reserve(self, stack: str, instance: str, kind: str, taken: frozenset[str]) -> str:
        """The address the instance will listen on: kind `unix` or `tcp`. `taken` are the addresses recorded for others.
        Nothing is held: control records the address, then launches. EngineError when no port is free."""
        ...

    async def launch(self, order: LaunchOrder) -> None:
        """Start it. A second launch of the same (stack, id) does nothing. EngineError when it cannot be started at all
        (the program's own failure to start is seen by `observe`)."""
        ...

    async def observe(self) -> tuple[Sighting, ...]:
        """Everything that was launched and not yet cleared, alive or gone, whoever launched it."""
        ...

    async def stop(self, stack: str, instance: str) -> None:
        """SIGTERM, to the program only. Control sees to it that it is sent once."""
        ...

    async def kill(self, stack: str, instance: str) -> None:
        """SIGKILL to the whole group and whatever left it; returns when they are gone, or EngineError after 5 s."""
        ...

    async def clear(self, stack: str, instance: str, *, failed_start: bool | None = None, why: str = "") -> None:
        """The instance has ended: kill what it left behind, remove its socket and short-lived folder, forget it. Its
        log and its record of how it ended stay for a while (`tend`), at the longest until `forget`.

        failed_start: whether it never came up, None: judge by how it ended; why: why it ended, in words. Both are kept
        with the log, for whoever asks why it did not start."""
        ...

    async def forget(self, stack: str) -> None:
        """The stack was deleted: remove its instances' folders, logs included. Nothing may run there any more."""
        ...

    async def diagnose(self, stack: str, instance: str, address: str) -> str:
        """One clause on why it may not answer (`the program listens on 127.0.0.1:9000, not on $PORT 20417`), or ""."""
        ...

    async def memory(self, stack: str, instance: str) -> int | None:
        """Bytes of memory that its processes hold together (a page they share counts once); None: unknown, or gone."""
        ...

    async def usage(self) -> Mapping[Key, Usage]:
        """What each living instance uses, by (stack, instance), for metrics, once a second. One whose processes were
        seen for the first time just now is there too: its processor time counts from its start."""
        ...

    async def tend(self) -> None:
        """Housekeeping, called every few seconds: cap the logs without losing a line, mark them with the time, remove
        the folders of instances that ended long ago. Raises nothing; a second call while one works does nothing."""
        ...

    def log_tail(self, stack: str, instance: str, lines: int) -> str:
        """The last lines it wrote, control characters made harmless."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back, from the loop, as soon as an instance's process is gone."""
        ...

    async def close(self) -> None:
        """The daemon leaves; instances stay."""
        ...
