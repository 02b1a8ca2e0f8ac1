"""`fairlead trust`: make this machine, and the user's browsers, trust the home's development CA; or no longer.

What is written and where is `certificates.machine`'s; programs are started here, by argument lists, with a deadline. As
root it is done; as a plain user the command that does it is printed, for `sudo` to be typed by whoever may.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from fairlead.cli import output
from fairlead.cli.options import home_option, json_option
from fairlead.cli.session import Session
from fairlead.errors import FairleadError, UsageError

if TYPE_CHECKING:
    from fairlead.certificates.authority import Authority
    from fairlead.certificates.machine import MachineStore

PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PATIENCE = 120.0
"""Seconds for one program: to make a bundle anew takes some seconds on a small machine."""

TOOLS = (("apt-get", "apt install libnss3-tools"), ("dnf", "dnf install nss-tools"), ("pacman", "pacman -S nss"),
         ("zypper", "zypper install mozilla-nss-tools"), ("apk", "apk add nss-tools"))  # fmt: skip
"""Which package has `certutil`, by the package manager that is there."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose browsers are meant: who runs the command, also by `sudo`."""

    home: str
    user: tuple[int, int] | None
    """To be become by what root starts for them."""


@dataclass(slots=True)
class Findings:
    """What was found or done. machine: whether programs of this machine trust it; None: there is no store known."""

    authority: Authority
    fingerprint: str = ""
    machine: bool | None = None
    store: str = ""
    command: str = ""
    """To be run by root, for the machine's store; "": nothing is left to be done there."""
    browsers: dict[str, bool] = field(default_factory=dict)
    install: str = ""
    """What to install so that browsers can be told; "": they can, or there are none."""

    def to_json(self) -> dict[str, Any]:
        return {
            "ca": self.authority.certificate,
            "fingerprint": self.fingerprint,
            "trusted": bool(self.machine),
            "machine": {"store": self.store, "trusted": self.machine, "command": self.command},
            "browsers": [{"database": folder, "trusted": trusted} for folder, trusted in self.browsers.items()],
            "install": self.install,
        }


@click.command("trust", short_help="Trust the CA of `certificates: local`.")
@click.option("--remove", is_flag=True, help="Trust it no longer.")
@click.option("--check", is_flag=True, help="Only tell whether it is trusted.")
@click.option("--print", is_flag=True, help="Print the CA's certificate (PEM) and do nothing else.")
@click.option("--path", is_flag=True, help="Print where its certificate lies and do nothing else.")
@click.option("--root", metavar="FOLDER", default="/", show_default=True, help="For a machine's image: put it into the "
              "store below FOLDER, and run nothing.")  # fmt: skip
@json_option
@home_option
@click.pass_obj
def command(session: Session, /, root: str, as_json: bool, **acts: bool) -> int:
    """Make this machine and your browsers trust the development CA of the home, which issues what listeners with
    `certificates: local` show. It is made when it is first needed, for this home alone; its key stays in it.

    Run by root it puts the CA into the machine's store. Otherwise it prints the command that does. Your browsers
    (Firefox, Chrome, Chromium) have stores of their own, and are told with `certutil` when it is installed.

    Programs that bring their own list of CAs do not see either: give them the file that --path prints.

    \b
    Examples:
      fairlead trust
      fairlead trust --check
      fairlead trust --remove
      fairlead trust --print > ca.pem
      curl --cacert "$(fairlead trust --path)" https://localhost:8443

    \b
    Exit status:
      0    the machine trusts it; (--remove) it does not
      1    it does not, and what has to be done is printed; (--remove) it still does
    """
    from fairlead.certificates.authority import Authority

    act = _only(acts)
    authority = Authority(session.layout.authority)
    if act in ("check", "remove") and not os.path.exists(authority.certificate):
        return _none_yet(authority, act, as_json)
    pem = _certificate(session, authority)
    if act == "print":
        output.data(pem.rstrip("\n"))
        return 0
    if act == "path":
        output.data(authority.certificate)
        return 0
    found = _act(authority, pem, act or "install", os.path.abspath(root))
    if as_json:
        output.json(found.to_json())
    elif os.path.abspath(root) != "/":
        _show_image(found, act or "install", os.path.abspath(root))
    else:
        _show(found, act or "install")
    return 0 if bool(found.machine) is (act != "remove") or _is_image(root, found, act) else 1


def _only(acts: dict[str, bool]) -> str | None:
    """The option that says what is to be done, if one does."""
    given = sorted(name for name, is_given in acts.items() if is_given)
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} cannot be given together", "", "fairlead trust --help")
    return given[0] if given else None


def _none_yet(authority: Authority, act: str, as_json: bool) -> int:
    if as_json:
        output.json(Findings(authority).to_json())
    else:
        output.note(f"there is no development CA in {output.cell(authority.folder)} yet")
    return 0 if act == "remove" else 1


def _certificate(session: Session, authority: Authority) -> str:
    """The CA's certificate, made if need be by the home's owner. CertificateError; UsageError: it is another's home."""
    if not os.path.exists(authority.certificate):
        home = session.home
        os.makedirs(home, mode=0o700, exist_ok=True)
        owner = os.stat(home).st_uid
        if owner != os.geteuid():
            raise UsageError(
                f"no development CA is made in {home}", f"the home belongs to user {owner}",
                "Run `fairlead trust` as that user first.",
            )  # fmt: skip
        authority.ensure()
    authority.check_key()
    return authority.pem()


def _act(authority: Authority, pem: str, act: str, root: str) -> Findings:
    from fairlead.certificates.machine import fingerprint, machine_store

    found, store = Findings(authority, fingerprint(pem)), machine_store(root)
    if store is not None:
        found.store = store.file(pem)
        if root != "/":
            _into_image(store, pem, act, found)
        else:
            _into_machine(store, authority, pem, act, found)
    if root == "/":
        _into_browsers(pem, act, found)
    return found


def _into_image(store: MachineStore, pem: str, act: str, found: Findings) -> None:
    if act == "install":
        store.install(pem)
    elif act == "remove":
        store.remove(pem)
    found.machine = store.trusts(pem)
    if found.machine is not (act != "remove"):
        found.command = store.update


def _into_machine(store: MachineStore, authority: Authority, pem: str, act: str, found: Findings) -> None:
    trusted = store.trusts(pem)
    done = not (trusted or store.holds(pem)) if act == "remove" else trusted
    link = _link(store, pem)
    if act != "check" and not done and os.geteuid() == 0:
        (store.remove if act == "remove" else store.install)(pem)
        if act == "remove" and link:
            os.unlink(link)
        _run([_program(store.update)])
        trusted = store.trusts(pem)
        done = trusted is (act != "remove")
    found.machine = trusted
    if not done:
        file, update = output.word(store.file(pem)), f"sudo {store.update}"
        put = f"sudo install -m 644 {output.word(authority.certificate)} {file} && {update}"
        away = f"sudo rm -f {file}{f' {output.word(link)}' if link else ''} && {update}"
        found.command = away if act == "remove" else put


def _link(store: MachineStore, pem: str) -> str:
    """What Debian's program makes of an anchor beside the bundle, and leaves behind, leading nowhere, when that is
    gone; "" when there is none."""
    stem = os.path.splitext(os.path.basename(store.file(pem)))[0]
    path = f"{os.path.dirname(store.bundle)}/{stem}.pem"
    return path if os.path.islink(path) else ""


def _into_browsers(pem: str, act: str, found: Findings) -> None:
    from fairlead.certificates.machine import browser_databases

    person = _person()
    databases = list(browser_databases(person.home))
    certutil = shutil.which("certutil", path=PROGRAMS)
    if databases and certutil is None:
        found.install = next(
            (package for manager, package in TOOLS if shutil.which(manager, path=PROGRAMS)), "certutil"
        )
        return
    for folder in databases:
        assert certutil is not None
        name, database = f"fairlead development CA {found.fingerprint[:12]}", ["-d", f"sql:{folder}"]
        has = [certutil, "-L", *database, "-n", name]
        if act == "install":
            _run([certutil, "-A", *database, "-n", name, "-t", "C,,"], pem, person, check=False)
        elif act == "remove" and _run(has, "", person, check=False):
            _run([certutil, "-D", *database, "-n", name], "", person, check=False)
        found.browsers[folder] = _run(has, "", person, check=False)


def _person() -> Person:
    """Who typed the command: `sudo` says for whom it works."""
    uid = int(os.environ["SUDO_UID"]) if os.environ.get("SUDO_UID", "").isdigit() else 0
    if os.geteuid() == 0 and uid:
        try:
            account = pwd.getpwuid(uid)
        except KeyError:
            return Person(os.path.expanduser("~"), None)
        return Person(account.pw_dir, (account.pw_uid, account.pw_gid))
    return Person(os.path.expanduser("~"), None)


def _program(name: str) -> str:
    path = shutil.which(name, path=PROGRAMS)
    if path is None:
        raise FairleadError(f"{name} is not there", "it takes over what is put into the machine's store",
                            "Install the package ca-certificates.")  # fmt: skip
    return path


def _run(words: Sequence[str], text: str = "", person: Person | None = None, *, check: bool = True) -> bool:
    """Whether it ended well. check: FairleadError with its own words when not."""
    become: dict[str, Any] = {}
    if person is not None and person.user is not None:
        become = {"user": person.user[0], "group": person.user[1], "extra_groups": []}
    home = person.home if person else os.path.expanduser("~")
    try:
        finished = subprocess.run(
            words, input=text, encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE, env={"PATH": PROGRAMS, "HOME": home}, cwd="/", check=False, **become,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise FairleadError(f"{words[0]} cannot be run", str(error)) from error
    if check and finished.returncode != 0:
        raise FairleadError(f"{words[0]} failed", f"status {finished.returncode}", detail=finished.stdout[-2000:])
    return finished.returncode == 0


def _is_image(root: str, found: Findings, act: str | None) -> bool:
    """Of an image it is done when the file is put: its own start, or its maker, takes it over."""
    return os.path.abspath(root) != "/" and act != "check" and bool(found.store)


def _show_image(found: Findings, act: str, root: str) -> None:
    """Of a machine that is not this one: what lies in it, and what has to be run there."""
    _show_authority(found)
    where = output.cell(root)
    if found.machine is None:
        output.data(f"  {where}: it has no store of CAs that fairlead knows")
    elif found.command and act == "install":
        output.data(f"  {where}: put into {output.cell(found.store)}")
    else:
        output.data(f"  {where}: {'trusted' if found.machine else 'not trusted'}")
    if found.command and act != "check":
        output.note(f"run in it, when it is made or started: {output.cell(found.command)}")


def _show_authority(found: Findings) -> None:
    output.data(f"development CA {output.cell(found.authority.certificate)}")
    output.data(f"  SHA-256 {found.fingerprint}")


def _show(found: Findings, act: str) -> None:
    _show_authority(found)
    if found.machine is None:
        output.data("  this machine has no store of CAs that fairlead knows: give programs that file")
    else:
        output.data(f"  this machine: {'trusted' if found.machine else 'not trusted'}")
    for folder, trusted in found.browsers.items():
        output.data(f"  {output.cell(folder)}: {'trusted' if trusted else 'not trusted'}")
    if found.command:
        output.note(f"run: {found.command}")
    if found.install:
        output.note(f"Firefox, Chrome and Chromium have stores of their own: sudo {found.install}, and run this again")
    if act == "install":
        output.next_commands("fairlead trust --check" if found.command else "fairlead check", "fairlead up")
