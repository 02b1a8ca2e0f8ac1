"""The reference system that scales with its load, for real: from its least to its most and back, and nothing is lost.

The load is raised until all instances are needed, whatever machine this is, so nothing here depends on how fast that
is. A light load goes on from the first to the last moment: it is what a scale-in could lose. With `-s` the story prints
what happened, second by second, and how quick it was.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from fairlead.drill.load import Load
from fairlead.spec import read

from .house import House, a_free_port

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "http-scale-out"

ALWAYS = 20.0
"""Requests a second that never stop; one instance answers them at ease."""
STEP = 150.0
"""Requests a second by which the load is raised, as often as it takes."""
STEPS = 20
LONGEST_STEP = 10.0
"""Seconds that a step may take to make the group grow, before the next is added."""
AT_MOST = 8.0
"""Seconds with all instances, in which what one of them bears is measured: the last began to count after 5."""
SOON = 120.0
"""Seconds until what must happen has happened, on a machine that does other things."""

CAUSE = re.compile(
    r"^web: cpu was (?:at most )?[\d.]+%, (?P<side>above 80|below 72)% for \d+ s: "
    r"desired (?P<before>\d) -> (?P<desired>\d) \(ceil\(\d x [\d.]+ / \d+\).*\), within 1\.\.4$"
)


@pytest.fixture
def house(request: pytest.FixtureRequest) -> House:
    """Whoever runs it: who that is matters to none of this."""
    found = request.getfixturevalue("root_house" if os.getuid() == 0 else "plain_house")
    assert isinstance(found, House)
    return found


# The story


@pytest.mark.parametrize("file", ["fairlead.yaml", "fairlead.uwsgi.yaml"])
async def test_it_scales_out_to_its_maximum_and_back_in_and_loses_nothing(house: House, file: str) -> None:
    stack = read(str(EXAMPLE / file), env={}).name
    folder = a_copy_of_the_example(house)
    await asyncio.to_thread(house.run, "up", str(folder / file), PORT=str(house.port(stack)))
    assert len(house.healthy(stack)) == 1
    assert is_the_api(body_of(house.url(stack, "/")))

    def load(rate: float) -> Load:
        return Load(house.url(stack, "/api"), rate=rate, connections="keep_alive")

    always = load(ALWAYS)
    steps: list[Load] = []
    raised: list[float] = []
    async with Seen(house, stack) as seen, always:
        await seen.until("seconds of a light load", lambda: len(seen.moments) > 4)
        assert seen.desired == 1
        async with AsyncExitStack() as peak:
            while seen.desired < 4:
                assert len(steps) < STEPS, f"{STEPS * STEP:g} requests/s do not need 4 instances\n{house.evidence()}"
                steps.append(await peak.enter_async_context(load(STEP)))
                raised.append(time.time())
                await seen.growth(LONGEST_STEP)
            await seen.until("all in service", lambda: seen.in_service == 4)
            answered_by = {who_answers(house.url(stack, "/api")) for _ in range(40)}
            # More than enough: while it is so, nothing is taken away.
            steps.append(await peak.enter_async_context(load(2 * STEP)))
            await asyncio.sleep(AT_MOST)
            left = time.time()
        await seen.until("the least again", lambda: (seen.desired, seen.living) == (1, 1))

    reports = [one.report() for one in (always, *steps)]
    assert sum(report.lost for report in reports) == 0, [str(report) for report in reports]
    assert len(answered_by) == 4
    assert seen.most == 4, "never more than the maximum, not even for a moment"

    decisions = [told for told in events(house, stack) if told["kind"] == "scaled"]
    causes = [CAUSE.match(told["text"]) for told in decisions]
    assert all(causes), [told["text"] for told in decisions]
    sizes = [1, *(int(cause["desired"]) for cause in causes if cause)]
    assert [int(cause["before"]) for cause in causes if cause] == sizes[:-1]
    top = sizes.index(4)
    assert sizes[: top + 1] == sorted(set(sizes[: top + 1])), f"it only grew: {sizes}"
    assert sizes[top:] == sorted(set(sizes[top:]), reverse=True), f"then it only shrank: {sizes}"
    assert sizes[-1] == 1
    assert all(cause["side"].startswith("above" if int(cause["before"]) < int(cause["desired"]) else "below") for cause in causes if cause)  # fmt: skip

    print("\n" + "\n".join(the_timeline(house, stack, decisions)))
    print("\n".join(how_quick(house, stack, decisions, raised, left)))
    print(f"{sum(report.ok for report in reports)} requests answered, 0 lost")
    await house.do("down", stack)


class Seen:
    """What `fairlead status` said, twice a second, while the block lasts."""

    def __init__(self, house: House, stack: str) -> None:
        self._house, self._stack = house, stack
        self.moments: list[float] = []
        self.desired = self.in_service = self.living = self.most = 0

    async def __aenter__(self) -> Seen:
        await self._look()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def until(self, what: str, question: Callable[[], bool], seconds: float = SOON) -> None:
        """Wait until it is so. TimeoutError says what was awaited and what there is."""
        deadline = time.monotonic() + seconds
        while not question():
            if self._task.done():
                self._task.result()
            if time.monotonic() > deadline:
                there = f"desired {self.desired}, {self.in_service} in service, {self.living} living"
                raise TimeoutError(f"waited {seconds:g} s for {what}: {there}\n{self._house.evidence()}")
            await asyncio.sleep(0.05)

    async def growth(self, seconds: float) -> None:
        """Wait until more are desired, or for so many seconds."""
        before = self.desired
        with suppress(TimeoutError):
            await self.until("growth", lambda: self.desired > before, seconds)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            await self._look()

    async def _look(self) -> None:
        [found] = (await asyncio.to_thread(self._house.status, self._stack))["stacks"]
        [service] = found["services"]
        instances = [one for one in service["instances"] if one["state"] != "terminating"]
        self.desired, self.living = service["desired"], len(service["instances"])
        self.in_service = sum(one["state"] == "in_service" and one["health"] == "healthy" for one in instances)
        self.most = max(self.most, len(instances))
        self.moments.append(time.time())


# What it looked like


def events(house: House, stack: str) -> list[dict[str, Any]]:
    """Since it was brought up, oldest first."""
    done = house.run("events", "--stack", stack, "--json", "--limit", "1000")
    found: list[dict[str, Any]] = json.loads(done.stdout)["events"]
    return found


def figures(house: House, stack: str) -> list[dict[str, Any]]:
    """Each second of the last minutes: when, desired, in service, cpu, requests."""
    found = json.loads(
        house.run("metrics", "web", "--stack", stack, "--since", "8m", "--period", "1s", "--json").stdout
    )
    [service] = [one for one in found["series"] if one["service"] and not (one["zone"] or one["target"])]
    values = {
        metric["name"]: metric["values"] for metric in service["metrics"] if not metric["statistic"].startswith("p")
    }
    names = ("GroupDesiredCapacity", "GroupInServiceInstances", "CPUUtilization", "RequestCount")
    began = moment(found["start"])
    rows = zip(*(values[name] for name in names), strict=True)
    return [{"at": began + second, **dict(zip(names, row, strict=True))} for second, row in enumerate(rows)]


def the_timeline(house: House, stack: str, decisions: list[dict[str, Any]]) -> Iterator[str]:
    rows = [row for row in figures(house, stack) if row["GroupDesiredCapacity"]]
    began, told = rows[0]["at"], list(decisions)
    yield f"{stack}\nsecond  desired  in service  cpu  requests/s"
    for row in rows:
        while told and moment(told[0]["at"]) < row["at"] + 1:
            yield f"        {told.pop(0)['text']}"
        desired, in_service, cpu, requests = (
            "-" if row[name] is None else f"{row[name]:.0f}"
            for name in ("GroupDesiredCapacity", "GroupInServiceInstances", "CPUUtilization", "RequestCount")
        )
        yield f"{row['at'] - began:6.0f} {desired:>8} {in_service:>11} {cpu:>4} {requests:>11}"
    yield from (f"        {one['text']}" for one in told)


def how_quick(
    house: House, stack: str, decisions: list[dict[str, Any]], raised: list[float], left: float
) -> Iterator[str]:
    """From the moment that the load was raised to the decision and to the last instance's first request; and what one
    instance bears at the target, from the seconds in which all were there."""
    launched = [moment(told["at"]) for told in events(house, stack) if told["kind"] == "in_service"]
    for told in decisions:
        at = moment(told["at"])
        cause = max((one for one in (*raised, left) if one < at), default=at)
        word = "load left" if cause == left else "load raised"
        served = min((one - at for one in launched if one > at and at < left), default=None)
        served_text = f", an instance in service after {served:.1f} s more" if served is not None else ""
        yield f"{word}: decided after {at - cause:.1f} s{served_text}"
    whole = [row for row in figures(house, stack) if row["GroupInServiceInstances"] == 4 and row["at"] + 1 < left][-4:]
    with suppress(ZeroDivisionError, TypeError):
        requests, cpu = (sum(row[name] for row in whole) for name in ("RequestCount", "CPUUtilization"))
        yield f"an instance bears {requests / 4 * 80 / cpu:.0f} requests/s at 80% of its cpu (0.1 cores)"


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# The example


def a_copy_of_the_example(house: House) -> Path:
    """In the house's folder: `up` must need nothing of the clone."""
    folder = house.folder / EXAMPLE.name
    for source in EXAMPLE.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            copy = folder / source.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # The same way in, sooner: what is long about it is to wait for it.
            text = source.read_text().replace("scale_in_after: 15", "scale_in_after: 6")
            house.write(copy, text.replace("scale_in_cooldown: 10s", "scale_in_cooldown: 4s"))
    return folder


def body_of(url: str) -> str:
    with urlopen(url, timeout=5) as response:
        assert response.status == 200
        return str(response.read().decode())


def who_answers(url: str) -> str:
    with urlopen(url, timeout=5) as response:
        return str(response.headers["X-Instance"])


def is_the_api(body: str) -> bool:
    """52 keys, each a letter; of one answer."""
    found = json.loads(body)
    return len(found) == 52 and all(re.fullmatch("[A-Za-z]", value) for value in found.values())


def test_the_app_answers_alone_and_its_load_counts_what_it_answers() -> None:
    port = a_free_port()
    environment = {**os.environ, "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"}
    app = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "app/main.py")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        one, other = answered(app, f"http://127.0.0.1:{port}/"), body_of(f"http://127.0.0.1:{port}/api")
        assert is_the_api(one)
        assert is_the_api(other)
        assert one != other, "new letters for each request"
        assert body_of(f"http://127.0.0.1:{port}/health") == "ok\n"
        load = [sys.executable, str(EXAMPLE / "load.py"), f"http://127.0.0.1:{port}/api", "--stages", "40x1"]
        done = subprocess.run(load, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "40 requests answered, 0 lost"), done
        load[2] = f"http://127.0.0.1:{port}/nowhere"
        done = subprocess.run(load, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 requests answered, 40 lost: 40 x 404"), done
    finally:
        app.terminate()
        app.communicate(timeout=10)


def answered(app: subprocess.Popen[bytes], url: str) -> str:
    """What it answers as soon as it does."""
    deadline = time.monotonic() + 30
    while True:
        assert app.poll() is None, app.communicate()
        try:
            return body_of(url)
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline, f"nothing answers at {url}"
            time.sleep(0.05)
