"""A client that sends exactly the bytes it is given, and keeps exactly those that it gets. Blocking, with deadlines."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

PATIENCE = 30.0
"""Seconds for what must come, on a machine that does other things."""

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def cookies(self) -> dict[str, str]:
        """Name to value, of every Set-Cookie."""
        pairs = (line.split(";")[0].partition("=") for line in self.all("set-cookie"))
        return {name: value for name, _, value in pairs}


class Closed(Exception):
    """The connection ended before an answer was complete. `said`: what had come."""

    def __init__(self, said: bytes) -> None:
        super().__init__(f"closed after {said!r}")
        self.said = said


class Client:
    """One connection. source: the address to come from. `opened`: when, as the clock on the wall says."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", source: str = "", tls: ssl.SSLContext | None = None, sni: str = ""
    ) -> None:
        here = (source, 0) if source else None
        self.opened = time.time()
        self._socket = socket.create_connection((host, port), PATIENCE, source_address=here)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=sni or "localhost")
        self._rest = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    @property
    def socket(self) -> socket.socket:
        return self._socket

    def send(self, raw: bytes) -> Client:
        self._socket.sendall(raw)
        return self

    def ask(
        self,
        target: str = "/",
        headers: Headers = (),
        *,
        method: str = "GET",
        host: str | None = "test",
        body: bytes = b"",
    ) -> Answer:
        """A request on this connection, and its answer."""
        self.send(request(target, headers, method=method, host=host, body=body))
        return self.answer(head=method == "HEAD")

    def answer(self, *, head: bool = False) -> Answer:
        """The next answer; 100 Continue is one as well. Closed: it does not come."""
        start, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        _, status, *reason = start.split(" ", 2)
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        known = {name.lower(): value for name, value in headers}
        body = b""
        if not head and status not in ("100", "101", "204", "304"):
            if "chunked" in known.get("transfer-encoding", ""):
                while size := int(self.until(b"\r\n"), 16):
                    body += self._exactly(size)
                    self._exactly(2)
                self.until(b"\r\n")
            elif "content-length" in known:
                body = self._exactly(int(known["content-length"]))
            else:
                body = self._everything()
        return Answer(status=int(status), reason="".join(reason), headers=headers, body=body)

    def read(self, count: int) -> bytes:
        """Bytes of an upgraded connection."""
        return self._exactly(count)

    def ends(self, within: float = PATIENCE) -> bool:
        """Whether the other side closes within that time, saying nothing more."""
        self._socket.settimeout(within)
        try:
            return not self._rest and self._socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)

    def until(self, end: bytes) -> bytes:
        """Everything up to `end`, which is taken as well."""
        while end not in self._rest:
            self._rest += self._more()
        said, _, self._rest = self._rest.partition(end)
        return said

    def _exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._rest += self._more()
        said, self._rest = self._rest[:count], self._rest[count:]
        return said

    def _everything(self) -> bytes:
        with suppress(Closed):
            while True:
                self._rest += self._more()
        said, self._rest = self._rest, b""
        return said

    def _more(self) -> bytes:
        try:
            said = self._socket.recv(65536)
        except ConnectionError:
            said = b""
        if not said:
            raise Closed(self._rest)
        return said


def request(
    target: str = "/", headers: Headers = (), *, method: str = "GET", host: str | None = "test", body: bytes = b""
) -> bytes:
    """Its bytes. host: None leaves the header out."""
    lines = [] if host is None else [("Host", host)]
    lines += [*headers]
    if body:
        lines.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def ask(
    port: int,
    target: str = "/",
    headers: Headers = (),
    *,
    method: str = "GET",
    host: str | None = "test",
    body: bytes = b"",
    source: str = "",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request on a connection of its own."""
    with Client(port, source=source, tls=tls) as client:
        return client.ask(target, headers, method=method, host=host, body=body)


def tell(port: int, raw: bytes) -> Answer:
    """The answer to these bytes, on a connection of their own."""
    with Client(port) as client:
        return client.send(raw).answer()


def websocket(client: Client, target: str = "/", headers: Headers = (), host: str = "test") -> Answer:
    """Ask for an upgrade; what comes behind a 101 are the echoed bytes."""
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    return client.ask(target, [*upgrade, *headers], host=host)
