"""A load whose answers are read: clients that ask in turn, each over one kept connection, and keep what they were told.

`Load` counts; this is for stories in which it matters what was answered, and when.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from ..conformance.client import Answer, Client, Closed
from .pace import RATE

CLIENTS = 8


@dataclass(frozen=True)
class Asked:
    """One request."""

    at: float
    """Seconds after the beginning at which it was answered."""
    path: str
    answer: Answer | None
    """None: none came; `problem` says what came instead."""
    problem: str = ""

    @property
    def text(self) -> str:
        """What was answered with 200; "" when something else was."""
        return self.answer.text if self.answer and self.answer.status == 200 else ""


class Askers:
    """While the `async with` block lasts, RATE requests a second, and all that came of them.

    path_of: the path of a request, from its number. tls: what is trusted, for an HTTPS listener.
    """

    def __init__(self, port: int, path_of: Callable[[int], str] = lambda _: "/", tls: ssl.SSLContext | None = None):
        self._port, self._path_of, self._tls = port, path_of, tls
        self._began = time.monotonic()
        self._over = threading.Event()
        # Threads of their own: the loop's are few, and the story's commands need them.
        self._threads = ThreadPoolExecutor(CLIENTS)
        self._clients: list[asyncio.Future[None]] = []
        self.asked: list[Asked] = []

    async def __aenter__(self) -> Askers:
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        self._clients = [loop.run_in_executor(self._threads, self._ask_on, which) for which in range(CLIENTS)]
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._over.set()
        await asyncio.gather(*self._clients)
        self._threads.shutdown()

    async def settle(self, seconds: float = 0.5) -> None:
        """Go on for so long at least, and until as many were answered as belong to that time: clients that are behind
        make up for it, and are then quicker than their rate."""
        began, wanted = time.monotonic(), len(self.asked) + seconds * RATE
        while len(self.asked) < wanted or time.monotonic() < began + seconds:
            assert time.monotonic() < began + seconds + 30, f"only {len(self.asked)} answers"
            await asyncio.sleep(0.02)

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def lost(self) -> list[Asked]:
        """Requests that were not answered with 200."""
        return [one for one in self.asked if one.answer is None or one.answer.status != 200]

    def _ask_on(self, which: int) -> None:
        client: Client | None = None
        number = which
        while not self._over.wait(max(0.0, number / RATE - self.now)):
            path = self._path_of(number)
            try:
                client = client or Client(self._port, tls=self._tls)
                answer = client.ask(path, host="localhost")
                self.asked.append(Asked(self.now, path, answer))
                done = answer.one("connection") == "close"
            except (OSError, Closed) as problem:
                self.asked.append(Asked(self.now, path, None, f"{type(problem).__name__}: {problem}"))
                done = True
            if done and client:
                client.close()
                client = None
            number += CLIENTS
        if client:
            client.close()
