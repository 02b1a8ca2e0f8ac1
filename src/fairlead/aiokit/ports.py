"""Which port an instance or a resource gets: the next one that is free, so that a port rests as long as possible.

In: the range, the ports recorded for others, what the kernel says of each. Out: a port that nobody held a moment ago.
The law: ports come from below the kernel's ephemeral range (any outgoing connection may take one of those), in round
robin (a server without SO_REUSEADDR leaves its port unusable for 60 s), and are probed by binding without SO_REUSEADDR.
Called by the local engine and by the host of resources, each with a range of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress

from fairlead.errors import EngineError

DEFAULT_RANGE = range(20000, 30000)
"""Of instances. Resources keep theirs for ever, so their range is apart from it."""

RESOURCE_RANGE = range(18000, 19000)

SMALLEST = 1000
"""Ports that a shifted range needs, to be worth it."""


def ephemeral_ports() -> range:
    """The ports that the kernel gives to outgoing connections."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first, last = file.read().split()
        return range(int(first), int(last) + 1)
    except (OSError, ValueError):
        return range(32768, 61000)


def outside(wanted: range, ephemeral: range) -> range:
    """`wanted`, shifted to below or above `ephemeral` when they overlap; `wanted` itself when neither has room."""
    if wanted.stop <= ephemeral.start or ephemeral.stop <= wanted.start:
        return wanted
    below = range(max(1024, ephemeral.start - len(wanted)), ephemeral.start)
    above = range(ephemeral.stop, min(65536, ephemeral.stop + len(wanted)))
    for candidate in (below, above):
        if len(candidate) >= min(SMALLEST, len(wanted)):
            return candidate
    return wanted


def apart(wanted: range, others: Sequence[range]) -> range:
    """`wanted`, or as many ports beside one of `others` when it overlaps any; `wanted` itself when there is no room."""
    size = len(wanted)
    beside = (
        found
        for other in others
        for found in (range(other.start - size, other.start), range(other.stop, other.stop + size))
    )
    for candidate in (wanted, *beside):
        within = candidate.start >= 1024 and candidate.stop <= 65536
        if within and not any(candidate.start < other.stop and other.start < candidate.stop for other in others):
            return candidate
    return wanted


class PortBook:
    """Gives out the ports of one home. record: the file that holds the last one given, where a restart goes on."""

    def __init__(self, ports: range, record: str) -> None:
        self._ports = ports
        self._record = record
        self._last: int | None = None

    def next(self, taken: Collection[int]) -> int:
        """The next port in the round that is not `taken` and that nobody holds. EngineError when none is left."""
        first, count = self._ports.start, len(self._ports)
        last = self._last_given()
        for step in range(1, count + 1):
            port = first + (last - first + step) % count
            if port not in taken and is_free(port):
                self._give(port)
                return port
        raise EngineError(
            f"no port is free between {first} and {self._ports.stop - 1}",
            f"{len(taken)} are recorded already, the others are held by other programs",
            "see who holds them: ss -ltnp",
        )

    def _last_given(self) -> int:
        if self._last is None:
            # Two homes on one machine begin at different places, so that they seldom meet.
            digest = hashlib.sha256(os.fsencode(self._record)).digest()
            self._last = self._ports.start + int.from_bytes(digest[:4], "big") % len(self._ports)
            with suppress(OSError, ValueError), open(self._record, encoding="ascii") as file:
                recorded = int(file.read())
                self._last = recorded if recorded in self._ports else self._last
        return self._last

    def _give(self, port: int) -> None:
        self._last = port
        # A full disk costs the memory over a restart, never the port.
        with suppress(OSError):
            with open(f"{self._record}.tmp", "w", encoding="ascii") as file:
                file.write(f"{port}\n")
            os.replace(f"{self._record}.tmp", self._record)


def is_free(port: int) -> bool:
    """Whether a program could bind `port` on any address now: nobody holds it, not even a closed connection."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as problem:
            # A machine without IPv6 has nobody there either.
            if problem.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True
