"""Who has a port, in words, for the message that refuses it.

In: an address and a port that could not be bound. Out: one clause with pid and command name where they can be read;
where not, whose process it is. Of a port that is bound without listening the kernel tells nothing.
"""

from __future__ import annotations

import os
import pwd

from fairlead.aiokit.listeners import TcpListener, owner_of, tcp_listeners
from fairlead.errors import FairleadError


def describe_holder(address: str, port: int) -> str:
    """`process 4711 (nginx) listens on 0.0.0.0:8080`."""
    try:
        listener = _in_the_way(address, port)
    except FairleadError as problem:
        return f"who has it cannot be told: {problem.sentence}"
    if listener is None:
        return "another process has bound it and does not listen"
    owner = owner_of(listener.inode)
    if owner is None:
        return f"a process of user {_user(listener.uid)} listens on {listener}, and its pid cannot be read"
    pid, name = owner
    home = _fairlead_home(pid)
    of = f" of the fairlead home {home}" if home else ""
    return f"process {pid} ({name}{of}) listens on {listener}"


def _in_the_way(address: str, port: int) -> TcpListener | None:
    """The listener of that port: the one of the same address first, then wildcards, then any."""
    found = [listener for listener in tcp_listeners() if listener.port == port]
    found.sort(key=lambda listener: (listener.address != address, not listener.wildcard))
    return found[0] if found else None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _fairlead_home(pid: int) -> str:
    """The home whose HAProxy or daemon it is, or ""."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return ""
    for variable in variables:
        if variable.startswith(b"FAIRLEAD_HOME="):
            return os.fsdecode(variable.removeprefix(b"FAIRLEAD_HOME="))
    return ""
