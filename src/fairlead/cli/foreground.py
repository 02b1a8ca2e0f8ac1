"""A child in the foreground, as a shell has one: it gets the signals, and its end is ours.

In: what the child does. Out: its exit status, 128 + n for signal n. The child stays in our process group, so that the
terminal's Ctrl-C and Ctrl-Z reach it by themselves; a signal that somebody sends to us alone is passed on. `held` keeps
every one of these from ending us while there is something to tidy up. Called by `run`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

PASSED_ON = frozenset(
    (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
)
WAITED_FOR = PASSED_ON | {signal.SIGCHLD}


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals that would end us wait until the block is over, or `wait` takes them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(child: Callable[[], NoReturn]) -> int:
    """Fork `child` and wait for its end; its status. Call it with signals `held`."""
    # Ignored, its end could not be waited for; we may have been started so.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ours = _foreground()
    pid = os.fork()
    if pid == 0:
        try:
            # Ctrl-C ends it as it ends any program, unless whoever started us had it ignored.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED_FOR)
            child()
        finally:
            os._exit(1)
    status = _wait(pid)
    if ours:
        _take_back_the_terminal()
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _wait(pid: int) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        seen = signal.sigwaitinfo(WAITED_FOR)
        # The terminal (the kernel; no sender) told the whole group, the child with it.
        if seen.si_signo in PASSED_ON and seen.si_code <= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, seen.si_signo)


def _foreground() -> bool:
    """Whether the terminal is ours now."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _take_back_the_terminal() -> None:
    """A shell makes a group of its own the terminal's; one that was killed did not give it back."""
    with contextlib.suppress(OSError):
        if os.tcgetpgrp(0) != os.getpgrp():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            os.tcsetpgrp(0, os.getpgrp())
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
