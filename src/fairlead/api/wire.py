"""One HTTP request over a Unix socket, by the standard library's `http.client`: what `client` sends and reads.

In: a method, a target and a body. Out: a status, and the answer's bytes, line by line as they come or all at once.
OSError: the connection failed, or ended in the middle; ValueError: the answer is no HTTP; UsageError: somebody else
than the home's daemon is listening.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from fairlead.errors import UsageError


def quoted(text: str) -> str:
    """`text` as one part of a path, or one value of a query: percent-encoded UTF-8."""
    return quote(text, safe="", errors="surrogateescape")


class Exchange:
    """One request and its answer. Close it, also after an error. seconds: how long each read may take."""

    def __init__(self, socket_path: str, seconds: float) -> None:
        self._connection = _UnixConnection(socket_path, seconds)
        self._response: http.client.HTTPResponse | None = None

    def ask(self, method: str, target: str, body: bytes | None) -> int:
        """Send the request and read the head of the answer; its status."""
        headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if body is not None else {})
        with _plain_errors():
            self._connection.request(method, target, body=body, headers=headers)
            self._response = self._connection.getresponse()
        return self._response.status

    def read(self) -> bytes:
        """The rest of the answer."""
        assert self._response is not None
        with _plain_errors():
            return self._response.read()

    def lines(self) -> Iterator[bytes]:
        """The answer's lines as they come, without their ends; one that the connection cut off is left out."""
        assert self._response is not None
        while True:
            with _plain_errors():
                line = self._response.readline()
            if not line.endswith(b"\n"):
                return
            yield line[:-1]

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        _refuse_stranger(self.sock, self._path)


def _refuse_stranger(connected: socket.socket, path: str) -> None:
    """The run folder may lie in /tmp, where anybody can be first: he would be sent secrets, and say what is to be run.

    Whom to believe: root and ourselves; and root, at another user's home, its owner, in whose folder the run folder
    lies. UsageError for anybody else."""
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    us = os.geteuid()
    # HOME/run/daemon/api.sock, by its text: `..` would follow a link that a stranger made.
    home = os.path.dirname(os.path.dirname(os.path.dirname(path)))
    if uid in (0, us) or (us == 0 and uid == os.stat(home).st_uid):
        return
    raise UsageError(
        f"what answers on {path} is not to be trusted",
        f"it is a program of user {uid}, and this is user {us}",
        "Remove that folder, or choose another home with --home.",
    )


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except http.client.IncompleteRead as error:
        raise ConnectionResetError("the connection was closed before the answer was complete") from error
    except http.client.HTTPException as error:
        if isinstance(error, OSError):
            raise  # nothing came at all: it says so itself
        raise ValueError(f"it is no HTTP: {type(error).__name__}: {error}") from error
