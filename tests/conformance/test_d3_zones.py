"""D3: zones are kept balanced."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.core.placement import choose_to_terminate, choose_zone
from tests.conformance.facts import fact
from tests.conformance.groups import Shop
from tests.core.builders import serving

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


def members(*zones: str) -> list:  # type: ignore[type-arg]
    """One after the other was launched, each in its zone."""
    return [serving(number, zone=zone) for number, zone in enumerate(zones, start=1)]


@fact("D3", "A scale-out launches in the zone with the fewest instances", "real")
async def test_d3_the_emptiest_zone(shop: Shop) -> None:
    await shop.open("min: 1, max: 6", zones=3)
    await shop.scale(5)
    assert sorted(shop.zones().values()) == [1, 2, 2]


@fact(
    "D3", "Between zones with equally many, chance decides", "approximated", "the first by name: a decision has no dice"
)
def test_d3_equal_zones() -> None:
    assert choose_zone(["b", "a", "c"], ["b"]) == "a"


@fact("D3", "A scale-in takes from the zone with the most instances, whatever the termination policy", "real")
def test_d3_the_fullest_zone() -> None:
    [first] = choose_to_terminate(members("a", "b", "b"), 1, "oldest_instance")
    assert first.record.id == "web-2"


@fact("D3", "Where zones are balanced the termination policy chooses among all of them", "real")
def test_d3_balanced_zones() -> None:
    [first] = choose_to_terminate(members("a", "b", "a", "b"), 1, "oldest_instance")
    assert first.record.id == "web-1"
    [first] = choose_to_terminate(members("a", "b", "a", "b"), 1, "newest_instance")
    assert first.record.id == "web-4"


@fact("D3", "AZRebalance: when zones became uneven, one is launched in the emptier zone, then one of the fuller is terminated",
      "approximated", "when one has at least two more than another, and the group is whole and not being deployed")  # fmt: skip
async def test_d3_rebalance(shop: Shop) -> None:
    await shop.open("min: 4, max: 5", zones=1)
    up = asyncio.create_task(shop.up("min: 4, max: 5", zones=2))
    least = 4
    while shop.zones() != {"a": 2, "b": 2}:
        least = min(least, len(shop.town.serving()))
        await asyncio.sleep(0.1)
    await up
    assert least == 4, "launch before terminate"
    assert any("zone a has 4 instances and zone b 0: rebalanced" in text for text in shop.told("condemned"))


@fact("D3", "Rebalancing may exceed MaxSize by a tenth, or by one", "approximated",
      "never: at the maximum zones stay as they are until there is room")  # fmt: skip
async def test_d3_no_rebalance_at_the_maximum(shop: Shop) -> None:
    await shop.open("min: 4, max: 4", zones=1)
    await shop.up("min: 4, max: 4", zones=2)
    await asyncio.sleep(60)
    assert shop.zones() == {"a": 4}
    await shop.up("min: 4, max: 5", zones=2)
    await shop.town.until("two and two", lambda: shop.zones() == {"a": 2, "b": 2}, 60)


@fact("D3", "Where a launch fails another zone is tried", "absent", "zones are labels of one machine: none fails alone")
async def test_d3_a_zone_is_a_label(shop: Shop) -> None:
    await shop.open("min: 2, max: 4", zones=2)
    assert {shop.record(one).address.partition(":")[0] for one in shop.town.serving()} == {"127.0.0.1"}
