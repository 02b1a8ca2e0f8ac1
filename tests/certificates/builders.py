"""Certificates of every kind, made quickly (ECDSA unless said), and the two files that a listener names."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from fairlead.core.model import Certificate, Conditions, Listener, Rule, forward_to

DAY = timedelta(days=1)


def a_key(kind: str = "ecdsa") -> Any:
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "rsa-1024":
            return rsa.generate_private_key(65537, 1024)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "ed448":
            return ed448.Ed448PrivateKey.generate()
        case "dsa":
            return dsa.generate_private_key(2048)
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "secp256k1":
            return ec.generate_private_key(ec.SECP256K1())
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Made:
    """A certificate, its key, and who issued it."""

    certificate: x509.Certificate
    key: Any
    issuer: Made | None = None

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> bytes:
        """With its issuers, but the root."""
        above = self.issuer.chain if self.issuer and self.issuer.issuer else b""
        return self.pem + above

    def key_pem(
        self, form: PrivateFormat = PrivateFormat.PKCS8, encryption: KeySerializationEncryption | None = None
    ) -> bytes:
        return bytes(self.key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()))

    def encrypted(self, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
        return self.key_pem(form, BestAvailableEncryption(b"geheim"))


def made(
    *names: str,
    kind: str = "ecdsa",
    issuer: Made | None = None,
    ca: bool = False,
    begins: timedelta = -DAY,
    ends: timedelta = 60 * DAY,
    common: str = "",
) -> Made:
    """A certificate for `names`, by `issuer` or by itself."""
    key, now = a_key(kind), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common or (names[0] if names else "CA"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    signer = issuer.key if issuer else key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, digest), key, issuer)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def put(path: Path, content: bytes) -> Path:
    """Write a file at once, as a renewal does."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    os.replace(fresh, path)
    return path


def files(folder: Path, one: Made, name: str = "shop") -> Certificate:
    """Its two files in `folder`."""
    put(folder / f"{name}.key", one.key_pem())
    put(folder / f"{name}.pem", one.chain)
    return Certificate(file=str(folder / f"{name}.pem"), key=str(folder / f"{name}.key"))


def a_listener(*certificates: Certificate, hosts: tuple[str, ...] = (), **changes: Any) -> Listener:
    """HTTPS; without certificates: `local`."""
    rules = (Rule(when=Conditions(hosts=hosts), then=forward_to("web")),) if hosts else ()
    fields: dict[str, Any] = {"port": 8443, "default": forward_to("web"), "rules": rules, "protocol": "HTTPS"}
    return Listener(**{**fields, "certificates": certificates or "local", **changes})
