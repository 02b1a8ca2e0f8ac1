"""Metrics of the user's own: recorded beside the others, answered with their service, and free where there are none."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import NotFound
from fairlead.metrics.columns import TODAY, Columns
from fairlead.metrics.entities import Entity, custom
from fairlead.metrics.meter import Meter
from fairlead.metrics.query import Query
from fairlead.metrics.rows import Row, merged

from .builders import STACK, Town
from .test_meter import WEB, a_meter, passes

QUEUE = {(STACK, "web"): {"queue": 12.345678}}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metrics.db")


def a_town() -> Town:
    town = Town(workers={"mail": ("mail-1",)})
    town.target("web-1")
    return town


def own(found: dict[str, Any], service: str = "web", name: str = "custom:queue") -> dict[str, list[float | None]]:
    """The values of a metric, by statistic."""
    (series,) = [one for one in found["series"] if one["service"] == service and one["target"] is None]
    return {one["statistic"]: one["values"] for one in series["metrics"] if one["name"] == name}


def known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


async def test_it_is_answered_with_its_service_and_unknown_is_null(path: str) -> None:
    town = a_town()
    async with a_meter(path) as meter:
        meter.take(town.sample())
        town.custom = QUEUE
        await passes(meter, town, 3)
        town.custom = {}
        await passes(meter, town, 2)
        town.custom = {(STACK, "web"): {"queue": 0.0}}
        await passes(meter, town, 1)
        for query in (WEB, Query(stack=STACK)):
            found = await meter.series(query)
            assert own(found)["Average"][-6:] == [12.345678, 12.345678, 12.345678, None, None, 0]
            assert [one["unit"] for one in found["series"][-1]["metrics"] if one["name"] == "custom:queue"] in (
                [],
                ["None"],
            )
            assert own(found, "mail") == {} if query.service == "" else True
        assert "custom:queue" not in json.dumps(await meter.series(replace(WEB, target="web-1")))
        with pytest.raises(NotFound):
            await meter.series(replace(WEB, target="custom:queue"))


async def test_it_lives_through_a_restart_and_is_kept_by_the_minute(path: str) -> None:
    town = a_town()
    async with a_meter(path) as meter:
        meter.take(town.sample())
        for number in range(121):
            town.custom = {(STACK, "mail"): {"queue": float(number)}}
            await passes(meter, town, 1)
    async with a_meter(path) as meter:
        await passes(meter, town, 2)
        mail = Query(stack=STACK, service="mail")
        assert len(known(own(await meter.series(mail), "mail")["Average"])) > 100
        until = town.sample().wall
        found = own(await meter.series(replace(mail, since=until - 7200, until=until, period=60)), "mail")
    assert set(found) == {"Average", "Minimum", "Maximum"}
    pairs = zip(known(found["Minimum"]), known(found["Maximum"]), strict=True)
    assert max(most - least for least, most in pairs) == 59


async def test_where_there_is_none_nothing_is_stored_for_it(path: str) -> None:
    town = a_town()
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 12)
    with sqlite3.connect(path) as db:
        assert not db.execute("SELECT count(*) FROM entities WHERE target LIKE 'custom:%'").fetchone()[0]
    db.close()


async def test_a_file_of_before_there_were_any_is_read_and_gone_on_with(path: str) -> None:
    town = a_town()
    async with a_meter(path) as meter:
        meter.take(town.sample())
        await passes(meter, town, 12)
    without = json.loads(TODAY.text())
    for kind in ("counts", "levels"):
        del without[kind]["custom"]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE columns SET text = ?", (json.dumps(without, sort_keys=True),))
    db.close()
    async with a_meter(path) as meter:
        meter.take(town.sample())
        town.custom = QUEUE
        await passes(meter, town, 3)
        found = await meter.series(WEB)
    assert known(own(found)["Average"]) == [12.345678] * 3
    (web,) = [one for one in found["series"] if one["target"] is None]
    (healthy,) = [one["values"] for one in web["metrics"] if one["name"] == "HealthyHostCount"]
    assert len(known(healthy)) == 15
    assert not Path(f"{path}.damaged").exists()


def test_columns_without_the_level_are_read_as_having_none() -> None:
    found = json.loads(TODAY.text())
    del found["counts"]["custom"], found["levels"]["custom"]
    assert Columns.read(json.dumps(found)).levels["custom"] == ()


def test_its_entity_is_told_from_a_target() -> None:
    assert custom("shop", "web", "queue") == Entity("shop", "web", "", "custom:queue")
    assert [custom("shop", "web", "queue").level, Entity("shop", "web", "", "web-1").level] == ["custom", "target"]


def test_several_seconds_have_their_mean_and_are_not_incomplete() -> None:
    rows = [Row((), (value,), (value,), (value,)) for value in (1.0, 3.0, float("nan"))]
    whole = merged(rows)
    assert (list(whole.average), list(whole.minimum), list(whole.maximum), whole.seconds) == ([2.0], [1.0], [3.0], 3)
    assert not whole.incomplete


async def test_prometheus_reads_the_last_second(path: str) -> None:
    town = a_town()
    meter = Meter(path)
    meter.take(town.sample())
    town.custom = QUEUE
    meter.take(town.sample(1.0))
    (line,) = [line for line in meter.prometheus().splitlines() if line.startswith("fairlead_custom_metric{")]
    name, value = line.split()
    assert name == f'fairlead_custom_metric{{name="queue",service="web",stack="{STACK}"}}'
    assert float(value) == pytest.approx(12.345678)
