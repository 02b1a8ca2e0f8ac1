"""What will bite at the first `fairlead up`, or on the first day, seen in the folder before it does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator

from fairlead.errors import FairleadError
from fairlead.releases.source import survey
from fairlead.scaffold.django import Project
from fairlead.scaffold.folder import Folder
from fairlead.scaffold.node import NodeProject, package_json
from fairlead.scaffold.python_code import Code

BUILT = frozenset({"dist", "build", "static", "staticfiles", "public", "assets", "out", ".next", "_site", "bundles"})
"""Folders that hold what a build makes, when .gitignore leaves them out."""

DECLARING = ("uv.lock", "requirements.txt", "pyproject.toml")
UNREAD = ("Pipfile", "environment.yml", "setup.py", "requirements/base.txt", "requirements.in")
NO_FRAMEWORK = ("", "WSGI", "ASGI")
_SQLITE_URL = re.compile(r"sqlite(?:\+\w+)?:///(?!/|:memory:)([\w./-]+)")
_SQLITE_FILE = re.compile(r"\.(sqlite3?|db)$")


def python_traps(folder: Folder, code: Code, framework: str, django: Project | None, source: str) -> Iterator[str]:
    """source: the folder that `source:` names, "" for the whole."""
    yield from _requirements(folder, framework, f"{source}/" if source else "")
    yield from _sqlite(folder, code, django)
    if django is not None:
        yield from _of_django(django)
    scripts = (package_json(folder) or {}).get("scripts")
    if isinstance(scripts, dict) and "build" in scripts:
        yield (
            "package.json has a script `build`: if the app serves what it makes, add `npm ci` and `npm run build` to "
            "`build:`"
        )


def _requirements(folder: Folder, framework: str, below: str) -> Iterator[str]:
    wanted = "" if framework in NO_FRAMEWORK else framework.lower()
    for name in DECLARING:
        if not folder.has(f"{below}{name}"):
            continue
        text = folder.text(f"{below}{name}")
        if name == "pyproject.toml" and "project" not in (_toml(text) or {"project": {}}):
            if "[tool.poetry]" in text:
                yield (
                    "pyproject.toml lists its packages under [tool.poetry], which uv does not read: move them to "
                    "[project], or write requirements.txt"
                )
            continue
        elsewhere = re.search(r"(^|\s)(-r|-c|-e|\.)\s", text)
        if wanted and not elsewhere and not re.search(rf"\b{re.escape(wanted)}\b", text, re.IGNORECASE):
            yield f"{below}{name} does not name {wanted}, which the app imports: a release gets only what it names"
        return
    other = next((name for name in UNREAD if folder.has(f"{below}{name}")), "")
    yield (
        f"there is no {below}requirements.txt, uv.lock, or pyproject.toml with [project]"
        f"{f' ({other} is not read)' if other else ''}: a release would have no packages"
        f"{f', not even {wanted}' if wanted else ''}"
    )


def missing_variables(code: Code, given: Collection[str]) -> Iterator[str]:
    """given: variables that the file names."""
    needed = [name for name, must in code.variables.items() if must and name not in given]
    if needed:
        yield (
            f"the source fails without {', '.join(needed)}: give {'it' if len(needed) == 1 else 'them'} under "
            "`environment:` (with a value, or from .env and your own environment, as the comment there shows)"
        )


def _toml(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _sqlite(folder: Folder, code: Code, django: Project | None) -> Iterator[str]:
    where = "it lies in the source, and a release is a read-only copy of that: keep it elsewhere, at an absolute path"
    if django is not None and django.sqlite:
        yield f"the SQLite database of the settings is below BASE_DIR: {where}"
        return
    for module in code.modules:
        match = _SQLITE_URL.search(folder.text(module.file))
        if match:
            yield f"{module.file} opens the SQLite file {match[1]}: {where}"
            return
    for name in folder.files:
        if _SQLITE_FILE.search(name):
            yield f"{name} looks like an SQLite database: {where}, if the app writes to it"
            return


def _of_django(project: Project) -> Iterator[str]:
    if project.collects_static and not project.has_whitenoise:
        yield "fairlead serves no static files by itself: add WhiteNoise to MIDDLEWARE, or serve STATIC_ROOT elsewhere"
    if project.media_inside:
        yield "MEDIA_ROOT is below BASE_DIR, and a release is read-only: for uploads set it to an absolute path outside"
    if project.redirects_to_https:
        yield "SECURE_SSL_REDIRECT answers the health check with 301: exempt its path with SECURE_REDIRECT_EXEMPT"
    if not project.open_to_any_host and not project.hosts:
        yield "ALLOWED_HOSTS is not a literal list: it must hold `localhost`, or what `health_check: {host: NAME}` says"


def node_traps(project: NodeProject) -> Iterator[str]:
    if project.has_packages and not project.has_lock:
        yield "there is no lock file: each build may get other versions; run `npm install` and keep package-lock.json"
    if project.port.isdigit():
        yield (
            f"{project.port_from} listens on {project.port} whatever PORT says, so fairlead cannot reach it there: "
            "use process.env.PORT"
        )
    elif project.port == "unknown":
        yield "nothing was seen that reads PORT: the program must listen on the port that this variable names"


def common_traps(folder: Folder, builds: bool) -> Iterator[str]:
    """builds: whether something is run that makes what .gitignore leaves out."""
    try:
        found = survey(folder.root)
    except FairleadError:
        return
    built = [name for name in found.ignored if name in BUILT]
    if built and not builds:
        them = "it" if len(built) == 1 else "them"
        yield (
            f".gitignore leaves out {', '.join(built)}, so a release does not have {them}: name the command that makes "
            f"{them} under `build:`"
        )
    if ".env" in found.paths:
        yield ".env would be copied into every release: name it in .gitignore (`fairlead up` reads it all the same)"
