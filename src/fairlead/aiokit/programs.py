"""The one door through which short programs start: uv, git, the runner's detection, `haproxy -c`.

In: an argument list, a complete environment, a time limit in seconds, perhaps another user. Out: a `Finished` with the
exit status and what was written. A program that is to outlive its caller does not start here (that is the launcher's
work).

The law: when `run` returns or raises, no process of the program's group is left. The program leads its own session (so
it has no terminal to ask on, and nothing else is in its group), its standard input is empty (or a file that the caller
opened: the program's user may not be able to), no shell is involved, and on timeout or cancellation the whole group
gets SIGTERM, `TERM_PATIENCE` seconds, then SIGKILL. What it writes is read until it has ended, and only the last
`OUTPUT_LIMIT` bytes are kept.

When fairlead itself is killed the program dies with it, as nobody would watch its time any more: `setpriv`, where it is
installed, asks the kernel for that. (Instances are the opposite: started by the launcher, they outlive the daemon.)
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fairlead.errors import FairleadError

OUTPUT_LIMIT = 1 << 20
"""Bytes of output that are kept unless the caller says otherwise, the last ones."""

TERM_PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

DRAIN_PATIENCE = 0.5
"""Seconds for the pipes to empty once the group is gone; a process that left the group may hold them open."""

READ_SIZE = 65536

WITH_US = ("--pdeathsig", "KILL", "--")
"""The kernel ties this to the thread that starts the program: the event loop's, which lives as long as the process."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended and what it wrote.

    status: its exit status; negative is the signal that ended it.
    output: standard output and standard error in the order of their arrival, undecodable bytes replaced.
    stdout: standard output alone, as it was written.
    timed_out: it was ended because its time was over.
    """

    status: int
    output: str
    stdout: bytes
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out


async def run(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str],
    timeout: float,
    user: tuple[int, int] | None = None,
    on_lines: Callable[[list[str]], None] | None = None,
    keep: int = OUTPUT_LIMIT,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Finished:
    """Run `argv` to its end, at most `timeout` seconds.

    env is the whole environment. user: (uid, gid) to run as, without other groups; only root may ask for one. keep:
    bytes of output that are kept. on_lines gets the lines of either stream as they are finished, some at once, without
    their ends. Files it makes are readable by all (umask 022), whatever the caller's umask. stdin, stdout: descriptors
    of files that it reads and writes, and that stay open here; what goes to such a stdout is not in `Finished`.
    FairleadError when it cannot be started at all.
    """
    program = _Program(_start(argv, cwd, env, user, stdin, stdout), on_lines, keep)
    timed_out = False
    try:
        async with asyncio.timeout(timeout):
            await program.leader_gone()
    except TimeoutError:
        timed_out = True
    finally:
        # Also on success: what the program left in its group goes, and its pipes with it.
        await program.end()
    both = program.both.text()
    if program.status in (126, 127) and both.startswith("setpriv: "):
        raise FairleadError(f"{argv[0]} cannot be started", both.rpartition(": ")[2].strip())
    return Finished(program.status, both, program.stdout.raw(), timed_out)


@functools.cache
def _wrapper() -> tuple[str, ...]:
    found = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    # Busybox has a setpriv that does not know the option.
    return (found, *WITH_US) if found and os.path.basename(os.path.realpath(found)) == "setpriv" else ()


def _start(
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str],
    user: tuple[int, int] | None,
    stdin: int | None,
    stdout: int | None,
) -> subprocess.Popen[bytes]:
    identity: dict[str, object] = {}
    if user is not None:
        identity = {"user": user[0], "group": user[1], "extra_groups": ()}
    try:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*_wrapper(), *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o022,
            **identity,
        )
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        raise FairleadError(f"{argv[0]} cannot be started", why) from problem


class _Kept:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()

    def add(self, chunk: bytes) -> None:
        self._tail += chunk
        if len(self._tail) > self._limit:
            del self._tail[: -self._limit]

    def raw(self) -> bytes:
        return bytes(self._tail)

    def text(self) -> str:
        return self._tail.decode(errors="replace")


class _Lines:
    """Cuts chunks into lines for a callback; an endless line is handed over in pieces."""

    def __init__(self, callback: Callable[[list[str]], None]) -> None:
        self._callback = callback
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if lines:
            self._callback([line.decode(errors="replace").rstrip("\r") for line in lines])
        if len(self._rest) > READ_SIZE:
            self.close()

    def close(self) -> None:
        if self._rest:
            self._callback([self._rest.decode(errors="replace")])
            self._rest = b""


class _Program:
    """One running program: its group, its two pipes, and the descriptor that tells when its leader is gone."""

    def __init__(
        self, process: subprocess.Popen[bytes], on_lines: Callable[[list[str]], None] | None, keep: int
    ) -> None:
        self.stdout, self.both = _Kept(keep), _Kept(keep)
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._open: set[int] = set()
        self._drained = asyncio.Event()
        self._gone = asyncio.Event()
        # pidfd and not asyncio's child watcher: no thread, and readable even when somebody else reaped the child.
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._gone.set)
        self._lines = []
        for stream, kept in ((process.stdout, (self.stdout, self.both)), (process.stderr, (self.both,))):
            if stream is None:
                continue
            lines = _Lines(on_lines) if on_lines else None
            if lines:
                self._lines.append(lines)
            os.set_blocking(stream.fileno(), False)
            self._open.add(stream.fileno())
            self._loop.add_reader(stream.fileno(), self._read, stream.fileno(), kept, lines)

    @property
    def status(self) -> int:
        assert self._process.returncode is not None
        return self._process.returncode

    async def leader_gone(self) -> None:
        await self._gone.wait()

    async def end(self) -> None:
        """Leave nothing of the group; collect the status and the rest of the output. Safe to be cancelled."""
        try:
            if not self._gone.is_set():
                self._signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TERM_PATIENCE):
                        await self._gone.wait()
            # The leader is not reaped yet, so its number, which is the group's, cannot be anyone else's.
            self._signal(signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_PATIENCE):
                    await self._drained.wait()
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _read(self, descriptor: int, kept: tuple[_Kept, ...], lines: _Lines | None) -> None:
        try:
            chunk = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return
        for store in kept:
            store.add(chunk)
        if lines:
            lines.add(chunk)
        if not chunk:
            self._loop.remove_reader(descriptor)
            self._open.discard(descriptor)
            if not self._open:
                self._drained.set()

    def _close(self) -> None:
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        for lines in self._lines:
            lines.close()
