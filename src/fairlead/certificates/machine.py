"""Where this machine keeps the CAs that it trusts: files and programs of each kind of Linux.

In: the root folder. Out: its store, which can say whether a CA is in it, and which file and which command put it there.
The law: a store is written by `install` and `remove` alone, one file of ours in each, named by the CA's fingerprint.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from fairlead.aiokit.atomic import write_atomically

_KINDS = (
    # where a CA is put, what then makes the bundle, and the bundle that programs read
    ("etc/pki/ca-trust/source/anchors", "update-ca-trust", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    ("etc/ca-certificates/trust-source/anchors", "update-ca-trust", "etc/ca-certificates/extracted/tls-ca-bundle.pem"),
    ("etc/pki/trust/anchors", "update-ca-certificates", "var/lib/ca-certificates/ca-bundle.pem"),
    ("usr/local/share/ca-certificates", "update-ca-certificates", "etc/ssl/certs/ca-certificates.crt"),
)
"""Fedora and its kin, Arch, openSUSE, Debian and its kin (and Alpine)."""


@dataclass(frozen=True, slots=True)
class MachineStore:
    """anchors: the folder for CAs of the administrator's; update: the program that takes them over, without arguments;
    bundle: what it writes."""

    anchors: str
    update: str
    bundle: str

    def file(self, pem: str) -> str:
        """Where that CA is put."""
        return f"{self.anchors}/fairlead-{fingerprint(pem)[:12]}.crt"

    def trusts(self, pem: str) -> bool:
        """Whether programs of this machine trust it: it is in the bundle, whoever put it there."""
        try:
            with open(self.bundle, encoding="ascii", errors="replace") as file:
                return _body(pem) in "".join(file.read().split())
        except OSError:
            return False

    def holds(self, pem: str) -> bool:
        """Whether our file is there; the bundle has it only after `update`."""
        return os.path.exists(self.file(pem))

    def install(self, pem: str) -> None:
        """Put it there. OSError."""
        os.makedirs(self.anchors, mode=0o755, exist_ok=True)
        write_atomically(self.file(pem), pem, 0o644)

    def remove(self, pem: str) -> None:
        """Take it away; nothing when it is not there. OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file(pem))


def machine_store(root: str) -> MachineStore | None:
    """The store of the machine (or image) whose files lie in `root`; None: it has none that is known here."""
    for anchors, update, bundle in _KINDS:
        below = os.path.join(root, anchors)
        known = os.path.isdir(below) or (anchors == _KINDS[-1][0] and os.path.exists(os.path.join(root, bundle)))
        if known:
            return MachineStore(below, update, os.path.join(root, bundle))
    return None


def browser_databases(home: str) -> Iterator[str]:
    """The folders of NSS databases below a user's home, in which Firefox, Chrome and Chromium keep what they trust."""
    single = (".pki/nssdb", "snap/chromium/current/.pki/nssdb")
    several = (
        ".mozilla/firefox", "snap/firefox/common/.mozilla/firefox", ".var/app/org.mozilla.firefox/.mozilla/firefox",
        ".config/mozilla/firefox",
    )  # fmt: skip
    for folder in (f"{home}/{name}" for name in single):
        if os.path.exists(f"{folder}/cert9.db"):
            yield folder
    for parent in (f"{home}/{name}" for name in several):
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(parent)):
                if os.path.exists(f"{parent}/{name}/cert9.db"):
                    yield f"{parent}/{name}"


def fingerprint(pem: str) -> str:
    """SHA-256 of the certificate, hexadecimal: what browsers show, too. ValueError: it is none."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _body(pem: str) -> str:
    return "".join(line for line in pem.split("\n") if line and not line.startswith("-----"))
