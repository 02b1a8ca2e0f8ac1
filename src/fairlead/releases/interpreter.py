"""Which Python a release runs on: `python:` of the file, else the one fairlead runs on.

The law (issue 3, point 9): whoever runs the instances must be able to execute it, links resolved; fairlead's own if it
fits, else the first on the search path that does, else a refusal that says what was looked for. Decided before anything
is copied.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass

from fairlead.aiokit.programs import run
from fairlead.errors import BuildError, FairleadError
from fairlead.releases.access import User, can_execute

PROBE = "import platform, sys; print(sys.implementation.cache_tag, platform.python_version())"
PROBE_PATIENCE = 10.0
"""Seconds for an interpreter to tell its version."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """path: absolute, links resolved. version: as `3.11.7`."""

    path: str
    version: str

    @property
    def minor(self) -> str:
        """`3.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def tag(self) -> str:
        """`cp311`: what compiled packages for it are named by."""
        return f"cp{self.minor.replace('.', '')}"

    def fits(self, wanted: str) -> bool:
        """Whether it is of the version `3`, `3.11` or `3.11.7`."""
        return f"{self.version}.".startswith(f"{wanted}.")


OWN = Interpreter(
    os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    platform.python_version(),
)
"""The interpreter of this process, the one below any virtual environment."""


class Interpreters:
    """Chooses, and remembers what it asked.

    own: fairlead's. user: who runs the instances (None: this process's user). search: folders to look in, like PATH.
    """

    def __init__(self, own: Interpreter, user: User | None, search: str) -> None:
        self._own, self._user, self._search = own, user, search
        self._asked: dict[tuple[str, int], Interpreter | None] = {}

    async def choose(self, wanted: str | None, place: str) -> Interpreter:
        """The interpreter for `python: wanted`. BuildError, with `place`, when there is none."""
        if wanted is not None and not re.fullmatch(r"3(\.\d+){0,2}", wanted):
            raise BuildError(f"python: {wanted!r} is not a version", "", "write it as 3.12", place=place)
        if (wanted is None or self._own.fits(wanted)) and can_execute(self._own.path, self._user):
            return self._own
        version = wanted or self._own.minor
        name = f"python{'.'.join(version.split('.')[:2])}"
        for folder in self._search.split(os.pathsep):
            found = await self._ask(os.path.join(folder, name))
            if found and found.fits(version):
                return found
        raise self._none(wanted, name, place)

    async def _ask(self, path: str) -> Interpreter | None:
        """What stands at `path`, or None when it is not there, not for this user, or does not answer (a pyenv shim)."""
        if not os.path.isabs(path) or not can_execute(path, self._user):
            return None
        real = os.path.realpath(path)  # noqa: ASYNC240 (no program waits on it)
        key = (path, os.stat(path).st_mtime_ns)
        if key not in self._asked:
            try:
                done = await run([path, "-I", "-c", PROBE], env={}, timeout=PROBE_PATIENCE, user=self._user)
            except FairleadError:
                return None
            words = done.stdout.decode(errors="replace").split()
            usable = done.ok and len(words) == 2 and words[0].startswith("cpython")
            self._asked[key] = Interpreter(real, words[1]) if usable else None
        return self._asked[key]

    def _none(self, wanted: str | None, name: str, place: str) -> BuildError:
        searched = ", ".join(dict.fromkeys(self._search.split(os.pathsep)))
        if wanted is None or self._own.fits(wanted):
            return BuildError(
                "there is no Python that the instances can execute",
                f"fairlead's own, {self._own.path}, is out of reach for the user the instances run as, "
                f"and there is no usable {name} in {searched}",
                f"install {name} for the whole system, or run fairlead as a plain user",
                place=place,
            )
        return BuildError(
            f"Python {wanted} is not installed",
            f"fairlead runs on {self._own.version}, and there is no usable {name} in {searched}",
            f"install {name}, or change `python:`",
            place=place,
        )
