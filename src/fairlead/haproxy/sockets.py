"""The listening sockets: bound and held by the daemon, lent to every HAProxy.

In: what the stacks want to listen on. Out: sockets that outlive any HAProxy, so that its death refuses nobody. A port
is *reserved* (bound, refusing connections) until a HAProxy is about to take it, then *open* (listening).

The law: a port is held as long as any stack claims it (`claims`), and closed when the last one has left, or clients
would wait in a queue that nobody serves; whoever else has a port is named (`holders`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

from fairlead.core.model import Listener
from fairlead.errors import BalancerError, PortInUse
from fairlead.haproxy import words
from fairlead.haproxy.claims import Claimed, Claims, Endpoint, endpoint_of
from fairlead.haproxy.holders import describe_holder

BACKLOG = 4096

UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
"""The first port that belongs to everybody."""


class Ports:
    """All listening sockets of one node."""

    def __init__(self) -> None:
        self._held: dict[Endpoint, socket.socket] = {}
        self._claims = Claims()

    def __contains__(self, endpoint: Endpoint) -> bool:
        return endpoint in self._held

    def reserve(self, stack: str, listeners: Collection[Listener]) -> list[Endpoint]:
        """Claim those listeners, bind what nobody holds yet, and return that. PortInUse or BalancerError: then nothing
        new is claimed or held."""
        before, new = self._claims.of(stack), []
        lowest = min((listener.port for listener in listeners), default=0)
        try:
            for listener in listeners:
                self._claims.add(stack, listener)
                endpoint = endpoint_of(listener)
                if endpoint not in self._held:
                    self._held[endpoint] = _bind(endpoint, lowest)
                    new.append(endpoint)
        except BaseException:
            self._claims.put(stack, before)
            self.close(new)
            raise
        return new

    def vet(self, stack: str, listeners: Collection[Listener]) -> None:
        """PortInUse when another stack is in the way; nothing is claimed."""
        self._claims.vet(stack, listeners)

    def claimed(self, stack: str) -> Claimed:
        """What the stack claims, for `settle`."""
        return self._claims.of(stack)

    def settle(self, stack: str, claimed: Claimed) -> None:
        """From now on the stack claims exactly that; what nobody claims any more is closed."""
        before = self._claims.of(stack)
        self._claims.put(stack, claimed)
        self.close(one for one in before if one in self._held and not self._claims.stacks(one))

    def adopt(self, sockets: Iterable[socket.socket]) -> None:
        """Take what a running HAProxy gave back; `reserve` then tells who claims each."""
        for one in sockets:
            address, port = one.getsockname()[:2]
            endpoint = words.ip(address, "listener address"), int(port)
            if endpoint in self._held:
                one.close()
            else:
                self._held[endpoint] = one

    def open(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Let connections in, and return those that were closed before. Also after each start of a HAProxy: one that
        failed may have shut a shared socket."""
        opened = []
        try:
            for endpoint in endpoints:
                if not _listens(self._held[endpoint]):
                    _listen(self._held[endpoint], endpoint)
                    opened.append(endpoint)
        except BaseException:
            self.shut(opened)
            raise
        return opened

    def listening(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Those that let connections in."""
        return [endpoint for endpoint in endpoints if _listens(self._held[endpoint])]

    def shut(self, endpoints: Iterable[Endpoint]) -> None:
        """Back to reserved."""
        for endpoint in endpoints:
            _hold_silently(self._held[endpoint])

    def sockets(self, endpoints: Collection[Endpoint]) -> list[socket.socket]:
        """Those sockets, for a HAProxy to take."""
        return [self._held[endpoint] for endpoint in endpoints]

    def close(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in list(endpoints):
            self._held.pop(endpoint).close()

    def stacks(self, endpoint: Endpoint) -> list[str]:
        """Who claims it; nobody, before a restarted daemon has said who does."""
        return self._claims.stacks(endpoint)

    def all(self) -> list[Endpoint]:
        return list(self._held)


def _listens(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _bind(endpoint: Endpoint, lowest: int) -> socket.socket:
    """A socket bound to `endpoint` that nobody else can bind, and that refuses connections. lowest: the lowest port
    that is wanted with it, for the advice when it is not allowed."""
    address, port = endpoint
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise _cannot_listen(endpoint, problem, lowest) from problem
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
        raise _cannot_listen(endpoint, problem, lowest) from problem
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
        raise _cannot_listen(endpoint, problem, endpoint[1]) from problem


def _cannot_listen(endpoint: Endpoint, problem: OSError, lowest: int) -> BalancerError:
    address, port = endpoint
    if problem.errno == errno.EADDRINUSE:
        return PortInUse(
            f"port {port} on {address} is taken",
            describe_holder(address, port),
            "stop it, or choose another port in load_balancer.listeners",
        )
    what = f"fairlead cannot listen on {words.endpoint(address, port)}"
    if problem.errno == errno.EACCES:
        return BalancerError(what, *_why_not_allowed(min(lowest, port)))
    if problem.errno == errno.EADDRNOTAVAIL:
        return BalancerError(what, "this machine has no such address", "see its addresses with: ip address")
    if problem.errno == errno.EAFNOSUPPORT:
        return BalancerError(what, "this machine has no IPv6", "choose an IPv4 address, like 127.0.0.1")
    return BalancerError(what, problem.strerror or str(problem))


def _why_not_allowed(lowest: int) -> tuple[str, str]:
    """Why a low port is refused, and the command that allows it, and keeps it allowed."""
    if os.geteuid() == 0:
        why = "this root may not use ports below 1024: it lacks the capability CAP_NET_BIND_SERVICE"
        return why, "give it to the container or unit that the daemon runs in, or choose a port from 1024 on"
    try:
        first = int(Path(UNPRIVILEGED).read_text(encoding="ascii"))
    except (OSError, ValueError):
        first = 1024
    setting = f"net.ipv4.ip_unprivileged_port_start={lowest}"
    return (
        f"ports below {first} belong to root",
        f"allow them with: sudo sysctl -w {setting}\n"
        f"and keep that with: echo {setting} | sudo tee /etc/sysctl.d/50-fairlead.conf\n"
        f"or choose a port from {first} on",
    )
