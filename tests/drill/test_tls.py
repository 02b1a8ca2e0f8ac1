"""The client side speaks to HTTPS listeners, and verifies them as any client would."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Literal

import pytest

from fairlead.drill.distribution import Answer, ask, asking
from fairlead.drill.load import Load, run
from fairlead.drill.tls import covers, server_name, trusting
from fairlead.errors import UsageError
from tests.certificates.builders import DAY, Made, files, made, put
from tests.drill.servers import Exchange, a_server

BOTH: tuple[Literal["new", "keep_alive"], ...] = ("new", "keep_alive")


@pytest.fixture(scope="module")
def root() -> Made:
    return made(ca=True, common="Root")


@pytest.fixture
def trusted(tmp_path: Path, root: Made) -> str:
    return str(put(tmp_path / "root.pem", root.pem))


def showing(folder: Path, one: Made) -> ssl.SSLContext:
    """A server's context with that certificate."""
    pair = files(folder, one)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.file, pair.key)
    return context


@pytest.mark.parametrize("connections", BOTH)
async def test_every_request_is_sent_once_and_answered(
    connections: Literal["new", "keep_alive"], tmp_path: Path, root: Made, trusted: str
) -> None:
    async with a_server(tls=showing(tmp_path, made("127.0.0.1", issuer=root))) as server:
        report = await run(server.url, rate=100, duration=0.25, connections=connections, tls=trusting(trusted))
    assert (report.sent, report.ok, report.lost) == (25, 25, 0), report
    assert len(server.seen) == 25
    assert server.connections == 25 if connections == "new" else server.connections < 25


async def test_a_certificate_for_another_name_loses_every_request_by_its_own_kind(
    tmp_path: Path, root: Made, trusted: str
) -> None:
    async with a_server(tls=showing(tmp_path, made("shop.test", issuer=root))) as server:
        wrong = await run(server.url, rate=50, duration=0.1, tls=trusting(trusted))
        right = await run(server.url, rate=50, duration=0.1, tls=trusting(trusted), server_name="shop.test")
        nobody = await run(server.url, rate=50, duration=0.1, tls=trusting(), server_name="shop.test")
    assert (right.ok, wrong.ok, nobody.ok) == (5, 0, 0)
    assert all("does not hold" in kind for report in (wrong, nobody) for kind in report.errors)
    assert len(wrong.errors) == 1


async def test_a_server_that_goes_in_mid_answer_is_counted(tmp_path: Path, root: Made, trusted: str) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
        exchange.reset()

    async with a_server(cut, tls=showing(tmp_path, made("127.0.0.1", issuer=root))) as server:
        report = await run(server.url, rate=50, duration=0.1, tls=trusting(trusted))
    assert report.errors == {"cut off in the middle of the answer": 5}


async def test_a_server_that_speaks_no_tls_is_an_error_and_not_a_wait(trusted: str) -> None:
    async with a_server() as server:
        url = server.url.replace("http:", "https:")
        report = await run(url, rate=50, duration=0.1, timeout=0.5, tls=trusting(trusted))
    assert report.lost == report.sent == 5


def test_the_url_and_the_context_must_agree(trusted: str) -> None:
    with pytest.raises(UsageError) as plain:
        Load("https://127.0.0.1/", rate=1)
    with pytest.raises(UsageError) as encrypted:
        Load("http://127.0.0.1/", rate=1, tls=trusting(trusted))
    assert ("http://" in plain.value.next_step, "https://" in encrypted.value.next_step) == (True, True)


# fairlead check


def a_listener(url: str, host: str, *certificates: dict[str, Any]) -> dict[str, Any]:
    return {"url": url, "path": "/", "host": host, "certificates": list(certificates)}


async def test_a_check_asks_by_the_host_and_verifies_it(tmp_path: Path, root: Made, trusted: str) -> None:
    async with a_server(tls=showing(tmp_path, made("shop.test", "*.shop.test", issuer=root))) as server:
        shown = {"names": ["shop.test", "*.shop.test"], "file": ""}
        for host in ("shop.test", "www.shop.test", "localhost", ""):
            answer = await asyncio.to_thread(asking(trusted), a_listener(server.url, host, shown), "t")
            assert answer == Answer(code=200), host
        # Without a word of the daemon's about names: by the host.
        assert await asyncio.to_thread(asking(trusted), a_listener(server.url, "shop.test"), "t") == Answer(code=200)
        wrong = await asyncio.to_thread(asking(trusted), a_listener(server.url, "localhost"), "t")
        assert "its certificate does not hold" in wrong.failure


async def test_a_listeners_own_certificate_is_trusted_whoever_issued_it(tmp_path: Path) -> None:
    async with a_server(tls=showing(tmp_path, made("shop.test"))) as server:
        shown = {"names": ["shop.test"], "file": str(tmp_path / "shop.pem")}
        assert (await asyncio.to_thread(asking(), a_listener(server.url, "shop.test", shown), "t")).code == 200
        unread = {**shown, "file": "/nowhere.pem"}
        answer = await asyncio.to_thread(asking(), a_listener(server.url, "shop.test", unread), "t")
        assert "its certificate does not hold" in answer.failure


async def test_one_that_has_expired_does_not_hold(tmp_path: Path, root: Made, trusted: str) -> None:
    expired = made("shop.test", issuer=root, begins=-9 * DAY, ends=-DAY)
    async with a_server(tls=showing(tmp_path, expired)) as server:
        answer = await asyncio.to_thread(asking(trusted), a_listener(server.url, "shop.test"), "t")
    assert answer.failure == "its certificate does not hold: certificate has expired"


async def test_a_listener_without_tls_is_asked_as_before(trusted: str) -> None:
    async with a_server() as server:
        assert await asyncio.to_thread(asking(trusted), a_listener(server.url, ""), "t") == Answer(code=200)
        assert await asyncio.to_thread(ask, a_listener(server.url, ""), "t") == Answer(code=200)


@pytest.mark.parametrize(
    ("name", "host", "does"),
    [
        ("shop.test", "SHOP.test", True),
        ("*.shop.test", "a.shop.test", True),
        ("*.shop.test", "a.b.shop.test", False),
        ("*.shop.test", "shop.test", False),
        ("::1", "[::1]", True),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_a_star_stands_for_the_first_label(name: str, host: str, does: bool) -> None:
    assert covers(name, host) is does


def test_a_host_that_no_certificate_is_for_is_asked_by_a_name_of_the_first() -> None:
    first, second = {"names": ["*.a.test", "b.test"]}, {"names": ["c.test"]}
    assert server_name("c.test", [first, second]) == "c.test"
    assert server_name("d.test", [first, second]) == "b.test"
    assert server_name("d.test", [{"names": ["*.a.test"]}]) == "any.a.test"
    assert server_name("d.test", []) == "d.test"
