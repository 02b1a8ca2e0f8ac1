"""A real HTTP server on loopback that keeps what it was sent and answers with a status that a test may change."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    status: int
    location: str
    port: int = 0
    requests: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    timeout = 10

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.receiver.requests.append(Received(self.path, dict(self.headers), body))
        self.send_response(self.receiver.status)
        if self.receiver.location:
            self.send_header("Location", self.receiver.location)
        self.end_headers()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that refuses our certificate ends the connection in the middle of it."""


@contextmanager
def receiving(
    status: int = 204, location: str = "", tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Receiver]:
    """Answer every POST with `status` until the block ends."""
    receiver = Receiver(status, location)
    server = _Quiet(("127.0.0.1", port), type("Handler", (_Handler,), {"receiver": receiver}))
    if tls is not None:
        # The handshake is the handler thread's, so that one client cannot keep the others waiting.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
