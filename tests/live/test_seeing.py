"""What a user sees of a service under load: metrics against what was really sent, percentiles against the load
generator's own, the access log against both, and what is left of them when HAProxy or the daemon dies. As root; who
runs it matters to none of them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.request import urlopen

import pytest

from fairlead.core.latency import ERROR
from fairlead.drill.load import Load
from fairlead.drill.report import Result

from .house import House, a_free_port
from .pace import RATE, at_risk, settle

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

DRAWS = """
import asyncio, json, os, random
from urllib.parse import parse_qs

die = random.Random(7)

def bimodal():
    return die.gauss(0.1, 0.005) if die.random() < 0.8 else die.gauss(0.6, 0.03)

def heavy_tail():
    return min(3.0, 0.1 * die.paretovariate(1.5))

async def app(scope, receive, send):
    path, status = scope["path"], 200
    if path == "/bimodal":
        await asyncio.sleep(bimodal())
    elif path == "/tail":
        await asyncio.sleep(heavy_tail())
    elif path == "/fails":
        status = 500
    elif path == "/missing":
        status = 404
    name = os.environ["FAIRLEAD_INSTANCE"].encode()
    headers = [(b"content-length", str(len(name)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": name})
"""
"""Answers after a time that it draws, or with the status that its path asks for."""

SLACK = 0.05
"""Seconds that the load generator may be late to see an answer, on a machine that does other things."""


@pytest.fixture
def house(root_house: House) -> House:
    return root_house


def metrics(house: House, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(house.run("metrics", "--json", *words).stdout)
    return found


def series(found: dict[str, Any], name: str, statistic: str = "Sum", **whose: str | None) -> list[float | None]:
    """The values of one metric; whose: service, zone and target, None where nothing is said."""
    whose = {"service": "web", "zone": None, "target": None} | whose
    for one in found["series"]:
        if all(one[key] == value for key, value in whose.items()):
            for metric in one["metrics"]:
                if (metric["name"], metric["statistic"]) == (name, statistic):
                    values: list[float | None] = metric["values"]
                    return values
    raise AssertionError(f"there is no {name} {statistic} of {whose}")


def total(values: list[float | None]) -> float:
    return sum(value for value in values if value is not None)


def now() -> str:
    return datetime.now(UTC).isoformat()


async def next_second() -> None:
    """What was asked before is not in the same second as what is asked from now on."""
    await asyncio.sleep(1.0 - time.time() % 1 + 0.05)


async def counted(house: House, since: str, sent: int, *words: str) -> dict[str, Any]:
    """The metrics of the stack once `sent` requests are in them; each second is finished a moment after its end."""

    def all_there() -> dict[str, Any] | None:
        done = house.run("metrics", "--json", "web", "--since", since, *words, check=False)
        if "nothing is known of web yet" in done.stderr:
            return None
        found = json.loads(done.stdout)
        # Not one second of that time may be finished yet.
        return found if found["series"] and total(series(found, "RequestCount")) >= sent - 0.01 else None

    found: dict[str, Any] = await house.until(f"{sent} requests in the metrics", all_there)
    return found


async def a_town(house: House, name: str, **more: Any) -> str:
    """A stack of that name, up; when it was."""
    folder = house.a_stack(name, app=DRAWS, **more)
    await house.do("up", str(folder))
    await next_second()
    return now()


def percentile(latencies: list[float], percent: float) -> float:
    return sorted(latencies)[max(0, math.ceil(len(latencies) * percent / 100) - 1)]


@pytest.mark.parametrize("path", ["/bimodal", "/tail"])
async def test_percentiles_are_those_of_the_load_generator(house: House, path: str) -> None:
    name = f"draws{path[1:]}"
    since = await a_town(house, name)
    results: list[Result] = []
    load = Load(house.url(name, path), rate=100, connections="keep_alive", on_result=results.append, limit=600)
    async with load:
        await load.finished()
    assert load.report().lost == 0, load.report()
    # From the moment that each left: a generator that is late says nothing of the service.
    latencies = [result.latency - load._lags[result.number] for result in results]
    found = await counted(house, since, 600, "--stack", name)
    [service] = [one for one in found["series"] if one["service"] == "web" and not (one["zone"] or one["target"])]
    told = service["summary"]
    assert told["requests"] == pytest.approx(600)
    for percent in (50, 90, 95, 99):
        theirs = percentile(latencies, percent)
        # A neighbouring rank of a wide tail may be some way off: what lies between them is right, too.
        low, high = (percentile(latencies, max(0.1, min(100, percent + step))) for step in (-0.5, 0.5))
        assert low * (1 - ERROR) - SLACK <= told[f"p{percent}"] <= high * (1 + ERROR) + 0.001, (percent, theirs, told)
    await house.do("down", name)


async def test_every_request_is_counted_once_and_under_the_code_that_it_got(house: House) -> None:
    since = await a_town(house, "counts")
    sent = {"/": 60, "/missing": 30, "/fails": 10}
    for path, count in sent.items():
        load = Load(house.url("counts", path), rate=RATE, connections="keep_alive", limit=count)
        async with load:
            await load.finished()
    found = await counted(house, since, 100, "--stack", "counts")
    for code, count in (("2XX", 60), ("4XX", 30), ("5XX", 10), ("3XX", 0)):
        assert total(series(found, f"HTTPCode_Target_{code}_Count")) == pytest.approx(count)
    by_target = [total(series(found, "RequestCount", zone="a", target=f"web-{number}")) for number in (1, 2)]
    assert by_target == pytest.approx([50, 50])
    assert total(series(found, "RequestCountPerTarget")) == pytest.approx(50)
    [service] = [one for one in found["series"] if not (one["zone"] or one["target"])]
    assert service["summary"]["error_rate"] == pytest.approx(0.1)
    whole = metrics(house, "--since", since, "--stack", "counts")
    assert total(series(whole, "HTTPCode_ELB_5XX_Count", service=None)) == 0
    assert total(series(whole, "RequestCount", service=None)) == pytest.approx(100)
    lines = await house.until(
        "the lines of all", lambda: len(found := access(house, "counts", "--since", since)) >= 100 and found
    )
    assert Counter(line["elb_status_code"] for line in lines) == {200: 60, 404: 30, 500: 10}
    assert len(access(house, "counts", "--since", since, "--status", "5xx")) == 10
    assert len(access(house, "counts", "--since", since, "--path", "/miss*")) == 30
    assert access(house, "counts", "--since", since, "--slower", "30s") == []
    await house.do("down", "counts")


def access(house: House, stack: str, *words: str) -> list[dict[str, Any]]:
    """Lines of the access log; all there are."""
    done = house.run("logs", "--access", "--stack", stack, "--json", "--lines", "100000", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_a_reload_and_a_deployment_make_no_spike_and_no_hole(house: House) -> None:
    since = await a_town(house, "reloads")
    folder = house.folder / "reloads"
    load = Load(house.url("reloads"), rate=RATE, connections="keep_alive")
    async with load:
        await settle(load, 2)
        port = house.port("reloads")
        rules = "rules: [{when: {path: /gone}, respond: {status: 410}}]"
        house.edit(folder, f"port: {port},", f"port: {port}, {rules},")
        await house.do("up", str(folder))
        await settle(load, 1)
        await house.do("restart", "web", "--stack", "reloads")
        await settle(load, 2)
    report = load.report()
    assert report.lost == 0, report
    found = await counted(house, since, report.sent, "--stack", "reloads")
    values = series(found, "RequestCount")
    assert total(values) == pytest.approx(report.sent)
    assert found["incomplete"] == []
    known = [at for at, value in enumerate(values) if value is not None]
    assert known == list(range(known[0], known[-1] + 1)), "a second in between is not known"
    # What was counted twice, or before, would be a spike of all that there had been. The generator makes up for what a
    # busy machine kept it from sending: that is none of ours.
    assert min(value for value in values if value is not None) >= 0
    assert max(value for value in values if value is not None) < report.sent / 2
    await house.until("the lines of all", lambda: len(access(house, "reloads", "--since", since)) >= report.sent)
    lines = access(house, "reloads", "--since", since)
    assert len(lines) == report.sent
    assert len({line["trace_id"] for line in lines}) == report.sent
    await house.do("down", "reloads")


async def test_a_haproxy_that_is_killed_leaves_a_mark_and_a_daemon_a_hole(house: House) -> None:
    since = await a_town(house, "deaths")
    load = Load(house.url("deaths"), rate=RATE, connections="new")
    async with load:
        await settle(load, 2)
        balancer = await asyncio.to_thread(house.balancer_pid) or 0
        killed_at = time.time()
        os.kill(balancer, signal.SIGKILL)
        inside = at_risk(load)
        await house.until("a mark", lambda: metrics(house, "--since", since, "--stack", "deaths")["incomplete"])
        marked_by = time.time()
        before = house.daemon_pid() or 0
        away = [time.time()]
        os.kill(before, signal.SIGKILL)
        await house.until("another daemon", lambda: house.daemon_pid() not in (None, before))
        away.append(time.time())
        await settle(load, 3)
    sent = load.report().sent
    found = await house.until(
        "the last seconds",
        lambda: (
            (seen := metrics(house, "web", "--since", since, "--stack", "deaths"))
            and series(seen, "RequestCount")[-4:].count(0) >= 2
            and seen
        ),
    )
    marked = [datetime.fromisoformat(at).timestamp() for at in found["incomplete"]]
    assert marked, "nothing is marked"
    assert all(killed_at - 2 < at <= marked_by for at in marked), (killed_at, marked_by, marked)
    values = series(found, "RequestCount")
    holes = [at for at, value in enumerate(values) if value is None]
    assert holes, "the daemon's death left no hole"
    assert holes == list(range(holes[0], holes[-1] + 1)), "one hole"
    # The log has what the daemon did not see; only what was inside HAProxy when it was killed may be missing.
    least = sent - max(0.02 * sent, inside)
    await house.until("the lines of all", lambda: len(access(house, "deaths", "--since", since)) >= least)
    lines = access(house, "deaths", "--since", since)
    assert len(lines) <= sent
    # Lost are the seconds in which nobody counted, with those in which it began and ended, and no others.
    ended = [datetime.fromisoformat(line["time"]).timestamp() for line in lines]
    uncounted = [at for at in ended if away[0] - 2 <= at <= away[1] + 2 or killed_at - 2 <= at <= marked_by]
    assert len(lines) - len(uncounted) <= total(values) <= sent
    await house.do("down", "deaths")


async def test_status_and_explain_say_how_it_does(house: House) -> None:
    await a_town(house, "figures")
    load = Load(house.url("figures", "/bimodal"), rate=50, connections="keep_alive")
    async with load:

        def busy() -> Any:
            [stack] = [one for one in house.status()["stacks"] if one["name"] == "figures"]
            [service] = stack["services"]
            return service if (service["figures"]["requests_per_second"] or 0) > 40 else None

        service = await house.until("the figures", busy)
        did = service["figures"]
        assert did["error_rate"] == 0
        assert 0.4 < did["p95"] < 5.0
        assert did["memory"] > 0
        each = [one["figures"] for one in service["instances"]]
        assert all(0.3 < one["requests_per_second"] / did["requests_per_second"] < 0.7 for one in each), each
        told = (await house.do("explain", "web", "--stack", "figures")).stdout
        assert "requests/s" in told
        shown = (await house.do("status", "figures")).stdout
        assert "REQ/S" in shown
        assert "P95" in shown
    await house.do("down", "figures")


async def test_prometheus_is_let_in_when_asked_and_only_then(house: House) -> None:
    await a_town(house, "scraped")
    port = a_free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    with pytest.raises(OSError, match="refused"):
        urlopen(url, timeout=5)
    await house.do("metrics", "--listen", f"127.0.0.1:{port}")
    load = Load(house.url("scraped"), rate=RATE, connections="keep_alive", limit=50)
    async with load:
        await load.finished()

    def scraped() -> str:
        with urlopen(url, timeout=5) as answer:
            text: str = answer.read().decode()
        found = [
            line for line in text.splitlines() if line.startswith("fairlead_requests_total{") and "scraped" in line
        ]
        return text if sum(float(line.rpartition(" ")[2]) for line in found) == 50 else ""

    text = await house.until("50 requests", scraped)
    assert "# TYPE fairlead_target_response_time_seconds histogram" in text
    await house.do("metrics", "--no-listen")
    with pytest.raises(OSError, match="refused"):
        urlopen(url, timeout=5)
    await house.do("down", "scraped")
