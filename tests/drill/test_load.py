"""The load generator sends on time, counts every loss by its kind, and never sends twice."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from fairlead.drill.load import Load, run
from fairlead.drill.report import Result
from fairlead.errors import UsageError
from tests.drill.servers import OK, Answer, Exchange, a_server, well
from tests.ports import a_free_port

BOTH: tuple[Literal["new", "keep_alive"], ...] = ("new", "keep_alive")


@pytest.mark.parametrize("connections", BOTH)
async def test_every_request_is_sent_once_and_answered(connections: Literal["new", "keep_alive"]) -> None:
    async with a_server() as server:
        report = await run(server.url, rate=200, duration=0.25, connections=connections)
    assert (report.sent, report.ok, report.lost, report.statuses) == (50, 50, 0, {200: 50})
    assert len(server.seen) == 50
    assert report.p50 is not None
    assert report.p99 is not None
    assert report.max is not None
    assert 0 < report.p50 <= report.p99 <= report.max


async def test_a_new_connection_is_made_for_each_request_or_kept_ones_are_used_again() -> None:
    async with a_server() as fresh:
        await run(fresh.url, rate=100, duration=0.2, connections="new")
    async with a_server() as kept:
        await run(kept.url, rate=100, duration=0.2, connections="keep_alive", max_open=2)
    assert fresh.connections == 20
    assert kept.connections <= 2
    assert "connection: close" in fresh.seen[0].head
    assert "connection: close" not in kept.seen[0].head


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def close(exchange: Exchange) -> None:
    exchange.close()


def saying(data: bytes, then: Answer | None = None) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.say(data)
        if then:
            await then(exchange)

    return answer


async def hang(exchange: Exchange) -> None:
    await exchange.reader.read()


@pytest.mark.parametrize(
    ("answer", "statuses", "errors"),
    [
        (saying(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"), {503: 4}, {}),
        (saying(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"), {302: 4}, {}),
        (close, {}, {"closed before the answer": 4}),
        (reset, {}, {"reset before the answer": 4}),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-le", close), {}, {"cut off in the middle of the answer": 4}),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", close), {}, {"cut off in the middle of the answer": 4}),
        (saying(b"HTTP/1.1 200 OK\r\n\r\nhalf", reset), {}, {"cut off in the middle of the answer": 4}),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), {}, {"an answer that is not HTTP": 4}),
        (hang, {}, {"no answer in time": 4}),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", hang), {}, {"no answer in time": 4}),
        (saying(b"HTTP/1.1 200 OK\r\n\r\nends with the connection", close), {200: 4}, {}),
        (saying(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK), {200: 4}, {}),
        (saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), {200: 4}, {}),
    ],
    ids=[
        "an error status",
        "a redirect",
        "closed at once",
        "reset at once",
        "closed in the headers",
        "closed in the body",
        "reset in a body without a length",
        "another protocol",
        "silence",
        "silence in the body",
        "a body that ends with the connection",
        "early hints first",
        "chunks",
    ],
)  # fmt: skip
@pytest.mark.parametrize("connections", BOTH)
async def test_each_fault_is_counted_by_its_kind(
    answer: Answer, statuses: dict[int, int], errors: dict[str, int], connections: Literal["new", "keep_alive"]
) -> None:
    async with a_server(answer) as server:
        patience = 0.2 if "no answer in time" in errors else 30.0
        report = await run(server.url, rate=100, duration=0.04, timeout=patience, connections=connections)
    assert (report.statuses, report.errors) == (statuses, errors)
    assert report.lost == 4 - statuses.get(200, 0)
    assert len(report.failures) == report.lost
    assert len(server.seen) == 4


async def test_a_port_where_nobody_listens_refuses() -> None:
    report = await run(f"http://127.0.0.1:{a_free_port()}/", rate=100, duration=0.05)
    assert (report.lost, report.errors) == (5, {"refused": 5})


async def test_a_kept_connection_that_the_server_closes_loses_the_request_on_it_and_says_so() -> None:
    async def once_only(exchange: Exchange) -> None:
        first = sum(other.connection == exchange.connection for other in server.seen) == 1
        await well(exchange) if first else exchange.close()

    async with a_server(once_only) as server:
        report = await run(server.url, rate=20, duration=0.2, connections="keep_alive", max_open=1)
    assert report.statuses == {200: 2}
    assert report.errors == {"closed before the answer, on a kept connection": 2}


async def test_a_connection_that_the_answer_ends_is_not_used_again() -> None:
    ends = saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    async with a_server(ends) as server:
        report = await run(server.url, rate=50, duration=0.1, connections="keep_alive")
    assert (report.lost, server.connections) == (0, 5)


async def test_latency_is_counted_from_the_moment_a_request_was_due() -> None:
    """One connection only, and a first answer that takes 0.3 s: those that waited for it say so."""

    async def slow_at_first(exchange: Exchange) -> None:
        if len(server.seen) == 1:
            await asyncio.sleep(0.3)
        await well(exchange)

    results: list[Result] = []
    async with a_server(slow_at_first) as server:
        report = await run(
            server.url, rate=50, duration=0.1, connections="keep_alive", max_open=1, on_result=results.append
        )
    assert report.lost == 0
    assert [round(result.at, 2) for result in results] == [0.0, 0.02, 0.04, 0.06, 0.08]
    for result in results:
        assert result.latency >= 0.3 - result.at - 0.005
    assert server.connections == 1


async def test_what_waits_too_long_for_a_connection_is_lost() -> None:
    async with a_server(hang) as server:
        report = await run(server.url, rate=100, duration=0.05, timeout=0.2, max_open=2)
    assert report.errors == {"no answer in time": 5}
    assert server.most_open == 2


@pytest.mark.parametrize("connections", BOTH)
async def test_connections_are_bounded(connections: Literal["new", "keep_alive"]) -> None:
    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.02)
        await well(exchange)

    async with a_server(slowly) as server:
        report = await run(server.url, rate=1000, duration=0.1, connections=connections, max_open=10)
    assert report.lost == 0
    # A closed connection may still be open on the server's side for a moment.
    assert server.most_open <= (10 if connections == "keep_alive" else 20)


async def test_the_rate_is_kept_while_the_server_stalls() -> None:
    stalled = asyncio.Event()

    async def stall(exchange: Exchange) -> None:
        await stalled.wait()
        await well(exchange)

    async with a_server(stall) as server, Load(server.url, rate=100) as load:
        async with asyncio.timeout(60):
            while len(server.seen) < 20:
                await asyncio.sleep(0.01)
        assert load.report().sent == 0
        stalled.set()
    assert load.report().lost == 0
    assert load.report().sent >= 20


async def test_of_two_thousand_requests_a_second_none_is_left_out_however_late_it_leaves() -> None:
    async with a_server() as server:
        report = await run(server.url, rate=2000, duration=0.5, connections="keep_alive")
    assert (report.sent, report.lost) == (1000, 0)
    assert report.p50 is not None
    assert report.lag <= report.seconds


async def test_posts_carry_bodies_of_their_own() -> None:
    async with a_server() as server:
        report = await run(
            f"{server.url}/pay?x=1", rate=100, duration=0.1, method="POST",
            headers={"Content-Type": "application/json", "Host": "shop.example"},
            body=lambda number: b'{"id": %d}' % number,
        )  # fmt: skip
    assert report.lost == 0
    assert sorted(exchange.body for exchange in server.seen) == [b'{"id": %d}' % number for number in range(10)]
    head = server.seen[0].head.lower()
    assert head.startswith("post /pay?x=1 http/1.1\r\n")
    assert "content-type: application/json\r\n" in head
    assert head.count("host: ") == 1
    assert "host: shop.example\r\n" in head


async def test_head_is_answered_by_the_headers_alone() -> None:
    async with a_server(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as server:
        report = await run(server.url, rate=100, duration=0.1, method="HEAD", connections="keep_alive", timeout=2)
    assert (report.sent, report.lost) == (10, 0)


async def test_requests_with_the_check_token_are_counted_by_instance() -> None:
    async def one_of_two(exchange: Exchange) -> None:
        name = f"web-{len(server.seen) % 2 + 1}".encode()
        await exchange.say(b"HTTP/1.1 200 OK\r\nX-Fairlead-Instance: %b\r\ncontent-length: 0\r\n\r\n" % name)

    async with a_server(one_of_two) as server:
        report = await run(server.url, rate=100, duration=0.1, token="abc")
    assert report.instances == {"web-1": 5, "web-2": 5}
    assert "x-fairlead-check: abc\r\n" in server.seen[0].head


async def test_a_story_that_fails_ends_the_load_at_once() -> None:
    async with a_server(hang) as server:
        load = Load(server.url, rate=100, timeout=30)

        async def story() -> None:
            async with asyncio.timeout(60), load:
                while not server.seen:
                    await asyncio.sleep(0.01)
                raise RuntimeError("the story failed")

        with pytest.raises(RuntimeError, match="the story failed"):
            await story()
    assert set(load.report().errors) == {"given up at the end"}


@pytest.mark.parametrize("header", ["a\r\nX-Evil: 1", "a\x00", "a\n"])
async def test_values_never_break_out_of_their_line(header: str) -> None:
    with pytest.raises(UsageError, match="control character"):
        Load("http://127.0.0.1:1/", rate=1, headers={"x-a": header})


@pytest.mark.parametrize(("url", "rate"), [("https://127.0.0.1/", 1), ("127.0.0.1:80", 1), ("http://127.0.0.1/", 0)])
async def test_what_cannot_be_loaded_is_refused(url: str, rate: float) -> None:
    with pytest.raises(UsageError, match="no load can be sent"):
        Load(url, rate=rate)
