"""What `fairlead init` writes for each kind of project: a file that fairlead takes, with what was found in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from fairlead.core.model import App, Command, Service, Stack
from fairlead.errors import UsageError
from fairlead.scaffold.draft import draft_of
from fairlead.scaffold.write import text
from fairlead.spec import parse_text
from tests.releases.builders import a_tree
from tests.scaffold import projects
from tests.scaffold.projects import PROJECTS


def written(root: Path, files: dict[str, str], **fields: str) -> str:
    a_tree(root, files)
    return text(draft_of(str(root), **fields))


def unwrapped(text: str) -> str:
    """Comments as if their lines had no end."""
    return re.sub(r"\n\s*#\s*", " ", text)


def stack(root: Path, files: dict[str, str], **fields: str) -> Stack:
    return parse_text(written(root, files, **fields), str(root / "fairlead.yaml"), {})


def web(root: Path, files: dict[str, str], **fields: str) -> Service:
    return stack(root, files, **fields).service("web")


def warnings(root: Path, files: dict[str, str]) -> str:
    return "\n".join(draft_of(str(a_tree(root, files))).warnings)


@pytest.mark.parametrize("kind", PROJECTS)
def test_the_file_of_every_kind_is_taken_and_tells_editors_its_schema(tmp_path: Path, kind: str) -> None:
    found = written(tmp_path, PROJECTS[kind], name="shop")
    assert parse_text(found, str(tmp_path / "fairlead.yaml"), {}).name == "shop"
    lines = found.splitlines()
    assert lines[0] == "# yaml-language-server: $schema=fairlead.schema.json"
    assert all(len(line) <= 120 for line in lines)
    assert "found:" in found


def test_the_listener_in_the_comment_is_the_default(tmp_path: Path) -> None:
    found = written(tmp_path, projects.FLASK, name="shop")
    shown = found.replace("# load_balancer:", "load_balancer:").replace("#   listeners", "  listeners")
    assert "\nload_balancer:\n  listeners" in shown
    assert parse_text(shown, "/x/fairlead.yaml", {}).listeners == parse_text(found, "/x/fairlead.yaml", {}).listeners


def test_nothing_of_the_folder_is_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    stack(
        tmp_path,
        {name: trap + content if name.endswith(".py") else content for name, content in projects.DJANGO.items()},
        name="x",
    )
    assert not (tmp_path / "ran").exists()


def test_a_flask_app_is_named_with_its_health_route(tmp_path: Path) -> None:
    service = web(tmp_path, projects.FLASK)
    assert service.program == App(target="app:app")
    assert service.health_check.path == "/health"
    assert service.desired == 2
    assert warnings(tmp_path, {}) == ""


def test_a_factory_is_called_and_a_blueprints_prefix_counts(tmp_path: Path) -> None:
    service = web(tmp_path, projects.FLASK_FACTORY)
    assert service.program == App(target="shop.factory:create_app()")
    assert service.health_check.path == "/api/ping"


def test_an_app_made_by_an_imported_factory_comes_before_the_factory(tmp_path: Path) -> None:
    files = {
        **projects.FLASK_FACTORY,
        "wsgi.py": "from shop import create_app\napplication = create_app('production')\n",
    }
    assert web(tmp_path, files).program == App(target="wsgi:application")


def test_a_src_layout_is_put_on_the_path_and_what_it_reads_of_the_environment_is_shown(tmp_path: Path) -> None:
    found = written(tmp_path, projects.FASTAPI_SRC, name="shop")
    service = parse_text(found, "/x/fairlead.yaml", {}).service("web")
    assert service.program == App(target="shop.main:app")
    assert dict(service.environment) == {"PYTHONPATH": "src"}
    assert service.python == "3.12"
    assert service.health_check.path == "/v1/users/readyz"
    assert '#   DATABASE_URL: "${env.DATABASE_URL}"' in found
    assert "it fails without DATABASE_URL" in unwrapped(found)
    hinted = found.replace("    #   DATABASE_URL", "      DATABASE_URL")
    environment = parse_text(hinted, "/x/fairlead.yaml", {"DATABASE_URL": "x:1"}).service("web").environment
    assert dict(environment) == {"PYTHONPATH": "src", "DATABASE_URL": "x:1"}, "a hint is one edit away"


def test_starlettes_routes_are_found_inside_a_mount(tmp_path: Path) -> None:
    service = web(tmp_path, projects.STARLETTE)
    assert (service.program, service.health_check.path) == (App(target="web:application"), "/ops/healthz")


def test_fastapi_without_a_plain_route_is_asked_for_its_docs(tmp_path: Path) -> None:
    files = {"main.py": "from fastapi import FastAPI\napi = FastAPI()\n\n@api.get('/items/{id}')\ndef one(id): ...\n"}
    assert web(tmp_path, files).health_check.path == "/docs"


def test_a_project_in_a_folder_of_its_own_becomes_the_source(tmp_path: Path) -> None:
    files = {f"backend/{name}": content for name, content in projects.FLASK.items()}
    service = web(tmp_path, files)
    assert (service.program, service.source) == (App(target="app:app"), str(tmp_path / "backend"))


def test_a_folder_that_is_imported_by_is_a_package_without_saying_so(tmp_path: Path) -> None:
    files = {
        "app/main.py": "from app.core import make\nfrom flask import Flask\nserver = Flask('x')\n",
        "app/core.py": "",
    }
    assert web(tmp_path, files).program == App(target="app.main:server")


def test_of_several_apps_the_likeliest_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    files = {
        "admin/panel.py": "from flask import Flask\npanel = Flask('x')\n",
        "main.py": "from flask import Flask\nclass Shop(Flask): ...\napp = Shop('x')\n",
    }
    found = written(tmp_path, files)
    assert 'app: "main:app"' in found
    assert "there are also panel:panel" in unwrapped(found)


def test_django_gets_its_build_migration_and_the_host_it_insists_on(tmp_path: Path) -> None:
    service = web(tmp_path, projects.DJANGO)
    assert service.program == App(target="shop.wsgi:application")
    assert service.build == (("python", "manage.py", "collectstatic", "--no-input"),)
    assert service.before_traffic == ("python", "manage.py", "migrate", "--no-input")
    assert (service.health_check.path, service.health_check.host) == ("/ops/healthz/", "shop.example.com")
    assert warnings(tmp_path, {}).startswith("the source fails without SECRET_KEY: give it under `environment:`")


def test_a_fresh_django_project_is_served_and_its_database_in_the_source_is_warned_of(tmp_path: Path) -> None:
    service = web(tmp_path, projects.DJANGO_NEW)
    assert service.build == ()
    assert service.before_traffic is None, "it would fail: a release cannot be written"
    assert (service.health_check.path, service.health_check.host) == ("/admin/login/", "localhost")
    assert "# before_traffic: python manage.py migrate --no-input" in written(tmp_path, {})
    said = warnings(tmp_path, {})
    assert "the SQLite database of the settings is below BASE_DIR" in said
    assert "there is no requirements.txt" in said


def test_node_is_started_without_npm_between_when_it_needs_none(tmp_path: Path) -> None:
    service = web(tmp_path, projects.NODE)
    assert service.program == Command(argv=("node", "server.js"))
    assert service.build == (("npm", "ci"),)
    assert service.health_check.path == "/health"
    assert "server.js reads PORT" in unwrapped(written(tmp_path, {}))
    assert warnings(tmp_path, {}) == ""


def test_node_with_a_build_script_builds_with_the_manager_whose_lock_is_there(tmp_path: Path) -> None:
    service = web(tmp_path, projects.NODE_BUILT)
    assert service.program == Command(argv=("npm", "start"))
    assert service.build == (("pnpm", "install", "--frozen-lockfile"), ("pnpm", "run", "build"))


def test_node_on_a_fixed_port_and_without_a_lock_is_warned_of(tmp_path: Path) -> None:
    service = web(tmp_path, projects.NODE_FIXED_PORT)
    assert service.program == Command(argv=("node", "index.js"))
    said = warnings(tmp_path, {})
    assert "index.js listens on 3000 whatever PORT says" in said
    assert "there is no lock file" in said


def test_a_procfile_becomes_services_workers_and_a_release_step(tmp_path: Path) -> None:
    found = stack(tmp_path, projects.PROCFILE)
    assert [service.name for service in found.services] == ["web", "worker-1", "clock"]
    service = found.service("web")
    listens = ("--bind", "127.0.0.1:${instance.port}")
    assert service.program == Command(argv=("gunicorn", "shop:app", "--workers", "2", *listens))
    assert service.before_traffic == ("python", "manage.py", "migrate")
    assert service.health_check.path == "/up"
    assert not found.service("worker-1").serves
    assert found.service("worker-1").before_traffic is None
    assert dict(found.service("clock").environment) == {"LOG": "debug"}


def test_a_command_that_is_given_wins_over_what_is_found(tmp_path: Path) -> None:
    service = web(tmp_path, projects.FLASK, command="./serve --port $PORT -v")
    assert service.program == Command(argv=("./serve", "--port", "${instance.port}", "-v"))
    assert service.health_check.path == "/health"


# --- names, hostile and plain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Shop_Two", "shop-two"), ("2048", "app"), ("--x--", "x"), ("ü", "app"), ("a" * 40, "a" * 32), ("3d: {x}", "d-x")],
)
def test_the_folders_name_becomes_the_stacks(tmp_path: Path, folder: str, name: str) -> None:
    root = tmp_path / folder
    root.mkdir()
    assert stack(root, projects.FLASK).name == name


def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'Shop' cannot name a stack"):
        draft_of(str(a_tree(tmp_path, projects.FLASK)), name="Shop")


def test_names_of_files_and_routes_cannot_become_syntax_or_reach_the_terminal(tmp_path: Path) -> None:
    files = {
        "app.py": "from flask import Flask\napp = Flask('x')",
        "evil\n# name: x\n- {}\x1b[31m.py": "from flask import Blueprint\nmade = Blueprint('x', 'x')\n"
        "@made.get('/health\\n- \"x')\ndef f(): ...",
        "requirements.txt": "flask",
    }
    a_tree(tmp_path, files)
    found = text(draft_of(str(tmp_path)))
    assert "\x1b" not in found
    assert "evil" in found
    assert list(yaml.safe_load(found)) == ["name", "services"]


def test_deep_wide_and_broken_folders_do_not_stop_it(tmp_path: Path) -> None:
    files = {
        f"deep/{'d/' * 30}x.py": "",
        "broken.py": "def (:",
        "nul.py": "\0",
        "latin.py": "# \xe9",
        "package.json": "[1",
    }
    for number in range(50):
        files[f"many/m{number}.py"] = "x = 1\n"
    (tmp_path / "loop").symlink_to(tmp_path)
    assert web(tmp_path, files | projects.FLASK).program == App(target="app:app")


# --- nothing, or something else ---------------------------------------------------------------------------------------


def test_a_folder_with_nothing_to_serve_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to serve was found") as caught:
        draft_of(str(a_tree(tmp_path, {"README.md": ""})))
    for kind in ("Procfile", "Django", "Flask", "FastAPI", "package.json"):
        assert kind in caught.value.why
    assert "--command" in caught.value.next_step


def test_a_project_one_folder_down_is_pointed_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        draft_of(str(a_tree(tmp_path, {"site/package.json": '{"scripts": {"start": "node x.js"}}'})))
    assert caught.value.next_step.startswith(f"fairlead init {tmp_path}/site, one folder down, or ")


def test_an_app_that_brings_its_own_server_is_told_to_be_a_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        draft_of(str(a_tree(tmp_path, {"main.py": "from aiohttp import web\napp = web.Application()\n"})))
    assert caught.value.what == "the source uses aiohttp, which brings its own server"
    assert "--command" in caught.value.next_step


# --- what will bite ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"requirements.txt": None}, "there is no requirements.txt"),
        ({"requirements.txt": "requests\n"}, "requirements.txt does not name flask"),
        ({"requirements.txt": None, "Pipfile": ""}, "(Pipfile is not read)"),
        (
            {"requirements.txt": None, "pyproject.toml": "[tool.poetry]\nname='x'\n"},
            "[tool.poetry], which uv does not read",
        ),
        ({".gitignore": "dist\n", "dist/x.js": ""}, ".gitignore leaves out dist, so a release does not have it"),
        ({".env": "X=1"}, ".env would be copied into every release"),
        ({"data.sqlite3": ""}, "data.sqlite3 looks like an SQLite database"),
        ({"db.py": "URL = 'sqlite:///shop.db'\n"}, "db.py opens the SQLite file shop.db"),
        ({"package.json": '{"scripts": {"build": "vite build"}}'}, "package.json has a script `build`"),
    ],
)
def test_what_will_bite_is_said(tmp_path: Path, files: dict[str, str | None], says: str) -> None:
    given = {name: content for name, content in {**projects.FLASK, **files}.items() if content is not None}
    assert says in warnings(tmp_path, given)
    assert parse_text(text(draft_of(str(tmp_path), "shop")), "/x/fairlead.yaml", {}).name == "shop"


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "-r base.txt\n"},
        {"db.py": "A = 'sqlite:////var/lib/shop.db'\nB = 'sqlite:///:memory:'\n"},
        {".env": "X=1", ".gitignore": ".env\n"},
    ],
)
def test_what_is_fine_is_not_warned_of(tmp_path: Path, files: dict[str, str]) -> None:
    assert warnings(tmp_path, {**projects.FLASK, **files}) == ""


def test_django_traps_are_said(tmp_path: Path) -> None:
    settings = projects.DJANGO["shop/settings/base.py"].replace("whitenoise.middleware.WhiteNoiseMiddleware", "x")
    production = (
        "from .base import *\nALLOWED_HOSTS = env('HOSTS')\nSECURE_SSL_REDIRECT = True\nMEDIA_ROOT = BASE_DIR / 'm'\n"
    )
    said = warnings(
        tmp_path, {**projects.DJANGO, "shop/settings/base.py": settings, "shop/settings/production.py": production}
    )
    for words in (
        "WhiteNoise",
        "ALLOWED_HOSTS is not a literal list",
        "SECURE_SSL_REDIRECT",
        "MEDIA_ROOT is below BASE_DIR",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("function", "framework"),
    [
        ("def application(environ, start_response):\n    ...\n", "WSGI"),
        ("async def application(scope, receive, send):\n    ...\n", "ASGI"),
    ],
)
def test_a_plain_function_is_an_app_too(tmp_path: Path, function: str, framework: str) -> None:
    found = written(tmp_path, {"serve.py": function}, name="shop")
    assert f"the {framework} app in serve.py, line 1" in unwrapped(found)
    assert "not even" not in found
    assert web(tmp_path, {}, name="shop").program == App(target="serve:application")


def test_a_function_of_another_name_or_another_kind_is_no_app(tmp_path: Path) -> None:
    functions = "def not_found(environ, start_response): ...\ndef app(scope, receive, send): ...\n"
    with pytest.raises(UsageError, match="nothing to serve"):
        written(tmp_path, {"serve.py": functions})


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("app.py", "app = Flask(\n", "app.py is no valid Python (line 1: '(' was never closed)"),
        ("my-app.py", "from flask import Flask\napp = Flask(__name__)\n", "rename the file"),
    ],
)
def test_why_a_file_was_passed_over_is_told(tmp_path: Path, file: str, source: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        written(tmp_path, {file: source})
    assert told in caught.value.detail


def test_a_path_that_a_request_must_escape_is_escaped(tmp_path: Path) -> None:
    app = "from flask import Flask\napp = Flask(__name__)\n@app.get('/größe 5%')\ndef size(): ...\n"
    assert "path: /gr%C3%B6%C3%9Fe%205%25\n" in written(tmp_path, {"app.py": app}).replace('"', "")
    assert web(tmp_path, {}, name="shop")


def test_a_command_of_the_procfile_that_cannot_be_used_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the Procfile cannot be used: the command .* cannot be split") as caught:
        written(tmp_path, {"Procfile": "web: python 'unterminated\n"})
    assert "--command" in caught.value.next_step


def test_the_folder_below_that_could_be_meant_is_named_so_that_it_can_be_pasted(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        written(tmp_path, {"two words/package.json": "{}"})
    assert caught.value.next_step.startswith(f"fairlead init '{tmp_path}/two words', ")
