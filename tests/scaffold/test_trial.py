"""`--probe`: the app really started, once, in the project's own Python, and nothing of it left."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from fairlead.aiokit.pidfd import stat_of
from fairlead.errors import FairleadError
from fairlead.scaffold import trial
from fairlead.scaffold.draft import draft_of
from fairlead.scaffold.findings import Draft
from tests.needs import need
from tests.releases.builders import a_tree
from tests.scaffold import projects

pytestmark = pytest.mark.live

asyncio.set_event_loop(None)

ENVIRONMENT = {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "VIRTUAL_ENV": sys.prefix}
"""The tests' own environment has Flask and Starlette."""


async def tried(root: Path, files: dict[str, str], command: str | None = None) -> tuple[Draft, trial.Tried]:
    draft = draft_of(str(a_tree(root, files)), command=command)
    return await trial.tried(draft, str(root), ENVIRONMENT)


def path_of(draft: Draft) -> str:
    health = draft.services[0].health
    assert health is not None
    return health.path


async def test_a_path_that_answers_200_is_taken_and_no_file_is_left(tmp_path: Path) -> None:
    text = (
        "from flask import Flask, abort\napp = Flask(__name__)\n"
        "@app.get('/health')\ndef health(): abort(503)\n"
        "@app.get('/ping')\ndef ping(): raise ValueError\n"
        "@app.get('/live')\ndef live(): return 'x'\n@app.get('/')\ndef home(): return 'x'\n"
    )
    draft, found = await tried(tmp_path, {"app.py": text, "requirements.txt": "flask"})
    assert found.statuses == {"/health": 503, "/live": 200, "/ping": 500, "/": 200}
    assert path_of(draft) == "/live"
    assert sorted(os.listdir(tmp_path)) == ["app.py", "requirements.txt"]


async def test_when_nothing_answers_200_the_file_says_so(tmp_path: Path) -> None:
    draft, found = await tried(tmp_path, {"app.py": "from flask import Flask\napp = Flask('x')\n"})
    assert found.statuses == {"/": 404}
    health = draft.services[0].health
    assert health is not None
    assert health.comment.startswith("tried, and nothing answered 200 (/: 404)")


async def test_an_asgi_app_is_started_before_it_is_asked_and_shut_down_after(tmp_path: Path) -> None:
    text = (
        "import contextlib\nfrom starlette.applications import Starlette\nfrom starlette.responses import Response\n"
        "from starlette.routing import Route\nup = []\n"
        "@contextlib.asynccontextmanager\nasync def life(app):\n    up.append(1)\n    yield\n    print('shut down')\n"
        "async def health(request):\n    return Response(status_code=200 if up else 503)\n"
        "app = Starlette(routes=[Route('/health', health)], lifespan=life)\n"
    )
    draft, found = await tried(tmp_path, {"app.py": text})
    assert found.statuses == {"/health": 200, "/": 404}
    assert path_of(draft) == "/health"


async def test_an_app_that_cannot_be_imported_is_told_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FairleadError) as caught:
        await tried(tmp_path, {"app.py": "from flask import Flask\nimport absent_here\napp = Flask('x')\n"})
    assert caught.value.what == "the app could not be tried"
    assert "ModuleNotFoundError: No module named 'absent_here'" in caught.value.why
    assert 'File "' in caught.value.detail


async def test_the_environment_of_the_project_wins_over_the_active_one(tmp_path: Path) -> None:
    a_tree(
        tmp_path, {".venv/bin/python": f"#!/bin/sh\necho its own >&2; exec {sys.executable} -c 'raise SystemExit(9)'\n"}
    )
    (tmp_path / ".venv/bin/python").chmod(0o755)
    with pytest.raises(FairleadError, match=r"it ended with status 9 .*\.venv/bin/python"):
        await tried(tmp_path, projects.FLASK)


async def test_a_command_is_started_on_a_port_asked_and_ended_with_all_its_processes(tmp_path: Path) -> None:
    serve = (
        "import http.server, os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '300'])\nopen('child', 'w').write(str(child.pid))\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n        self.send_response(200 if self.path == '/' else 404)\n        self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n"
    )
    draft, found = await tried(tmp_path, {"serve.py": serve}, f"{sys.executable} serve.py")
    assert (found.statuses, path_of(draft)) == ({"/": 200}, "/")
    stat = stat_of(int((tmp_path / "child").read_text()))
    assert stat is None or stat.gone


async def test_node_is_tried_like_any_command(tmp_path: Path) -> None:
    need(os.access("/usr/bin/node", os.X_OK), "node")
    files = {
        "package.json": '{"scripts": {"start": "node server.js"}}',
        "server.js": "require('http').createServer((q, s) => {\n  if (q.url === '/health') s.end('ok');\n"
        "  else { s.statusCode = 404; s.end() }\n}).listen(process.env.PORT, '127.0.0.1')\n",
    }
    draft, found = await tried(tmp_path, files)
    assert (found.statuses, path_of(draft)) == ({"/health": 200, "/": 404}, "/health")


async def test_a_command_that_ends_or_never_listens_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FairleadError, match="it ended with status 3 before it answered") as caught:
        await tried(tmp_path, {}, "sh -c 'echo no database >&2; exit 3'")
    assert caught.value.detail == "no database"
    monkeypatch.setattr(trial, "FIRST_ANSWER", 0.3)
    with pytest.raises(FairleadError, match="did not answer on port"):
        await tried(tmp_path, {}, "sleep 60")
