"""D10: protection from scale-in, standby, and instances that are ended by hand."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.errors import UsageError
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop, group_file, silent
from tests.conformance.rehearsal import refusal_of

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact(
    "D10",
    "Scale-in protection: scale-ins choose another, and if all are protected desired is lowered and stays unmet",
    "real",
)
async def test_d10_protection(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 4, termination_policy: newest_instance")
    await shop.daemon.protect("shop", "web-2", True)
    await shop.scale(1)
    await shop.town.until("the other to go", lambda: shop.town.living() == ["web-2"])
    await shop.scale(2)
    await shop.daemon.protect("shop", "web-3", True)
    await shop.scale(1)
    await asyncio.sleep(30)
    assert (len(shop.town.serving()), (await shop.shown())["desired"]) == (2, 1)


@fact("D10", "It does not protect from health replacement, nor from being terminated by hand", "real")
async def test_d10_not_from_everything(shop: Shop) -> None:
    await shop.open("min: 2, max: 4", grace="1s")
    for instance in ("web-1", "web-2"):
        await shop.daemon.protect("shop", instance, True)
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await shop.town.until("web-1 to be replaced", lambda: shop.town.serving() == ["web-2", "web-3"])
    await shop.daemon.terminate("shop", "web-2", progress=silent)
    await shop.town.until("web-2 to be replaced", lambda: shop.town.serving() == ["web-3", "web-4"])


@fact("D10", "NewInstancesProtectedFromScaleIn", "refused", message="new_instances_protected: is not a key")
def test_d10_new_ones(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, new_instances_protected: true"))


@fact(
    "D10",
    "A protected instance is refreshed, or waited for, as the refresh says",
    "approximated",
    "replaced like any other",
)
async def test_d10_deployed(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    await shop.daemon.protect("shop", "web-1", True)
    await shop.up("min: 2, max: 4", version=2)
    await shop.is_left(2)
    assert "web-1" not in shop.town.living()


@fact("D10", "EnterStandby: it is deregistered with draining, still runs, and gets no request", "real")
async def test_d10_standby(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 4")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    await shop.town.until("it to be out", lambda: shop.town.serving() == ["web-2"])
    await asyncio.sleep(120)
    assert shop.town.living() == ["web-1", "web-2"]
    found = next(one for one in (await shop.shown())["instances"] if one["id"] == "web-1")
    assert found["health"] in ("draining", "unused")


@fact("D10", "EnterStandby: whether desired becomes one less has to be said", "approximated",
      "without `--decrement` another one takes its place")  # fmt: skip
async def test_d10_replaced(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    await shop.daemon.standby("shop", "web-1")
    await shop.town.until("another", lambda: shop.town.serving() == ["web-2", "web-3"])
    assert (await shop.shown())["desired"] == 2


@fact("D10", "EnterStandby with a decrement must not lead below MinSize", "real")
async def test_d10_not_below_the_minimum(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    with pytest.raises(UsageError, match="its minimum is 2"):
        await shop.daemon.standby("shop", "web-1", decrement=True)


@fact("D10", "ExitStandby: desired becomes one more again if it had become one less, else the group is one over it and scales in",
      "real")  # fmt: skip
async def test_d10_return(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 4, termination_policy: newest_instance")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    assert (await shop.shown())["desired"] == 1
    await shop.daemon.give_back("shop", "web-1")
    await shop.serves(2)
    assert (await shop.shown())["desired"] == 2
    await shop.daemon.standby("shop", "web-1")
    await shop.town.until("another", lambda: shop.town.serving() == ["web-2", "web-3"])
    await shop.daemon.give_back("shop", "web-1")
    await shop.town.until("one to go", lambda: shop.town.living() == ["web-1", "web-2"])


@fact("D10", "ExitStandby fails where desired would be more than MaxSize", "real")
async def test_d10_not_above_the_maximum(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 2")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    await shop.scale(2)
    with pytest.raises(UsageError, match="its max is 2"):
        await shop.daemon.give_back("shop", "web-1")


@fact(
    "D10",
    "Instances on standby: a refresh waits for them, replaces or ignores them",
    "approximated",
    "a deployment ignores them",
)
async def test_d10_standby_and_deployments(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    await shop.daemon.standby("shop", "web-1")
    await shop.serves(2)
    await shop.up("min: 2, max: 4", version=2)
    await shop.is_left(3)
    assert (shop.record("web-1").release, shop.states()["web-1"]) == (1, "in_service")


@fact("D10", "The metric of an instance on standby does not count", "real")
async def test_d10_standby_is_no_capacity(shop: Shop) -> None:
    await shop.open(f"min: 1, desired: 2, max: 6, {QUICK}, {PER_TARGET}")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    await shop.serves(1)
    shop.traffic.load = 150.0
    await shop.serves(2)
    assert "ceil(1 x 150 / 100)" in shop.told("scaled")[-1]


@fact("D10", "TerminateInstanceInAutoScalingGroup: another is launched, or desired becomes one less", "real")
async def test_d10_terminate(shop: Shop) -> None:
    await shop.open("min: 1, desired: 3, max: 4")
    await shop.daemon.terminate("shop", "web-1", progress=silent)
    await shop.town.until("another", lambda: shop.town.living() == ["web-2", "web-3", "web-4"])
    await shop.daemon.terminate("shop", "web-2", decrement=True, progress=silent)
    assert (shop.town.living(), (await shop.shown())["desired"]) == (["web-3", "web-4"], 2)


@fact("D10", "TerminateInstanceInAutoScalingGroup with a decrement fails at MinSize", "real")
async def test_d10_terminate_at_the_minimum(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    with pytest.raises(UsageError, match="its min is 2"):
        await shop.daemon.terminate("shop", "web-1", decrement=True, progress=silent)


@fact(
    "D10", "AttachInstances, DetachInstances", "absent", "an instance is one of its service from its launch to its end"
)
async def test_d10_attach(shop: Shop) -> None:
    await shop.open("min: 1, max: 2")
    assert not {"attach", "detach"} & set(dir(shop.daemon))
