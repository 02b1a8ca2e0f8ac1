"""Where an address is, for the least calls: one for all instances, however many ask at once.

In: a public address. Out: an Answer, or Failed. Who asks in one process waits for one look-up (`_flights`); of all
processes the one that has the lock in Redis calls the provider, and the others wait for what it keeps. Without Redis
each process has its own memory and its own flights, so that a stampede costs one call an instance.

What is decided when is in `policy.py`; this file does it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from .budget import Budget
from .places import LONGEST, Place
from .policy import Kept, judge, keep_for, kept_of, lifetime, usable
from .providers import Failed, Provider
from .settings import Settings
from .shared import Shared, Unreachable

REMEMBERED = 1000
"""Addresses in the memory of one process."""
LONGEST_REST = 3600.0
"""Seconds for which a provider is left alone, whatever the cache says: others may write to it."""
LOOK = 0.025
"""Seconds between two looks for what another instance is fetching."""

IP = IPv4Address | IPv6Address


@dataclass(frozen=True, kw_only=True)
class Answer:
    """place: None when the provider does not know. source: `cache`, `memory` (of this instance) or `provider`. age and
    remaining: seconds since the provider said it, and until it is no longer fresh. stale: why it is told although it is
    not."""

    place: Place | None
    source: str
    age: float
    remaining: float
    stale: str = ""


class Lookups:
    def __init__(
        self, provider: Provider, shared: Shared, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self.provider, self.shared, self.settings = provider, shared, settings
        self.budget = Budget(shared, settings.budget, clock)
        self._clock = clock
        self._memory: OrderedDict[str, Kept] = OrderedDict()
        self._unsaved: set[str] = set()
        self._flights: dict[str, asyncio.Task[Answer]] = {}
        self._renewals: dict[str, asyncio.Task[None]] = {}
        self._rest: Failed | None = None
        self._rest_until = 0.0
        # Longer than a call can take, so that it opens early only when its owner died.
        self._lock_time = settings.timeout + 2.0
        shared.back.append(self._catch_up)

    async def find(self, ip: IP) -> Answer:
        """Failed: nothing is known, and nothing can be had now."""
        key = f"{self.provider.name}:{ip}"
        if key not in self._flights:
            self._flights[key] = _started(self._find(key, ip), self._flights, key)
        # Whoever goes away does not end it for the others.
        return await asyncio.shield(self._flights[key])

    async def close(self) -> None:
        tasks = [*self._flights.values(), *self._renewals.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.shared.close()
        await self.provider.close()

    async def _find(self, key: str, ip: IP) -> Answer:
        kept, source = await self._look_up(key)
        verdict = judge(kept, self._clock(), self.settings)
        if kept and verdict in ("fresh", "renew", "stale"):
            if verdict == "renew" and key not in self._renewals:
                self._renewals[key] = _started(self._renew(key, ip), self._renewals, key)
            return self._answer(kept, source)
        if kept and verdict == "failed":
            raise self._again(kept)
        return await self._fetch_once(key, ip, kept)

    async def _fetch_once(self, key: str, ip: IP, kept: Kept | None) -> Answer:
        """One call for all instances. Who does not get the lock waits for what its owner keeps, or for the lock."""
        token = uuid.uuid4().hex
        try:
            while not await self.shared.lock(f"lock:{key}", token, self._lock_time):
                await asyncio.sleep(LOOK)
                answer = self._told(kept_of(await self.shared.get(key)))
                if answer:
                    return answer
            try:
                # Between our look and our lock another may have been quicker.
                newest = kept_of(await self.shared.get(key))
                return self._told(newest) or await self._fetch(key, ip, newest or kept)
            finally:
                await self._unlock(key, token)
        except Unreachable:
            # Before a call, for after it nothing raises this.
            return self._told(self._memory.get(key), "memory") or await self._fetch(key, ip, kept)

    async def _renew(self, key: str, ip: IP) -> None:
        """Ask again before it is too late; one of all instances does. A failure is kept, and told to nobody."""
        token = uuid.uuid4().hex
        try:
            if await self.shared.lock(f"lock:{key}", token, self._lock_time):
                try:
                    kept = kept_of(await self.shared.get(key))
                    if judge(kept, self._clock(), self.settings) == "renew":
                        await self._fetch(key, ip, kept)
                finally:
                    await self._unlock(key, token)
        except (Unreachable, Failed):
            return

    async def _unlock(self, key: str, token: str) -> None:
        with suppress(Unreachable):  # it opens by itself
            await self.shared.unlock(f"lock:{key}", token)

    async def _fetch(self, key: str, ip: IP, kept: Kept | None) -> Answer:
        """Call the provider and keep what it says; when it fails, tell what was kept, as stale."""
        try:
            place = await self._call(ip)
        except Failed as failed:
            if failed.keep:
                again = self._clock() + self.settings.failed
                kept = replace(kept or Kept(), failure=failed.reason, status=failed.status, again=again)
                await self._keep(key, kept)
            if kept and usable(kept, self._clock(), self.settings):
                return self._answer(kept, "cache" if self.shared.reachable else "memory", stale=failed.reason)
            failed.retry_after = failed.rest or self.settings.failed
            raise
        fetched = Kept(at=self._clock(), place=place)
        await self._keep(key, fetched)
        return self._answer(fetched, "provider")

    async def _call(self, ip: IP) -> Place | None:
        """One call, unless the provider is left alone or the month's calls are used up."""
        await self._see_rest()
        if self.provider.metered:
            await self.budget.take()
        try:
            return await self.provider.find(ip)
        except Failed as failed:
            if self.provider.metered and not failed.called:
                await self.budget.give_back()
            if failed.rest:
                await self._rest_for(failed)
            raise

    # What is kept: in Redis for all, in memory for the time without it

    async def _look_up(self, key: str) -> tuple[Kept | None, str]:
        try:
            kept = kept_of(await self.shared.get(key))
        except Unreachable:
            return self._memory.get(key), "memory"
        if kept:
            self._remember(key, kept)
        return kept, "cache"

    async def _keep(self, key: str, kept: Kept) -> None:
        self._remember(key, kept)
        try:
            await self.shared.put(key, kept.to_json(), keep_for(kept, self._clock(), self.settings))
        except Unreachable:
            self._unsaved.add(key)

    def _remember(self, key: str, kept: Kept) -> None:
        self._memory[key] = kept
        self._memory.move_to_end(key)
        while len(self._memory) > REMEMBERED:
            forgotten, _ = self._memory.popitem(last=False)
            self._unsaved.discard(forgotten)

    async def _catch_up(self) -> None:
        """Redis is back: what was learnt without it is kept there, unless it knows newer."""
        await self.budget.settle()
        unsaved, self._unsaved = self._unsaved, set()
        for key in unsaved:
            kept, now = self._memory.get(key), self._clock()
            if kept is None:
                continue  # forgotten meanwhile, for others that were asked about
            try:
                await self.shared.put(key, kept.to_json(), keep_for(kept, now, self.settings), new=True)
            except Unreachable:
                self._unsaved.add(key)

    # The provider's rest: no address is worth a call

    async def _see_rest(self) -> None:
        """Failed, when an instance has been told that calls are no use for now."""
        try:
            told = await self.shared.get(f"rest:{self.provider.name}")
        except Unreachable:
            told = None
        now = self._clock()
        if isinstance(told, dict) and isinstance(told.get("until"), int | float) and told["until"] > now:
            self._rest = Failed(str(told.get("reason"))[:LONGEST], status=503 if told.get("status") == 503 else 502)
            self._rest_until = min(told["until"], now + LONGEST_REST)
        seconds = self._rest_until - self._clock()
        if self._rest and seconds > 0:
            raise Failed(self._rest.reason, status=self._rest.status, rest=seconds, called=False, keep=False)

    async def _rest_for(self, failed: Failed) -> None:
        self._rest, self._rest_until = failed, self._clock() + failed.rest
        value = {"reason": failed.reason, "status": failed.status, "until": self._rest_until}
        with suppress(Unreachable):  # this instance leaves it alone, the others find out by themselves
            await self.shared.put(f"rest:{self.provider.name}", value, failed.rest)

    # Answers

    def _told(self, kept: Kept | None, source: str = "cache") -> Answer | None:
        """What another has kept meanwhile. None: nothing that would do. Failed: its call failed."""
        verdict = judge(kept, self._clock(), self.settings)
        if kept is None or verdict == "ask":
            return None
        if verdict == "failed":
            raise self._again(kept)
        return self._answer(kept, source)

    def _answer(self, kept: Kept, source: str, stale: str = "") -> Answer:
        age = max(0.0, self._clock() - kept.at)
        remaining = lifetime(kept, self.settings) - age
        why = "" if remaining > 0 else stale or kept.failure or "it is being renewed"
        return Answer(place=kept.place, source=source, age=age, remaining=max(0.0, remaining), stale=why)

    def _again(self, kept: Kept) -> Failed:
        failed = Failed(kept.failure, status=kept.status, called=False)
        failed.retry_after = min(max(1.0, kept.again - self._clock()), LONGEST_REST)
        return failed


def _started(work: Coroutine[Any, Any, Any], among: dict[str, asyncio.Task[Any]], key: str) -> asyncio.Task[Any]:
    """Its task, which is among the others until it ends."""

    def ended(task: asyncio.Task[Any]) -> None:
        among.pop(key, None)
        if not task.cancelled():
            task.exception()  # told to whoever waits; with nobody left it is no news

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    return task
