"""What the client side trusts when it speaks to an HTTPS listener, and by which name it asks.

In: PEM files to trust beside what the machine trusts. Out: a context that verifies. The law: it always verifies: a
listener whose certificate no client would take has not answered.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any


def trusting(*anchors: str) -> ssl.SSLContext:
    """A client's context. anchors: PEM files (a CA, or the certificate that a listener shows); one that cannot be read
    adds nothing, and then the verification says so."""
    context = ssl.create_default_context()
    # So that a listener's own certificate, which no CA of this machine may have issued, is an anchor too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for path in anchors:
        with suppress(OSError):  # ssl.SSLError is one
            context.load_verify_locations(cafile=path)
    return context


def server_name(host: str, certificates: Sequence[Mapping[str, Any]]) -> str:
    """The name to ask for (SNI) and to be verified: `host` if one of the certificates is for it, else a name of the
    first, which is shown to whoever asks for an unknown one."""
    every = [str(name) for one in certificates for name in one["names"]]
    if not every or any(covers(name, host) for name in every):
        return host
    first = [str(name) for name in certificates[0]["names"]] or every
    return next((name for name in first if "*" not in name), first[0].replace("*", "any"))


def covers(name: str, host: str) -> bool:
    """Whether a certificate for `name` is one for `host`: a star stands for one label, the first."""
    name, host = name.lower(), host.lower().strip("[]")
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host


def anchors_in(certificates: Iterable[Mapping[str, Any]]) -> list[str]:
    """The files of a listener's certificates."""
    return [str(one["file"]) for one in certificates if one["file"]]
