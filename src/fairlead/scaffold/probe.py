"""The program that tries an app once, in the project's own Python: what do these paths answer?

    python probe.py RUNNER TARGET PATH...        prints {"statuses": {"/health": 200}} or {"error": "..."}

It imports nothing of fairlead. RUNNER is fairlead's runner.py, whose rules say what kind of app TARGET is. The app is
imported and called in this process, as its server would call it (with its start-up and shutdown, for ASGI), and no
socket is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import json
import os
import sys
import traceback
from typing import Any
from wsgiref.util import setup_testing_defaults

PATIENCE = 10.0
"""Seconds for one answer, and for the app's start-up."""


def ask_wsgi(app: Any, path: str) -> int:
    statuses = []
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    environ |= {
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
    }

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(int(status.split()[0]))
        return lambda data: None

    body = app(environ, start_response)
    for _ in body:
        break
    if hasattr(body, "close"):
        body.close()
    return statuses[-1]


async def ask_asgi(app: Any, path: str) -> int:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    statuses: list[int] = []
    asked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if asked.is_set():
            await asyncio.sleep(3600)
        asked.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    answering = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.wait({answering}, timeout=PATIENCE)
    answering.cancel()
    with contextlib.suppress(BaseException):
        await answering
    return statuses[0] if statuses else 0


async def ask_all(app: Any, paths: list[str]) -> dict[str, int]:
    """All paths, between the app's start-up and its shutdown."""
    said: asyncio.Queue[str] = asyncio.Queue()
    leave = asyncio.Event()
    begun = False

    async def receive() -> dict[str, str]:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "lifespan.startup"}
        await leave.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        said.put_nowait(f"{message['type']} {message.get('message', '')}")

    living = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    hearing = asyncio.ensure_future(said.get())
    # An app that knows no lifespan raises, and is served all the same.
    await asyncio.wait({living, hearing}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if hearing.done() and "failed" in hearing.result():
        raise RuntimeError(f"its start-up failed: {hearing.result().partition(' ')[2]}")
    statuses = {path: await ask_asgi(app, path) for path in paths}
    leave.set()
    await asyncio.wait({living}, timeout=1.0)
    for task in (living, hearing):
        task.cancel()
    with contextlib.suppress(BaseException):
        await living
    return statuses


def main(runner: str, target: str, paths: list[str]) -> dict[str, Any]:
    described = importlib.util.spec_from_file_location("fairlead_runner", runner)
    assert described is not None
    assert described.loader is not None
    rules = importlib.util.module_from_spec(described)
    described.loader.exec_module(rules)
    sys.path[0] = os.getcwd()
    try:
        interface, app = rules.find(target)
        if interface == "asgi":
            return {"statuses": asyncio.run(ask_all(app, paths))}
        if interface == "wsgi":
            return {"statuses": {path: _safely(app, path) for path in paths}}
        return {"error": f"an app of kind {interface} cannot be tried"}
    except rules.CannotServe as problem:
        return {"error": str(problem)}
    except BaseException as problem:
        traceback.print_exc()
        return {"error": f"{type(problem).__name__}: {problem}"}


def _safely(app: Any, path: str) -> int:
    """A request that raises is a 500, as a server would make of it."""
    try:
        return ask_wsgi(app, path)
    except Exception:
        traceback.print_exc()
        return 500


if __name__ == "__main__":
    answer = main(sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.stdout.flush()
    print("\n" + json.dumps(answer), flush=True)
    os._exit(0)  # threads of the app must not keep us
