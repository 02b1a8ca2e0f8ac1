"""One HAProxy: how it is checked, started, known again, watched and told to go (haproxy.md section 1.3).

Plain `haproxy -D`, never master-worker and never `-sf`: a failed start then harms nobody, and the old process is told
to finish (SIGUSR1) only after the new one runs. Its listening sockets are lent to it (`-x`). The law: a process is ours
only when the pid, its start time and boot agree, and, to be adopted, what it says itself on its runtime socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType

from fairlead.aiokit import programs
from fairlead.aiokit.fdpass import Lender
from fairlead.aiokit.pidfd import ended, identity_of, open_pidfd, send, stat_of
from fairlead.aiokit.polling import wait_until
from fairlead.errors import BalancerError, FairleadError
from fairlead.haproxy.commands import SHOW_INFO, SHOW_STAT, Row, parse_info, parse_stat
from fairlead.haproxy.diary import Diary
from fairlead.haproxy.files import Files, Known
from fairlead.haproxy.program import Program
from fairlead.haproxy.render import LOG_VARIABLE
from fairlead.haproxy.runtime import Runtime

START_PATIENCE = 10.0
"""Seconds for a start or a check; they take some 20 ms."""

KILL_PATIENCE = 5.0


class Process:
    """A running HAProxy that is known to be ours. Made by `start` and `adopt`, or for one that is leaving."""

    def __init__(self, known: Known, pidfd: int, runtime: Runtime) -> None:
        self.known, self.runtime = known, runtime
        self._pidfd = pidfd
        self._watched = False
        self.sessions: int | None = None
        """Of one that is leaving: what was open in it when it was last looked at; None: nobody has looked yet, or can.
        """

    @property
    def generation(self) -> int:
        return self.known.generation

    @property
    def pid(self) -> int:
        return self.known.identity.pid

    @property
    def dead(self) -> bool:
        return identity_of(self.pid) != self.known.identity

    @property
    def frozen(self) -> bool:
        """Stopped by a signal. (One that a debugger holds is left to it.)"""
        stat = stat_of(self.pid)
        return stat is not None and stat.state == "T" and not self.dead

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back from the loop, once, when it has ended."""

        def over() -> None:
            self._unwatch()
            callback()

        self._unwatch()
        asyncio.get_running_loop().add_reader(self._pidfd, over)
        self._watched = True

    async def read(self) -> tuple[Row, ...]:
        """Its counters and servers. OSError while it does not answer."""
        return parse_stat(await self.runtime.ask(SHOW_STAT))

    async def stops(self) -> bool:
        """Whether it takes no new connection any more; also when it no longer answers on its last connection."""
        try:
            return parse_info(await self.runtime.ask(SHOW_INFO)).get("Stopping") == "1"
        except OSError:
            return True

    def signal(self, number: signal.Signals) -> None:
        """Send it, if it is not gone."""
        if self._pidfd >= 0:
            send(self._pidfd, number)

    async def end(self, patience: float) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds; returns when it is gone. BalancerError when it will not go."""
        self.signal(signal.SIGTERM)
        if not await self._ended(patience):
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone. BalancerError when it will not go."""
        self.signal(signal.SIGKILL)
        if not await self._ended(KILL_PATIENCE):
            raise BalancerError(
                f"HAProxy (pid {self.pid}) does not end", f"SIGKILL was sent {KILL_PATIENCE:g} s ago",
                "see its state with: ps -o pid,stat,wchan -p " + str(self.pid),
            )  # fmt: skip

    def close(self) -> None:
        """Forget it; it goes on."""
        self._unwatch()
        self.runtime.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    async def _ended(self, patience: float) -> bool:
        # Its watcher may have closed it in between: then it has ended.
        return self._pidfd < 0 or await ended(self._pidfd, patience)

    def _unwatch(self) -> None:
        if self._watched:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            self._watched = False


async def check(program: Program, files: Files, generation: int, text: str, diary: Diary) -> None:
    """Let HAProxy read `text` without doing anything. BalancerError with its words when it refuses."""
    path = files.configuration(generation)
    try:
        await asyncio.to_thread(files.write, path, text)
    except OSError as problem:
        raise BalancerError(f"{path} cannot be written", problem.strerror or str(problem)) from problem
    try:
        finished = await programs.run([program.path, "-c", "-f", path], env={}, timeout=START_PATIENCE)
    except FairleadError as problem:
        raise BalancerError("HAProxy cannot be run", problem.sentence) from problem
    if not finished.ok:
        diary.note(finished.output)
        why, detail = _alerts(finished.output), finished.output[-4000:]
        raise BalancerError("HAProxy refuses the configuration", why, detail=detail)


async def start(
    program: Program,
    files: Files,
    generation: int,
    text: str,
    sockets: Sequence[socket.socket],
    home: str,
    diary: Diary,
    logs: Mapping[str, int] = MappingProxyType({}),
) -> Process:
    """Start a HAProxy on `text` that takes `sockets`; what it complains of goes into `diary`. logs: descriptors that it
    inherits, by the variables of its environment that name them; they stay the caller's. Returns when it answers.
    BalancerError with its own words, and then no process and no file of that generation is left."""
    try:
        return await _start(program, files, generation, text, sockets, home, diary, logs)
    except (OSError, subprocess.SubprocessError) as problem:
        files.remove(generation)
        raise BalancerError("HAProxy cannot be started", str(problem)) from problem
    except BaseException:
        files.remove(generation)
        raise


async def _start(
    program: Program,
    files: Files,
    generation: int,
    text: str,
    sockets: Sequence[socket.socket],
    home: str,
    diary: Diary,
    logs: Mapping[str, int],
) -> Process:
    path, memory = files.configuration(generation), -1
    try:
        await asyncio.to_thread(files.write, path, text)
    except OSError:
        # A full disk must not keep the balancer down: then the text is handed over in memory.
        memory = os.memfd_create(f"haproxy.{generation}.cfg", 0)
        os.write(memory, text.encode(errors="surrogateescape"))
        path = f"/proc/self/fd/{memory}"
    said = files.open_log(generation)
    argv = [program.path, "-D", "-f", path, "-x", files.lending(generation)]
    try:
        async with Lender(files.lending(generation), sockets):
            inherited = {LOG_VARIABLE: said, **logs} if said >= 0 else logs
            finished = await asyncio.to_thread(_run_to_detachment, argv, memory, inherited, home)
    finally:
        for descriptor in (memory, said):
            if descriptor >= 0:
                os.close(descriptor)
    diary.note(finished.stderr)
    if finished.returncode != 0:
        raise BalancerError("HAProxy did not start", _alerts(finished.stderr), detail=finished.stderr[-4000:])
    runtime = Runtime(files.runtime_socket(generation))
    try:
        pid: int = await wait_until(partial(_pid_of, runtime), START_PATIENCE, "HAProxy's answer", error=BalancerError)
        process = _hold(generation, pid, program, runtime)
    except BaseException:
        runtime.close()
        raise
    with suppress(OSError):  # without a record it is found among the processes
        await asyncio.to_thread(files.record, process.known)
    return process


def _run_to_detachment(
    argv: list[str], memory: int, logs: Mapping[str, int], home: str
) -> subprocess.CompletedProcess[str]:
    # Not through aiokit.programs: that kills what is left of the group, and HAProxy leaves the group only after its
    # parent has returned.
    env = {"FAIRLEAD_HOME": home} | {name: str(descriptor) for name, descriptor in logs.items()}
    return subprocess.run(
        argv, env=env, cwd="/", umask=0o077, timeout=START_PATIENCE, start_new_session=True,
        pass_fds=[one for one in (memory, *logs.values()) if one >= 0],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip


def _hold(generation: int, pid: int, program: Program, runtime: Runtime) -> Process:
    identity = identity_of(pid)
    pidfd = open_pidfd(identity) if identity else None
    if identity is None or pidfd is None:
        raise BalancerError("HAProxy ended right after its start", f"process {pid} is gone")
    return Process(Known(generation, identity, program), pidfd, runtime)


async def adopt(files: Files, known: Known) -> Process | None:
    """The HAProxy that `known` names, when it answers and says itself that it is that process and not stopping."""
    pidfd = open_pidfd(known.identity)
    if pidfd is None:
        return None
    runtime = Runtime(files.runtime_socket(known.generation))
    info: dict[str, str] = {}
    with suppress(OSError):
        info = parse_info(await runtime.ask(SHOW_INFO))
    if info.get("Pid") == str(known.identity.pid) and info.get("Stopping", "0") == "0":
        return Process(known, pidfd, runtime)
    runtime.close()
    os.close(pidfd)
    return None


def hold_leaving(files: Files, known: Known) -> Process | None:
    """A HAProxy that was told to finish by somebody who is gone: it lives, and takes no question."""
    pidfd = open_pidfd(known.identity)
    if pidfd is None:
        return None
    runtime = Runtime(files.runtime_socket(known.generation))
    runtime.keep_last()
    return Process(known, pidfd, runtime)


async def _pid_of(runtime: Runtime) -> int:
    try:
        return int(parse_info(await runtime.ask(SHOW_INFO)).get("Pid", "0"))
    except OSError:
        return 0


def _alerts(output: str) -> str:
    """What HAProxy complains of: its ALERT lines, without the decoration; else its last line."""
    lines = [line.split(" : ", 1)[-1].strip() for line in output.splitlines() if line.startswith("[ALERT]")]
    return "; ".join(lines[:4]) or (output.strip().splitlines() or ["it said nothing"])[-1]
