"""A Node project: what its package.json starts, how its packages are installed, and whether it listens on $PORT."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

from fairlead.scaffold.folder import Folder

LOCKS = {
    "package-lock.json": ("npm", "ci"),
    "npm-shrinkwrap.json": ("npm", "ci"),
    "pnpm-lock.yaml": ("pnpm", "install", "--frozen-lockfile"),
    "yarn.lock": ("yarn", "install", "--frozen-lockfile"),
}
_FIXED_PORT = re.compile(r"\.listen\(\s*(?:\{\s*port:\s*)?(\d{2,5})\b")
FRAMEWORKS = ("next", "nuxt", "remix-serve", "astro", "vite", "nest", "@remix-run/serve")
"""Their servers honour PORT without their source saying so."""


@dataclass(frozen=True, slots=True)
class NodeProject:
    """start: for `command:`. build: commands, in order. port: `honoured`, `unknown`, or the number that is fixed."""

    start: tuple[str, ...]
    start_from: str
    build: tuple[tuple[str, ...], ...]
    build_from: str
    port: str
    port_from: str
    has_lock: bool
    has_packages: bool


def node_project(folder: Folder) -> NodeProject | None:
    """None without a package.json that starts something."""
    package = package_json(folder)
    if package is None:
        return None
    scripts = _table(package.get("scripts"))
    start, start_from = _start(folder, package, scripts)
    if not start:
        return None
    build, build_from = _build(folder, package, scripts)
    port, port_from = _port(folder, str(scripts.get("start", "")))
    packages = bool(_table(package.get("dependencies")) or _table(package.get("devDependencies")))
    return NodeProject(start, start_from, build, build_from, port, port_from, any(map(folder.has, LOCKS)), packages)


def package_json(folder: Folder) -> dict[str, Any] | None:
    try:
        package = json.loads(folder.text("package.json"))
    except ValueError:
        return None
    return package if isinstance(package, dict) else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _start(folder: Folder, package: dict[str, Any], scripts: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    script = scripts.get("start")
    if isinstance(script, str) and script.strip():
        words = _plain(script)
        alone = "prestart" not in scripts and "poststart" not in scripts
        if words and words[0] == "node" and alone:
            # npm would stay between: two processes more for each instance, and SIGTERM handed on by a shell.
            return tuple(
                words
            ), "found: what the script `start` of package.json runs; without npm between, which hands on no signal"
        return ("npm", "start"), "found: the script `start` of package.json"
    main = package.get("main")
    for file in (main if isinstance(main, str) else "", "server.js", "index.js", "app.js"):
        file = file.removeprefix("./")
        if file and folder.has(file) and (file == "server.js" or ".listen(" in folder.text(file)):
            return ("node", file), f"found: {file}; package.json has no script `start`"
    return (), ""


def _plain(script: str) -> list[str]:
    """The words of a script that needs no shell, or none."""
    if re.search(r"[|&;<>`$()*?~]", script) or "=" in script.partition(" ")[0]:
        return []
    try:
        return shlex.split(script)
    except ValueError:
        return []


def _build(folder: Folder, package: dict[str, Any], scripts: dict[str, Any]) -> tuple[tuple[tuple[str, ...], ...], str]:
    install: tuple[str, ...] = ()
    found = ""
    for lock, words in LOCKS.items():
        if folder.has(lock):
            install, found = words, f"found: {lock}"
            break
    else:
        if _table(package.get("dependencies")):
            install, found = (
                ("npm", "install", "--no-audit"),
                "assumed: package.json names packages, and there is no lock file",
            )
    commands = [install] if install else []
    if isinstance(scripts.get("build"), str):
        commands.append((install[0] if install else "npm", "run", "build"))
        found = f"{found}; the script `build`" if found else "found: the script `build`"
    return tuple(commands), found


def _port(folder: Folder, script: str) -> tuple[str, str]:
    fixed = ("", "")
    for file in folder.ending_in(".js", ".mjs", ".cjs", ".ts"):
        text = folder.text(file)
        if "process.env.PORT" in text or re.search(r"env\b[^\n]*\bPORT\b", text):
            return "honoured", f"{file} reads PORT"
        if not fixed[0] and (match := _FIXED_PORT.search(text)):
            fixed = (match[1], file)
    if any(name in script.split() for name in FRAMEWORKS):
        return "honoured", "its server reads PORT"
    return fixed if fixed[0] else ("unknown", "")
