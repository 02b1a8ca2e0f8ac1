"""A daemon made of answers: an HTTP server on a home's API socket that replies what a test wrote, in a thread.

`answers` maps "METHOD /path" to a JSON value, to `Text(text)`, to `Refuse(error)`, or to `Stream(lines)`; a callable is
called with the request for its answer. What was asked is kept in `asked`.
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fairlead import __version__
from fairlead.core.layout import Layout, layout_of
from fairlead.errors import FairleadError


@dataclass
class Stream:
    """NDJSON: each event a line. `then` runs after the last one and may block, or end the process."""

    events: list[dict[str, Any]]
    then: Callable[[], object] = lambda: None


@dataclass
class Text:
    text: str


@dataclass
class Refuse:
    error: FairleadError
    status: int = 400


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any


@dataclass
class Scripted:
    """The running server of one home."""

    layout: Layout
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    @property
    def home(self) -> str:
        return self.layout.home

    def paths_asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.asked if request.path != "/version"]


class _Handler(BaseHTTPRequestHandler):
    scripted: Scripted
    timeout = 10

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), body)
        self.scripted.asked.append(request)
        answer = self.scripted.answers.get(f"{self.command} {parts.path}", Refuse(FairleadError("unscripted"), 500))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Stream):
            self._stream(answer)
        elif isinstance(answer, Text):
            self._send(answer.text.encode(), 200)
        elif isinstance(answer, Refuse):
            self._json({"error": answer.error.to_json()}, answer.status)
        else:
            self._json(answer, 200)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _json(self, value: Any, status: int) -> None:
        self._send(json.dumps(value).encode(), status)

    def _send(self, data: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, stream: Stream) -> None:
        self.send_response(200)
        self.end_headers()
        for event in stream.events:
            self.wfile.write(json.dumps(event).encode() + b"\n")
            self.wfile.flush()
        stream.then()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def get_request(self) -> Any:
        connection, _ = super().get_request()
        return connection, ("unix", 0)


@contextmanager
def serving(layout: Layout, answers: dict[str, Any]) -> Iterator[Scripted]:
    """Answer on the home's API socket until the block ends."""
    os.makedirs(os.path.dirname(layout.api_socket), exist_ok=True)
    scripted = Scripted(layout, {"GET /version": {"version": __version__, "pid": os.getpid()}, **answers})
    handler = type("Handler", (_Handler,), {"scripted": scripted})
    server = _Server(layout.api_socket, handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        os.unlink(layout.api_socket)


@contextmanager
def a_home() -> Iterator[Layout]:
    """A folder for state, short enough for sockets, gone afterwards."""
    folder = os.path.realpath(tempfile.mkdtemp())
    os.chmod(folder, 0o711)
    try:
        yield layout_of(folder, os.geteuid())
    finally:
        shutil.rmtree(folder)


def status_of(*stacks: dict[str, Any]) -> dict[str, Any]:
    """The status contract, with these stacks."""
    node = {"pid": 77, "version": "2.8.25", "state": "running"}
    return {"stacks": list(stacks), "balancer": {"nodes": [node]}, "daemon": {"pid": 42, "version": __version__}}


def understood(stack: str) -> str:
    """How a command that is shown names `stack` where it need not: for `next_useful`."""
    return ""


def a_stack(name: str = "host-date", instances: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    service = {"name": "web", "release": 1, "desired": 2, "min": 2, "max": 2, "instances": list(instances)}
    listener = {"url": "http://127.0.0.1:8080", "protocol": "HTTP", "port": 8080}
    return {"name": name, "engine": "local", "listeners": [listener], "services": [service], "resources": []}


def an_instance(id: str = "web-1", **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "pid": 1234,
        "address": "unix:/run/x/http.sock",
        "release": 1,
        "state": "in_service",
        "health": "healthy",
        "reason": None,
        "description": None,
        "started_at": "2026-11-21T09:00:00Z",
        "zone": "a",
        **changes,
    }
