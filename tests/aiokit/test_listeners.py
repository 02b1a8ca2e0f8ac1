"""Who listens where, by the kernel's own list."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import closing

import pytest

from fairlead.aiokit.listeners import TcpListener, owner_of, sockets_of, tcp_listeners, unix_listeners
from tests.needs import need

pytestmark = pytest.mark.live


def listening(family: socket.AddressFamily, address: str, *, dual: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
    made.bind((address, 0))
    made.listen()
    return made


@pytest.mark.parametrize(
    ("family", "address", "shown", "wildcard"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1:{}", False),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0:{}", True),
        (socket.AF_INET6, "::1", "[::1]:{}", False),
        (socket.AF_INET6, "::", "[::]:{}", True),
        (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1:{}", False),
    ],
)
def test_a_tcp_listener_is_found_with_its_owner(
    family: socket.AddressFamily, address: str, shown: str, wildcard: bool
) -> None:
    need(family == socket.AF_INET or os.path.exists("/proc/net/tcp6"), "this machine has no IPv6")
    with closing(listening(family, address, dual=True)) as made:
        port, inode = made.getsockname()[1], os.fstat(made.fileno()).st_ino
        (found,) = [listener for listener in tcp_listeners() if listener.inode == inode]
        assert (str(found), found.port, found.uid, found.wildcard) == (shown.format(port), port, os.getuid(), wildcard)
        owner = owner_of(inode)
        assert owner is not None
        assert owner[0] == os.getpid()
        assert inode in sockets_of([os.getpid()])
    assert owner_of(inode) is None
    assert inode not in {listener.inode for listener in tcp_listeners()}


def test_a_socket_that_does_not_listen_is_no_listener() -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        assert bound.getsockname()[1] not in {listener.port for listener in tcp_listeners()}


def test_more_listeners_than_fit_one_answer_are_all_found() -> None:
    made = [listening(socket.AF_INET, "127.0.0.1") for _ in range(200)]
    try:
        assert {one.getsockname()[1] for one in made} <= {listener.port for listener in tcp_listeners()}
    finally:
        for one in made:
            one.close()


def test_a_unix_listener_is_found_by_its_path_blanks_included() -> None:
    with tempfile.TemporaryDirectory() as folder, closing(socket.socket(socket.AF_UNIX)) as made:
        path = f"{folder}/a b.sock"
        made.bind(path)
        assert path not in {listener.path for listener in unix_listeners()}
        made.listen()
        (found,) = [listener for listener in unix_listeners() if listener.path == path]
        assert found.inode in sockets_of([os.getpid()])


def test_processes_that_are_gone_hold_nothing() -> None:
    assert sockets_of([1 << 30]) == frozenset()


def test_an_address_reads_as_people_write_it() -> None:
    assert str(TcpListener("fe80::1", 80, 1, 0)) == "[fe80::1]:80"
