"""Two PEM files, as bytes, to a certificate that HAProxy can show. No file is touched here.

In: what the user's two files hold. Out: a `Pem` written anew from what was understood of them (so nothing else that the
files hold goes on), with the moment from which it is valid; or CertificateError with the file, what is wrong with it,
and what to do. The law: the key is never in an error. `cryptography` is imported where it is used: it costs 45 ms and
15 MB, which the daemon leaves to a process of its own (`apart`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from fairlead.core.pem import Pem
from fairlead.errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

LEAST_RSA = 2048
"""Bits. Clients refuse less."""

CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""Of ECDSA: what clients know."""

_KEY = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Understood:
    """A certificate that fits its key, and from when on it is valid."""

    pem: Pem
    valid_from: datetime


def understand(certificate: bytes, key: bytes, file: str, key_file: str) -> Understood:
    """The certificate of `file`, with the key of `key_file`. CertificateError."""
    chain = _chain(certificate, file)
    private = _key(key, key_file)
    _check_strength(private, key_file)
    _check_fit(chain, private, file, key_file)
    _check_order(chain, file)
    return understood(chain, private, file)


def understood(chain: list[Certificate], private: PrivateKeyTypes, file: str) -> Understood:
    """The same of what is known to fit."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    parts = [one.public_bytes(Encoding.PEM) for one in chain]
    parts.append(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem = Pem(
        text=b"".join(parts).decode("ascii"),
        names=names_of(chain[0]),
        expires_at=chain[0].not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        file=file,
    )
    return Understood(pem, chain[0].not_valid_before_utc)


def names_of(certificate: Certificate) -> tuple[str, ...]:
    """The DNS names and addresses that it is for; without any, its common name, as clients once read it."""
    from cryptography import x509

    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        found = []
    if not found:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found = [str(one.value) for one in common]
    return tuple(name for name in found if name.isprintable() and name)


def _chain(data: bytes, file: str) -> list[Certificate]:
    from cryptography import x509

    if b"-----BEGIN CERTIFICATE-----" not in data:
        key_instead = _KEY.search(data) is not None
        raise CertificateError(
            f"{file} holds no certificate",
            "it holds a private key" if key_instead else "there is no `-----BEGIN CERTIFICATE-----` in it",
            "exchange `file` and `key`" if key_instead else "give a PEM file: the certificate first, then its chain",
        )  # fmt: skip
    try:
        chain = x509.load_pem_x509_certificates(data)
        for one in chain:
            # What is read only when it is asked for would otherwise fail later.
            _ = one.extensions, one.not_valid_after_utc, one.subject, one.issuer, one.public_key()
    except Exception as problem:
        # ValueError as a rule; whatever else a file of a stranger can raise says the same.
        raise CertificateError(f"{file} cannot be read", _short(problem), "write it again: it must be PEM") from problem
    return chain


def _key(data: bytes, file: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = _KEY.search(data)
    if found is None:
        raise CertificateError(
            f"{file} holds no private key", "there is no whole `-----BEGIN PRIVATE KEY-----` block in it",
            "give the key that belongs to the certificate, as PEM",
        )  # fmt: skip
    if found[1] == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in found[0]:
        raise CertificateError(
            f"the key {file} is encrypted", "nobody is there to type its passphrase when the balancer starts",
            f"write it without one, for you alone to read: "
            f"(umask 077 && openssl pkey -in {file} -out {file}.plain), and name that as `key`",
        )  # fmt: skip
    try:
        # An RSA key that was made up may take for ever to be checked; its size is looked at next.
        return load_pem_private_key(found[0] + b"\n", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        # What a parser says of a key may hold a part of it.
        raise CertificateError(
            f"the key {file} cannot be read", "it is no private key that is understood", "write it again, as PEM"
        ) from problem.with_traceback(None)


def _check_strength(key: PrivateKeyTypes, file: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    advice = (
        "make a key like `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, and a certificate for it"
    )
    if isinstance(key, RSAPrivateKey):
        if key.key_size < LEAST_RSA:
            why = f"it is RSA with {key.key_size} bits, and clients refuse less than {LEAST_RSA}"
            raise CertificateError(f"the key {file} is too weak", why, advice)
    elif isinstance(key, EllipticCurvePrivateKey):
        if key.curve.name not in CURVES:
            raise CertificateError(
                f"the key {file} cannot be used", f"clients do not know its curve {key.curve.name}", advice
            )
    elif not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise CertificateError(
            f"the key {file} cannot be used", f"clients take RSA, ECDSA and Ed25519, and this is {kind}", advice
        )


def _check_fit(chain: list[Certificate], key: PrivateKeyTypes, file: str, key_file: str) -> None:
    mine = _public(key)
    if _public(chain[0]) == mine:
        return
    for number, one in enumerate(chain[1:], start=2):
        if _public(one) == mine:
            raise CertificateError(
                f"{file} begins with another certificate than its own",
                f"the one that belongs to {key_file} is number {number} in it", "put it first, and its chain behind it",
            )  # fmt: skip
    subject = chain[0].subject.rfc4514_string() or ", ".join(names_of(chain[0])) or "the certificate"
    raise CertificateError(
        f"{file} and {key_file} do not belong together",
        f"the key is not that of {_printable(subject)}", "give the certificate and the key that was made for it",
    )  # fmt: skip


def _check_order(chain: list[Certificate], file: str) -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    for number, (one, issuer) in enumerate(pairwise(chain), start=2):
        fits = one.issuer == issuer.subject
        if fits:
            try:
                one.verify_directly_issued_by(issuer)
            except (InvalidSignature, ValueError):
                fits = False
            except (TypeError, UnsupportedAlgorithm):
                pass  # an algorithm that is not known here: clients will judge
        if not fits:
            raise CertificateError(
                f"the chain in {file} is out of order",
                f"certificate {number} ({_printable(issuer.subject.rfc4514_string())}) did not issue the one before it",
                "behind each certificate put the one that issued it; leave out what does not belong to it",
            )  # fmt: skip


def _public(one: Certificate | PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _short(problem: Exception) -> str:
    said = (str(problem).splitlines() or [""])[0]
    if "PEM" in said:
        # It would go on with an address of its own documentation.
        return "what is between BEGIN and END is cut off or damaged"
    return _printable(said)[:200] or type(problem).__name__


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]
