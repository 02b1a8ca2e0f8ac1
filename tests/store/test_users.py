"""A root daemon's system users are made once, never changed, and their absence is said in words."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from fairlead.errors import StoreError
from fairlead.store.users import SYSTEM_PATH, ensure_user, ensure_users
from tests.needs import need

MISSING = "fairlead-test-none"


def a_useradd(folder: Path, script: str) -> str:
    """A folder with a `useradd` that does what `script` says and makes nobody."""
    program = folder / "useradd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(folder)


def test_a_user_that_is_there_is_left_alone(tmp_path: Path) -> None:
    trap = a_useradd(tmp_path, f"touch {tmp_path}/called")
    assert ensure_user("root", trap) is False
    assert not (tmp_path / "called").exists()


def test_a_machine_without_useradd_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"system user {MISSING} could not be made: there is no useradd") as caught:
        ensure_user(MISSING, str(tmp_path))
    assert "useradd --system --no-create-home" in caught.value.next_step
    assert "as an ordinary user" in caught.value.next_step


def test_a_useradd_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="exited with status 10") as caught:
        ensure_user(MISSING, a_useradd(tmp_path, "echo 'cannot lock /etc/passwd' >&2; exit 10"))
    assert caught.value.detail == "cannot lock /etc/passwd"


def test_a_useradd_that_makes_nobody_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be made"):
        ensure_user(MISSING, a_useradd(tmp_path, "exit 0"))


def test_a_useradd_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.store.users.DEADLINE", 0.2)
    with pytest.raises(StoreError, match="timed out"):
        ensure_user(MISSING, a_useradd(tmp_path, "exec sleep 30"))


def test_what_useradd_is_asked_for_is_a_user_that_cannot_log_in(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        ensure_user(MISSING, a_useradd(tmp_path, f'echo "$@" > {tmp_path}/asked'))
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["--system", "--no-create-home", "--home-dir", "/nonexistent"]
    assert asked[4] == "--shell"
    assert os.path.basename(asked[5]) in ("nologin", "false")
    assert asked[6:] == ["--user-group", MISSING]


@pytest.mark.live
def test_root_gets_users_of_its_own_and_they_are_made_once() -> None:
    need(os.geteuid() == 0, "only root can make users")
    need(shutil.which("useradd", path=SYSTEM_PATH), "useradd is not installed")
    before = {entry.pw_name for entry in pwd.getpwall()}
    first, second = ensure_users(), ensure_users()
    assert set(first.made) == {"fairlead-lb", "fairlead-app", "fairlead-build", "fairlead-data"} - before
    assert second.made == ()
    assert len({first.lb.uid, first.app.uid, first.build.uid, first.data.uid, 0}) == 5
    assert len({first.lb.gid, first.app.gid, first.build.gid, first.data.gid, 0}) == 5
    assert (first.lb, first.app, first.build, first.data) == (second.lb, second.app, second.build, second.data)
