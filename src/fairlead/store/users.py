"""The system users behind which a root daemon puts what it runs: `fairlead-lb`, `fairlead-app`, `fairlead-build`,
`fairlead-data`.

In: nothing but the machine's user database. Out: their numbers, and the names that had to be made, so that `up` can
say so. The law: an account that is there is never changed; one of these names that is root's is refused. Called once by
a root daemon as it starts, before its loop serves anybody: the few programs run one after the other, with a deadline.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass

from fairlead.errors import StoreError

LB, APP, BUILD, DATA = "fairlead-lb", "fairlead-app", "fairlead-build", "fairlead-data"

SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Where `useradd` and `nologin` are looked for: root's PATH under sudo or cron often lacks the sbin folders."""

DEADLINE = 20.0
"""Seconds for one `useradd`: it waits for a lock that another package manager may hold."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class SystemUsers:
    """lb: HAProxy's; app: the instances'; build: uv's; data: the databases', whose files no app may read. made: the
    names that were not there before."""

    lb: Account
    app: Account
    build: Account
    data: Account
    made: tuple[str, ...] = ()


def ensure_users(search: str = SYSTEM_PATH) -> SystemUsers:
    """The accounts, made where they are missing. Needs root. StoreError: one cannot be made, and how to do it.

    search: the folders in which `useradd` is looked for, joined by colons.
    """
    made = tuple(name for name in (LB, APP, BUILD, DATA) if ensure_user(name, search))
    return SystemUsers(lb=_account(LB), app=_account(APP), build=_account(BUILD), data=_account(DATA), made=made)


def ensure_user(name: str, search: str = SYSTEM_PATH) -> bool:
    """Make the system user `name` (no login, no home, a group of the same name); False when it was there."""
    if _find(name) is not None:
        return False
    command = _command(name, search)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        said, status = f"{done.stdout}{done.stderr}".strip(), done.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_made(name, command, str(error)) from error
    # Another program may have made it since we looked: what counts is that it is there.
    if _find(name) is None:
        raise _not_made(name, command, f"useradd exited with status {status}", said)
    return True


def _command(name: str, search: str) -> list[str]:
    useradd = shutil.which("useradd", path=search)
    command = [useradd or "useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", shutil.which("nologin", path=SYSTEM_PATH) or "/bin/false"]
    command += ["--gid", name] if _group_exists(name) else ["--user-group"]
    command.append(name)
    if useradd is None:
        raise _not_made(name, command, f"there is no useradd in {search}")
    return command


def _not_made(name: str, command: list[str], why: str, detail: str = "") -> StoreError:
    by_hand = " ".join([os.path.basename(command[0]), *command[1:]])
    return StoreError(
        f"the system user {name} could not be made",
        why,
        f"Make it with your system's tools, as `{by_hand}` would, or run fairlead as an ordinary user.",
        detail=detail,
    )


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _account(name: str) -> Account:
    entry = pwd.getpwnam(name)
    if entry.pw_uid == 0:
        raise StoreError(
            f"the system user {name} is root under another name",
            "it has user number 0, so nothing would be kept apart",
            f"Remove or rename it (`userdel {name}`), then repeat the command.",
        )
    return Account(name, entry.pw_uid, entry.pw_gid)
