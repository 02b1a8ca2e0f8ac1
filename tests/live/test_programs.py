"""What a user can bring: kinds of programs, mistakes in naming them, and two stacks that want the same thing.

Each story runs as root and as a plain user, with the real command line.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from . import apps
from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

PYTHON = "/usr/bin/python3 app.py"

ASGI = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "echo " + event["text"]})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3 if scope["path"] == "/events" else 0):
            await send({"type": "http.response.body", "body": b"data: %d\\n\\n" % number, "more_body": True})
            await asyncio.sleep(0.5)
        await send({"type": "http.response.body", "body": b""})
"""

TELLS_WHERE_IT_IS = (
    apps.SERVER
    + """
open(os.environ["HOME"] + "/mine", "w").close()
try:
    open("beside", "w").close()
except OSError as problem:
    print("beside the source:", problem.strerror, flush=True)
print("uid", os.getuid(), flush=True)
serve()
"""
)

TALKS_TOO_MUCH = (
    apps.SERVER
    + """
os.write(1, b"\\x1b]0;title\\x07 \\xff\\xfe \\x9b2J \\xe2\\x80\\xae\\n")
line = b"y" * 999 + b"\\n"
for _ in range(20_000):
    os.write(1, line)
os.write(1, b"the last line \\x1b[2J\\n")
serve()
"""
)

ON_A_SOCKET = """
import os, socketserver, sys
from http.server import BaseHTTPRequestHandler

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"by socket")
    def log_message(self, *ignored): pass

class Server(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("", 0)

Server(sys.argv[1], Answer).serve_forever()
"""


def ask(house: House, stack: str, path: str = "/") -> socket.socket:
    """A connection on which `GET path` was sent; it reads as the answer comes."""
    connection = socket.create_connection(("127.0.0.1", house.port(stack)), timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def whole(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


async def test_server_sent_events_come_as_they_are_sent_and_a_websocket_stays_open(house: House) -> None:
    folder = house.a_stack("asgi", app=ASGI, instances=1)
    await house.do("up", str(folder))
    began, arrived = time.monotonic(), []
    with ask(house, "asgi", "/events") as stream:
        while part := stream.recv(65536):
            arrived += [time.monotonic() - began] * part.count(b"data: ")
    assert len(arrived) == 3
    assert arrived[2] - arrived[0] > 0.4, "each comes when it is sent, not all at the end"
    with socket.create_connection(("127.0.0.1", house.port("asgi")), timeout=30) as talk:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
        talk.sendall(f"GET / HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode())
        assert talk.recv(65536).startswith(b"HTTP/1.1 101 ")
        talk.sendall(b"\x81\x85\0\0\0\0hello")
        assert talk.recv(65536) == b"\x81\x0aecho hello"
    house.run("down", "asgi")


@pytest.mark.parametrize(
    ("name", "app", "command", "answer"),
    [
        ("by-shell", apps.SERVER + "\nserve()\n", "sh -c 'exec /usr/bin/python3 app.py'", b"ok\n"),
        ("by-socket", ON_A_SOCKET, "/usr/bin/python3 app.py ${instance.socket}", b"by socket"),
        ("by-script", apps.SERVER + "\nserve()\n", "./serve.sh", b"ok\n"),
    ],
)
async def test_any_program_serves(house: House, name: str, app: str, command: str, answer: bytes) -> None:
    folder = house.a_stack(name, app=app, command=command, instances=1)
    house.write(folder / "serve.sh", "#!/bin/sh\nexec /usr/bin/python3 app.py\n")
    (folder / "serve.sh").chmod(0o755)
    await house.do("up", str(folder))
    assert whole(ask(house, name)).endswith(answer)
    house.run("down", name)


async def test_a_program_that_is_not_there_is_told_at_its_place_before_anything_starts(house: House) -> None:
    folder = house.a_stack("absent", app="", command="./serve.sh")
    done = await house.do("up", str(folder), check=False)
    assert done.returncode == 1
    assert "error: fairlead.yaml:4:14: cannot run ./serve.sh: the source has no such file" in done.stderr
    house.write(folder / "serve.sh", "#!/bin/sh\n")
    done = await house.do("up", str(folder), check=False)
    assert "chmod +x ./serve.sh" in done.stderr
    assert "launched" not in done.stderr
    assert house.instances("absent") == []


async def test_a_home_of_its_own_a_source_it_cannot_write_and_never_root(house: House) -> None:
    folder = house.a_stack("where", app=TELLS_WHERE_IT_IS, command=PYTHON, instances=1)
    await house.do("up", str(folder))
    printed = house.run("logs", "--stack", "where").stdout
    assert "beside the source: Permission denied" in printed
    assert "uid 0" not in printed
    house.run("down", "where")


async def test_a_flood_of_hostile_output_harms_neither_the_service_nor_the_terminal(house: House) -> None:
    folder = house.a_stack("flood", app=TALKS_TOO_MUCH, command=PYTHON, instances=1)
    await house.do("up", str(folder))
    printed = house.run("logs", "--stack", "flood").stdout
    assert len(printed) < 1_000_000, "twenty megabytes are not shown to whoever wants the last lines"
    assert "the last line \\x1b[2J" in printed
    first = house.run("logs", "--stack", "flood", "--lines", "100000").stdout
    for sign in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert sign not in printed + first
    house.run("down", "flood")


async def test_two_stacks_want_one_port_and_the_second_is_told_who_has_it(house: House) -> None:
    folder = house.a_stack("first", app=apps.SERVER + "\nserve()\n", command=PYTHON, instances=1)
    await house.do("up", str(folder))
    second = house.a_stack("second", app=apps.SERVER + "\nserve()\n", command=PYTHON, instances=1)
    house.edit(second, str(house.port("second")), str(house.port("first")))
    done = await house.do("up", str(second), check=False)
    assert done.returncode == 1
    assert "error: fairlead.yaml:8:14: port " in done.stderr
    assert f"port {house.port('first')} on 127.0.0.1 is taken: stack first has a default there" in done.stderr
    assert "stack second" in done.stderr
    assert whole(ask(house, "first")).endswith(b"ok\n")
    house.run("down", "first")


async def test_another_folder_cannot_take_over_a_stack_by_its_name_but_a_moved_one_goes_on(house: House) -> None:
    folder = house.a_stack("mine", app=apps.SERVER + "\nserve()\n", command=PYTHON, instances=1)
    await house.do("up", str(folder))
    before = house.healthy("mine")
    other = house.a_stack("other", app="raise SystemExit\n", command=PYTHON, instances=1)
    house.edit(other, "name: other", "name: mine")
    done = await house.do("up", str(other), check=False)
    assert done.returncode == 2
    assert f"another stack is up under the name mine: it came from {folder}/fairlead.yaml" in done.stderr
    moved = folder.rename(folder.with_name("mine-moved"))
    done = await house.do("up", str(moved))
    assert "the file of mine has moved" in done.stderr
    assert "nothing to change" in done.stderr
    assert house.healthy("mine") == before
    house.run("down", "mine")


async def test_values_of_the_environment_stay_with_the_instances(house: House) -> None:
    secret = "correct-horse-" + os.urandom(8).hex()
    settings = 'environment: {TOKEN: "${env.TOKEN}"}'
    folder = house.a_stack("secret", app=apps.SERVER + "\nserve()\n", command=PYTHON, settings=settings, instances=1)
    house.write(folder / ".env", f"TOKEN={secret}\n")
    await house.do("up", str(folder))
    (instance,) = house.healthy("secret")
    assert secret.encode() in Path(f"/proc/{instance['pid']}/environ").read_bytes()
    assert not [words for words in house.processes().values() if secret in words]
    house.edit(folder, "serve()", "sys.exit(7)", "app.py")
    done = await house.do("up", str(folder), check=False)
    said = [done.stdout, done.stderr, (house.home / "logs" / "daemon.log").read_text(errors="replace")]
    said += [house.run(*words).stdout for words in (("status", "--json"), ("events", "--limit", "1000"))]
    assert not [text for text in said if secret in text]
    others = subprocess.run(
        [*OTHER_USER, "grep", "-rlsF", secret, str(house.home)] if os.getuid() == 0 else ["true"],
        capture_output=True, text=True, timeout=60, cwd="/",
    )  # fmt: skip
    assert others.stdout == "", "another user can read it"
    house.run("down", "secret")


OTHER_USER = ("setpriv", "--reuid=64322", "--regid=64322", "--clear-groups")


async def test_down_all_ends_what_a_killed_daemon_and_keeper_left(house: House) -> None:
    folder = house.a_stack("orphans", app=apps.SERVER + "\nserve()\n", command=PYTHON)
    await house.do("up", str(folder))
    daemon = house.daemon_pid()
    assert daemon is not None
    for pid in [*(pid for pid, words in house.processes().items() if "fairlead-keeper" in words), daemon]:
        os.kill(pid, signal.SIGKILL)
    assert whole(ask(house, "orphans")).endswith(b"ok\n"), "both died, and it serves on"
    await house.do("down", "--all")
    assert house.processes() == {}


async def test_one_that_can_be_reached_past_the_load_balancer_is_served_and_told_so(house: House) -> None:
    app = apps.SERVER + '\nServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()\n'
    folder = house.a_stack("open", app=app, command=PYTHON, instances=1)
    await house.do("up", str(folder))

    def told() -> str:
        said = house.run("events", "--stack", "open").stdout
        return said if "past the load balancer" in said else ""

    assert "web-1: the program listens on 0.0.0.0:" in await house.until("it is told", told)
    house.run("down", "open")
