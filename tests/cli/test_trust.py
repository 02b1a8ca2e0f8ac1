"""`fairlead trust` puts the CA where this machine, or an image of one, looks for it; and takes it away again.

The machine's own store is never touched: its folders and programs are the test's."""

from __future__ import annotations

import json
import os
import pwd
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.certificates import machine
from fairlead.certificates.machine import browser_databases, machine_store
from fairlead.cli import trust
from fairlead.core.layout import Layout
from tests.cli.conftest import Fairlead

KINDS = {
    "Fedora": ("etc/pki/ca-trust/source/anchors", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    "Arch": ("etc/ca-certificates/trust-source/anchors", "etc/ca-certificates/extracted/tls-ca-bundle.pem"),
    "openSUSE": ("etc/pki/trust/anchors", "var/lib/ca-certificates/ca-bundle.pem"),
    "Debian": ("usr/local/share/ca-certificates", "etc/ssl/certs/ca-certificates.crt"),
}
OTHERS = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

UPDATE = """#!/bin/sh
# What update-ca-certificates and update-ca-trust do.
cat {anchors}/*.crt > {bundle} 2>/dev/null
for crt in {anchors}/*.crt; do [ ! -e "$crt" ] || ln -sf "$crt" "$(dirname {bundle})/$(basename "$crt" .crt).pem"; done
echo "{others}" >> {bundle}
"""
CERTUTIL = """#!/bin/sh
# certutil -A|-L|-D -d sql:FOLDER -n NAME, with the certificate from stdin; as whoever runs it.
folder=${3#sql:}
echo "$1 $5" >> "$folder/calls"
case $1 in
  -A) cat > "$folder/ours" ;;
  -L) [ -e "$folder/ours" ] ;;
  -D) rm "$folder/ours" ;;
esac
"""


class Machine:
    """A Debian whose files lie in `root`, with programs of its own; the command is run by root or by a user."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.programs = root, root / "bin"
        self.programs.mkdir(parents=True)
        anchors, bundle = (root / path for path in KINDS["Debian"])
        anchors.mkdir(parents=True)
        bundle.parent.mkdir(parents=True)
        bundle.write_text(OTHERS)
        self.anchors, self.bundle = anchors, bundle
        self.home = root / "home"
        self.home.mkdir()
        self.program("update-ca-certificates", UPDATE.format(anchors=anchors, bundle=bundle, others=OTHERS))
        monkeypatch.setattr(trust, "PROGRAMS", f"{self.programs}:/usr/bin:/bin")
        monkeypatch.setattr(machine, "machine_store", lambda asked: machine_store(str(root) if asked == "/" else asked))
        monkeypatch.setenv("HOME", str(self.home))
        monkeypatch.delenv("SUDO_UID", raising=False)
        self._patch = monkeypatch

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def as_user(self) -> None:
        """The command thinks that it is not root's, and owns the home."""
        self._patch.setattr(trust.os, "geteuid", lambda: 1234)

    @property
    def links(self) -> list[Path]:
        """What Debian's program makes of each anchor, and never takes away."""
        return [path for path in self.bundle.parent.iterdir() if path.is_symlink()]

    @property
    def put(self) -> list[Path]:
        return sorted(self.anchors.iterdir())

    def database(self, folder: str) -> Path:
        (self.home / folder).mkdir(parents=True)
        (self.home / folder / "cert9.db").touch()
        return self.home / folder


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "machine", monkeypatch)
    monkeypatch.setattr(trust.os, "geteuid", lambda: 0)
    return made


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch, home: Layout) -> None:
    """The home is the command's, whoever it thinks that it is."""
    real = os.stat

    def stat_of(path: str, *more: int, **named: int) -> os.stat_result:
        found = real(path, *more, **named)
        return os.stat_result((*found[:4], trust.os.geteuid(), *found[5:])) if path == home.home else found

    monkeypatch.setattr(trust.os, "stat", stat_of)


pytestmark = pytest.mark.usefixtures("owned")


def test_root_puts_it_into_the_machines_store_and_takes_it_away(
    debian: Machine, fairlead: Fairlead, home: Layout
) -> None:
    assert fairlead("trust", "--check").status == 1
    assert fairlead("trust").status == 0
    (file,) = debian.put
    assert file.name.startswith("fairlead-")
    assert (file.suffix, stat.S_IMODE(file.stat().st_mode)) == (".crt", 0o644)
    assert file.read_text() == Path(home.authority, "ca.pem").read_text()
    assert "PRIVATE" not in file.read_text()
    shown = fairlead("trust", "--check", "--json")
    assert (shown.status, json.loads(shown.out)["trusted"]) == (0, True)
    assert fairlead("trust").status == 0
    assert len(debian.links) == 1
    assert fairlead("trust", "--remove").status == 0
    assert (debian.put, debian.links) == ([], [])
    assert fairlead("trust", "--check").status == 1
    assert fairlead("trust", "--remove").status == 0


def test_a_plain_user_is_told_the_command_and_it_does_what_it_says(
    debian: Machine, fairlead: Fairlead, home: Layout
) -> None:
    debian.as_user()
    for act, status in (((), 0), (("--remove",), 1)):
        shown = fairlead("trust", *act)
        assert shown.status == 1
        (line,) = [line for line in shown.err.splitlines() if line.startswith("run: ")]
        assert bool(debian.put) is bool(act)
        # `sudo` here is a program that just goes on.
        debian.program("sudo", '#!/bin/sh\nexec "$@"\n')
        done = subprocess.run(line.removeprefix("run: "), shell=True, env={"PATH": trust.PROGRAMS}, check=False)
        assert done.returncode == 0
        assert fairlead("trust", "--check").status == status
    assert fairlead("trust", "--remove").status == 0
    assert debian.links == []


def test_a_key_that_others_can_read_is_never_trusted(debian: Machine, fairlead: Fairlead, home: Layout) -> None:
    fairlead("trust", "--path")
    os.chmod(f"{home.authority}/ca.key.pem", 0o644)
    shown = fairlead("trust")
    assert (shown.status, debian.put) == (1, [])
    assert "is not safe" in shown.err


def test_a_damaged_ca_is_told(debian: Machine, fairlead: Fairlead, home: Layout) -> None:
    fairlead("trust", "--path")
    Path(home.authority, "ca.pem").write_text("garbage")
    shown = fairlead("trust")
    assert (shown.status, debian.put) == (1, [])
    assert "damaged" in shown.err


def test_print_and_path_give_it_to_other_programs(debian: Machine, fairlead: Fairlead, home: Layout) -> None:
    path = fairlead("trust", "--path").out.strip()
    printed = fairlead("trust", "--print").out
    assert path == f"{home.authority}/ca.pem"
    assert printed == Path(path).read_text()
    assert ssl.PEM_cert_to_DER_cert(printed)
    assert debian.put == []


def test_nothing_is_made_to_be_checked_or_removed(debian: Machine, fairlead: Fairlead, home: Layout) -> None:
    assert fairlead("trust", "--check").status == 1
    assert fairlead("trust", "--remove").status == 0
    assert not os.path.exists(home.authority)


def test_two_things_at_once_are_refused_and_neither_is_done(debian: Machine, fairlead: Fairlead) -> None:
    fairlead("trust")
    shown = fairlead("trust", "--remove", "--check")
    assert (shown.status, len(debian.put)) == (2, 1)
    assert "error: --check and --remove cannot be given together\n" in shown.err


def test_in_another_users_home_no_ca_is_made(
    debian: Machine, fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FAIRLEAD_HOME", home.home)
    monkeypatch.setattr(trust.os, "geteuid", lambda: 4321)
    shown = fairlead("trust", "--print")
    assert (shown.status, os.path.exists(home.authority)) == (2, False)
    assert "as that user first" in shown.err


def test_a_failing_update_is_told_with_its_words(debian: Machine, fairlead: Fairlead) -> None:
    debian.program("update-ca-certificates", "#!/bin/sh\necho no room\nexit 3\n")
    shown = fairlead("trust")
    assert shown.status == 1
    assert "no room" in shown.err


def test_an_image_has_it_put_without_anything_being_run(debian: Machine, fairlead: Fairlead, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / KINDS["Fedora"][0]).mkdir(parents=True)
    shown = fairlead("trust", "--root", str(image))
    assert (shown.status, debian.put) == (0, [])
    (file,) = (image / KINDS["Fedora"][0]).iterdir()
    # Of the image, and not of this machine: neither what is said nor what is to be done.
    assert f"  {image}: put into {file}\n" in shown.out
    assert shown.err == "run in it, when it is made or started: update-ca-trust\n"
    checked = fairlead("trust", "--root", str(image), "--check")
    assert (checked.status, checked.err) == (1, "")
    assert f"  {image}: not trusted\n" in checked.out
    assert fairlead("trust", "--root", str(image), "--remove").status == 0
    assert not file.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_machine_is_known_by_its_folders(kind: str, tmp_path: Path) -> None:
    anchors, bundle = KINDS[kind]
    assert machine_store(str(tmp_path)) is None
    (tmp_path / anchors).mkdir(parents=True)
    store = machine_store(str(tmp_path))
    assert store is not None
    assert (store.anchors, store.bundle) == (f"{tmp_path}/{anchors}", f"{tmp_path}/{bundle}")


def test_a_machine_of_an_unknown_kind_is_told(fairlead: Fairlead, tmp_path: Path) -> None:
    shown = fairlead("trust", "--root", str(tmp_path))
    assert shown.status == 1
    assert "no store of CAs that fairlead knows" in shown.out


# browsers

FIREFOX, CHROME = ".mozilla/firefox/abc.default", ".pki/nssdb"


@pytest.fixture
def browsers(debian: Machine) -> Callable[[], list[Path]]:
    """Their databases; those that trust the CA."""
    databases = [debian.database(FIREFOX), debian.database(CHROME)]
    return lambda: [folder for folder in databases if (folder / "ours").exists()]


def test_browsers_are_told_when_certutil_is_there(
    debian: Machine, browsers: Callable[[], list[Path]], fairlead: Fairlead, home: Layout
) -> None:
    debian.program("certutil", CERTUTIL)
    answer = json.loads(fairlead("trust", "--json").out)
    assert [one["trusted"] for one in answer["browsers"]] == [True, True]
    assert [Path(one["database"]) for one in answer["browsers"]] == [debian.home / CHROME, debian.home / FIREFOX]
    assert (browsers()[0] / "ours").read_text() == Path(home.authority, "ca.pem").read_text()
    assert fairlead("trust", "--remove").status == 0
    assert browsers() == []


def test_without_certutil_what_to_install_is_told(
    debian: Machine, browsers: Callable[[], list[Path]], fairlead: Fairlead
) -> None:
    debian.program("apt-get", "#!/bin/sh\n")
    shown = fairlead("trust")
    assert shown.status == 0
    assert "sudo apt install libnss3-tools" in shown.err
    assert browsers() == []


def test_the_browsers_are_those_of_who_typed_sudo(debian: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trust._person() == trust.Person(str(debian.home), None)
    account = pwd.struct_passwd(("ada", "x", 4711, 4712, "", "/home/ada", "/bin/sh"))
    monkeypatch.setattr(trust.pwd, "getpwuid", {4711: account}.__getitem__)
    monkeypatch.setenv("SUDO_UID", "4711")
    assert trust._person() == trust.Person("/home/ada", (4711, 4712))
    monkeypatch.setenv("SUDO_UID", "4799")
    assert trust._person() == trust.Person(str(debian.home), None)


def test_a_user_without_browsers_hears_nothing_of_certutil(debian: Machine, fairlead: Fairlead) -> None:
    assert "Firefox" not in fairlead("trust").err
    assert list(browser_databases(str(debian.home))) == []
