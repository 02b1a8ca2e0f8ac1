"""D4: which instance a scale-in ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fairlead.core.observed import Instance
from fairlead.core.placement import choose_to_terminate
from fairlead.core.scaling.policies import TerminationPolicy
from tests.conformance.facts import fact
from tests.conformance.groups import Shop, group_file
from tests.conformance.rehearsal import refusal_of
from tests.core.builders import serving, starting

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

MIXED = (serving(1, release=2), serving(2, release=1), serving(3, release=1), serving(4, release=2))
"""web-2 and web-3 are of the older release."""


def order(policy: TerminationPolicy, candidates: Sequence[Instance] = MIXED) -> list[int]:
    """The numbers of all, as they would go."""
    return [one.record.number for one in choose_to_terminate(candidates, len(candidates), policy)]


@fact("D4", "Default: the zone with the most, then the oldest launch template, the next billing hour, chance", "approximated",
      "the zone with the most, then the oldest release, then the newest instance: the ones with warm caches stay")  # fmt: skip
def test_d4_default() -> None:
    assert order("default") == [3, 2, 4, 1]


@fact("D4", "OldestInstance, NewestInstance: by launch time", "real")
def test_d4_by_age() -> None:
    assert order("oldest_instance") == [1, 2, 3, 4]
    assert order("newest_instance") == [4, 3, 2, 1]


@fact("D4", "OldestLaunchTemplate", "approximated", "`oldest_release`; of one release the oldest instance")
def test_d4_oldest_release() -> None:
    assert order("oldest_release") == [2, 3, 1, 4]


@fact("D4", "ClosestToNextInstanceHour, AllocationStrategy, OldestLaunchConfiguration, a function of the user's own", "refused",
      message="termination_policy: must be default, oldest_instance, newest_instance or oldest_release")  # fmt: skip
def test_d4_other_policies(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, termination_policy: closest_to_next_instance_hour"))


@fact(
    "D4", "Several policies, each narrowing what the one before left", "refused", message="termination_policy: must be"
)
def test_d4_several_policies(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, termination_policy: [oldest_release, newest_instance]"))


@fact("D4", "Instances that are protected, on standby or terminating are not chosen", "real")
async def test_d4_candidates(shop: Shop) -> None:
    await shop.open("min: 1, max: 6, desired: 4")
    await shop.daemon.protect("shop", "web-4", True)
    await shop.daemon.standby("shop", "web-3", decrement=True)
    await shop.scale(2)
    await shop.is_left(3)
    assert shop.town.living() == ["web-1", "web-3", "web-4"]


@fact("D4", "An instance without traffic is a candidate like any other", "approximated",
      "those that serve nobody go first: never passed a check, then unhealthy or drained")  # fmt: skip
def test_d4_without_traffic() -> None:
    assert order("oldest_instance", (serving(1), starting(2), serving(3))) == [2, 1, 3]
