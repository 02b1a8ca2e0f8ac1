"""The clocks of the machine, behind one small door. Intervals use the monotonic one, stored with the boot id."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """now: monotonic seconds. wall: ISO 8601 UTC, for display. boot: id of the boot that `now` counts in."""

    boot: str

    def now(self) -> float: ...

    def wall(self) -> str: ...


class SystemClock:
    """The real ones."""

    def __init__(self, boot: str) -> None:
        self.boot = boot

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
