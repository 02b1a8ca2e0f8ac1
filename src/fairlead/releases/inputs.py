"""What a source says about its Python dependencies, and whether installing them needs the source itself.

In: the wanted files of a source, by name. Out: `DependencyInputs`, or None when it declares none. The first of uv.lock,
requirements.txt, pyproject.toml counts (local.md 1.2). Every file that the outcome depends on is in it, because an
environment is named by their content: requirements files that others include (`-r`, `-c`), and pyproject.toml beside a
lock. Where a path of the source is installed (`-e .`, `./lib`, a project with a src folder), `local` says so.

Nothing is judged here that uv judges: a file with errors goes to uv as it is.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from fairlead.errors import BuildError

Kind = Literal["uv.lock", "requirements.txt", "pyproject.toml"]

_INCLUDE = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s*=\s*|\s*)(\S.*)")
_LOCAL = re.compile(r"(-e|--editable|-f|--find-links)\b|[./~]|file:|[^#]*@\s*(file:|[./])|[^#:]*\.(whl|tar\.gz|zip)\b")
_REMOTE = re.compile(r"(?:(?:-e|--editable|-f|--find-links)[\s=]*)?(?:\w+\+)?(?:https?|ssh|git)://")
_PINNED = re.compile(r"[\w.\-\[\],]+\s*={2,3}\s*[^*\s,;]+(\s*(;.*|--hash.*))?")


@dataclass(frozen=True, slots=True)
class DependencyInputs:
    """files: (name, content), sorted by name; with `local` false uv needs nothing else of the source.
    project: the source is itself a package to install. exact: the files name one version of each package, so that
    asking the index again cannot change the outcome."""

    kind: Kind
    files: tuple[tuple[str, bytes], ...]
    local: bool = False
    project: bool = False
    exact: bool = False


def dependency_inputs(names: Collection[str], read: Callable[[str], bytes]) -> DependencyInputs | None:
    """names: the wanted files, relative. read gives one's content. BuildError when a requirement leads out of them."""
    pyproject = _toml(read("pyproject.toml")) if "pyproject.toml" in names else {}
    is_package = pyproject is not None and "build-system" in pyproject and any(n.startswith("src/") for n in names)
    settings = _settings(names, read, pyproject)
    if "uv.lock" in names:
        files = settings | {name: read(name) for name in ("pyproject.toml", "uv.lock") if name in names}
        local = is_package or _lock_is_local(files["uv.lock"])
        return DependencyInputs("uv.lock", _sorted(files), local, is_package, exact=True)
    if "requirements.txt" in names:
        files, local, exact = _requirements(names, read)
        return DependencyInputs("requirements.txt", _sorted(settings | files), local, exact=exact)
    if "pyproject.toml" in names and (pyproject is None or "project" in pyproject):
        files = settings | {"pyproject.toml": read("pyproject.toml")}
        local = is_package or (pyproject is not None and _pyproject_is_local(pyproject))
        return DependencyInputs("pyproject.toml", _sorted(files), local, is_package)
    return None


def _sorted(files: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(files.items()))


def _settings(
    names: Collection[str], read: Callable[[str], bytes], pyproject: dict[str, Any] | None
) -> dict[str, bytes]:
    """Files that set how uv works here, its indexes for example."""
    found = {"uv.toml": read("uv.toml")} if "uv.toml" in names else {}
    tool = (pyproject or {}).get("tool")
    if isinstance(tool, dict) and "uv" in tool:
        found["pyproject.toml"] = read("pyproject.toml")
    return found


def _toml(content: bytes) -> dict[str, Any] | None:
    """The document; None when it is not TOML (uv says where)."""
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None


def _lock_is_local(content: bytes) -> bool:
    """Whether it names a folder or file of the source, other than the project itself."""
    lock = _toml(content) or {}
    packages = [p for p in lock.get("package", []) if isinstance(p, dict)]
    sources = [p["source"] for p in packages if isinstance(p.get("source"), dict)]
    return any(s.get(how, ".") != "." for s in sources for how in ("directory", "editable", "path", "virtual"))


def _pyproject_is_local(pyproject: dict[str, Any]) -> bool:
    project = pyproject.get("project")
    if isinstance(project, dict) and "dependencies" in project.get("dynamic", ()):
        return True
    # Any source of uv's own table may be a path or a workspace; a wrong yes costs a build, a wrong no a stale package.
    tool = pyproject.get("tool", {})
    if isinstance(tool, dict) and isinstance(tool.get("uv"), dict) and tool["uv"].get("sources"):
        return True
    requirements = project.get("dependencies", ()) if isinstance(project, dict) else ()
    return any("file:" in str(requirement) for requirement in requirements)


def _requirements(names: Collection[str], read: Callable[[str], bytes]) -> tuple[dict[str, bytes], bool, bool]:
    """(the files, whether they name the source's own, whether each requirement is pinned)."""
    files: dict[str, bytes] = {}
    local, exact, waiting = False, True, ["requirements.txt"]
    while waiting:
        name = waiting.pop()
        if name in files or name not in names:
            continue
        files[name] = read(name)
        for line in _lines(files[name]):
            include = _INCLUDE.fullmatch(line)
            if include:
                if "://" not in include[1]:
                    waiting.append(_inside(posixpath.dirname(name), include[1], name))
                else:
                    exact = False
            elif _LOCAL.match(line) and not _REMOTE.match(line):
                local = True
                _refuse_outside(line, name)
            elif not line.startswith("-"):
                exact = exact and bool(_PINNED.fullmatch(line))
    return files, local, exact


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8-sig", errors="replace").replace("\\\n", " ")
    return [line for line in (re.sub(r"(^|\s)#.*", "", raw).strip() for raw in text.splitlines()) if line]


def _inside(folder: str, name: str, where: str) -> str:
    """`name`, written in a file in `folder`, as a path below the source's root."""
    path = posixpath.normpath(posixpath.join(folder, name.strip("\"'")))
    if path.startswith(("../", "/")) or path == "..":
        raise BuildError(
            f"{where} includes {name}, which lies outside the source",
            "a release holds the source folder and nothing else",
            "move that file into the source, or set `source:` to a folder that holds both",
        )
    return path


def _refuse_outside(line: str, where: str) -> None:
    path = re.sub(r"^(-e|--editable)[\s=]*", "", line)
    if path.startswith("..") and posixpath.normpath(posixpath.join(posixpath.dirname(where), path)).startswith(".."):
        raise BuildError(
            f"{where} requires {path}, which lies outside the source",
            "a release holds the source folder and nothing else",
            "set `source:` to a folder that holds both",
        )
