"""What the host must know of one kind of server: how it is found, prepared, started, asked, stopped, backed up.

One module a server: `redis`, `postgres`, `mysql`, `s3`. A recipe keeps nothing; every verb may be repeated after a
crash in its middle (`prepare` makes a folder beside the data and renames it).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fairlead.core.resources.model import Resource
from fairlead.resources.base import Program, Shell

User = tuple[int, int]
"""(uid, gid)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where programs are looked for."""

    path: str
    """As PATH: the system's. Folders that distributions keep off it (`/usr/lib/postgresql/*/bin`) the recipes know."""
    copies: str
    """The folder that holds `valkey-9.1.2/`: a wheel's files are copied there, by version, readable for all."""
    data: str = ""
    """The resource's data folder, which need not be there: data that exist may insist on the program that made them.
    "": the question is not about one resource's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one resource lives. Every folder exists and is the server's user's alone (0700)."""

    data: str
    """Its data, made by `prepare`. The parent exists and belongs to the same user."""
    run: str
    """Short enough for a Unix socket (`run/ask.sock`), by which only the daemon and root ask it; emptied at a launch.
    Configuration files with passwords go here, too (0600)."""
    port: int
    password: str
    user: User | None
    """Whom the server becomes, when the daemon is root; None: the daemon's own user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How to start the server: in the foreground, its log on stderr or stdout. No password in `argv`."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM


class Hindered(str):
    """A clause of `ask` about what another start would not mend, such as a full disk: its server is left as it is."""

    __slots__ = ()


class Recipe(Protocol):
    """One kind of server."""

    async def find(self, resource: Resource, search: Search) -> Program:
        """The system's where it will do, else the wheel's. Data that were made by another (`place.data` of a PostgreSQL
        15) are judged by `prepare`. ResourceError: what is missing, and how to get it."""
        ...

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        """Make the data folder, if there is none, with user, password and database; configuration in any case.
        ResourceError: why it cannot be, also for data of another version."""
        ...

    def start(self, program: Program, resource: Resource, place: Place) -> Start: ...

    async def ask(self, resource: Resource, place: Place) -> str:
        """Why it does not do what it is there for, in a clause (a real question, not an open port); "" when it does.
        Answers within two seconds. `Hindered`: to start it again would not help."""
        ...

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        """All its data to `file`, a path where nothing is; the host gives it its own name and mode, and tells its size.
        It answers. ResourceError, and then `file` need not be whole."""
        ...

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        """Replace its data by those of a backup, which is looked at first. It answers. ResourceError."""
        ...

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        """What people look into it with. ResourceError when there is no client."""
        ...
