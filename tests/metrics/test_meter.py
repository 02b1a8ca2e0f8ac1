"""The meter keeps what is measured through restarts, damage and full disks, and never raises because of its file."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.core import latency
from fairlead.core.figures import UNKNOWN
from fairlead.core.readings import TargetCounts, Usage
from fairlead.errors import NotFound
from fairlead.metrics.meter import EVERY, MOST_HELD, Meter
from fairlead.metrics.query import Query

from .builders import EPOCH, STACK, Town
from .test_percentiles import DISTRIBUTIONS, exact


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metrics.db")


@asynccontextmanager
async def a_meter(path: str) -> AsyncIterator[Meter]:
    meter = Meter(path)
    await meter.open()
    try:
        yield meter
    finally:
        await meter.close()


async def passes(meter: Meter, town: Town, seconds: int, each: Callable[[], object] = lambda: None) -> None:
    """Time, a reading and a flush each second; `each` happens in each."""
    for _ in range(seconds):
        each()
        meter.take(town.sample(1.0))
        await meter.flush()


def values(found: dict[str, Any], name: str, statistic: str = "Sum", target: str | None = None) -> list[float | None]:
    (series,) = [
        one for one in found["series"] if one["target"] == target and one["zone"] in (None, "a" if target else None)
    ]
    (metric,) = [one for one in series["metrics"] if (one["name"], one["statistic"]) == (name, statistic)]
    points: list[float | None] = metric["values"]
    return points


WEB = Query(stack=STACK, service="web")


async def test_a_second_is_answered_before_it_is_written_and_after(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    async with a_meter(path) as meter:
        meter.take(town.sample())
        for seconds in (3, EVERY + 5):
            await passes(meter, town, seconds, lambda: town.serves(key, 7))
            found = await meter.series(WEB)
            counts = values(found, "RequestCount")
            known = [count for count in counts if count is not None]
            assert set(known) == {7}
            assert counts[-len(known) :] == known
            assert (len(counts), len(known)) == (600, round(town.at))
            assert values(found, "RequestCount", target="web-1") == counts


async def test_an_hour_is_answered_by_the_minute(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 1330, lambda: town.serves(key, 2))
        found = await meter.series(Query(stack=STACK, service="web", since=EPOCH))
        assert (found["period"], found["start"]) == (60, "2026-11-18T11:10:00Z")
        assert values(found, "RequestCount") == [120] * 22
        assert values(found, "HealthyHostCount", "Minimum") == [1] * 22
        assert found["series"][0]["summary"]["requests_per_second"] == 2
        assert found["incomplete"] == []


async def test_an_hour_of_a_new_stack_is_answered_at_once(path: str) -> None:
    """Its first minute is not finished yet, or is all that there is."""
    town = Town()
    key = town.target("web-1")
    hour = Query(stack=STACK, service="web", since=EPOCH - 3000)
    async with a_meter(path) as meter:
        meter.take(town.sample())
        for seconds in (3, 70):
            await passes(meter, town, seconds, lambda: town.serves(key, 2))
            found = await meter.series(hour)
            counts = [count for count in values(found, "RequestCount") if count is not None]
            assert (found["period"], sum(counts)) == (60, 2 * round(town.at))
            assert found["series"][0]["summary"]["requests"] == 2 * round(town.at)
    async with a_meter(path) as meter:
        assert values(await meter.series(hour), "RequestCount")[-1] == 120
        # The same of a stack that nobody has measured for two hours.
        town.at += 7200
        meter.take(town.sample())
        await passes(meter, town, 5, lambda: town.serves(key, 3))
        assert values(await meter.series(replace(hour, since=EPOCH + 5000)), "RequestCount")[-1] == 15


async def test_a_daemon_that_comes_back_goes_on_where_it_was(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    for _ in range(2):
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 65, lambda: town.serves(key, 3))
        town.serves(key, 5000)
        town.at += 20
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 2, lambda: town.serves(key, 3))
        found = await meter.series(Query(stack=STACK, service="web", since=EPOCH))
        counts = values(found, "RequestCount")
        assert counts == [3] * 65 + [None] * 20 + [3] * 65 + [None] * 20 + [3] * 2
        # By then it is not so new any more that minutes are made of seconds.
        town.at += 600
        meter.take(town.sample())
        await passes(meter, town, 2)
        first = Query(stack=STACK, service="web", since=EPOCH, until=EPOCH + 120, period=60)
        minutes = await meter.series(first)
        assert values(minutes, "RequestCount") == [180, 3 * 40]
        assert minutes["incomplete"] == ["2026-11-18T11:11:00Z"]


async def test_percentiles_are_right_over_targets_and_minutes(path: str) -> None:
    dice = random.Random(1)
    names = ("bimodal", "heavy tail", "uniform")
    town = Town()
    keys = {name: town.target(f"web-{name.replace(' ', '-')}") for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}

    def second() -> None:
        for name, key in keys.items():
            for _ in range(4):
                times[name].append(max(0.0002, DISTRIBUTIONS[name](dice)))
                town.serves(key, 1, times[name][-1])

    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 660, second)
        for query in (WEB, Query(stack=STACK, service="web", since=EPOCH, period=60)):
            found = await meter.series(query)
            first = 60 * 4 if query.period is None else 0  # the last ten minutes of eleven
            for one in found["series"]:
                name = (one["target"] or "").removeprefix("web-").replace("-", " ")
                expected = times[name][first:] if name else [time for each in times.values() for time in each[first:]]
                for percent in (50, 90, 95, 99):
                    assert one["summary"][f"p{percent}"] == pytest.approx(exact(expected, percent), rel=latency.ERROR)
                assert one["summary"]["average"] == pytest.approx(sum(expected) / len(expected), rel=latency.ERROR)


class TestFigures:
    async def test_are_of_the_last_ten_seconds(self, path: str) -> None:
        town = Town()
        key = town.target("web-1")
        town.outstanding[key] = 3
        async with a_meter(path) as meter:
            assert meter.figures(STACK) == UNKNOWN
            meter.take(town.sample())
            await passes(meter, town, 10, lambda: town.serves(key, 100, 2.0))

            def second() -> None:
                town.serves(key, 3, 0.02)
                town.serves(key, 1, 0.02, code=5)
                town.usage[(STACK, "web-1")] = Usage(cpu=town.at / 4, memory=400, at=5001 + town.at)

            await passes(meter, town, 12, second)
            for names in ((STACK,), (STACK, "web"), (STACK, "web", "web-1")):
                figures = meter.figures(*names)
                assert (figures.requests_per_second, figures.error_rate, figures.outstanding) == (4, 0.25, 3)
                assert figures.p95 == pytest.approx(0.02, rel=latency.ERROR)
            assert (figures.cpu, figures.memory) == (25, pytest.approx(40))

    async def test_are_of_what_is_known_of_them(self, path: str) -> None:
        town = Town()
        key = town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 4, lambda: town.serves(key, 6))
            assert meter.figures(STACK, "web").requests_per_second == 6
            for _ in range(9):
                meter.take(town.sample(1.0, balancer=False))
            assert meter.figures(STACK, "web", "web-1").requests_per_second == 6
            for _ in range(9):
                meter.take(town.sample(1.0, balancer=False))
            assert meter.figures(STACK, "web", "web-1").requests_per_second is None
            assert meter.figures(STACK, "web").p95 is None

    async def test_of_nobody_and_of_those_that_are_gone_are_unknown(self, path: str) -> None:
        town = Town()
        town.target("web-1")
        gone = town.target("web-2")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 3)
            assert meter.figures(STACK, "web", "web-2").requests_per_second == 0
            town.leaves(gone)
            await passes(meter, town, 2)
            assert meter.figures(STACK, "web", "web-2") == UNKNOWN
            assert meter.figures("bank") == UNKNOWN

    async def test_requests_that_a_target_breaks_are_errors(self, path: str) -> None:
        town = Town()
        key = town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())

            def second() -> None:
                town.serves(key, 1)
                town.counts_more(key, requests=1, broken=1)

            await passes(meter, town, 3, second)
            assert meter.figures(STACK, "web", "web-1").error_rate == 0.5

    async def test_are_found_at_a_past_moment_by_the_second_and_later_by_the_minute(self, path: str) -> None:
        town = Town()
        key = town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 100, lambda: town.serves(key, 5))
            await passes(meter, town, 400, lambda: town.serves(key, 9))
            at = await meter.figures_at(STACK, "web", EPOCH + 100)
            assert {name: figures.requests_per_second for name, figures in at.items()} == {"": 5, "web-1": 5}
            await passes(meter, town, 1000)
            town.at += 3600
            await passes(meter, town, 2)
            later = await meter.figures_at(STACK, "web", EPOCH + 59)
            assert {name: figures.requests_per_second for name, figures in later.items()} == {"": 5, "web-1": 5}
            assert await meter.figures_at(STACK, "web", EPOCH - 500) == {}


async def test_who_was_never_measured_is_not_found(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, EVERY + 1)
        for asked, name in (({"service": "wbe"}, "service wbe"), ({"service": "web", "target": "web-9"}, "target web-9"),
                            ({"service": "web", "zone": "z"}, "zone z")):  # fmt: skip
            with pytest.raises(NotFound, match=name):
                await meter.series(Query(stack=STACK, **asked))
        town.leaves(key)
        await passes(meter, town, 700)
        # It was there, but not in the time that is asked for.
        assert (await meter.series(Query(stack=STACK, service="web", target="web-1")))["series"] == []


class TestTheFile:
    async def test_that_is_damaged_is_moved_aside(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        Path(path).write_bytes(b"this is not a database, and never was" * 200)
        town = Town()
        town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, EVERY + 2)
            assert len([one for one in values(await meter.series(WEB), "RequestCount") if one is not None]) == EVERY + 2
        assert Path(f"{path}.damaged").read_bytes().startswith(b"this is not")
        assert [record.message for record in caplog.records if "moved to" in record.message] != []
        assert sqlite3.connect(path).execute("SELECT count(*) FROM seconds").fetchone()[0] == EVERY + 2

    async def test_that_gets_damaged_is_moved_aside_and_what_waits_is_kept(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        town = Town()
        town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 700)
            with sqlite3.connect(path) as rows:
                rows.execute("UPDATE seconds SET data = x'00'")
                rows.execute("UPDATE blocks SET data = x'00'")
            rows.close()
            for seconds in (0, EVERY + 5):
                await passes(meter, town, seconds)
                found = await meter.series(WEB)
                assert [one is not None for one in values(found, "RequestCount")][-EVERY:] == [True] * EVERY
        assert os.path.exists(f"{path}.damaged")
        assert [record.message.split(" (")[0] for record in caplog.records] == [f"{path} is damaged"]

    async def test_of_a_newer_fairlead_is_moved_aside(self, path: str) -> None:
        with sqlite3.connect(path) as rows:
            rows.execute("PRAGMA user_version = 99")
            rows.execute("CREATE TABLE theirs (a)")
        rows.close()
        async with a_meter(path) as meter:
            await meter.series(Query(stack=STACK))
        rows = sqlite3.connect(f"{path}.damaged")
        assert rows.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
        rows.close()

    async def test_that_is_full_stops_nothing_and_goes_on_when_there_is_room(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        town = Town()
        key = town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, 30, lambda: town.serves(key, 2))
            assert meter._history is not None
            (pages,) = meter._history._db.execute("PRAGMA page_count").fetchone()
            meter._history._db.execute(f"PRAGMA max_page_count = {pages}")
            await passes(meter, town, MOST_HELD + 200, lambda: town.serves(key, 2))
            assert len(meter._unwritten) <= MOST_HELD
            assert meter.figures(STACK, "web").requests_per_second == 2
            recent = values(await meter.series(WEB), "RequestCount")
            assert recent[-MOST_HELD:] == [2] * MOST_HELD
            assert len([one for one in caplog.records if "not recorded" in one.message]) == 1
            meter._history._db.execute("PRAGMA max_page_count = 1000000")
            await passes(meter, town, EVERY + 1, lambda: town.serves(key, 2))
            assert "recorded again" in caplog.text
            assert len(meter._unwritten) <= EVERY
            assert meter._history._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert values(await meter.series(WEB), "RequestCount")[-MOST_HELD:] == [2] * MOST_HELD

    async def test_that_somebody_removes_is_begun_anew(self, path: str) -> None:
        town = Town()
        town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, EVERY + 2)
            for end in ("", "-wal", "-shm"):
                os.unlink(path + end)
            await passes(meter, town, EVERY)
        rows = sqlite3.connect(path)
        assert rows.execute("SELECT count(*) FROM seconds").fetchone()[0] >= EVERY
        rows.close()

    async def test_that_somebody_puts_another_in_the_place_of_is_that_one_from_then_on(self, path: str) -> None:
        town = Town()
        key = town.target("web-1")
        async with a_meter(path) as meter:
            meter.take(town.sample())
            await passes(meter, town, EVERY + 2, lambda: town.serves(key, 2))
            Path(f"{path}.other").write_bytes(b"this is not a database" * 100)
            os.replace(f"{path}.other", path)
            await passes(meter, town, EVERY, lambda: town.serves(key, 2))
            assert Path(f"{path}.damaged").read_bytes().startswith(b"this is not")
            for end in ("", "-wal", "-shm"):
                os.unlink(path + end)
            os.mkdir(path)
            await passes(meter, town, EVERY, lambda: town.serves(key, 2))
            os.rmdir(path)
            await passes(meter, town, EVERY, lambda: town.serves(key, 2))
        rows = sqlite3.connect(path)
        assert rows.execute("SELECT count(*) FROM seconds").fetchone()[0] >= 2 * EVERY
        rows.close()

    async def test_that_cannot_be_made_stops_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        town = Town()
        key = town.target("web-1")
        folder = tmp_path / "later"
        async with a_meter(str(folder / "metrics.db")) as meter:
            meter.take(town.sample())
            await passes(meter, town, 25, lambda: town.serves(key, 2))
            assert "not recorded" in caplog.text
            assert values(await meter.series(WEB), "RequestCount")[-25:] == [2] * 25
            folder.mkdir()
            await passes(meter, town, EVERY)
            assert len(meter._unwritten) < EVERY

    async def test_may_be_closed_twice_and_asked_before_it_is_open(self, path: str) -> None:
        meter = Meter(path)
        await meter.close()
        assert meter.prometheus().startswith("# HELP fairlead_requests_total")
        found = await meter.series(Query(stack=STACK))
        assert found["series"] == []
        assert abs(time.time() - os.stat(path).st_mtime) < 60
        await meter.open()
        await meter.close()
        await meter.close()


async def test_prometheus_reads_the_last_second(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 3, lambda: town.serves(key, 2))
        text = meter.prometheus()
        labels = 'service="web",stack="shop",target="web-1",zone="a"'
        assert f"fairlead_requests_total{{{labels}}} 6.0\n" in text
        assert f"fairlead_healthy_hosts{{{labels}}} 1.0\n" in text


async def test_counts_that_were_lost_are_named(path: str) -> None:
    town = Town()
    key = town.target("web-1")
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 3)
        town.losses += 1
        town.counts[key] = TargetCounts()
        await passes(meter, town, 2)
        assert (await meter.series(WEB))["incomplete"] == ["2026-11-18T11:10:03Z"]


async def test_a_second_that_cannot_be_encoded_is_told_and_the_next_one_is_taken(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    town = Town()
    async with a_meter(path) as meter:
        await passes(meter, town, 3)
        with monkeypatch.context() as patched:
            patched.setattr("fairlead.metrics.meter.second", lambda *words: [1e39].index(0))
            await passes(meter, town, 3)
        await passes(meter, town, 3)
        assert meter.figures(STACK) != UNKNOWN
    assert "a sample of metrics was not understood" in caplog.text
