"""A Django project: its settings read as syntax, and from them the app, the build, the migration and a health path.

In: a folder with manage.py. Out: `Project`. Settings are literals and simple expressions in most projects; what is
computed is not guessed at. `from .base import *` is followed, so that settings in a package are read whole.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from fairlead.scaffold.folder import Folder
from fairlead.scaffold.python_code import Code, Module, constant, text_of
from fairlead.scaffold.routes import Route

SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
DEEPEST = 6
"""Settings or urls that lead to others."""


@dataclass(frozen=True, slots=True)
class Project:
    """settings: the module's name. on_path: the folder of manage.py, "" for the source itself."""

    settings: str
    target: str
    target_from: str
    on_path: str
    collects_static: bool
    has_whitenoise: bool
    sqlite: bool
    media_inside: bool
    hosts: tuple[str, ...]
    """Of ALLOWED_HOSTS, those that can be sent as they are."""
    open_to_any_host: bool
    redirects_to_https: bool
    routes: tuple[Route, ...]


def django_project(folder: Folder, code: Code) -> Project | None:
    """The project whose manage.py lies nearest, or None."""
    for file in folder.ending_in("manage.py"):
        match = SETTINGS.search(folder.text(file))
        if file.rpartition("/")[2] == "manage.py" and match:
            return _project(code, match[1], file.rpartition("/")[0])
    return None


def _project(code: Code, settings: str, on_path: str) -> Project:
    read = _Settings(code, settings)
    debug = read.value("DEBUG")
    hosts = _texts(read.value("ALLOWED_HOSTS"))
    target, target_from = _target(code, read, settings)
    database = ast.dump(read.value("DATABASES") or ast.Constant(None))
    secure = read.value("SECURE_SSL_REDIRECT")
    return Project(
        settings=settings,
        target=target,
        target_from=target_from,
        on_path=on_path,
        collects_static=read.value("STATIC_ROOT") is not None,
        has_whitenoise=any("whitenoise" in entry.lower() for entry in _texts(read.value("MIDDLEWARE"))),
        sqlite="sqlite3" in database and "BASE_DIR" in database,
        media_inside="BASE_DIR" in ast.dump(read.value("MEDIA_ROOT") or ast.Constant(None)),
        hosts=tuple(host.lstrip(".") for host in hosts if host not in ("*", "localhost", "127.0.0.1", "[::1]")),
        open_to_any_host="*" in hosts or "localhost" in hosts or (not hosts and _is_true(debug)),
        redirects_to_https=_is_true(secure),
        routes=tuple(_urls(code, text_of(read.value("ROOT_URLCONF")), "", 0)),
    )


def _is_true(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _texts(node: ast.AST | None) -> list[str]:
    return [text for item in node.elts if (text := text_of(item))] if isinstance(node, ast.List | ast.Tuple) else []


class _Settings:
    """The constants of a settings module, and of those it takes everything from."""

    def __init__(self, code: Code, name: str) -> None:
        self._chain: list[Module] = []
        self._follow(code, name, 0)

    def _follow(self, code: Code, name: str, depth: int) -> None:
        module = code.module(name)
        if module is None or depth > DEEPEST or module in self._chain:
            return
        self._chain.append(module)
        for node in module.statements():
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                self._follow(code, module.base_of(node), depth + 1)

    def value(self, name: str) -> ast.AST | None:
        for module in self._chain:
            found = constant(module, name)
            if found is not None:
                return found
        return None


def _target(code: Code, read: _Settings, settings: str) -> tuple[str, str]:
    for name in ("ASGI_APPLICATION", "WSGI_APPLICATION"):
        dotted = text_of(read.value(name))
        if "." in dotted:
            module, _, attribute = dotted.rpartition(".")
            return f"{module}:{attribute}", f"found: {name} in {settings}"
    for app in code.apps:
        if app.framework == "Django":
            return app.target, f"found: {app.file}, line {app.line}"
    package = settings.partition(".")[0]
    return f"{package}.wsgi:application", "assumed: neither WSGI_APPLICATION nor a wsgi.py was found"


def _urls(code: Code, name: str, prefix: str, depth: int) -> list[Route]:
    """The routes of a urls module, those it includes with them."""
    module = code.module(name)
    if module is None or depth > DEEPEST:
        return []
    found: list[Route] = []
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and len(node.args) > 1):
        kind = module.dotted(call.func).rpartition(".")[2]
        if kind not in ("path", "re_path", "url"):
            continue
        route = text_of(call.args[0])
        if kind != "path":
            route = route.removeprefix("^").removesuffix("$")
        whole = f"{prefix}{route}"
        inner = call.args[1]
        if isinstance(inner, ast.Call) and module.dotted(inner.func).rpartition(".")[2] == "include":
            if inner.args:
                found += _urls(code, text_of(inner.args[0]), whole, depth + 1)
        elif module.dotted(inner) == "django.contrib.admin.site.urls":
            found.append(Route(f"/{whole}login/", module.file, call.lineno))
        else:
            found.append(Route(f"/{whole}", module.file, call.lineno))
    return found
