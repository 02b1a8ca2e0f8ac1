"""The runner serving real apps on a real socket, in the environment of a real release."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from fairlead.core.layout import Layout
from fairlead.core.model import Release
from tests.releases.builders import a_builder, a_stack, a_tree, an_app, need_packages

pytestmark = pytest.mark.live

FLASK = """
import atexit, os, sys, threading, time
from flask import Flask, request
app = Flask(__name__)
print("imported", flush=False)
atexit.register(print, "exit functions ran", end="")
@app.get("/")
def index(): return {"client": request.remote_addr, "scheme": request.scheme, "pid": os.getpid(), "parent": os.getppid()}
@app.get("/slow")
def slow():
    time.sleep(1.0)
    return "slow"
@app.get("/threads")
def threads():
    time.sleep(0.3)
    return "x"
@app.get("/boom")
def boom(): raise LookupError("the app's own")
@app.get("/exit")
def leave(): os._exit(7)
"""

STARLETTE = """
import asyncio, contextlib
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
@contextlib.asynccontextmanager
async def lifespan(app):
    print("began")
    yield {"greeting": "hello"}
    print("ended")
async def index(request):
    return JSONResponse({"client": request.client.host, "scheme": request.url.scheme, "greeting": request.state.greeting})
async def slow(request):
    await asyncio.sleep(1.0)
    return PlainTextResponse("slow")
async def echo(websocket):
    await websocket.accept()
    await websocket.send_text("echo " + await websocket.receive_text())
    await websocket.close()
def create_app():
    routes = [Route("/", index), Route("/slow", slow), WebSocketRoute("/ws", echo)]
    return Starlette(routes=routes, lifespan=lifespan)
@contextlib.asynccontextmanager
async def failing(app):
    raise LookupError("the database is away")
    yield
broken = Starlette(lifespan=failing)
"""

FILES = {
    "requirements.txt": "flask==3.1.3\nstarlette==1.0.0\n",
    "app.py": FLASK,
    "star.py": STARLETTE,
    "bad.py": "import no_such_package\n",
    # Granian imports modules of these names; the app's own must not get in its way.
    "queue.py": "raise RuntimeError('the app file queue.py was imported')\n",
    "logging_.py": "",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def release(shared_layout: Layout) -> AsyncIterator[Release]:
    need_packages()
    with tempfile.TemporaryDirectory(prefix="fl-src-") as folder:
        service = an_app(a_tree(Path(folder), FILES), threads=4)
        yield await a_builder(shared_layout).build(a_stack(service), service, (), 1, lambda text: None)


class Running:
    """The runner at work, and a way to talk to it."""

    def __init__(self, process: subprocess.Popen[bytes], path: str, log: Path) -> None:
        self.process, self.path, self._log = process, path, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(5)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("localhost")
        client.sock = self.connect()
        with closing(client):
            client.request("GET", path, headers=headers or {})
            with client.getresponse() as answer:
                return answer.status, answer.read()

    def wait_until_up(self, within: float = 10.0) -> None:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                # An answer, not a connection: the socket listens before the server takes signals.
                self.get("/is-it-up")
                return
            except OSError:
                assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
                time.sleep(0.01)
        raise AssertionError(f"nothing listens on {self.path} after {within} s; its log:\n{self.log}")

    def ended(self, within: float = 5.0) -> int:
        status = self.process.wait(within)
        assert status >= 0, f"it ended by signal {-status}; its log:\n{self.log}"
        return status


@contextmanager
def running(release: Release, target: str | None = None, path: str | None = None) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="fl-run-") as folder:
        path = path or f"{folder}/http.sock"
        argv = [word.replace("${instance.socket}", path) for word in release.argv]
        argv[2] = target or argv[2]
        log = Path(folder) / "log"
        env = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        with log.open("ab") as out:
            process = subprocess.Popen(
                argv, cwd=release.source, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            yield Running(process, path, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def in_background(running: Running, path: str) -> tuple[threading.Thread, list[tuple[int, bytes]]]:
    answers: list[tuple[int, bytes]] = []
    thread = threading.Thread(target=lambda: answers.append(running.get(path)))
    thread.start()
    return thread, answers


def test_flask_answers_in_one_process_on_a_socket_of_its_user_alone(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        status, body = served.get("/")
        assert (status, json.loads(body)["pid"]) == (200, served.process.pid)
        assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o600
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text()
        assert children == ""


def test_what_the_app_prints_is_in_the_log_at_once(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        assert "imported\n" in served.log


def test_the_client_and_scheme_are_those_the_balancer_wrote(release: Release) -> None:
    headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}
    for target in ("app:app", "star:create_app()"):
        with running(release, target) as served:
            served.wait_until_up()
            answer = json.loads(served.get("/", headers)[1])
            assert (answer["client"], answer["scheme"]) == ("203.0.113.9", "https")


@pytest.mark.parametrize("target", ["app:app", "star:create_app"])
def test_five_sigterms_let_the_request_in_flight_finish(release: Release, target: str) -> None:
    with running(release, target) as served:
        served.wait_until_up()
        thread, answers = in_background(served, "/slow")
        time.sleep(0.3)
        for _ in range(5):
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        assert served.ended() == 0
        thread.join()
        assert answers == [(200, b"slow")]


def test_without_a_request_it_leaves_at_once(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.ended() == 0
        assert time.monotonic() - started < 1.0
        assert served.log.endswith("exit functions ran")


def test_wsgi_works_on_as_many_requests_as_it_has_threads(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        started = time.monotonic()
        for thread, _ in [in_background(served, "/threads") for _ in range(4)]:
            thread.join()
        assert time.monotonic() - started < 1.0


def test_lifespan_runs_before_the_first_and_after_the_last_request(release: Release) -> None:
    with running(release, "star:create_app()") as served:
        served.wait_until_up()
        assert json.loads(served.get("/")[1])["greeting"] == "hello"
        assert served.log.split() == ["imported", "began"] or served.log.split() == ["began"]
        served.process.send_signal(signal.SIGTERM)
        assert served.ended() == 0
        assert served.log.split()[-1] == "ended"


def test_a_websocket_talks(release: Release) -> None:
    with running(release, "star:create_app()") as served:
        served.wait_until_up()
        connection = served.connect()
        key = base64.b64encode(b"0123456789abcdef").decode()
        upgrade = (
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        )
        connection.sendall(f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())
        with connection, connection.makefile("rb") as answers:
            assert b" 101 " in answers.readline()
            while answers.readline().strip():
                pass
            mask, text = b"\1\2\3\4", b"hi"
            masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
            connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
            assert answers.read(9) == b"\x81\x07echo hi"


def test_the_apps_traceback_is_in_the_log_and_the_client_gets_500(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        assert served.get("/boom")[0] == 500
        assert "LookupError: the app's own" in served.log


def test_the_exit_status_is_the_apps(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            served.get("/exit")
        assert served.ended() == 7


def test_a_failing_start_of_the_app_ends_it_with_the_apps_own_words(release: Release) -> None:
    with running(release, "star:broken") as served:
        assert served.ended() == 1
        assert "LookupError: the database is away" in served.log


def test_an_import_that_fails_shows_only_the_apps_frames(release: Release) -> None:
    with running(release, "bad:app") as served:
        assert served.ended() == 1
        assert "ModuleNotFoundError: No module named 'no_such_package'" in served.log
        assert "runner.py" not in served.log
        assert "importlib" not in served.log


def test_our_own_errors_are_one_sentence(release: Release) -> None:
    with running(release, path="/nonexistent/http.sock") as served:
        assert served.ended() == 1
        assert served.log == (
            "fairlead: cannot serve app:app: cannot listen on /nonexistent/http.sock: No such file or directory\n"
        )
    with running(release, "nope:app") as served:
        assert served.ended() == 1
        assert served.log.startswith("fairlead: cannot serve nope:app: there is no module `nope`; the source has `app`")


def test_a_socket_in_use_is_not_taken_over(release: Release) -> None:
    with running(release) as first:
        first.wait_until_up()
        with running(release, path=first.path) as second:
            assert second.ended() == 1
            assert "Address already in use" in second.log
        assert first.get("/")[0] == 200
