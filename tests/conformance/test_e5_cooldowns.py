"""E5: Application Auto Scaling, whose cool-downs a group has."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.core.scaling.policies import Scaling
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop
from tests.core.scaling.builders import a_group_of, a_history, a_scene, asked, keep, kept_at

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact("E5", "ScaleOutCooldown and ScaleInCooldown: 300 s each", "approximated", "0 s and 60 s")
def test_e5_defaults() -> None:
    assert (Scaling().scale_out_cooldown, Scaling().scale_in_cooldown) == (0.0, 60.0)


@fact("E5", "During the scale-out cool-down only a larger scale-out is made, and only the difference is added", "real")
def test_e5_scale_out() -> None:
    service = a_group_of(keep(), scale_out_cooldown=60.0)
    group = kept_at(service, 4, out_at=4990.0, out_by=2)
    same = a_history(service, 150, 150, 150, counted=4)
    assert asked(service, same, group).desired == 4, "6 would be two more again"
    larger = a_history(service, 200, 200, 200, counted=4)
    assert asked(service, larger, group).desired == 8
    assert asked(service, same, group, now=5050.0).desired == 6


@fact("E5", "During the scale-in cool-down nothing is taken away", "real")
def test_e5_scale_in() -> None:
    service = a_group_of(keep(), scale_in_cooldown=60.0)
    group = kept_at(service, 4, in_at=4990.0)
    quiet = a_history(service, *[10.0] * 20, counted=4)
    assert asked(service, quiet, group).reasons[-1] == "the scale-in cool-down has 50 s left"
    assert asked(service, quiet, group, now=5050.0).desired == 1


@fact("E5", "A scale-out during the scale-in cool-down is made at once", "real")
def test_e5_out_at_once() -> None:
    service = a_group_of(keep(), scale_in_cooldown=60.0)
    group = kept_at(service, 4, in_at=4999.0)
    assert asked(service, a_history(service, 150, 150, 150, counted=4), group).desired == 6


@fact(
    "E5",
    "A scale-out ends the scale-in cool-down",
    "approximated",
    "it makes it longer: what was taken away was needed",
)
def test_e5_not_ended() -> None:
    service = a_group_of(keep(), scale_in_cooldown=60.0)
    out = asked(service, a_history(service, 150, 150, 150, counted=4), kept_at(service, 4, in_at=4999.0))
    quiet = a_history(service, *[10.0] * 20, counted=6)
    assert asked(service, quiet, out.group, scene=a_scene(6), now=5070.0).desired == 6


@fact("E5", "During a deployment nothing is taken away, and scale-outs go on", "real")
def test_e5_deployment() -> None:
    service = a_group_of(keep())
    group = kept_at(service, 4)
    deploying = a_scene(4, deploying=True)
    quiet = a_history(service, *[10.0] * 20, counted=4)
    held = asked(service, quiet, group, scene=deploying)
    assert (held.desired, held.reasons[-1]) == (4, "no scale-in while a deployment is under way")
    assert asked(service, a_history(service, 150, 150, 150, counted=4), group, scene=deploying).desired == 6


@fact(
    "E5", "A scale-in while instances are unhealthy", "beyond", "waits until they are replaced; nothing turns that off"
)
def test_e5_unhealthy() -> None:
    service = a_group_of(keep())
    quiet = a_history(service, *[10.0] * 20, counted=3)
    held = asked(service, quiet, kept_at(service, 4), scene=a_scene(3, ailing=1))
    assert (held.desired, held.reasons[-1]) == (4, "no scale-in while instances are unhealthy")


@fact("E5", "Why nothing was scaled: AlreadyAtMaxCapacity, AlreadyAtMinCapacity, AutoScalingAnticipatedFlapping", "approximated",
      "`status` and `explain` say it: `it would be 10, and max is 3`")  # fmt: skip
async def test_e5_not_scaled(shop: Shop) -> None:
    await shop.open(f"min: 1, max: 3, {QUICK}, {PER_TARGET}")
    shop.traffic.load = 1000.0
    await shop.serves(3)
    await asyncio.sleep(10)
    assert (await shop.shown())["scaling"]["held"] == "it would be 10, and max is 3"


@fact("E5", "Suspended: scale-in, scale-out and scheduled scaling apart", "approximated",
      "policies altogether, and schedules: AlarmNotification, ScheduledActions; `scale_in: false` in the file")  # fmt: skip
async def test_e5_suspended(shop: Shop) -> None:
    await shop.open(f"min: 1, max: 3, {QUICK}, {PER_TARGET}")
    assert await shop.suspend("ScheduledActions", "AlarmNotification") == ["AlarmNotification", "ScheduledActions"]


@fact("E5", "ECSServiceAverageCPUUtilization, ECSServiceAverageMemoryUtilization: the means of all tasks", "approximated",
      "`cpu` and `memory`: the means of the instances that are in service, healthy and past their warm-up")  # fmt: skip
def test_e5_means() -> None:
    service = a_group_of(keep("cpu", 60.0), desired=3)
    assert asked(service, a_history(service, 90, 90, 90, counted=2), scene=a_scene(2, warming=1)).desired == 3
    assert asked(service, a_history(service, 90, 90, 90, counted=3), scene=a_scene(3)).desired == 5
