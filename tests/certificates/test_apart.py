"""Certificates are looked at in a process of its own, which comes and goes, and which nobody can hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.certificates import apart, authority, issued
from fairlead.certificates.apart import Apart
from fairlead.certificates.authority import Authority
from fairlead.certificates.home import HomeCertificates
from fairlead.certificates.issued import RENEWED, kept_or_issued
from fairlead.certificates.pair import understand
from fairlead.errors import CertificateError
from tests.certificates.builders import a_listener, files, made

NAMES = ("localhost",)


def until(holds: Callable[[], bool], what: str, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        time.sleep(0.02)


def child_of(one: Apart) -> int:
    assert one._child is not None
    return one._child.pid


def test_it_says_what_would_be_said_here_also_of_what_is_wrong() -> None:
    one, shop, other = Apart(), made("shop.test"), made("other.test")
    given = shop.chain, shop.key_pem(), "/shop ü.pem", "/shop.key"
    assert one.understand(*given) == understand(*given)
    for wrong in (other.key_pem(), b"\xff\0garbage", b"", shop.encrypted()):
        with pytest.raises(CertificateError) as here:
            understand(shop.chain, wrong, "/shop.pem", "/shop.key")
        with pytest.raises(CertificateError) as there:
            one.understand(shop.chain, wrong, "/shop.pem", "/shop.key")
        assert there.value.to_json() == here.value.to_json()


def test_a_daemon_that_shows_certificates_does_not_keep_the_library(tmp_path: Path) -> None:
    pair = files(tmp_path, made("shop.test"))
    code = f"""
import sys
from fairlead.certificates.home import HomeCertificates
from fairlead.core.model import Certificate, Listener
home = HomeCertificates({str(tmp_path / "ca")!r})
pair = Certificate(file={pair.file!r}, key={pair.key!r})
print(home.of(Listener(port=1, default=None, protocol="HTTPS", certificates=(pair,)))[0].names)
print("localhost" in home.of(Listener(port=1, default=None, protocol="HTTPS", certificates="local"))[0].names)
print([name for name in sys.modules if name.split(".")[0] == "cryptography"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:3] == ["('shop.test',)", "True", "[]"]


def test_the_process_ends_by_itself_and_comes_back_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LINGER", 0.05)
    one, shop = Apart(), made("shop.test")
    given = shop.chain, shop.key_pem(), "a", "b"
    first = one.understand(*given)
    pid = child_of(one)
    until(lambda: one._child is None or one._child.poll() is not None, "its end")
    one.reap()
    assert not os.path.exists(f"/proc/{pid}"), "nothing is left of it, not even its number"
    assert one.understand(*given) == first


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_it_is_killed_the_next_question_is_answered(how: signal.Signals) -> None:
    one, shop = Apart(), made("shop.test")
    given = shop.chain, shop.key_pem(), "a", "b"
    first = one.understand(*given)
    os.kill(child_of(one), how)
    assert one.understand(*given) == first


def test_one_that_hangs_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one, shop = Apart(), made("shop.test")
    given = shop.chain, shop.key_pem(), "/shop.pem", "/shop.key"
    one.understand(*given)
    pid = child_of(one)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(apart, "PATIENCE", 0.2)
    with pytest.raises(CertificateError, match=r"it has not answered for 0\.2 s") as caught:
        one.understand(*given)
    assert caught.value.what == "/shop.pem cannot be used"
    assert not os.path.exists(f"/proc/{pid}")
    monkeypatch.undo()
    assert one.understand(*given).pem.names == ("shop.test",)


def test_no_key_is_in_its_arguments_or_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "of the daemon's")
    one, shop = Apart(), made("shop.test")
    one.understand(shop.chain, shop.key_pem(), "a", "b")
    shown = Path(f"/proc/{child_of(one)}/cmdline").read_bytes() + Path(f"/proc/{child_of(one)}/environ").read_bytes()
    assert b"fairlead.certificates.apart" in shown
    assert b"BEGIN" not in shown
    assert b"SECRET" not in shown


def the_clock_is(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.fromtimestamp(time.time() + days * 86_400, UTC)

    for module in (authority, issued):
        monkeypatch.setattr(module, "datetime", Then)


def test_one_issued_while_the_clock_was_ahead_is_issued_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = Authority(str(tmp_path / "ca"))
    ca.ensure()
    the_clock_is(monkeypatch, 100)
    ahead = kept_or_issued(ca, NAMES, RENEWED)
    monkeypatch.undo()
    assert ahead.valid_from > datetime.now(UTC)
    again = kept_or_issued(ca, NAMES, RENEWED)
    assert again.valid_from <= datetime.now(UTC)
    assert kept_or_issued(ca, NAMES, RENEWED) == again


def test_what_was_known_is_asked_for_again_when_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = HomeCertificates(str(tmp_path / "ca"))
    (first,) = home.of(a_listener())
    asked: list[str] = []
    monkeypatch.setattr(home._apart, "issue", lambda folder, *_: asked.append(folder) or Apart().issue(folder, *_))
    assert home.of(a_listener()) == (first,)
    assert asked == []
    the_clock_is(monkeypatch, -2)
    home.of(a_listener())
    assert len(asked) == 1


def test_a_ca_made_while_the_clock_was_ahead_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = Authority(str(tmp_path / "ca"))
    the_clock_is(monkeypatch, 100)
    ca.ensure()
    monkeypatch.undo()
    with pytest.raises(CertificateError, match="not valid yet") as caught:
        HomeCertificates(ca.folder).of(a_listener())
    assert "date -u" in caught.value.next_step
