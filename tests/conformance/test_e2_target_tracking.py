"""E2: target tracking: a metric is kept at its target."""

from __future__ import annotations

import random

import pytest

from fairlead.core.readings import Usage
from fairlead.core.scaling.policies import Policy
from fairlead.core.scaling.proposals import propose
from fairlead.core.scaling.seconds import InstanceSecond
from fairlead.metrics.meter import Meter
from tests.conformance.facts import fact
from tests.conformance.groups import PER_TARGET, QUICK, Shop, with_policy
from tests.conformance.rehearsal import refusal_of
from tests.core.scaling.builders import a_group_of, a_history, a_scene, asked, keep, kept_at, points, steps
from tests.core.scaling.world import World, turns
from tests.metrics.builders import STACK
from tests.metrics.builders import Town as Measured

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


def sized(*values: float | None, counted: int = 4, **fields: float | bool) -> tuple[str, int | None]:
    """What a policy with a target of 50 asks for."""
    found = propose(keep(value=50.0, **fields), points(*values, counted=counted), counted, counted)
    return found.wants, found.capacity


@fact(
    "E2",
    "Scale-out after 3 of 3 datapoints of a minute above the target",
    "approximated",
    "of a second; `scale_out_after`, `period`",
)
def test_e2_three_of_three() -> None:
    assert sized(80, 80) == ("hold", 8)
    assert sized(80, 80, 80) == ("out", 7)
    assert (Policy(follows=keep().follows).period, Policy(follows=keep().follows).scale_out_after) == (1, 3)


@fact(
    "E2",
    "Scale-in after 15 of 15 datapoints of a minute below the low level",
    "approximated",
    "of a second; `scale_in_after`, `period`",
)
def test_e2_fifteen_of_fifteen() -> None:
    assert sized(*[10] * 14)[0] == "hold"
    assert sized(*[10] * 15)[0] == "in"


@fact("E2", "The low level is 0.9 of the target for ECS, 0.9 or 0.7 for groups of EC2", "approximated", "0.9, always")
def test_e2_low_level() -> None:
    assert sized(*[44.9] * 15, counted=40) == ("in", 40)
    assert sized(*[45.0] * 15, counted=40)[0] == "hold"


@fact("E2", "Scale-out: as many as bring the metric to its target, rounded up; the formula is not published", "approximated",
      "ceil(counted x metric / target), of the datapoints in breach their median: one odd second counts for nothing")  # fmt: skip
def test_e2_formula() -> None:
    assert sized(80, 80, 80) == ("out", 7), "ceil(4 x 80 / 50)"
    assert sized(60, 80, 400) == ("out", 7)


@fact("E2", "Scale-in: what is left must not lift the metric above its target", "approximated",
      "nor above 0.9 of it, by the heaviest of the datapoints: at least ceil(load / (0.9 x target)) are left")  # fmt: skip
def test_e2_leaves_room() -> None:
    assert sized(*[30] * 15, counted=7) == ("in", 5), "ceil(7 x 30 / 45)"
    assert sized(44, *[10] * 14, counted=7) == ("in", 7), "AWS: ceil(7 x 44 / 50), 7 as well"
    assert sized(24, *[10] * 14, counted=4) == ("in", 3), "AWS: ceil(4 x 24 / 50), 2"


@fact("E2", "A constant load does not make the size go up and down", "real")
def test_e2_no_flapping() -> None:
    dice = random.Random(7)
    service = a_group_of(keep(), minimum=1, desired=1, maximum=20, warm_up=2.0, scale_in_cooldown=0.0)
    world = World(service, lambda second: 700 * dice.uniform(0.97, 1.03)).run(600)
    assert turns(world.changes) <= 1
    assert world.sizes[-1] in (7, 8, 9)


@fact("E2", "No data, no change, in either direction", "real")
async def test_e2_unknown(shop: Shop) -> None:
    await shop.open(f"min: 1, desired: 3, max: 6, {QUICK}, {PER_TARGET}")
    shop.traffic.load = None
    await shop.town.until("it to be unknown", lambda: shop.town.clock.now() > 1120)
    assert len(shop.town.serving()) == 3
    found = (await shop.shown())["scaling"]["policies"][0]
    assert (found["value"], found["state"]) == (None, "INSUFFICIENT_DATA")


@fact("E2", "RequestCountPerTarget without a request is 0 and scales in", "real")
async def test_e2_zero_requests(shop: Shop) -> None:
    await shop.open(f"min: 1, desired: 3, max: 6, {QUICK}, {PER_TARGET}")
    await shop.serves(1, 40)


@fact("E2", "RequestCountPerTarget: the target is of a minute", "approximated", "`requests_per_target` is of a second")
async def test_e2_per_second(shop: Shop) -> None:
    await shop.open(f"min: 1, max: 6, {QUICK}, {PER_TARGET}")
    shop.traffic.load = 199.0
    await shop.serves(2)
    assert "199/s, above 100/s" in shop.told("scaled")[0]


@fact("E2", "DisableScaleIn", "real")
def test_e2_no_scale_in() -> None:
    assert sized(*[1] * 20, scale_in=False) == ("hold", 1)


@fact("E2", "Several targets: out if any wants it, in only if all that may scale in agree", "real")
def test_e2_several_targets() -> None:
    service = a_group_of(keep(), keep("outstanding", 10.0), desired=4)
    assert asked(service, a_history(service, 150, 150, 150, counted=4)).desired > 4
    service = a_group_of(keep(), keep("outstanding", 10.0), desired=4)
    quiet = a_history(service, *[9.5] * 20, counted=4)
    assert asked(service, quiet, kept_at(service, 4)).desired == 4
    assert asked(service, a_history(service, *[2.0] * 20, counted=4), kept_at(service, 4)).desired == 1
    never = a_group_of(keep(), keep("outstanding", 10.0, scale_in=False), desired=4)
    assert asked(never, a_history(never, *[8.0] * 20, counted=4), kept_at(never, 4)).desired == 4


@fact("E2", "Of several policies the largest capacity wins, out and in", "real")
def test_e2_the_largest_wins() -> None:
    service = a_group_of(keep(value=100.0), keep("outstanding", 75.0), desired=2)
    assert asked(service, a_history(service, 160, 160, 160)).desired == 5, "ceil(2 x 160 / 75), not ceil(2 x 160 / 100)"
    service = a_group_of(keep(value=100.0), keep("outstanding", 75.0), desired=8)
    quiet = a_history(service, *[30.0] * 20, counted=8)
    assert asked(service, quiet, kept_at(service, 8)).desired == 4, "ceil(8 x 30 / 67.5), not ceil(8 x 30 / 90)"


@fact("E2", "A step policy may scale in while a target tracking policy has no data", "real")
def test_e2_steps_do_not_wait() -> None:
    below = steps((None, 0, -1), metric="custom:queue", comparison="below")
    service = a_group_of(keep("latency_p95", 0.2), below, desired=4)
    history = a_history(service, *[10.0] * 20, counted=4)
    found = asked(service, history, kept_at(service, 4))
    assert (found.desired, found.proposals[0].wants) == (3, "unknown")


@fact("E2", "A step policy may scale in below what a target needs", "approximated",
      "not below: it would be scaled out again (AutoScalingAnticipatedFlapping)")  # fmt: skip
def test_e2_not_below_a_target() -> None:
    below = steps((None, 0, -3), metric="outstanding", comparison="below")
    service = a_group_of(keep("requests_per_target", 50.0), below, desired=4)
    history = a_history(service, *[30.0] * 20, counted=4)
    assert asked(service, history, kept_at(service, 4)).desired == 3, "ceil(4 x 30 / 45), not 4 - 3"


@fact("E2", "ASGAverageNetworkIn, ASGAverageNetworkOut", "refused", message="metric: must be cpu, memory")
def test_e2_network(message: str) -> None:
    assert message in refusal_of(with_policy("{target: {metric: network_in, value: 5}}"))


@fact("E2", "Metrics that suit target tracking: of requests RequestCountPerTarget alone", "beyond",
      "`outstanding`, the requests inside an instance, and `latency_p50` to `latency_p99` besides")  # fmt: skip
def test_e2_other_metrics() -> None:
    for metric, value, second in (
        ("outstanding", 10.0, InstanceSecond(outstanding=30)),
        ("memory", 50.0, InstanceSecond(memory=150.0)),
    ):
        service = a_group_of(keep(metric, value), desired=1)
        world = World(service, lambda at: 1.0, behaves=lambda load, serving, second=second: second)
        assert world.run(4).desired == 3


@fact("E2", "A group of no instance cannot be started by a target tracking policy on what instances do", "beyond",
      "requests that found nobody start it, since they were refused; `min: 1` keeps one")  # fmt: skip
def test_e2_from_nothing() -> None:
    service = a_group_of(keep(), minimum=0, desired=0, maximum=4)
    world = World(service, lambda second: 0.0 if second < 5 else 30.0).run(20)
    assert world.sizes[4] == 0
    assert world.desired == 1


@fact(
    "E2",
    "A scale-in that had to be undone",
    "beyond",
    "makes the next one wait twice as long, up to an hour; nothing turns that off",
)
def test_e2_undone() -> None:
    service = a_group_of(keep(), desired=2, scale_in_cooldown=10.0)
    group = kept_at(service, 3, in_at=4990.0)
    out = asked(service, a_history(service, 150, 150, 150, counted=3), group)
    assert out.group is not None
    assert out.group.undone == 1
    quiet = a_history(service, *[5.0] * 20, counted=5)
    held = asked(service, quiet, out.group, scene=a_scene(5), now=5010.0)
    assert held.desired == out.desired
    assert "longer than usual" in held.reasons[-1]


@fact("E2", "cpu and memory: what is used of what is reserved, and more than 100 where nothing enforces that", "real")
def test_e2_of_what_is_reserved() -> None:
    measured = Measured(reserved=(0.5, 1000))
    one = measured.target("web-1")
    meter = Meter("not-opened.db")
    meter.take(measured.sample())
    for second in range(1, 4):
        measured.usage[STACK, "web-1"] = Usage(cpu=0.75 * second, memory=1200, at=5000.0 + second)
        meter.take(measured.sample(1.0))
    found = meter.seconds(STACK, "web", 0)[-1].instances[one[1]]
    assert (found.cpu, found.memory) == (pytest.approx(150), pytest.approx(120))
