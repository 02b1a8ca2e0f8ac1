"""What a full disk, or another refusal of the operating system, is told as while a release is made.

In: an OSError, or a BuildError that a tool's own words made. Out: a BuildError that names the disk when the disk is the
cause, whoever noticed it: us, uv, git or a command of `build:`.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress

from fairlead.errors import BuildError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE_WORDS = ("No space left on device", "ENOSPC", "os error 28", "Disk quota exceeded", "os error 122")


def from_system(problem: OSError, home: str) -> BuildError:
    """What the operating system refused while files of the home were written."""
    if problem.errno in NO_SPACE:
        return _full(home, problem.strerror or "", "")
    what = f"{problem.filename} cannot be used" if problem.filename else "the release cannot be made"
    return BuildError(what, problem.strerror or str(problem))


def explained(problem: BuildError, home: str) -> BuildError:
    """The same, or the full disk behind it."""
    said = f"{problem.what}\n{problem.why}\n{problem.detail}"
    cause = problem.__cause__
    if any(words in said for words in NO_SPACE_WORDS) or (isinstance(cause, OSError) and cause.errno in NO_SPACE):
        why = f"{problem.what}: {problem.why}" if problem.why else problem.what
        return _full(home, why, problem.detail, place=problem.place)
    return problem


def _full(home: str, why: str, detail: str, *, place: str = "") -> BuildError:
    left = ""
    with suppress(OSError):
        left = f"; without it {shutil.disk_usage(home).free / 1e6:.0f} MB are free where {home} lies"
    return BuildError(
        "the disk is full, so no release was made, and nothing of it is left",
        f"{why or os.strerror(errno.ENOSPC)}{left}",
        "free some space, then run `fairlead up` again",
        place=place,
        detail=detail,
    )
