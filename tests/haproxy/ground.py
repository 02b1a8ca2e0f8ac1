"""A HAProxy that runs a rendering in the foreground, and clients that put to it what they like. For tests that ask many
small questions of one configuration; nothing of the node takes part."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fairlead.core.traffic import Routing, Target
from fairlead.haproxy import access, maps
from fairlead.haproxy.render import Place, render
from fairlead.haproxy.servers import Member

PATIENCE = 30.0

LOG_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_APPEND


@dataclass(frozen=True)
class Reply:
    """What came back. headers: (name in lower case, value), in order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for other, value in self.headers if other == name), "")

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]


class Client:
    """One connection."""

    def __init__(
        self, port: int, address: str = "127.0.0.1", source: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        origin = (source, 0) if source else None
        self._socket = socket.create_connection((address, port), timeout=PATIENCE, source_address=origin)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self._seen = b""

    def ask(self, request: bytes, method: str = "GET") -> Reply:
        """EOFError when it is closed instead."""
        self.say(request)
        return self.hear(method)

    def say(self, request: bytes) -> None:
        self._socket.sendall(request)

    def hear(self, method: str = "GET") -> Reply:
        while b"\r\n\r\n" not in self._seen:
            self._more()
        head, _, self._seen = self._seen.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        size = 0 if method == "HEAD" else int(dict(headers).get("content-length", "0"))
        while len(self._seen) < size:
            self._more()
        body, self._seen = self._seen[:size], self._seen[size:]
        return Reply(int(first.split(" ")[1]), headers, body)

    def ends(self) -> bool:
        """Whether the other side closes now, with nothing more said."""
        with suppress(ConnectionError):
            return self._seen + self._socket.recv(1) == b""
        return True

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _more(self) -> None:
        got = self._socket.recv(65536)
        if not got:
            raise EOFError(self._seen)
        self._seen += got


def wire(
    method: str = "GET", target: str = "/", headers: Iterable[tuple[str, str]] = (("Host", "test"),), body: str = "",
    version: str = "HTTP/1.1",
) -> bytes:  # fmt: skip
    """A request as it is sent."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} {version}\r\n{lines}{length}\r\n{body}".encode("latin-1")


class Mirror:
    """A target that answers with its name on the first line, and the head of the request behind it. Its checks pass."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.answer: bytes = b""
        """Instead of the usual one, when not empty."""
        self.delay = 0.0
        """Seconds before an answer."""
        threading.Thread(target=self._accept, name=f"mirror {name}", daemon=True).start()

    def close(self) -> None:
        # Closing alone would leave the thread in `accept`.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with taken, suppress(OSError):
            seen = b""
            while got := taken.recv(65536):
                seen += got
                while b"\r\n\r\n" in seen:
                    head, _, seen = seen.partition(b"\r\n\r\n")
                    size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                    while size and len(seen) < int(size[1]):
                        seen += taken.recv(65536)
                    seen = seen[int(size[1]) if size else 0 :]
                    time.sleep(self.delay)
                    body = self.name.encode() + b"\n" + head
                    taken.sendall(self.answer or b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def told(reply: Reply) -> tuple[str, str, dict[str, list[str]]]:
    """What a mirror saw: (its name, the request's first line, its headers)."""
    name, head = reply.body.decode("latin-1").split("\n", 1)
    first, *lines = head.split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers.setdefault(key.lower(), []).append(value.strip())
    return name, first, headers


def mirrors_of(routings: Iterable[Routing]) -> list[tuple[Mirror, Member]]:
    """One target in service for each group; its name is the group's."""
    found = []
    for routing in routings:
        for group in routing.groups:
            full = f"{routing.stack}.{group.name}"
            mirror = Mirror(full)
            target = Target(group=full, id=f"{group.name}-1", number=1, address=mirror.address, mode="in_service")
            found.append((mirror, Member(target=target)))
    return found


@contextmanager
def serving(
    haproxy: str, routings: Sequence[Routing], *, targets: bool = True, certificate: str = "",
    mirrors: dict[str, Mirror] | None = None, logs: str = "", members: Sequence[Member] = (),
    without: Collection[str] = (),
) -> Iterator[str]:  # fmt: skip
    """Run HAProxy with that configuration until the block ends; its text. certificate: PEM for every HTTPS listener;
    mirrors: gets the targets, by group; members: others beside them; without: groups that have none of them; logs: a folder for the access logs, each named by
    its stack, that of shared ports `shared`."""
    folder = tempfile.mkdtemp(prefix="fl-g-")
    known = [one for one in mirrors_of(routings) if one[0].name not in without] if targets else []
    if mirrors is not None:
        mirrors.update({mirror.name: mirror for mirror, _ in known})
    endpoints = [(one.address, one.port) for routing in routings for one in routing.listeners]
    place = Place(
        runtime_socket=f"{folder}/s", pidfile=f"{folder}/p", state_file=f"{folder}/state", fd_limit=4096, threads=1,
        tls_folder=f"{folder}/tls/now", maps_folder=f"{folder}/ma\"ps, of 'rules'",
    )  # fmt: skip
    Path(folder, "tls/now").mkdir(parents=True)
    Path(place.maps_folder).mkdir()
    for name, table in maps.files(routings).items():
        Path(place.maps_folder, name).write_text(table)
    Path(folder, "state").touch()
    if certificate:
        Path(folder, "tls/a.pem").write_text(certificate)
        for address, port in endpoints:
            Path(folder, f"tls/now/{address.replace(':', '.')}_{port}.list").write_text("a.pem\n")
    text = render(routings, [*(member for _, member in known), *members], place)
    Path(folder, "a.cfg").write_text(text)
    wanted = access.logs(routings) if logs else ()
    files = {access.variable(one): os.open(f"{logs}/{one or 'shared'}", LOG_FLAGS, 0o600) for one in wanted}
    environment = {**os.environ, **{name: str(descriptor) for name, descriptor in files.items()}}
    with open(f"{folder}/log", "w+") as log:
        process = subprocess.Popen(
            [haproxy, "-db", "-f", f"{folder}/a.cfg"], stdout=log, stderr=log, env=environment, pass_fds=files.values()
        )
        for descriptor in files.values():
            os.close(descriptor)
        try:
            _wait_until_it_listens(process, endpoints, Path(folder, "log"))
            yield text
        finally:
            process.kill()
            process.wait()
            for mirror, _ in known:
                mirror.close()
            shutil.rmtree(folder)


def _wait_until_it_listens(process: subprocess.Popen[bytes], endpoints: list[tuple[str, int]], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(endpoints[-1], timeout=1.0).close()
            return
        except OSError as problem:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"HAProxy does not listen: {log.read_text()}") from problem
            time.sleep(0.005)
