"""Whether any process of the machine has begun since somebody last asked, for 6 us instead of a list of /proc.

The last field of /proc/loadavg is the number that the kernel gave out last, to a process or a thread (proc(5)). The
law: "no" is only said when it is certain; where the file is not the kernel's (a container may have another one laid
over it) or names nobody, the answer is always "yes". Used by `members`.
"""

from __future__ import annotations

import os
from contextlib import suppress

_FILE = "/proc/loadavg"


class Births:
    """Asked again and again by one."""

    def __init__(self) -> None:
        self._last = 0
        self._certain = _is_the_kernels()

    def any(self) -> bool:
        """Whether a process may have begun since the last call; True at the first. Ask first, list after."""
        before, self._last = self._last, 0
        if self._certain:
            with suppress(OSError, ValueError, IndexError), open(_FILE, "rb", buffering=0) as file:
                self._last = int(file.read(256).split()[4])
        return self._last <= 0 or self._last != before

    def doubt(self) -> None:
        """Say "yes" the next time."""
        self._last = 0


def _is_the_kernels() -> bool:
    try:
        return os.stat(_FILE).st_dev == os.stat("/proc").st_dev
    except OSError:
        return False
