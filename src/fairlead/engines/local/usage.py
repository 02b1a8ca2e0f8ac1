"""What each living instance uses: processor time and memory.

In: which instances live. Out: `Usage` of each, by (stack, instance); runs of jobs and `before_traffic` are instances,
too. Who belongs to an instance is known by `members`, what its processes have used together by `tally`, what they hold
by `memory`. What a daemon before this one counted is not known: the total goes on from what the kernel still knows.
Once a second, a reading of 10 instances takes 0.4 ms and of 100 some 2 (`python -m bench seeing`, 2 shared cores). Used
by the local engine, from the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from fairlead.aiokit.pidfd import TICK
from fairlead.core.readings import Key, Usage
from fairlead.engines.local.members import Household, Living, Member, Members
from fairlead.engines.local.memory import Memory, held_by
from fairlead.engines.local.tally import Tally

FRESH = 1.0
"""Seconds that a look at who belongs to an instance serves those who ask for its memory."""


@dataclass(slots=True)
class _Account:
    """What is known of one instance beside its processes. awaited: those whose memory has to be known before that of
    the instance is, None: not even who they are."""

    household: Household
    tally: Tally = field(default_factory=Tally)
    ticks: int = 0
    awaited: Collection[Member] | None = None

    def memory(self) -> int | None:
        """Children that come later count as soon as they were looked at."""
        members = self.household.members
        if self.awaited is None:
            # A shim alone: its program is about to come.
            if len(members) < 2:
                return None
            self.awaited = tuple(members.values())
        if any(member.size is None and members.get(member.pid) is member for member in self.awaited):
            return None
        self.awaited = ()
        return held_by(members.values())


class Usages:
    """Reads the instances of one home. marker: as `Members` takes it; living: tells which instances live."""

    def __init__(self, marker: str, living: Callable[[], Mapping[Key, Living]]) -> None:
        self._living = living
        self._members = Members(marker)
        self._memory = Memory()
        self._accounts: dict[Key, _Account] = {}
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")

    @property
    def reads(self) -> int:
        """Files of /proc that were read until now to know who uses what processor time."""
        return self._members.reads

    async def read(self) -> Mapping[Key, Usage]:
        """What each uses; memory is None until all its processes were looked at once."""
        async with self._looking:
            await self._look()
            accounts = self._accounts
            self._memory.refresh(
                member for account in accounts.values() for member in account.household.members.values()
            )
            return {
                key: Usage(cpu=account.ticks * TICK, memory=account.memory(), at=account.household.at)
                for key, account in accounts.items()
            }

    async def memory(self, key: Key) -> int | None:
        """Bytes that one instance holds now; None when nothing of it runs."""
        async with self._looking:
            # One that was started since the last look is worth another.
            if key not in self._accounts or time.monotonic() - self._looked_at > FRESH:
                await self._look()
            members = tuple(self._accounts[key].household.members.values()) if key in self._accounts else ()
        return await self._memory.measure(members)

    def drop(self, key: Key) -> None:
        """The instance is gone."""
        self._members.drop(key)

    def close(self) -> None:
        self._members.close()

    async def _look(self) -> None:
        await self._members.look(self._living())
        self._looked_at = time.monotonic()
        accounts = {}
        for key, household in self._members.households.items():
            account = self._accounts.get(key)
            if account is None or account.household is not household:
                account = _Account(household)
            if household.changed or not account.tally.settled:
                account.ticks = account.tally.take({pid: member.times for pid, member in household.members.items()})
            accounts[key] = account
        self._accounts = accounts
