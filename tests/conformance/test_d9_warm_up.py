"""D9: an instance that has just been let in is there, and tells nothing of the load yet."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.core.scaling.scene import scene_of
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, Shop, with_policy
from tests.conformance.rehearsal import refusal_of
from tests.core.builders import a_group, a_revision, a_stack, a_wish, seen, serving
from tests.core.scaling.builders import a_group_of, a_history, a_scene, asked, keep, kept_at, names

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact(
    "D9",
    "The clock of the warm-up starts at InService; until it is over the instance is left out of the metric",
    "real",
)
def test_d9_left_out() -> None:
    wish = a_wish(a_revision(a_stack(a_group(warm_up=10.0))))
    snapshot = seen(wish, serving(1, in_service_at=80.0), serving(2, launched_at=0.0, in_service_at=95.0))
    scene = scene_of(wish, snapshot, "web", 100.0)
    assert (scene.counted, scene.warming, scene.ready_at) == ({"web-1"}, 1, 105.0)
    assert scene_of(wish, snapshot, "web", 105.0).counted == {"web-1", "web-2"}
    service = a_group_of(keep())
    history = a_history(service)
    both = {"web-1": InstanceSecond(requests=100), "web-2": InstanceSecond(requests=0)}
    history.add(ServiceSecond(at=1, instances=both), scene.counted)
    assert history.points(keep())[-1].value == 100


@fact("D9", "Policies do not scale in while an instance warms up", "real")
def test_d9_no_scale_in() -> None:
    service = a_group_of(keep())
    quiet = a_history(service, *[5.0] * 20, counted=3)
    found = asked(service, quiet, kept_at(service, 4), scene=a_scene(3, warming=1, ready_at=5007.0))
    assert (found.desired, found.reasons[-1]) == (4, "no scale-in while instances start or warm up for 7 s more")
    assert asked(service, quiet, kept_at(service, 4), scene=a_scene(4)).desired == 1


@fact(
    "D9",
    "They scale out further when those that do not warm up have too much to do, and count what is on its way",
    "real",
)
def test_d9_scale_out() -> None:
    service = a_group_of(keep())
    busy = a_history(service, *[180.0] * 3, counted=2)
    assert asked(service, busy, kept_at(service, 4), scene=a_scene(2, warming=2)).desired == 4, "ceil(2 x 180 / 100)"
    busier = a_history(service, *[260.0] * 3, counted=2)
    assert asked(service, busier, kept_at(service, 4), scene=a_scene(2, warming=2)).desired == 6


@fact(
    "D9",
    "The warm-up is the policy's, else the group's, else its cool-down",
    "refused",
    message="policies.0.warm_up: is not a key",
)
def test_d9_of_the_group(message: str) -> None:
    assert message in refusal_of(with_policy("{target: {metric: cpu, value: 60%}, warm_up: 5s}"))


@fact("D9", "A warm-up of 0 counts an instance at once", "approximated", "after a second: of less it has no metric")
def test_d9_none() -> None:
    wish = a_wish(a_revision(a_stack(a_group(warm_up=0.0))))
    snapshot = seen(wish, serving(1, in_service_at=80.0), serving(2, in_service_at=99.5))
    assert scene_of(wish, snapshot, "web", 100.0).counted == {"web-1"}
    assert scene_of(wish, snapshot, "web", 100.5).counted == names(2)


@fact("D9", "Warming instances are part of the group's size", "real")
async def test_d9_part_of_the_size(shop: Shop) -> None:
    await shop.open(f"min: 1, max: 6, warm_up: 60s, {PER_TARGET}")
    await asyncio.sleep(62)
    shop.traffic.load = 250.0
    await shop.serves(3)
    await asyncio.sleep(30)  # web-1 alone counts, and has 83/s: the two that warm up are not added again
    assert (await shop.shown())["desired"] == 3
