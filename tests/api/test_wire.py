"""The client's side of one request, against the bytes that a server may send, cut wherever a connection may end."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

import pytest

from fairlead.api.wire import Exchange, quoted
from fairlead.errors import UsageError
from tests.needs import need

pytestmark = pytest.mark.live

STRANGER = 61234
"""A user that nobody is."""


@contextmanager
def answering(folder: Path, *pieces: bytes) -> Iterator[tuple[Exchange, list[bytes]]]:
    """A server that reads one request and answers with these pieces, each sent by itself, then closes."""
    path, asked = str(folder / "s"), []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(_request(connection))
                # The client leaves when it has what it wants, also before the last piece.
                with suppress(BrokenPipeError):
                    for piece in pieces:
                        connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        exchange = Exchange(path, 5)
        try:
            yield exchange, asked
        finally:
            exchange.close()
            thread.join()


def _request(connection: socket.socket) -> bytes:
    """The whole request: its head, and as many bytes as that says."""
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += connection.recv(65536)
    head, _, body = asked.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def whole(exchange: Exchange) -> bytes:
    exchange.ask("GET", "/", None)
    return exchange.read()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",), b"hello"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b" and more that is not of it"), b"hello"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",), b""),
        ((b"HTTP/1.0 200 OK\r\n\r\nto the ", b"end"), b"to the end"),
        ((CHUNKED, b"5\r\nhello\r\n", b"1;x=y\r\n!\r\n", b"0\r\n\r\n"), b"hello!"),
        ((CHUNKED + b"A\r\n01234", b"56789\r", b"\n0\r\n\r\n"), b"0123456789"),
    ],
)
def test_an_answer_is_read_whole_however_it_is_framed(tmp_path: Path, pieces: tuple[bytes, ...], body: bytes) -> None:
    with answering(tmp_path, *pieces) as (exchange, _):
        assert exchange.ask("GET", "/", None) == 200
        assert exchange.read() == body
        assert exchange.read() == b""


def test_lines_come_as_they_are_complete_and_a_cut_one_does_not(tmp_path: Path) -> None:
    pieces = (CHUNKED, b"3\r\na\nb\r\n", b"4\r\nc\n\nd\r\n", b"0\r\n\r\n")
    with answering(tmp_path, *pieces) as (exchange, _):
        exchange.ask("GET", "/", None)
        assert list(exchange.lines()) == [b"a", b"bc", b""]


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",),
        (CHUNKED, b"5\r\nhel"),
        (CHUNKED, b"5\r\nhello\r\n"),
    ],
)
def test_an_answer_that_ends_in_the_middle_is_a_lost_connection(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    with answering(tmp_path, *pieces) as (exchange, _), pytest.raises(ConnectionResetError):
        whole(exchange)


@pytest.mark.parametrize(
    "piece",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_no_http_is_a_value_error(tmp_path: Path, piece: bytes) -> None:
    with answering(tmp_path, piece) as (exchange, _), pytest.raises(ValueError, match=r".+"):
        whole(exchange)


def test_a_request_carries_its_length_and_closes(tmp_path: Path) -> None:
    with answering(tmp_path, b"HTTP/1.1 204 No Content\r\n\r\n") as (exchange, asked):
        assert exchange.ask("POST", "/x?y=1", b"{}") == 204
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 2" in head
    assert b"\r\nConnection: close" in head
    assert body == b"{}"


@pytest.mark.parametrize("text", ["shop", "a b&c=d/e?f#g%h+i", "ü\n\0", "-._~", ""])
def test_text_is_quoted_so_that_it_is_read_back_and_changes_no_request(text: str) -> None:
    shown = quoted(text)
    assert unquote(shown) == text
    assert not set(shown) & set(" &=/?#+\n\0")


@contextmanager
def a_stranger_answers(run: Path) -> Iterator[str]:
    """Another user's server, where a run folder has its socket; its path."""
    path = str(run / "daemon" / "api.sock")
    (run / "daemon").mkdir(parents=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            # Who listens is who is met, whoever bound the path.
            listening.listen()
            os.write(tell, b"ready")
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(ready, 5) == b"ready"
        yield path
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        listening.close()


def test_another_user_who_was_first_in_tmp_is_sent_nothing(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "root, to have another user answer")
    with a_stranger_answers(tmp_path / "fairlead-0-01") as path:
        exchange = Exchange(path, 5)
        with pytest.raises(UsageError, match=f"it is a program of user {STRANGER}, and this is user 0"):
            exchange.ask("POST", "/stacks", b"secret")
        exchange.close()


def test_a_link_of_another_users_makes_him_no_owner_of_the_home(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "root, to have another user answer")
    own = tmp_path / "own"
    with a_stranger_answers(own / "run"):
        os.chown(own, STRANGER, STRANGER)
        (tmp_path / "tmp").mkdir()
        (tmp_path / "tmp" / "run").symlink_to(own / "run")
        exchange = Exchange(str(tmp_path / "tmp" / "run" / "daemon" / "api.sock"), 5)
        with pytest.raises(UsageError):
            exchange.ask("GET", "/version", None)
        exchange.close()


def test_root_may_ask_the_daemon_of_another_users_home(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "root, to have another user answer")
    with a_stranger_answers(tmp_path / "home" / "run") as path:
        os.chown(tmp_path / "home", STRANGER, STRANGER)
        exchange = Exchange(path, 5)
        assert exchange.ask("GET", "/version", None) == 200
        exchange.close()
