"""The folders of resources: made, looked through, cleared, deleted.

A resource's folder (`layout.resource`) is fairlead's, passable for others, and outlives `down`:

    data/ENGINE     its data, made by the recipe; `data` is the server's user's alone (0700)
    log             what its servers wrote, one after the other
    launches/N      one launch each, fairlead's alone: what its shim recorded, `about` (what was started, without any
                    password), and `cleared` when nothing is left of it; of those that are over the last two stay

Its run folder (`layout.resource_run`) is the server's user's, emptied before each launch. Deleting begins with another
name, so that half of it is never taken for data. Called by the host of resources.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from fairlead.aiokit.atomic import write_atomically
from fairlead.aiokit.folders import check_ours, make_folder, names_in
from fairlead.aiokit.trees import remove_tree
from fairlead.core.layout import Layout
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Program
from fairlead.resources.files import make_folder as make_private
from fairlead.resources.recipe import User

KEPT = 2
"""Launches whose folders stay, the last one included."""

DELETED = ".deleted-"
"""How the name of a folder begins that is being deleted: no id does."""

MOUNTS = "/proc/self/mountinfo"
"""Where the kernel tells what is mounted: of each line the fifth word is where, proc_pid_mountinfo(5)."""

_OCTAL = re.compile(rb"\\([0-7]{3})")

_KINDS: Mapping[str, type[Resource]] = {"cache": Cache, "database": Database, "bucket": Bucket}

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a later daemon must know of a launch."""

    resource: Resource
    port: int
    program: Program
    stop_signal: signal.Signals

    def text(self) -> str:
        told = {
            "resource": asdict(self.resource),
            "port": self.port,
            "program": asdict(self.program),
            "stop_signal": self.stop_signal.name,
        }
        return json.dumps(told, indent=2) + "\n"


def about_in(text: str) -> About | None:
    """What `About.text` wrote; None when it cannot be read."""
    try:
        told = json.loads(text)
        return About(
            resource=_made(_KINDS[told["resource"]["kind"]], told["resource"]),
            port=int(told["port"]),
            program=_made(Program, told["program"]),
            stop_signal=signal.Signals[told["stop_signal"]],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _made(kind: type[Made], told: Mapping[str, Any]) -> Made:
    """A value of those fields that this version knows."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in told.items() if name in known})


class ResourceFolders:
    """user: (uid, gid) of the servers when fairlead is root; None: all is one user's."""

    def __init__(self, layout: Layout, user: User | None) -> None:
        self._layout, self._user = layout, user
        self._passage = 0o711 if user is not None else 0o700

    def own(self, stack: str, id: str) -> str:
        return self._layout.resource(stack, id)

    def data(self, stack: str, id: str, engine: str) -> str:
        return f"{self._layout.resource(stack, id)}/data/{engine}"

    def run(self, stack: str, id: str) -> str:
        return self._layout.resource_run(stack, id)

    def log(self, stack: str, id: str) -> str:
        return f"{self._layout.resource(stack, id)}/log"

    def launch(self, stack: str, id: str, number: int) -> str:
        return f"{self._layout.resource(stack, id)}/launches/{number}"

    def make(self, stack: str, id: str) -> None:
        """All that a launch needs but its own folder, whole even after a crash in the middle; the run folder empty.
        OSError, EngineError, ResourceError."""
        layout, own = self._layout, self.own(stack, id)
        if os.path.islink(f"{own}/data"):
            to, there = os.readlink(f"{own}/data"), shlex.quote(f"{own}/data")
            raise ResourceError(
                f"{own}/data is a link, to {to}",
                "data do not lie behind one, because whoever may write there could lead root elsewhere",
                f"make it a folder and mount that one there: mount --bind {shlex.quote(to)} {there}",
            )
        for path in (layout.run, f"{layout.run}/r"):
            make_folder(path, self._passage)
            check_ours(path)
        remove_tree(self.run(stack, id))
        make_private(self.run(stack, id), self._user)
        for path in (f"{layout.home}/stacks", layout.stack(stack), layout.resources(stack), own):
            make_folder(path, self._passage)
        make_folder(f"{own}/launches", 0o700)
        make_private(f"{own}/data", self._user)

    def begin(self, stack: str, id: str, number: int, about: About) -> str:
        """The folder of a launch, that says what is launched. OSError."""
        folder = self.launch(stack, id, number)
        make_folder(folder, 0o700)
        # It means nothing after a restart of the machine, so it need not survive one.
        write_atomically(f"{folder}/about", about.text(), durable=False)
        return folder

    def about(self, stack: str, id: str, number: int) -> About | None:
        """What was launched; None when that is not known."""
        try:
            with open(f"{self.launch(stack, id, number)}/about", encoding="utf-8", errors="surrogateescape") as file:
                return about_in(file.read(1 << 20))
        except OSError:
            return None

    def all(self) -> Iterator[tuple[str, str]]:
        """(stack, id) of every resource of the home that has a folder."""
        for stack in names_in(f"{self._layout.home}/stacks"):
            for id in names_in(self._layout.resources(stack)):
                if not id.startswith("."):
                    yield stack, id

    def launches(self, stack: str, id: str) -> list[int]:
        """The numbers of those that have a folder, the last one first."""
        names = names_in(f"{self.own(stack, id)}/launches")
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def mark_cleared(self, stack: str, id: str, number: int) -> None:
        """Nothing is left of that launch. Not marked (full disk), it is cleared once more."""
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(f"{self.launch(stack, id, number)}/cleared", flags, 0o600))

    def is_cleared(self, stack: str, id: str, number: int) -> bool:
        return os.path.lexists(f"{self.launch(stack, id, number)}/cleared")

    def thin_out(self, stack: str, id: str) -> None:
        """Remove the folders of launches that ended long ago. OSError."""
        for number in self.launches(stack, id)[KEPT:]:
            remove_tree(self.launch(stack, id, number))

    def remove_run(self, stack: str, id: str) -> None:
        remove_tree(self.run(stack, id))

    def delete(self, stack: str, id: str) -> None:
        """Everything of the resource goes. OSError; then what is left is under another name, and goes with `sweep`.
        ResourceError: somebody keeps them elsewhere, behind a link or a mount."""
        own = self.own(stack, id)
        if why := _elsewhere(own):
            # A link alone would go, and a mount cannot: nobody would know of the data any more.
            then = "delete what is there yourself, and take the link or the mount away; then run this again"
            raise ResourceError(f"the data of {id} were not deleted", why, then)
        remove_tree(self.run(stack, id))
        doomed = f"{self._layout.resources(stack)}/{DELETED}{id}-{os.urandom(8).hex()}"
        try:
            os.rename(own, doomed)
        except FileNotFoundError:
            return
        remove_tree(doomed)
        with suppress(OSError):
            os.rmdir(self._layout.resources(stack))

    def sweep(self) -> None:
        """Remove what a killed daemon had begun to delete. OSError."""
        for stack in names_in(f"{self._layout.home}/stacks"):
            for name in names_in(self._layout.resources(stack)):
                if name.startswith(DELETED):
                    remove_tree(f"{self._layout.resources(stack)}/{name}")

    def size(self, stack: str, id: str) -> int:
        """Bytes on the disk that the data take; what vanishes meanwhile does not count."""
        total, waiting = 0, [f"{self.own(stack, id)}/data"]
        while waiting:
            with suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
        return total


def _elsewhere(own: str) -> str:
    """Whether what is in that folder lies somewhere else: how, in a clause, or ""."""
    if os.path.islink(own):
        return f"{own} is a link, to {os.readlink(own)}, and none is followed"
    real = os.fsencode(os.path.realpath(own))
    try:
        with open(MOUNTS, "rb") as file:
            points = [_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4]) for line in file]
    except (OSError, IndexError):
        return ""
    found = next((os.fsdecode(point) for point in points if point == real or point.startswith(real + b"/")), "")
    return f"{found} is another file system, mounted there" if found else ""
