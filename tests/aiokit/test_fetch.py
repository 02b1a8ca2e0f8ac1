"""GET from real servers that are slow, endless, broken or elsewhere."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from fairlead.aiokit.fetch import MOST_REDIRECTS, get
from fairlead.errors import FairleadError

SECRET = "T0k3n"


@contextmanager
def answering(*answers: bytes, holds: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A server whose connections get these bytes, one after the other, the last for all that follow; `{port}` is its
    own. holds: it does not close them. The address, and what was asked."""
    asked: list[bytes] = []
    open_ones: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    open_ones.append(connection)
                    threading.Thread(target=one, args=(connection, len(open_ones) - 1), daemon=True).start()

        def one(connection: socket.socket, number: int) -> None:
            with suppress(OSError):
                asked.append(connection.recv(65536))
                answer = answers[min(number, len(answers) - 1)]
                connection.sendall(answer.replace(b"{port}", str(port).encode()))
                if not holds:
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/{SECRET}?a=b", asked
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            for connection in open_ones:
                connection.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def to(place: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()


async def fetched(url: str, timeout: float = 5.0, most: int = 1000) -> bytes:
    return await get(url, accept="text/plain", timeout=timeout, most=most)


async def test_the_body_of_a_200_comes_back_and_the_request_says_who_asks_for_what() -> None:
    with answering(ok(b"17")) as (url, asked):
        assert await fetched(url.replace("//", "//me:pass@")) == b"17"
    (request,) = asked
    head = request.decode().split("\r\n")
    assert head[0] == f"GET /{SECRET}?a=b HTTP/1.1"
    assert {"Accept: text/plain", "Accept-Encoding: identity", "Connection: close"} <= set(head)
    assert "Authorization: Basic bWU6cGFzcw==" in head


async def test_chunks_and_answers_that_end_with_the_connection_are_read_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n17\r\n3\r\n.25\r\n0\r\n\r\n"
    with answering(chunked) as (url, _):
        assert await fetched(url) == b"17.25"
    with answering(b"HTTP/1.0 200 OK\r\n\r\n17") as (url, _):
        assert await fetched(url) == b"17"


async def test_a_redirect_within_the_server_is_followed() -> None:
    with answering(to("/there"), to("http://127.0.0.1:{port}/at?last=1", 308), ok(b"17")) as (url, asked):
        assert await fetched(url) == b"17"
    assert [request.split(b" ")[1] for request in asked] == [f"/{SECRET}?a=b".encode(), b"/there", b"/at?last=1"]


@pytest.mark.parametrize(
    "place", ["http://127.0.0.2:{port}/", "http://127.0.0.1:1/", "https://127.0.0.1:{port}/", "ftp://x/"]
)
async def test_a_redirect_to_anywhere_else_is_not_followed(place: str) -> None:
    with answering(to(place)) as (url, asked):
        with pytest.raises(FairleadError, match="it sends to another host, which is not asked"):
            await fetched(url)
        assert len(asked) == 1


async def test_a_circle_of_redirects_ends() -> None:
    with answering(to("/again")) as (url, asked):
        with pytest.raises(FairleadError, match=f"it sends on more than {MOST_REDIRECTS} times"):
            await fetched(url)
        assert len(asked) == MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "it answered 503"),
        (ok(b"x" * 1001), "it answered more than 1000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n" * 2,
            "it answered",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12", "its answer broke off after 2 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n12", "no answer that is HTTP (IncompleteRead)"),
        (b"hello\r\n\r\n", "no answer that is HTTP (BadStatusLine)"),
        (b"", "no answer that is HTTP (RemoteDisconnected)"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "no answer that is HTTP (HTTPException)"),
    ],
)
async def test_what_cannot_be_read_is_said_without_the_address(answer: bytes, why: str) -> None:
    with answering(answer) as (url, _), pytest.raises(FairleadError) as caught:
        await fetched(url)
    assert caught.value.why.startswith(why) or why.endswith("(RemoteDisconnected)")
    assert SECRET not in caught.value.sentence
    assert caught.value.what == f"{url.split('/')[2]} cannot be asked"


async def test_a_server_that_says_nothing_or_never_ends_is_left_in_time() -> None:
    began = asyncio.get_running_loop().time()
    for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n1", b"HTTP/1.1 200 OK\r\nX: "):
        with answering(answer, holds=True) as (url, _), pytest.raises(FairleadError, match="did not answer"):
            await fetched(url, timeout=0.2)
    assert asyncio.get_running_loop().time() - began < 3
    await until_no_thread_asks()


async def test_a_caller_that_goes_away_leaves_no_thread_behind() -> None:
    with answering(b"", holds=True) as (url, asked):
        task = asyncio.create_task(fetched(url, timeout=60))
        async with asyncio.timeout(60):
            while not asked:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_no_thread_asks()


async def until_no_thread_asks() -> None:
    async with asyncio.timeout(60):
        while [thread for thread in threading.enumerate() if thread.name.startswith("get from")]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", "http:///x", "gopher://127.0.0.1/x"])
async def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(FairleadError, match="its address is not a URL"):
        await fetched(url)


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FairleadError, match="Connection refused"):
        await fetched(f"http://127.0.0.1:{port}/")
