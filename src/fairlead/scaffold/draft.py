"""From a folder to a draft of its fairlead.yaml: which kind of project it is, and what each kind comes to.

In: a folder, perhaps a command. Out: `Draft`. The order: a command that is given; a Procfile, whose author said what
runs; Django; another Python app; Node. UsageError when there is none of them.
"""

from __future__ import annotations

import os
import re
import shlex

from fairlead.errors import UsageError
from fairlead.scaffold.django import Project, django_project
from fairlead.scaffold.findings import Draft, HealthPath, Key, ServiceDraft
from fairlead.scaffold.folder import Folder
from fairlead.scaffold.node import NodeProject, node_project, package_json
from fairlead.scaffold.procfile import processes
from fairlead.scaffold.python_code import Code, Found
from fairlead.scaffold.routes import health_path, javascript_routes, python_routes
from fairlead.scaffold.traps import common_traps, missing_variables, node_traps, python_traps
from fairlead.scaffold.words import words_of

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
INSTANCES = Key("instances", 2, "assumed: two, so that one can fail or be replaced without a gap")
MIGRATE = ("python", "manage.py", "migrate", "--no-input")
MOST_VARIABLES = 20
MOST_UNREAD = 5
LOOKED_FOR = (
    "a Procfile; manage.py (Django); an app object of Flask, FastAPI, Starlette, Quart, Litestar, Falcon, Bottle, "
    "Sanic or Connexion, a factory of one, or a plain WSGI or ASGI function, in a .py file; package.json with a script "
    "`start`"
)


def draft_of(root: str, name: str | None = None, command: str | None = None) -> Draft:
    """root: the folder, absolute. name: of the stack, else the folder's. command: what to run, else what is found."""
    folder = Folder(root)
    code = Code(folder)
    stack = _stack_name(root, name)
    if command is not None:
        return _from_command(stack, folder, code, command)
    started = processes(folder.text("Procfile")) if folder.has("Procfile") else {}
    if started:
        try:
            return _from_procfile(stack, folder, code, started)
        except UsageError as problem:
            hint = problem.next_step or "Correct the Procfile, or say what to run with --command."
            raise UsageError(f"the Procfile cannot be used: {problem.what}", problem.why, hint) from problem
    django = django_project(folder, code)
    if django is not None:
        return _from_django(stack, folder, code, django)
    if code.apps:
        return _from_python(stack, folder, code)
    node = node_project(folder)
    if node is not None:
        return _from_node(stack, folder, code, node)
    raise _nothing(folder, code)


def _stack_name(root: str, name: str | None) -> str:
    if name is not None:
        if not NAME.fullmatch(name):
            why = "a name begins with a small letter and goes on with small letters, digits and hyphens, 32 at most"
            raise UsageError(f"{name!r} cannot name a stack", why)
        return name
    return _named(os.path.basename(root), "app")


def _named(text: str, otherwise: str) -> str:
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")[:32].strip("-")
    return made or otherwise


def _nothing(folder: Folder, code: Code) -> UsageError:
    below = sorted(
        {os.path.dirname(n) for n in folder.files if n.endswith(("/package.json", "/manage.py", "/Procfile"))}
    )
    if code.own_servers:
        why = f"the source uses {code.own_servers[0]}, which brings its own server"
        return UsageError(why, "", "fairlead init --command 'python main.py', for a program that listens on $PORT")
    unread = [f"{file} is no valid Python ({problem})" for file, problem in code.broken]
    unread += [f"the app in {app.file} cannot be imported by that name, so rename the file" for app in code.unnameable]
    say = "fairlead init --command './serve --port $PORT'"
    if below:
        down = shlex.quote(os.path.join(folder.root, below[0]))
        say = f"fairlead init {down}, one folder down, or say what to run: {say}"
    return UsageError(
        f"nothing to serve was found in {folder.root}",
        f"looked for {LOOKED_FOR}",
        say,
        detail="\n".join(unread[:MOST_UNREAD]),
    )


# --- a command, a Procfile --------------------------------------------------------------------------------------------


def _from_command(stack: str, folder: Folder, code: Code, command: str) -> Draft:
    words = words_of(command, serves=True)
    listens = "" if words.names_port else "; it must listen on $PORT, on loopback"
    comment = "; ".join((f"given with --command{listens}", *words.notes))
    keys = [Key("command", words.argv, comment), *_environment(code, words.variables), INSTANCES]
    service = ServiceDraft("web", tuple(keys), _health(folder, code), summary="the given command")
    return Draft(stack, (service,), (*missing_variables(code, words.variables), *common_traps(folder, False)))


def _health(folder: Folder, code: Code) -> HealthPath:
    django = django_project(folder, code)
    return health_path((*(django.routes if django else python_routes(code)), *javascript_routes(folder)))


def _from_procfile(stack: str, folder: Folder, code: Code, started: dict[str, str]) -> Draft:
    services: list[ServiceDraft] = []
    warnings: list[str] = []
    release = words_of(started["release"], serves=False).argv if "release" in started else None
    node = node_project(folder)
    django = django_project(folder, code)
    python = bool(code.modules) and node is None
    for process, text in started.items():
        if process == "release":
            continue
        serves = process == "web"
        words = words_of(text, serves=serves)
        keys = [Key("command", words.argv, "; ".join((f"found: `{process}` of the Procfile", *words.notes)))]
        if not serves:
            keys.append(Key("port", "none", "it serves no requests: healthy means running"))
        if node and node.build:
            keys.append(Key("build", node.build, node.build_from))
        elif python and django and django.collects_static and serves:
            keys.append(_collectstatic(django))
        if serves and release:
            keys.append(Key("before_traffic", release, "found: `release` of the Procfile; run once per release"))
        keys += _environment(code, words.variables)
        keys.append(INSTANCES if serves else Key("instances", 1, "assumed"))
        name = _named(process, "worker")
        host = django.hosts[0] if serves and django and django.hosts and not django.open_to_any_host else ""
        health = _health(folder, code) if serves else None
        services.append(ServiceDraft(name, tuple(keys), health, host, f"`{process}` of the Procfile"))
        if serves and not words.names_port:
            warnings.append(f"`{process}` of the Procfile does not name $PORT: it must listen there, on loopback")
    if release and "web" not in started:
        warnings.append("`release` of the Procfile has no `web` to go before, and was left out")
    if python:
        framework = "Django" if django else code.apps[0].framework if code.apps else ""
        environments = [key.value for service in services if (key := service.key("environment"))]
        given = {name for value in environments if isinstance(value, dict) for name in value}
        warnings += missing_variables(code, given)
        warnings += python_traps(folder, code, framework, django, "")
    warnings += common_traps(folder, bool(node and node.build))
    return Draft(stack, tuple(services), tuple(warnings))


# --- Python -----------------------------------------------------------------------------------------------------------


def _from_django(stack: str, folder: Folder, code: Code, project: Project) -> Draft:
    source = _source(folder, project.on_path)
    keys = [Key("app", project.target, project.target_from), *_source_key(source)]
    if project.collects_static:
        keys.append(_collectstatic(project))
    if project.sqlite:
        why = "left out: its SQLite file is in the source, which is read-only in a release; put the database elsewhere"
        keys.append(Key("before_traffic", MIGRATE, why, active=False))
    else:
        keys.append(Key("before_traffic", MIGRATE, "run once per release, before its first instance takes requests"))
    keys += [*_python(folder), *_environment(code, _path_variable(project.on_path, source)), INSTANCES]
    why = "assumed: no route was found in the urls; / must answer 200"
    health = health_path(project.routes, why=why)
    host = project.hosts[0] if project.hosts and not project.open_to_any_host else ""
    service = ServiceDraft("web", tuple(keys), health, host, f"the Django project of {project.settings}")
    warnings = (
        *missing_variables(code, ()),
        *python_traps(folder, code, "Django", project, source),
        *common_traps(folder, project.collects_static),
    )
    return Draft(stack, (service,), warnings)


def _collectstatic(project: Project) -> Key:
    words = ("python", "manage.py", "collectstatic", "--no-input")
    return Key("build", (words,), f"found: STATIC_ROOT in {project.settings}")


def _from_python(stack: str, folder: Folder, code: Code) -> Draft:
    app = code.apps[0]
    source = _source(folder, app.on_path)
    kind = "factory" if app.factory else "app"
    comment = f"found: the {app.framework} {kind} in {app.file}, line {app.line}{_others(code.apps)}"
    keys = [Key("app", app.target, comment), *_source_key(source), *_python(folder)]
    keys += [*_environment(code, _path_variable(app.on_path, source)), INSTANCES]
    fallback, why = "/", ""
    if app.framework == "FastAPI":
        fallback, why = "/docs", "assumed: no route without parameters was found; FastAPI's own /docs answers 200"
    health = health_path(python_routes(code), fallback, why)
    service = ServiceDraft("web", tuple(keys), health, summary=f"the {app.framework} {kind} in {app.file}")
    warnings = (
        *missing_variables(code, ()),
        *python_traps(folder, code, app.framework, None, source),
        *common_traps(folder, False),
    )
    return Draft(stack, (service,), warnings)


def _others(apps: list[Found]) -> str:
    others = [app.target for app in apps[1:4] if not app.factory]
    return f"; there are also {', '.join(others)}" if others else ""


def _source(folder: Folder, on_path: str) -> str:
    """What `source:` must name: a folder below that is a project of its own, or "" for the whole."""
    own = ("requirements.txt", "pyproject.toml", "uv.lock", "manage.py")
    alone = on_path and on_path != "src" and any(folder.has(f"{on_path}/{name}") for name in own)
    return on_path if alone else ""


def _path_variable(on_path: str, source: str) -> dict[str, str]:
    return {"PYTHONPATH": on_path} if on_path and not source else {}


def _source_key(source: str) -> list[Key]:
    return [Key("source", f"./{source}", f"found: {source} is a project of its own")] if source else []


def _python(folder: Folder) -> list[Key]:
    for file in (".python-version", "runtime.txt"):
        match = re.match(r"(?:python-)?(3\.\d+)(?:\.\d+)?\s*$", folder.text(file))
        if match:
            return [Key("python", match[1], f"found: {file}")]
    return []


def _environment(code: Code, active: dict[str, str]) -> list[Key]:
    """The variables that are sure, and as comments to fill in those that the source reads: instances have a clean
    environment."""
    wanted = [name for name in code.variables if name not in active][:MOST_VARIABLES]
    comments = []
    if "PYTHONPATH" in active:
        comments.append(f"its module lies in {active['PYTHONPATH']}, which must be on the path")
    if wanted:
        needed = [name for name in wanted if code.variables[name]]
        must = f" (it fails without {', '.join(needed)})" if needed else ""
        comments.append(f"the source reads {', '.join(wanted)}{must}; instances see only what is named here")
    if not active and not wanted:
        return []
    # One that has a default in the source may stay unset: `up` refuses a variable that has neither.
    hints = {name: f"${{env.{name}}}" if code.variables[name] else f"${{env.{name}:-}}" for name in wanted}
    return [Key("environment", active, "; ".join(comments), hints=hints)]


# --- Node -------------------------------------------------------------------------------------------------------------


def _from_node(stack: str, folder: Folder, code: Code, project: NodeProject) -> Draft:
    port = f"; {project.port_from}" if project.port == "honoured" else ""
    keys = [Key("command", project.start, f"{project.start_from}{port}")]
    if project.build:
        keys.append(Key("build", project.build, project.build_from))
    keys.append(Key("environment", {}, "many packages are quicker with it", hints={"NODE_ENV": "production"}))
    keys.append(INSTANCES)
    health = health_path(javascript_routes(folder))
    named = (package_json(folder) or {}).get("name")
    service = ServiceDraft("web", tuple(keys), health, summary=f"the Node program {named or ''}".strip())
    warnings = (*node_traps(project), *common_traps(folder, bool(project.build)))
    return Draft(stack, (service,), warnings)
