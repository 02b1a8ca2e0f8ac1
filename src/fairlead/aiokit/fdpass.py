"""Sockets that change hands over a Unix socket, in the words of HAProxy's `_getsocks` (haproxy.md section 1.4).

`Lender` gives listening sockets to whoever asks on its path (a HAProxy started with `-x PATH`); `borrow` asks for them
(a restarted daemon, of a running HAProxy). Wire: the asker sends `_getsocks\\n`; the answer is an int32 count, then
messages of up to 252 descriptors (SCM_RIGHTS) with, per descriptor, two length bytes and an int32; after each message
the asker sends 4 bytes.

The law: a descriptor that comes in is closed on exec, and one that nobody takes is closed.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

QUESTION = b"_getsocks\n"

PER_MESSAGE = 252
"""Descriptors in one message; the kernel takes 253."""

PATIENCE = 5.0
"""Seconds that one asker may take."""


class Lender:
    """Gives `sockets` to every asker on `path`, as an asynchronous context manager.

    The path must not exist; it is 0600, and gone afterwards. OSError when it cannot be made.
    """

    def __init__(self, path: str, sockets: Sequence[socket.socket]) -> None:
        self._path, self._sockets = path, tuple(sockets)
        self._listener = socket.socket(socket.AF_UNIX)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lender:
        try:
            self._listener.setblocking(False)
            before = os.umask(0o177)  # no await in between: the mask is the process's
            try:
                self._listener.bind(self._path)
            finally:
                os.umask(before)
            self._listener.listen(8)
        except OSError:
            self._listener.close()
            raise
        self._task = asyncio.create_task(self._serve(), name=f"lend sockets on {self._path}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asker, _ = await loop.sock_accept(self._listener)
            with asker:
                asker.setblocking(False)
                # An asker that hangs up or says something else gets nothing; the next one is served.
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await self._lend(loop, asker)

    async def _lend(self, loop: asyncio.AbstractEventLoop, asker: socket.socket) -> None:
        if await loop.sock_recv(asker, 64) != QUESTION:
            return
        await loop.sock_sendall(asker, struct.pack("=i", len(self._sockets)))
        for first in range(0, len(self._sockets), PER_MESSAGE):
            part = self._sockets[first : first + PER_MESSAGE]
            descriptors = array.array("i", [one.fileno() for one in part])
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())
            asker.sendmsg([b"\0" * 6 * len(part)], [rights])
            await loop.sock_recv(asker, 4)


def borrow(path: str, patience: float = 2.0) -> list[socket.socket]:
    """All sockets that the process behind `path` gives, its Unix sockets left out. Blocks up to `patience` seconds a
    step (a running HAProxy takes under 1 ms). OSError when nobody answers."""
    asked = socket.socket(socket.AF_UNIX)
    taken: list[socket.socket] = []
    try:
        asked.settimeout(patience)
        asked.connect(path)
        asked.sendall(QUESTION)
        count = None
        while count is None or len(taken) < count:
            data, ancillary, _flags, _address = asked.recvmsg(65536, socket.CMSG_SPACE((PER_MESSAGE + 1) * 4))
            if not data:
                raise ConnectionError(f"{path} hung up after {len(taken)} of {count} sockets")
            if count is None:
                count = struct.unpack("=i", data[:4])[0]
            taken += _sockets_in(ancillary)
            with contextlib.suppress(BrokenPipeError):
                asked.sendall(b"\0\0\0\0")
    except BaseException:
        for one in taken:
            one.close()
        raise
    finally:
        asked.close()
    return _without_unix(taken)


def _sockets_in(ancillary: list[tuple[int, int, bytes]]) -> list[socket.socket]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # recvmsg does not
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _without_unix(taken: list[socket.socket]) -> list[socket.socket]:
    # One of them is the runtime socket that we asked on: a listening dup of it would answer nobody.
    kept = []
    for one in taken:
        if one.family == socket.AF_UNIX:
            one.close()
        else:
            kept.append(one)
    return kept
