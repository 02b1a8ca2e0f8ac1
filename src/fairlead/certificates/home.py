"""The certificates of a home's HTTPS listeners: the port `Certificates` of the balancer, for files and the own CA.

In: a listener. Out: its certificates as they are now, or CertificateError. Called once a second for each, from one
thread or another; it blocks for the disk.
"""

from __future__ import annotations

from threading import Lock

from fairlead.certificates.apart import Apart
from fairlead.certificates.authority import Authority
from fairlead.certificates.issued import Issued
from fairlead.certificates.watched import Watched
from fairlead.core.model import Certificate, Listener
from fairlead.core.pem import Pem


class HomeCertificates:
    """folder: of the development CA (`Layout.authority`)."""

    def __init__(self, folder: str) -> None:
        self._apart = Apart()
        self._issued = Issued(Authority(folder), self._apart)
        self._watched: dict[Certificate, Watched] = {}
        self._lock = Lock()

    def of(self, listener: Listener) -> tuple[Pem, ...]:
        """Those of `listener`, the first the default; the port says what they promise."""
        with self._lock:
            self._apart.reap()
            if not isinstance(listener.certificates, tuple):
                return (self._issued.read(listener),)
            return tuple(self._watching(one).read() for one in listener.certificates)

    def _watching(self, one: Certificate) -> Watched:
        return self._watched.setdefault(one, Watched(one, self._apart.understand))
