"""A drill of a real instance: what it finds is what the instance is known to do, and Ctrl-C leaves nothing behind. As
root; who runs it matters to none of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest

from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

SLEEPS = """
import time

def app(environ, start_response):
    time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""
"""A request takes a fiftieth of a second, whatever the processor does meanwhile."""

WORKERS, TAKES = 4, 0.02

GROUP = """
    scaling:
      min: 1
      max: 3
      policies:
        - target: {metric: requests_per_target, value: 20}
          scale_out_after: 1
"""
"""Would add instances with the first step, if it were not suspended."""


@pytest.fixture
def house(root_house: House) -> House:
    return root_house


def a_town(house: House, name: str, more: str = "") -> str:
    """A folder with a stack of that name, one instance of which bears 200 requests a second."""
    folder = house.a_stack(name, app=SLEEPS, instances=1, settings=f"threads: {WORKERS}\nresources: {{cpu: 0.5}}")
    if more:
        house.edit(folder, "    instances: 1\n", more.lstrip("\n"))
    return str(folder)


def service_of(house: House, stack: str) -> dict[str, Any]:
    [found] = house.status(stack)["stacks"][0]["services"]
    return dict(found)


async def test_the_capacity_of_an_instance_is_what_its_workers_can_do(house: House) -> None:
    """Four workers, 20 ms: 200/s. A tenth less is its overhead's; more than 3 % above is what no step may hold."""
    await house.do("up", a_town(house, "known"))
    done = await house.do("drill", "capacity", "web", "--stack", "known", "--for", "25s", "--json")
    found = json.loads(done.stdout)
    assert WORKERS / TAKES * 0.9 <= found["capacity"] <= WORKERS / TAKES * 1.03, done.stderr
    assert found["bound"] == "instance"
    assert found["concurrency"] == pytest.approx(WORKERS, rel=0.25)
    assert TAKES <= found["service_time"] <= TAKES * 1.5
    assert 0 < found["start_time"] < 30
    assert found["cpu_reserved"] == 0.5
    # It sleeps: a request costs much less of the processor than it takes.
    assert 0 < found["cpu_per_request"] < TAKES / 2
    assert found["other_requests"] <= 0.02 * found["capacity"]
    assert "one instance of web does" in done.stderr
    assert "fairlead-open" not in done.stdout + done.stderr
    assert service_of(house, "known")["instances"][0]["opened"] is None
    await house.do("down", "known")


async def test_policies_do_not_react_to_a_drill_and_ctrl_c_leaves_nothing_behind(house: House) -> None:
    await house.do("up", a_town(house, "grouped", GROUP))
    drill = await asyncio.create_subprocess_exec(
        *house.command("drill", "capacity", "--stack", "grouped", "--for", "60s", "--json"),
        env=house.environment, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert drill.stderr is not None
    said = b""
    async with asyncio.timeout(60):
        while b"good" not in said:
            said += await drill.stderr.readline()
    # A second later a policy that is not suspended would have seen the step.
    await asyncio.sleep(2)
    during = service_of(house, "grouped")
    os.kill(drill.pid, signal.SIGINT)
    async with asyncio.timeout(30):
        out, err = await drill.communicate()
    assert drill.returncode == 130, (said + err).decode()
    assert (during["suspended"], during["desired"]) == (["AlarmNotification"], 1)
    assert during["instances"][0]["opened"] is not None
    after = service_of(house, "grouped")
    assert (after["suspended"], after["desired"], after["instances"][0]["opened"]) == ([], 1, None)
    assert json.loads(out)["steps"]
    await house.do("down", "grouped")
