"""A certificate and its key in two files of the user's, read again when either has changed.

In: the paths. Out: the `Pem` of what they hold now, or CertificateError. The law: files that have not changed are not
read again (`os.stat`, through symbolic links, so that certbot's `live/` is followed); files that were read while they
were being written count as changed. Whether what went before goes on is not decided here. It blocks for the disk.
"""

from __future__ import annotations

import os
import pwd
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime

from fairlead.certificates.pair import Understood
from fairlead.core.model import Certificate
from fairlead.core.pem import Pem
from fairlead.errors import CertificateError

LARGEST = 1 << 20
"""Bytes of one file; a long chain has 10,000."""

YOUNG = 2.0
"""Seconds after a change in which a file may change again without another time stamp."""

Stamp = tuple[int, int, int, int, int]


Understand = Callable[[bytes, bytes, str, str], Understood]
"""`pair.understand`, wherever it is done."""


class Watched:
    """See the module."""

    def __init__(self, certificate: Certificate, understand: Understand) -> None:
        self._certificate, self._do_understand = certificate, understand
        self._stamps: tuple[Stamp, Stamp] | None = None
        """Of the files that `_found` was made from; None: read them again."""
        self._found: Understood | CertificateError | None = None

    def read(self) -> Pem:
        """The certificate as it is now. CertificateError."""
        stamps = self._stamp()
        if self._found is None or stamps is None or stamps != self._stamps:
            self._found = self._understand()
            settled = stamps is not None and stamps == self._stamp() and _old(stamps)
            self._stamps = stamps if settled else None
        if isinstance(self._found, CertificateError):
            raise self._found
        if self._found.valid_from > datetime.now(UTC):
            raise CertificateError(
                f"{self._certificate.file} is not valid yet",
                f"it will be from {self._found.valid_from.isoformat().replace('+00:00', 'Z')} on",
                "see this machine's clock with: date -u",
            )  # fmt: skip
        return self._found.pem

    def _understand(self) -> Understood | CertificateError:
        file, key = self._certificate.file, self._certificate.key
        try:
            return self._do_understand(_content(file), _content(key), file, key)
        except CertificateError as problem:
            return problem

    def _stamp(self) -> tuple[Stamp, Stamp] | None:
        try:
            return _stamp_of(self._certificate.file), _stamp_of(self._certificate.key)
        except OSError:
            return None


def _stamp_of(path: str) -> Stamp:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _old(stamps: tuple[Stamp, Stamp]) -> bool:
    return all(abs(time.time_ns() - ctime) > YOUNG * 1e9 for *_, ctime in stamps)


def _content(path: str) -> bytes:
    """What the file holds. CertificateError says why it cannot be read, and how to change that."""
    try:
        # A pipe in its place must not keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise CertificateError(f"{path} cannot be read", "it is no file", "give the path of a PEM file")
            content = file.read(LARGEST + 1)
    except OSError as problem:
        raise CertificateError(
            f"{path} cannot be read", problem.strerror or str(problem), _advice(problem)
        ) from problem
    if len(content) > LARGEST:
        raise CertificateError(f"{path} cannot be read", f"it has more than {LARGEST} bytes", "give a PEM file")
    return content


def _advice(problem: OSError) -> str:
    if isinstance(problem, PermissionError):
        me = _user()
        return f"fairlead runs as {me}: let {me} read the file (and pass its folders), or give it a copy"
    if isinstance(problem, FileNotFoundError):
        return "see `certificates` in fairlead.yaml: a path there is relative to the file's folder"
    return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
