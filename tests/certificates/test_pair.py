"""Two files that fit become one certificate; whatever else they are is an error that says what to do."""

from __future__ import annotations

import traceback

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from fairlead.certificates.pair import understand
from fairlead.core.pem import Pem
from fairlead.errors import CertificateError
from tests.certificates.builders import DAY, Made, made


def read(certificate: bytes, key: bytes) -> Pem:
    return understand(certificate, key, "/etc/shop.pem", "/etc/shop.key").pem


def refused(certificate: bytes, key: bytes) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        read(certificate, key)
    problem = caught.value
    said = "".join([*traceback.format_exception(problem), problem.next_step, problem.detail, repr(problem)])
    assert not [line for line in key.decode("latin-1").split() if len(line) > 20 and line in said]
    return problem


@pytest.fixture(scope="module")
def root() -> Made:
    return made(ca=True, common="Root")


@pytest.mark.parametrize("kind", ["ecdsa", "p384", "rsa", "ed25519"])
def test_a_certificate_that_fits_its_key_is_written_leaf_first_and_key_last(kind: str, root: Made) -> None:
    between = made(ca=True, issuer=root, common="Between")
    leaf = made("shop.test", "*.shop.test", "10.0.0.7", kind=kind, issuer=between)
    pem = read(leaf.chain, leaf.key_pem())
    assert pem.names == ("shop.test", "*.shop.test", "10.0.0.7")
    assert x509.load_pem_x509_certificates(pem.text.encode()) == [leaf.certificate, between.certificate]
    assert pem.text.index("PRIVATE KEY") > pem.text.rindex("END CERTIFICATE")
    assert "" not in pem.text.splitlines()
    assert pem.expires_at == leaf.certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z")
    assert pem.text not in repr(pem)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_is_read_in_either_form_also_behind_its_certificate(form: PrivateFormat) -> None:
    leaf = made("shop.test")
    assert read(leaf.pem, leaf.key_pem(form)) == read(leaf.pem, leaf.pem + leaf.key_pem(form))


def test_what_else_the_files_hold_does_not_go_on() -> None:
    leaf = made("shop.test")
    noisy = b"subject=/CN=shop\n\nSECRET NOTE\n" + leaf.pem.replace(b"\n", b"\r\n") + b"\n\n trailing"
    assert read(noisy, leaf.key_pem()) == read(leaf.pem, leaf.key_pem())


def test_without_alternative_names_the_common_name_counts() -> None:
    leaf = made(common="old.test")
    assert read(leaf.pem, leaf.key_pem()).names == ("old.test",)


def test_one_that_has_expired_is_read_since_a_working_one_is_not_given_up_for_that() -> None:
    leaf = made("shop.test", begins=-9 * DAY, ends=-DAY)
    assert read(leaf.pem, leaf.key_pem()).names == ("shop.test",)


def test_a_key_of_another_certificate_is_refused() -> None:
    problem = refused(made("shop.test").pem, made("shop.test").key_pem())
    assert problem.what == "/etc/shop.pem and /etc/shop.key do not belong together"
    assert "CN=shop.test" in problem.why


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_with_the_command_that_helps(form: PrivateFormat) -> None:
    leaf = made("shop.test", kind="rsa")
    problem = refused(leaf.pem, leaf.encrypted(form))
    assert "encrypted" in problem.what
    assert "openssl pkey -in /etc/shop.key" in problem.next_step


def test_exchanged_files_are_told() -> None:
    leaf = made("shop.test")
    assert refused(leaf.key_pem(), leaf.pem).next_step == "exchange `file` and `key`"


def test_the_leaf_must_come_first(root: Made) -> None:
    leaf = made("shop.test", issuer=root)
    problem = refused(root.pem + leaf.pem, leaf.key_pem())
    assert "number 2" in problem.why


def test_a_chain_out_of_order_is_refused(root: Made) -> None:
    first = made(ca=True, issuer=root, common="First")
    second = made(ca=True, issuer=first, common="Second")
    leaf = made("shop.test", issuer=second)
    problem = refused(leaf.pem + first.pem + second.pem, leaf.key_pem())
    assert problem.what == "the chain in /etc/shop.pem is out of order"
    assert "CN=First" in problem.why


def test_an_issuer_of_the_same_name_with_another_key_is_refused(root: Made) -> None:
    leaf = made("shop.test", issuer=root)
    assert "out of order" in refused(leaf.pem + made(ca=True, common="Root").pem, leaf.key_pem()).what


@pytest.mark.parametrize(
    ("kind", "said"), [("rsa-1024", "1024 bits"), ("secp256k1", "secp256k1"), ("ed448", "Ed448"), ("dsa", "DSA")]
)
def test_keys_that_clients_do_not_take_are_refused(kind: str, said: str) -> None:
    leaf = made("shop.test", kind=kind) if kind != "dsa" else made("shop.test")
    key = leaf.key_pem() if kind != "dsa" else made("x.test", kind="dsa").key_pem()
    assert said in refused(leaf.pem, key).why


GARBAGE = [
    b"",
    b"hello",
    b"\0" * 100,
    b"\xff\xfe" + "unicode".encode("utf-16"),
    b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused_on_either_side(garbage: bytes) -> None:
    leaf = made("shop.test")
    assert "/etc/shop.pem" in refused(garbage, leaf.key_pem()).what
    assert "/etc/shop.key" in refused(leaf.pem, garbage).what


LEAF = made("shop.test")


@given(st.data())
def test_whatever_is_left_out_or_changed_it_is_read_or_refused(data: st.DataObject) -> None:
    certificate, key = bytearray(LEAF.pem), bytearray(LEAF.key_pem())
    for content in (certificate, key):
        cut = data.draw(st.integers(0, len(content)))
        if data.draw(st.booleans()):
            del content[cut:]
        elif cut < len(content):
            content[cut] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(certificate), bytes(key))
    except CertificateError:
        return
    assert found.names == ("shop.test",)
