"""What .gitignore leaves out, without git: the rules of a folder, of those above it in the repository, and below.

In: folders as the walk of `source.py` enters them. Out: whether a path is ignored. The law is git's own (gitignore(5)):
the deepest file that has an opinion decides, within a file the last line that matches, and a folder once ignored is not
entered. `info/exclude` of the repository counts; a user's global excludes do not, because a release must not depend on
who builds it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file of patterns. Paths are asked relative to the file's folder: `cut` characters off, or `prefix` before."""

    spec: GitIgnoreSpec
    prefix: str = ""
    cut: int = 0


class IgnoreRules:
    """The files of patterns that apply in one folder of the source, the deepest last."""

    def __init__(self, layers: tuple[_Layer, ...] = ()) -> None:
        self._layers = layers

    def entered(self, root: str, folder: str) -> IgnoreRules:
        """These and the rules that `folder` (relative to root, "" for root itself) adds."""
        spec = _read(os.path.join(root, folder, IGNORE_FILE))
        if spec is None:
            return self
        return IgnoreRules((*self._layers, _Layer(spec, cut=len(folder) + 1 if folder else 0)))

    def ignores(self, path: str) -> bool:
        """Whether `path`, relative to the source's root and ending in `/` when it is a folder, is left out."""
        for layer in reversed(self._layers):
            include = layer.spec.check_file(layer.prefix + path[layer.cut :]).include
            if include is not None:
                return include
        return False


def repository_above(root: str) -> str | None:
    """The folder of the git repository that `root` (absolute) lies in, or None."""
    folder = root
    while True:
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def rules_above(root: str, repository: str | None) -> IgnoreRules:
    """The rules of the repository's folders above `root`, and its `info/exclude`.

    None of them apply when they leave out `root` itself: whoever names an ignored folder as a source wants it.
    """
    if repository is None:
        return IgnoreRules()
    layers = []
    inside = os.path.relpath(root, repository)
    parts = [] if inside == "." else inside.split(os.sep)
    exclude = _read(os.path.join(repository, ".git", "info", "exclude"))
    if exclude:
        layers.append(_Layer(exclude, prefix="".join(f"{part}/" for part in parts)))
    for depth in range(len(parts)):
        spec = _read(os.path.join(repository, *parts[:depth], IGNORE_FILE))
        if spec:
            layers.append(_Layer(spec, prefix="".join(f"{part}/" for part in parts[depth:])))
    rules = IgnoreRules(tuple(layers))
    return IgnoreRules() if parts and rules.ignores("") else rules


def _read(path: str) -> GitIgnoreSpec | None:
    """The patterns of a file; None when there is none. A line that is no pattern is passed over, as git does."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = file.read().removeprefix("\ufeff").split("\n")
    except OSError:
        return None
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
