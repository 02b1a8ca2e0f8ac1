"""A project's folder, read within bounds: which files it has, and their text. Nothing of it is ever run.

Left out are what no project's own code lies in: hidden folders, virtual environments, node_modules, caches. The bounds
keep `fairlead init` quick in a folder that turns out to be a whole disk.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

MOST_FILES = 3000
MOST_BYTES = 1_000_000
DEEPEST = 6
NEVER = frozenset(
    {"node_modules", "__pycache__", "site-packages", "dist-packages", "venv", "env", "vendor", "bower_components"}
)


class Folder:
    """root: absolute. Names are relative to it, with `/`."""

    def __init__(self, root: str) -> None:
        self.root = root

    @functools.cached_property
    def files(self) -> tuple[str, ...]:
        """The project's files, the shallow ones first, by name."""
        found = []
        for name in self._walk("", 0):
            found.append(name)
            if len(found) == MOST_FILES:
                break
        return tuple(sorted(found, key=lambda name: (name.count("/"), name)))

    def _walk(self, folder: str, depth: int) -> Iterator[str]:
        try:
            entries = sorted(
                os.scandir(os.path.join(self.root, folder)), key=lambda entry: (not entry.is_file(), entry.name)
            )
        except OSError:
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_file():
                yield name
            elif entry.is_dir(follow_symlinks=False) and depth < DEEPEST and not self._is_foreign(entry):
                yield from self._walk(name, depth + 1)

    def _is_foreign(self, entry: os.DirEntry[str]) -> bool:
        return entry.name in NEVER or entry.name.startswith(".") or os.path.exists(f"{entry.path}/pyvenv.cfg")

    def has(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.root, name))

    def text(self, name: str) -> str:
        """Its text, or "" when it is not there, too big, or cannot be read."""
        path = os.path.join(self.root, name)
        try:
            if os.path.getsize(path) > MOST_BYTES:
                return ""
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def ending_in(self, *endings: str) -> tuple[str, ...]:
        return tuple(name for name in self.files if name.endswith(endings))
