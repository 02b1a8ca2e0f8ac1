"""Alarms over the loop, in virtual time: told once, cleared once, in order, whatever happens to the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.control import alarms as module
from fairlead.errors import StoreError

from .town import Town

pytestmark = pytest.mark.looptime

FILE = """\
name: shop
services:
  web:
    command: serve
    instances: 2
    environment: {{VERSION: "1"}}
    health_check: {{replace_unhealthy: false}}
    target_group: {{deregistration_delay: 0s}}
alarms: [{alarm}]
"""

ILL = "{when: unhealthy_targets, above: 0, for: 10s, webhook: 'http://hooks.example.com/T0k3n'}"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    found = Town(tmp_path)
    write(found)
    yield found
    await found.close()


def write(town: Town, alarm: str = ILL) -> None:
    town.say(FILE.format(alarm=alarm))


def brought(town: Town) -> list[str]:
    return [str(delivery.payload["state"]) for delivery in town.courier.brought]


def told(town: Town, kind: str) -> list[str]:
    return [event["text"] for event in town.store.events("shop", 1000) if event["kind"] == kind]


async def test_it_is_told_once_when_it_fires_and_once_when_it_clears(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    took = await town.until("the alarm", lambda: brought(town) == ["ALARM"])
    assert 10 <= took < 30
    await asyncio.sleep(300)
    town.ill.clear()
    await town.until("its end", lambda: brought(town) == ["ALARM", "OK"])
    await asyncio.sleep(300)
    assert brought(town) == ["ALARM", "OK"]
    first = town.courier.brought[0]
    assert first.webhook == "http://hooks.example.com/T0k3n"
    assert {key: first.payload[key] for key in ("stack", "alarm", "metric", "value", "threshold")} == {
        "stack": "shop",
        "alarm": "unhealthy_targets above 0",
        "metric": "unhealthy_targets",
        "value": 1.0,
        "threshold": 0.0,
    }
    assert told(town, "alarm_fired") == ["unhealthy_targets has been 1 for 10 s (above 0)"]
    assert told(town, "alarm_cleared") == ["unhealthy_targets above 0 is over: it is 0"]
    assert (town.store.alarms(), town.store.deliveries()) == ((), ()), "nothing is left behind"


async def test_a_short_illness_is_not_told(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    await town.until("it to be seen", lambda: bool(town.store.alarms()))
    await asyncio.sleep(9)
    town.ill.clear()
    await asyncio.sleep(60)
    assert town.courier.brought == []


async def test_bringing_a_stack_up_fires_nothing(town: Town) -> None:
    write(town, ILL.replace("10s", "0s"))
    daemon = await town.daemon()
    await town.up(daemon)
    await asyncio.sleep(30)
    assert town.courier.brought == []


async def test_a_silent_balancer_changes_nothing(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.balancer.die()
    await asyncio.sleep(120)
    assert (town.courier.brought, town.store.alarms()) == ([], ())


@pytest.mark.parametrize("gently", [True, False])
async def test_another_daemon_tells_nothing_twice(town: Town, gently: bool) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    await town.until("the alarm", lambda: brought(town) == ["ALARM"])
    await asyncio.sleep(1)
    for _ in range(3):
        await (daemon.close() if gently else town.bury(daemon))
        daemon = await town.daemon()
        await asyncio.sleep(60)
    assert brought(town) == ["ALARM"]
    town.ill.clear()
    await town.until("its end", lambda: brought(town) == ["ALARM", "OK"])


async def test_what_could_not_be_told_is_told_by_the_next_daemon_in_order(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.courier.problem = "hooks.example.com answered 500"
    town.ill.add("web-1")
    await town.until("the alarm", lambda: bool(town.store.deliveries()))
    town.ill.clear()
    await town.until("its end", lambda: len(town.store.deliveries()) == 2)
    await town.bury(daemon)
    town.courier.problem = ""
    await town.daemon()
    await town.until("both", lambda: brought(town) == ["ALARM", "OK"])
    assert town.store.deliveries() == ()
    (problem,) = told(town, "problem")
    assert problem == (
        "alarm unhealthy_targets above 0 (ALARM) does not reach hooks.example.com: hooks.example.com answered 500; it is "
        "tried again"
    )


async def test_it_is_tried_ever_more_slowly_for_a_day_and_then_given_up(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.courier.problem = "hooks.example.com cannot be told: Connection refused"
    town.ill.add("web-1")
    await town.until("the alarm", lambda: town.courier.tried == 1)
    await asyncio.sleep(600)
    assert town.courier.tried == 10, "after 1, 2, 4 ... 256 s, then every 300 s"
    town.store._db.execute("UPDATE deliveries SET record = json_set(record, '$.waited', 86400.0)")
    await town.bury(daemon)
    await town.daemon()
    await town.until("the end of it", lambda: town.store.deliveries() == ())
    assert told(town, "alarm_undelivered")[0].endswith("Connection refused; it is given up")
    assert "T0k3n" not in str(town.store.events(None, 1000))


async def test_of_too_many_that_wait_the_oldest_go(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    write(town, ILL.replace("10s", "0s"))
    daemon = await town.daemon()
    await town.up(daemon)
    town.courier.problem = "no"
    for _ in range(3):
        town.ill.add("web-1")
        await asyncio.sleep(20)
        town.ill.clear()
        await asyncio.sleep(20)
    waiting = [str(delivery.payload["state"]) for delivery in town.store.deliveries()]
    assert waiting == ["ALARM", "ALARM", "OK"], "the first is being sent; the newest are kept"
    assert len(told(town, "alarm_undelivered")) == 3


async def test_when_the_stack_goes_down_it_is_cleared(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    await town.until("the alarm", lambda: brought(town) == ["ALARM"])
    await daemon.down("shop", lambda event: None)
    await town.until("its end", lambda: brought(town) == ["ALARM", "OK"])
    assert str(town.courier.brought[1].payload["text"]).endswith("the stack was taken down")
    assert town.store.alarms() == ()


async def test_one_that_leaves_the_file_is_cleared_and_another_level_is_another_alarm(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.ill.add("web-1")
    await town.until("the alarm", lambda: brought(town) == ["ALARM"])
    write(town, ILL.replace("above: 0", "above: 1"))
    await daemon.cancel("shop")
    bringing = asyncio.ensure_future(town.up(daemon))
    await town.until("its end", lambda: brought(town) == ["ALARM", "OK"])
    assert str(town.courier.brought[1].payload["text"]).endswith("the alarm was removed from the file")
    bringing.cancel()


async def test_on_a_full_disk_it_fires_from_memory(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = await town.daemon()
    await town.up(daemon)

    def full(*words: Any, **named: Any) -> int:
        raise StoreError("it could not be recorded", "the disk is full")

    for name in ("save_alarm", "save_delivery", "remove_delivery", "add_event"):
        monkeypatch.setattr(town.store, name, full)
    town.ill.add("web-1")
    await town.until("the alarm", lambda: brought(town) == ["ALARM"])
    town.ill.clear()
    await town.until("its end", lambda: brought(town) == ["ALARM", "OK"])
