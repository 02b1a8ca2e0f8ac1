"""D2: the states of an instance."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.core.lifecycle import TABLE, ImpossibleEvent, advance
from fairlead.engines.fake.script import Script
from tests.conformance.facts import fact
from tests.conformance.groups import Shop
from tests.core.builders import a_record

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact("D2", "Pending, InService, Terminating, Terminated", "approximated",
      "`pending`, `in_service`, `terminating`, and ended, which is not shown")  # fmt: skip
async def test_d2_the_states(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=0.5, stops_in=3.0)
    await shop.open("min: 1, max: 2")
    change = asyncio.create_task(shop.scale(2))
    await shop.town.until("another one", lambda: shop.states().get("web-2") == "pending")
    await change
    assert shop.states()["web-2"] == "in_service"
    change = asyncio.create_task(shop.scale(1))
    await shop.town.until("one to go", lambda: "terminating" in shop.states().values())
    await change
    await shop.town.until("it to be gone", lambda: shop.states() == {"web-1": "in_service"})


@fact("D2", "InService once the instance runs and is registered, whatever its first health checks say", "approximated",
      "once it has passed its first health check: until then it is pending")  # fmt: skip
async def test_d2_in_service_is_healthy(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=8.0)
    opened = asyncio.create_task(shop.open("min: 1, max: 2"))
    await shop.town.until("it to be launched", lambda: shop.states() == {"web-1": "pending"})
    await asyncio.sleep(6)
    assert shop.states() == {"web-1": "pending"}
    assert not shop.town.serving()
    await opened
    assert shop.town.serving() == ["web-1"]


@fact("D2", "An instance is registered with its target groups before it is InService", "real")
async def test_d2_registered_first(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=8.0)
    opened = asyncio.create_task(shop.open("min: 1, max: 2"))
    await shop.town.until("it to be a target", lambda: ("shop.web", "web-1") in shop.town.balancer.members)
    assert shop.states() == {"web-1": "pending"}
    await opened


@fact("D2", "Terminating: deregistration and draining come before the instance is stopped", "real")
def test_d2_drained_first() -> None:
    leaving = advance(a_record(), "retire", 1.0)
    with pytest.raises(ImpossibleEvent):
        advance(leaving, "stop", 2.0)
    assert advance(advance(leaving, "deregister", 2.0), "stop", 3.0).stopping_at == 3.0


@fact("D2", "EnteringStandby, Standby", "approximated", "`in_service`, with `standby` beside it")
async def test_d2_standby(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 2")
    await shop.daemon.standby("shop", "web-2", decrement=True)
    found = {one["id"]: (one["state"], one["standby"]) for one in (await shop.shown())["instances"]}
    assert found == {"web-1": ("in_service", ""), "web-2": ("in_service", "decremented")}


@fact("D2", "Warmed:Pending, Warmed:Running", "approximated", "`pending` with `pooled`, then `warm`")
async def test_d2_warm(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=3.0)
    await shop.open("min: 1, max: 2, warm_pool: 1")
    await shop.town.until("one for the pool", lambda: shop.states().get("web-2") == "pending")
    assert shop.record("web-2").pooled
    await shop.town.until("it to be warm", lambda: shop.states()["web-2"] == "warm")


@fact("D2", "Detached, Quarantined, Terminating:Retained, ReplacingRootVolume, Warmed:Stopped, Warmed:Hibernated", "absent",
      "an instance is a process: there is nothing to detach, keep or stop for later")  # fmt: skip
def test_d2_no_other_states() -> None:
    known = {"pending", "warm", "in_service", "terminating", "ended"}
    assert {state for (state, _), after in TABLE.items() for state in (state, after)} == known
