"""The home's development CA: made when it is first needed, and what it issues.

In: a folder of the home. Out: `ca.pem` (to be trusted by browsers: `fairlead trust`) and `ca.key.pem` in it, and
certificates that the CA issues, valid for 90 days. The law: the key is its owner's alone (0600, in a folder of 0700);
with a key that others can read nothing is issued, and nothing is trusted. The folder appears at once with both files,
whoever else is about to make it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import ssl
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fairlead.aiokit.atomic import write_atomically
from fairlead.certificates.pair import Understood, understood
from fairlead.errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName, KeyUsage, Name

CA_LIFE = timedelta(days=3653)
LIFE = timedelta(days=90)

CLOCKS_DIFFER = timedelta(hours=1)
"""A certificate is valid that long before it was made."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA in `folder` (absolute). Nothing is there before the first `ensure`."""

    folder: str

    @property
    def certificate(self) -> str:
        """Its certificate, PEM: what is to be trusted."""
        return f"{self.folder}/ca.pem"

    @property
    def key(self) -> str:
        return f"{self.folder}/ca.key.pem"

    def ensure(self) -> None:
        """Make it, if it is not there. CertificateError: it cannot be made, or its key is not safe."""
        try:
            if not os.path.exists(self.certificate):
                self._make()
        except OSError as problem:
            raise CertificateError(
                f"the development CA cannot be made in {self.folder}", problem.strerror or str(problem)
            ) from problem
        self.check_key()

    def check_key(self) -> None:
        """CertificateError when others than its owner can read the key, or it is not there."""
        try:
            mode = stat.S_IMODE(os.stat(self.key).st_mode)
        except OSError as problem:
            raise CertificateError(
                f"the development CA in {self.folder} has no key", problem.strerror or str(problem),
                f"remove it (fairlead trust --remove; rm -r {self.folder}): another is made when it is needed",
            ) from problem  # fmt: skip
        if mode & 0o077:
            raise CertificateError(
                f"the key of the development CA, {self.key}, is not safe",
                f"its mode is {mode:04o}: others could make certificates that your browser takes for real",
                f"remove the CA (fairlead trust --remove; rm -r {self.folder}): another is made when it is needed",
            )  # fmt: skip

    def pem(self) -> str:
        """Its certificate, to be trusted. CertificateError: it is damaged."""
        try:
            with open(self.certificate, encoding="ascii") as file:
                text = file.read()
            ssl.PEM_cert_to_DER_cert(text)
        except (OSError, ValueError) as problem:
            raise self._damaged() from problem
        return text

    def issue(self, names: Sequence[str]) -> Understood:
        """A certificate of its own key for `names` (DNS names, addresses). CertificateError."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        issuer, issuer_key = self.load()
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        if issuer.not_valid_after_utc <= now:
            raise CertificateError(
                "the development CA has expired", f"it was valid until {issuer.not_valid_after_utc.isoformat()}",
                f"remove it (fairlead trust --remove; rm -r {self.folder}) and run: fairlead trust",
            )  # fmt: skip
        if issuer.not_valid_before_utc > now:
            raise CertificateError(
                "the development CA is not valid yet", f"it will be from {issuer.not_valid_before_utc.isoformat()} on",
                f"see this machine's clock with: date -u; or remove it (fairlead trust --remove; rm -r {self.folder})",
            )  # fmt: skip
        builder = (
            _builder(_subject(next((name for name in names if len(name) <= 64), "fairlead")), issuer.subject, key)
            .not_valid_before(max(now - CLOCKS_DIFFER, issuer.not_valid_before_utc))
            .not_valid_after(min(now + LIFE, issuer.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        return understood([builder.sign(issuer_key, hashes.SHA256())], key, "")

    def load(self) -> tuple[Certificate, EllipticCurvePrivateKey]:
        """Its certificate and key, made if need be. CertificateError."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self.ensure()
        try:
            with open(self.certificate, "rb") as file:
                certificate = x509.load_pem_x509_certificate(file.read())
            with open(self.key, "rb") as file:
                key = load_pem_private_key(file.read(), password=None)
        except (OSError, ValueError, TypeError) as problem:
            raise self._damaged() from problem
        if not isinstance(key, EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise self._damaged()
        return certificate, key

    def _damaged(self) -> CertificateError:
        return CertificateError(
            f"the development CA in {self.folder} cannot be read", "its certificate and key are damaged",
            f"remove it (fairlead trust --remove; rm -r {self.folder}): another is made when it is needed",
        )  # fmt: skip

    def _make(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = _subject(f"fairlead development CA ({socket.gethostname()})"[:64])
        certificate = (
            _builder(subject, subject, key)
            .not_valid_before(now - CLOCKS_DIFFER)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        parent, name = os.path.split(self.folder)
        fresh = tempfile.mkdtemp(prefix=f".{name}-", dir=parent)  # 0700
        try:
            made = Authority(fresh)
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_atomically(made.key, private.decode("ascii"), 0o600)
            write_atomically(made.certificate, certificate.public_bytes(Encoding.PEM).decode("ascii"), 0o644)
            with contextlib.suppress(OSError):  # somebody else was quicker: theirs is as good
                if not os.path.exists(self.certificate):
                    os.rename(fresh, self.folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        os.stat(self.certificate)


def _builder(subject: Name, issuer: Name, key: EllipticCurvePrivateKey) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common_name: str) -> Name:
    from cryptography import x509

    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "fairlead"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(**meant: bool) -> KeyUsage:
    from cryptography import x509

    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{one: meant.get(one, False) for one in every})


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
