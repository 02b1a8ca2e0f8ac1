"""A service's source folder, read for a release: which files are wanted, their hash, and their copy.

In: a folder. Out of `survey`: the wanted paths (what git would keep; `.gitignore` is honoured with and without git)
and the top-level folders that were left out. Out of `read_tree`: the hashes of what was read and, when asked, a copy
of exactly that. One pass does both, so a file that is edited meanwhile cannot make a copy that differs from its hash;
`build.py` reads until two passes agree, so that a copy holds no mixture of before and after an edit either.

The laws: `.git`, `__pycache__`, virtual environments, the stack's own file (an edit of it alone is no new release),
what `fairlead data backup` left there and fairlead's home are never copied; a symlink is copied as a link and may not
lead out of the source; what is no file (socket, pipe, device) is left out and named. Folders without a wanted file do
not exist, as in git. Names need not be UTF-8. Times and owners count for nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairlead.aiokit.programs import run
from fairlead.core.fingerprint import tree_hash
from fairlead.core.resources.backups import is_backup
from fairlead.errors import BuildError, FairleadError
from fairlead.releases.ignore import IgnoreRules, repository_above, rules_above

NEVER = frozenset({".git", "__pycache__"})
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
"""The file that makes a folder a virtual environment; a release gets its own."""

EXECUTABLE = 0o111
CHUNK = 1 << 20
GIT_PATIENCE = 10.0
"""Seconds for `git ls-files`; it takes milliseconds."""

GIT_OUTPUT = 1 << 28
"""Bytes of its output that are kept: names of some millions of files."""


Entry = tuple[bytes, bytes, bytes]
"""(relative path, mark, sha256 of the content), as `tree_hash` takes them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass over a source read. hash: of all of it. entries: each file and link, by path."""

    hash: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source folder holds.

    paths: the wanted files and links, relative, in byte order.
    ignored: the top-level folders that .gitignore left out.
    skipped: what is neither file, folder nor link.
    """

    root: str
    paths: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


async def tracked_paths(root: str, git: str | None, env: Mapping[str, str], *, as_root: bool) -> tuple[str, ...]:
    """What git tracks below `root`, or () when there is no repository or no usable git.

    Tracked files are wanted even where .gitignore names them. as_root: git refuses another user's repository to root,
    rightly, as its configuration can name programs; so it runs as the repository's owner.
    """
    repository = repository_above(root)
    if repository is None or git is None:
        return ()
    owner = os.stat(repository)
    user = (owner.st_uid, owner.st_gid) if as_root and owner.st_uid else None
    argv = (git, "-c", "core.fsmonitor=false", "ls-files", "-z")
    # Not the whole environment: GIT_DIR and its like, set inside a hook, would name another repository.
    clean = {name: env[name] for name in ("PATH", "HOME") if name in env}
    try:
        done = await run(argv, cwd=root, env=clean, timeout=GIT_PATIENCE, user=user, keep=GIT_OUTPUT)
    except FairleadError:
        return ()
    return tuple(os.fsdecode(name) for name in done.stdout.split(b"\0")[:-1]) if done.ok else ()


def survey(root: str, tracked: Iterable[str] = (), never: tuple[str, ...] = ()) -> Survey:
    """Walk `root` (absolute). `never`: absolute paths to leave out. BuildError when a folder cannot be read."""
    walk = _Walk(root, never)
    walk.enter("", rules_above(root, repository_above(root)))
    for path in tracked:
        walk.want_tracked(path)
    paths = tuple(sorted(walk.paths, key=os.fsencode))
    return Survey(root, paths, tuple(sorted(walk.ignored)), tuple(sorted(walk.skipped)))


class _Walk:
    def __init__(self, root: str, never: tuple[str, ...]) -> None:
        self._root = root
        self._never = {_identity(path) for path in never if os.path.exists(path)}
        self._never_files = {os.path.basename(path) for path in never if os.path.isfile(path)}
        self.paths: set[str] = set()
        self.ignored: list[str] = []
        self.skipped: list[str] = []

    def enter(self, folder: str, rules: IgnoreRules) -> None:
        rules = rules.entered(self._root, folder)
        try:
            entries = list(os.scandir(os.path.join(self._root, folder)))
        except OSError as problem:
            if folder and isinstance(problem, FileNotFoundError):
                return  # it went while we walked: the next reading tells
            raise BuildError(f"cannot read the folder {problem.filename}", problem.strerror or "") from problem
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name in NEVER:
                continue
            if entry.is_dir(follow_symlinks=False):
                self._folder(path, entry.path, rules)
            elif not rules.ignores(path) and not self._is_never_file(entry.path):
                if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    self.paths.add(path)
                else:
                    self.skipped.append(path)

    def _folder(self, path: str, absolute: str, rules: IgnoreRules) -> None:
        if self._unwanted(absolute):
            return
        if not rules.ignores(f"{path}/"):
            self.enter(path, rules)
        elif "/" not in path:
            self.ignored.append(path)

    def _unwanted(self, folder: str) -> bool:
        """Whether it is a virtual environment, or one of those never to be copied (by identity: paths may be links)."""
        if os.path.lexists(os.path.join(folder, VIRTUAL_ENVIRONMENT)):
            return True
        return bool(self._never) and os.path.isdir(folder) and _identity(folder) in self._never

    def _is_never_file(self, path: str) -> bool:
        # The name is asked first: it is free, and there may be thousands of files.
        name = os.path.basename(path)
        return is_backup(name) or (
            name in self._never_files and os.path.isfile(path) and _identity(path) in self._never
        )

    def want_tracked(self, path: str) -> None:
        """Add a path that git tracks, unless it is gone, never wanted, or lies behind what is now a link."""
        absolute = os.path.join(self._root, path)
        parents = path.split("/")[:-1]
        folders = [os.path.join(self._root, *parents[: depth + 1]) for depth in range(len(parents))]
        if path in self.paths or NEVER & set(path.split("/")):
            return
        if any(os.path.islink(folder) or self._unwanted(folder) for folder in folders):
            return
        if self._is_never_file(absolute):
            return
        if os.path.islink(absolute) or os.path.isfile(absolute):
            self.paths.add(path)


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def read_tree(root: str, paths: Iterable[str], copy_to: str | None = None) -> Reading:
    """What `paths` below `root` hold; with `copy_to` (an absent folder), what was read is written there.

    A file that vanished since the survey is left out. Copies are not writable. BuildError for a link that leads out of
    the source, and for what cannot be read or written.
    """
    if copy_to is not None:
        os.mkdir(copy_to, 0o755)
    real_root = os.path.realpath(root)
    entries: list[Entry] = []
    for path in paths:
        source = os.path.join(root, path)
        target = None if copy_to is None else os.path.join(copy_to, path)
        try:
            if target is not None:
                os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            if os.path.islink(source):
                mark, digest = b"link", _read_link(path, source, real_root, target)
            else:
                mark, digest = _read_file(source, target)
        except FileNotFoundError:
            continue
        except OSError as problem:
            raise BuildError(f"cannot copy {printable(path)}", problem.strerror or str(problem)) from problem
        entries.append((os.fsencode(path), mark, digest))
    return Reading(tree_hash(entries), tuple(sorted(entries)))


def _read_link(path: str, source: str, real_root: str, target: str | None) -> bytes:
    text = os.readlink(source)
    # Resolved, not only read: a link may lead out through another link.
    reached = os.path.realpath(source)
    if os.path.isabs(text) or not f"{reached}/".startswith(f"{real_root.rstrip('/')}/"):
        raise BuildError(
            f"the link {printable(path)} leads out of the source",
            f"it points to {printable(text)}, which a copy of the folder would not hold",
            "replace it by what it points to, or name it in .gitignore",
        )
    if target is not None:
        os.symlink(text, target)
    return hashlib.sha256(os.fsencode(text)).digest()


def _read_file(source: str, target: str | None) -> tuple[bytes, bytes]:
    """(executable bits, sha256 of the content); copies what it hashes."""
    digest = hashlib.sha256()
    # NOFOLLOW and NONBLOCK: what was a file at the survey may have become a link or a pipe.
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(reader).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "it is no longer a file")
        executable = mode & EXECUTABLE
        writer = None
        if target is not None:
            writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while chunk := os.read(reader, CHUNK):
                digest.update(chunk)
                if writer is not None:
                    _write_all(writer, chunk)
            if writer is not None:
                os.fchmod(writer, 0o444 | executable)
        finally:
            if writer is not None:
                os.close(writer)
    finally:
        os.close(reader)
    return f"{executable:o}".encode(), digest.digest()


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def changed_paths(before: Iterable[Entry], after: Iterable[Entry]) -> list[str]:
    """The paths whose entry differs, is new or is gone, in byte order."""
    paths = {entry[0] for entry in set(before) ^ set(after)}
    return [os.fsdecode(path) for path in sorted(paths)]


def some_of(paths: list[str], most: int = 3) -> str:
    """`a.py, b.py, c.py and 4 more`."""
    shown = ", ".join(map(printable, paths[:most]))
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown


def printable(path: str) -> str:
    """A name for a message: undecodable bytes and control characters escaped."""
    if path.isprintable():
        return path
    return os.fsencode(path).decode(errors="backslashreplace").encode("unicode_escape").decode()
