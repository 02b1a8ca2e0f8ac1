"""The simulator against the truth: the reference system that scales with its load runs for real, and what the daemon
decided is compared with what `fairlead simulate` says, of the traffic that was recorded and of the same load invented.

The policy follows requests, not cpu: what a request costs is the machine's affair, and none of the simulator's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.drill.load import Load

from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "http-scale-out"
STACK = "http-scale-out-by-requests"
"""A name of its own: in a house that others use too, the events of another story's stack are none of this one's."""

STAGES = ((20, 10.0), (100, 15.0), (20, 25.0))
"""Requests a second, and for how long: a step up and down again."""

TOLERANCE = 3.0
"""Seconds between a decision of the daemon and the simulator's: seconds are finished a little later in truth, and a
load that a program sends does not begin on the second."""


@pytest.fixture
def house(request: pytest.FixtureRequest) -> House:
    """Whoever runs it: who that is matters to none of this."""
    found = request.getfixturevalue("root_house" if os.getuid() == 0 else "plain_house")
    assert isinstance(found, House)
    return found


async def test_the_daemon_decides_what_the_simulator_says(house: House) -> None:
    folder = the_example_by_requests(house)
    await asyncio.to_thread(house.run, "up", str(folder), PORT=str(house.port(STACK)))
    await house.until("the first figures", lambda: is_measured(house))
    sent = 0
    for rate, seconds in STAGES:
        async with Load(house.url(STACK), rate=rate, connections="keep_alive") as load:
            await asyncio.sleep(seconds)
        sent += load.report().sent
        assert load.report().lost == 0, load.report()
    await house.until("the end of it in the metrics", lambda: counted(house) >= sent - 25)
    real = decisions_of(house)
    # What is left of the load in its last second may make two steps of the way back.
    assert real[0][1] == (1, 3), real
    assert real[-1][1][1] == 1, real

    recorded = simulated(house, folder, "--from", "2m")
    invented = simulated(house, folder, "--load", ",".join(f"constant:{rate}/{seconds:g}s" for rate, seconds in STAGES))
    assert [sizes for _, sizes in recorded] == [sizes for _, sizes in real], (recorded, real)
    assert (invented[0][1], invented[-1][1][1]) == (real[0][1], 1), (invented, real)
    off = [simulation - truth for (simulation, _), (truth, _) in zip(recorded, real, strict=True)]
    apart = [one[1][0] - one[0][0] for one in (real, invented)]
    print(f"decisions of the recorded traffic are {', '.join(f'{seconds:+.1f} s' for seconds in off)} off")
    print(f"scale-out to scale-in: {apart[0]:.1f} s for real, {apart[1]:.1f} s invented")
    assert all(abs(seconds) <= TOLERANCE for seconds in off), (recorded, real)
    assert abs(apart[0] - apart[1]) <= TOLERANCE
    await house.do("down", STACK)


def is_measured(house: House) -> bool:
    """Whether there is a first second of it."""
    return house.run("metrics", "web", "--stack", STACK, "--json", check=False).returncode == 0


def the_example_by_requests(house: House) -> Path:
    """A copy of it that scales by requests, and quickly."""
    folder = house.folder / STACK
    for source in EXAMPLE.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            copy = folder / source.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            house.write(copy, source.read_text())
    text = (folder / "fairlead.yaml").read_text()
    text, changed = re.subn(r"\{metric: cpu, value: 80%\}", "{metric: requests_per_target, value: 40}", text)
    assert changed == 1
    text, changed = re.subn(r"^name: .*$", f"name: {STACK}", text, flags=re.MULTILINE)
    assert changed == 1
    house.write(folder / "fairlead.yaml", text.replace("scale_in_after: 15", "scale_in_after: 8"))
    return folder


def counted(house: House) -> float:
    found = json.loads(house.run("metrics", "web", "--stack", STACK, "--since", "2m", "--json").stdout)
    return float(found["series"][0]["summary"]["requests"] or 0)


def decisions_of(house: House) -> list[tuple[float, tuple[int, int]]]:
    """When, and from how many to how many."""
    rows = json.loads(house.run("events", "--stack", STACK, "--json", "--limit", "500").stdout)["events"]
    told = [(one["at"], re.search(r"desired (\d+) -> (\d+)", one["text"])) for one in rows if one["kind"] == "scaled"]
    return [(datetime.fromisoformat(at).timestamp(), (int(how[1]), int(how[2]))) for at, how in told if how]


def simulated(house: House, folder: Path, *words: str) -> list[tuple[float, tuple[int, int]]]:
    options = ("--file", str(folder), "--capacity", "400", "--service-time", "5ms", "--start-time", "500ms", "--json")
    said: dict[str, Any] = json.loads(house.run("simulate", "web", *words, *options).stdout)
    began = datetime.fromisoformat(said["began"]).timestamp()
    decisions = said["variants"][0]["decisions"]
    return [(began + one["second"], (one["before"], one["desired"])) for one in decisions]
