"""The development CA and what it issues: made once, kept for its owner alone, taken by real TLS clients."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fairlead.certificates import issued
from fairlead.certificates.authority import Authority
from fairlead.certificates.home import HomeCertificates
from fairlead.certificates.issued import names_for
from fairlead.core.pem import Pem
from fairlead.errors import CertificateError
from tests.certificates.builders import a_listener, files, made

HERE = socket.gethostname().lower()


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def shown(pem: Pem, trusted: str, name: str) -> str:
    """What a client that trusts `trusted` says of a server that shows `pem` under `name`: "" or the complaint."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=trusted)
    folder = Path(trusted).parent / "shown"
    folder.mkdir(exist_ok=True)
    (folder / "one.pem").write_text(pem.text)
    server.load_cert_chain(folder / "one.pem")
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True):
                pass
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
    except ssl.SSLCertVerificationError as problem:
        return problem.verify_message
    finally:
        ours.close()
        thread.join()
    return ""


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", HERE, "127.0.0.2", "www.shop.test", "a.api.test"])
def test_a_client_that_trusts_the_ca_takes_what_it_issues(tmp_path: Path, name: str) -> None:
    listener = a_listener(hosts=("www.shop.test", "*.api.test"), address="127.0.0.2")
    (pem,) = HomeCertificates(str(tmp_path / "ca")).of(listener)
    assert shown(pem, Authority(str(tmp_path / "ca")).certificate, name) == ""


def test_no_other_host_is_covered(tmp_path: Path) -> None:
    (pem,) = HomeCertificates(str(tmp_path / "ca")).of(a_listener())
    assert "other.test" in shown(pem, Authority(str(tmp_path / "ca")).certificate, "other.test")


def test_it_is_for_this_machine_and_the_hosts_that_the_rules_name() -> None:
    hosts = ("Shop.test", "*.shop.test", "api-*.test", "a?.test", "*", "*.*.test", "[::2]", "10.0.0.9", "shop.test")
    names = names_for(a_listener(hosts=hosts, address="0.0.0.0"), "my-machine")
    assert names == (
        "localhost", "*.localhost", "127.0.0.1", "::1", "my-machine", "shop.test", "*.shop.test", "::2", "10.0.0.9",
    )  # fmt: skip


def test_a_machine_whose_name_is_no_dns_name_has_a_certificate_all_the_same() -> None:
    assert names_for(a_listener(), "my machine!") == ("localhost", "*.localhost", "127.0.0.1", "::1")


def test_the_ca_may_sign_servers_and_nothing_below_and_its_key_is_its_owners_alone(tmp_path: Path) -> None:
    authority = Authority(str(tmp_path / "ca"))
    authority.ensure()
    certificate, _ = authority.load()
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, 0, True)
    assert f"fairlead development CA ({socket.gethostname()})"[:64] in certificate.subject.rfc4514_string()
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3650)
    assert (mode(authority.folder), mode(authority.key)) == (0o700, 0o600)


def test_it_is_made_once_whoever_begins(tmp_path: Path) -> None:
    authority, made_by = Authority(str(tmp_path / "ca")), set()
    begin = threading.Barrier(8)

    def make() -> None:
        begin.wait()
        authority.ensure()
        made_by.add(Path(authority.certificate).read_text())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made_by) == 1
    assert os.listdir(tmp_path) == ["ca"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o666])
def test_nothing_is_issued_with_a_key_that_others_can_read(tmp_path: Path, bits: int) -> None:
    authority = Authority(str(tmp_path / "ca"))
    authority.ensure()
    os.chmod(authority.key, bits)
    with pytest.raises(CertificateError, match="is not safe"):
        HomeCertificates(authority.folder).of(a_listener())


def test_a_restart_issues_nothing_anew(tmp_path: Path) -> None:
    first = HomeCertificates(str(tmp_path / "ca")).of(a_listener())
    assert HomeCertificates(str(tmp_path / "ca")).of(a_listener()) == first
    (kept,) = (tmp_path / "ca" / "issued").iterdir()
    assert mode(str(kept)) == 0o600


def test_other_hosts_take_another_certificate(tmp_path: Path) -> None:
    home = HomeCertificates(str(tmp_path / "ca"))
    (first,), (second,) = home.of(a_listener()), home.of(a_listener(hosts=("new.test",)))
    assert "new.test" in second.names
    assert "new.test" not in first.names


def test_one_that_ends_soon_is_issued_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = HomeCertificates(str(tmp_path / "ca"))
    (first,) = home.of(a_listener())
    monkeypatch.setattr(issued, "RENEWED", timedelta(days=89, hours=20))
    assert home.of(a_listener()) == (first,)
    monkeypatch.setattr(issued, "RENEWED", timedelta(days=91))
    assert home.of(a_listener()) != (first,)


def test_another_ca_issues_anew(tmp_path: Path) -> None:
    home = HomeCertificates(str(tmp_path / "ca"))
    (first,) = home.of(a_listener())
    os.rename(tmp_path / "ca", tmp_path / "old")
    (second,) = home.of(a_listener())
    assert second != first
    assert shown(second, str(tmp_path / "ca" / "ca.pem"), "localhost") == ""


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0\xff"])
def test_a_damaged_certificate_on_the_disk_is_issued_anew(tmp_path: Path, content: bytes) -> None:
    HomeCertificates(str(tmp_path / "ca")).of(a_listener())
    (kept,) = (tmp_path / "ca" / "issued").iterdir()
    kept.write_bytes(content)
    (again,) = HomeCertificates(str(tmp_path / "ca")).of(a_listener())
    assert kept.read_text() == again.text


def test_a_damaged_ca_is_told_with_what_to_do(tmp_path: Path) -> None:
    authority = Authority(str(tmp_path / "ca"))
    authority.ensure()
    Path(authority.certificate).write_text("garbage")
    with pytest.raises(CertificateError, match="damaged") as caught:
        HomeCertificates(authority.folder).of(a_listener())
    assert f"rm -r {authority.folder}" in caught.value.next_step


def test_a_home_without_room_for_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot be made"):
        HomeCertificates(str(tmp_path / "nowhere" / "ca")).of(a_listener())


def test_files_come_in_the_order_in_which_the_listener_names_them(tmp_path: Path) -> None:
    one, two = files(tmp_path, made("one.test"), "one"), files(tmp_path, made("two.test"), "two")
    home = HomeCertificates(str(tmp_path / "ca"))
    assert [pem.names for pem in home.of(a_listener(two, one))] == [("two.test",), ("one.test",)]
    assert not (tmp_path / "ca").exists()


def test_who_needs_no_certificate_does_not_pay_for_the_library() -> None:
    code = (
        "import sys, fairlead.wiring, fairlead.cli.main, fairlead.cli.status, fairlead.cli.check\n"
        "from fairlead.certificates.home import HomeCertificates\n"
        "HomeCertificates('/nowhere')\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'cryptography'])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
