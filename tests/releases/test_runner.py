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
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import h2.config
import h2.connection
import h2.events
import pytest
import pytest_asyncio
from hyperframe.frame import Frame, GoAwayFrame

from fairlead.core.layout import Layout
from fairlead.core.model import Release
from tests.releases.builders import a_builder, a_stack, a_tree, an_app, need_packages

pytestmark = pytest.mark.live

FLASK = """
import atexit, os, sys, threading, time
from flask import Flask, request, url_for
app = Flask(__name__)
print("imported", flush=False)
atexit.register(print, "exit functions ran", end="")
@app.get("/")
def index(): return {"pid": os.getpid()}
@app.get("/told")
def told(): return {
    "client": request.remote_addr, "scheme": request.scheme, "url": url_for("told", _external=True),
    "server": [request.environ["SERVER_NAME"], int(request.environ["SERVER_PORT"])],
}
@app.get("/slow")
def slow():
    print("slow has begun")
    time.sleep(1.0)
    return "slow"
four = threading.Barrier(4)
@app.get("/threads")
def threads():
    four.wait(30)
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
    return JSONResponse({"greeting": request.state.greeting})
async def told(request):
    client, scheme = request.client.host, request.url.scheme
    server = request.scope["server"]
    return JSONResponse({"client": client, "scheme": scheme, "url": str(request.url), "server": server})
async def slow(request):
    print("slow has begun")
    await asyncio.sleep(1.0)
    return PlainTextResponse("slow")
async def echo(websocket):
    await websocket.accept()
    await websocket.send_text("echo " + await websocket.receive_text())
    await websocket.close()
async def told_web(websocket):
    await websocket.accept()
    await websocket.send_text(f"{websocket.client.host} {websocket.url}")
    await websocket.close()
def create_app():
    routes = [Route("/", index), Route("/told", told), Route("/slow", slow)]
    routes += [WebSocketRoute("/ws", echo), WebSocketRoute("/told", told_web)]
    return Starlette(routes=routes, lifespan=lifespan)
@contextlib.asynccontextmanager
async def failing(app):
    raise LookupError("the database is away")
    yield
broken = Starlette(lifespan=failing)
"""

BARE = """
import json
def wsgi(environ, start_response):
    scheme, server = environ["wsgi.url_scheme"], [environ["SERVER_NAME"], int(environ["SERVER_PORT"])]
    url = f"{scheme}://{environ['HTTP_HOST']}{environ['PATH_INFO']}"
    start_response("200 OK", [])
    return [json.dumps({"client": environ["REMOTE_ADDR"], "scheme": scheme, "url": url, "server": server}).encode()]
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    url = f"{scope['scheme']}://{dict(scope['headers'])[b'host'].decode()}{scope['path']}"
    told = {"client": scope["client"][0], "scheme": scope["scheme"], "url": url, "server": scope["server"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
class Rsgi:
    def __rsgi_init__(self, loop): print("began")
    async def __rsgi__(self, scope, proto):
        host, _, port = scope.server.rpartition(":")
        url = f"{scope.scheme}://{scope.authority or scope.headers['host']}{scope.path}"
        told = {"client": scope.client.rpartition(":")[0], "scheme": scope.scheme, "url": url}
        proto.response_str(200, [], json.dumps({**told, "server": [host, int(port)]}))
rsgi = Rsgi()
"""

FILES = {
    "requirements.txt": "flask==3.1.3\nstarlette==1.0.0\n",
    "app.py": FLASK,
    "star.py": STARLETTE,
    "bare.py": BARE,
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
        connection.settimeout(30)
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

    def wait_until_up(self, within: float = 60.0) -> None:
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

    def wait_until_slow_has_begun(self) -> None:
        self._wait("a request in flight", lambda: "slow has begun" in self.log)

    def wait_until_it_refuses(self) -> None:
        def refuses() -> bool:
            try:
                self.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        self._wait("nobody to listen", refuses)

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, f"waited for {what}; its log:\n{self.log}"
            time.sleep(0.01)

    def ended(self, within: float = 60.0) -> int:
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


def headers_of(answers: BinaryIO) -> dict[str, str]:
    """The rest of an answer's head."""
    lines = iter(lambda: answers.readline().strip().decode(), "")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@contextmanager
def websocket(running: Running, path: str, headers: dict[str, str]) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """An upgraded connection, and what comes from it."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    wanted = headers | {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    with running.connect() as connection, connection.makefile("rb") as answers:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        assert b" 101 " in answers.readline()
        headers_of(answers)
        yield connection, answers


def but_goaway() -> Callable[[bytes], list[bytes]]:
    """Whole frames of what is received, without GOAWAY: the client's library would take no more after it."""
    buffer = bytearray()

    def frames(received: bytes) -> list[bytes]:
        buffer.extend(received)
        found = []
        while len(buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(bytes(buffer[:9])))
            if len(buffer) < 9 + length:
                break
            if not isinstance(frame, GoAwayFrame):
                found.append(bytes(buffer[: 9 + length]))
            del buffer[: 9 + length]
        return found

    return frames


def over_h2c(running: Running, paths: list[str], headers: dict[str, str]) -> list[bytes]:
    """The bodies of GETs sent at once on one connection of HTTP/2 without TLS; each was answered with 200."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    pseudo = {":method": "GET", ":scheme": "https", ":authority": headers["Host"]}
    rest = {name.lower(): value for name, value in headers.items() if name != "Host"}
    for number, path in enumerate(paths):
        client.send_headers(1 + 2 * number, [*{**pseudo, ":path": path, **rest}.items()], end_stream=True)
    frames = but_goaway()
    bodies, statuses, ended = [b""] * len(paths), [""] * len(paths), 0
    with running.connect() as connection:
        while ended < len(paths):
            connection.sendall(client.data_to_send())
            received = connection.recv(65536)
            assert received, f"it was closed after {ended} answers"
            for event in [event for frame in frames(received) for event in client.receive_data(frame)]:
                if isinstance(event, h2.events.ResponseReceived):
                    statuses[event.stream_id // 2] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id // 2] += event.data
                ended += isinstance(event, h2.events.StreamEnded)
    assert set(statuses) == {"200"}
    return bodies


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


APPS = ["app:app", "star:create_app()", "bare:wsgi", "bare:asgi", "bare:rsgi"]

SENT = {
    "Host": "shop.test:8443",
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "8443",
}

TOLD = {
    "client": "203.0.113.9",
    "scheme": "https",
    "url": "https://shop.test:8443/told",
    "server": ["shop.test", 8443],
}


@pytest.mark.parametrize("target", APPS)
def test_an_app_is_told_what_the_balancer_says_over_http1_and_h2c(release: Release, target: str) -> None:
    with running(release, target) as served:
        served.wait_until_up()
        assert json.loads(served.get("/told", SENT)[1]) == TOLD
        assert [json.loads(body) for body in over_h2c(served, ["/told"] * 3, SENT)] == [TOLD] * 3


@pytest.mark.parametrize("target", APPS)
def test_without_the_balancers_headers_the_client_is_not_known_and_the_scheme_is_http(
    release: Release, target: str
) -> None:
    with running(release, target) as served:
        served.wait_until_up()
        told = json.loads(served.get("/told", {"Host": "shop.test"})[1])
        assert told == {
            "client": "0.0.0.0",
            "scheme": "http",
            "url": "http://shop.test/told",
            "server": ["shop.test", 80],
        }


HOSTILE = [
    b"X-Forwarded-Proto: https, gopher",
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http",
    b"X-Forwarded-Proto: " + b"https" * 2_000,
    b"X-Forwarded-Proto: \xff\xfe",
    b"X-Forwarded-For: \xff\xfe\r\nX-Forwarded-Port: \xb2",
    b"X-Forwarded-For: " + b"[" * 10_000,
    b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: [2001:db8::1]:https",
    b"X-Forwarded-For:\r\nX-Forwarded-Proto:\r\nX-Forwarded-Port:",
    b"X-Forwarded-Port: -1\r\nX-Forwarded-Port: 443, 99999999999999999999",
]


@pytest.mark.parametrize("target", APPS)
def test_hostile_headers_are_answered_and_never_make_it_https(release: Release, target: str) -> None:
    with running(release, target) as served:
        served.wait_until_up()
        for lines in HOSTILE:
            with served.connect() as connection, connection.makefile("rb") as answers:
                connection.sendall(b"GET /told HTTP/1.1\r\nHost: shop.test\r\n" + lines + b"\r\n\r\n")
                assert answers.readline().split()[1] == b"200", (lines[:60], served.log)
                length = int(headers_of(answers)["content-length"])
                assert json.loads(answers.read(length))["scheme"] == "http", lines[:60]


def test_a_websocket_is_told_the_same(release: Release) -> None:
    with running(release, "star:create_app()") as served:
        served.wait_until_up()
        with websocket(served, "/told", SENT) as (_, answers):
            text = b"203.0.113.9 wss://shop.test:8443/told"
            assert answers.read(2 + len(text)) == bytes([0x81, len(text)]) + text


def test_over_h2c_sigterm_lets_the_request_in_flight_finish(release: Release) -> None:
    with running(release, "star:create_app()") as served:
        served.wait_until_up()

        def ask_to_leave() -> None:
            served.wait_until_slow_has_begun()
            served.process.send_signal(signal.SIGTERM)

        asked = threading.Thread(target=ask_to_leave)
        asked.start()
        assert over_h2c(served, ["/slow"], {"Host": "shop.test"}) == [b"slow"]
        asked.join()
        assert served.ended() == 0


@pytest.mark.parametrize("target", ["app:app", "star:create_app"])
def test_five_sigterms_let_the_request_in_flight_finish(release: Release, target: str) -> None:
    with running(release, target) as served:
        served.wait_until_up()
        thread, answers = in_background(served, "/slow")
        served.wait_until_slow_has_begun()
        for _ in range(5):
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        served.wait_until_it_refuses()
        assert served.ended() == 0
        thread.join()
        assert answers == [(200, b"slow")]


def test_without_a_request_it_leaves_at_once(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.ended() == 0
        assert time.monotonic() - started < 10
        assert served.log.endswith("exit functions ran")


def test_wsgi_works_on_as_many_requests_as_it_has_threads(release: Release) -> None:
    with running(release) as served:
        served.wait_until_up()
        asked = [in_background(served, "/threads") for _ in range(4)]
        for thread, _ in asked:
            thread.join()
        assert [answers for _, answers in asked] == [[(200, b"x")]] * 4, "each waited for the three others"


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
        with websocket(served, "/ws", {"Host": "localhost"}) as (connection, answers):
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
