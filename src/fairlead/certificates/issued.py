"""Certificates of the development CA for `certificates: local`: for which names, and where they stay between starts.

In: a listener. Out: a certificate for this machine's own names and the hosts that its rules name; issued once, kept in
the CA's folder, and issued again when fewer than 30 days are left, when other names are wanted, when the CA is another
one, or when the clock has been set back to before it is valid. It blocks for the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import re
import socket
import time
from datetime import UTC, datetime, timedelta

from fairlead.aiokit.atomic import write_atomically
from fairlead.certificates.apart import Apart
from fairlead.certificates.authority import LIFE, Authority
from fairlead.certificates.pair import Understood, understand
from fairlead.core.model import Listener
from fairlead.core.pem import Pem
from fairlead.errors import CertificateError

RENEWED = timedelta(days=30)
"""Before its end a certificate is issued again."""

OWN = ("localhost", "*.localhost", "127.0.0.1", "::1")
"""Names of every machine."""

MOST_NAMES = 100
"""As many as certificates of public CAs may have: a list that clients are sent with each handshake."""

_DNS = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

Stamp = tuple[int, int]


def names_for(listener: Listener, host_name: str) -> tuple[str, ...]:
    """What a client on this machine, or one that the rules know, may call the listener; each once.

    host_name: the machine's. A pattern that certificates cannot express (`api-*.test`, `?`) is left out."""
    hosts = [host for rule in listener.rules for host in rule.when.hosts]
    address = ipaddress.ip_address(listener.address)
    own = [host_name, *(() if address.is_unspecified else (str(address),))]
    wanted = [*OWN, *filter(None, map(_name, [*own, *hosts]))]
    return tuple(dict.fromkeys(wanted))[:MOST_NAMES]


def _name(text: str) -> str:
    """As it stands in a certificate; "" when it cannot."""
    lower = text.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(lower.strip("[]")))
    except ValueError:
        return lower if _DNS.fullmatch(lower) and len(lower) <= 253 else ""


class Issued:
    """Those that one daemon has asked for. It reads no certificate itself (`apart`)."""

    def __init__(self, authority: Authority, apart: Apart) -> None:
        self._authority, self._apart = authority, apart
        self._known: dict[tuple[str, ...], tuple[Understood, Stamp]] = {}

    def read(self, listener: Listener) -> Pem:
        """The certificate of `listener`. CertificateError."""
        names = names_for(listener, socket.gethostname())
        known, authority = self._known.get(names), self._stamp()
        if known is None or known[1] != authority or not _will_do(known[0], RENEWED):
            found = self._apart.issue(self._authority.folder, names, RENEWED)
            known = self._known[names] = found, self._stamp()
        return known[0].pem

    def _stamp(self) -> Stamp:
        try:
            found = os.stat(self._authority.certificate)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns


def kept_or_issued(authority: Authority, names: tuple[str, ...], left: timedelta) -> Understood:
    """The one on the disk, if it will do for as long as `left`, or another. CertificateError."""
    try:
        return _kept(authority, names, left) or _issue(authority, names)
    except OSError as problem:
        what = f"no certificate can be issued by the development CA in {authority.folder}"
        raise CertificateError(what, problem.strerror or str(problem)) from problem


def _path(authority: Authority, names: tuple[str, ...]) -> str:
    return f"{authority.folder}/issued/{hashlib.sha256(','.join(names).encode()).hexdigest()[:20]}.pem"


def _kept(authority: Authority, names: tuple[str, ...], left: timedelta) -> Understood | None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        with open(_path(authority, names), "rb") as file:
            content = file.read()
        found = understand(content, content, "", "")
        issuer, _ = authority.load()
        x509.load_pem_x509_certificate(content).verify_directly_issued_by(issuer)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, InvalidSignature):
        return None
    except CertificateError:
        authority.ensure()
        return None
    return found if _will_do(found, left) and set(found.pem.names) == set(names) else None


def _issue(authority: Authority, names: tuple[str, ...]) -> Understood:
    found = authority.issue(names)
    path = _path(authority, names)
    folder = os.path.dirname(path)
    # A disk that is full keeps nobody waiting: then this one lasts until the daemon ends.
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _forget_old(folder)
        write_atomically(path, found.pem.text, 0o600)
    return found


def _will_do(found: Understood, left: timedelta) -> bool:
    """Whether clients take it now, and as long as `left`. One of a day on which the clock was wrong may not be valid
    yet."""
    now = datetime.now(UTC)
    return found.valid_from <= now and datetime.fromisoformat(found.pem.expires_at) - now >= left


def _forget_old(folder: str) -> None:
    for entry in os.scandir(folder):
        if time.time() - entry.stat().st_mtime > LIFE.total_seconds():
            os.unlink(entry.path)
