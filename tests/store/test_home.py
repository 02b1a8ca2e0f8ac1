"""A home's folders have the owner and mode that DESIGN section 8 promises, and one daemon."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

from fairlead.core.layout import Layout, layout_of
from fairlead.errors import HomeBusy, StoreError
from fairlead.store.home import Home, lock_home, open_home
from fairlead.store.users import Account
from tests.needs import need

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def base() -> Iterator[str]:
    """A folder that other users may pass, short enough for sockets."""
    folder = tempfile.mkdtemp(prefix="fl-")
    os.chmod(folder, 0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def layout(base: str) -> Layout:
    return layout_of(f"{base}/home", os.geteuid())


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def accounts() -> dict[str, Account]:
    """The system users; their numbers belong to nobody here, which is enough for owners and modes."""
    names = ("lb", "app", "build", "data")
    return {name: Account(f"fairlead-{name}", 64000 + n, 64000 + n) for n, name in enumerate(names)}


def reopened(layout: Layout, **users: Account) -> Home:
    open_home(layout, **users).close()
    return open_home(layout, **users)


def test_a_plain_users_home_is_that_users_alone(layout: Layout) -> None:
    home = open_home(layout)
    made = [layout.home, *(entry.path for entry in os.scandir(layout.home)), *(e.path for e in os.scandir(layout.run))]
    assert {path.removeprefix(f"{layout.home}") for path in made} == {
        "", "/cache", "/daemon.lock", "/envs", "/logs", "/programs", "/python", "/run", "/run/daemon", "/run/haproxy",
        "/run/i", "/run/r", "/stacks",
    }  # fmt: skip
    assert {path: mode(path) for path in made if os.path.isdir(path) and mode(path) != 0o700} == {}
    assert mode(layout.lock) == 0o600
    assert os.path.isdir(layout.uv_cache)
    home.close()


def test_a_root_daemons_home_lets_instances_pass_and_builds_write(layout: Layout) -> None:
    need(os.geteuid() == 0, "only root can give folders to other users")
    home = reopened(layout, **accounts())
    expected = {
        "": (0o711, 0),
        "run": (0o711, 0),
        "run/i": (0o711, 0),
        "run/r": (0o711, 0),
        "run/daemon": (0o700, 0),
        "run/haproxy": (0o700, 0),
        "logs": (0o700, 0),
        "stacks": (0o711, 0),
        "programs": (0o755, 0),
        "cache": (0o755, 64002),
        "cache/uv": (0o755, 64002),
        "envs": (0o755, 64002),
        "python": (0o755, 64002),
    }
    found = {path: (mode(f"{layout.home}/{path}"), os.stat(f"{layout.home}/{path}").st_uid) for path in expected}
    assert found == expected
    home.close()


def test_folders_whose_mode_was_changed_are_mended(layout: Layout) -> None:
    open_home(layout).close()
    os.chmod(f"{layout.run}/daemon", 0o755)
    os.chmod(layout.home, 0o777)
    open_home(layout).close()
    assert (mode(f"{layout.run}/daemon"), mode(layout.home)) == (0o700, 0o700)


def test_a_folder_full_of_strangers_is_not_given_another_mode(layout: Layout) -> None:
    os.mkdir(layout.home)
    os.chmod(layout.home, 0o1777)
    open(f"{layout.home}/thesis.tex", "w").close()
    with pytest.raises(StoreError, match=r"mode is 1777, .*\(thesis\.tex\)") as caught:
        open_home(layout)
    assert "folder of its own" in caught.value.next_step
    assert (mode(layout.home), os.listdir(layout.home)) == (0o1777, ["thesis.tex"])


def test_folders_above_the_home_are_made(base: str) -> None:
    layout = layout_of(f"{base}/a/b/home", os.geteuid())
    open_home(layout).close()
    assert os.path.isdir(f"{layout.home}/stacks")


def test_a_home_above_which_is_a_file_is_refused_in_words(base: str) -> None:
    open(f"{base}/file", "w").close()
    with pytest.raises(StoreError, match="Not a directory") as caught:
        open_home(layout_of(f"{base}/file/home", os.geteuid()))
    assert "FAIRLEAD_HOME" in caught.value.next_step


def test_a_home_that_cannot_be_written_is_refused_in_words(base: str) -> None:
    """As an ordinary user: root writes everywhere."""
    os.chmod(base, 0o755)
    if os.geteuid() != 0:
        os.chmod(base, 0o555)
    said = as_nobody_if_root(f"{base}/home")
    os.chmod(base, 0o755)
    assert "cannot be used" in said
    assert "Permission denied" in said
    assert "Set FAIRLEAD_HOME to a folder that you may write." in said


def test_another_users_home_is_refused(layout: Layout) -> None:
    need(os.geteuid() == 0, "only root can make a folder of another user")
    os.mkdir(layout.home, 0o700)
    os.chown(layout.home, NOBODY.pw_uid, -1)
    with pytest.raises(StoreError, match="belongs to nobody"):
        open_home(layout)
    assert os.listdir(layout.home) == []


def test_a_home_that_instances_cannot_reach_is_refused_at_once(base: str) -> None:
    need(os.geteuid() == 0, "only root runs instances as another user")
    os.mkdir(f"{base}/shut", 0o700)
    with pytest.raises(StoreError, match=r"fairlead-lb cannot reach .*shut has mode 0700") as caught:
        open_home(layout_of(f"{base}/shut/home", 0), **accounts())
    assert "chmod o+x" in caught.value.next_step


class TestRunFolderInTmp:
    """A home with a long path has its sockets in a short folder where anybody may write."""

    @pytest.fixture
    def layout(self, base: str) -> Iterator[Layout]:
        layout = layout_of(f"{base}/{'long' * 20}", os.geteuid())
        assert layout.run.startswith("/tmp/fairlead-")
        yield layout
        if os.path.islink(layout.run):
            os.unlink(layout.run)
        shutil.rmtree(layout.run, ignore_errors=True)

    def test_is_made_for_its_owner_alone(self, layout: Layout) -> None:
        reopened(layout).close()
        assert (mode(layout.run), mode(f"{layout.run}/daemon")) == (0o700, 0o700)

    def test_is_refused_when_it_is_a_link(self, layout: Layout, base: str) -> None:
        os.mkdir(f"{base}/victim", 0o755)
        os.symlink(f"{base}/victim", layout.run)
        with pytest.raises(StoreError, match=layout.run):
            open_home(layout)
        assert (mode(f"{base}/victim"), os.listdir(f"{base}/victim")) == (0o755, [])

    def test_is_refused_when_it_is_another_users(self, layout: Layout) -> None:
        need(os.geteuid() == 0, "only root can make a folder of another user")
        os.mkdir(layout.run, 0o777)
        os.chown(layout.run, NOBODY.pw_uid, -1)
        with pytest.raises(StoreError, match=f"{layout.run} cannot be used: it belongs to nobody"):
            open_home(layout)
        open_home(layout_of(f"{os.path.dirname(layout.home)}/h", 0)).close()

    def test_is_refused_where_anybody_could_rename_it(self, base: str) -> None:
        os.mkdir(f"{base}/free")
        os.chmod(f"{base}/free", 0o777)
        with pytest.raises(StoreError, match="no safe place for sockets"):
            open_home(Layout(home=f"{base}/home", run=f"{base}/free/run"))


class TestLock:
    def test_a_second_daemon_is_refused_and_told_the_pid_of_the_first(self, layout: Layout) -> None:
        first = open_home(layout)
        with pytest.raises(HomeBusy, match=f"process {os.getpid()}") as caught:
            open_home(layout)
        assert caught.value.exit_status == 3
        first.close()
        open_home(layout).close()

    def test_closing_twice_is_closing_once(self, layout: Layout) -> None:
        home = open_home(layout)
        home.close()
        home.close()
        open_home(layout).close()

    def test_a_refused_second_daemon_does_not_disturb_the_first(self, layout: Layout) -> None:
        first = open_home(layout)
        for _ in range(2):
            with pytest.raises(HomeBusy):
                open_home(layout)
        with open(layout.lock) as lock:
            assert lock.read() == f"{os.getpid()}\n"
        first.close()

    def test_the_death_of_a_daemon_frees_the_home_even_while_what_it_started_lives(self, layout: Layout) -> None:
        script = (
            "import subprocess, sys, time\n"
            "from fairlead.core.layout import Layout\n"
            "from fairlead.store.home import open_home\n"
            "open_home(Layout(sys.argv[1], sys.argv[2]))\n"
            "child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, close_fds=False)\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        daemon = subprocess.Popen(
            [sys.executable, "-c", script, layout.home, layout.run], stdout=subprocess.PIPE, text=True
        )
        assert daemon.stdout is not None
        instance = int(daemon.stdout.readline())
        try:
            with pytest.raises(HomeBusy, match=f"process {daemon.pid}"):
                open_home(layout)
            daemon.kill()
            daemon.wait(10)
            open_home(layout).close()
        finally:
            os.kill(instance, signal.SIGKILL)
            daemon.kill()
            daemon.wait(10)
            daemon.stdout.close()


def test_the_build_user_cannot_have_a_folder_given_to_it_by_a_link_in_its_cache(layout: Layout) -> None:
    need(os.geteuid() == 0, "only root gives folders to other users")
    build = accounts()["build"]
    open_home(layout, build=build).close()
    of_root = f"{os.path.dirname(layout.home)}/of root"
    os.mkdir(of_root, 0o700)
    os.rmdir(layout.uv_cache)
    os.symlink(of_root, layout.uv_cache)
    with pytest.raises(StoreError, match="cache/uv"):
        open_home(layout, build=build)
    assert (os.stat(of_root).st_uid, mode(of_root)) == (0, 0o700)


def as_nobody_if_root(home: str) -> str:
    """What `open_home` says to an ordinary user."""
    child = os.fork()
    with_words = f"{os.path.dirname(home)}-said"
    if child == 0:
        said = ""
        try:
            with open(with_words, "w") as file:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(NOBODY.pw_gid)
                    os.setuid(NOBODY.pw_uid)
                try:
                    open_home(layout_of(home, os.geteuid()))
                except StoreError as error:
                    said = f"{error.sentence}\n{error.next_step}"
                file.write(said)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with open(with_words) as file:
        said = file.read()
    os.unlink(with_words)
    return said


def test_a_daemon_that_takes_over_waits_for_the_lock(layout: Layout) -> None:
    first = open_home(layout)
    threading.Timer(0.3, first.close).start()
    began = time.monotonic()
    second = open_home(layout, patience=60)
    assert time.monotonic() - began > 0.2
    assert second.in_place
    second.close()


def test_its_patience_ends(layout: Layout) -> None:
    first = open_home(layout)
    with pytest.raises(HomeBusy):
        open_home(layout, patience=0.1)
    first.close()


def test_a_daemon_sees_that_its_home_was_moved_or_deleted(layout: Layout) -> None:
    home = open_home(layout)
    assert home.in_place
    os.rename(layout.home, f"{layout.home}-moved")
    assert not home.in_place
    open_home(layout).close()
    assert not home.in_place, "another home in the same place is not this one"
    shutil.rmtree(layout.home)
    os.rename(f"{layout.home}-moved", layout.home)
    assert home.in_place
    home.close()
    assert not home.in_place


def test_the_lock_of_a_full_disk_is_held_without_its_number(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    open_home(layout).close()

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        home = open_home(layout)
    with pytest.raises(HomeBusy, match="has not said its process number"):
        open_home(layout)
    home.close()


def test_another_users_home_is_never_proposed_for_removal(layout: Layout) -> None:
    need(os.geteuid() == 0, "only root can give folders to other users")
    open_home(layout).close()
    os.chown(layout.home, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(StoreError, match="belongs to nobody, and this is root") as caught:
        open_home(layout)
    assert caught.value.next_step.startswith("Run the command as that user")


def test_lock_home_touches_nothing_but_the_lock(layout: Layout) -> None:
    os.makedirs(layout.home)
    home = lock_home(layout)
    assert os.listdir(layout.home) == ["daemon.lock"]
    with pytest.raises(HomeBusy):
        lock_home(layout)
    home.close()
