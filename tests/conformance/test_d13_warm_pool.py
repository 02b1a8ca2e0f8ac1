"""D13: the warm pool, and how long an instance may live."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.engines.fake.script import Script
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop, group_file
from tests.conformance.rehearsal import refusal_of, stack_of

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


def warm(shop: Shop) -> list[str]:
    return sorted(one for one, state in shop.states().items() if state == "warm")


async def a_pool(shop: Shop, scaling: str) -> None:
    """Bring the group up, and wait for its pool."""
    await shop.open(scaling)
    await shop.town.until("the pool to be ready", lambda: bool(warm(shop)))


@fact("D13", "Its size is MaxGroupPreparedCapacity, or MaxSize, less desired, and MinSize at least", "approximated",
      "`warm_pool`, and never more than max less desired")  # fmt: skip
async def test_d13_size(shop: Shop) -> None:
    await a_pool(shop, "min: 1, desired: 2, max: 4, warm_pool: 3")
    await shop.town.until("two", lambda: len(warm(shop)) == 2)
    await asyncio.sleep(30)
    assert (len(warm(shop)), len(shop.town.living())) == (2, 4)
    await shop.scale(3)
    await shop.town.until("one to be left", lambda: len(warm(shop)) == 1)
    assert len(shop.town.living()) == 4


@fact("D13", "PoolState: Stopped (the default), Hibernated", "refused", message="pool_state: is not a key")
def test_d13_pool_state(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, pool_state: stopped"))


@fact("D13", "PoolState Running: they run, get no request, and count neither for desired nor in metrics", "real")
async def test_d13_running(shop: Shop) -> None:
    await a_pool(shop, f"min: 1, max: 4, warm_pool: 1, {QUICK}, {PER_TARGET}")
    assert (warm(shop), shop.town.serving(), shop.town.living()) == (["web-2"], ["web-1"], ["web-1", "web-2"])
    assert (await shop.shown())["desired"] == 1
    shop.traffic.load = 150.0
    await shop.serves(2)
    assert "ceil(1 x 150 / 100)" in shop.told("scaled")[0]


@fact("D13", "They are checked by the load balancer only when they are in service", "approximated",
      "all the time, so that one can be let in at once; one that fails is replaced in the pool")  # fmt: skip
async def test_d13_checked(shop: Shop) -> None:
    await a_pool(shop, "min: 1, max: 4, warm_pool: 1")
    shop.town.ill.add("web-2")
    await shop.town.until("another", lambda: warm(shop) == ["web-3"])


@fact("D13", "A scale-out takes from it first, and launches the rest", "real")
async def test_d13_first(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=20.0)
    await a_pool(shop, "min: 1, max: 6, warm_pool: 2")
    await shop.town.until("two", lambda: len(warm(shop)) == 2)
    change = asyncio.create_task(shop.scale(4))
    assert await shop.serves(3) < 1
    await change
    assert len(shop.town.serving()) == 4


@fact(
    "D13", "A scale-in terminates instances, and the pool is filled anew; with ReuseOnScaleIn they return to it", "real"
)
async def test_d13_reuse(shop: Shop) -> None:
    await a_pool(shop, "min: 1, desired: 1, max: 4, warm_pool: 1")
    await shop.scale(2)
    await shop.town.until("the pool to be full", lambda: warm(shop) == ["web-3"])
    await shop.scale(1)
    await shop.is_left(2)
    assert len(shop.told("pooled")) == 0
    await shop.up("min: 1, desired: 1, max: 4, warm_pool: 2, reuse_on_scale_in: true")
    await shop.scale(3)
    await shop.scale(1)
    await shop.town.until("them to return", lambda: len(shop.told("pooled")) > 0)


@fact("D13", "Launching the pool may wait for nothing", "approximated",
      "it is filled only while the group is whole and not being deployed")  # fmt: skip
async def test_d13_after_the_group(shop: Shop) -> None:
    await a_pool(shop, "min: 2, max: 4, warm_pool: 1")
    launched = shop.told("launched")
    assert [text.split()[0] for text in launched] == ["web-1", "web-2", "web-3"]
    assert "the warm pool holds 0 of 1" in launched[2]


@fact("D13", "MaxInstanceLifetime: 0, or a day at least", "approximated", "`max_lifetime`, a minute at least")
def test_d13_lifetime() -> None:
    text = group_file("max: 2").replace("command: serve", "command: serve\n    max_lifetime: 1m")
    assert stack_of(text).service("web").max_lifetime == 60.0
    assert "max_lifetime" in refusal_of(text.replace("1m", "59s"))


@fact("D13", "MaxInstanceLifetime: one at a time, or a tenth when time is short", "approximated",
      "one at a time, those that are protected too; another serves before it goes")  # fmt: skip
async def test_d13_lifetime_one_at_a_time(shop: Shop) -> None:
    shop.daemon = await shop.town.daemon()
    text = group_file("min: 3, max: 5").replace("command: serve", "command: serve\n    max_lifetime: 2m")
    shop.town.say(text)
    await shop.town.up(shop.daemon)
    await shop.daemon.protect("shop", "web-1", True)
    least = most = 3
    while set(shop.town.living()) & {"web-1", "web-2", "web-3"}:
        least, most = min(least, len(shop.town.serving())), max(most, len(shop.town.living()))
        await asyncio.sleep(0.05)
    assert (least, most) == (3, 4)
