"""What is measured of a real HAProxy agrees with what a client got, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.core.readings import GroupReading, Reading, TargetCounts
from fairlead.core.traffic import Routing, Target, Traffic
from fairlead.haproxy import measuring
from fairlead.haproxy.ring import Done
from tests.haproxy.apps import WEBSOCKET_KEY, Load, ask
from tests.haproxy.builders import GROUP, a_group, a_routing, a_target
from tests.haproxy.contract import has_taken, measured
from tests.haproxy.worlds import PATIENCE, RealWorld, admit, is_up

pytestmark = pytest.mark.live


def routing(port: int, number: int = 0) -> Routing:
    """Each number is another one: it takes a reload."""
    return a_routing(port, groups=(a_group(deregistration_delay=1.0 + number),))


async def serve(real: RealWorld, count: int = 2) -> list[Target]:
    await real.balancer.configure("shop", routing(real.port))
    targets = [await real.target(number) for number in range(1, count + 1)]
    await admit(real, *targets)
    return targets


def all_of(reading: Reading) -> TargetCounts:
    """Of the group's targets, those that are gone included."""
    total = Done.of(reading.groups[GROUP].gone)
    times = dict(reading.groups[GROUP].gone.times)
    for target in reading.targets.values():
        total = total.plus(Done.of(target.counts))
        for bucket, count in target.counts.times.items():
            times[bucket] = times.get(bucket, 0) + count
    return total.counts(times)


def rising(reading: Reading) -> list[int]:
    """All that may not fall."""
    group, heard, total = reading.groups[GROUP], reading.listeners["shop"], all_of(reading)
    own = sum(heard.own.values())
    return [
        reading.losses, group.requests, group.elb_5xx, heard.connections, heard.bytes, heard.rejected, own,
        *Done.of(total), sum(total.times.values()),
    ]  # fmt: skip


@asynccontextmanager
async def watched(real: RealWorld) -> AsyncIterator[list[Reading]]:
    """Readings all the while, as the daemon makes them, beside its looks; none falls."""
    readings: list[Reading] = []

    async def go_on() -> None:
        while True:
            if (reading := await real.balancer.measure()) is not None:
                if readings:
                    assert all(now >= before for now, before in zip(rising(reading), rising(readings[-1]), strict=True))
                readings.append(reading)
            await asyncio.sleep(0.02)
            await real.balancer.observe()

    watcher = asyncio.create_task(go_on(), name="watcher")
    try:
        await wait_until(lambda: readings or watcher.done(), PATIENCE, "a first reading")
        yield readings
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    assert readings


async def until(real: RealWorld, holds: Callable[[], bool], what: str) -> None:
    await wait_until(holds, PATIENCE, what)


async def test_over_reloads_under_load_every_request_counts_once(real: RealWorld) -> None:
    await serve(real)
    async with watched(real), Load(real.port) as load:
        for number in range(1, 6):
            before = load.outcomes.total()
            await real.balancer.configure("shop", routing(real.port, number))
            await until(real, lambda before=before: load.outcomes.total() > before + 10, "some load on each")
    assert load.lost == {}
    reading = await measured(real, has_taken(load.outcomes.total()))
    assert reading.losses == 0
    assert reading.listeners["shop"].connections == load.outcomes.total()
    assert sum(reading.listeners["shop"].own.values()) == reading.groups[GROUP].elb_5xx == 0


async def test_what_was_inside_when_a_reload_came_is_counted_when_it_ends(real: RealWorld) -> None:
    await serve(real, 1)
    app = real.apps["web-1"]
    gate = app.gate = asyncio.Event()
    async with watched(real) as readings:
        asked = [asyncio.create_task(ask(real.port, method)) for method in ("GET", "GET", "POST")]
        await until(real, lambda: app.seen.total() == 3, "the requests inside")
        await real.balancer.configure("shop", routing(real.port, 1))
        reading = await measured(real)
        assert reading.targets[GROUP, "web-1"].outstanding == 3
        gate.set()
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        await until(real, lambda: sum(all_of(readings[-1]).times.values()) == 3, "the times of all")
    reading = await measured(real, has_taken(3))
    assert (reading.losses, reading.targets[GROUP, "web-1"].outstanding) == (0, 0)


async def test_killed_it_loses_what_it_had_counted_last_says_so_and_falls_never(real: RealWorld) -> None:
    await serve(real)
    async with watched(real) as readings, Load(real.port, rate=100) as load:
        for number in range(1, 4):
            before, pid = load.outcomes["200"], real.pid
            await real.kill_node()
            unread = load.outcomes.total() + load.under_way - readings[-1].groups[GROUP].requests
            await real.until(lambda seen, pid=pid: seen.known and seen.nodes[0].pid != pid, "another HAProxy")
            await until(real, lambda before=before: load.outcomes["200"] > before + 10, "some load on each")
            await until(real, lambda number=number: readings[-1].losses == number, "the loss")
    reading = await measured(real, lambda seen: seen.listeners["shop"].active == 0)
    assert reading.losses == 3
    missing = load.outcomes.total() - reading.groups[GROUP].requests
    assert 0 <= missing <= unread, "what came between the last reading and the end"
    assert reading.groups[GROUP].requests > 20


async def test_a_restarted_daemon_counts_what_comes_from_then_on_in_the_same_haproxy(real: RealWorld) -> None:
    targets = await serve(real)
    there = tuple(a_target(one.number, address=one.address, mode="in_service") for one in targets)
    assert len(await real.send(7)) == 7
    for number, another in enumerate((routing(real.port), routing(real.port, 1)), 1):
        await real.restart_daemon(Traffic(routings=(another,), targets=there))
        first = await measured(real, lambda seen: seen.listeners["shop"].active == 0)
        assert len(await real.send(5)) == 5
        told = all_of(first)
        reading = await measured(
            real, lambda seen, first=first, told=told: (
                seen.groups[GROUP].requests - first.groups[GROUP].requests,
                all_of(seen).responses[1] - told.responses[1],
                sum(all_of(seen).times.values()) - sum(told.times.values()),
                seen.listeners["shop"].connections - first.listeners["shop"].connections,
            ) == (5, 5, 5, 5),
        )  # fmt: skip
        assert reading.losses == 0, f"restart {number}"


async def test_while_a_target_dies_each_get_counts_once_and_what_was_tried_again_is_told(real: RealWorld) -> None:
    await serve(real)
    real.apps["web-1"].die_on = "GET"
    async with watched(real), Load(real.port) as load:
        await until(real, lambda: real.apps["web-1"].seen["GET"] > 0, "the request that kills it")
        before = load.outcomes.total()
        await until(real, lambda: load.outcomes.total() > before + 30, "some requests after it")
    assert load.lost == {}
    count = load.outcomes.total()
    reading = await measured(real, lambda seen: seen.targets[GROUP, "web-2"].counts.responses[1] == count)
    dead, other = (reading.targets[GROUP, name].counts for name in ("web-1", "web-2"))
    assert reading.groups[GROUP] == GroupReading(requests=count)
    assert dead.broken == real.apps["web-1"].seen["GET"]
    assert dead.retried == dead.requests == dead.broken + dead.connection_errors
    assert (other.requests, other.broken, other.retried, other.connection_errors) == (count, 0, 0, 0)
    assert dict(dead.times) == {}


async def test_what_is_not_tried_again_is_the_balancers_answer(real: RealWorld) -> None:
    (one,) = await serve(real, 1)
    app = real.apps[one.id]
    app.status = 500
    assert (await ask(real.port, "POST")).status == 500
    app.die_on = "POST"
    assert (await ask(real.port, "POST")).status == 502
    reading = await measured(real, lambda seen: seen.groups[GROUP].elb_5xx == 1)
    counts = reading.targets[GROUP, one.id].counts
    assert reading.groups[GROUP] == GroupReading(requests=2, elb_5xx=1)
    assert (counts.requests, counts.responses, counts.broken) == (2, (0, 0, 0, 0, 1), 1)
    assert {kind: number for kind, number in reading.listeners["shop"].own.items() if number} == {"5XX": 1, "502": 1}
    # Nobody listens there any more.
    assert (await ask(real.port, "POST")).status == 502
    reading = await measured(real, lambda seen: seen.groups[GROUP].elb_5xx == 2)
    counts = reading.targets[GROUP, one.id].counts
    assert reading.groups[GROUP].requests == 3
    assert counts.connection_errors == counts.requests - 2 == counts.retried + 1
    assert (counts.broken, counts.connections) == (1, 2)


async def test_a_websocket_is_outstanding_until_it_ends_also_in_a_haproxy_that_leaves(real: RealWorld) -> None:
    await serve(real, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", real.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + WEBSOCKET_KEY + b"\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    for number in range(2):
        reading = await measured(real, lambda seen: seen.targets[GROUP, "web-1"].outstanding == 1)
        assert reading.groups[GROUP].requests == 1
        assert reading.targets[GROUP, "web-1"].counts.responses == (1, 0, 0, 0, 0)
        assert reading.listeners["shop"].active == 2
        writer.write(b"x" * 1000)
        assert len(await reader.readexactly(1000)) == 1000
        await real.balancer.configure("shop", routing(real.port, number + 1))
    writer.close()
    async with watched(real) as readings:
        await until(real, lambda: len(real.pids) == 1, "the leaving HAProxy to end")
        await until(real, lambda: readings[-1].listeners["shop"].active == 0, "nothing open")
    reading = readings[-1]
    assert (reading.losses, reading.targets[GROUP, "web-1"].outstanding) == (0, 0)
    assert reading.targets[GROUP, "web-1"].counts.bytes_in > 2000 < reading.targets[GROUP, "web-1"].counts.bytes_out


async def test_what_a_leaving_haproxy_passes_on_counts_once(real: RealWorld) -> None:
    (one,) = await serve(real, 1)
    real.apps[one.id].status = 404
    reader, writer = await asyncio.open_connection("127.0.0.1", real.port)
    for number in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b" 404 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(one.id))
        await measured(real, lambda seen, number=number: seen.groups[GROUP].requests == number + 1)
        if number == 0:
            await real.balancer.configure("shop", routing(real.port, 1))
    writer.close()
    reading = await measured(real, lambda seen: seen.targets[GROUP, one.id].counts.responses[3] == 2)
    await real.balancer.observe()
    reading = await measured(real, lambda seen: seen.listeners["shop"].active == 0)
    assert reading.groups[GROUP] == GroupReading(requests=2)
    assert reading.listeners["shop"].connections == 1
    assert sum(reading.listeners["shop"].own.values()) == 0, "the target said it, and not the balancer"
    assert sum(reading.targets[GROUP, one.id].counts.times.values()) == 2


async def test_targets_that_come_and_go_under_load_lose_nothing(real: RealWorld) -> None:
    await serve(real)
    async with watched(real), Load(real.port) as load:
        for number in (3, 4, 5):
            target = await real.target(number)
            await admit(real, target)
            before = real.apps[target.id].seen.total()
            await until(
                real, lambda id=target.id, before=before: real.apps[id].seen.total() > before + 3, "its requests"
            )
            await real.balancer.drain(GROUP, target.id)
            await real.until(
                lambda seen, id=target.id: all(one.sessions == 0 for one in seen.targets if one.id == id),
                "an idle target",
            )
            await real.balancer.deregister(GROUP, target.id)
    assert load.lost == {}
    reading = await measured(real, has_taken(load.outcomes.total()))
    assert reading.targets.keys() == {(GROUP, "web-1"), (GROUP, "web-2")}
    gone = reading.groups[GROUP].gone
    assert gone.requests == sum(real.apps[f"web-{number}"].seen.total() for number in (3, 4, 5))


async def test_connections_that_had_to_wait_for_others_are_told(real: RealWorld) -> None:
    await serve(real, 1)
    real.apps["web-1"].delay = 0.2
    current = real.balancer._keeper.current
    assert current is not None
    await current.runtime.ask("set maxconn global 2")
    answers = await asyncio.gather(*(ask(real.port) for _ in range(6)))
    assert {answer.status for answer in answers} == {200}, "they waited"
    reading = await measured(real, lambda seen: seen.groups[GROUP].requests == 6)
    assert reading.listeners["shop"].rejected >= 1


async def test_what_is_no_request_is_an_answer_of_the_balancers_own(real: RealWorld) -> None:
    await serve(real, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", real.port)
    writer.write(b"nonsense\r\n\r\n")
    assert b" 400 " in await reader.read()
    writer.close()
    # A browser opens connections in advance.
    _, unused = await asyncio.open_connection("127.0.0.1", real.port)
    unused.close()
    assert (await ask(real.port, "TRACE")).status == 405
    reading = await measured(
        real, lambda seen: (seen.listeners["shop"].connections, seen.listeners["shop"].own.get("4XX")) == (3, 2)
    )
    assert reading.groups[GROUP] == GroupReading()


async def test_a_silent_haproxy_is_told_and_nothing_is_made_up(real: RealWorld) -> None:
    (one,) = await serve(real, 1)
    await real.send(3)
    before = await measured(real, has_taken(3))
    pid = real.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await real.balancer.measure() is None
    finally:
        os.kill(pid, signal.SIGCONT)
    await real.until(is_up(one), "web-1")
    reading = await measured(real, has_taken(3))
    assert reading.losses == before.losses


async def test_a_dead_haproxy_that_cannot_come_back_measures_nothing(real: RealWorld) -> None:
    await serve(real, 1)
    await measured(real)
    current = real.balancer._keeper.current
    assert current is not None
    await real.kill_node()
    await until(real, lambda: current.dead, "its end")
    assert await real.balancer.measure() is None or real.pid != current.pid
    await measured(real, lambda seen: seen.losses == 1)


async def test_many_response_times_are_read_less_often(real: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ENTRY", 10.0)
    await serve(real, 1)
    await measured(real)
    await real.send(1)
    first = await measured(real, has_taken(1))
    await real.send(3)
    reading = await measured(real, lambda seen: seen.groups[GROUP].requests == 4)
    assert reading.targets[GROUP, "web-1"].counts.times == first.targets[GROUP, "web-1"].counts.times
    # But the last look at one that leaves is whole.
    await real.balancer.configure("shop", routing(real.port, 1))
    await measured(real, has_taken(4))
