"""Who listens where on this machine: the kernel's list of listening sockets, and whose they are.

Out: TCP listeners by netlink `sock_diag` (0.05 ms, whatever the number of connections; /proc/net/tcp takes 80 ms on a
busy machine), Unix listeners by /proc/net/unix, and the process that holds a socket by /proc/PID/fd. Sockets are named
by their inode. For messages and diagnoses: of another user's processes a plain user learns nothing, and "unknown" is an
answer of its own (None).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.errors import FairleadError

_SOCK_DIAG = 4
_REQUEST = struct.Struct("=IHHIIBBBBI48x")
_LISTENING = 1 << 10
_ACCEPTS = 0x00010000
"""The flag of a listening socket in /proc/net/unix."""


@dataclass(frozen=True, slots=True)
class TcpListener:
    """A listening TCP socket of this network namespace. address: as the kernel holds it (`127.0.0.1`, `::`)."""

    address: str
    port: int
    inode: int
    uid: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def wildcard(self) -> bool:
        """Reachable from every network that the machine is in."""
        return self.address in ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A listening Unix stream socket. path: as it was bound, maybe relative; abstract names begin with `@`."""

    path: str
    inode: int


def tcp_listeners() -> tuple[TcpListener, ...]:
    """Every listening TCP socket, IPv4 and IPv6. FairleadError when the kernel does not tell."""
    found: list[TcpListener] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            for family in (socket.AF_INET, socket.AF_INET6):
                # Length, SOCK_DIAG_BY_FAMILY, REQUEST|DUMP, sequence, port; then family, TCP, states.
                kernel.send(_REQUEST.pack(_REQUEST.size, 20, 0x301, int(family), 0, family, 6, 0, 0, _LISTENING))
                while _take(kernel.recv(65536), family, found):
                    pass
    except OSError as problem:
        raise FairleadError("the kernel did not list the listening sockets", str(problem)) from problem
    return tuple(found)


def _take(answer: bytes, family: int, found: list[TcpListener]) -> bool:
    """The sockets in one datagram of the kernel's; whether more datagrams follow."""
    while len(answer) >= 16:
        length, kind = struct.unpack_from("=IH", answer)
        if kind == 3:
            return False
        if kind == 2:
            code = -struct.unpack_from("=i", answer, 16)[0]
            raise OSError(code, os.strerror(code))
        body = answer[16:length]
        size = 4 if family == socket.AF_INET else 16
        uid, inode = struct.unpack_from("=II", body, 64)
        port = struct.unpack_from("!H", body, 4)[0]
        # An IPv4 address on an IPv6 socket (Java binds so) is that IPv4 address.
        address = socket.inet_ntop(family, body[8 : 8 + size]).removeprefix("::ffff:")
        found.append(TcpListener(address, port, inode, uid))
        answer = answer[(length + 3) & ~3 :]
    return True


def unix_listeners() -> tuple[UnixListener, ...]:
    """Every listening Unix socket that has a name."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        rows = [line.rstrip("\n").split(maxsplit=7) for line in file.readlines()[1:]]
    return tuple(UnixListener(row[7], int(row[6])) for row in rows if len(row) == 8 and int(row[3], 16) & _ACCEPTS)


def sockets_of(pids: Iterable[int]) -> frozenset[int]:
    """The inodes of the sockets that any of these processes holds; those that cannot be looked into add nothing."""
    return frozenset(inode for pid in pids for inode in _sockets(pid))


def owner_of(inode: int) -> tuple[int, str] | None:
    """(pid, name) of the first process that holds the socket; None when nobody does whom we may look into."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and inode in _sockets(int(entry)):
            return int(entry), _name(int(entry))
    return None


def _sockets(pid: int) -> set[int]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return set()
    inodes = set()
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return inodes


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "?"
