"""What holds for every decision and for every constant load."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.core.model import Service
from fairlead.core.scaling.group import Group
from fairlead.core.scaling.policies import Policy
from fairlead.core.scaling.scene import Scene

from .builders import BOOT, a_group_of, a_history, an_action, asked, keep, kept_at, names, steps
from .world import World, turns

QUIET = 0.05
"""How far a load may stray from its mean, either way, without ever making a group scale in and out."""

levels = st.one_of(st.none(), st.floats(0, 1e4), st.sampled_from([0.0, 90.0, 100.0, 1e300, -5.0]))
targets = st.builds(
    keep,
    metric=st.sampled_from(["cpu", "requests_per_target", "custom:queue"]),
    value=st.floats(0.1, 1e3),
    period=st.sampled_from([1, 2, 5]),
    scale_out_after=st.integers(1, 5),
    scale_in_after=st.integers(1, 16),
    scale_in=st.booleans(),
)
stepping = st.builds(
    lambda by, more, **fields: steps((0, 50, by), (50, None, more), **fields),
    by=st.integers(-200, 200),
    more=st.integers(-200, 200),
    metric=st.sampled_from(["cpu", "requests_per_target"]),
    adjustment=st.sampled_from(["change_in_capacity", "percent_change_in_capacity", "exact_capacity"]),
    min_adjustment=st.none() | st.integers(1, 5),
    cooldown=st.sampled_from([0.0, 30.0]),
)
moments = st.none() | st.floats(4000, 5000)


ANY = st.lists(targets | stepping, max_size=3)


@st.composite
def situations(draw: st.DrawFn, policies: Any = ANY) -> tuple[Service, Group, Scene]:
    minimum, desired, maximum = sorted(draw(st.tuples(*[st.integers(0, 12)] * 3)))
    service = a_group_of(
        *draw(policies), minimum=minimum, desired=desired, maximum=maximum,
        scale_in_cooldown=draw(st.sampled_from([0.0, 60.0])), scale_out_cooldown=draw(st.sampled_from([0.0, 60.0])),
    )  # fmt: skip
    group = kept_at(
        service, draw(st.integers(minimum, maximum)),
        out_at=draw(moments), out_by=draw(st.integers(0, 4)), in_at=draw(moments), undone=draw(st.integers(0, 4)),
        boot=draw(st.sampled_from([BOOT, "before"])),
    )  # fmt: skip
    scene = Scene(
        counted=names(draw(st.integers(0, 12))), warming=draw(st.integers(0, 3)), ailing=draw(st.integers(0, 2)),
        drained=draw(st.integers(0, 1)), deploying=draw(st.booleans()), known=draw(st.booleans()),
    )  # fmt: skip
    return service, group, scene


actions = st.builds(
    an_action,
    minimum=st.none() | st.integers(0, 15),
    desired=st.none() | st.integers(0, 15),
    maximum=st.none() | st.integers(0, 15),
)


@given(situations(), st.lists(levels, max_size=40), st.lists(actions, max_size=3))
@settings(max_examples=100, deadline=None)
def test_desired_is_within_its_bounds_and_the_same_is_decided_twice(
    situation: tuple[Service, Group, Scene], values: list[float | None], due: list[Any]
) -> None:
    service, group, scene = situation
    history = a_history(service, *values, counted=len(scene.counted))
    verdict = asked(service, history, group, scene=scene, due=due)
    assert verdict.before == group.sizes.desired
    if verdict.group is None:
        assert (verdict.desired, verdict.cause) == (verdict.before, "")
    else:
        assert verdict.group.sizes.holds()
        assert verdict.group.sizes.desired == verdict.desired
        assert bool(verdict.cause) == (verdict.desired != verdict.before)
        assert due or verdict.desired != verdict.before
    again = a_history(service, *values, counted=len(scene.counted))
    assert asked(service, again, group, scene=scene, due=due) == verdict


@given(situations(), st.lists(levels, max_size=40))
@settings(max_examples=100, deadline=None)
def test_unknown_never_scales_in(situation: tuple[Service, Group, Scene], values: list[float | None]) -> None:
    service, group, scene = situation
    history = a_history(service, *values, *[None] * 15, counted=len(scene.counted))
    assert asked(service, history, group, scene=scene).group is None


@given(situations(), st.lists(levels, max_size=40))
@settings(max_examples=100, deadline=None)
def test_nothing_is_taken_away_while_anything_is_on_its_way(
    situation: tuple[Service, Group, Scene], values: list[float | None]
) -> None:
    service, group, scene = situation
    verdict = asked(service, a_history(service, *values, counted=len(scene.counted)), group, scene=scene)
    if scene.warming or scene.ailing or scene.deploying or not scene.known:
        assert verdict.desired >= verdict.before


@given(
    situations(st.lists(targets, min_size=1, max_size=3)),
    st.lists(st.tuples(st.floats(0, 500), st.sampled_from([0.0, 0.0, 1.0, 50.0, 400.0])), max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_more_load_never_gives_less_capacity(
    situation: tuple[Service, Group, Scene], values: list[tuple[float, float]]
) -> None:
    service, group, scene = situation
    counted = len(scene.counted)
    less = asked(service, a_history(service, *[low for low, _ in values], counted=counted), group, scene=scene)
    loads = [low + more for low, more in values]
    more = asked(service, a_history(service, *loads, counted=counted), group, scene=scene)
    assert more.desired >= less.desired


@given(
    load=st.floats(0, 3000),
    metric=st.sampled_from(["requests_per_target", "cpu", "outstanding"]),
    share=st.floats(0.1, 0.95),
    noise=st.floats(0, QUIET),
    start=st.integers(1, 20),
    warm_up=st.sampled_from([0.0, 1.0, 5.0, 10.0, 30.0]),
    start_time=st.sampled_from([0.5, 2.0, 7.0]),
    after=st.tuples(st.integers(1, 5), st.integers(1, 20)),
    cooldowns=st.tuples(st.sampled_from([0.0, 20.0]), st.sampled_from([0.0, 60.0])),
    period=st.sampled_from([1, 1, 3]),
    seed=st.integers(0, 9),
)
@example(
    load=1000.0, metric="cpu", share=0.95, noise=0.05, start=10, warm_up=0.0, start_time=0.5, after=(1, 1),
    cooldowns=(0.0, 0.0), period=1, seed=1,
)  # fmt: skip
@example(
    load=51.0, metric="requests_per_target", share=0.5, noise=0.0, start=1, warm_up=5.0, start_time=2.0, after=(1, 1),
    cooldowns=(0.0, 0.0), period=3, seed=0,
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_constant_load_never_changes_the_size_in_both_directions(
    load: float, metric: str, share: float, noise: float, start: int, warm_up: float, start_time: float,
    after: tuple[int, int], cooldowns: tuple[float, float], period: int, seed: int,
) -> None:  # fmt: skip
    chance = random.Random(seed)
    full = {"outstanding": 10.0}.get(metric, 100.0)
    policy = keep(metric, share * full, scale_out_after=after[0], scale_in_after=after[1], period=period)
    service = a_group_of(
        policy,
        desired=start,
        maximum=20,
        warm_up=warm_up,
        scale_out_cooldown=cooldowns[0],
        scale_in_cooldown=cooldowns[1],
    )
    world = World(service, lambda second: load * (1 + chance.uniform(-noise, noise)), start_time=start_time)
    # What cannot show more than 100 percent grows step by step, each of them as long as a start and a warm-up.
    steps = 20 if metric == "cpu" else 2
    world.run(250 + int(steps * (warm_up + start_time + cooldowns[0] + after[0] * period)))
    assert turns(world.changes) == 0
    enough = load / (share * 100)
    assert world.desired >= min(20, enough * (1 - QUIET) - 1e-6)
    assert world.desired <= max(1, start, 1.2 * enough + 1)


@given(
    load=st.floats(0, 120),
    every=st.sampled_from([1, 5, 15, 60, 300]),
    start=st.integers(1, 20),
    warm_up=st.sampled_from([0.0, 1.0, 10.0]),
    start_time=st.sampled_from([0.5, 7.0]),
)
@example(load=25.0, every=60, start=1, warm_up=10.0, start_time=2.0)
@example(load=25.0, every=300, start=1, warm_up=0.0, start_time=2.0)
@settings(max_examples=30, deadline=None)
def test_however_seldom_a_constant_metric_is_read_its_size_is_found_at_once(
    load: float, every: int, start: int, warm_up: float, start_time: float
) -> None:
    service = a_group_of(keep("custom:backlog", 10.0), desired=start, maximum=20, warm_up=warm_up)
    world = World(
        service,
        lambda second: 1.0,
        custom=lambda second, serving: {"backlog": load / max(1, serving)},
        read_every=every,
        start_time=start_time,
    )
    world.run(4 * every + 200)
    assert len(world.changes) <= 1
    assert min(20, load / 10 - 1e-6) <= world.desired <= max(1, start, 1.2 * load / 10 + 1)


@given(st.integers(1, 20), st.floats(0, 1500), st.integers(50, 400))
@settings(max_examples=30, deadline=None)
def test_a_constant_load_without_noise_is_settled_at_once(start: int, load: float, seconds: int) -> None:
    world = World(a_group_of(keep(), desired=start, maximum=20), lambda second: load).run(seconds)
    assert len(world.changes) <= 1


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)), max_size=6))
@settings(max_examples=50, deadline=None)
def test_whatever_is_edited_the_size_is_within_the_bounds(edits: Sequence[tuple[int, int, int, int]]) -> None:
    world = World(a_group_of(keep(), minimum=0, maximum=8), lambda second: 100.0 * (second // 20 % 7))
    for seconds, *sizes in edits:
        world.run(seconds)
        minimum, desired, maximum = sorted(sizes)
        world.edit(minimum=minimum, desired=desired, maximum=maximum)
    world.run(10)  # the world looks at every second whether they hold
    assert world.service.minimum <= world.desired <= world.service.maximum


def test_a_policy_that_never_scales_in_never_does() -> None:
    policies: list[Policy] = [keep(scale_in=False), steps((None, 0, -1), comparison="below", scale_in=False)]
    world = World(a_group_of(*policies, desired=8), lambda second: 1.0, custom=lambda second, serving: {"queue": 0.0})
    assert world.run(300).changes == []
