"""D1: the sizes of a group, and who may change them to what."""

from __future__ import annotations

import pytest

from fairlead.control.sizing import MOST_INSTANCES
from fairlead.core.scaling.group import Group, Sizes, edited, present
from fairlead.errors import UsageError
from tests.conformance.facts import fact
from tests.conformance.groups import Shop, group_file
from tests.conformance.rehearsal import refusal_of, stack_of

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


def sizes(text: str) -> Sizes:
    minimum, desired, maximum = map(int, text.split())
    return Sizes(minimum=minimum, desired=desired, maximum=maximum)


@fact("D1", "DesiredCapacity: by default MinSize", "real")
def test_d1_desired_is_the_minimum() -> None:
    assert stack_of(group_file("min: 2, max: 5")).service("web").sizes == sizes("2 2 5")
    assert stack_of(group_file("min: 2, desired: 3, max: 5")).service("web").sizes == sizes("2 3 5")


@fact(
    "D1",
    "MinSize and MaxSize: required, 0 or more",
    "approximated",
    "`min` is 1 unless it is said, and `max` is from 1",
)
def test_d1_min_and_max() -> None:
    assert stack_of(group_file("max: 5")).service("web").sizes == sizes("1 1 5")
    assert "scaling.max: is required" in refusal_of(group_file("min: 1"))
    assert "scaling.max" in refusal_of(group_file("min: 0, max: 0"))


@fact("D1", "MinSize above MaxSize is refused", "real", message="scaling.min: is more than `max` (2)")
def test_d1_min_above_max(message: str) -> None:
    assert message in refusal_of(group_file("min: 3, max: 2"))


@fact(
    "D1", "DesiredCapacity is from MinSize to MaxSize", "real", message="desired: must be from `min` to `max` (1 to 2)"
)
def test_d1_desired_outside(message: str) -> None:
    assert message in refusal_of(group_file("desired: 5, max: 2"))


@fact("D1", "Quotas: 50 scaling policies, 20 steps in each, 125 scheduled actions of a group", "approximated",
      "20 policies, 20 steps in each, 50 scheduled actions, 100 instances")  # fmt: skip
def test_d1_quotas() -> None:
    policy, action = "{target: {metric: outstanding, value: %d}}", '{name: a%d, cron: "0 8 * * *", min: 1}'
    steps = ", ".join(f"{{from: {n}, to: {n + 1}, by: 1}}" for n in range(20)) + ", {from: 20, by: 2}"
    for keys in (
        f"max: 2, policies: [{', '.join(policy % n for n in range(1, 22))}]",
        f"max: 2, schedule: [{', '.join(action % n for n in range(51))}]",
        f"max: 2, policies: [{{step: {{metric: outstanding, threshold: 1, steps: [{steps}]}}}}]",
        f"max: {MOST_INSTANCES + 1}",
    ):
        assert refusal_of(group_file(keys))
    twenty = ", ".join(policy % n for n in range(1, 21))
    assert len(stack_of(group_file(f"max: 100, policies: [{twenty}]")).service("web").scaling.policies) == 20  # type: ignore[union-attr]


@fact("D1", "UpdateAutoScalingGroup: a MinSize above the group's size makes desired the new MinSize", "real")
def test_d1_a_larger_minimum() -> None:
    assert edited(sizes("1 2 6"), None, "boot", minimum=4).sizes == sizes("4 4 6")


@fact("D1", "UpdateAutoScalingGroup: a MaxSize below the group's size makes desired the new MaxSize", "real")
def test_d1_a_smaller_maximum() -> None:
    assert edited(sizes("1 5 6"), None, "boot", maximum=3).sizes == sizes("1 3 3")


@fact("D1", "An update of the template sets the sizes that it names", "approximated",
      "`up` gives the file those of its sizes back that it changed since; the others stay as policies, schedules and"
      " hands left them")  # fmt: skip
def test_d1_an_edit_of_the_file() -> None:
    reached = Group(sizes=sizes("1 5 10"), declared=sizes("1 1 10"))
    assert present(sizes("1 1 10"), reached) == sizes("1 5 10")
    assert present(sizes("1 1 20"), reached) == sizes("1 5 20")
    assert present(sizes("1 3 10"), reached) == sizes("1 3 10")


@fact("D1", "SetDesiredCapacity outside MinSize and MaxSize is an error", "real")
async def test_d1_desired_by_hand_outside(shop: Shop) -> None:
    await shop.open("min: 1, max: 3")
    with pytest.raises(UsageError, match="its max is 3"):
        await shop.scale(4)
    with pytest.raises(UsageError, match="its min is 1"):
        await shop.scale(0)
    assert (await shop.shown())["desired"] == 1


@fact("D1", "SetDesiredCapacity with HonorCooldown is refused while a cool-down runs", "absent",
      "there is no such flag: what is done by hand waits for no cool-down")  # fmt: skip
async def test_d1_by_hand_at_once(shop: Shop) -> None:
    await shop.open("min: 1, max: 6, scale_out_cooldown: 1h, scale_in_cooldown: 1h")
    await shop.scale(3)
    await shop.scale(5)
    await shop.scale(2)
    assert len(shop.town.serving()) == 2


@fact("D1", "The group moves to desired: fewer are launched, more are terminated", "real")
async def test_d1_it_moves_to_desired(shop: Shop) -> None:
    await shop.open("min: 1, max: 6")
    await shop.scale(4)
    assert len(shop.town.serving()) == 4
    await shop.scale(2)
    await shop.is_left(2)


@fact("D1", "Another launch template affects only instances that are launched later", "approximated",
      "`up` with another release is a deployment, which replaces every instance")  # fmt: skip
async def test_d1_another_release(shop: Shop) -> None:
    await shop.open("min: 2, max: 4")
    await shop.up("min: 2, max: 4", version=2)
    await shop.is_left(2)
    assert {shop.record(one).release for one in shop.town.serving()} == {2}
