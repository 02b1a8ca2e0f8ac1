"""Python source read as syntax trees: the app objects and factories it makes, and the variables it wants.

In: a folder. Out: `Code`, with the modules that could be parsed, and those that could not. Names are followed through
imports and assignments, no further: what only shows when the code runs is left to `fairlead up`, which runs it. A
module's name counts from the folder that must be on the path for it (the source itself, or `src`, or another that holds
no package).
"""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from fairlead.scaffold.folder import Folder

FRAMEWORKS = {
    "flask.Flask": "Flask",
    "apiflask.APIFlask": "APIFlask",
    "flask_openapi3.OpenAPI": "Flask",
    "connexion.FlaskApp": "Connexion",
    "connexion.AsyncApp": "Connexion",
    "quart.Quart": "Quart",
    "fastapi.FastAPI": "FastAPI",
    "fastapi.applications.FastAPI": "FastAPI",
    "starlette.applications.Starlette": "Starlette",
    "litestar.Litestar": "Litestar",
    "falcon.App": "Falcon",
    "falcon.API": "Falcon",
    "falcon.asgi.App": "Falcon",
    "bottle.Bottle": "Bottle",
    "sanic.Sanic": "Sanic",
    "blacksheep.Application": "BlackSheep",
    "django.core.wsgi.get_wsgi_application": "Django",
    "django.core.asgi.get_asgi_application": "Django",
}
OWN_SERVER = {"aiohttp.web.Application": "aiohttp", "tornado.web.Application": "Tornado", "robyn.Robyn": "Robyn"}
"""Apps that bring their own server: they need `command:`."""

NAMES = ("app", "application", "api", "asgi", "wsgi", "asgi_app", "wsgi_app", "server")
MODULES = ("app", "main", "wsgi", "asgi", "application", "server", "api", "web", "run", "__init__")
PLAIN: dict[tuple[object, ...], str] = {
    (ast.FunctionDef, "environ", "start_response"): "WSGI",
    (ast.AsyncFunctionDef, "scope", "receive", "send"): "ASGI",
}
"""Functions that are an app by themselves, without a framework, by how they are defined and what they take."""

ASIDE = frozenset({"tests", "test", "examples", "example", "docs", "doc", "scripts", "migrations", "benchmarks"})
"""Folders whose apps are not the one to serve."""

GIVEN = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "PORT", "SOCKET", "PWD", "USER", "TERM", "CI", "DJANGO_SETTINGS_MODULE", "HOSTNAME"}
)
"""Variables that instances have, or that say nothing about configuration."""


@dataclass(frozen=True, slots=True)
class Found:
    """An app that can be served. target: for `app:`. on_path: the folder that must be on the path; "": the source."""

    target: str
    framework: str
    file: str
    line: int
    factory: bool = False
    on_path: str = ""


_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\(\))?", re.ASCII)


class Module:
    """One parsed file."""

    def __init__(self, file: str, name: str, on_path: str, tree: ast.Module) -> None:
        self.file, self.name, self.on_path, self.tree = file, name, on_path, tree

    @functools.cached_property
    def imports(self) -> dict[str, str]:
        """What each imported name stands for: `Flask` -> `flask.Flask`."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                base = self.base_of(node)
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}" if base else alias.name
        return found

    def base_of(self, node: ast.ImportFrom) -> str:
        """The module that `from X import ...` names, relative ones made absolute."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        if not self.file.endswith("/__init__.py") and self.file != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])

    def dotted(self, node: ast.AST) -> str:
        """`a.b.c` for a name or attribute, its first part followed through imports; "" for anything else. A name of
        this module itself gets the module's name before it."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self.imports.get(node.id, f"{self.name}.{node.id}")
        return ".".join([first, *reversed(parts)])

    def statements(self) -> Iterator[ast.stmt]:
        """What runs when it is imported, with what stands in `if` and `try`; not `if __name__ == "__main__"`."""
        waiting: list[ast.stmt] = list(reversed(self.tree.body))
        while waiting:
            statement = waiting.pop()
            yield statement
            inner: list[ast.stmt] = []
            if isinstance(statement, ast.If) and "__name__" not in ast.dump(statement.test):
                inner = [*statement.body, *statement.orelse]
            elif isinstance(statement, ast.Try):
                inner = [*statement.body, *statement.orelse, *statement.finalbody]
            elif isinstance(statement, ast.With):
                inner = statement.body
            waiting.extend(reversed(inner))

    @functools.cached_property
    def classes(self) -> dict[str, str]:
        """Its own subclasses of app classes: dotted name -> framework."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if self.dotted(base) in FRAMEWORKS:
                        found[f"{self.name}.{node.name}"] = FRAMEWORKS[self.dotted(base)]
        return found


class Code:
    """All Python of a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        parsed = [(file, _parsed(folder.text(file))) for file in folder.ending_in(".py")]
        self.broken = [(file, problem) for file, problem in parsed if isinstance(problem, str)]
        """Files that are no valid Python, each with why."""
        trees = [(file, tree) for file, tree in parsed if isinstance(tree, ast.Module)]
        self._tops = {top for _, tree in trees for top in _imported_tops(tree)}
        self.modules = [self._module(file, tree) for file, tree in trees]

    def _module(self, file: str, tree: ast.Module) -> Module:
        parts = file.removesuffix(".py").split("/")
        first = len(parts) - 1
        # A folder belongs to the name when it is a package, or when somebody imports by it.
        while first and (self._folder.has("/".join([*parts[:first], "__init__.py"])) or parts[first - 1] in self._tops):
            first -= 1
        name = ".".join(parts[first:] if parts[-1] != "__init__" or first == len(parts) - 1 else parts[first:-1])
        return Module(file, name, "/".join(parts[:first]), tree)

    @functools.cached_property
    def _factories(self) -> dict[str, tuple[str, ast.FunctionDef, Module]]:
        """Functions that make an app: dotted name -> (framework, function, module)."""
        found = {}
        for module in self.modules:
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef) and (framework := self._made_by(module, node)):
                    found[f"{module.name}.{node.name}"] = (framework, node, module)
        return found

    def _made_by(self, module: Module, function: ast.FunctionDef) -> str:
        if function.returns is not None and (framework := FRAMEWORKS.get(module.dotted(function.returns))):
            return framework
        made: dict[str, str] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                framework = self._constructed(module, node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if framework and isinstance(target, ast.Name):
                        made[target.id] = framework
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                named = made.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
                framework = named or self._constructed(module, node.value)
                if framework:
                    return framework
        return ""

    def _constructed(self, module: Module, value: ast.AST) -> str:
        """The framework whose app this expression makes, or ""."""
        if not isinstance(value, ast.Call):
            return ""
        name = module.dotted(value.func)
        own = next((m.classes[name] for m in self.modules if name in m.classes), "")
        return FRAMEWORKS.get(name, "") or own

    @functools.cached_property
    def apps(self) -> list[Found]:
        """Everything that could be served, the likeliest first."""
        return [app for app in self._all_apps if _TARGET.fullmatch(app.target)]

    @property
    def unnameable(self) -> list[Found]:
        """Apps in files whose names no import can write, such as `my-app.py`."""
        return [app for app in self._all_apps if not _TARGET.fullmatch(app.target)]

    @functools.cached_property
    def _all_apps(self) -> list[Found]:
        found: list[Found] = []
        for module in self.modules:
            found += _plain_apps(module)
            named: dict[str, Found] = {}
            for node in module.statements():
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    framework = self._constructed(module, node.value) or self._from_factory(module, node.value)
                    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                        if framework and isinstance(target, ast.Name):
                            at = (module.file, node.lineno)
                            named[target.id] = Found(
                                f"{module.name}:{target.id}", framework, *at, on_path=module.on_path
                            )
            found += named.values()
        for framework, function, module in self._factories.values():
            if _takes_nothing(function):
                at = (module.file, function.lineno)
                found.append(
                    Found(f"{module.name}:{function.name}()", framework, *at, factory=True, on_path=module.on_path)
                )
        return sorted((app for app in found if not ASIDE & set(app.file.split("/"))), key=_rank)

    def _from_factory(self, module: Module, value: ast.AST) -> str:
        if not isinstance(value, ast.Call):
            return ""
        name = module.dotted(value.func)
        made = self._factories.get(name)
        if made is None:
            # `from shop import create_app`, where shop/__init__.py has it from elsewhere.
            last = name.rpartition(".")[2]
            made = next((f for n, f in self._factories.items() if name in self._reexported(last, n)), None)
        return made[0] if made else ""

    def _reexported(self, last: str, name: str) -> list[str]:
        return [f"{m.name}.{last}" for m in self.modules if m.imports.get(last) == name]

    @functools.cached_property
    def own_servers(self) -> list[str]:
        """Frameworks that bring their own server and are used here."""
        names = {
            module.dotted(node.func)
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call)
        }
        return sorted(OWN_SERVER[name] for name in names & OWN_SERVER.keys())

    @functools.cached_property
    def variables(self) -> dict[str, bool]:
        """Names of the environment that the source reads, by name: whether it fails without (`os.environ["NAME"]`)."""
        found: dict[str, bool] = {}
        for module in self.modules:
            if ASIDE & set(module.file.split("/")):
                continue
            for node in ast.walk(module.tree):
                for name, needed in _variable(module, node):
                    if name not in GIVEN and not name.startswith(("FAIRLEAD_", "PYTHON")):
                        found[name] = found.get(name, False) or needed
        return dict(sorted(found.items()))

    def top_imports(self) -> set[str]:
        return self._tops

    def module(self, name: str) -> Module | None:
        return next((module for module in self.modules if module.name == name), None)


def constant(module: Module | None, name: str) -> ast.AST | None:
    """What a module assigns to `name` last, or None."""
    found = None
    for node in module.statements() if module else ():
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            found = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            found = node.value or found
    return found


def text_of(node: ast.AST | None) -> str:
    """The text of a literal, or ""."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _parsed(text: str) -> ast.Module | str:
    """The tree, or why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except SyntaxError as problem:
            return f"line {problem.lineno}: {problem.msg}"
        except (ValueError, RecursionError, MemoryError) as problem:
            return str(problem) or type(problem).__name__


def _plain_apps(module: Module) -> Iterator[Found]:
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in NAMES:
            framework = PLAIN.get((type(node), *(given.arg for given in node.args.args)))
            if framework:
                target = f"{module.name}:{node.name}"
                yield Found(target, framework, module.file, node.lineno, on_path=module.on_path)


def _imported_tops(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _takes_nothing(function: ast.FunctionDef) -> bool:
    given = function.args
    needed = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    return needed <= 0 and all(default is not None for default in given.kw_defaults)


def _variable(module: Module, node: ast.AST) -> Iterator[tuple[str, bool]]:
    name, needed = "", False
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and module.dotted(node.value) == "os.environ":
        name, needed = text_of(node.slice), True
    elif isinstance(node, ast.Call) and node.args and module.dotted(node.func) in ("os.environ.get", "os.getenv"):
        name = text_of(node.args[0])
    if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        yield name, needed


def _rank(app: Found) -> tuple[object, ...]:
    module, _, attribute = app.target.partition(":")
    last = module.rpartition(".")[2]
    return (
        app.factory,
        NAMES.index(attribute) if attribute in NAMES else len(NAMES),
        app.file.count("/"),
        MODULES.index(last) if last in MODULES else len(MODULES),
        app.file,
    )
