"""POST to real servers: the status comes back, and whatever goes wrong is said without the URL's secret."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairlead.aiokit.fetch import get
from fairlead.aiokit.post import post_json
from fairlead.aiokit.web import host_of
from fairlead.errors import FairleadError
from tests.aiokit.receiver import receiving
from tests.needs import need

SECRET = "T0k3n"


async def test_the_body_arrives_with_its_headers_and_the_status_comes_back() -> None:
    with receiving() as receiver:
        status = await post_json(f"{receiver.url}/hook/{SECRET}?a=1&b=%20", b'{"x": 1}')
    assert status == 204
    (request,) = receiver.requests
    assert (request.path, request.body) == (f"/hook/{SECRET}?a=1&b=%20", b'{"x": 1}')
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("fairlead/")
    assert "Authorization" not in request.headers


async def test_a_name_and_password_in_the_address_are_sent_as_basic_authentication() -> None:
    with receiving() as receiver:
        await post_json(receiver.url.replace("http://", "http://me:p%40ss@") + "/", b"{}")
    (request,) = receiver.requests
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"me:p@ss"


async def test_a_redirect_is_not_followed() -> None:
    with receiving() as other, receiving(status=302, location=other.url) as receiver:
        assert await post_json(f"{receiver.url}/", b"{}") == 302
    assert other.requests == []


@contextmanager
def a_mute_server(greeting: bytes = b"") -> Iterator[str]:
    """Accepts, says `greeting`, then nothing, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.sendall(greeting)
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


async def test_one_that_does_not_answer_is_given_up_in_time() -> None:
    loop = asyncio.get_running_loop()
    with a_mute_server() as url:
        began = loop.time()
        with pytest.raises(FairleadError, match="did not answer in time"):
            await post_json(f"{url}/{SECRET}", b"{}", silence=0.2)
        assert loop.time() - began < 5


async def test_one_that_answers_byte_by_byte_is_given_up_too() -> None:
    def drip(connection: socket.socket) -> None:
        with connection:
            while not over.wait(0.05):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: drip(server.accept()[0]), daemon=True)
        thread.start()
        with pytest.raises(FairleadError, match="it was not done within"):
            await post_json(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}", b"{}", silence=0.2)
        over.set()
        thread.join()


async def test_a_cancelled_one_leaves_no_thread() -> None:
    with a_mute_server() as url:
        task = asyncio.create_task(post_json(f"{url}/", b"{}"))
        while not [thread for thread in threading.enumerate() if thread.name.startswith("post to")]:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(60):
            while [thread for thread in threading.enumerate() if thread.name.startswith("post to")]:
                await asyncio.sleep(0.01)


def a_closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://127.0.0.1:CLOSED/{SECRET}", "Connection refused"),
        (f"http:///{SECRET}", "not a URL"),
        (f"http://127.0.0.1:99999/{SECRET}", "not a URL"),
        (f"ftp://127.0.0.1/{SECRET}", "not a URL"),
    ],
)
async def test_what_goes_wrong_is_said_without_the_secret(url: str, why: str) -> None:
    with pytest.raises(FairleadError, match=why) as caught:
        await post_json(url.replace("CLOSED", str(a_closed_port())), b"{}")
    assert SECRET not in str(caught.value.to_json())


async def test_what_is_no_http_is_said() -> None:
    with a_mute_server(b"220 mail.example.com ESMTP\r\n\r\n") as url, pytest.raises(FairleadError, match="is HTTP"):
        await post_json(f"{url}/{SECRET}", b"{}", silence=2.0)


async def test_a_path_with_odd_characters_is_escaped() -> None:
    with receiving() as receiver:
        await post_json(f"{receiver.url}/h\u00f6ok/\u2028?\u00e4=1", b"{}")
    assert receiver.requests[0].path == "/h%C3%B6ok/%E2%80%A8?%C3%A4=1"


async def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(shutil.which("openssl"), "openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiving(tls=context) as receiver:
        url = f"https://localhost:{receiver.port}/{SECRET}"
        with pytest.raises(FairleadError, match="certificate is not trusted") as caught:
            await post_json(url, b"{}")
        assert SECRET not in str(caught.value)
        with pytest.raises(FairleadError, match="certificate is not trusted"):
            await get(url, accept="*/*", timeout=10, most=10)
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await post_json(url, b"{}") == 204
        with pytest.raises(FairleadError, match="it answered 501"):  # trusted, and takes POSTs only
            await get(url, accept="*/*", timeout=10, most=10)
        with pytest.raises(FairleadError, match="certificate is not trusted"):
            await post_json(f"https://127.0.0.1:{receiver.port}/", b"{}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://me:{SECRET}@hooks.example.com/{SECRET}?{SECRET}", "hooks.example.com"),
        (f"http://localhost:9000/{SECRET}", "localhost:9000"),
        (f"http://localhost:99999/{SECRET}", "a webhook"),
    ],
)
def test_only_the_host_of_a_webhook_is_shown(url: str, shown: str) -> None:
    assert host_of(url) == shown
