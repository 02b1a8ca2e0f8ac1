"""Routes as the source declares them, and from them a path that a health check can ask.

In: parsed modules, or JavaScript as text. Out: paths that take GET and have no parameter, and the likeliest health
path. Prefixes of blueprints and routers are followed where they are literal.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard
from urllib.parse import quote

from fairlead.scaffold.findings import HealthPath
from fairlead.scaffold.folder import Folder
from fairlead.scaffold.python_code import ASIDE, Code, Module, text_of

HEALTH = (
    *("health", "healthz", "healthcheck", "health-check", "health_check", "livez", "live", "liveness", "alive"),
    *("ping", "readyz", "ready", "readiness", "heartbeat", "status", "up"),
)
"""Last parts of a path that mean "I am well", the best first."""

MOST_TRIED = 8
READS = frozenset({"GET", "HEAD"})
_SAFE = "/:@!&'*+,;=~-._"
"""Characters of a path that need no escape in a request, beside letters and digits."""
_PARAMETER = re.compile(r"[<{*:(\[\\^$?+|]")
_JS_ROUTE = re.compile(r"""\.(?:get|all|use|route)\(\s*(['"`])(/[^'"`\s]*)\1""")
_JS_URL = re.compile(r"""\burl\s*===?\s*(['"`])(/[^'"`\s]*)\1""")


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    file: str
    line: int


def health_path(routes: Iterable[Route], fallback: str = "/", why: str = "") -> HealthPath:
    """The path to propose. fallback: for when no route is known, and `why` what is said then."""
    plain = (replace(r, path=quote(r.path, safe=_SAFE)) for r in routes if not _PARAMETER.search(r.path))
    usable = sorted({r.path: r for r in plain}.values(), key=lambda r: r.path.count("/"))
    by_rank = sorted((rank, r.path.count("/"), r.path, r) for r in usable if (rank := _rank(r.path)) is not None)
    well = [route for *_, route in by_rank]
    root = [route for route in usable if route.path == "/"]
    rest = [route for route in usable if route not in well and route not in root]
    ordered = [*well, *root, *rest]
    if not ordered:
        return HealthPath(fallback, why or f"assumed: no route was found; {fallback} must answer 200", found=False)
    first = ordered[0]
    comment = f"found: a route in {first.file}, line {first.line}; it must answer 200 without a login"
    others = tuple(route.path for route in ordered[1:MOST_TRIED])
    return HealthPath(first.path, comment, others if "/" in (first.path, *others) else (*others, "/"))


def _rank(path: str) -> int | None:
    last = path.strip("/").rpartition("/")[2].lower().lstrip("_")
    return HEALTH.index(last) if last in HEALTH else None


# --- Python -----------------------------------------------------------------------------------------------------------


def python_routes(code: Code) -> list[Route]:
    """Of Flask, FastAPI, Starlette and those like them."""
    prefixes = dict(_registered(code))
    own = dict(_own_prefixes(code))
    found = []
    for module in code.modules:
        if ASIDE & set(module.file.split("/")):
            continue
        for owner, path, line in _declared(module):
            registered, replaces = prefixes.get(owner, ("", False))
            before = registered if replaces else f"{registered}{own.get(owner, '')}"
            found.append(Route(_joined(before, path), module.file, line))
    return found


def _joined(before: str, path: str) -> str:
    whole = f"{before.rstrip('/')}/{path.lstrip('/')}" if path or not before else before
    return whole if whole.startswith("/") else f"/{whole}"


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def _keyword(call: ast.Call, name: str) -> ast.AST | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _registered(code: Code) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Routers and where they were put: dotted name -> (prefix, whether it replaces the router's own)."""
    for module in code.modules:
        for call in _calls(module):
            how = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if how not in ("register_blueprint", "include_router") or not call.args:
                continue
            flask = how == "register_blueprint"
            prefix = text_of(_keyword(call, "url_prefix" if flask else "prefix"))
            if prefix:
                yield module.dotted(call.args[0]), (prefix, flask)


def _own_prefixes(code: Code) -> Iterator[tuple[str, str]]:
    for module in code.modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                prefix = text_of(_keyword(node.value, "url_prefix")) or text_of(_keyword(node.value, "prefix"))
                for target in node.targets:
                    if prefix and isinstance(target, ast.Name):
                        yield f"{module.name}.{target.id}", prefix


def _declared(module: Module) -> Iterator[tuple[str, str, int]]:
    """(dotted name of the app or router, path, line) of each route that takes GET."""
    for node in ast.walk(module.tree):
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ():
            if _is_method(decorator, "route", "get", "api_route"):
                yield from _route(module, decorator)
            elif isinstance(decorator, ast.Call) and module.dotted(decorator.func) == "litestar.get":
                yield "", text_of(decorator.args[0]) if decorator.args else "/", decorator.lineno
    for call in _calls(module):
        if _is_method(call, "add_url_rule", "add_api_route", "add_route"):
            yield from _route(module, call)
    yield from _starlette(module, module.tree, "")


def _is_method(node: ast.AST, *names: str) -> TypeGuard[ast.Call]:
    """Whether it calls a method of one of these names, for a route that takes GET."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names and _reads(node)
    )


def _route(module: Module, call: ast.Call) -> Iterator[tuple[str, str, int]]:
    given = call.args[0] if call.args else _keyword(call, "path") or _keyword(call, "rule")
    assert isinstance(call.func, ast.Attribute)
    if (
        isinstance(given, ast.Constant)
        and isinstance(given.value, str)
        and (given.value.startswith("/") or not given.value)
    ):
        yield module.dotted(call.func.value), given.value, call.lineno


def _starlette(module: Module, node: ast.AST, prefix: str) -> Iterator[tuple[str, str, int]]:
    """`Route("/x", ...)`, also inside `Mount("/api", routes=[...])`."""
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.Call) and child.args and (path := text_of(child.args[0])).startswith("/"):
            kind = module.dotted(child.func)
            if kind == "starlette.routing.Route" and _reads(child):
                yield "", _joined(prefix, path), child.lineno
            elif kind == "starlette.routing.Mount":
                inner = _joined(prefix, path)
        yield from _starlette(module, child, inner)


def _reads(call: ast.Call) -> bool:
    methods = _keyword(call, "methods")
    if not isinstance(methods, ast.List | ast.Tuple | ast.Set):
        return True
    return any(text_of(method).upper() in READS for method in methods.elts)


# --- JavaScript -------------------------------------------------------------------------------------------------------


def javascript_routes(folder: Folder) -> list[Route]:
    """Of Express, Fastify, Koa and plain http servers, by their look: JavaScript is not parsed."""
    found = []
    for file in folder.ending_in(".js", ".mjs", ".cjs", ".ts"):
        if ASIDE & set(file.split("/")):
            continue
        for number, line in enumerate(folder.text(file).splitlines(), 1):
            for match in (*_JS_ROUTE.finditer(line), *_JS_URL.finditer(line)):
                found.append(Route(match[2], file, number))
    return found
