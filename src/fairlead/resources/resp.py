"""The language of Redis, version 2: commands out, replies in.

`encode` makes the bytes of a command. `reply` reads one: it is a generator that asks for what it needs next (LINE, or a
number of bytes) and is sent just that, so that the same lines serve asyncio (`Connection`) and a terminal
(`redis_shell`). An error of the server is a value, `Refusal`, since it may stand inside of a list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

LINE = -1
"""What `reply` yields when it needs a line, its end included."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server answered instead: `WRONGPASS invalid username-password pair`."""

    text: str

    @property
    def kind(self) -> str:
        """`WRONGPASS`, `LOADING`, `ERR`."""
        return self.text.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Status:
    """`OK`, `PONG`: not data."""

    text: str


Reply: TypeAlias = "Status | bytes | int | Refusal | list[Reply] | None"


def encode(*words: str | bytes | int) -> bytes:
    """One command."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode(errors="surrogateescape")
        parts += [b"$%d\r\n" % len(data), data, b"\r\n"]
    return b"".join(parts)


def reply() -> Generator[int, bytes, Reply]:
    """Read one reply. Yields LINE or a number of bytes, is sent just those, returns the reply. ConnectionError: what is
    there does not speak this language, or has ended."""
    line = yield LINE
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the connection ended in the middle of a reply" if line else "the connection was closed")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return Status(rest.decode(errors="replace"))
    if kind == b"-":
        return Refusal(rest.decode(errors="replace"))
    try:
        number = int(rest)
    except ValueError:
        number = None
    if number is None or kind not in (b":", b"$", b"*"):
        raise ConnectionError(f"no reply of a Redis: {line[:40]!r}")
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"$":
        data = yield number + 2
        if len(data) < number + 2:
            raise ConnectionError("the connection ended in the middle of a reply")
        return data[:-2]
    members: list[Reply] = []
    for _ in range(number):
        members.append((yield from reply()))
    return members


class Connection:
    """A client on a Unix socket. Every method raises OSError (ConnectionError) when nobody speaks there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: str) -> Connection:
        return cls(*await asyncio.open_unix_connection(path))

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._writer.close()

    async def ask(self, *words: str | bytes | int) -> Reply:
        """The reply to one command."""
        return (await self.ask_all(words))[0]

    async def ask_all(self, *commands: tuple[str | bytes | int, ...]) -> list[Reply]:
        """The replies to some commands, which travel in one write."""
        self.send(*commands)
        await self._writer.drain()
        return [await self.read() for _ in commands]

    def send(self, *commands: tuple[str | bytes | int, ...]) -> None:
        """Send without waiting for the replies."""
        self._writer.write(b"".join(encode(*words) for words in commands))

    async def read(self) -> Reply:
        """The next reply."""
        steps = reply()
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(await self._some(wanted))
        except StopIteration as done:
            result: Reply = done.value
            return result

    async def _some(self, wanted: int) -> bytes:
        try:
            return await (self.reader.readline() if wanted == LINE else self.reader.readexactly(wanted))
        except asyncio.IncompleteReadError as ended:
            return ended.partial
        except ValueError as problem:
            raise ConnectionError("no reply of a Redis: an endless line") from problem
