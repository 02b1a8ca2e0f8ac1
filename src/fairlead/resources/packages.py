"""Which package of the distribution a program belongs to, and how old it is: for people to see, nothing depends on it.

In: a path. Out: the package with its version, and the day it was built; "" where nobody can tell. Asks dpkg or rpm,
each for some seconds at most, and never fails.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime

from fairlead.aiokit import programs
from fairlead.core.launch import SYSTEM_PATH
from fairlead.errors import FairleadError

PATIENCE = 5.0
"""Seconds for one question; it takes some hundredths."""

_ENVIRONMENT = {"PATH": SYSTEM_PATH, "LC_ALL": "C"}

_known: dict[tuple[str, int, int], tuple[str, str]] = {}
"""What was found out already, by path, inode and time of change."""


async def package_of(path: str) -> tuple[str, str]:
    """(`mariadb-server-core 10.11.19-0+deb12u1`, `2026-09-18`). The day is when the program was built, which packages
    keep; "" for a program of no package."""
    try:
        status, real = os.stat(path), os.path.realpath(path)  # noqa: ASYNC240 (microseconds)
    except OSError:
        return "", ""
    key = (path, status.st_ino, status.st_mtime_ns)
    if key not in _known:
        package = await _of_dpkg(path, real) or await _of_rpm(real)
        built = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%d") if package else ""
        _known[key] = (package, built)
    return _known[key]


async def _of_dpkg(path: str, real: str) -> str:
    # Older packages still name what has moved to /usr since.
    for name in dict.fromkeys((path, real, real.removeprefix("/usr"))):
        owners = await _ask("dpkg-query", "--search", "--", name)
        owner = owners.partition(": ")[0].partition(",")[0].strip()
        if owner and not owners.startswith("diversion"):
            version = await _ask("dpkg-query", "--show", "--showformat", "${Version}", "--", owner)
            return f"{owner.partition(':')[0]} {version.rpartition(':')[2]}".strip()
    return ""


async def _of_rpm(real: str) -> str:
    return await _ask("rpm", "--query", "--file", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}", real)


async def _ask(program: str, *words: str) -> str:
    """The first line that it prints; "" when it is not there, fails, or takes too long."""
    found = shutil.which(program, path=SYSTEM_PATH)
    if found is None:
        return ""
    try:
        finished = await programs.run([found, *words], env=_ENVIRONMENT, timeout=PATIENCE)
    except FairleadError:
        return ""
    lines = finished.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if finished.ok and lines else ""
