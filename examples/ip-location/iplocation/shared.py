"""The Redis that all instances share, through cashews, so that its absence costs little.

In: keys, and values that JSON can hold. Out: what Redis says, or Unreachable. The law: a command ends within the time
limit, whatever Redis does; after one that failed no request asks Redis again, until a task beside the requests has seen
it store something. So a dead or frozen Redis costs the requests of one moment a fraction of a second, and no others.

Values are JSON, not pickles, which cashews takes by default: whoever can write to a shared Redis could otherwise run
code in here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cashews import Cache
from cashews.exceptions import CacheError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

Result = TypeVar("Result")

CONNECTIONS = 16
"""To Redis, of one instance; more commands at once wait in here."""
PAUSE = 0.5
"""Seconds between two looks whether Redis is back."""
SLICES = 6
"""Parts of a time limit; see `patiently`."""
PREFIX = "ip-location:"

log = logging.getLogger(__name__)


class Unreachable(Exception):
    """Redis did not answer in time, refused, or failed just before and is left alone."""


class Shared:
    """url: of Redis; "": there is none, and everything raises Unreachable. timeout: seconds for one command."""

    def __init__(self, url: str, timeout: float) -> None:
        self.configured, self.reachable = bool(url), bool(url)
        self.back: list[Callable[[], Awaitable[None]]] = []
        """What is called when Redis is back."""
        self._timeout = timeout
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._watch: asyncio.Task[None] | None = None
        self._cache = Cache("ip-location")
        if url:
            self._cache.setup(
                url,
                suppress=False,
                pickle_type="json",
                check_repr=False,
                client_name="ip-location",
                max_connections=CONNECTIONS + 1,
                # These only clean up: the limit that counts is ours.
                socket_timeout=4 * timeout,
                socket_connect_timeout=4 * timeout,
                retry=Retry(NoBackoff(), 0),
            )

    async def get(self, key: str) -> Any:
        """The value; None when there is none, or none that we have written."""
        return await self._ask(lambda: self._read(PREFIX + key))

    async def put(self, key: str, value: Any, seconds: float, *, new: bool = False) -> bool:
        """Keep it so long. new: only when there is nothing yet; whether it was kept."""
        return bool(
            await self._ask(
                lambda: self._cache.set(PREFIX + key, value, expire=seconds, exist=False if new else None),
            )
        )

    async def count(self, key: str, by: int, seconds: float) -> int:
        """Add to a number that all instances share, in one step; the sum. It is forgotten after so long."""
        return await self._ask(lambda: self._add(PREFIX + key, by, seconds))

    async def counted(self, key: str) -> int:
        """The number now."""
        found = await self.get(key)
        return found if isinstance(found, int) else 0

    async def lock(self, key: str, token: str, seconds: float) -> bool:
        """Take a lock, if nobody has it. It opens by itself after so long, should its owner die."""
        return bool(await self._ask(lambda: self._cache.set_lock(PREFIX + key, token, expire=seconds)))

    async def unlock(self, key: str, token: str) -> None:
        """Give it back, if it is still ours."""
        await self._ask(lambda: self._cache.unlock(PREFIX + key, token))

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._cache.close()

    async def _read(self, key: str) -> Any:
        try:
            return await self._cache.get(key)
        except (ValueError, AttributeError):
            return None  # somebody else's value: no JSON (cashews 7 then raises either)

    async def _add(self, key: str, by: int, seconds: float) -> int:
        total = int(await self._cache.incr(key, by, expire=seconds))
        if total == by != 1:
            await self._cache.expire(key, seconds)  # cashews does so by itself only when the sum is 1
        return total

    async def _ask(self, command: Callable[[], Awaitable[Result]]) -> Result:
        if not self.reachable:
            raise Unreachable
        # Waiting for a connection says nothing of Redis, so it is done outside the time limit.
        async with self._room:
            if not self.reachable:
                raise Unreachable
            try:
                return await patiently(command(), self._timeout)
            except (CacheError, RedisError, OSError, TimeoutError) as problem:
                self._lost(problem)
                raise Unreachable from None

    def _lost(self, problem: BaseException) -> None:
        if self.reachable:
            self.reachable = False
            log.warning("the cache is unreachable, going on without it: %s", _words(problem))
            self._watch = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        """One that is full or only to be read is not back: it must store something."""
        while not self.reachable:
            await asyncio.sleep(PAUSE)
            try:
                await patiently(self._cache.set(f"{PREFIX}probe", "well", expire=1), self._timeout)
            except (CacheError, RedisError, OSError, TimeoutError):
                continue
            self.reachable = True
        log.warning("the cache is back")
        for told in self.back:
            await told()


async def patiently(command: Awaitable[Result], seconds: float) -> Result:
    """Its result; TimeoutError when it has none after so long.

    The time is counted in slices, after each of which the event loop has looked round: when the loop itself was busy
    for longer than the limit, the answer has its chance to be read, and Redis is not blamed.
    """
    task = asyncio.ensure_future(command)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    try:
        for _ in range(SLICES):
            done, _ = await asyncio.wait({task}, timeout=seconds / SLICES)
            if done:
                return task.result()
        raise TimeoutError(f"no answer within {seconds:g} s")
    finally:
        task.cancel()


def _words(problem: BaseException) -> str:
    """The cause, which cashews hides behind an exception without a word. Neither holds the password."""
    cause = problem.__cause__ or problem
    return f"{type(cause).__name__}: {cause}"
