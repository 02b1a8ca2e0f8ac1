"""Loads over time, in virtual seconds: what a group makes of them."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from fairlead.core.scaling.policies import Policy

from .builders import a_group_of, an_action, keep, steps
from .world import World, collapsing, turns


def over_target(world: World, begin: int = 0) -> int:
    """Seconds in which it had fewer than the load takes at 100 requests per second each."""
    return sum(size < (world.load(at) or 0.0) / 100 for at, size in enumerate(world.sizes) if at >= begin)


def test_a_step_is_answered_after_three_seconds_and_at_once_in_full() -> None:
    world = World(a_group_of(keep()), lambda second: 150.0 if second < 60 else 750.0).run(200)
    assert world.changes == [(62, 2, 8)]


def test_a_step_down_is_answered_after_fifteen_and_leaves_room() -> None:
    world = World(a_group_of(keep(), desired=8), lambda second: 750.0 if second < 60 else 260.0).run(300)
    assert world.changes == [(74, 8, 3)]


def test_saturated_instances_show_less_than_there_is_to_do_so_it_takes_several_steps() -> None:
    world = World(a_group_of(keep("cpu", 50.0), maximum=20), lambda second: 800.0).run(200)
    assert [after for _, _, after in world.changes] == [4, 8, 16]
    gaps = [later[0] - one[0] for one, later in pairwise(world.changes)]
    assert all(gap >= 12 for gap in gaps)  # not before the last ones have started and warmed up


def test_a_ramp_is_followed_up_and_down() -> None:
    def ramp(second: int) -> float:
        return 1000.0 * min(second, 1200 - second) / 600

    world = World(a_group_of(keep(), desired=1), ramp).run(1300)
    assert max(world.sizes) == 10
    assert turns(world.changes) == 1
    assert world.desired == 1
    assert over_target(world) <= 4 * 10  # at each of its steps no longer than it takes to see it


def test_a_spike_of_a_second_or_two_is_no_reason() -> None:
    world = World(a_group_of(keep()), lambda second: 2000.0 if second in (60, 61) else 150.0).run(200)
    assert world.changes == []


def test_a_spike_that_lasts_is_followed_and_forgotten() -> None:
    world = World(a_group_of(keep()), lambda second: 900.0 if 60 <= second < 90 else 150.0).run(300)
    assert world.changes == [(62, 2, 9), (104, 9, 2)]


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_a_sine_is_followed_however_often_it_comes(noise: float) -> None:
    chance = random.Random(1)

    def sine(second: int) -> float:
        return (550 + 450 * math.sin(math.tau * second / 600)) * (1 + chance.uniform(-noise, noise))

    world = World(a_group_of(keep(), maximum=20), sine).run(6000)
    last = world.sizes[-600:]
    assert min(last) <= 3
    assert max(last) >= 10
    assert sum(last) / 600 < 8  # 5.5 would be the least, and 10 all there is at the top


def test_no_traffic_goes_to_the_minimum_and_stays_there() -> None:
    world = World(a_group_of(keep(), desired=6, minimum=2), lambda second: 0.0).run(300)
    assert world.changes == [(14, 6, 2)]


def test_a_minimum_of_nothing_is_reached_and_left_again() -> None:
    world = World(a_group_of(keep(), minimum=0), lambda second: 0.0 if second < 100 else 250.0).run(300)
    assert world.changes == [(14, 2, 0), (102, 0, 3)]


def test_one_request_now_and_then_wakes_the_first_instance() -> None:
    world = World(a_group_of(keep(), minimum=0), lambda second: float(second % 100 == 50)).run(300)
    assert world.changes[:3] == [(14, 2, 0), (52, 0, 1), (134, 1, 0)]  # undone at 52: the next waits twice as long


def test_a_queue_wakes_the_first_instance() -> None:
    policy = keep("custom:queue", 10.0)
    queue = World(
        a_group_of(policy, minimum=0, desired=0), lambda second: None,
        custom=lambda second, serving: {"queue": 0.0 if second < 30 else 35.0 / max(1, serving)},
    ).run(300)  # fmt: skip
    assert queue.changes == [(32, 0, 4)]


def test_a_metric_beyond_everything_goes_to_the_maximum_once() -> None:
    world = World(a_group_of(keep()), lambda second: 1e12).run(300)
    assert world.changes == [(2, 2, 10)]
    assert world.verdicts[-1].reasons[-1].endswith("and max is 10")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_missing_metrics_delay_but_mislead_nobody(share: float) -> None:
    chance = random.Random(3)
    world = World(a_group_of(keep()), lambda second: None if chance.random() < share else 550.0).run(600)
    assert [after for _, _, after in world.changes] in ([6], [])
    assert world.desired == 6 or share == 0.9


def test_while_metrics_are_missing_nothing_changes() -> None:
    world = World(a_group_of(keep(), desired=6), lambda second: 550.0 if second < 60 else None).run(600)
    assert world.changes == []


def test_jitter_within_bounds_is_no_reason() -> None:
    chance = random.Random(4)
    world = World(a_group_of(keep(), desired=6), lambda second: chance.uniform(520, 570)).run(1000)
    assert world.changes == []


@pytest.mark.parametrize("jump", [3600, -3600, -1, 1, 10])
def test_a_jump_of_the_clock_changes_nothing(jump: int) -> None:
    world = World(a_group_of(keep(), desired=6), lambda second: 550.0)
    world.run(60)
    world.clock += jump
    assert world.run(200).changes == []


@pytest.mark.parametrize("jump", [3600, -3600])
def test_after_a_jump_of_the_clock_it_takes_as_many_datapoints_as_ever(jump: int) -> None:
    world = World(a_group_of(keep()), lambda second: 150.0 if second < 59 else 750.0)
    world.run(60)
    world.clock += jump
    assert world.run(200).changes == [(62, 2, 8)]


@pytest.mark.parametrize("rebooted", [False, True])
def test_a_daemon_that_starts_again_knows_nothing_and_changes_nothing(rebooted: bool) -> None:
    world = World(a_group_of(keep(), desired=6), lambda second: 550.0)
    world.run(60)
    world.restart(rebooted=rebooted)
    assert world.run(200).changes == []


def test_the_scale_in_cool_down_outlives_the_daemon_but_not_the_boot() -> None:
    def falling(second: int) -> float:
        return 550.0 if second < 60 else 350.0 if second < 80 else 150.0

    ends = {}
    for rebooted in (None, False, True):
        world = World(a_group_of(keep(), desired=6, warm_up=1.0), falling, start_time=0.0)
        world.run(80)
        if rebooted is not None:
            world.restart(rebooted=rebooted)
        ends[rebooted] = world.run(200).changes
    assert ends[None] == ends[False] == [(74, 6, 4), (134, 4, 2)]
    assert ends[True] == [(74, 6, 4), (94, 4, 2)]


def test_a_schedule_raises_the_minimum_and_lowers_it_again() -> None:
    due = {100: an_action("morning", minimum=4), 200: an_action("evening", minimum=1)}
    world = World(a_group_of(keep()), lambda second: 50.0).run(400, due)
    assert world.changes == [(14, 2, 1), (100, 1, 4), (201, 4, 1)]


def test_a_step_policy_adds_as_its_steps_say() -> None:
    policies: list[Policy] = [
        steps((0, 200, 1), (200, None, 3), threshold=300.0),
        steps((None, 0, -1), threshold=100.0, comparison="below"),
    ]
    world = World(
        a_group_of(*policies, maximum=8), lambda second: None,
        custom=lambda second, serving: {"queue": 600.0 if second < 40 else 400.0 if second < 70 else 0.0},
    ).run(380)  # fmt: skip
    sizes = [after for _, _, after in world.changes]
    assert sizes[:3] == [5, 8, 7]
    assert sizes[2:] == [7, 6, 5, 4, 3]
    assert [at for at, _, _ in world.changes[2:]] == [84, 144, 204, 264, 324]


def test_the_flapping_of_a_latency_that_collapses_dies_out() -> None:
    world = World(a_group_of(keep("latency_p95", 0.2), maximum=20, desired=5), lambda second: 250.0, behaves=collapsing)
    world.run(5400)
    ins = [at for at, before, after in world.changes if after < before and at > 600]
    gaps = [later - one for one, later in pairwise(ins)]
    assert len(ins) <= 8
    assert gaps[-1] >= 1800
    bad = sum(size < 3 for size in world.sizes[1800:])
    assert bad <= 0.7 * len(world.sizes[1800:])


def test_two_targets_are_both_kept() -> None:
    def load(second: int) -> float:
        return 300.0 if second < 100 else 80.0

    policies = [keep("requests_per_target", 100.0), keep("outstanding", 5.0)]  # five outstanding are 50 requests
    world = World(a_group_of(*policies), load).run(300)
    assert world.changes == [(2, 2, 6), (114, 6, 2)]


def test_without_a_cool_down_flapping_dies_out_as_well() -> None:
    policy = keep("latency_p95", 0.2, scale_in_after=2)
    service = a_group_of(policy, desired=3, scale_in_cooldown=0.0, warm_up=0.0)
    world = World(service, lambda second: 250.0, behaves=collapsing).run(1000)
    assert sum(after < before for _, before, after in world.changes) <= 6
