"""A process is its pid, its start time and its boot."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.aiokit.pidfd import Identity, boot_id, ended, identity_of, open_pidfd, parse_stat, reap, send, stat_of

TAIL = b"S 7 42 43 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 99887 1 2 3"


@given(st.binary(max_size=15).filter(lambda name: b"\0" not in name))
def test_a_name_with_brackets_and_blanks_does_not_shift_the_fields(name: bytes) -> None:
    stat = parse_stat(b"42 (" + name + b") " + TAIL)
    assert (stat.pid, stat.state, stat.parent, stat.group, stat.session, stat.start_time) == (42, "S", 7, 42, 43, 99887)


@pytest.mark.parametrize(
    ("state", "gone", "frozen"),
    [(b"R", False, False), (b"S", False, False), (b"D", False, False), (b"Z", True, False), (b"X", True, False),
     (b"T", False, True), (b"t", False, True)],
)  # fmt: skip
def test_zombies_are_gone_and_stopped_ones_are_frozen(state: bytes, gone: bool, frozen: bool) -> None:
    stat = parse_stat(b"42 (x) " + state + TAIL[1:])
    assert (stat.gone, stat.frozen) == (gone, frozen)


def test_we_know_ourselves() -> None:
    me = identity_of(os.getpid())
    assert me is not None
    assert me.boot == boot_id()
    stat = stat_of(os.getpid())
    assert stat is not None
    assert (stat.group, stat.session, stat.parent) == (os.getpgid(0), os.getsid(0), os.getppid())


def test_nobody_lives_under_impossible_numbers() -> None:
    boot = boot_id()
    for pid in (0, -1, 1 << 30, 1 << 40):
        assert open_pidfd(Identity(pid, 1, boot)) is None
    assert stat_of(1 << 30) is None
    assert identity_of(1 << 30) is None


@pytest.mark.live
class TestLiving:
    @pytest.fixture
    def child(self) -> Iterator[subprocess.Popen[bytes]]:
        child = subprocess.Popen(["sleep", "300"])
        yield child
        child.kill()
        child.wait()

    def test_only_the_same_process_is_opened(self, child: subprocess.Popen[bytes]) -> None:
        identity = identity_of(child.pid)
        assert identity is not None
        assert open_pidfd(replace(identity, start_time=identity.start_time + 1)) is None
        assert open_pidfd(replace(identity, boot="another")) is None
        pidfd = open_pidfd(identity)
        assert pidfd is not None
        os.close(pidfd)

    async def test_the_end_is_awaited_and_an_own_child_collected(self, child: subprocess.Popen[bytes]) -> None:
        identity = identity_of(child.pid)
        assert identity is not None
        pidfd = open_pidfd(identity)
        assert pidfd is not None
        assert not await ended(pidfd, 0.01)
        assert send(pidfd, signal.SIGKILL)
        # Several may wait for the same end.
        assert await asyncio.gather(ended(pidfd, 5), ended(pidfd, 5)) == [True, True]
        assert stat_of(child.pid) is None
        assert not send(pidfd, signal.SIGKILL)
        reap(pidfd)
        os.close(pidfd)

    def test_a_zombie_is_nobody(self, child: subprocess.Popen[bytes]) -> None:
        identity = identity_of(child.pid)
        assert identity is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identity_of(child.pid) is None
        assert open_pidfd(identity) is None
