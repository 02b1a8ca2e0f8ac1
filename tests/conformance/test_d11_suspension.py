"""D11: processes of a group that are suspended and resumed."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.core.suspension import PROCESSES
from fairlead.errors import UsageError
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop, silent

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

GROUP = f"min: 1, max: 6, {QUICK}, {PER_TARGET}"


@fact("D11", "Without a list all processes are meant", "real")
async def test_d11_all(shop: Shop) -> None:
    await shop.open(GROUP)
    assert await shop.suspend() == list(PROCESSES)
    assert await shop.suspend(on=False) == []


@fact("D11", "AddToLoadBalancer, HealthCheck, InstanceRefresh", "absent",
      "instances are always registered and checked; the ways round are `instance drain` and `replace_unhealthy: false`")  # fmt: skip
async def test_d11_not_there(shop: Shop) -> None:
    await shop.open(GROUP)
    for process in ("AddToLoadBalancer", "HealthCheck", "InstanceRefresh"):
        with pytest.raises(UsageError, match="is no process"):
            await shop.suspend(process)


@fact("D11", "Launch: no scale-out; what was asked for meanwhile is launched on resume", "real")
async def test_d11_launch(shop: Shop) -> None:
    await shop.open("min: 1, max: 6")
    await shop.suspend("Launch")
    assert "Launch is suspended" in (await shop.scale(3))["text"]
    await asyncio.sleep(60)
    assert len(shop.town.living()) == 1
    await shop.suspend("Launch", on=False)
    await shop.serves(3, 5)


@fact("D11", "Launch: unhealthy instances are terminated all the same, and replaced on resume", "approximated",
      "they stay until another serves in their place, so until it is resumed")  # fmt: skip
async def test_d11_launch_keeps_the_sick(shop: Shop) -> None:
    await shop.open("min: 2, max: 4", grace="1s")
    await shop.suspend("Launch")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await asyncio.sleep(60)
    assert shop.town.living() == ["web-1", "web-2"]
    await shop.suspend("Launch", on=False)
    await shop.town.until("another", lambda: shop.town.living() == ["web-2", "web-3"])


@fact("D11", "Launch: ExitStandby is refused", "approximated", "it needs no launch and is done")
async def test_d11_launch_and_standby(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 4")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    await shop.suspend("Launch")
    await shop.daemon.give_back("shop", "web-1")
    await shop.serves(2)


@fact("D11", "Terminate: no scale-in, and nobody is replaced for being unhealthy, until it is resumed", "real")
async def test_d11_terminate(shop: Shop) -> None:
    await shop.open("min: 1, desired: 3, max: 4", grace="1s")
    await shop.suspend("Terminate")
    await shop.scale(2)
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await asyncio.sleep(60)
    assert {"web-1", "web-2", "web-3"} <= set(shop.town.living())
    await shop.suspend("Terminate", on=False)
    await shop.town.until("one to go", lambda: len(shop.town.living()) == 2 and "web-1" not in shop.town.living())


@fact(
    "D11",
    "Terminate: rebalancing launches all the same, up to a tenth above MaxSize",
    "approximated",
    "it does neither",
)
async def test_d11_terminate_and_zones(shop: Shop) -> None:
    await shop.open("min: 4, max: 5")
    await shop.suspend("Terminate")
    await shop.up("min: 4, max: 5", zones=2)
    await asyncio.sleep(60)
    assert len(shop.town.living()) <= 5


@fact("D11", "ReplaceUnhealthy: they are seen to be unhealthy, and replaced on resume", "real")
async def test_d11_replace_unhealthy(shop: Shop) -> None:
    await shop.open("min: 2, max: 4", grace="1s")
    await shop.suspend("ReplaceUnhealthy")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    shop.town.engine.end("shop", "web-2")
    await asyncio.sleep(60)
    assert shop.states() == {"web-1": "in_service", "web-2": "in_service"}, "nobody takes their places"
    assert {one["health"] for one in (await shop.shown())["instances"]} == {"unhealthy"}
    await shop.suspend("ReplaceUnhealthy", on=False)
    await shop.town.until("two others", lambda: shop.town.living() == ["web-3", "web-4"])


@fact("D11", "AlarmNotification: policies do nothing; on resume those in breach then act", "real")
async def test_d11_alarm_notification(shop: Shop) -> None:
    await shop.open(GROUP)
    await shop.suspend("AlarmNotification")
    shop.traffic.load = 350.0
    await asyncio.sleep(60)
    assert len(shop.town.serving()) == 1
    await shop.suspend("AlarmNotification", on=False)
    await shop.serves(4, 5)


@fact("D11", "ScheduledActions: those that come are skipped, and not made up for", "real")
async def test_d11_scheduled_actions(shop: Shop) -> None:
    await shop.open('min: 1, max: 6, schedule: [{name: morning, cron: "18 0 * * *", min: 4}]')  # it is 00:16:40
    await shop.suspend("ScheduledActions")
    await shop.town.until("it to be skipped", lambda: bool(shop.told("schedule")), 120)
    await shop.suspend("ScheduledActions", on=False)
    await asyncio.sleep(60)
    assert len(shop.town.serving()) == 1


@fact("D11", "AZRebalance: nothing is moved, and launches go to the emptiest zone all the same", "real")
async def test_d11_rebalance(shop: Shop) -> None:
    await shop.open("min: 2, max: 6")
    await shop.suspend("AZRebalance")
    await shop.up("min: 2, max: 6", zones=2)
    await asyncio.sleep(60)
    assert shop.zones() == {"a": 2}
    await shop.scale(3)
    assert shop.zones() == {"a": 2, "b": 1}


@fact("D11", "A group that failed to launch for a day is suspended", "absent",
      "it is tried again every minute at most, and `status` says why")  # fmt: skip
async def test_d11_by_itself(shop: Shop) -> None:
    await shop.open(GROUP)
    assert (await shop.shown())["suspended"] == []


@fact("D11", "Suspended, an instance can be terminated by hand, and the group deleted", "approximated",
      "it ends when Terminate is resumed; `down` takes no notice of what is suspended")  # fmt: skip
async def test_d11_down(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    await shop.suspend()
    await shop.daemon.down("shop", silent)
    assert shop.town.living() == []
