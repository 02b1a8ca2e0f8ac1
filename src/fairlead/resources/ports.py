"""The ports of resources: given out once, recorded by control for ever, and looked at before each launch.

Apart from those that the kernel gives to outgoing connections and that instances get, wherever these are, because a
port of a resource that is stopped must be free when it starts again. Called by the host of resources.
"""

from __future__ import annotations

from fairlead.aiokit.listeners import owner_of, tcp_listeners
from fairlead.aiokit.ports import DEFAULT_RANGE, RESOURCE_RANGE, PortBook, apart, ephemeral_ports, outside
from fairlead.core.resources.addresses import HOST
from fairlead.errors import FairleadError, ResourceError


def port_book(home: str) -> PortBook:
    """Of the resources of one home."""
    ephemeral = ephemeral_ports()
    ours = apart(RESOURCE_RANGE, (ephemeral, outside(DEFAULT_RANGE, ephemeral)))
    return PortBook(ours, f"{home}/resources-last-port")


def refuse_taken(port: int) -> None:
    """Somebody else listens where a server is to: it would say so in its log only. ResourceError, naming who."""
    try:
        listeners = tcp_listeners()
    except FairleadError:
        return
    for listener in listeners:
        if listener.port == port and listener.address in (HOST, "0.0.0.0", "::"):
            owner = owner_of(listener.inode)
            who = f"process {owner[0]} ({owner[1]})" if owner else "another program"
            raise ResourceError(f"port {port} is taken", f"{who} listens on {listener}", "end that program")
