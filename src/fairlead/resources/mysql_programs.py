"""Which MariaDB or MySQL is run, and where its tools and files are.

In: the folder that FAIRLEAD_MARIADB names, the system's folders, and a folder under the home for packages that were
unpacked without root. No wheel has one. MariaDB goes before MySQL, the newer before the older, unless `version:` or
data that exist decide: neither reads the other's data, and no version those of a newer one.
"""

from __future__ import annotations

import asyncio
import glob
import os
import re
import shlex
import shutil
from dataclasses import dataclass

from fairlead.aiokit import programs
from fairlead.core.resources.model import Database
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources import packages
from fairlead.resources.base import Program

UNPACKED = "mariadb"
"""The folder beside copied wheels for unpacked packages."""

WROTE = "fairlead-program"
"""The file among the data that names the program which wrote them: `mariadb 10.11.19`."""

SERVERS = ("mariadbd", "mysqld")

KEPT_OFF_THE_PATH = "/usr/sbin:/usr/libexec:/usr/local/sbin:/usr/local/libexec:/usr/local/mysql/bin:/opt/mysql/bin"
"""Where distributions put their servers."""

_INSIDE = ("usr/sbin", "usr/libexec", "sbin", "usr/bin", "bin")
"""Where in an unpacked folder a server may be."""

OLDEST = {"mariadb": (10, 6), "mysql": (8, 0)}
"""From here on: accounts as fairlead makes them, and restored tables that change places at once."""

PATIENCE = 10.0
"""Seconds for `--version`; it takes some hundredths."""

_VERSION = re.compile(r"\bVer (?P<number>\d+\.\d+\.\d+)(?P<maria>-MariaDB)?")

_TOOLS: dict[str, dict[str, tuple[str, ...]]] = {
    "mariadb": {"client": ("mariadb", "mysql"), "dump": ("mariadb-dump", "mysqldump")},
    "mysql": {"client": ("mysql",), "dump": ("mysqldump",)},
}


@dataclass(frozen=True, slots=True)
class Installation:
    """What goes with a server."""

    base: str
    """`/usr`, or that of an unpacked folder."""
    share: str
    """Its messages, character sets and SQL for new data."""
    environment: dict[str, str]
    """What its programs need: the libraries of an unpacked folder."""


async def find(database: Database, path: str, own: str, copies: str, data: str) -> Program:
    """The server to run. path: as PATH. own: a folder or a server that the user names, or "". copies: where
    `UNPACKED` may be. data: its data folder, which need not be there. ResourceError, with how to get one."""
    looked = await asyncio.gather(*(_look_at(server) for server in _servers(path, own, copies)))
    found = [one for one in looked if one is not None and order(one.version)[:2] >= OLDEST[one.name]]
    if own and not found:
        raise ResourceError(
            f"FAIRLEAD_MARIADB names {own}, and there is no MariaDB or MySQL that runs there",
            "neither usr/sbin/mariadbd nor usr/sbin/mysqld of 10.6 or 8.0 or later was found in it",
            "name the folder that the packages were unpacked into, or unset it",
        )
    wrote = written_by(data) if data else ""
    fitting = [one for one in found if _fits(one, database.version or "") and reads(one, wrote)]
    if not fitting:
        raise _none(database, found, wrote, copies)
    best = max(fitting, key=lambda one: (one.name == "mariadb", order(one.version)))
    package, built = await packages.package_of(best.path)
    return Program(name=best.name, path=best.path, version=best.version, source="system", package=package, built=built)


def written_by(data: str) -> str:
    """`mariadb 10.11.19`: who wrote the data last; "" when there are none."""
    try:
        with open(f"{data}/{WROTE}", encoding="utf-8", errors="replace") as file:
            return file.read(100).strip()
    except FileNotFoundError:
        return ""


def reads(program: Program, wrote: str) -> bool:
    """Whether it reads what was written by `mariadb 10.11.19`. "": whatever it likes."""
    name, _, version = wrote.partition(" ")
    if not wrote:
        return True
    try:
        written = order(version)[:2]
    except ValueError:
        return True  # nobody can tell: the server will
    return program.name == name and order(program.version)[:2] >= written


def order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def installation(server: str) -> Installation:
    """What goes with the server at this path."""
    base = os.path.dirname(os.path.dirname(server))
    shares = [f"{base}/share/{name}" for name in ("mariadb", "mysql", "mysql-8.0", "mysql-8.4", ".")]
    share = next((one for one in shares if os.path.isdir(f"{one}/charsets")), f"{base}/share/mysql")
    if base in ("/usr", "/usr/local"):
        return Installation(base, share, {})
    # Debian unpacks libraries below usr/lib/ARCHITECTURE, older ones below lib/ARCHITECTURE.
    places = (f"{base}/lib/*-linux-gnu", f"{base}/lib64", f"{os.path.dirname(base)}/lib/*-linux-gnu")
    libraries = [one for place in places for one in glob.glob(place) if os.path.isdir(one)]
    return Installation(base, share, {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})


def tool(program: Program, which: str) -> str:
    """The path of its `client` or its `dump`. ResourceError, with how to get it."""
    names = _TOOLS[program.name][which]
    base = os.path.dirname(os.path.dirname(program.path))
    path = f"{base}/bin:/usr/bin:/bin" if base == "/usr" else f"{base}/bin"
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    package = "mariadb-client" if program.name == "mariadb" else "mysql-client"
    raise ResourceError(
        f"there is no {names[0]} beside {program.path}",
        f"it comes with the clients of {program.name}, which are not installed",
        f"install them: apt install {package} (Fedora: dnf install {program.name})",
    )


def _servers(path: str, own: str, copies: str) -> list[str]:
    """Paths of what may be a server."""
    if own and os.path.isfile(own):
        return [own]
    unpacked = [own] if own else [f"{copies}/{UNPACKED}"]
    folders = [f"{folder}/{inside}" for folder in unpacked for inside in _INSIDE]
    folders += [] if own else [*path.split(":"), *KEPT_OFF_THE_PATH.split(":")]
    found = [f"{folder}/{name}" for folder in folders for name in SERVERS if folder.startswith("/")]
    there = {os.path.realpath(one): one for one in reversed(found) if os.access(one, os.X_OK) and os.path.isfile(one)}
    # What a link leads to: mysqld is one to mariadbd in many places.
    return list(there)


async def _look_at(server: str) -> Program | None:
    """None when it does not run, or is something else."""
    environment = installation(server).environment
    try:
        # Without the first word it would read the machine's my.cnf.
        finished = await programs.run([server, "--no-defaults", "--version"], env=environment, timeout=PATIENCE)
    except FairleadError:
        return None
    version = _VERSION.search(finished.output)
    if not finished.ok or version is None:
        return None
    name = "mariadb" if version["maria"] else "mysql"
    return Program(name=name, path=server, version=version["number"], source="system")


def _fits(program: Program, wanted: str) -> bool:
    parts = [part for part in wanted.split(".") if part]
    return program.version.split(".")[: len(parts)] == parts


def _none(database: Database, found: list[Program], wrote: str, copies: str) -> ResourceError:
    here = f"this machine has {', '.join(sorted(str(one) for one in found))}" if found else "this machine has none"
    if wrote:
        what = f"there is no program for the data of {database.id}, which {wrote} wrote"
        why = f"neither another program nor an older version reads them, and {here}"
        if database.version:
            why += f"; its `version` says {database.version}"
        return ResourceError(what, why, f"install {wrote} or a later one, or go to another by a backup")
    if found and database.version:
        return ResourceError(
            f"there is no MariaDB or MySQL {database.version} for the database {database.id}",
            here,
            "install it, or change its `version`",
        )
    return ResourceError(
        f"there is no MariaDB or MySQL for the database {database.id}",
        "no package of PyPI has one, and the system's is not installed",
        "run as root: apt install mariadb-server-core mariadb-client (Fedora: dnf install mariadb-server mariadb)",
        detail=_without_root(f"{copies}/{UNPACKED}"),
    )


def _without_root(folder: str) -> str:
    folder = shlex.quote(folder)
    return f"""\
On Debian and Ubuntu no root is needed: unpack the packages where fairlead looks for them.
    mkdir -p {folder} && cd {folder}
    apt-get download mariadb-server-core mariadb-client-core mariadb-client \\
      $(apt-cache depends -i mariadb-server-core mariadb-client-core | grep -o ' lib[^ :>]*$' | grep -v libc6)
    for package in *.deb; do dpkg -x "$package" . && rm "$package"; done"""
