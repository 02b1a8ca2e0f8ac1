"""One connection to a HAProxy's runtime socket: questions in, answers out, in order.

Prompt mode: each command is answered by its text and `\\n> `; no answer can hold that in its middle, since no text of a
user may hold a newline. Several commands travel in one write. The law: an answer always belongs to its command; when
that is in doubt (a timeout, an end in mid-answer) the connection is closed and the next question opens a new one.

Raises OSError (TimeoutError too) while nobody answers, BalancerError when HAProxy answers that it did not obey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fairlead.haproxy.commands import Command

PROMPT = b"\n> "

LONGEST_ANSWER = 1 << 26
"""Bytes; `show stat` takes 250 a server."""

BATCH = 200
"""Commands in one write."""


class Runtime:
    """A client of the socket at `path`. timeout: seconds; a stopping HAProxy accepts and never answers."""

    def __init__(self, path: str, timeout: float = 2.0) -> None:
        self.path = path
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self._last = False

    @property
    def connected(self) -> bool:
        return self._streams is not None

    def keep_last(self) -> None:
        """From now on only the open connection counts: the process stops, and would leave a new one without answer."""
        self._last = True

    async def ask(self, line: str) -> str:
        """The answer to one command."""
        return (await self._exchange([line]))[0]

    async def ask_all(self, lines: Sequence[str]) -> list[str]:
        """The answers to some commands, which travel in one write."""
        return await self._exchange(list(lines)) if lines else []

    async def run(self, commands: Sequence[Command]) -> None:
        """Send them all, and raise for the first that was not done. All are sent, also after one that failed."""
        for first in range(0, len(commands), BATCH):
            batch = commands[first : first + BATCH]
            for one, answer in zip(batch, await self._exchange([one.line for one in batch]), strict=True):
                one.judge(answer)

    def close(self) -> None:
        """Drop the connection; an old HAProxy that stays only for it then ends."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, lines: list[str]) -> list[str]:
        async with self._turn:
            # HAProxy may have closed a connection that was idle (`stats timeout`): then once more on a new one.
            attempts = 2 if self.connected and not self._last else 1
            while True:
                attempts -= 1
                try:
                    return await self._try(lines)
                except (ConnectionError, asyncio.IncompleteReadError) as problem:
                    self.close()
                    if not attempts:
                        raise ConnectionError(f"{self.path}: {problem}") from problem
                except BaseException:
                    self.close()
                    raise

    async def _try(self, lines: list[str]) -> list[str]:
        async with asyncio.timeout(self._timeout):
            if self._streams is None:
                if self._last:
                    raise ConnectionError("the last connection to a stopping HAProxy has ended")
                self._streams = await asyncio.open_unix_connection(self.path, limit=LONGEST_ANSWER)
                await self._send("prompt")
                await self._answer()
            await self._send("\n".join(lines))
            return [await self._answer() for _ in lines]

    async def _send(self, text: str) -> None:
        assert self._streams is not None
        self._streams[1].write(text.encode() + b"\n")
        await self._streams[1].drain()

    async def _answer(self) -> str:
        assert self._streams is not None
        answer = await self._streams[0].readuntil(PROMPT)
        return answer.removesuffix(PROMPT).decode(errors="replace").strip("\n")
