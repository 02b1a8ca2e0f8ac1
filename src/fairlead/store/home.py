"""The home's folders, with owner and mode, and the lock that makes two daemons on one home impossible.

In: a `Layout` and, when the daemon is root, the system users. Out: a `Home`, whose lock is held until it is closed or
the daemon dies. The law: what nobody else needs is ours alone (0700); what instances, the balancer and builds must
reach is passable to others (0711, or 0755 to be read) and writable only by its owner; a folder that is another user's,
or that holds strangers' things and would need another mode, is refused and left as it is. Called once by the daemon as
it starts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import stat
import time
from dataclasses import dataclass

from fairlead.core.layout import Layout
from fairlead.errors import HomeBusy, StoreError
from fairlead.store.users import Account

PRIVATE, PASSABLE, READABLE = 0o700, 0o711, 0o755

_FOLDERS = ("ca", "cache", "envs", "logs", "lost+found", "programs", "python", "run", "stacks")
_FILES = (
    "daemon.lock",
    "fairlead.db",
    "local-last-port",
    "reserve",
    "resources-last-port",
    "secret.key",
    "secret.key.new",
)
"""What a home may hold (and `lost+found`, on a disk of its own), and whatever begins with the name of a database."""

_DATABASES = ("fairlead.db", "metrics.db")

LOCK_PACE = 0.02
"""Seconds between two looks at a lock that another daemon is about to let go of."""


@dataclass(slots=True)
class Home:
    """An opened home. The accounts are None for what runs as the daemon's own user."""

    layout: Layout
    lb: Account | None
    app: Account | None
    build: Account | None
    data: Account | None
    _lock: int | None

    @property
    def in_place(self) -> bool:
        """Whether the home is still where it was opened: it may have been moved or deleted under its daemon."""
        if self._lock is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._lock), os.stat(self.layout.lock))
        except OSError:
            return False

    def close(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._lock is not None:
            # A pid that stays behind would be believed.
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def open_home(
    layout: Layout,
    *,
    lb: Account | None = None,
    app: Account | None = None,
    build: Account | None = None,
    data: Account | None = None,
    patience: float = 0.0,
) -> Home:
    """Make the folders of `layout`, or mend them, and take the daemon's lock.

    lb, app, build, data: given by a root daemon; the home is then passable to others, and `build` owns the caches.
    patience: seconds in which another daemon may let go of the lock, for one that takes over from it.
    HomeBusy: another daemon holds the lock; names its pid. StoreError: the home cannot be made, written or reached.
    """
    shared = any((lb, app, build, data))
    try:
        _make_parents(layout.home, shared)
        _make_home(layout.home, PASSABLE if shared else PRIVATE)
        lock = _take_lock(layout, patience)
        try:
            _make_folders(layout, shared, build)
            for account in (lb, app, build, data):
                if account:
                    _check_reach(layout, account)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise _unusable(layout.home, error) from error
    return Home(layout, lb, app, build, data, lock)


def lock_home(layout: Layout) -> Home:
    """Take the lock of a home that is there, and touch nothing else in it: for work that no daemon may see half done.
    HomeBusy, StoreError."""
    try:
        return Home(layout, None, None, None, None, _take_lock(layout, 0.0))
    except OSError as error:
        raise _unusable(layout.home, error) from error


def _make_parents(home: str, shared: bool) -> None:
    """The folders above the home that are missing; those that are there are left alone."""
    missing, parent = [], os.path.dirname(home)
    while not os.path.isdir(parent) and parent != os.path.dirname(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for folder in reversed(missing):
        _make(folder, READABLE if shared else PRIVATE)


def _make_home(home: str, mode: int) -> None:
    if not os.path.isdir(home):
        _make(home, mode)
        return
    found = os.stat(home)
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"the home {home} cannot be used",
            f"it belongs to {_user(found.st_uid)}, and this is {_user(os.geteuid())}",
            "Run the command as that user, or set FAIRLEAD_HOME to a folder of your own.",
        )
    if found.st_mode & mode == mode and not found.st_mode & 0o022:
        return
    names = {name for name in os.listdir(home) if not name.startswith(_DATABASES)}
    strangers = sorted(names - {*_FOLDERS, *_FILES})
    if strangers:
        raise StoreError(
            f"{home} cannot be a home",
            f"its mode is {stat.S_IMODE(found.st_mode):04o}, and it holds what is not fairlead's ({strangers[0]})",
            "Set FAIRLEAD_HOME to a folder of its own.",
        )
    os.chmod(home, mode)


def _make_folders(layout: Layout, shared: bool, build: Account | None) -> None:
    passable, readable = (PASSABLE, READABLE) if shared else (PRIVATE, PRIVATE)
    in_home = layout.run.startswith(f"{layout.home}/")
    if not in_home:
        _check_sticky(os.path.dirname(layout.run))
    # In /tmp anybody may have put a link there first; inside the home only we can.
    _make(layout.run, passable, follow=in_home)
    _make(f"{layout.run}/daemon", PRIVATE)
    _make(layout.balancer_folder, PRIVATE)
    _make(f"{layout.run}/i", passable)
    _make(f"{layout.run}/r", passable)
    _make(os.path.dirname(layout.daemon_log), PRIVATE)
    _make(layout.programs, readable)
    _make(os.path.dirname(layout.stack("any")), passable)
    for folder in (os.path.dirname(layout.uv_cache), layout.uv_cache, layout.environments, layout.servers):
        # Beside them only we can put a link, but not in the cache: that is the build user's, who must not be given
        # whatever a link there leads to.
        _make(folder, readable, owner=build, follow=os.path.dirname(folder) == layout.home)


def _make(path: str, mode: int, owner: Account | None = None, *, follow: bool = True) -> None:
    """A folder of exactly that mode and owner (None: us). One that belongs to somebody else is refused."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, PRIVATE)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    folder = os.open(path, flags)
    try:
        found, us = os.fstat(folder), os.geteuid()
        _check_owner(path, found, us, *([owner.uid] if owner else []))
        if owner and (found.st_uid, found.st_gid) != (owner.uid, owner.gid):
            os.fchown(folder, owner.uid, owner.gid)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(folder, mode)
    finally:
        os.close(folder)


def _take_lock(layout: Layout, patience: float) -> int:
    """Hold the lock file, with our pid in it. The kernel lets go of it when we die, however that happens."""
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    try:
        while not _locked(lock):
            if time.monotonic() >= deadline:
                holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
                raise HomeBusy(
                    f"another daemon holds the home {layout.home}",
                    f"it is process {holder}" if holder else "it has not said its process number yet",
                    "Use that one, or end it with `fairlead down --all`, which stops what it runs too.",
                )
            time.sleep(LOCK_PACE)
        os.ftruncate(lock, 0)
        try:
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            # The number is a courtesy. On a full disk a daemon must start, to heal.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
    except BaseException:
        os.close(lock)
        raise
    return lock


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_owner(path: str, found: os.stat_result, *allowed: int) -> None:
    if found.st_uid not in allowed:
        raise StoreError(
            f"{path} cannot be used",
            f"it belongs to {_user(found.st_uid)}, and this is {_user(os.geteuid())}",
            "Remove it, or set FAIRLEAD_HOME to a folder of your own.",
        )


def _check_sticky(parent: str) -> None:
    mode = os.stat(parent).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StoreError(
            f"{parent} is no safe place for sockets",
            f"its mode is {stat.S_IMODE(mode):04o}: anybody may rename what lies in it",
            f"Run `chmod +t {parent}` as its owner, or set FAIRLEAD_HOME to a shorter path.",
        )


def _check_reach(layout: Layout, account: Account) -> None:
    """Instances and databases run as other users: a folder above the home that lets nobody pass would make all of them
    fail."""
    for start in (layout.home, layout.run):
        folder = os.path.realpath(start)
        while folder != os.path.dirname(folder):
            found = os.stat(folder)
            # The kernel asks the first class that fits, and only that one.
            owner, group = found.st_uid == account.uid, found.st_gid == account.gid
            bit = stat.S_IXUSR if owner else stat.S_IXGRP if group else stat.S_IXOTH
            if not found.st_mode & bit:
                raise StoreError(
                    f"{account.name} cannot reach {start}",
                    f"{folder} has mode {stat.S_IMODE(found.st_mode):04o}",
                    f"Set FAIRLEAD_HOME to a folder elsewhere, or run `chmod o+x {folder}`.",
                )
            folder = os.path.dirname(folder)


def _unusable(home: str, error: OSError) -> StoreError:
    next_step = "Set FAIRLEAD_HOME to a folder that you may write."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        next_step = "Make room on its disk."
    elif error.errno == errno.EROFS:
        next_step = "Mount its file system writable again, or set FAIRLEAD_HOME to a folder elsewhere."
    return StoreError(f"the home {home} cannot be used", f"{error.filename or home}: {error.strerror}", next_step)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
