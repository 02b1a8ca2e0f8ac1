"""What a provider of places is: the port, and how it fails. `ipstack.py` and `bundled.py` are the two there are."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from .places import Place


class Failed(Exception):
    """A provider has no answer now. The sentence is for whoever asked, so it never holds a key.

    status: of the HTTP answer. rest: seconds for which no address is worth a call, since the reason is none of this
    one's (a refused key, a limit); 0: only this address is left alone for a while. called: whether a call was spent.
    keep: whether the others need to be told, because another call would fail, too.
    """

    def __init__(
        self, reason: str, *, status: int = 502, rest: float = 0.0, called: bool = True, keep: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason, self.status, self.rest, self.called, self.keep = reason, status, rest, called, keep
        self.retry_after = rest
        """Seconds after which it is worth asking again."""


class Provider(Protocol):
    name: str
    """In keys of the cache and in answers."""
    metered: bool
    """Whether its calls are counted against the budget."""

    async def find(self, ip: IPv4Address | IPv6Address) -> Place | None:
        """Where it is; None: the provider answered that it does not know. Failed: no answer."""

    async def close(self) -> None: ...
