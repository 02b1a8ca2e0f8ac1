"""Why an instance may not answer, in one clause, from where it listens (local.md section 4, Diagnosis).

In: the address it should listen on, and the listening sockets that its processes hold. Out: a clause that goes on a
sentence like "the last 3 checks of /health timed out: ...", or "" when it listens where it should and the answer itself
is what is wrong. Pure; the local engine gathers the facts, and only when a check has failed.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

from fairlead.aiokit.listeners import TcpListener, UnixListener

REACHABLE = frozenset(("127.0.0.1", "0.0.0.0", "::"))
"""Listening on any of these answers a connection to 127.0.0.1 (`::` does on Linux, unless the program forbids it)."""


def explain_tcp(
    port: int, tcp: Sequence[TcpListener], unix: Sequence[UnixListener], holder: tuple[int, str] | None
) -> str:
    """For an instance that should listen on 127.0.0.1:`port`. tcp, unix: what its processes listen on; holder: (pid,
    name) of somebody else who listens on that port."""
    right = [listener for listener in tcp if listener.port == port]
    if any(listener.address in REACHABLE for listener in right):
        exposed = next((listener for listener in right if listener.wildcard), None)
        if exposed is not None:
            return f"the program listens on {exposed}, where it can be reached from outside, past the load balancer"
        return ""
    if holder is not None:
        return f"port {port} is held by {holder[1]} (pid {holder[0]}), which is no part of this instance"
    if right:
        return f"the program listens on {_listed(right)} only, and the load balancer asks 127.0.0.1:{port}"
    if tcp:
        return f"the program listens on {_listed(tcp)}, not on $PORT {port}"
    if unix:
        return f"the program listens on the Unix socket {unix[0].path}, not on $PORT {port}"
    return "the program does not listen anywhere yet"


def explain_unix(
    path: str, mode: int | None, shared: bool, tcp: Sequence[TcpListener], unix: Sequence[UnixListener]
) -> str:
    """For an instance that should listen on the Unix socket `path`. mode: of that file, None when it is not there.
    shared: the load balancer is another user and reaches the socket by its group."""
    needed = stat.S_IRGRP | stat.S_IWGRP if shared else stat.S_IRUSR | stat.S_IWUSR
    if any(listener.path == path for listener in unix):
        if mode is None:
            return f"the program listens on the socket {path}, but its file was removed"
        if mode & needed != needed:
            return f"the load balancer may not open the socket {path} (mode {stat.S_IMODE(mode):04o})"
        return ""
    if tcp:
        return f"the program listens on {_listed(tcp)}, not on the socket {path}"
    if unix:
        return f"the program listens on the Unix socket {unix[0].path}, not on {path}"
    return "the program does not listen anywhere yet"


def _listed(listeners: Sequence[TcpListener]) -> str:
    return " and ".join(dict.fromkeys(str(listener) for listener in listeners))
