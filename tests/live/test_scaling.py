"""A service under a load that grows and shrinks: more instances, fewer instances, none of it lost, and each change with
its reason. As root; who runs it matters to none of them."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.drill.load import Load

from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

APP = """
import asyncio, os

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    name = os.environ["FAIRLEAD_INSTANCE"].encode()
    headers = [(b"content-length", str(len(name)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": name})
"""

QUICK = "warm_up: 2s, scale_in_cooldown: 3s"
"""Ten seconds of warm-up and a minute between two scale-ins are for real life."""

PER_TARGET = "[{target: {metric: requests_per_target, value: 50}, scale_in_after: 4}]"


@pytest.fixture
def house(root_house: House) -> Iterator[House]:
    """What a story brought up goes down with it: others measure on the same machine."""
    yield from a_house_left_as_found(root_house)


def a_house_left_as_found(house: House) -> Iterator[House]:
    before = {stack["name"] for stack in house.status()["stacks"]}
    yield house
    for stack in house.status()["stacks"]:
        if stack["name"] not in before:
            house.run("down", stack["name"])


def a_group(house: House, name: str, scaling: str, *, more: str = "", stack: str = "") -> Path:
    """A stack whose service `web` has this `scaling`. more: further keys of the service; stack: of the stack."""
    folder = house.folder / name
    folder.mkdir(exist_ok=True)
    house.write(folder / "app.py", textwrap.dedent(APP))
    lines = [f"name: {name}", "services:", "  web:", '    app: "app:app"', f"    scaling: {{{scaling}}}"]
    lines += [f"    {line}" for line in textwrap.dedent(more).strip().splitlines()]
    lines += [f"load_balancer: {{listeners: [{{port: {house.port(name)}, default: {{forward: web}}}}]}}"]
    lines += textwrap.dedent(stack).strip().splitlines()
    house.write(folder / "fairlead.yaml", "\n".join(lines) + "\n")
    return folder


def service(house: House, name: str) -> dict[str, Any]:
    for found in house.status()["stacks"]:
        if found["name"] == name:
            shown: dict[str, Any] = found["services"][0]
            return shown
    raise AssertionError(f"{name} is not up")


def serving(house: House, name: str) -> int:
    return len(house.healthy(name))


def events(house: House, name: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(house.run("events", "--stack", name, "--json", "--limit", "500").stdout)
    rows = found["events"] if isinstance(found, dict) else found
    return [one for one in rows if one["kind"] == kind]


def at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


async def test_a_load_step_brings_instances_and_its_end_takes_them_without_losing_a_request(house: House) -> None:
    folder = a_group(house, "step", f"min: 1, max: 4, {QUICK}, policies: {PER_TARGET}")
    await house.do("up", str(folder))
    assert serving(house, "step") == 1
    async with Load(house.url("step"), rate=20, connections="keep_alive") as base:
        await house.until("the first figures", lambda: service(house, "step")["scaling"]["policies"])
        began = time.time()
        async with Load(house.url("step"), rate=130, connections="keep_alive") as load:
            await house.until("three to serve", lambda: serving(house, "step") >= 3)
        await house.until("one to be left", lambda: len(house.instances("step")) == 1, timeout=60)
        assert base.report().lost == load.report().lost == 0, f"{load.report()}\n{house.evidence()}"
    changes = events(house, "step", "scaled")
    first = next(one for one in events(house, "step", "in_service") if at(one) > began)
    print(f"first new instance in service {at(first) - began:.2f} s after the step; {[one['text'] for one in changes]}")
    assert "requests_per_target was" in changes[0]["text"], changes
    assert "above 50/s for 3 s" in changes[0]["text"], changes
    assert "within 1..4" in changes[0]["text"], changes
    assert "below 45/s for 4 s" in changes[-1]["text"], changes
    grown = [int(one["text"].split("desired ")[1].split(" -> ")[1].split()[0]) for one in changes]
    assert max(grown) <= 4, changes


async def test_the_warm_pool_serves_at_once(house: House) -> None:
    folder = a_group(house, "pool", f"min: 1, max: 3, warm_pool: 1, {QUICK}, policies: {PER_TARGET}")
    await house.do("up", str(folder))
    await house.until("one to be warm", lambda: service(house, "pool")["scaling"]["warm_pool"]["ready"] == 1)
    warm = next(one["id"] for one in house.instances("pool") if one["state"] == "warm")
    answered: set[str] = set()
    async with Load(house.url("pool"), rate=40, connections="keep_alive") as quiet:
        await quiet_for(house, quiet, 60)
    assert warm not in {one["id"] for one in house.healthy("pool")}, "a warm instance got requests"
    async with Load(house.url("pool"), rate=90, connections="keep_alive") as load:
        await house.until(f"{warm} to serve", lambda: warm in {one["id"] for one in house.healthy("pool")})
        await house.until("another to be warm", lambda: service(house, "pool")["scaling"]["warm_pool"]["ready"] == 1)
        answered |= {one["id"] for one in house.healthy("pool")}
    assert load.report().lost == 0, load.report()
    decided = at(events(house, "pool", "scaled")[0])
    taken = next(at(one) for one in events(house, "pool", "in_service") if one["instance"] == warm)
    print(f"{warm} was in service {1000 * (taken - decided):.0f} ms after the decision")
    assert taken - decided < 15, house.evidence()
    assert warm in answered


async def quiet_for(house: House, load: Load, requests: int) -> None:
    """Until so many requests went through."""
    await house.until(f"{requests} requests", lambda: load.report().sent >= requests)


async def test_scale_in_of_half_of_the_instances_under_load_loses_nothing(house: House) -> None:
    folder = a_group(house, "half", f"min: 2, max: 8, desired: 8, {QUICK}")
    await house.do("up", str(folder))
    async with Load(house.url("half", "/slow"), rate=60, max_open=200) as load:
        await quiet_for(house, load, 60)
        await house.do("scale", "web", "4", "--stack", "half")
        await quiet_for(house, load, load.report().sent + 60)
    assert load.report().lost == 0, f"{load.report()}\n{house.evidence()}"
    assert serving(house, "half") == 4


async def test_policies_wait_while_they_are_suspended_and_act_when_they_are_resumed(house: House) -> None:
    folder = a_group(house, "held", f"min: 1, max: 2, {QUICK}, policies: {PER_TARGET}")
    await house.do("up", str(folder))
    await house.do("suspend", "web", "alarm-notification", "--stack", "held")
    async with Load(house.url("held"), rate=90, connections="keep_alive") as load:
        await quiet_for(house, load, 90 * 8)  # long enough for three datapoints, and for a new instance
        assert serving(house, "held") == 1
        await house.do("resume", "web", "--stack", "held")
        await house.until("two to serve", lambda: serving(house, "held") == 2)
    assert load.report().lost == 0


async def test_a_metric_of_the_users_own_scales_a_worker(house: House) -> None:
    folder = house.folder / "worker"
    folder.mkdir()
    house.write(folder / "queue", "0\n")
    house.write(
        folder / "fairlead.yaml",
        textwrap.dedent(f"""\
        name: worker
        services:
          web:
            command: sleep 1000000
            port: none
            scaling:
              min: 1
              max: 3
              warm_up: 1s
              policies:
                - step:
                    metric: custom:queue
                    threshold: 100
                    adjustment: exact_capacity
                    steps: [{{from: 0, to: 100, by: 2}}, {{from: 100, by: 3}}]
            custom_metrics:
              queue: {{command: cat {folder}/queue, every: 500ms}}
        """),
    )
    await house.do("up", str(folder))
    house.write(folder / "queue", "150\n")
    await house.until("two", lambda: serving(house, "worker") == 2)
    house.write(folder / "queue", "250\n")
    await house.until("three", lambda: serving(house, "worker") == 3)
    texts = [one["text"] for one in events(house, "worker", "scaled")]
    assert "custom:queue was 150" in texts[0], texts
    explained = json.loads(house.run("explain", "web", "--stack", "worker", "--json").stdout)
    assert explained["scaling"]["policies"][0]["value"] == 250, explained["scaling"]


async def test_a_daemon_that_dies_goes_on_with_the_size_it_had_reached(house: House) -> None:
    folder = a_group(house, "dies", f"min: 1, max: 3, {QUICK}, policies: {PER_TARGET}")
    await house.do("up", str(folder))
    async with Load(house.url("dies"), rate=130, connections="keep_alive") as load:
        await house.until("three to serve", lambda: serving(house, "dies") == 3)
        pid = house.daemon_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await house.until("another daemon", lambda: house.daemon_pid() not in (None, pid))
        assert service(house, "dies")["desired"] == 3
        await quiet_for(house, load, load.report().sent + 130 * 3)
        assert serving(house, "dies") == 3
    assert load.report().lost == 0, load.report()
