"""D14: what is measured of a group."""

from __future__ import annotations

import pytest

from fairlead.metrics.catalogue import BY_NAME
from tests.conformance.facts import fact
from tests.conformance.groups import Shop

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact("D14", "GroupDesiredCapacity, GroupInServiceInstances", "real")
async def test_d14_measured(shop: Shop) -> None:
    await shop.open("min: 1, desired: 3, max: 4")
    await shop.daemon.protect("shop", "web-1", True)
    await shop.suspend("Terminate")
    await shop.scale(2)
    await shop.town.until("it to be measured", lambda: measured(shop) == (2, 3))


@fact("D14", "GroupInServiceInstances does not count instances on standby", "real")
async def test_d14_standby(shop: Shop) -> None:
    await shop.open("min: 1, desired: 3, max: 4")
    await shop.daemon.standby("shop", "web-1", decrement=True)
    await shop.town.until("it to be measured", lambda: measured(shop)[0] == 2)
    assert measured(shop) == (2, 2)


def measured(shop: Shop) -> tuple[int, int]:
    """Desired, and in service, of the last sample."""
    [found] = [one for one in shop.traffic.samples[-1].services if one.name == "web"]
    return found.desired, sum(one.in_service for one in found.instances)


@fact("D14", "They are measured each minute, when that is enabled", "approximated", "each second, always")
async def test_d14_each_second(shop: Shop) -> None:
    await shop.open("min: 1, max: 4")
    before = len(shop.traffic.samples)
    await shop.town.until("five samples", lambda: len(shop.traffic.samples) == before + 5, 6)


@fact("D14", "GroupMinSize, GroupMaxSize, GroupPendingInstances, GroupStandbyInstances, GroupTerminatingInstances,"
      " GroupTotalInstances, WarmPool*", "absent", "`fairlead status --json` says each of them for now")  # fmt: skip
async def test_d14_not_measured(shop: Shop) -> None:
    assert {name for name in BY_NAME if name.startswith(("Group", "WarmPool"))} == {
        "GroupDesiredCapacity",
        "GroupInServiceInstances",
    }
    await shop.open("min: 1, max: 4, warm_pool: 1")
    found = await shop.shown()
    assert {"min", "max", "desired", "instances"} <= set(found)
    assert set(found["scaling"]["warm_pool"]) == {"size", "ready", "starting"}
    assert {"state", "standby", "pooled"} <= set(found["instances"][0])
