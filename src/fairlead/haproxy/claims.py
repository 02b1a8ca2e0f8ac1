"""Who wants what of each port: several stacks may share one, told apart by host. Pure.

In: the listeners of each stack, as they are reserved and configured. Out: who has an endpoint, or a refusal that names
both stacks and what both claim.

The law: the stacks on one endpoint speak one protocol, one of them at most has a default, and no host pattern belongs
to two; so every request has one owner (`owners`). The port that opens one instance is nobody else's. A claim that was
only reserved counts like one that is configured. The real balancer and the fake both keep it with this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.core.model import Listener
from fairlead.errors import PortInUse
from fairlead.haproxy import words

Endpoint = tuple[str, int]
"""(address in its shortest form, port)."""

Claimed = Mapping[Endpoint, tuple[Listener, ...]]
"""What one stack claims: of an endpoint several listeners between its reservation and its configuration."""


def endpoint_of(listener: Listener) -> Endpoint:
    """Where it listens."""
    return words.ip(listener.address, "listener address"), listener.port


def hosts_of(listener: Listener) -> tuple[str, ...]:
    """Every host pattern of its rules, as it is compared, each once."""
    return tuple(dict.fromkeys(words.host_pattern(host) for rule in listener.rules for host in rule.when.hosts))


class Claims:
    """All claims of one node."""

    def __init__(self) -> None:
        self._of: dict[Endpoint, dict[str, tuple[Listener, ...]]] = {}

    def add(self, stack: str, listener: Listener) -> None:
        """`stack` wants `listener`, too. PortInUse names who is in the way, and then nothing has changed."""
        endpoint = endpoint_of(listener)
        self._refuse_overlap(stack, endpoint)
        claims = self._of.get(endpoint, {})
        for other, listeners in claims.items():
            if other != stack:
                _refuse_shared(stack, listener, other, listeners)
        mine = claims.get(stack, ())
        if listener not in mine:
            self._of.setdefault(endpoint, {})[stack] = (*mine, listener)

    def vet(self, stack: str, listeners: Iterable[Listener]) -> None:
        """PortInUse as from `add`; nothing is claimed."""
        before = self.of(stack)
        try:
            for listener in listeners:
                self.add(stack, listener)
        finally:
            self.put(stack, before)

    def of(self, stack: str) -> dict[Endpoint, tuple[Listener, ...]]:
        """What the stack claims."""
        return {endpoint: claims[stack] for endpoint, claims in self._of.items() if stack in claims}

    def put(self, stack: str, claimed: Claimed) -> None:
        """From now on the stack claims exactly that."""
        for endpoint in {*self._of, *claimed}:
            claims = self._of.setdefault(endpoint, {})
            if endpoint in claimed:
                claims[stack] = claimed[endpoint]
            else:
                claims.pop(stack, None)
            if not claims:
                del self._of[endpoint]

    @property
    def endpoints(self) -> list[Endpoint]:
        """Everything that is claimed."""
        return list(self._of)

    def stacks(self, endpoint: Endpoint) -> list[str]:
        """Who claims it, in order."""
        return sorted(self._of.get(endpoint, ()))

    def _refuse_overlap(self, stack: str, endpoint: Endpoint) -> None:
        """Another listener of this home that the kernel would find in the way: a wildcard address is in the way of
        every other."""
        address, port = endpoint
        for (other, other_port), claims in self._of.items():
            if other_port != port or other == address or not _overlap(other, address):
                continue
            where, what = words.endpoint(other, port), f"port {port} on {address} is taken"
            if set(claims) == {stack}:
                raise PortInUse(
                    what, f"stack {stack} itself listens on {where} now",
                    "change one step at a time: first to another port, then to this address",
                )  # fmt: skip
            holder = min(set(claims) - {stack})
            raise PortInUse(
                what, f"stack {holder} has {where}",
                f"choose another port, give both stacks the same address to share it, or run: fairlead down {holder}",
            )  # fmt: skip


def claims_of(listeners: Iterable[Listener]) -> dict[Endpoint, tuple[Listener, ...]]:
    """What a configuration with these listeners claims."""
    return {endpoint_of(listener): (listener,) for listener in listeners}


def _overlap(one: str, other: str) -> bool:
    return one == other or "::" in (one, other) or ("0.0.0.0" in (one, other) and ":" not in one + other)


def _refuse_shared(stack: str, listener: Listener, other: str, listeners: tuple[Listener, ...]) -> None:
    what = f"port {listener.port} on {endpoint_of(listener)[0]} is taken"
    for opener, beside, its in ((stack, other, (listener,)), (other, stack, listeners)):
        if any(one.opening is not None for one in its):
            why = f"stack {opener} opens one of its instances there, and stack {beside} cannot have it as well"
            raise PortInUse(what, why, "choose another port")
    protocols = {one.protocol for one in listeners}
    if protocols != {listener.protocol}:
        raise PortInUse(
            what, f"stack {other} speaks {' and '.join(sorted(protocols))} there, and stack {stack} would speak"
            f" {listener.protocol}",
            f"give both the same protocol, choose another port, or run: fairlead down {other}",
        )  # fmt: skip
    apart = "leave out `default` in one of them and give each of its rules a `host`"
    if listener.default is not None and any(one.default is not None for one in listeners):
        raise PortInUse(
            what, f"stack {other} has a default there, and so would stack {stack}",
            f"{apart}, choose another port, or run: fairlead down {other}",
        )  # fmt: skip
    theirs = {host for one in listeners for host in hosts_of(one)}
    both = [host for host in hosts_of(listener) if host in theirs]
    if both:
        raise PortInUse(
            what, f"stack {other} claims host {', '.join(both)} there, and so would stack {stack}",
            f"give each host to one of them, choose another port, or run: fairlead down {other}",
        )  # fmt: skip
