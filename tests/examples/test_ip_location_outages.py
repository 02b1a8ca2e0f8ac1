"""ip-location without its cache: killed, frozen, full, wrong, not there, written to by others. It goes on, says so, asks
Redis no more than it must, and finds it again by itself."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from dataclasses import replace

import pytest

from .ipstack import KEY
from .ipstack import Ipstack as Server
from .site import PUBLIC, Instance, Settings, instances, until
from .valkey import Valkey

from iplocation.policy import Kept  # isort: skip (site.py knows where it is)
from iplocation.shared import Shared, Unreachable, patiently  # isort: skip

pytestmark = [
    pytest.mark.live,
    # cashews 7.6 closes its client in the way of redis-py 4.
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
]


# Redis goes and comes back


async def test_a_killed_cache_is_told_and_survived_and_found_again(
    settings: Settings, server: Server, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with instances(settings, 2) as two:
        for one in two:
            await one.api(PUBLIC)
        valkey.kill()
        for one in two:
            answer = await one.api(PUBLIC)
            assert (answer["answered_from"], answer["cache"]["state"]) == ("memory", "unreachable")
            assert answer["place"]["city"] == "Los Angeles"
            assert "The cache cannot be reached." in (await one.get(f"/?ip={PUBLIC}")).text
        fresh = await two[0].api("8.8.8.8")
        assert (fresh["answered_from"], fresh["cache"]["state"]) == ("provider", "unreachable")
        assert (await two[0].api("8.8.8.8"))["answered_from"] == "memory"
        assert (await two[0].get("/health")).status_code == 200
        valkey.start()
        # Nobody is asked to do anything; and what was learnt alone is then known to all.
        for one in two:
            await until(lambda one=one: one.lookups.shared.reachable, "the cache is found")
        await until(lambda: valkey.do("EXISTS", "ip-location:ipstack:8.8.8.8") == b":1\r\n", "the answer")
        answer = await two[1].api("8.8.8.8")
        assert (answer["answered_from"], answer["cache"]["state"]) == ("cache", "reachable")
        assert (await two[1].api(PUBLIC))["answered_from"] == "cache", "the cache kept its data"
        await until(lambda: _counts(two[1], 2), "both calls counted")
    assert server.calls == [PUBLIC, "8.8.8.8"]
    assert caplog.text.count("the cache is unreachable") == caplog.text.count("the cache is back") == 2
    assert "of-the-cache" not in caplog.text


async def test_a_frozen_cache_holds_up_the_requests_of_one_moment_and_no_others(
    settings: Settings, server: Server, valkey: Valkey
) -> None:
    async with instances(replace(settings, cache_timeout=0.3)) as [one]:
        await one.until(PUBLIC, "cache")
        asks = _Counted(one)
        valkey.freeze()
        try:
            answers = await asyncio.gather(*(one.api(PUBLIC) for _ in range(200)))
            assert {answer["answered_from"] for answer in answers} == {"memory"}
            assert asks.count <= 1, "those that came together waited together"
            for number in range(50):
                assert (await one.api(PUBLIC))["cache"]["state"] == "unreachable", number
            assert asks.count <= 1, "and nobody after them"
        finally:
            valkey.thaw()
        await one.until(PUBLIC, "cache")


async def test_a_frozen_cache_does_not_hold_up_many_addresses_one_after_the_other(
    settings: Settings, server: Server, valkey: Valkey
) -> None:
    """More look-ups than connections: those that wait for a connection do not then wait for Redis, too."""
    async with instances(replace(settings, cache_timeout=0.3, budget=10_000)) as [one]:
        await one.until(PUBLIC, "cache")
        asks = _Counted(one)
        valkey.freeze()
        try:
            answers = await asyncio.gather(*(one.api(f"9.9.{number // 250}.{number % 250}") for number in range(300)))
            assert asks.count <= 16
            assert {answer["cache"]["state"] for answer in answers} == {"unreachable"}
        finally:
            valkey.thaw()


async def test_a_cache_that_is_there_later_than_the_app_is_found(
    settings: Settings, server: Server, valkey: Valkey
) -> None:
    valkey.kill()
    async with instances(settings) as [one]:
        assert (await one.api(PUBLIC))["cache"]["state"] == "unreachable"
        valkey.start()
        await one.until(PUBLIC, "cache")
    assert server.calls == [PUBLIC]


@pytest.mark.parametrize(
    "wrong", ["redis://:wrong@127.0.0.1:{port}/0", "redis://127.0.0.1:1/0", "redis://no-such-host.invalid/0"]
)
async def test_a_cache_that_refuses_or_does_not_exist_is_one_that_cannot_be_reached(
    settings: Settings, valkey: Valkey, wrong: str
) -> None:
    async with instances(replace(settings, cache_url=wrong.format(port=valkey.port))) as [one]:
        for source in ("provider", "memory"):
            answer = await one.api(PUBLIC)
            assert (answer["answered_from"], answer["cache"]["state"]) == (source, "unreachable")


async def test_a_full_cache_is_gone_without(settings: Settings, valkey: Valkey) -> None:
    valkey.do(
        "CONFIG",
        "SET",
        "maxmemory",
        "1",
    )
    async with instances(settings) as [one]:
        assert (await one.api(PUBLIC))["place"]["city"] == "Los Angeles"
        assert (await one.api(PUBLIC))["answered_from"] == "memory"
        valkey.do("CONFIG", "SET", "maxmemory", "64mb")
        await one.until(PUBLIC, "cache")


@pytest.mark.parametrize(
    "value",
    [
        b"no json", b"\x80\x04\x95.", b"[]", b"7", b'"text"', b"{}", b"null", b'{"at": "x", "place": null, "failure": "", "status": 1, "again": 0}',
        b'{"at": 1' + b"0" * 400 + b', "place": null, "failure": "", "status": 502, "again": 0}',
        b'{"at": NaN, "place": null, "failure": "", "status": 502, "again": 0}', b'{"at": 0, "place": null, "failure": "", "status": 502, "again": Infinity}',
        b'{"at": 0, "place": null, "failure": "x", "status": 200, "again": 9e9}',
        json.dumps({"at": 2e9, "again": 0, "failure": "", "status": 502, "place": {"city": 5}}).encode(),
    ],
    ids=lambda value: value[:20].decode(errors="replace"),
)  # fmt: skip
async def test_what_others_write_into_the_cache_is_no_answer(settings: Settings, valkey: Valkey, value: bytes) -> None:
    key = f"ip-location:ipstack:{PUBLIC}"
    async with instances(settings) as [one]:
        with_raw(valkey, key, value)
        assert (await one.api(PUBLIC))["answered_from"] == "provider"
        assert (await one.api(PUBLIC))["answered_from"] == "cache", "it was written over"


async def test_without_redis_an_instance_makes_a_part_of_the_months_calls_and_counts_them_later(
    settings: Settings, server: Server, valkey: Valkey
) -> None:
    async with instances(replace(settings, budget=60), 2) as two:
        await two[0].api(PUBLIC)
        valkey.kill()
        answers = [await two[0].get(f"/api/9.9.9.{number}") for number in range(6)]
        assert Counter(answer.status_code for answer in answers) == {200: 3, 503: 3}
        assert "cannot count their calls together" in answers[-1].text
        valkey.start()
        await until(lambda: _counts(two[1], 4), "all calls counted")
    assert len(server.calls) == 4


async def test_without_a_cache_each_instance_remembers_and_counts_for_itself(server: Server) -> None:
    async with instances(Settings(key=KEY, url=server.url, budget=3, timeout=30), 2) as two:
        for one in two:
            assert [(await one.api(PUBLIC))["answered_from"] for _ in range(3)] == ["provider", "memory", "memory"]
        assert (await two[0].api(PUBLIC))["cache"]["state"] == "none"
        assert "No cache is set" in (await two[0].get("/")).text
        answers = [await two[0].get(f"/api/9.9.9.{number}") for number in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 503, 503]


async def test_the_memory_of_an_instance_has_an_end() -> None:
    async with instances(Settings()) as [one]:
        for number in range(1100):
            await one.lookups._keep(f"bundled:{number}", one.lookups._memory.get("x") or Kept(at=1.0))
        assert len(one.lookups._memory) == len(one.lookups._unsaved) == 1000


async def test_what_was_forgotten_meanwhile_does_not_keep_the_rest_from_the_cache(
    settings: Settings, valkey: Valkey
) -> None:
    async with instances(settings) as [one]:
        await one.api(PUBLIC)
        valkey.kill()
        asked = [f"9.9.9.{number}" for number in range(20)]
        for ip in asked:
            await one.api(ip)
        # As it is when a thousand others were asked about since.
        for ip in asked[1:]:
            del one.lookups._memory[f"ipstack:{ip}"]
        valkey.start()

        async def kept() -> bool:
            return valkey.do("EXISTS", f"ip-location:ipstack:{asked[0]}") == b":1\r\n"

        await until(kept, "what was learnt without the cache is in it")


# How long Redis may take


async def test_a_busy_loop_does_not_make_redis_late() -> None:
    """Blocked for longer than the limit, while the answer is there."""

    async def answer() -> str:
        await asyncio.sleep(0)
        time.sleep(0.2)
        await asyncio.sleep(0.01)
        return "here"

    assert await patiently(answer(), 0.12) == "here"


async def test_what_does_not_answer_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        await patiently(asyncio.sleep(3600), 0.05)


async def test_no_url_means_unreachable() -> None:
    shared = Shared("", 1)
    with pytest.raises(Unreachable):
        await shared.get("x")
    await shared.close()


def with_raw(valkey: Valkey, key: str, value: bytes) -> None:
    with socket.create_connection(("127.0.0.1", valkey.port), timeout=30) as talk:
        talk.sendall(f"AUTH {valkey.password}\r\n".encode())
        talk.recv(100)
        talk.sendall(
            b"*3\r\n$3\r\nSET\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in (key.encode(), value))
        )
        assert talk.recv(100) == b"+OK\r\n"


class _Counted:
    """How many commands a Shared let through to Redis."""

    def __init__(self, one: Instance) -> None:
        self.count = 0
        cache = one.lookups.shared._cache
        real = cache.get

        async def get(*words: object, **named: object) -> object:
            self.count += 1
            return await real(*words, **named)  # type: ignore[arg-type]

        cache.get = get  # type: ignore[method-assign,assignment]


async def _counts(one: Instance, calls: int) -> bool:
    """Whether all instances together know of so many calls."""
    return bool((await one.get("/status")).json()["upstream"]["calls"] == calls)
