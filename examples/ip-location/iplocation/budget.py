"""Calls that may be made in a month, counted in Redis by all instances together, in one step each.

Without Redis nobody knows the others' counts, so an instance then makes a twentieth of the month's calls at most, and
adds them to the count when Redis is back. A call that never reached the provider is given back. If no Redis is set at
all, each instance counts for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from .providers import Failed
from .shared import Shared, Unreachable

ALONE = 20
"""Without Redis, an instance may make the month's calls divided by this, but at least one."""


class Budget:
    """calls: in a calendar month, UTC. clock: seconds since 1970."""

    def __init__(self, shared: Shared, calls: int, clock: Callable[[], float]) -> None:
        self.calls = calls
        self._shared, self._clock = shared, clock
        self._month, self._known, self._owed = "", 0, 0

    async def take(self) -> None:
        """Count one call. Failed: there is none left, or none for an instance that cannot count with the others."""
        key, seconds = self._this_month()
        owed, self._owed = self._owed, 0
        try:
            counted = await self._shared.count(key, 1 + owed, seconds)
        except Unreachable:
            self._owed += owed
            self._take_alone(seconds)
            return
        if counted > self.calls:
            await self._return(key, seconds)
            raise self._spent(seconds)
        self._known = counted

    async def give_back(self) -> None:
        """The call was none."""
        key, seconds = self._this_month()
        if self._owed:
            self._owed -= 1
        else:
            await self._return(key, seconds)

    async def settle(self) -> None:
        """Add what was counted alone. Called when Redis is back."""
        key, seconds = self._this_month()
        owed, self._owed = self._owed, 0
        try:
            if owed:
                self._known = await self._shared.count(key, owed, seconds)
        except Unreachable:
            self._owed += owed

    async def used(self) -> int:
        """Calls of this month, as far as this instance knows."""
        key, _ = self._this_month()
        with suppress(Unreachable):
            self._known = await self._shared.counted(key)
        return min(self._known + self._owed, self.calls)

    def _take_alone(self, seconds: float) -> None:
        if self._known + self._owed >= self.calls:
            raise self._spent(seconds)
        if self._shared.configured and self._owed >= max(1, self.calls // ALONE):
            raise Failed(
                "the cache is unreachable, so the instances cannot count their calls together, and this one has made "
                "those that it may make alone",
                status=503,
                rest=60.0,
                called=False,
                keep=False,
            )
        self._owed += 1

    async def _return(self, key: str, seconds: float) -> None:
        with suppress(Unreachable):  # else it is one call fewer this month
            self._known = await self._shared.count(key, -1, seconds)

    def _spent(self, seconds: float) -> Failed:
        return Failed(
            f"the {self.calls} calls of this month are used up",
            status=503,
            rest=seconds,
            called=False,
            keep=False,
        )

    def _this_month(self) -> tuple[str, float]:
        """The counter's key, and the seconds until the next month."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        following = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        month = f"calls:{now:%Y-%m}"
        if month != self._month:
            self._month, self._known, self._owed = month, 0, 0
        return month, (following - now).total_seconds() + 1
