"""What the cache of `examples/ip-location` brings and costs, behind a real `fairlead up`.

Requests/s and p99 of addresses that are cached and that are not, with an upstream of 100 ms; the upstream's calls when
1,000 ask for one address at once; and what each layer takes between an answer and a bare GET of Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

from bench import asked
from bench.compare import CONNECTIONS, wrk
from bench.fairlead import a_home
from bench.machine import CannotMeasure, answers, folder, free_port, note, open_files, programs, wait_until
from bench.played import Played

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples", "ip-location")

DELAY = 0.1
"""Seconds that the upstream takes."""
IP = "134.201.250.155"
CROWD = 1000
"""Who ask at once, over as many connections."""
BAR = 1
"""Calls of the upstream for all of them."""
TIMES = 3000
"""How often each layer is gone through."""
STRANGERS = 30_000
"""Addresses that nobody has asked for yet: more than are asked for in a measurement."""


def measure(rounds: int, seconds: float) -> bool:
    """Print the tables; whether the bar was held."""
    programs("wrk")
    open_files(3 * CROWD)
    port = free_port()
    with folder() as base, Played(DELAY) as played, a_home() as fairlead:
        settings = {"IPSTACK_KEY": "bench", "IPSTACK_URL": played.url, "UPSTREAM_BUDGET": "999999999"}
        note("ip-location: up")
        fairlead.up(EXAMPLE, {"PORT": str(port), **settings})
        wait_until(lambda: answers(port), "the load balancer answers")
        crowd = [_crowd(port, played, number) for number in range(rounds)]
        _rates(f"{base}/asked.lua", port, rounds, seconds)
        [resource] = fairlead.status()["stacks"][0]["resources"]
        program = resource["program"]["path"]
        held = all(calls <= BAR for calls, _ in crowd)
        print(f"{CROWD:,} look-ups of one address at once, over 5 instances, upstream of {DELAY * 1000:.0f} ms")
        print(f"  upstream calls: {', '.join(str(calls) for calls, _ in crowd)}")
        print(f"  all answered after {statistics.median(took for _, took in crowd):.2f} s")
        print(f"  bar: {BAR}: {'held' if held else 'MISSED'}\n")
        with _valkey(program, base) as url:
            _layers(url, rounds)
    return held


def _rates(script: str, port: int, rounds: int, seconds: float) -> None:
    """Requests a second of addresses that are in the cache, and of those that nobody has asked for."""
    url = f"http://127.0.0.1:{port}/api/{IP}"
    found: dict[str, list[Any]] = {"cached": [], "uncached": []}
    wrk("cached", url, 1.0)
    for number in range(rounds):
        note(f"ip-location: requests/s, round {number + 1} of {rounds}")
        found["cached"].append(wrk("cached", url, seconds))
        first = int(IPv4Address("20.0.0.0")) + number * STRANGERS
        strangers = [(f"/api/{IPv4Address(first + step)}", {"Host": "localhost"}) for step in range(STRANGERS)]
        found["uncached"].append(wrk("uncached", url, seconds, script=asked.script(script, strangers)))
    print(f"GET /api/IP over {CONNECTIONS} connections, 5 instances, upstream of {DELAY * 1000:.0f} ms: median (worst)")
    for name, samples in found.items():
        rates, p99s = [one.rate for one in samples], [one.p99 * 1000 for one in samples]
        print(
            f"  {name:9} {statistics.median(rates):8,.0f} ({min(rates):,.0f}) requests/s"
            f"   p99 {statistics.median(p99s):7.1f} ({max(p99s):.1f}) ms"
        )
    print()


def _crowd(port: int, played: Played, number: int) -> tuple[int, float]:
    """The upstream's calls, and the seconds until the last was answered."""
    note(f"ip-location: {CROWD:,} at once, {number + 1}")
    before = played.calls
    took = asyncio.run(_at_once(port, f"134.201.251.{number}"))
    return played.calls - before, took


async def _at_once(port: int, ip: str) -> float:
    """All connections stand before the first request is sent."""
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CROWD)]
    request = f"GET /api/{ip} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    began = time.monotonic()
    for _, writer in pairs:
        writer.write(request)
    try:
        said = await asyncio.gather(*(reader.read() for reader, _ in pairs))
    finally:
        for _, writer in pairs:
            writer.close()
    took = time.monotonic() - began
    wrong = [one for one in said if b" 200 " not in one[:20] or b"Los Angeles" not in one]
    if wrong:
        raise CannotMeasure(f"{len(wrong)} of {CROWD} were not answered: {wrong[0][:200]!r}")
    return took


@contextlib.contextmanager
def _valkey(program: str, base: str) -> Iterator[str]:
    """One of our own, so that nothing else asks it; its URL."""
    port = free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", base]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), "valkey answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _layers(url: str, rounds: int) -> None:
    note("ip-location: the layers of the cache")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # cashews closes its client in an old way
        found = asyncio.run(_each_layer(url, rounds))
    bare = found["a bare GET (redis-py)"]
    print(f"one answer from the cache, microseconds: best of {rounds} rounds of {TIMES:,}, one after the other")
    for name, took in found.items():
        print(f"  {name:52} {took:6.0f}   x{took / bare:.1f}")
    print()


async def _each_layer(url: str, rounds: int) -> dict[str, float]:
    sys.path.insert(0, EXAMPLE)
    from iplocation.app import create_app  # type: ignore[import-not-found]
    from iplocation.settings import Settings  # type: ignore[import-not-found]
    from redis.asyncio import Redis

    app = create_app(Settings(cache_url=url, cache_timeout=5.0))
    lookups, bare = app.state.lookups, Redis.from_url(url)
    ip = IPv4Address("193.0.14.129")
    await lookups.find(ip)
    key = f"bundled:{ip}"
    layers: dict[str, Callable[[], Awaitable[object]]] = {
        "a bare GET (redis-py)": lambda: bare.get(f"ip-location:{key}"),
        "cashews": lambda: lookups.shared._cache.get(f"ip-location:{key}"),
        "with a time limit that holds (shared.py)": lambda: lookups.shared.get(key),
        "with one flight and the policy (lookups.py)": lambda: lookups.find(ip),
        "a request to the app, no network": lambda: _request(app, f"/api/{ip}"),
    }
    found = dict.fromkeys(layers, float("inf"))
    for _ in range(rounds):
        for name, ask in layers.items():
            began = time.perf_counter()
            for _ in range(TIMES):
                await ask()
            found[name] = min(found[name], (time.perf_counter() - began) / TIMES * 1e6)
    await bare.aclose()
    await lookups.close()
    return found


async def _request(app: Any, path: str) -> None:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost")], "client": None, "server": None,
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, object]) -> None:
        assert message.get("status", 200) == 200

    await app(scope, receive, send)
