"""The listening sockets: bound and held by the daemon, lent to every HAProxy.

In: what the stacks want to listen on. Out: sockets that outlive any HAProxy, so that its death refuses nobody. A port
is *reserved* (bound, refusing connections) until a HAProxy is about to take it, then *open* (listening).

The law: a port has one owner, the stack that asked first; one that nobody wants any more is closed, or clients would
wait in a queue that nobody serves; whoever else has a port is named (`holders`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fairlead.core.model import Listener
from fairlead.errors import BalancerError, PortInUse
from fairlead.haproxy import words
from fairlead.haproxy.holders import describe_holder

BACKLOG = 4096

Endpoint = tuple[str, int]
"""(address in its shortest form, port)."""


@dataclass(slots=True)
class Held:
    """One socket of ours and whose it is; stack "" before a restarted daemon has heard who wants it."""

    socket: socket.socket
    stack: str

    @property
    def listening(self) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def endpoint_of(listener: Listener) -> Endpoint:
    """Where it listens."""
    return words.ip(listener.address, "listener address"), listener.port


class Ports:
    """All listening sockets of one node."""

    def __init__(self) -> None:
        self._held: dict[Endpoint, Held] = {}

    def __contains__(self, endpoint: Endpoint) -> bool:
        return endpoint in self._held

    def reserve(self, stack: str, listeners: Iterable[Listener]) -> list[Endpoint]:
        """Bind what the stack has not yet, and return that. PortInUse or BalancerError: then nothing new is held."""
        new: list[Endpoint] = []
        try:
            for endpoint in map(endpoint_of, listeners):
                held = self._held.get(endpoint)
                if held is not None and held.stack in ("", stack):
                    held.stack = stack
                    continue
                self._refuse_own(stack, endpoint)
                self._held[endpoint] = Held(_bind(endpoint), stack)
                new.append(endpoint)
        except BaseException:
            self.close(new)
            raise
        return new

    def adopt(self, sockets: Iterable[socket.socket]) -> None:
        """Take what a running HAProxy gave back; `reserve` then tells whose each is."""
        for one in sockets:
            address, port = one.getsockname()[:2]
            endpoint = words.ip(address, "listener address"), int(port)
            if endpoint in self._held:
                one.close()
            else:
                self._held[endpoint] = Held(one, "")

    def open(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Let connections in, and return those that were closed before. Also after each start of a HAProxy: one that
        failed may have shut a shared socket."""
        opened = []
        try:
            for endpoint in endpoints:
                held = self._held[endpoint]
                if not held.listening:
                    _listen(held.socket, endpoint)
                    opened.append(endpoint)
        except BaseException:
            self.shut(opened)
            raise
        return opened

    def listening(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Those that let connections in."""
        return [endpoint for endpoint in endpoints if self._held[endpoint].listening]

    def shut(self, endpoints: Iterable[Endpoint]) -> None:
        """Back to reserved."""
        for endpoint in endpoints:
            _hold_silently(self._held[endpoint].socket)

    def sockets(self, endpoints: Collection[Endpoint]) -> list[socket.socket]:
        """Those sockets, for a HAProxy to take."""
        return [self._held[endpoint].socket for endpoint in endpoints]

    def close(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in list(endpoints):
            self._held.pop(endpoint).socket.close()

    def of(self, stack: str) -> list[Endpoint]:
        """What the stack holds, reserved or open."""
        return [endpoint for endpoint, held in self._held.items() if held.stack == stack]

    def all(self) -> list[Endpoint]:
        return list(self._held)

    def _refuse_own(self, stack: str, endpoint: Endpoint) -> None:
        """Another listener of this home that the kernel would find in the way."""
        for (address, port), held in self._held.items():
            if port != endpoint[1] or not _overlap(address, endpoint[0]):
                continue
            where = words.endpoint(address, port)
            if held.stack == stack:
                raise PortInUse(
                    f"port {port} on {endpoint[0]} is taken",
                    f"stack {stack} itself listens on {where} now",
                    "change one step at a time: first to another port, then to this address",
                )
            raise PortInUse(
                f"port {port} on {endpoint[0]} is taken",
                f"stack {held.stack} has {where}" if held.stack else f"another stack has {where}",
                f"choose another port, or run: fairlead down {held.stack}".rstrip(),
            )


def _overlap(one: str, other: str) -> bool:
    return one == other or "::" in (one, other) or ("0.0.0.0" in (one, other) and ":" not in one + other)


def _bind(endpoint: Endpoint) -> socket.socket:
    """A socket bound to `endpoint` that nobody else can bind, and that refuses connections."""
    address, port = endpoint
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise _cannot_listen(endpoint, problem) from problem
    try:
        if family == socket.AF_INET6:
            # As the bind line says it (render): `::` takes IPv4 too.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, port))
        # Only listening makes sure: Linux lets several bind a port with SO_REUSEADDR as long as none listens.
        one.listen(1)
        _hold_silently(one)
    except OSError as problem:
        one.close()
        raise _cannot_listen(endpoint, problem) from problem
    return one


def _hold_silently(one: socket.socket) -> None:
    # Without SO_REUSEADDR the bound port stays ours although nobody listens on it.
    one.shutdown(socket.SHUT_RDWR)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _listen(one: socket.socket, endpoint: Endpoint) -> None:
    try:
        # Inherited by what it accepts: a connection in TIME_WAIT must not keep the port from the next daemon.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.listen(BACKLOG)
    except OSError as problem:
        raise _cannot_listen(endpoint, problem) from problem


def _cannot_listen(endpoint: Endpoint, problem: OSError) -> BalancerError:
    address, port = endpoint
    if problem.errno == errno.EADDRINUSE:
        return PortInUse(
            f"port {port} on {address} is taken",
            describe_holder(address, port),
            "stop it, or choose another port in load_balancer.listeners",
        )
    what = f"fairlead cannot listen on {words.endpoint(address, port)}"
    if problem.errno == errno.EACCES:
        return BalancerError(
            what, "ports below 1024 belong to root",
            f"choose a port from 1024 on, or run as root: sysctl net.ipv4.ip_unprivileged_port_start={port}",
        )  # fmt: skip
    if problem.errno == errno.EADDRNOTAVAIL:
        return BalancerError(what, "this machine has no such address", "see its addresses with: ip address")
    if problem.errno == errno.EAFNOSUPPORT:
        return BalancerError(what, "this machine has no IPv6", "choose an IPv4 address, like 127.0.0.1")
    return BalancerError(what, problem.strerror or str(problem))
